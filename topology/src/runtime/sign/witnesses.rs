//! Asks witnesses to cosign (C2SP tlog-witness).

use std::{collections::HashMap, time::Duration};

use audit_log::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    witness::AddCheckpoint,
};
use sinks::log_store::{SigningStore, StoreError};
use tracing::warn;

use super::{Refusal, WitnessAt};

/// The longest a witness is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read: lines of signatures.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The witnesses, and what each of them has seen of each log as far as is known.
pub(super) struct Witnesses {
    all: Vec<WitnessAt>,
    client: reqwest::Client,
    seen: HashMap<(usize, String), u64>,
}

/// Whether all witnesses have cosigned a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cosigned {
    ByAll,
    ByFewer,
}

/// Answer of a witness.
enum Answer {
    /// Lines of signatures.
    Cosigned(String),
    /// The size that it has seen last.
    Seen(u64),
    /// It has seen another past.
    Inconsistent,
}

impl Witnesses {
    pub(super) fn new(all: Vec<WitnessAt>, client: reqwest::Client) -> Self {
        Self { all, client, seen: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether each of them has cosigned.
    pub(super) fn have_cosigned(&self, signed: &SignedCheckpoint) -> bool {
        self.all.iter().all(|witness| signed.cosigned(&witness.key).is_ok())
    }

    /// Asks those that have not cosigned, and keeps what they answer with the checkpoint. A witness that does not answer is
    /// asked again, with the next checkpoint or for this one.
    pub(super) async fn ask(
        &mut self,
        store: &mut SigningStore,
        log: &str,
        checkpoint: &Checkpoint,
        note: &str,
    ) -> Result<Result<Cosigned, Refusal>, StoreError> {
        let Ok(signed) = SignedCheckpoint::parse(note) else { return Ok(Ok(Cosigned::ByFewer)) };
        let mut lines = Vec::new();
        let mut cosigned = Ok(Cosigned::ByAll);
        for index in 0..self.all.len() {
            if signed.cosigned(&self.all[index].key).is_ok() {
                continue;
            }
            match self.ask_one(store, index, (log, checkpoint, note)).await? {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => cosigned = cosigned.and(Ok(Cosigned::ByFewer)),
                Err(refusal) => cosigned = Err(refusal),
            }
        }
        if !lines.is_empty()
            && let Ok(note) = signed.with_lines(&lines)
        {
            store.cosigned(log, checkpoint.size, &note).await?;
        }
        Ok(cosigned)
    }

    async fn ask_one(
        &mut self,
        store: &mut SigningStore,
        index: usize,
        (log, checkpoint, note): (&str, &Checkpoint, &str),
    ) -> Result<Result<Option<String>, Refusal>, StoreError> {
        let url = self.all[index].url.clone();
        let place = (index, log.to_owned());
        // Twice: the first time a witness may know another size than is known here.
        for _ in 0..2 {
            let old_size = self.seen.get(&place).copied().unwrap_or(0);
            if old_size > checkpoint.size {
                return Ok(Err(Refusal::WitnessDisagrees));
            }
            let proof = match old_size {
                0 => Vec::new(),
                same if same == checkpoint.size => Vec::new(),
                smaller => match store.consistency(log, smaller, checkpoint.size).await? {
                    Some(proof) => proof,
                    None => return Ok(Err(Refusal::TilesMissing)),
                },
            };
            let request = AddCheckpoint { old_size, proof, note: note.to_owned() };
            match self.send(index, &request).await {
                Ok(Answer::Cosigned(lines)) => {
                    self.seen.insert(place, checkpoint.size);
                    return Ok(Ok(self.own_line(index, note, &lines)));
                }
                Ok(Answer::Seen(size)) => drop(self.seen.insert(place.clone(), size)),
                Ok(Answer::Inconsistent) => return Ok(Err(Refusal::WitnessDisagrees)),
                Err(failure) => {
                    warn!(log, url, error = failure, "a witness does not cosign; will retry");
                    return Ok(Ok(None));
                }
            }
        }
        Ok(Err(Refusal::WitnessDisagrees))
    }

    /// The witness's own signature among the lines, if it is right.
    fn own_line(&self, index: usize, note: &str, lines: &str) -> Option<String> {
        let key = &self.all[index].key;
        let signed = SignedCheckpoint::parse(note).ok()?;
        let is_own = |line: &&str| {
            let with = signed.with_lines(&[(*line).to_owned()]).ok();
            with.is_some_and(|note| {
                SignedCheckpoint::parse(&note).is_ok_and(|with| with.cosigned(key).is_ok())
            })
        };
        let own = lines.lines().find(is_own).map(ToOwned::to_owned);
        if own.is_none() {
            warn!(url = self.all[index].url, "a witness's signature is not that of its key");
        }
        own
    }

    async fn send(&self, index: usize, request: &AddCheckpoint) -> Result<Answer, String> {
        let url = format!("{}/add-checkpoint", self.all[index].url.trim_end_matches('/'));
        let sent = self.client.post(url).timeout(PATIENCE).body(request.body()).send().await;
        let answer = sent.map_err(|error| error.without_url().to_string())?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| error.without_url().to_string())?;
        let text =
            str::from_utf8(&body[..body.len().min(MAX_ANSWER_BYTES)]).map_err(|error| error.to_string())?;
        match status {
            200 => Ok(Answer::Cosigned(text.to_owned())),
            409 => {
                let size = text.trim().parse().map_err(|_| format!("409 without a size: {text:.100}"))?;
                Ok(Answer::Seen(size))
            }
            422 => Ok(Answer::Inconsistent),
            other => Err(format!("answered {other}")),
        }
    }
}
