//! `weir query risk` and `weir query incidents`.

use clap::{Args, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Api, print, printable};
use crate::output::{self, Format};

/// Newest signals that are printed with an entity.
const FEW_SIGNALS: usize = 10;

/// Arguments of `weir query risk`.
#[derive(Debug, Args)]
pub(super) struct RiskArgs {
    /// Show one entity: its kind (user, service_account, role, host, resource, project, network_address) and its id.
    #[arg(num_args = 2, value_names = ["KIND", "ID"])]
    entity: Vec<String>,
    /// Only entities of this kind.
    #[arg(long, conflicts_with = "entity")]
    kind: Option<String>,
    /// The lowest level: low, moderate, high or critical.
    #[arg(long, conflicts_with = "entity")]
    level: Option<String>,
    /// Instant of the answer, RFC 3339; now by default.
    #[arg(long)]
    as_of: Option<String>,
    /// With an entity: its score by day or by hour.
    #[arg(long, value_enum, requires = "entity")]
    history: Option<History>,
    /// With an entity: all of its signals, newest first, up to the limit.
    #[arg(long, requires = "entity", conflicts_with_all = ["history", "as_of"])]
    signals: bool,
    /// The most entities, or signals, to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum History {
    /// The last 30 days.
    Day,
    /// The last 7 days.
    Hour,
}

/// Arguments of `weir query incidents`.
#[derive(Debug, Args)]
pub(super) struct IncidentsArgs {
    /// Show one incident, with the decisions about it.
    id: Option<String>,
    /// open, acknowledged, closed or false_positive.
    #[arg(long, conflicts_with = "id")]
    status: Option<String>,
    /// Only about entities of this kind.
    #[arg(long, conflicts_with = "id")]
    kind: Option<String>,
    /// Only about the entity with this id.
    #[arg(long, conflicts_with = "id")]
    entity: Option<String>,
    /// It went on at or after this instant, RFC 3339.
    #[arg(long, conflicts_with = "id")]
    from: Option<String>,
    /// It opened before this instant, RFC 3339.
    #[arg(long, conflicts_with = "id")]
    to: Option<String>,
    /// The most incidents to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Arguments of `weir query unusable`.
#[derive(Debug, Args)]
pub(super) struct UnusableArgs {
    /// The most events to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Asks for events that could not be used, and prints them.
pub(super) async fn unusable(api: &Api, args: &UnusableArgs) -> anyhow::Result<()> {
    let events = api.pages("/api/v1/risk/unusable", &[], args.limit).await?;
    print(&events, args.output, |events| {
        let mut table = output::table(&["at", "source", "format", "reason", "event"]);
        for event in events {
            let names = ["source", "format", "reason", "event_id"];
            let rest = names.map(|name| text(&event[name]));
            table.add_row([instant(&event["occurred_at"])].into_iter().chain(rest));
        }
        output::print_table(&table, "every event could be used");
    })
}

/// Asks for the leaderboard or one entity, and prints it.
pub(super) async fn risk(api: &Api, args: &RiskArgs) -> anyhow::Result<()> {
    let [kind, id] = args.entity.as_slice() else {
        let filters = given(&[("kind", &args.kind), ("level", &args.level), ("as_of", &args.as_of)]);
        let entities = api.pages("/api/v1/risk/entities", &filters, args.limit).await?;
        return print(&entities, args.output, leaderboard);
    };
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path = format!("/api/v1/risk/entities/{}/{}", encoded(kind), encoded(id));
    if args.signals {
        let signals = api.pages(&format!("{path}/signals"), &[], args.limit).await?;
        return print(&signals, args.output, signals_table);
    }
    let mut parameters = given(&[("as_of", &args.as_of)]);
    if args.history == Some(History::Hour) {
        parameters.push(("history", "hour"));
    }
    let answer = api.get(&path, &parameters).await?;
    let item = &answer["item"];
    match args.output {
        Format::Json | Format::Ndjson => output::json(item)?,
        Format::Table if args.history.is_some() => history(item),
        Format::Table => entity(item),
    }
    Ok(())
}

/// Asks for incidents or one of them, and prints them.
pub(super) async fn incidents(api: &Api, args: &IncidentsArgs) -> anyhow::Result<()> {
    if let Some(id) = &args.id {
        let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
        let answer = api.get(&format!("/api/v1/risk/incidents/{id}"), &[]).await?;
        match args.output {
            Format::Json | Format::Ndjson => output::json(&answer["item"])?,
            Format::Table => incident(&answer["item"]),
        }
        return Ok(());
    }
    let filters = given(&[
        ("status", &args.status),
        ("kind", &args.kind),
        ("entity", &args.entity),
        ("from", &args.from),
        ("to", &args.to),
    ]);
    let incidents = api.pages("/api/v1/risk/incidents", &filters, args.limit).await?;
    print(&incidents, args.output, incidents_table)
}

fn given<'a>(parameters: &[(&'static str, &'a Option<String>)]) -> Vec<(&'static str, &'a str)> {
    parameters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect()
}

/// A field as text: numbers as they are, lists joined.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => printable(&other.to_string()),
    }
}

/// An instant, to the second.
fn instant(value: &Value) -> String {
    let text = text(value);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

fn score(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |score| format!("{score:.2}"))
}

fn leaderboard(entities: &[Value]) {
    let mut table = output::table(&["score", "level", "kind", "entity", "signals", "last", "because"]);
    for entity in entities {
        table.add_row([
            score(&entity["score"]),
            text(&entity["level"]),
            text(&entity["kind"]),
            text(&entity["id"]),
            text(&entity["signals"]),
            instant(&entity["last_at"]),
            text(&entity["top_rules"][0]["title"]),
        ]);
    }
    output::print_table(&table, "no entity is known to be at risk");
    // History that was imported has faded long ago: say where to look.
    let newest = entities.iter().filter_map(|entity| entity["last_at"].as_str()).max();
    let faded = entities.iter().all(|entity| entity["score"].as_f64().is_some_and(|score| score < 1.0));
    if let Some(newest) = newest.filter(|_| faded) {
        output::note(&format!("all of it has faded by now; how it was then: --as-of {newest}"));
    }
}

fn entity(item: &Value) {
    output::line(&format!(
        "{} {}: score {} ({}) at {}",
        text(&item["kind"]),
        text(&item["id"]),
        score(&item["score"]),
        text(&item["level"]),
        instant(&item["as_of"]),
    ));
    if item["factor"].as_f64().is_some_and(|factor| (factor - 1.0).abs() > 1e-9) {
        output::line(&format!("its hazard counts {} times", text(&item["factor"])));
    }
    let list = |name: &str| item[name].as_array().cloned().unwrap_or_default();
    let mut table = output::table(&["score", "rule", "level", "signals", "last", "author"]);
    for rule in list("contributions") {
        let capped = if rule["capped"] == true { " (capped)" } else { "" };
        table.add_row([
            score(&rule["score"]),
            text(&rule["title"]) + capped,
            text(&rule["level"]),
            text(&rule["signals"]),
            instant(&rule["last_at"]),
            text(&rule["author"]),
        ]);
    }
    output::line("");
    output::print_table(&table, "nothing counts against it");
    let weights: Vec<Value> =
        list("weights").into_iter().filter(|weight| weight["in_force"] == true).collect();
    if !weights.is_empty() {
        let mut table = output::table(&["weight", "decision", "factor", "by", "at", "reason"]);
        for weight in weights {
            table.add_row(
                ["source", "decision", "factor", "actor"]
                    .map(|name| text(&weight[name]))
                    .into_iter()
                    .chain([instant(&weight["decided_at"]), text(&weight["reason"])]),
            );
        }
        output::line("");
        output::print_table(&table, "");
    }
    for dismissed in list("dismissed") {
        output::line(&format!(
            "rule {} was found wrong at {}: its signals until then do not count",
            text(&dismissed["rule"]),
            instant(&dismissed["until"]),
        ));
    }
    let signals = list("signals");
    if !signals.is_empty() {
        output::line("");
        signals_table(&signals[..signals.len().min(FEW_SIGNALS)]);
    }
    if signals.len() > FEW_SIGNALS {
        output::note("the newest signals; --signals lists all of them");
    }
}

fn history(item: &Value) {
    let mut table = output::table(&["at", "score"]);
    let points = item["history"].as_array().into_iter().flatten();
    // Before the first signal there is nothing to tell.
    for point in points.skip_while(|point| point["score"] == 0.0) {
        table.add_row([instant(&point["at"]), score(&point["score"])]);
    }
    output::print_table(&table, "nothing is known of it");
}

fn signals_table(signals: &[Value]) {
    let mut table = output::table(&["at", "rule", "level", "action", "actor", "matched", "event"]);
    for signal in signals {
        table.add_row([
            instant(&signal["occurred_at"]),
            text(&signal["rule_title"]),
            text(&signal["level"]),
            text(&signal["action"]),
            text(&signal["actor"]),
            short(&text(&signal["matched"])),
            text(&signal["event_id"]),
        ]);
    }
    output::print_table(&table, "no signals");
}

/// Enough of a long text to know it by; `--output json` has all of it.
fn short(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn incidents_table(incidents: &[Value]) {
    let mut table = output::table(&["last", "status", "score", "title", "tactics", "id"]);
    for incident in incidents {
        let reopened = if incident["reopened"] == true { " (again)" } else { "" };
        table.add_row([
            instant(&incident["last_at"]),
            text(&incident["status"]) + reopened,
            score(&incident["score"]),
            text(&incident["title"]),
            text(&incident["tactics"]),
            text(&incident["id"]),
        ]);
    }
    output::print_table(&table, "no incidents");
}

fn incident(item: &Value) {
    output::line(&text(&item["title"]));
    output::line(&format!(
        "{}, score {}, opened {}, last signal {}, because of {}",
        text(&item["status"]),
        score(&item["score"]),
        instant(&item["opened_at"]),
        instant(&item["last_at"]),
        text(&item["cause"]),
    ));
    output::line(&format!("tactics: {}", text(&item["tactics"])));
    output::line(&format!("techniques: {}", text(&item["techniques"])));
    let mut table = output::table(&["rule", "level", "signals", "id"]);
    for rule in item["rules"].as_array().into_iter().flatten() {
        table.add_row(["title", "level", "signals", "id"].map(|name| text(&rule[name])));
    }
    output::line("");
    output::print_table(&table, "no rules");
    let decisions = item["decisions"].as_array().cloned().unwrap_or_default();
    if !decisions.is_empty() {
        let mut table = output::table(&["decided", "by", "at", "reason"]);
        for decision in decisions {
            table.add_row([
                text(&decision["decision"]),
                text(&decision["actor"]),
                instant(&decision["decided_at"]),
                text(&decision["reason"]),
            ]);
        }
        output::line("");
        output::print_table(&table, "");
    }
}
