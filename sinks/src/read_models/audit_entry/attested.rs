//! Records of a page with their places in the logs, as the audit topic has them.

use std::collections::{BTreeSet, HashMap};

use audit_log::{Hash, integrity::Place};
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::{decode::record, read::AuditItem};
use crate::{
    log_store::{bigint, natural, personal_of},
    read_models::ReadError,
};

/// Bytes that a place adds to a record, about.
pub(super) const PLACE_BYTES: usize = 1_024;

/// The keys of subjects, by the actors' names.
const KEYS: &str = "
    SELECT a.actor, k.key FROM unnest($2::text[]) AS a (actor)
      JOIN subject_key AS k ON k.tenant_id = $1 AND k.actor = weir_subject_name(a.actor)";
/// The newest checkpoint of each log.
const CHECKPOINTS: &str = "
    SELECT w.log, c.note FROM unnest($1::text[]) AS w (log)
     CROSS JOIN LATERAL (SELECT note FROM audit_checkpoint AS c WHERE c.log = w.log ORDER BY c.size DESC LIMIT 1) AS c";
/// Leaves, out of full tiles or out of the parts of the open one.
const LEAVES: &str = "
    SELECT w.log, w.index, coalesce(
             (SELECT substr(t.hashes, 1 + 32 * (w.index % 256)::int, 32) FROM audit_tile AS t
               WHERE t.log = w.log AND t.level = 0 AND t.index = w.index / 256),
             (SELECT substr(p.hashes, 1 + 32 * (w.index - p.first_index)::int, 32) FROM audit_tile_part AS p
               WHERE p.log = w.log AND p.first_index <= w.index ORDER BY p.first_index DESC LIMIT 1))
      FROM unnest($1::text[], $2::bigint[]) AS w (log, index)";

/// A record that has a place in its log and does not state it yet.
#[derive(Debug)]
pub(super) struct Unattested {
    index: u64,
    leaf: Hash,
    /// Digest of the personal part of an erased entry.
    digest: Option<Vec<u8>>,
    /// As it is stored, not compressed.
    stored: Vec<u8>,
}

impl Unattested {
    /// The record with what its row says of its place; the record alone if that is no place.
    pub(super) fn of(
        index: Option<i64>,
        leaf: Option<&[u8]>,
        digest: Option<&[u8]>,
        stored: Vec<u8>,
    ) -> Result<Self, Vec<u8>> {
        let index = index.and_then(|index| natural(index).ok());
        match index.zip(leaf.and_then(Hash::from_slice)) {
            Some((index, leaf)) => Ok(Self { index, leaf, digest: digest.map(<[u8]>::to_vec), stored }),
            None => Err(stored),
        }
    }
}

/// Lets the records state their places, in the snapshot that they were read in. They are given with the numbers of their items.
pub(super) async fn attest(
    connection: &mut PgConnection,
    items: &mut [AuditItem],
    unattested: Vec<(usize, Unattested)>,
) -> Result<(), ReadError> {
    if unattested.is_empty() {
        return Ok(());
    }
    let beside = Beside::read(connection, items, &unattested).await?;
    for (number, record) in unattested {
        if let Some(item) = items.get_mut(number) {
            item.record = Some(beside.attested(item, &record)?);
        }
    }
    Ok(())
}

fn log_of(item: &AuditItem) -> String {
    format!("{}/{}", item.position.topic, item.position.partition)
}

/// What places are made of besides the rows of their entries.
#[derive(Debug, Default)]
struct Beside {
    /// Keys of subjects, by actor.
    keys: HashMap<String, Vec<u8>>,
    /// Leaves by log and index: those of the page, and those before them.
    leaves: HashMap<(String, u64), Hash>,
    /// The newest notes, by log.
    checkpoints: HashMap<String, String>,
}

impl Beside {
    /// Reads it for all records of a page together: three statements, whatever the number of records.
    async fn read(
        connection: &mut PgConnection,
        items: &[AuditItem],
        unattested: &[(usize, Unattested)],
    ) -> Result<Self, ReadError> {
        let mut beside = Self::default();
        let (mut actors, mut logs, mut tenant) = (BTreeSet::new(), BTreeSet::new(), "");
        for (number, record) in unattested {
            let Some(item) = items.get(*number) else { continue };
            let log = log_of(item);
            beside.leaves.insert((log.clone(), record.index), record.leaf);
            logs.insert(log);
            actors.extend(record.digest.is_none().then_some(item.actor.as_str()));
            tenant = item.tenant.as_str();
        }
        let actors: Vec<&str> = actors.into_iter().collect();
        let keys: Vec<(String, Vec<u8>)> =
            sqlx::query_as(KEYS).bind(tenant).bind(actors).fetch_all(&mut *connection).await?;
        beside.keys = keys.into_iter().collect();
        let logs: Vec<String> = logs.into_iter().collect();
        let notes: Vec<(String, String)> =
            sqlx::query_as(CHECKPOINTS).bind(logs).fetch_all(&mut *connection).await?;
        beside.checkpoints = notes.into_iter().collect();
        beside.add_leaves_before(connection).await?;
        Ok(beside)
    }

    /// Adds the leaves before those that are there, from the tiles.
    async fn add_leaves_before(&mut self, connection: &mut PgConnection) -> Result<(), ReadError> {
        let before = self.leaves.keys().filter_map(|(log, index)| Some((log.clone(), index.checked_sub(1)?)));
        let missing: Vec<(String, u64)> = before.filter(|place| !self.leaves.contains_key(place)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let indices = missing.iter().map(|(_, index)| bigint(*index)).collect::<sqlx::Result<Vec<i64>>>()?;
        let logs: Vec<String> = missing.into_iter().map(|(log, _)| log).collect();
        let rows: Vec<(String, i64, Option<Vec<u8>>)> =
            sqlx::query_as(LEAVES).bind(logs).bind(indices).fetch_all(connection).await?;
        for (log, index, leaf) in rows {
            if let Some(leaf) = leaf.as_deref().and_then(Hash::from_slice) {
                self.leaves.insert((log, natural(index)?), leaf);
            }
        }
        Ok(())
    }

    /// The record with its place. Where the place cannot be stated, it is the record alone: whoever verifies it finds out.
    fn attested(&self, item: &AuditItem, unattested: &Unattested) -> Result<Box<RawValue>, ReadError> {
        let (log, index) = (log_of(item), unattested.index);
        let key = self.keys.get(&item.actor).map(Vec::as_slice);
        let Some(personal) = personal_of(unattested.digest.as_deref(), key, &item.event_id) else {
            return record(&unattested.stored);
        };
        let previous =
            index.checked_sub(1).and_then(|before| self.leaves.get(&(log.clone(), before))).copied();
        let checkpoint = self.checkpoints.get(&log).cloned();
        let place = Place { log, index, leaf: unattested.leaf, previous, personal, checkpoint };
        let attested = place.attest(&unattested.stored).map(String::from_utf8);
        match attested {
            Ok(Ok(text)) => {
                RawValue::from_string(text).map_err(|error| ReadError::Unreadable(error.to_string()))
            }
            _ => record(&unattested.stored),
        }
    }
}

#[cfg(test)]
mod tests {
    use audit_log::{
        SubjectKey,
        integrity::{Personal, leaf_of, leaf_of_copy},
        record::Splitter,
    };
    use serde_json::{Value, json};

    use super::*;

    fn item() -> AuditItem {
        let item = json!({
            "event_id": "01890000-0000-7000-8000-000000000001", "occurred_at": "2026-01-31T10:00:00Z", "tenant": "acme",
            "kind": "ApiCalled", "actor_kind": "user", "actor": "ada", "action": "Read", "outcome": "success",
            "source": "/s", "class_uid": 6003, "activity_id": 1, "severity_id": 1,
            "position": { "topic": "weir.activity.v1", "partition": 3, "offset": 7 },
        });
        serde_json::from_value(item).expect("an item")
    }

    const STORED: &[u8] = br#"{"actor":{"user":{"uid":"ada"}},"raw_data":"x","time":1}"#;

    fn unattested(leaf: Hash, digest: Option<&[u8]>) -> Unattested {
        Unattested::of(Some(5), Some(&leaf.0), digest, STORED.to_vec()).expect("a place")
    }

    #[test]
    fn a_record_states_its_place_and_has_its_leaf() {
        let (item, key) = (item(), [3; 32]);
        let personal = Personal::Salted(SubjectKey::new(key).salt(&item.event_id));
        let leaf = leaf_of(&mut Splitter::default(), STORED, &personal).expect("a record");
        let log = || "weir.activity.v1/3".to_owned();
        let beside = Beside {
            keys: HashMap::from([("ada".to_owned(), key.to_vec())]),
            leaves: HashMap::from([((log(), 4), Hash([4; 32]))]),
            checkpoints: HashMap::from([(log(), "note\n".to_owned())]),
        };
        let record = beside.attested(&item, &unattested(leaf, None)).expect("a record");
        let record: Value = serde_json::from_str(record.get()).expect("JSON");
        let expected = Place {
            log: log(),
            index: 5,
            leaf,
            previous: Some(Hash([4; 32])),
            personal,
            checkpoint: Some("note\n".to_owned()),
        };
        assert_eq!(Place::stated(&record).as_ref(), Some(&expected));
        assert_eq!(leaf_of_copy(&mut Splitter::default(), &record, &personal), Ok(leaf));

        let nobody = Beside::default();
        let alone = nobody.attested(&item, &unattested(leaf, None)).expect("a record");
        assert_eq!(alone.get().as_bytes(), STORED, "no key, no place");
        let erased = nobody.attested(&item, &unattested(leaf, Some(&[9; 32]))).expect("a record");
        let stated = Place::stated(&serde_json::from_str(erased.get()).expect("JSON")).expect("a place");
        assert_eq!(stated.personal, Personal::Erased(Hash([9; 32])));
    }

    #[test]
    fn an_entry_from_before_the_log_has_no_place() {
        let of = |index, leaf: Option<&[u8]>| Unattested::of(index, leaf, None, STORED.to_vec());
        let leaf = [1; 32];
        assert!(of(Some(0), Some(&leaf)).is_ok());
        for (index, leaf) in [(None, None), (Some(-1), Some(&leaf[..])), (Some(1), Some(&leaf[1..]))] {
            assert_eq!(of(index, leaf).expect_err("no place"), STORED);
        }
    }
}
