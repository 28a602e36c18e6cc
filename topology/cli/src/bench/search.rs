//! `weir bench search`: how long a search of the audit log takes, for terms that are common, rare and absent.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use clap::Args;
use schemas::TenantId;
use serde::Serialize;
use sinks::{
    made_up_log::{self, TENANTS},
    postgres::PgPool,
    read_models::{
        audit_entry::read::{self, AuditFilter, Detail, PageRequest},
        reader_pool,
    },
};
use stack::{Stack, StackConfig};

use crate::{
    Outcome,
    output::{self, Format, note},
};

/// Arguments of `weir bench search`.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// Rows of the log: of 20 tenants, over 12 months.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    rows: u64,
    /// Number of times that each query is run, for one tenant after the other.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// A database to fill; one that a run before this has filled is searched as it is, so that its entries
    /// are made once. By default one on a server of its own, which goes with the run.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Serialize)]
struct Report {
    rows: u64,
    runs: Vec<Run>,
}

/// One filter with one kind of term.
#[derive(Debug, Serialize)]
struct Run {
    filter: &'static str,
    kind: &'static str,
    p50_ms: f64,
    p95_ms: f64,
    /// Answers that were only a part, because the time for a search was over.
    partial: u32,
    /// Entries found, on all pages asked for.
    found: usize,
}

/// Fills a log, and asks.
pub(super) async fn search(args: &SearchArgs) -> anyhow::Result<Outcome> {
    let mut stack = None;
    let url = if let Some(url) = &args.database {
        url.clone()
    } else {
        let home = StackConfig::shared()?.home.join(format!("bench-{}", std::process::id()));
        let config = StackConfig::private(&home)?.with_kafka("unused:0".to_owned()).with_notice(note);
        let endpoints = stack.insert(Stack::new(config).tethered()).up().await?;
        sinks::postgres::create_database(&endpoints.maintenance_url, "search").await?
    };
    sinks::postgres::migrate(&url).await?;
    let rows = if let Some(rows) = made_up_log::filled(&url).await? {
        note(&format!("searching the {rows} entries that the database holds"));
        rows
    } else {
        made_up_log::fill(&url, args.rows, Utc::now().date_naive(), note).await?;
        args.rows
    };
    let pool = reader_pool(&url, 1)?;
    let mut runs = Vec::new();
    for (filter, kind, ask) in questions() {
        runs.push(measure(&pool, args.rounds, (filter, kind), &ask).await?);
    }
    print(&Report { rows, runs }, args.output)?;
    drop(stack);
    Ok(Outcome::Done)
}

/// A filter by the number of the tenant that is asked.
type Ask = Box<dyn Fn(u64) -> AuditFilter>;

/// Each filter, with a term that is common, rare and absent.
fn questions() -> Vec<(&'static str, &'static str, Ask)> {
    fn of(change: impl Fn(&mut AuditFilter, u64) + 'static) -> Ask {
        Box::new(move |tenant| {
            let mut filter = AuditFilter::default();
            change(&mut filter, tenant);
            filter
        })
    }
    let text = |text: &str| Some(text.to_owned());
    vec![
        ("action", "common", of(move |f, _| f.action = text("GetObject"))),
        ("action", "rare", of(move |f, _| f.action = text("DeleteTrail"))),
        ("action", "absent", of(move |f, _| f.action = text("NothingLikeIt"))),
        ("actor", "common", of(move |f, _| f.actor = text("user1"))),
        ("actor", "rare", of(move |f, _| f.actor = text("visitor"))),
        ("actor", "absent", of(move |f, _| f.actor = text("nobody"))),
        ("resource", "common", of(move |f, _| f.resource = text("arn:aws:s3:::bucket-1"))),
        ("resource", "rare", of(move |f, _| f.resource = text("arn:aws:s3:::secret"))),
        ("resource", "absent", of(move |f, _| f.resource = text("arn:aws:s3:::nowhere"))),
        ("address", "common", of(move |f, _| f.address = text("10.0.0.1"))),
        ("address", "rare", of(move |f, _| f.address = text("203.0.113.7"))),
        ("address", "absent", of(move |f, _| f.address = text("198.51.100.1"))),
        ("source", "common", of(move |f, _| f.source = text("/aws/cloudtrail/1"))),
        ("source", "rare", of(move |f, _| f.source = text("/aws/elsewhere"))),
        ("source", "absent", of(move |f, _| f.source = text("/gcp"))),
        ("correlation", "rare", of(|f, tenant| f.correlation = Some(format!("run-{tenant}")))),
        ("correlation", "absent", of(move |f, _| f.correlation = text("run-of-nobody"))),
        ("text", "common", of(move |f, _| f.text = text("getobj"))),
        ("text", "rare", of(move |f, _| f.text = text("etetrai"))),
        ("text", "absent", of(move |f, _| f.text = text("nothinglikeit"))),
    ]
}

async fn measure(
    pool: &PgPool,
    rounds: u32,
    (filter, kind): (&'static str, &'static str),
    ask: &Ask,
) -> anyhow::Result<Run> {
    let (mut took, mut partial, mut found) = (Vec::new(), 0, 0);
    for round in 0..u64::from(rounds) {
        let number = round % TENANTS;
        let tenant = TenantId::new(&format!("t{number}")).context("the bench's own tenants")?;
        let request = PageRequest { filter: ask(number), after: None, limit: 50, detail: Detail::Columns };
        let began = Instant::now();
        let page = read::page(pool, &tenant, &request).await?;
        took.push(began.elapsed());
        partial += u32::from(page.reached.is_some());
        found += page.items.len();
    }
    took.sort();
    let at = |share: usize| took.get((took.len() * share).div_ceil(100).saturating_sub(1)).copied();
    let millis = |time: Option<Duration>| time.map_or(0.0, |time| (time.as_secs_f64() * 1e4).round() / 10.0);
    Ok(Run { filter, kind, p50_ms: millis(at(50)), p95_ms: millis(at(95)), partial, found })
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table = output::table(&["filter", "kind", "p50 ms", "p95 ms", "partial", "found"]);
    for run in &report.runs {
        table.add_row([
            run.filter.to_owned(),
            run.kind.to_owned(),
            run.p50_ms.to_string(),
            run.p95_ms.to_string(),
            run.partial.to_string(),
            run.found.to_string(),
        ]);
    }
    output::print_table(&table, "nothing was measured");
    Ok(())
}
