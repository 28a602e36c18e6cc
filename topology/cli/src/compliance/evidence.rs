//! `weir compliance evidence`: a framework's posture with all that an auditor needs to check it without a server.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use audit_log::checkpoint::SignedCheckpoint;
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::report::Report;
use crate::{
    Outcome,
    evidence::packet::{
        self, CHECKPOINTS, ENTRIES, FORMAT, Files, KEYS, LogCheckpoint, MAX_PACKET_BYTES, Manifest, POLICIES,
        POSTURE, PolicyText, REPORT, VERDICTS, WAIVERS,
    },
    output::note,
    place::Place,
    policy::WhichPolicies,
    query::{Api, compliance::instant},
    settings::Trust,
};

/// Most events of one question.
const AT_ONCE: usize = 50;
/// Number of requests for entries that the audit log does not have, or has not signed yet; and the time
/// between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// Arguments of `weir compliance evidence`.
#[derive(Debug, Args)]
pub(super) struct EvidenceArgs {
    /// The framework as policies name it, in any case, for example HIPAA; `weir compliance frameworks` lists
    /// them.
    framework: String,
    /// The instant, RFC 3339, or a day (its end, UTC); now by default.
    #[arg(long)]
    as_of: Option<String>,
    /// Only resources of this project.
    #[arg(long)]
    project: Option<String>,
    /// The packet to write: a tar archive. `weir evidence verify` checks it.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Write the packet although the audit log has no proof for some events.
    #[arg(long)]
    allow_unproven: bool,
    #[command(flatten)]
    policies: WhichPolicies,
    #[command(flatten)]
    trust: Trust,
}

/// Collects the evidence and writes the packet.
pub(super) async fn evidence(args: EvidenceArgs) -> anyhow::Result<Outcome> {
    let shown = args.output.display();
    ensure!(!args.output.exists(), "{shown} is there already; name another file");
    let api = Api::of(&Place::find().await?, &args.trust)?;
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let as_of = args.as_of.as_deref().map_or_else(|| Ok(now.clone()), instant)?;
    let report = Report::read(&api, (&args.framework, args.project.as_deref()), as_of).await?;
    let mut collected = Proofs::default();
    collected.collect(&api, events_of(&report)).await?;
    let unproven: Vec<Uuid> = collected.missing.iter().copied().collect();
    if let (Some(first), false) = (unproven.first(), args.allow_unproven) {
        bail!(
            "the audit log has no signed proof for {} of {} events, for example {first}: is the stage audit behind \
             (`weir lag`), is nothing signing (`weir status`), or did retention remove them? --allow-unproven writes the \
             packet without these proofs",
            unproven.len(),
            unproven.len() + collected.entries.len()
        );
    }
    let (files, manifest) = content(&args, &api, &report, collected).await?;
    let manifest = Manifest { made_at: now, unproven, ..manifest };
    let (verdicts, entries) = (manifest.verdicts, manifest.entries);
    let (bytes, digest) = packet::pack(&files, manifest)?;
    ensure!(
        bytes.len() as u64 <= MAX_PACKET_BYTES,
        "the packet would have {} bytes, more than {MAX_PACKET_BYTES}; make one for each --project",
        bytes.len()
    );
    fs::write(&args.output, bytes).with_context(|| format!("{shown} cannot be written"))?;
    note(&format!("{shown}: {verdicts} verdicts, {entries} entries of the audit log"));
    note(&format!(
        "manifest {digest}; keep this number elsewhere, and check with `weir evidence verify {shown}`"
    ));
    Ok(Outcome::Done)
}

/// The events that verdicts and waivers follow from.
fn events_of(report: &Report) -> BTreeSet<Uuid> {
    let verdicts = report.verdicts.iter().map(|verdict| &verdict["event_id"]);
    let waivers = report.waivers.iter().flat_map(|waiver| waiver["events"].as_array().into_iter().flatten());
    verdicts.chain(waivers).filter_map(|id| id.as_str()?.parse().ok()).collect()
}

/// The files of the packet, and the manifest but for what the caller knows.
async fn content(
    args: &EvidenceArgs,
    api: &Api,
    report: &Report,
    proofs: Proofs,
) -> anyhow::Result<(Files, Manifest)> {
    let (set, policies) = args.policies.read()?;
    let texts: Vec<PolicyText> = policies
        .texts()
        .map(|(name, text)| PolicyText { name: name.to_owned(), text: text.to_owned() })
        .collect();
    let keys = api.get("/.well-known/weir-log-keys", &[]).await?;
    let keys: Vec<&str> = keys["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let used = report
        .verdicts
        .iter()
        .filter_map(|verdict| Some((verdict["policy_id"].as_str()?, verdict["policy_hash"].as_str()?)));
    let without_text: BTreeSet<String> = used
        .filter(|(id, hash)| set.find(id).is_none_or(|policy| policy.hash != *hash))
        .map(|(id, hash)| format!("{id}@{hash}"))
        .collect();
    if let Some(first) = without_text.first() {
        note(&format!(
            "{} policies gave verdicts in versions that are not at hand here, for example {first}: their verdicts cannot \
             be judged anew; name the folder with --policies",
            without_text.len()
        ));
    }
    let entries: Vec<Value> = proofs.entries.into_values().collect();
    let manifest = Manifest {
        format: FORMAT.into(),
        framework: report.framework.clone(),
        as_of: report.as_of.clone(),
        project: report.project.clone(),
        tenant: entries
            .first()
            .and_then(|entry| entry["record"]["metadata"]["tenant_uid"].as_str())
            .map(str::to_owned),
        made_at: String::new(),
        made_by: format!("weir {}", env!("CARGO_PKG_VERSION")),
        verdicts: report.verdicts.len() as u64,
        entries: entries.len() as u64,
        unproven: Vec::new(),
        policies_without_text: without_text.into_iter().collect(),
        files: Vec::new(),
    };
    let mut files = Files::default();
    let posture =
        json!({"resources": report.resources, "posture": report.posture, "controls": report.controls});
    files.add(POSTURE, serde_json::to_vec(&posture)?);
    files.add_lines(VERDICTS, &report.verdicts)?;
    files.add_lines(WAIVERS, &report.waivers)?;
    files.add_lines(ENTRIES, &entries)?;
    let checkpoints: Vec<LogCheckpoint> =
        proofs.checkpoints.into_iter().map(|((log, _), note)| LogCheckpoint { log, note }).collect();
    files.add_lines(CHECKPOINTS, &checkpoints)?;
    files.add_lines(POLICIES, &texts)?;
    files.add(KEYS, (keys.join("\n") + "\n").into_bytes());
    files.add(REPORT, super::report::page(report).into_bytes());
    Ok((files, manifest))
}

/// Entries of the audit log with their proofs.
#[derive(Debug, Default)]
struct Proofs {
    /// By event.
    entries: BTreeMap<Uuid, Value>,
    /// By log and size.
    checkpoints: BTreeMap<(String, u64), String>,
    missing: BTreeSet<Uuid>,
}

impl Proofs {
    /// Asks for the proofs of events, and waits a while for those that the log does not have yet.
    async fn collect(&mut self, api: &Api, events: BTreeSet<Uuid>) -> anyhow::Result<()> {
        self.missing = events;
        for attempt in 1..=TRIES {
            let wanted: Vec<Uuid> = std::mem::take(&mut self.missing).into_iter().collect();
            for some in wanted.chunks(AT_ONCE) {
                self.ask(api, some).await?;
            }
            if self.missing.is_empty() {
                break;
            }
            if attempt == 1 {
                note(&format!("waiting for the audit log to prove {} events", self.missing.len()));
            }
            if attempt < TRIES {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Asks until no event is left; those without a signed proof are missing.
    async fn ask(&mut self, api: &Api, events: &[Uuid]) -> anyhow::Result<()> {
        let mut wanted = events.to_vec();
        while !wanted.is_empty() {
            let ids = wanted.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",");
            let mut answer = api.get_patiently("/api/v1/audit/proofs", &[("events", &ids)]).await?;
            let Value::Array(items) = answer["items"].take() else {
                bail!("the query API answered without proofs; is it a Weir of this version?")
            };
            let found = items.len();
            for item in items {
                self.take(item)?;
            }
            let ids = |member: &Value| -> Vec<Uuid> {
                let ids = member.as_array().into_iter().flatten();
                ids.filter_map(|id| id.as_str()?.parse().ok()).collect()
            };
            self.missing.extend(ids(&answer["missing"]));
            wanted = ids(&answer["left"]);
            ensure!(wanted.is_empty() || found > 0, "the query API answers none of the proofs asked for");
        }
        Ok(())
    }

    fn take(&mut self, mut item: Value) -> anyhow::Result<()> {
        let id = item["record"]["metadata"]["uid"].as_str().and_then(|id| id.parse().ok());
        let id = id.context("an entry of the audit log names no event")?;
        let Value::String(note) = item["checkpoint"].take() else {
            self.missing.insert(id);
            return Ok(());
        };
        let size = SignedCheckpoint::parse(&note).context("the checkpoint of a proof")?.checkpoint.size;
        let log = item["log"].as_str().context("a proof names no log")?.to_owned();
        // The note stands once for all entries that lead to it.
        if let Some(item) = item.as_object_mut() {
            item.remove("checkpoint");
        }
        if let Some(integrity) =
            item.pointer_mut("/record/unmapped/record_integrity").and_then(Value::as_object_mut)
        {
            integrity.remove("checkpoint");
        }
        self.checkpoints.insert((log, size), note);
        self.entries.insert(id, item);
        Ok(())
    }
}
