//! Events about API keys for the audit log of the key's tenant.

use chrono::Utc;
use schemas::{
    Envelope, Event, Timestamp,
    access::ApiKey,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
    text::one_line,
};
use sinks::api_keys::RotatedKey;

use crate::{own_event, place::Place, stage::account};

/// Longest message and name that go into an event, in characters.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// One operation on a key.
pub(super) struct KeyChange<'a> {
    key: &'a ApiKey,
    action: &'static str,
    message: String,
}

impl<'a> KeyChange<'a> {
    pub(super) fn created(key: &'a ApiKey) -> Self {
        Self { key, action: "CreateApiKey", message: described(key) }
    }

    /// The key of the id `old` has a successor.
    pub(super) fn rotated(rotated: &'a RotatedKey, old: &str) -> Self {
        let (key, until) = (&rotated.made.key, rotated.old_until.to_rfc3339());
        let message = format!("in place of {old}, which works until {until}; {}", described(key));
        Self { key, action: "RotateApiKey", message }
    }

    pub(super) fn revoked(key: &'a ApiKey) -> Self {
        Self { key, action: "RevokeApiKey", message: described(key) }
    }

    fn envelope(&self, by: &str, now: Timestamp) -> Envelope {
        let event = Event::Activity(Activity {
            kind: ActivityKind::PermissionChanged,
            action: self.action.to_owned(),
            service: Some("weir".to_owned()),
            actor: Actor { kind: ActorKind::User, id: one_line(by, 200), ..Actor::default() },
            resources: vec![Resource {
                kind: Some("weir.api_key".to_owned()),
                id: self.key.id.clone(),
                name: Some(one_line(&self.key.name, 200)),
                ..Resource::default()
            }],
            outcome: Outcome {
                status: OutcomeStatus::Success,
                code: None,
                message: Some(one_line(&self.message, MAX_MESSAGE_CHARS)),
            },
            read_only: Some(false),
            request_id: None,
        });
        own_event::envelope(self.key.tenant.clone(), "/weir/keys", self.key.id.clone(), event, now)
    }
}

fn described(key: &ApiKey) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
    let end = key.expires_at.map_or_else(|| "no end".to_owned(), |end| format!("ends {}", end.to_rfc3339()));
    let mut text = format!("scopes {}; {end}", scopes.join(" "));
    if !key.sources.is_empty() {
        text.extend(["; sources ", &key.sources.join(" ")]);
    }
    if !key.networks.is_empty() {
        let networks: Vec<String> = key.networks.iter().map(ToString::to_string).collect();
        text.extend(["; networks ", &networks.join(" ")]);
    }
    text
}

/// Publishes the event and waits until Kafka has it.
pub(super) async fn publish(place: &Place, change: &KeyChange<'_>) -> anyhow::Result<()> {
    let by = account();
    own_event::publish(place, "key", &[change.envelope(&by, Utc::now())]).await
}

#[cfg(test)]
mod tests {
    use schemas::{TenantId, access::Scope};
    use secrecy::SecretString;
    use sinks::api_keys::CreatedKey;

    use super::*;

    #[test]
    fn the_log_tells_when_the_old_key_ends() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let key = ApiKey {
            id: "new00000".to_owned(),
            succeeds: Some("old00000".to_owned()),
            tenant: TenantId::new("acme").expect("a tenant"),
            name: "ci".to_owned(),
            scopes: vec![Scope::EventsWrite],
            secret_hmac: [0; 32],
            created_at: now,
            revoked_at: None,
            expires_at: None,
            last_used_at: None,
            sources: Vec::new(),
            networks: Vec::new(),
        };
        let made = CreatedKey { key, token: SecretString::from("weir_secret".to_owned()) };
        let rotated = RotatedKey { made, old_until: now + chrono::TimeDelta::hours(1) };
        let envelope = KeyChange::rotated(&rotated, "old00000").envelope("mara", now);
        let Event::Activity(activity) = envelope.event else { panic!("an activity") };
        let message = activity.outcome.message.expect("a message");
        let expected =
            "in place of old00000, which works until 2026-01-02T04:04:05+00:00; scopes events:write; no end";
        assert_eq!(message, expected);
    }
}
