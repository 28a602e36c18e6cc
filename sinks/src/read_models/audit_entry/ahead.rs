//! Leaves of entries, computed before their transaction.
//!
//! A leaf needs its record and the subject's key, which comes from the secret, and nothing of the database. So it is
//! computed on the thread that makes the entry, while the transaction before runs: hashing takes about as long as Postgres
//! takes to write a row.

use std::{cell::RefCell, sync::Arc};

use audit_log::{Hash, Salt, SubjectSecret, record::Splitter};
use schemas::changes::{AuditEntry, EntryHashes};

use crate::delivery::EarlyWork;

thread_local! {
    static SPLITTER: RefCell<Splitter> = RefCell::default();
}

/// Computes the leaf of an entry. One whose record cannot be split gets none: its writer says so.
pub(super) fn hashing(secret: SubjectSecret) -> EarlyWork<AuditEntry> {
    Arc::new(move |entry| entry.hashes = hashes(&secret, entry))
}

fn hashes(secret: &SubjectSecret, entry: &AuditEntry) -> Option<EntryHashes> {
    let salt = secret.key(entry.tenant.as_str(), &entry.actor).salt(entry.event_id.as_uuid());
    let Hash(leaf) = SPLITTER.with_borrow_mut(|splitter| {
        let native = entry.record.native().map(str::as_bytes);
        Some(splitter.split_beside(entry.record.text(), native).ok()?.leaf(&salt))
    })?;
    let Salt(salt) = salt;
    Some(EntryHashes { leaf, salt })
}

#[cfg(test)]
mod tests {
    use schemas::{
        EventId, TenantId,
        changes::OcsfRecord,
        events::{ActorKind, OutcomeStatus},
    };
    use uuid::Uuid;

    use super::*;
    use crate::read_models::audit_entry::append::Logbook;

    fn entry(text: &str, native: Option<&str>) -> AuditEntry {
        AuditEntry {
            event_id: EventId::new(Uuid::from_u128(1)).expect("not nil"),
            tenant: TenantId::new("acme").expect("valid"),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
            class_uid: 6003,
            activity_id: 2,
            severity_id: 1,
            kind: "ApiCalled",
            actor_kind: ActorKind::User,
            actor: "ada".into(),
            actor_name: None,
            actor_ip: None,
            action: "s3:GetObject".into(),
            resource_type: None,
            resource: None,
            project: None,
            outcome: OutcomeStatus::Success,
            outcome_code: None,
            source: "/test".into(),
            correlation_id: None,
            content_sha256: [0; 32],
            record: OcsfRecord::new(text.as_bytes().to_vec(), native.map(Into::into)),
            hashes: None,
        }
    }

    /// The leaf of an entry does not depend on who computes it.
    #[test]
    fn a_leaf_that_is_computed_early_is_that_of_the_transaction() {
        let secret = SubjectSecret::new(&[7; 32]).expect("long enough");
        let check = |text: &str, native: Option<&str>| {
            let late = entry(text, native);
            let expected = Logbook::new(secret.clone()).leaf(&late, &late.record.to_bytes());
            let mut early = late.clone();
            hashing(secret.clone())(&mut early);
            let EntryHashes { leaf, salt } = early.hashes.expect("a record");
            assert_eq!(expected, Ok((Hash(leaf), Salt(salt))), "{text}");
            let unread = Logbook::new(secret.clone()).leaf(&early, b"no record");
            assert_eq!(unread, expected, "it is not computed again");
        };
        check(r#"{"actor":{"user":{"uid":"ada"}},"time":1}"#, None);
        check(r#"{"actor":{"user":{"uid":"ada"}},"raw_data":"inside"}"#, None);
        check(r#"{"message":"m","raw_data":"\u0000","time":1}"#, Some(r#"{"n": "\u0000"}"#));
        check(r#"{"raw_data":"\u0000"}"#, Some(""));
    }

    #[test]
    fn a_record_that_cannot_be_split_is_left_to_its_writer() {
        let secret = SubjectSecret::new(&[7; 32]).expect("long enough");
        let mut odd = entry("no record", None);
        hashing(secret)(&mut odd);
        assert_eq!(odd.hashes, None);
    }
}
