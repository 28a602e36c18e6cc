//! The authenticated caller of a request.

use std::borrow::Cow;

use super::{Role, Scope};
use crate::{
    Source, TenantId, Timestamp,
    events::{Actor, ActorKind},
};

/// The authenticated caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// An API key.
    ApiKey(KeyHolder),
    /// A person, authenticated by an issuer's token.
    Person(TokenSubject),
    /// A program, authenticated by an issuer's token: client credentials or a service account.
    Service(TokenSubject),
}

/// The holder of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// Public id of the key; used in logs and limits.
    pub id: String,
    /// Public id of the first key of its rotations, if it is a successor. All of them are one holder, who decides
    /// under this id: where two must approve, a key and its successor are one.
    pub succeeds: Option<String>,
    /// Name of the key, for people.
    pub name: String,
    /// Tenant whose data the key can access.
    pub tenant: TenantId,
    /// Scopes of the key.
    pub scopes: Vec<Scope>,
    /// The `CloudEvents` sources that it may publish for; empty for all. A pattern that ends with `*` matches
    /// all sources that begin with the part before it.
    pub sources: Vec<String>,
}

/// Subject of an issuer's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSubject {
    /// URL of the issuer.
    pub issuer: String,
    /// The subject, as the issuer names it.
    pub id: String,
    /// Name for people, if the token contains one.
    pub name: Option<String>,
    /// Tenant whose data the subject can access.
    pub tenant: TenantId,
    /// Roles that follow from the token's claims.
    pub roles: Vec<Role>,
    /// Scopes of these roles, each once.
    pub scopes: Vec<Scope>,
    /// Expiry of the token.
    pub expires_at: Timestamp,
}

impl Principal {
    /// Tenant whose data the principal can access.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::ApiKey(key) => &key.tenant,
            Self::Person(subject) | Self::Service(subject) => &subject.tenant,
        }
    }

    /// Scopes of the principal.
    pub fn scopes(&self) -> &[Scope] {
        match self {
            Self::ApiKey(key) => &key.scopes,
            Self::Person(subject) | Self::Service(subject) => &subject.scopes,
        }
    }

    /// Whether the principal holds the scope or a wider one that includes it.
    pub fn may(&self, scope: Scope) -> bool {
        let scopes = self.scopes();
        scopes.contains(&scope) || scope.within().is_some_and(|wider| scopes.contains(&wider))
    }

    /// Stable id: a key's id, or issuer and subject. Used in logs and limits.
    pub fn id(&self) -> Cow<'_, str> {
        match self {
            Self::ApiKey(key) => Cow::Borrowed(&key.id),
            Self::Person(subject) | Self::Service(subject) => {
                Cow::Owned(format!("{}#{}", subject.issuer, subject.id))
            }
        }
    }

    /// `api_key`, `person` or `service`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Person(_) => "person",
            Self::Service(_) => "service",
        }
    }

    /// Whether it may publish events of that source; keys may be restricted to some sources.
    pub fn may_publish_for(&self, source: &Source) -> bool {
        let Self::ApiKey(KeyHolder { sources, .. }) = self else { return true };
        sources.is_empty() || sources.iter().any(|pattern| matches(pattern, source.as_str()))
    }

    /// The principal as the actor of an event.
    pub fn actor(&self) -> Actor {
        let of_token = |kind, subject: &TokenSubject| Actor {
            kind,
            id: subject.id.clone(),
            name: subject.name.clone(),
            account: Some(subject.issuer.clone()),
            roles: subject.roles.iter().map(|role| role.name().to_owned()).collect(),
            ..Actor::default()
        };
        match self {
            Self::ApiKey(key) => Actor {
                kind: ActorKind::ServiceAccount,
                id: key.succeeds.as_ref().unwrap_or(&key.id).clone(),
                name: Some(key.name.clone()),
                session: key.succeeds.as_ref().map(|_| key.id.clone()),
                ..Actor::default()
            },
            Self::Person(subject) => of_token(ActorKind::User, subject),
            Self::Service(subject) => of_token(ActorKind::ServiceAccount, subject),
        }
    }
}

fn matches(pattern: &str, source: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == source, |before| source.starts_with(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[Scope], sources: &[&str]) -> Principal {
        Principal::ApiKey(KeyHolder {
            id: "key00001".into(),
            succeeds: None,
            name: "ci".into(),
            tenant: TenantId::new("acme").expect("valid"),
            scopes: scopes.to_vec(),
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
        })
    }

    #[test]
    fn a_wider_scope_holds_the_narrower_ones_and_not_the_other_way() {
        let all = key(&[Scope::CommandsWrite], &[]);
        let one = key(&[Scope::ChangesDecide], &[]);
        assert!(all.may(Scope::ChangesDecide) && all.may(Scope::RiskDecide) && !all.may(Scope::EventsWrite));
        assert!(one.may(Scope::ChangesDecide));
        assert!(!one.may(Scope::CommandsWrite) && !one.may(Scope::ChangesRequest));
    }

    #[test]
    fn a_rotated_key_and_its_successors_are_one_actor() {
        let first = key(&[], &[]);
        let Principal::ApiKey(holder) = first.clone() else { unreachable!("it is a key") };
        let next = KeyHolder { id: "key00002".into(), succeeds: Some(holder.id), ..holder };
        let next = Principal::ApiKey(next);
        assert_eq!(next.actor().id, first.actor().id);
        assert_eq!((next.id().as_ref(), next.actor().session.as_deref()), ("key00002", Some("key00002")));
    }

    #[test]
    fn a_narrowed_key_publishes_for_its_sources_only() {
        let source = |text: &'static str| Source::new(text).expect("a source");
        let narrowed = key(&[], &["aws://1234", "/ci/*"]);
        for good in ["aws://1234", "/ci/", "/ci/build"] {
            assert!(narrowed.may_publish_for(&source(good)), "{good}");
        }
        for bad in ["aws://12345", "aws://123", "/ci", "/other"] {
            assert!(!narrowed.may_publish_for(&source(bad)), "{bad}");
        }
        assert!(key(&[], &[]).may_publish_for(&source("/anything")));
    }
}
