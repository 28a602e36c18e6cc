//! `weir rules scan`: what rules find in files of records.

use std::{ops::ControlFlow, path::PathBuf};

use anyhow::bail;
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use processors::risk::{
    is_undecided,
    sigma::{Hit, Json, SigmaEngine},
};
use producers::{
    import::{self, FileRecord, Rejection},
    sources::SourceFormat,
};
use schemas::{Envelope, TenantId};
use serde::Serialize;

use super::{WhichRules, formats, load::warn_about};
use crate::{
    Outcome,
    output::{self, note},
    up::LOCAL_TENANT,
};

/// Arguments of `weir rules scan`.
#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    #[command(flatten)]
    rules: WhichRules,
    /// Format of the records.
    #[arg(long, value_parser = scanned_format())]
    format: SourceFormat,
    /// Files (arrays, lists, a record a line; also gzipped), and folders that are read to every depth.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Tenant of the records; derived event ids differ between tenants.
    #[arg(long, default_value = LOCAL_TENANT)]
    tenant: String,
    #[arg(long, value_enum, default_value_t = HitFormat::Table)]
    output: HitFormat,
}

/// Hits are written as they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HitFormat {
    /// For people, a line a hit.
    Table,
    /// One JSON document a hit.
    Ndjson,
}

/// The formats that rules are written for.
fn scanned_format() -> impl TypedValueParser<Value = SourceFormat> {
    let scanned = || SourceFormat::ALL.iter().copied().filter(|format| format.is_scanned());
    PossibleValuesParser::new(scanned().map(SourceFormat::name)).map(move |name| {
        scanned().find(|format| format.name() == name).expect("one of the values that are possible")
    })
}

#[derive(Serialize)]
struct HitLine<'a> {
    rule_id: &'a str,
    title: &'a str,
    level: &'a str,
    author: Option<&'a str>,
    rule_file: &'a str,
    file: &'a str,
    record: u64,
    event_id: String,
}

pub(super) fn scan(args: ScanArgs) -> anyhow::Result<Outcome> {
    let set = args.rules.read()?;
    let (engine, problems) = set.engine();
    warn_about(&problems);
    if !formats(&engine).contains(&args.format.name()) {
        bail!("no usable rule reads {}; `weir rules list` shows what each reads", args.format.name());
    }
    if !engine.correlations().is_empty() {
        let count = engine.correlations().len();
        note(&format!("{count} correlation rules look at many events; they run in the stage, not in a scan"));
    }
    let mut scan = Scan {
        engine,
        format: args.format,
        output: args.output,
        records: 0,
        hits: 0,
        unrecognised: 0,
        rejected: 0,
    };
    let tenant = TenantId::new(&args.tenant)?;
    let mut failed = None;
    import::records(args.paths, args.format, &tenant, |found| match scan.take(found) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    note(&format!("{} records, {} hits, {} not readable", scan.records, scan.hits, scan.rejected));
    if scan.unrecognised > 0 {
        note(&format!(
            "{} of the records do not look like {}: rules may not find in them what they look for",
            scan.unrecognised,
            scan.format.record()
        ));
    }
    if scan.records == 0 && scan.rejected == 0 {
        note("nothing was scanned: no file holds a record of that format");
    }
    // "0 hits" over records that were not understood is no answer.
    let understood = scan.hits > 0 || scan.unrecognised == 0;
    Ok(if scan.rejected == 0 && scan.records > 0 && understood { Outcome::Done } else { Outcome::No })
}

struct Scan {
    engine: SigmaEngine,
    format: SourceFormat,
    output: HitFormat,
    records: u64,
    hits: u64,
    unrecognised: u64,
    rejected: u64,
}

impl Scan {
    fn take(&mut self, found: FileRecord<'_>) -> anyhow::Result<()> {
        match found {
            FileRecord::Record { file, index, envelope } => self.evaluate(file, index, &envelope),
            FileRecord::Rejected(rejection) => {
                self.reject(&rejection.file, rejection.record, &rejection.reason);
                Ok(())
            }
            FileRecord::Skipped(Rejection { file, reason, .. }) => {
                note(&format!("skipped {file}: {reason}"));
                Ok(())
            }
        }
    }

    fn evaluate(&mut self, file: &str, record: u64, envelope: &Envelope) -> anyhow::Result<()> {
        let native = envelope.native.as_ref().map_or("", |native| &*native.record);
        let content = Json::read(native).unwrap_or(Json::Null);
        let hits = match self.engine.evaluate(self.format.name(), native) {
            Ok(_) if is_undecided(self.format.name(), &content) => Vec::new(),
            Ok(hits) => hits,
            Err(error) => {
                let reason = anyhow::Error::new(error);
                self.reject(file, Some(record), &format!("{reason:#}"));
                return Ok(());
            }
        };
        // Rules that only correlations want find nothing by themselves.
        let hits: Vec<_> = hits.into_iter().filter(|hit| hit.rule.generates).collect();
        self.records += 1;
        self.unrecognised += u64::from(!self.format.is_recognised(native));
        self.hits += hits.len() as u64;
        hits.iter().try_for_each(|hit| print(hit, (file, record), envelope, self.output))
    }

    fn reject(&mut self, file: &str, record: Option<u64>, reason: &str) {
        self.rejected += 1;
        let record = record.map(|record| format!(" record {record}")).unwrap_or_default();
        note(&format!("{file}{record}: {reason}"));
    }
}

fn print(
    hit: &Hit<'_>,
    (file, record): (&str, u64),
    envelope: &Envelope,
    output: HitFormat,
) -> anyhow::Result<()> {
    let rule = hit.rule;
    if output == HitFormat::Ndjson {
        return output::json(&HitLine {
            rule_id: &rule.id,
            title: &rule.title,
            level: rule.level.name(),
            author: rule.author.as_deref(),
            rule_file: &rule.file,
            file,
            record,
            event_id: envelope.id.to_string(),
        });
    }
    let author = rule.author.as_deref().map(|author| format!(", by {author}")).unwrap_or_default();
    let place = format!("{file} record {record}");
    output::line(&format!("{:<13}  {place}  {}{author} ({})", rule.level.name(), rule.title, rule.id));
    Ok(())
}
