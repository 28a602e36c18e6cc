//! Signs the audit log: a checkpoint of each log that has grown, once a second at most.
//!
//! Before it signs, the signer grows the log that it signed last by the leaves that the tiles hold, so that every
//! checkpoint is consistent with the one before, and compares the root with that of the log's frontier. Where the two
//! differ, where the log shrank, or where a witness has seen another past, it refuses, and says so for as long as that
//! lasts; entries flow all the same. Witnesses whose cosignature a log's newest checkpoint lacks are asked again, also where
//! the log does not grow.

mod standing;
mod witnesses;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use audit_log::{
    Hash,
    checkpoint::{Checkpoint, SignedCheckpoint},
    keys::{PrivateKey, PublicKey, origin},
    tree::OpenLog,
};
use chrono::{SubsecRound as _, TimeDelta, Utc};
use schemas::Timestamp;
use sinks::log_store::{NewestCheckpoint, Signable, SigningStore};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::{
    standing::Standing,
    witnesses::{Cosigned, Witnesses},
};

/// Interval at which logs are checked for new entries to sign.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two rounds of asking for cosignatures that newest checkpoints lack.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(10);
/// Most checkpoints of one such round: until all are done, no log is signed.
const MAX_ASKED: usize = 64;
/// Interval at which a process that does not sign checks whether another still does.
const STANDBY: Duration = Duration::from_secs(5);

/// Configuration of the signer: database, keys and witnesses.
#[derive(Debug, Clone)]
pub struct SignerConfig {
    /// `postgres://..`
    pub database_url: String,
    /// The deployment's keys, all of one name; without any, nothing is signed, and an error is logged.
    pub keys: Vec<PrivateKey>,
    /// Witnesses that are asked to cosign each checkpoint.
    pub witnesses: Vec<WitnessAt>,
    /// HTTP client for requests to witnesses.
    pub client: reqwest::Client,
}

/// A witness.
#[derive(Debug, Clone)]
pub struct WitnessAt {
    /// Before `/add-checkpoint`.
    pub url: String,
    /// Its key.
    pub key: PublicKey,
}

/// Reason for which a log is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Refusal {
    NoKey,
    TilesMissing,
    RootsDiffer,
    RolledBack,
    WitnessDisagrees,
}

impl Refusal {
    const ALL: [Self; 5] =
        [Self::NoKey, Self::TilesMissing, Self::RootsDiffer, Self::RolledBack, Self::WitnessDisagrees];

    const fn name(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::TilesMissing => "tiles_missing",
            Self::RootsDiffer => "roots_differ",
            Self::RolledBack => "rolled_back",
            Self::WitnessDisagrees => "witness_disagrees",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::NoKey => "no signing key: set WEIR_AUDIT__SIGNING_KEY_FILE (`weir audit key` makes one)",
            Self::TilesMissing => "tiles are missing: `weir verify` names the first entry",
            Self::RootsDiffer => {
                "tiles, frontier and last checkpoint disagree: `weir verify` names the first entry"
            }
            Self::RolledBack => "the log is shorter than its last checkpoint: was an old backup restored?",
            Self::WitnessDisagrees => {
                "a witness has seen another past or a longer log: `weir verify --checkpoint` with its checkpoint says where"
            }
        }
    }
}

/// Signs until shutdown. Of several processes one signs; another takes over when it ends.
pub async fn run(config: SignerConfig, stop: CancellationToken) {
    if config.keys.is_empty() {
        let refusal = Refusal::NoKey;
        error!(reason = refusal.name(), "the audit log is not signed: {}", refusal.advice());
    }
    let mut signer = Signer {
        witnesses: Witnesses::new(config.witnesses, config.client),
        keys: config.keys,
        logs: HashMap::new(),
        standing: Standing::default(),
        asked_at: None,
        asked_last: String::new(),
    };
    let mut store: Option<SigningStore> = None;
    while !stop.is_cancelled() {
        let wait = match &mut store {
            None => match SigningStore::claim(&config.database_url).await {
                Ok(claimed) => {
                    let wait = if claimed.is_some() { Duration::ZERO } else { STANDBY };
                    store = claimed;
                    wait
                }
                Err(failure) => {
                    warn!(error = %failure, "cannot reach the database to sign the audit log; will retry");
                    STANDBY
                }
            },
            Some(own) => match signer.turn(own, Utc::now()).await {
                Ok(()) => INTERVAL,
                Err(failure) => {
                    warn!(error = %failure, "cannot read the audit log to sign it; will retry");
                    store = None;
                    STANDBY
                }
            },
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Signer {
    keys: Vec<PrivateKey>,
    witnesses: Witnesses,
    /// As they were signed last.
    logs: HashMap<String, OpenLog>,
    standing: Standing,
    /// When cosignatures were asked for again, and for which log last.
    asked_at: Option<Timestamp>,
    asked_last: String,
}

impl Signer {
    async fn turn(
        &mut self,
        store: &mut SigningStore,
        now: Timestamp,
    ) -> Result<(), sinks::log_store::StoreError> {
        for log in store.unsigned().await? {
            match log {
                Ok(log) => {
                    let outcome = self.sign(store, &log, now).await?;
                    self.standing.settle(&log.log, outcome, now);
                }
                Err(name) => self.standing.note(&name, Some(Refusal::RootsDiffer)),
            }
        }
        // A clock that was set back does not put the next round off.
        let is_due = self.asked_at.is_none_or(|before| now < before || now - before >= ASK_AGAIN);
        if is_due && !self.witnesses.is_empty() {
            self.asked_at = Some(now);
            self.ask_again(store).await?;
        }
        self.standing.tell(now);
        Ok(())
    }

    /// Asks witnesses for the cosignatures that newest checkpoints lack, one log after another from where the round before
    /// ended. A witness that does not answer ends the round: others wait.
    async fn ask_again(&mut self, store: &mut SigningStore) -> Result<(), sinks::log_store::StoreError> {
        let mut newest = store.newest_checkpoints().await?;
        newest.sort_unstable_by(|a, b| a.log.cmp(&b.log));
        let next = newest.partition_point(|own| own.log <= self.asked_last);
        newest.rotate_left(next);
        let names: HashSet<&str> = newest.iter().map(|own| own.log.as_str()).collect();
        self.standing.forget_others(&names);
        let mut asked = 0;
        for NewestCheckpoint { log, note, signed_at } in &newest {
            let Ok(signed) = SignedCheckpoint::parse(note) else { continue };
            if !self.standing.may_be_cosigned(log) {
                continue;
            }
            if self.witnesses.have_cosigned(&signed) {
                self.standing.settle(log, Ok(Cosigned::ByAll), *signed_at);
                continue;
            }
            self.standing.note_uncosigned(log, *signed_at);
            if asked == MAX_ASKED {
                continue;
            }
            asked += 1;
            let outcome = self.witnesses.ask(store, log, &signed.checkpoint, note).await?;
            if outcome == Ok(Cosigned::ByFewer) {
                asked = MAX_ASKED;
            }
            self.standing.settle(log, outcome, *signed_at);
            self.asked_last.clone_from(log);
        }
        Ok(())
    }

    async fn sign(
        &mut self,
        store: &mut SigningStore,
        log: &Signable,
        now: Timestamp,
    ) -> Result<Result<Cosigned, Refusal>, sinks::log_store::StoreError> {
        let Some(key) = self.keys.first() else { return Ok(Err(Refusal::NoKey)) };
        let origin = origin(key.name(), &log.log);
        let grown = match self.grown(store, log).await? {
            Ok(grown) => grown,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // A clock that was set back makes no checkpoint older than the one before.
        let signed_at = log.signed_at.map_or(now, |before| before.max(now)).trunc_subsecs(0);
        let checkpoint =
            Checkpoint { origin, size: grown.size(), root: grown.frontier().root(), extensions: Vec::new() };
        let checkpoint = match log.first_offset {
            Some(offset) => checkpoint.beginning_at(offset),
            None => checkpoint,
        };
        let checkpoint = checkpoint.at(u64::try_from(signed_at.timestamp()).unwrap_or(0));
        let note = match checkpoint.sign(&self.keys) {
            Ok(note) => note,
            Err(failure) => {
                error!(log = log.log, error = %failure, "cannot store the checkpoint");
                return Ok(Err(Refusal::NoKey));
            }
        };
        store.store(&log.log, &checkpoint, &note, signed_at).await?;
        metrics::counter!("weir_audit_checkpoints_total").increment(1);
        self.logs.insert(log.log.clone(), grown);
        self.witnesses.ask(store, &log.log, &checkpoint, &note).await
    }

    /// The log as it was signed last, grown by the leaves of the tiles; what is signed next.
    async fn grown(
        &mut self,
        store: &mut SigningStore,
        log: &Signable,
    ) -> Result<Result<OpenLog, Refusal>, sinks::log_store::StoreError> {
        let (signed_size, signed_root) = log.signed.unwrap_or((0, Hash::of_empty_tree()));
        if log.frontier.size() < signed_size {
            return Ok(Err(Refusal::RolledBack));
        }
        let kept = self.logs.remove(&log.log).filter(|kept| kept.size() == signed_size);
        let mut open = match kept {
            Some(kept) => kept,
            None => match store.open_at(&log.log, signed_size).await? {
                Some(open) => open,
                None => return Ok(Err(Refusal::TilesMissing)),
            },
        };
        if open.frontier().root() != signed_root {
            return Ok(Err(Refusal::RootsDiffer));
        }
        while open.size() < log.frontier.size() {
            let leaves = store.leaves(&log.log, open.size()).await?;
            if leaves.is_empty() {
                return Ok(Err(Refusal::TilesMissing));
            }
            let missing = usize::try_from(log.frontier.size() - open.size()).unwrap_or(usize::MAX);
            // Whatever was appended meanwhile is signed next time.
            leaves.iter().take(missing).for_each(|leaf| drop(open.push(*leaf)));
        }
        if open.frontier() == &log.frontier { Ok(Ok(open)) } else { Ok(Err(Refusal::RootsDiffer)) }
    }
}
