//! Settings of issuers, whose tokens are accepted beside API keys.

use std::path::PathBuf;

use anyhow::{Context, bail};
use edge::identity::{Identities, IssuerConfig, KeySource, RoleRule, SubjectKind, TenantOf};
use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use schemas::{TenantId, access::Role};
use serde::{Deserialize, Serialize};

/// `[identity]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Identity {
    /// A TOML file of further `[[issuer]]` tables, for processes that run in another folder.
    pub(crate) issuers_file: Option<PathBuf>,
}

/// `[[issuer]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// Its URL, exactly as its tokens name it in `iss`.
    #[serde(rename = "issuer")]
    url: String,
    /// The audiences, one of which its tokens must name.
    audiences: Vec<String>,
    /// Clients, beside the audiences, whose tokens may name further audiences (`azp`).
    #[serde(default)]
    authorized_parties: Vec<String>,
    /// URL of its keys; found by discovery unless this or `jwks_file` is set.
    #[serde(default)]
    jwks_url: Option<String>,
    /// A file of its keys.
    #[serde(default)]
    jwks_file: Option<PathBuf>,
    /// The claim that names a subject.
    #[serde(default = "sub")]
    principal_claim: String,
    /// Whether its subjects are persons or services; derived from the claims unless it is set.
    #[serde(default)]
    kind: Option<Kind>,
    /// Rules that map claims to roles, in order.
    #[serde(default)]
    rules: Vec<Rule>,
}

fn sub() -> String {
    "sub".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Person,
    Service,
}

/// Grants the role for the tenant to subjects whose claim has the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// The claim's name, or a JSON pointer to a member within it.
    claim: String,
    /// Its value, or one of its values; a beginning and `*` for all that begin so.
    matches: String,
    role: Role,
    /// The tenant; or
    #[serde(default)]
    tenant: Option<String>,
    /// the claim that names it.
    #[serde(default)]
    tenant_claim: Option<String>,
}

/// The issuers of the settings and of their file.
pub(crate) fn issuers(named: &[Issuer], identity: &Identity) -> anyhow::Result<Vec<Issuer>> {
    let mut issuers = named.to_vec();
    if let Some(file) = &identity.issuers_file {
        let read = || format!("the file of issuers, {}, cannot be used", file.display());
        let text = std::fs::read_to_string(file).with_context(read)?;
        issuers.extend(issuers_of(&text).with_context(read)?);
    }
    Ok(issuers)
}

/// The issuers of a text in TOML or JSON.
fn issuers_of(text: &str) -> anyhow::Result<Vec<Issuer>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        issuer: Vec<Issuer>,
    }
    let File { issuer } = if text.trim_start().starts_with('{') {
        serde_json::from_str(text)?
    } else {
        Figment::from(Toml::string(text)).extract()?
    };
    Ok(issuer)
}

/// The issuers, ready to check tokens.
pub(crate) fn identities(issuers: Vec<Issuer>) -> anyhow::Result<Identities> {
    Ok(Identities::new(issuer_configs(issuers)?)?)
}

/// The issuers as they are checked by.
pub(crate) fn issuer_configs(issuers: Vec<Issuer>) -> anyhow::Result<Vec<IssuerConfig>> {
    issuers.into_iter().map(Issuer::config).collect()
}

impl Issuer {
    /// Its URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn config(self) -> anyhow::Result<IssuerConfig> {
        let keys = match (self.jwks_url, self.jwks_file) {
            (None, None) => KeySource::Discovery,
            (Some(url), None) => KeySource::Url(url),
            (None, Some(file)) => KeySource::File(file),
            (Some(_), Some(_)) => bail!("the issuer {} has jwks_url and jwks_file: set one", self.url),
        };
        let kind = match self.kind {
            None => SubjectKind::Detected,
            Some(Kind::Person) => SubjectKind::Person,
            Some(Kind::Service) => SubjectKind::Service,
        };
        let of = || format!("a rule of the issuer {}", self.url);
        let rules =
            self.rules.into_iter().map(Rule::parse).collect::<anyhow::Result<_>>().with_context(of)?;
        Ok(IssuerConfig {
            issuer: self.url,
            audiences: self.audiences,
            authorized_parties: self.authorized_parties,
            keys,
            principal_claim: self.principal_claim,
            kind,
            rules,
        })
    }
}

impl Rule {
    fn parse(self) -> anyhow::Result<RoleRule> {
        let Self { claim, matches, role, tenant, tenant_claim } = self;
        let tenant = match (tenant, tenant_claim) {
            (Some(tenant), None) => TenantOf::Fixed(TenantId::new(&tenant)?),
            (None, Some(claim)) => TenantOf::Claim(claim),
            _ => bail!("the rule about {claim} needs tenant or tenant_claim, and not both"),
        };
        Ok(RoleRule { claim, matches, role, tenant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> anyhow::Result<Vec<Issuer>> {
        let written = tempfile::NamedTempFile::new()?;
        std::fs::write(written.path(), text)?;
        issuers(&[], &Identity { issuers_file: Some(written.path().to_owned()) })
    }

    const GOOD: &str = r#"
        [[issuer]]
        issuer = "https://login.example.com"
        audiences = ["weir"]
        rules = [
            { claim = "groups", matches = "security", role = "approver", tenant = "acme" },
            { claim = "scope", matches = "weir.publish", role = "developer", tenant_claim = "org" },
        ]
        [[issuer]]
        issuer = "https://kubernetes.default.svc"
        audiences = ["weir"]
        jwks_file = "keys.json"
        kind = "service"
    "#;

    #[test]
    fn issuers_are_read_from_a_file_in_either_form() {
        let read = file(GOOD).expect("a file");
        assert_eq!(read.len(), 2);
        let json = serde_json::json!({ "issuer": read }).to_string();
        assert_eq!(file(&json).expect("the same, as JSON"), read);
        identities(read).expect("usable");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = |change: (&str, &str)| {
            let text = GOOD.replace(change.0, change.1);
            assert_ne!(text, GOOD);
            let outcome = file(&text).and_then(identities);
            format!("{:#}", outcome.expect_err(change.1))
        };
        for (change, said) in [
            (("role = \"approver\"", "role = \"wizard\""), "wizard"),
            ((", tenant = \"acme\"", ""), "needs tenant or tenant_claim"),
            (("tenant = \"acme\"", "tenant = \"a b\""), "a b"),
            (
                ("audiences = [\"weir\"]\n        jwks_file", "audiences = []\n        jwks_file"),
                "no audience",
            ),
            (("https://kubernetes.default.svc", "https://login.example.com"), "twice"),
            (("jwks_file =", "jwks_url = \"https://x\"\n        jwks_file ="), "set one"),
            (("claim = \"groups\"", "claims = \"groups\""), "claims"),
        ] {
            let error = error(change);
            assert!(error.contains(said), "{error}");
        }
    }
}
