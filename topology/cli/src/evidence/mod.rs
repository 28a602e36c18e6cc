//! `weir evidence`: packets of evidence, checked by whoever was handed one.

pub(super) mod check;
pub(super) mod packet;
#[cfg(test)]
mod tests;

use std::{fs, path::PathBuf};

use anyhow::{Context, bail, ensure};
use audit_log::keys::{PublicKey, Purpose};
use clap::{Args, Subcommand};

use self::{
    check::{Report, Unproven},
    packet::{Fault, FaultKind, KEYS, MAX_PACKET_BYTES, Packet},
};
use super::{
    Outcome,
    output::{self, Format, note},
    place,
    verify::given_keys,
};

/// Most faults that are printed for people.
const MAX_PRINTED: usize = 20;

/// Arguments of `weir evidence`.
#[derive(Debug, Args)]
pub(super) struct EvidenceArgs {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Check a packet: digests, proofs, checkpoints; and judge its verdicts anew. Exit 1 if anything is
    /// wrong, 2 if the packet cannot be read.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The packet, as `weir compliance evidence` writes it.
    packet: PathBuf,
    /// The deployment's public key, or a file of such keys; by default the packet's own.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// The manifest's SHA-256, as it was told when the packet was made.
    #[arg(long, value_name = "SHA256")]
    manifest: Option<String>,
    /// Take verdicts whose events the audit log had no proof for, or whose policies the packet has no text of.
    #[arg(long)]
    allow_unproven: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Verifies, and says what it found.
pub(super) fn evidence(args: &EvidenceArgs) -> anyhow::Result<Outcome> {
    let EvidenceCommand::Verify(args) = &args.command;
    match verified(args) {
        Ok(report) => {
            print(&report, args)?;
            Ok(if report.ok { Outcome::Done } else { Outcome::No })
        }
        Err(error) => {
            output::complain(&error);
            Ok(Outcome::Usage)
        }
    }
}

fn verified(args: &VerifyArgs) -> anyhow::Result<Report> {
    let shown = args.packet.display();
    let metadata = fs::metadata(&args.packet).with_context(|| format!("{shown} cannot be read"))?;
    ensure!(metadata.is_file(), "{shown} is no file; name the packet that `weir compliance evidence` wrote");
    ensure!(metadata.len() <= MAX_PACKET_BYTES, "{shown} has more than {MAX_PACKET_BYTES} bytes");
    let given = given_keys(&args.key, Purpose::Log)?;
    let bytes = fs::read(&args.packet).with_context(|| format!("{shown} cannot be read"))?;
    if !packet::is_packet(&bytes) {
        bail!("{shown} is no evidence packet; `weir compliance evidence` writes them");
    }
    let unproven = if args.allow_unproven { Unproven::Allowed } else { Unproven::Refused };
    Ok(match packet::unpack(&bytes) {
        Ok(packet) => {
            match pinned(&packet, args.manifest.as_deref()).and_then(|()| keys_of(&packet, given)) {
                Ok(keys) => check::check(&packet, keys, unproven),
                Err(fault) => Report::of_faults(vec![fault]),
            }
        }
        Err(faults) => Report::of_faults(faults),
    })
}

fn pinned(packet: &Packet, known: Option<&str>) -> Result<(), Fault> {
    match known {
        Some(known) if !known.trim().eq_ignore_ascii_case(&packet.manifest_sha256) => {
            let detail = format!("its SHA-256 is {}: this is another packet", packet.manifest_sha256);
            Err(Fault::new(FaultKind::Manifest, packet::MANIFEST, detail))
        }
        _ => Ok(()),
    }
}

/// The keys that are given, or else the packet's own.
fn keys_of(packet: &Packet, given: Vec<PublicKey>) -> Result<Vec<PublicKey>, Fault> {
    if !given.is_empty() {
        return Ok(given);
    }
    let text = String::from_utf8_lossy(packet.files.bytes(KEYS)).into_owned();
    place::public_keys(&text, Purpose::Log)
        .map_err(|error| Fault::new(FaultKind::Content, KEYS, format!("{error:#}")))
}

fn print(report: &Report, args: &VerifyArgs) -> anyhow::Result<()> {
    if args.output != Format::Table {
        return output::json(report);
    }
    for fault in report.faults.iter().take(MAX_PRINTED) {
        output::line(&format!("{}: {}", fault.place, fault.detail));
    }
    let more = report.faults_total.saturating_sub(MAX_PRINTED as u64);
    if more > 0 {
        output::line(&format!("and {more} more faults; --output json names the first 1,000"));
    }
    if let (Some(framework), Some(as_of)) = (&report.framework, &report.as_of) {
        let not_again: u64 = report.not_judged_again.values().sum();
        output::line(&format!(
            "{framework} as of {as_of}: {} verdicts ({} judged again, {not_again} not, {} waived), {} entries proven",
            report.verdicts, report.judged_again, report.waived, report.entries_proven
        ));
        for (reason, count) in &report.not_judged_again {
            note(&format!("{count} verdicts were not judged again: {reason}"));
        }
    }
    output::line(match (report.ok, report.not_judged_again.is_empty()) {
        (true, true) => "the packet is as it was made, and its verdicts follow from the log",
        (true, false) => {
            "the packet is as it was made, and those of its verdicts that were judged again follow from the log"
        }
        (false, _) => "the packet cannot be relied on",
    });
    if report.ok && args.key.is_empty() {
        note(
            "the log's keys are the packet's own: compare log-keys.txt with what the deployment publishes, or use --key",
        );
    }
    Ok(())
}
