//! Printing of tenants.

use std::{collections::BTreeMap, num::NonZeroU32};

use edge::tenants::Measure;
use schemas::{Timestamp, access::LimitName};
use serde::Serialize;
use sinks::tenants::{OwnLimit, TenantUse};

use crate::output::{self, Format, note};

/// The beginning of the names of refusals.
const REFUSED: &str = "refused.";

/// Usage of the last hour, for machines.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct LastHour<'a> {
    requests: u64,
    events: u64,
    bytes: u64,
    questions: u64,
    database_ms: u64,
    /// Refusals by share.
    refused: BTreeMap<&'a str, u64>,
}

impl<'a> LastHour<'a> {
    fn of(found: &'a TenantUse) -> Self {
        let count = |measure: Measure| found.used.get(&measure.name()).copied().unwrap_or_default();
        let refused =
            found.used.iter().filter_map(|(name, count)| Some((name.strip_prefix(REFUSED)?, *count)));
        Self {
            requests: count(Measure::Requests),
            events: count(Measure::Events),
            bytes: count(Measure::Bytes),
            questions: count(Measure::Questions),
            database_ms: count(Measure::DatabaseMilliseconds),
            refused: refused.collect(),
        }
    }

    fn refusals(&self) -> u64 {
        self.refused.values().fold(0, |all, count| all.saturating_add(*count))
    }
}

/// A limit in force, for machines.
#[derive(Debug, Serialize)]
struct Limit<'a> {
    name: &'a str,
    /// At most so much; null for no limit.
    value: Option<u32>,
    /// Null where it is that of the settings.
    set: Option<Set<'a>>,
}

#[derive(Debug, Serialize)]
struct Set<'a> {
    at: Timestamp,
    by: &'a str,
    reason: &'a str,
}

fn limits<'a>(found: &'a TenantUse, defaults: &BTreeMap<LimitName, Option<NonZeroU32>>) -> Vec<Limit<'a>> {
    let own = |name: &str| found.limits.iter().find(|limit| limit.name == name);
    let one = |name: LimitName| {
        let default = defaults.get(&name).copied().flatten().map(NonZeroU32::get);
        let own: Option<&OwnLimit> = own(name.name());
        Limit {
            name: name.name(),
            value: own.map_or(default, |own| Some(own.value)),
            set: own.map(|own| Set { at: own.set_at, by: &own.set_by, reason: &own.reason }),
        }
    };
    LimitName::ALL.into_iter().map(one).collect()
}

/// Prints tenants.
pub(super) fn listed(found: &[TenantUse], format: Format) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Listed<'a> {
        tenant: &'a str,
        keys: u64,
        last_hour: LastHour<'a>,
        own_limits: BTreeMap<&'a str, u32>,
    }
    let tenants: Vec<Listed<'_>> = found
        .iter()
        .map(|tenant| Listed {
            tenant: &tenant.tenant,
            keys: tenant.keys,
            last_hour: LastHour::of(tenant),
            own_limits: tenant.limits.iter().map(|own| (own.name.as_str(), own.value)).collect(),
        })
        .collect();
    match format {
        Format::Json => output::json(&tenants)?,
        Format::Ndjson => tenants.iter().try_for_each(output::json)?,
        Format::Table => {
            let header = [
                "tenant",
                "keys",
                "requests",
                "events",
                "bytes",
                "questions",
                "db ms",
                "refused",
                "own limits",
            ];
            let mut table = output::table(&header);
            for Listed { tenant, keys, last_hour, own_limits } in &tenants {
                let numbers = [
                    *keys,
                    last_hour.requests,
                    last_hour.events,
                    last_hour.bytes,
                    last_hour.questions,
                    last_hour.database_ms,
                    last_hour.refusals(),
                ];
                let limits: Vec<String> =
                    own_limits.iter().map(|(name, value)| format!("{name} {value}")).collect();
                let mut row = vec![(*tenant).to_owned()];
                row.extend(numbers.map(|number| number.to_string()));
                row.push(limits.join(", "));
                table.add_row(row);
            }
            note("use and refusals of the last hour");
            output::print_table(&table, "no tenant has a key or used anything; `weir key create` makes one");
        }
    }
    Ok(())
}

/// Prints one tenant.
pub(super) fn shown(
    found: &TenantUse,
    parked: i64,
    defaults: &BTreeMap<LimitName, Option<NonZeroU32>>,
    format: Format,
) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Shown<'a> {
        tenant: &'a str,
        keys: u64,
        parked: i64,
        last_hour: LastHour<'a>,
        limits: Vec<Limit<'a>>,
    }
    let shown = Shown {
        tenant: &found.tenant,
        keys: found.keys,
        parked,
        last_hour: LastHour::of(found),
        limits: limits(found, defaults),
    };
    if format != Format::Table {
        return output::json(&shown);
    }
    note(&format!("{}: {} keys that work, {parked} parked records", shown.tenant, shown.keys));
    let mut table = output::table(&["limit", "at most", "set", "by", "why"]);
    for Limit { name, value, set } in &shown.limits {
        let value = value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        let (at, by, why) = set.as_ref().map_or_else(
            || ("by default".to_owned(), "", ""),
            |set| (set.at.format("%F %T UTC").to_string(), set.by, set.reason),
        );
        table.add_row([*name, &value, &at, by, why]);
    }
    output::print_table(&table, "");
    let mut table = output::table(&["last hour", "count"]);
    for (name, count) in &found.used {
        table.add_row([name.clone(), count.to_string()]);
    }
    output::print_table(&table, "it used nothing in the last hour");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_stand_apart_from_use_and_own_limits_before_defaults() {
        let used = [("requests", 5), ("refused.events", 2), ("refused.requests", 1), ("later", 9)];
        let found = TenantUse {
            tenant: "acme".into(),
            used: used.map(|(name, count)| (name.to_owned(), count)).into(),
            limits: vec![OwnLimit {
                name: "events_per_minute".into(),
                value: 7,
                set_at: Timestamp::UNIX_EPOCH,
                set_by: "mara".into(),
                reason: "floods".into(),
            }],
            keys: 1,
        };
        let hour = LastHour::of(&found);
        assert_eq!((hour.requests, hour.refusals(), hour.refused["events"]), (5, 3, 2));
        let defaults = [(LimitName::EventsPerMinute, NonZeroU32::new(9)), (LimitName::KibPerMinute, None)];
        let limits = limits(&found, &defaults.into());
        let values: Vec<_> =
            limits.iter().map(|limit| (limit.name, limit.value, limit.set.is_some())).collect();
        assert!(values.contains(&("events_per_minute", Some(7), true)));
        assert!(values.contains(&("kib_per_minute", None, false)));
    }
}
