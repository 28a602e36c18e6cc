//! The tamper-evident log over HTTP: `/api/v1/audit/logs…`, `/api/v1/audit/{id}/proof`, `/.well-known/weir-log-keys`.
//!
//! A log's name has a slash in it, `<topic>/<partition>`; in paths both are segments. Checkpoints are signed notes and
//! tiles are bytes, as C2SP tlog-tiles has them, so that other people's programs read them too.

use std::sync::Arc;

use audit_log::tile::Tile;
use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
    response::IntoResponse,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use edge::api_error::ApiError;
use http::{Uri, header};
use schemas::{Timestamp, access::Principal};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::Answer,
    described::{ItemRefusals, ListRefusals},
    parameters::Parameters,
};
use crate::{
    log_store::{self, EntryProof},
    read_models::{ReadError, snapshot},
};

/// Every log, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogsAnswer {
    /// One for each input partition that has entries.
    pub items: Vec<LogItem>,
}

/// One log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogItem {
    /// `<topic>/<partition>`.
    pub log: String,
    /// Entries.
    pub size: u64,
    /// The size of the newest checkpoint; 0 where none is signed yet.
    pub signed_size: u64,
    /// Time at which that checkpoint was signed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub signed_at: Option<Timestamp>,
    /// The offset of the first entry in the topic's partition.
    pub first_offset: i64,
}

/// Between which sizes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Sizes {
    /// The earlier size, 1 or more.
    #[serde(deserialize_with = "size")]
    #[param(required = true, nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    from: Option<u64>,
    /// The later size, 1 or more.
    #[serde(deserialize_with = "size")]
    #[param(required = true, nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    to: Option<u64>,
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    text.parse().map(Some).map_err(|_| serde::de::Error::custom("not a size, 1 or more"))
}

/// A consistency proof.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyAnswer {
    /// The earlier size.
    pub from: u64,
    /// The later size.
    pub to: u64,
    /// Hashes in base64, in the order of RFC 9162.
    pub proof: Vec<String>,
}

/// An entry and the proof that it is part of its log: all that `weir verify --proof` needs besides the public key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProofAnswer {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The entry's index.
    pub index: u64,
    /// The size of the tree that the proof leads to.
    pub size: u64,
    /// Hashes in base64, from the leaf up.
    pub proof: Vec<String>,
    /// The signed note of that tree; absent while no checkpoint covers the entry.
    pub checkpoint: Option<String>,
    /// The OCSF record with its place in the log.
    #[schema(value_type = Object)]
    pub record: Box<RawValue>,
}

impl TryFrom<EntryProof> for ProofAnswer {
    type Error = serde_json::Error;

    fn try_from(proof: EntryProof) -> Result<Self, Self::Error> {
        Ok(Self {
            log: proof.place.log,
            index: proof.place.index,
            size: proof.size,
            proof: proof.hashes.iter().map(|hash| STANDARD.encode(hash.0)).collect(),
            checkpoint: proof.place.checkpoint,
            record: serde_json::from_slice(&proof.record)?,
        })
    }
}

/// Most entries whose proofs one question asks for.
const MAX_PROOFS: usize = 50;

/// The entries whose proofs are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct OfEvents {
    /// Ids of events, with commas between them; at most 50.
    #[serde(deserialize_with = "event_ids")]
    #[param(value_type = String, required = true, nullable = false, min_length = 36, max_length = 1849,
        pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(,[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}){0,49}$")]
    events: Option<Vec<Uuid>>,
}

fn event_ids<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Uuid>>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    let ids: Result<Vec<Uuid>, _> = text.split(',').map(str::parse).collect();
    let mut ids = ids.map_err(|_| serde::de::Error::custom("not ids of events with commas between them"))?;
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MAX_PROOFS {
        return Err(serde::de::Error::custom(format!("more than {MAX_PROOFS} ids; ask more often")));
    }
    Ok(Some(ids))
}

/// Entries with their proofs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProofsAnswer {
    /// The entries that were found, in the order of logs and indices.
    pub items: Vec<ProofAnswer>,
    /// Events without an entry that has a place in a log: of other tenants, not audited yet, or removed by retention.
    pub missing: Vec<Uuid>,
    /// Events that were not looked at, as the answer would be too large: ask again for these.
    pub left: Vec<Uuid>,
}

/// The public keys that checkpoints are signed with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeysAnswer {
    /// `<deployment>+<hash>+<base64>` (C2SP signed-note); a log signs under the name `<deployment>/<log>`.
    pub keys: Vec<String>,
}

/// All logs with their sizes.
#[utoipa::path(
    get,
    path = "/api/v1/audit/logs",
    operation_id = "audit_logs",
    tag = "audit log",
    responses(
        (status = 200, body = LogsAnswer),
        ItemRefusals,
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Json<LogsAnswer>, ApiError> {
    Parameters::of(&uri).finish()?;
    let pool = api.pool.clone();
    let logs = api.ask(caller.tenant(), async move {
        let mut tx = snapshot::begin(&pool).await?;
        Ok(log_store::logs(&mut tx).await?)
    });
    let Answer { value: logs, .. } = logs.await?;
    let item = |log: log_store::LogState| LogItem {
        log: log.log,
        size: log.size,
        signed_size: log.signed_size,
        signed_at: log.signed_at,
        first_offset: log.first_offset,
    };
    Ok(Json(LogsAnswer { items: logs.into_iter().map(item).collect() }))
}

/// A log's name; the partition is a number that Kafka has.
fn name_of(log: Result<Path<(String, String)>, PathRejection>) -> Result<String, ApiError> {
    let Path((topic, partition)) = log.map_err(|_| ApiError::not_found())?;
    match partition.parse::<i32>() {
        Ok(partition @ 0..) => Ok(format!("{topic}/{partition}")),
        _ => Err(ApiError::not_found()),
    }
}

/// The newest checkpoint of a log: a signed note.
#[utoipa::path(
    get,
    path = "/api/v1/audit/logs/{topic}/{partition}/checkpoint",
    tag = "audit log",
    params(("topic" = String, Path), ("partition" = i32, Path, minimum = 0)),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        ItemRefusals,
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn checkpoint(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    log: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<impl IntoResponse, ApiError> {
    Parameters::of(&uri).finish()?;
    let log = name_of(log)?;
    let pool = api.pool.clone();
    let note = api.ask(caller.tenant(), async move {
        let mut tx = snapshot::begin(&pool).await?;
        Ok(log_store::newest_checkpoint(&mut tx, &log).await?)
    });
    let note = note.await?.value.ok_or_else(ApiError::not_found)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], note))
}

/// A tile of a log, as C2SP tlog-tiles names it: `<level>/<number>[.p/<width>]`, for example `0/x001/234` or `1/000.p/7`.
/// Not in the `OpenAPI` description, which knows no parameter of several segments.
pub(super) async fn tile(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    uri: Uri,
) -> Result<impl IntoResponse, ApiError> {
    Parameters::of(&uri).finish()?;
    let Path((topic, partition, tile)) = path.map_err(|_| ApiError::not_found())?;
    let tile = Tile::parse(&tile).map_err(|_| ApiError::not_found())?;
    let (log, pool) = (format!("{topic}/{partition}"), api.pool.clone());
    let hashes = api.ask(caller.tenant(), async move {
        let mut tx = snapshot::begin(&pool).await?;
        Ok(log_store::tile(&mut tx, &log, tile).await?)
    });
    let hashes = hashes.await?.value.ok_or_else(ApiError::not_found)?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    Ok((headers, hashes))
}

/// The proof that a log of one size is the beginning of the same log at another.
#[utoipa::path(
    get,
    path = "/api/v1/audit/logs/{topic}/{partition}/consistency",
    tag = "audit log",
    params(
        ("topic" = String, Path),
        ("partition" = i32, Path, minimum = 0),
        Sizes,
    ),
    responses(
        (status = 200, body = ConsistencyAnswer),
        ItemRefusals,
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn consistency(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    log: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<Json<ConsistencyAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let Sizes { from, to } = given.take();
    for (name, size) in [("from", from), ("to", to)] {
        if size.is_none_or(|size| size == 0 || i64::try_from(size).is_err()) {
            given.refuse(name, "a size, 1 or more");
        }
    }
    given.finish()?;
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    let log = name_of(log)?;
    let pool = api.pool.clone();
    let proof = api.ask(caller.tenant(), async move {
        let mut tx = snapshot::begin(&pool).await?;
        Ok(log_store::consistency(&mut tx, &log, from, to).await?)
    });
    let proof = proof.await?.value.ok_or_else(ApiError::not_found)?;
    let proof = proof.iter().map(|hash| STANDARD.encode(hash.0)).collect();
    Ok(Json(ConsistencyAnswer { from, to, proof }))
}

/// One of the tenant's entries with the proof that it is part of its log.
#[utoipa::path(
    get,
    path = "/api/v1/audit/{id}/proof",
    tag = "audit log",
    params(("id" = Uuid, Path, description = "The event's id")),
    responses(
        (status = 200, body = ProofAnswer),
        ItemRefusals,
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn proof(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<Uuid>, PathRejection>,
    uri: Uri,
) -> Result<Json<ProofAnswer>, ApiError> {
    Parameters::of(&uri).finish()?;
    let Path(event) = id.map_err(|_| ApiError::not_found())?;
    let pool = api.pool.clone();
    let tenant = caller.tenant().clone();
    let proof = api.ask(caller.tenant(), async move {
        let proof = log_store::tenants_entry_proof(&pool, &tenant, event).await?;
        let answer = proof.map(ProofAnswer::try_from).transpose();
        answer.map_err(|error| ReadError::Unreadable(error.to_string()))
    });
    proof.await?.value.map(Json).ok_or_else(ApiError::not_found)
}

/// Some of the tenant's entries with the proofs that they are part of their logs. The proofs of one log lead to one
/// checkpoint. The answer ends early after 2 MiB of records, and says which events are left.
#[utoipa::path(
    get,
    path = "/api/v1/audit/proofs",
    tag = "audit log",
    params(OfEvents),
    responses(
        (status = 200, body = ProofsAnswer),
        ListRefusals,
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn proofs(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<ProofsAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let OfEvents { events } = given.take();
    if events.is_none() {
        given.refuse("events", "ids of events with commas between them");
    }
    given.finish()?;
    let events = events.unwrap_or_default();
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    api.ask(caller.tenant(), async move {
        let found = log_store::tenants_entry_proofs(&pool, &tenant, &events).await?;
        let is_found =
            |id: &Uuid| found.proofs.iter().any(|proof| proof.event == *id) || found.left.contains(id);
        let missing = events.iter().copied().filter(|id| !is_found(id)).collect();
        let items: Result<Vec<ProofAnswer>, _> =
            found.proofs.into_iter().map(ProofAnswer::try_from).collect();
        let items = items.map_err(|error| ReadError::Unreadable(error.to_string()))?;
        Ok(ProofsAnswer { items, missing, left: found.left })
    })
    .await
}

/// The public keys of the deployment's logs.
#[utoipa::path(
    get,
    path = "/.well-known/weir-log-keys",
    tag = "audit log",
    responses((status = 200, body = KeysAnswer))
)]
pub(super) async fn keys(State(api): State<Arc<Api>>) -> Json<KeysAnswer> {
    Json(KeysAnswer { keys: api.log_keys.clone() })
}
