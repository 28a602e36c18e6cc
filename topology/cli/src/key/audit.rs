//! Events about API keys for the audit log of the key's tenant.

use chrono::Utc;
use schemas::{
    Envelope, Event, Timestamp,
    access::ApiKey,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
    text::one_line,
};

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

    pub(super) fn rotated(key: &'a ApiKey, old: &str, until: Timestamp) -> Self {
        let message =
            format!("in place of {old}, which works until {}; {}", until.to_rfc3339(), described(key));
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
