//! Azure: the activity log of subscriptions, and Entra's audit and sign-in logs.
//!
//! Records come as written by diagnostic settings (to a storage account or an event hub: `{"records": […]}`),
//! as returned by the REST APIs and Microsoft Graph (`{"value": […]}`), and as exported from Log Analytics
//! tables.

pub mod activity;
pub mod audit;
pub mod signin;

use std::net::SocketAddr;

use schemas::{EventId, TenantId, Timestamp};

use super::fields::Fields;

/// Members of Azure's exports that list the records.
const LISTS: &[&str] = &["records", "value"];

/// The first of those members that is a timestamp.
fn instant(record: &Fields<'_>, names: &[&str]) -> Option<Timestamp> {
    names.iter().find_map(|name| record.instant(name))
}

/// A text, or the `value` (else the `localizedValue`) of an object, as the REST API writes names.
fn word(record: &Fields<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        record.plain_text(name).or_else(|| record.inner(name)?.first_text(&["value", "localizedValue"]))
    })
}

/// Event id of a record whose log guarantees that its id is unique.
fn unique(tenant: &TenantId, format: &str, id: Option<String>) -> Option<EventId> {
    id.map(|id| EventId::derived(tenant, format, format!("id {id}").as_bytes()))
}

/// The address without the port that resource logs write behind it: `192.0.2.1:4362` is `192.0.2.1`.
fn address(text: String) -> String {
    let told = text.parse::<SocketAddr>();
    told.map_or(text, |address| address.ip().to_string())
}

/// Whether the category is that of a sign-in.
fn is_sign_in(record: &Fields<'_>) -> bool {
    let category = record.first_text(&["category", "Category"]).unwrap_or_default();
    category.ends_with("SignInLogs") || record.exactly("signInEventTypes")
}

/// `azure://SCOPE`, where a scope is a subscription or a directory.
fn source(scope: Option<&str>) -> String {
    let plain = |scope: &&str| {
        scope.len() <= 64 && scope.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    format!("azure://{}", scope.filter(plain).unwrap_or("unknown"))
}

/// The segment after a name in a resource's path, in any case: `/subscriptions/S/resourceGroups/G/…`.
fn part_of(path: &str, name: &str) -> Option<String> {
    let mut parts = path.split('/');
    parts.find(|part| part.eq_ignore_ascii_case(name))?;
    parts.next().filter(|part| !part.is_empty()).map(str::to_owned)
}
