//! Cursors: the key of a page's last row, in a form that only its own tenant can use, for the same query.
//!
//! A cursor is base64url(payload ‖ tag), the payload in JSON, the tag the first 16 bytes of HMAC-SHA-256(key,
//! each of route, tenant, query, payload with its length before it).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use schemas::{TenantId, access::Pepper, problem::ProblemKind};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use edge::api_error::ApiError;

const TAG_LEN: usize = 16;
/// Longest cursor that is read, in bytes: a key may hold an id of 1,024 bytes, JSON may write each of them in
/// six (`\u0001`), and base64url makes four of three. The limit of a request's head is above it.
pub(super) const MAX_CURSOR_BYTES: usize = 10 * 1024;

/// The secret that signs cursors; every process that answers the same readers holds the same one.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(..)")
    }
}

impl CursorKey {
    /// The key that follows from the pepper of the API keys: one secret to configure, two that cannot be mixed up.
    pub fn derived_from(pepper: &Pepper) -> Self {
        Self(pepper.hash("weir query cursor v1"))
    }

    /// Writes a cursor.
    pub(super) fn seal<T: Serialize>(&self, bound_to: &Binding<'_>, end: &T) -> String {
        let mut bytes = serde_json::to_vec(end).expect("page keys hold only strings and numbers");
        let tag = self.tag(bound_to, &bytes);
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor back; refuses what this key did not write for this tenant and query.
    pub(super) fn open<T: DeserializeOwned>(
        &self,
        bound_to: &Binding<'_>,
        cursor: &str,
    ) -> Result<T, ApiError> {
        self.checked(bound_to, cursor).and_then(|payload| serde_json::from_slice(&payload).ok()).ok_or_else(
            || {
                let detail =
                    "use next_cursor as it was given, with the same filter and credential, or leave it out";
                ApiError::new(ProblemKind::InvalidCursor, detail)
            },
        )
    }

    fn checked(&self, bound_to: &Binding<'_>, cursor: &str) -> Option<Vec<u8>> {
        let mut bytes = (cursor.len() <= MAX_CURSOR_BYTES).then(|| URL_SAFE_NO_PAD.decode(cursor).ok())??;
        let tag = bytes.split_off(bytes.len().checked_sub(TAG_LEN)?);
        bool::from(self.tag(bound_to, &bytes).ct_eq(&tag)).then_some(bytes)
    }

    fn tag(&self, bound_to: &Binding<'_>, payload: &[u8]) -> [u8; TAG_LEN] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in [
            bound_to.route.as_bytes(),
            bound_to.tenant.as_str().as_bytes(),
            bound_to.question.as_bytes(),
            payload,
        ] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }
}

/// Scope of a cursor: it is valid for this route, tenant and filter only.
#[derive(Debug)]
pub(super) struct Binding<'a> {
    /// The route that pages.
    pub(super) route: &'static str,
    /// Tenant whose rows are listed.
    pub(super) tenant: &'a TenantId,
    /// The filter, in a form that differs where the filter does.
    pub(super) question: String,
}

impl<'a> Binding<'a> {
    /// Binds to a query of a tenant.
    pub(super) fn of<T: Serialize>(route: &'static str, tenant: &'a TenantId, question: &T) -> Self {
        let question =
            serde_json::to_string(question).expect("filters hold only strings, numbers and instants");
        Self { route, tenant, question }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> CursorKey {
        CursorKey::derived_from(&Pepper::new("pepper"))
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).expect("valid")
    }

    fn binding<'a>(tenant: &'a TenantId, question: &str) -> Binding<'a> {
        Binding { route: "/api/v1/audit", tenant, question: question.into() }
    }

    #[test]
    fn a_cursor_is_good_for_its_tenant_route_question_and_key() {
        let (acme, other) = (tenant("acme"), tenant("acme2"));
        let cursor = key().seal(&binding(&acme, "q"), &(7_i64, "x"));
        let read = |key: CursorKey, binding: &Binding<'_>| key.open::<(i64, String)>(binding, &cursor).ok();
        assert_eq!(read(key(), &binding(&acme, "q")), Some((7, "x".into())));
        assert_eq!(read(key(), &binding(&other, "q")), None);
        assert_eq!(read(key(), &binding(&acme, "r")), None);
        assert_eq!(read(key(), &Binding { route: "/api/v1/parked", ..binding(&acme, "q") }), None);
        assert_eq!(read(CursorKey::derived_from(&Pepper::new("other")), &binding(&acme, "q")), None);
    }

    /// Longest id of a resource, in bytes.
    const MAX_ID_BYTES: usize = 1_024;

    fn sealed_and_opened(id: &str) {
        let acme = tenant("acme");
        let binding = binding(&acme, "q");
        let end = ("2026-01-31T10:00:00.123456Z", id, "aws-ebs-volume-encrypted");
        let cursor = key().seal(&binding, &end);
        let opened = key().open::<(String, String, String)>(&binding, &cursor).expect("it was sealed here");
        assert_eq!((opened.0.as_str(), opened.1.as_str(), opened.2.as_str()), end);
    }

    #[test]
    fn a_cursor_holds_the_longest_id_whatever_json_makes_of_it() {
        for one in ["\"", "\\", "\u{1}", "a", "ä", "💧"] {
            sealed_and_opened(&one.repeat(MAX_ID_BYTES / one.len()));
        }
    }

    proptest! {
        #[test]
        fn every_id_that_is_sealed_opens(id in prop::collection::vec(any::<char>(), 0..=MAX_ID_BYTES)) {
            let id: String = id.into_iter().collect();
            sealed_and_opened(&id[..id.floor_char_boundary(MAX_ID_BYTES)]);
        }

        #[test]
        fn what_was_altered_or_made_up_is_refused(
            at in any::<i64>(), place in any::<prop::sample::Index>(), bit in 0_u8..8, text in "[A-Za-z0-9_-]{0,80}",
        ) {
            let acme = tenant("acme");
            let open = |cursor: &str| key().open::<(i64, String)>(&binding(&acme, "q"), cursor);
            let cursor = key().seal(&binding(&acme, "q"), &(at, "x"));
            prop_assert_eq!(open(&cursor).expect("untouched"), (at, "x".to_owned()));

            let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).expect("ours");
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let error = open(&URL_SAFE_NO_PAD.encode(&bytes)).expect_err("one bit differs");
            prop_assert_eq!(error.problem().slug(), "invalid-cursor");
            prop_assert!(open(&cursor[..cursor.len() - 1]).is_err());
            prop_assert!(open(&(cursor + "A")).is_err());
            prop_assert!(open(&text).is_err());
        }
    }
}
