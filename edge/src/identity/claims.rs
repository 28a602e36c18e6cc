//! Maps the claims of a verified token to tenant, roles and scopes.

use std::collections::BTreeSet;

use schemas::{
    TenantId, Timestamp,
    access::{Principal, Role, TokenSubject},
    text::one_line,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Denial, MAX_SUBJECT_BYTES};

/// Maximum number of values of one claim that rules are compared with.
const MAX_VALUES: usize = 1_000;
/// Maximum length of a subject's name, in characters.
const MAX_NAME_CHARS: usize = 200;
/// Claims that hold several values in one text, separated by spaces (RFC 6749, section 3.3).
const SPACE_SEPARATED: [&str; 2] = ["scope", "scp"];

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// Mapping rule: a subject whose claim has the value gets the role for the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// Name of the claim, or a JSON pointer to a nested member (`/realm_access/roles`).
    pub claim: String,
    /// Value to match; one that ends with `*` matches all that begin with the part before it.
    pub matches: String,
    /// Role that the rule grants.
    pub role: Role,
    /// Tenant of the role.
    pub tenant: TenantOf,
}

/// Source of a rule's tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantOf {
    /// A fixed tenant.
    Fixed(TenantId),
    /// The tenant that this claim names.
    Claim(String),
}

/// Kind of an issuer's subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubjectKind {
    /// Detected from the claims: see [`is_service`].
    #[default]
    Detected,
    /// Persons.
    Person,
    /// Programs.
    Service,
}

/// Outcome of a rule, for `weir auth explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleOutcome {
    /// The issuer that the rule belongs to.
    pub issuer: String,
    /// The claim that it compares.
    pub claim: String,
    /// Whether the claim matches.
    pub matched: bool,
    /// The role and tenant that it granted, or the reason why it granted nothing.
    pub gave: String,
}

/// Claim mapping of an issuer.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    pub(super) issuer: String,
    /// The claim that names the subject for readers of the audit log; `sub` by default.
    pub(super) principal_claim: String,
    pub(super) kind: SubjectKind,
    pub(super) rules: Vec<RoleRule>,
}

/// The mapped subject, or why it is nobody here, with the outcome of each rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) principal: Result<Principal, Denial>,
    pub(super) rules: Vec<RuleOutcome>,
}

impl Mapping {
    /// Applies the rules in order: the first match decides on the tenant; further matches for the same tenant
    /// add their roles.
    pub(super) fn map(&self, claims: &Claims, expires_at: Timestamp) -> Mapped {
        let mut tenant: Option<TenantId> = None;
        let mut roles = BTreeSet::new();
        let mut outcomes = Vec::new();
        for rule in &self.rules {
            let (matched, gave) = match rule.apply(claims) {
                Err(why) => (false, format!("nothing: {why}")),
                Ok(named) => match named {
                    Err(why) => (true, format!("nothing: {why}")),
                    Ok(named) => {
                        let decided = tenant.get_or_insert_with(|| named.clone());
                        if *decided == named {
                            roles.insert(rule.role);
                            (true, format!("role {} of tenant {named}", rule.role.name()))
                        } else {
                            (true, format!("nothing: an earlier rule decided on tenant {decided}"))
                        }
                    }
                },
            };
            outcomes.push(RuleOutcome {
                issuer: self.issuer.clone(),
                claim: rule.claim.clone(),
                matched,
                gave,
            });
        }
        let principal =
            tenant.ok_or(Denial::NoRole).and_then(|tenant| self.principal(claims, tenant, roles, expires_at));
        Mapped { principal, rules: outcomes }
    }

    fn principal(
        &self,
        claims: &Claims,
        tenant: TenantId,
        roles: BTreeSet<Role>,
        expires_at: Timestamp,
    ) -> Result<Principal, Denial> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let id = self.subject(claims)?.to_owned();
        let name = text("name").or_else(|| text("preferred_username")).or_else(|| text("email"));
        let scopes: BTreeSet<_> = roles.iter().flat_map(|role| role.scopes()).copied().collect();
        let subject = TokenSubject {
            issuer: self.issuer.clone(),
            id,
            name: name.map(|name| one_line(name, MAX_NAME_CHARS)),
            tenant,
            roles: roles.into_iter().collect(),
            scopes: scopes.into_iter().collect(),
            expires_at,
        };
        let service = match self.kind {
            SubjectKind::Person => false,
            SubjectKind::Service => true,
            SubjectKind::Detected => is_service(claims),
        };
        Ok(if service { Principal::Service(subject) } else { Principal::Person(subject) })
    }

    /// The value of the claim that names the subject.
    fn subject<'a>(&self, claims: &'a Claims) -> Result<&'a str, Denial> {
        let unnamed = |why| Denial::NoSubject { claim: self.principal_claim.clone(), why };
        let value = value_at(claims, &self.principal_claim).ok_or_else(|| unnamed("is missing"))?;
        let id = value.as_str().ok_or_else(|| unnamed("is not a text"))?;
        if id.is_empty() || id.len() > MAX_SUBJECT_BYTES {
            return Err(unnamed("is empty or longer than 255 bytes"));
        }
        if id.contains(char::is_control) {
            return Err(unnamed("has control characters"));
        }
        Ok(id)
    }
}

impl RoleRule {
    /// The tenant of the rule, if the claim matches. The outer error says why it does not; the inner one why
    /// there is no tenant although it matches.
    fn apply(&self, claims: &Claims) -> Result<Result<TenantId, String>, String> {
        let Some(value) = value_at(claims, &self.claim) else {
            if left_out(claims, &self.claim) {
                return Err(format!(
                    "the issuer left {} out because there are too many (overage); have it send roles, or fewer groups",
                    self.claim
                ));
            }
            return Err(format!("there is no claim {}", self.claim));
        };
        let values = values_of(&self.claim, value);
        if !values.iter().any(|value| matches(&self.matches, value)) {
            return Err(format!("{} has no value {}", self.claim, self.matches));
        }
        Ok(match &self.tenant {
            TenantOf::Fixed(tenant) => Ok(tenant.clone()),
            TenantOf::Claim(claim) => match value_at(claims, claim).and_then(Value::as_str) {
                None => Err(format!("the claim {claim}, which names the tenant, is not there")),
                Some(name) => TenantId::new(name).map_err(|error| error.to_string()),
            },
        })
    }
}

/// The claim of that name, or the member that a JSON pointer leads to.
fn value_at<'a>(claims: &'a Claims, claim: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(claim) {
        return Some(value);
    }
    let (first, rest) = match claim.strip_prefix('/')?.split_once('/') {
        Some((first, rest)) => (first, format!("/{rest}")),
        None => (claim.strip_prefix('/')?, String::new()),
    };
    claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(&rest)
}

/// A claim's values: the items of a list, the names of an object, the words of a scope.
fn values_of(claim: &str, value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if SPACE_SEPARATED.contains(&claim) => {
            text.split(' ').take(MAX_VALUES).map(str::to_owned).collect()
        }
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().take(MAX_VALUES).filter_map(scalar).collect(),
        Value::Object(members) => members.keys().take(MAX_VALUES).cloned().collect(),
        other => scalar(other).into_iter().collect(),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

fn matches(pattern: &str, value: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == value, |before| value.starts_with(before))
}

/// Whether the issuer omitted the claim: Entra lists it in `_claim_names`, or sets `hasgroups`.
fn left_out(claims: &Claims, claim: &str) -> bool {
    let named =
        claims.get("_claim_names").and_then(Value::as_object).is_some_and(|names| names.contains_key(claim));
    named || (claim == "groups" && claims.get("hasgroups").and_then(Value::as_bool) == Some(true))
}

/// Claims that only programs have: Kubernetes' service accounts, and jobs of GitHub Actions, GitLab, Buildkite and Jenkins,
/// CircleCI, Bitbucket, HCP Terraform.
const CLAIMS_OF_PROGRAMS: [&str; 7] = [
    "kubernetes.io",
    "job_workflow_ref",
    "pipeline_id",
    "build_number",
    "oidc.circleci.com/project-id",
    "pipelineUuid",
    "terraform_run_id",
];
/// Beginnings of programs' subjects: GitHub Actions, GitLab, service connections of Azure Pipelines, SPIFFE, Kubernetes.
const SUBJECTS_OF_PROGRAMS: [&str; 5] =
    ["repo:", "project_path:", "sc://", "spiffe://", "system:serviceaccount:"];

/// Claims that name the client that a token was issued to (RFC 9068; OpenID Connect; Okta; Entra's first version).
const CLAIMS_OF_CLIENTS: [&str; 4] = ["client_id", "azp", "cid", "appid"];
/// End of the names of Google's service accounts.
const GOOGLE_ACCOUNTS: &str = ".gserviceaccount.com";

/// Whether the subject is a program, which counts for no person where two must approve: a pipeline or a workload; Auth0's
/// client credentials (`gty`, or a subject `…@clients`); an application of Entra (`idtyp`, or a subject that is its own
/// object); a service account of Google or of a Keycloak client; or a subject that is the client itself (RFC 9068,
/// section 5; Okta, Cognito).
fn is_service(claims: &Claims) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let (sub, email) = (text("sub").unwrap_or_default(), text("email").unwrap_or_default());
    let clients: Vec<&str> = CLAIMS_OF_CLIENTS.into_iter().filter_map(text).collect();
    let of_keycloak = text("preferred_username").and_then(|name| name.strip_prefix("service-account-"));
    text("gty") == Some("client-credentials")
        || text("idtyp") == Some("app")
        || text("oid").is_some_and(|object| object == sub)
        || CLAIMS_OF_PROGRAMS.iter().any(|claim| claims.contains_key(*claim))
        || SUBJECTS_OF_PROGRAMS.iter().any(|beginning| sub.starts_with(beginning))
        || sub.ends_with("@clients")
        || [sub, email].iter().any(|name| name.ends_with(GOOGLE_ACCOUNTS))
        || of_keycloak.is_some_and(|name| clients.iter().any(|client| name.eq_ignore_ascii_case(client)))
        || (!sub.is_empty() && clients.contains(&sub))
}
