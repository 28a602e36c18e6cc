//! Claims of a packet, checked against what its entries prove: without a server, and without believing whoever made
//! it.
//!
//! An entry is proven by its path to a checkpoint that a key of the log has signed. A verdict is judged anew:
//! the event is restored from the proven record, and the policy whose text has the verdict's hash judges it
//! again. A waiver is derived anew from the proven records of its steps.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::Arc,
    thread,
};

use audit_log::{
    checkpoint::Checkpoint,
    keys::PublicKey,
    verify::{ProofFile, Trust},
};
use policies::{Config, Held, InForce, PolicySet};
use processors::{
    Processor as _,
    audit::{NotRestorable, restore},
    compliance::Compliance,
};
use projections::compliance::Waiver;
use schemas::{
    Timestamp,
    changes::{
        ComplianceChange,
        compliance::{Observation, VerdictFact, VerdictStatus},
    },
};
use serde::Serialize;
use sinks::read_models::compliance::read::{VerdictItem, WaiverItem};
use uuid::Uuid;

use super::packet::{
    CHECKPOINTS, ENTRIES, Fault, FaultKind, LogCheckpoint, MANIFEST, Manifest, POLICIES, Packet, PolicyText,
    VERDICTS, WAIVERS,
};

/// Most faults that are named; all are counted.
const MAX_FAULTS: usize = 1_000;

/// Result of a verification.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) ok: bool,
    pub(crate) framework: Option<String>,
    pub(crate) as_of: Option<String>,
    pub(crate) tenant: Option<String>,
    /// SHA-256 of the manifest: the one that was told when the packet was made.
    pub(crate) manifest_sha256: Option<String>,
    pub(crate) verdicts: u64,
    /// Entries of the audit log that are proven to be part of it.
    pub(crate) entries_proven: u64,
    /// Verdicts that the policies gave again.
    pub(crate) judged_again: u64,
    /// Verdicts whose event is proven and that could not be judged anew, by reason.
    pub(crate) not_judged_again: BTreeMap<&'static str, u64>,
    /// Verdicts under a waiver whose steps are proven.
    pub(crate) waived: u64,
    /// Events without a proof, which the packet itself names.
    pub(crate) unproven: u64,
    pub(crate) faults_total: u64,
    /// The first 1,000, in the order of files and lines.
    pub(crate) faults: Vec<Fault>,
}

impl Report {
    pub(crate) fn of_faults(faults: Vec<Fault>) -> Self {
        let mut report = Self::default();
        for fault in faults {
            report.fault(fault);
        }
        report
    }

    fn fault(&mut self, fault: Fault) {
        self.faults_total += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }
}

/// Whether events without a proof are faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unproven {
    Refused,
    Allowed,
}

/// Checks a packet whose digests are right.
pub(crate) fn check(packet: &Packet, keys: Vec<PublicKey>, unproven: Unproven) -> Report {
    let manifest = &packet.manifest;
    let mut report = Report {
        framework: Some(manifest.framework.clone()),
        as_of: Some(manifest.as_of.clone()),
        tenant: manifest.tenant.clone(),
        manifest_sha256: Some(packet.manifest_sha256.clone()),
        ..Report::default()
    };
    if let Err(fault) = checked(packet, keys, unproven, &mut report) {
        report.fault(fault);
    }
    report.ok = report.faults_total == 0;
    report
}

fn checked(
    packet: &Packet,
    keys: Vec<PublicKey>,
    unproven: Unproven,
    report: &mut Report,
) -> Result<(), Fault> {
    let (files, manifest) = (&packet.files, &packet.manifest);
    let as_of: Timestamp = manifest
        .as_of
        .parse()
        .map_err(|_| Fault::new(FaultKind::Manifest, MANIFEST, "as_of is no instant"))?;
    let texts: Vec<PolicyText> = files.lines(POLICIES)?;
    let texts = texts.iter().map(|one| (one.name.as_str(), one.text.as_str()));
    let policies = InForce::new(PolicySet::load(texts, Config::default()));
    let proving = Proving {
        checkpoints: checkpoints(files.lines(CHECKPOINTS)?, keys, report),
        compliance: Compliance::new(policies.clone()),
        tenant: manifest.tenant.as_deref(),
    };
    let entries: Vec<ProofFile> = files.lines(ENTRIES)?;
    let mut events = HashMap::new();
    for (place, proven) in proving.all(&entries).into_iter().enumerate() {
        match proven {
            Ok((id, event)) => drop(events.insert(id, event)),
            Err(detail) => {
                report.fault(Fault::new(FaultKind::Entry, format!("{ENTRIES}:{}", place + 1), detail));
            }
        }
    }
    report.entries_proven = events.len() as u64;
    report.unproven = manifest.unproven.len() as u64;
    if unproven == Unproven::Refused {
        for event in &manifest.unproven {
            let detail = "the audit log had no proof for this event when the packet was made";
            report.fault(Fault::new(FaultKind::Unproven, event.to_string(), detail));
        }
    }
    let waivers: Vec<WaiverItem> = files.lines(WAIVERS)?;
    let waivers: HashMap<&str, (usize, &WaiverItem)> =
        waivers.iter().enumerate().map(|(place, item)| (item.waiver.as_str(), (place + 1, item))).collect();
    let verdicts: Vec<VerdictItem> = files.lines(VERDICTS)?;
    report.verdicts = verdicts.len() as u64;
    if (report.verdicts, entries.len() as u64) != (manifest.verdicts, manifest.entries) {
        return Err(Fault::new(
            FaultKind::Manifest,
            MANIFEST,
            "it counts other verdicts or entries than there are",
        ));
    }
    let unproven_verdicts = unproven;
    let (policies, unproven) = (policies.current(), manifest.unproven.as_slice());
    let mut judging = Judging { events, policies, waivers, derived: HashMap::new(), as_of, unproven };
    for (place, verdict) in verdicts.iter().enumerate() {
        let place = format!("{VERDICTS}:{}", place + 1);
        match judging.verdict(verdict) {
            Ok(None) => report.judged_again += 1,
            Ok(Some(reason)) => {
                *report.not_judged_again.entry(reason).or_default() += 1;
                if let (NO_TEXT, Some(fault)) = (reason, without_text(manifest, verdict, unproven_verdicts)) {
                    report.fault(Fault::new(fault.0, &place, fault.1));
                }
            }
            Err(detail) => report.fault(Fault::new(FaultKind::Verdict, &place, detail)),
        }
        match judging.waiver_of(verdict) {
            Ok(false) => {}
            Ok(true) => report.waived += 1,
            Err(detail) => report.fault(Fault::new(FaultKind::Waiver, &place, detail)),
        }
    }
    Ok(())
}

/// Checkpoints whose signatures hold, by log and size.
fn checkpoints(
    listed: Vec<LogCheckpoint>,
    keys: Vec<PublicKey>,
    report: &mut Report,
) -> HashMap<(String, u64), Checkpoint> {
    let trust = Trust { keys, witnesses: Vec::new() };
    let mut opened = HashMap::new();
    for (place, LogCheckpoint { log, note }) in listed.into_iter().enumerate() {
        match trust.open(&log, &note) {
            Ok(checkpoint) => drop(opened.insert((log, checkpoint.size), checkpoint)),
            Err(error) => {
                let detail = format!("the checkpoint of {log} cannot be trusted: {error}");
                report.fault(Fault::new(
                    FaultKind::Checkpoint,
                    format!("{CHECKPOINTS}:{}", place + 1),
                    detail,
                ));
            }
        }
    }
    opened
}

/// A proven event.
struct Event {
    log: String,
    occurred_at: Option<Timestamp>,
    /// Facts of compliance in it, or the reason why they are not known.
    changes: Result<Vec<ComplianceChange>, &'static str>,
}

/// Proves entries.
struct Proving<'a> {
    checkpoints: HashMap<(String, u64), Checkpoint>,
    compliance: Compliance,
    tenant: Option<&'a str>,
}

impl Proving<'_> {
    /// Proves each entry, on all processors.
    fn all(&self, entries: &[ProofFile]) -> Vec<Result<(Uuid, Event), String>> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let share = entries.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let prove = |share| scope.spawn(move || entries_of(self, share));
            let started: Vec<_> = entries.chunks(share).map(prove).collect();
            let ended = started.into_iter().map(|thread| thread.join().expect("proving does not panic"));
            ended.flatten().collect()
        })
    }

    fn event(&self, entry: &ProofFile) -> Result<(Uuid, Event), String> {
        let checkpoint = self.checkpoints.get(&(entry.log.clone(), entry.size));
        let checkpoint = checkpoint.ok_or_else(|| {
            format!("there is no trusted checkpoint of {} of size {}", entry.log, entry.size)
        })?;
        if entry.check_under(checkpoint).is_some() {
            return Err(format!("it is not entry {} of {}, whose proof it names", entry.index, entry.log));
        }
        let metadata = &entry.record["metadata"];
        if metadata["tenant_uid"].as_str() != self.tenant {
            return Err("it is another tenant's than the packet says".into());
        }
        let id = metadata["uid"].as_str().and_then(|id| id.parse().ok()).ok_or("it names no event")?;
        let (occurred_at, changes) = match restore(&entry.record) {
            Ok(envelope) => (Some(envelope.occurred_at), Ok(self.compliance.process(&envelope))),
            Err(NotRestorable::Erased) => (None, Err("the event's personal part was erased")),
            Err(NotRestorable::Family(_) | NotRestorable::Malformed(_)) => {
                (None, Err("the event cannot be restored from its record"))
            }
        };
        Ok((id, Event { log: entry.log.clone(), occurred_at, changes }))
    }
}

fn entries_of(proving: &Proving<'_>, entries: &[ProofFile]) -> Vec<Result<(Uuid, Event), String>> {
    entries.iter().map(|entry| proving.event(entry)).collect()
}

/// The reason for which a verdict is not judged again whose policy is not in the packet.
const NO_TEXT: &str = "the packet has no text of the policy in that version";

/// The fault of a verdict whose policy the packet lacks: nothing follows from the log, and whoever changes a verdict
/// may name another version.
fn without_text(
    manifest: &Manifest,
    verdict: &VerdictItem,
    unproven: Unproven,
) -> Option<(FaultKind, String)> {
    let version = format!("{}@{}", verdict.policy_id, verdict.policy_hash);
    if !manifest.policies_without_text.contains(&version) {
        let detail = format!("the packet has no text of the policy {version}, and does not say so");
        return Some((FaultKind::Verdict, detail));
    }
    let detail = format!(
        "the packet has no text of the policy {version}, so that nobody can judge again; --allow-unproven takes the verdict"
    );
    (unproven == Unproven::Refused).then_some((FaultKind::Unproven, detail))
}

/// Verdicts and waivers against proven events.
struct Judging<'a> {
    events: HashMap<Uuid, Event>,
    policies: Arc<Held>,
    waivers: HashMap<&'a str, (usize, &'a WaiverItem)>,
    derived: HashMap<&'a str, Result<Waiver, String>>,
    as_of: Timestamp,
    unproven: &'a [Uuid],
}

impl<'a> Judging<'a> {
    /// `None` where the policy gave the verdict again, or the reason why it could not be asked.
    fn verdict(&self, verdict: &VerdictItem) -> Result<Option<&'static str>, String> {
        if verdict.observed_at > self.as_of {
            return Err("the resource became so after the packet's instant".into());
        }
        if self.unproven.contains(&verdict.event_id) {
            return Ok(Some("the audit log had no proof for the event"));
        }
        let event = self.events.get(&verdict.event_id);
        let event =
            event.ok_or_else(|| format!("there is no proven entry of its event {}", verdict.event_id))?;
        if event.log != format!("{}/{}", verdict.topic, verdict.partition) {
            return Err(format!("its event stands in {}, not where the verdict says", event.log));
        }
        let changes = match &event.changes {
            Ok(changes) => changes,
            Err(reason) => return Ok(Some(reason)),
        };
        let observed = changes.iter().find_map(|change| match change {
            ComplianceChange::Observation(one) if one.resource == verdict.resource => Some(one),
            _ => None,
        });
        let observed = observed.ok_or("its event does not show the resource")?;
        check_circumstances(verdict, observed, event.occurred_at)?;
        let in_packet = self.policies.set().find(&verdict.policy_id);
        if in_packet.is_none_or(|policy| policy.hash != verdict.policy_hash) {
            return Ok(Some(NO_TEXT));
        }
        let again = observed.verdicts.iter().find(|fact| fact.policy.id == verdict.policy_id);
        let again = again.ok_or("the policy does not judge the resource")?;
        let undecided = [verdict.status, again.status].contains(&VerdictStatus::Error);
        if undecided && verdict.status != again.status {
            // A policy that is cut off may have been so for want of processor time.
            return Ok(Some("the policy was cut off"));
        }
        check_answer(verdict, again)?;
        Ok(None)
    }

    /// Whether the verdict is under a waiver, whose steps are proven.
    fn waiver_of(&mut self, verdict: &VerdictItem) -> Result<bool, String> {
        let Some(name) = verdict.waiver.as_deref() else { return Ok(false) };
        let (place, item) =
            *self.waivers.get(name).ok_or_else(|| format!("the packet has no waiver {name:?}"))?;
        let derived = if let Some(derived) = self.derived.get(item.waiver.as_str()) {
            derived.clone()
        } else {
            let derived = self.derive(item);
            self.derived.insert(&item.waiver, derived.clone());
            derived
        };
        let of_it = |why: String| format!("{WAIVERS}:{place}: {why}");
        let waiver = derived.map_err(of_it)?;
        let terms = waiver.terms.as_ref().ok_or_else(|| of_it("it has no terms".into()))?;
        if !terms.resources.contains(&verdict.resource) || !terms.policies.contains(&verdict.policy_id) {
            return Err(of_it("it does not name the resource and the policy".into()));
        }
        let began = waiver.granted.as_ref().is_some_and(|(_, at)| *at <= self.as_of);
        if !began || waiver.ends_at.is_none_or(|ends_at| ends_at <= self.as_of) {
            return Err(of_it("it does not hold at the packet's instant".into()));
        }
        if verdict.waived_until != Some(terms.expires_at) || item.expires_at != Some(terms.expires_at) {
            return Err(of_it("it ends at another time than the packet says".into()));
        }
        Ok(true)
    }

    /// The waiver that follows from the proven entries of its steps.
    fn derive(&self, item: &'a WaiverItem) -> Result<Waiver, String> {
        let mut facts = Vec::new();
        for id in &item.events {
            let event =
                self.events.get(id).ok_or_else(|| format!("there is no proven entry of its event {id}"))?;
            let changes = event.changes.as_ref().map_err(|reason| (*reason).to_owned())?;
            facts.extend(changes.iter().filter_map(|change| match change {
                ComplianceChange::Waiver(fact) if fact.waiver == item.waiver => Some((**fact).clone()),
                _ => None,
            }));
        }
        let waiver = projections::compliance::waiver(&facts);
        let who = |step: &Option<(String, Timestamp)>| step.as_ref().map(|(who, _)| who.clone());
        let told = (&item.requested_by, &item.granted_by, &item.reason);
        if told != (&who(&waiver.requested), &who(&waiver.granted), &waiver.reason) {
            return Err("its steps tell of other people or reasons".into());
        }
        Ok(waiver)
    }
}

fn check_circumstances(
    verdict: &VerdictItem,
    observed: &Observation,
    occurred_at: Option<Timestamp>,
) -> Result<(), String> {
    let is_then = match &observed.change_id {
        // It counts from when the change was applied.
        Some(_) => occurred_at.is_some_and(|at| at <= verdict.observed_at),
        None => occurred_at == Some(verdict.observed_at),
    };
    let of = (&observed.attributes.kind, &observed.attributes.project);
    if is_then && of == (&verdict.resource_type, &verdict.project) {
        Ok(())
    } else {
        Err("its event tells another time, type or project of the resource".into())
    }
}

fn check_answer(verdict: &VerdictItem, again: &VerdictFact) -> Result<(), String> {
    if (again.status, &again.reasons) != (verdict.status, &verdict.reasons) {
        return Err(format!(
            "the policy {} answers {} to its event, not {}, or with other reasons",
            verdict.policy_id,
            again.status.name(),
            verdict.status.name()
        ));
    }
    let policy = &again.policy;
    let told = (&policy.title, policy.severity, &policy.remediation, &policy.controls);
    if told == (&verdict.title, verdict.severity, &verdict.remediation, &verdict.controls) {
        Ok(())
    } else {
        Err(format!("the policy {} has another title, severity, remediation or controls", verdict.policy_id))
    }
}
