//! Who a request comes from.

use std::borrow::Cow;

use super::{Role, Scope};
use crate::{
    Source, TenantId, Timestamp,
    events::{Actor, ActorKind},
};

/// Who a request comes from: the answer of a successful check of its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Whoever holds an API key.
    ApiKey(KeyHolder),
    /// A person, proven by a token of an issuer.
    Person(TokenSubject),
    /// A program that an issuer knows: client credentials, a service account.
    Service(TokenSubject),
}

/// Whoever holds an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The key's public id; goes into logs and limits.
    pub id: String,
    /// Name of the key, for people.
    pub name: String,
    /// The tenant whose data the key may touch.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The `CloudEvents` sources that it may publish for; empty for all. A pattern that ends with `*` stands for all
    /// sources that begin with what is before.
    pub sources: Vec<String>,
}

/// The subject of an issuer's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSubject {
    /// The issuer's URL.
    pub issuer: String,
    /// The subject, as the issuer names it.
    pub id: String,
    /// Name for people, where the token tells one.
    pub name: Option<String>,
    /// The tenant whose data the subject may touch.
    pub tenant: TenantId,
    /// What the issuer's claims made of it.
    pub roles: Vec<Role>,
    /// What these roles may do, without repetition.
    pub scopes: Vec<Scope>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

impl Principal {
    /// The tenant whose data the principal may touch.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::ApiKey(key) => &key.tenant,
            Self::Person(subject) | Self::Service(subject) => &subject.tenant,
        }
    }

    /// What it may do.
    pub fn scopes(&self) -> &[Scope] {
        match self {
            Self::ApiKey(key) => &key.scopes,
            Self::Person(subject) | Self::Service(subject) => &subject.scopes,
        }
    }

    /// Whether the principal holds the scope, or the wider one that holds it.
    pub fn may(&self, scope: Scope) -> bool {
        let scopes = self.scopes();
        scopes.contains(&scope) || scope.within().is_some_and(|wider| scopes.contains(&wider))
    }

    /// Stable id: a key's id, or the issuer and its subject. Goes into logs and limits.
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

    /// Whether it may publish events of that source: keys may be narrowed to some.
    pub fn may_publish_for(&self, source: &Source) -> bool {
        let Self::ApiKey(KeyHolder { sources, .. }) = self else { return true };
        sources.is_empty() || sources.iter().any(|pattern| matches(pattern, source.as_str()))
    }

    /// The principal as the one who acts in an event.
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
                id: key.id.clone(),
                name: Some(key.name.clone()),
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
