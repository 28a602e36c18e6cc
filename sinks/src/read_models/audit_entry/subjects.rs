//! The subjects of a log's entries: their keys, and which of them were erased.

use std::collections::{HashMap, HashSet};

use audit_log::{SubjectKey, SubjectSecret};
use foldhash::fast::RandomState;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use crate::postgres::row_type::row_type;

/// Most subjects whose keys are cached; beyond it the cache is cleared and refilled as needed.
pub(super) const MAX_SUBJECTS: usize = 65_536;
/// Longest name of an actor in bytes under which its key is stored as it is.
const MAX_NAME_BYTES: usize = 1_024;
/// Most erased subjects that are read at once; if there are more, each batch queries those that are new to
/// it.
const MAX_ERASED_AT_ONCE: usize = 65_536;

/// Actors by tenant, as far as batches have named them.
#[derive(Default)]
pub(super) struct Subjects {
    by_tenant: HashMap<Box<str>, HashMap<Box<str>, Subject, RandomState>, RandomState>,
    pub(super) count: usize,
    /// Number of erased subjects among them.
    pub(super) erased: usize,
    /// Those that no transaction of this writer has stored yet.
    pub(super) unstored: Vec<KeyRow>,
    /// Whether the current transaction stores them.
    pub(super) sent: bool,
}

/// The subjects erased up to an epoch.
pub(super) enum ErasedSubjects {
    /// All of them, by tenant and subject: no batch asks.
    All(HashSet<(String, String)>),
    /// Too many to keep: subjects that are new to a writer are queried.
    Many,
}

/// An actor's key, and whether it may be stored.
pub(super) struct Subject {
    pub(super) key: SubjectKey,
    pub(super) standing: Standing,
}

/// Whether an actor's personal parts are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Kept,
    Erased,
}

/// An actor that is asked for.
#[derive(PartialEq, Eq, PartialOrd, Ord, sqlx::Encode)]
pub(super) struct SubjectName<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) subject: &'a str,
}

row_type!(SubjectName, "subject_name");

/// A subject's key.
#[derive(Clone, sqlx::Encode)]
pub(super) struct KeyRow {
    tenant_id: String,
    actor: String,
    key: Vec<u8>,
}

row_type!(owned KeyRow, "subject_key_row");

impl ErasedSubjects {
    pub(super) async fn look_up(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let most = i64::try_from(MAX_ERASED_AT_ONCE).unwrap_or(i64::MAX);
        let erased: Vec<(String, String)> = sqlx::query_as(
            "SELECT tenant_id, subject FROM erasure_progress WHERE began_at IS NOT NULL LIMIT $1",
        )
        .bind(most + 1)
        .fetch_all(connection)
        .await?;
        let all = erased.len() <= MAX_ERASED_AT_ONCE;
        Ok(if all { Self::All(erased.into_iter().collect()) } else { Self::Many })
    }
}

impl Subjects {
    pub(super) fn get(&self, tenant: &str, actor: &str) -> Option<&Subject> {
        self.by_tenant.get(tenant)?.get(actor)
    }

    /// Keys that are not stored yet remain to be stored.
    pub(super) fn forget_all(&mut self) {
        self.by_tenant.clear();
        (self.count, self.erased) = (0, 0);
    }

    /// Takes a subject in; one that is kept has its key stored with the next batch.
    pub(super) fn add(&mut self, secret: &SubjectSecret, tenant: &str, actor: &str, standing: Standing) {
        let key = secret.key(tenant, actor);
        if standing == Standing::Kept {
            let (actor, key) = (stored_name(actor), key.bytes().to_vec());
            self.unstored.push(KeyRow { tenant_id: tenant.to_owned(), actor, key });
        }
        let own = self.by_tenant.entry(tenant.into()).or_default();
        own.insert(actor.into(), Subject { key, standing });
        self.count += 1;
        self.erased += usize::from(standing == Standing::Erased);
    }
}

/// The name under which an actor's key is stored: instead of a longer one than an index takes, its hash, as the
/// function `weir_subject_name` computes it. What looks like a hash is hashed as well.
fn stored_name(actor: &str) -> String {
    const HASHED: &str = "sha256:";
    if actor.len() <= MAX_NAME_BYTES && !actor.starts_with(HASHED) {
        return actor.to_owned();
    }
    format!("{HASHED}{}", siem::hexadecimal(&Sha256::digest(actor)))
}

/// The subjects among these that were erased.
pub(super) async fn erased_of(
    connection: &mut PgConnection,
    subjects: &[SubjectName<'_>],
) -> sqlx::Result<HashSet<(String, String)>> {
    let erased: Vec<(String, String)> = sqlx::query_as(
        "SELECT tenant_id, subject FROM unnest($1::subject_name[]) AS a JOIN erasure_progress AS p
          USING (tenant_id, subject) WHERE p.began_at IS NOT NULL",
    )
    .bind(subjects)
    .fetch_all(connection)
    .await?;
    Ok(erased.into_iter().collect())
}
