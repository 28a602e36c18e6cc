//! `weir tenant`: what tenants use, and what they may.

mod printing;

use std::{collections::BTreeMap, num::NonZeroU32};

use anyhow::{Context, bail};
use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};
use schemas::{
    Envelope, Event, TenantId, Timestamp,
    access::LimitName,
    events::{Actor, ActorKind, Governance, GovernanceKind},
    text::one_line,
};
use sinks::tenants::{self, TenantUse};

use super::{
    Outcome,
    output::{Format, note},
    own_event,
    place::Place,
    settings::Settings,
    stage::account,
};

/// Use is shown of so long.
const SHOWN: TimeDelta = TimeDelta::hours(1);
/// Longest reason, in bytes.
const MAX_REASON_BYTES: usize = 1_000;

/// Arguments of `weir tenant`.
#[derive(Debug, Args)]
pub(super) struct TenantArgs {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// List tenants with what each used and was refused in the last hour.
    List {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Show one tenant: its limits, what it used and was refused in the last hour, its keys and parked records.
    Show {
        tenant: String,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Set limits of one tenant, in place of those of the settings; they hold within 5 seconds, without a restart.
    Limit {
        tenant: String,
        #[command(flatten)]
        limits: LimitArgs,
        /// Reason, stored with the limit and in the tenant's audit log.
        #[arg(long)]
        reason: String,
    },
}

/// The limits to set. Each is a number, or `default` for the one of the settings.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct LimitArgs {
    /// Requests that publish.
    #[arg(long, value_name = "N|default", value_parser = limit)]
    requests_per_minute: Option<Limit>,
    /// Events, records and commands.
    #[arg(long, value_name = "N|default", value_parser = limit)]
    events_per_minute: Option<Limit>,
    /// KiB of bodies, decoded.
    #[arg(long, value_name = "N|default", value_parser = limit)]
    kib_per_minute: Option<Limit>,
    /// Seconds of database time for queries.
    #[arg(long, value_name = "N|default", value_parser = limit)]
    database_seconds_per_minute: Option<Limit>,
    /// Most concurrent queries.
    #[arg(long, value_name = "N|default", value_parser = limit)]
    connections: Option<Limit>,
}

impl LimitArgs {
    fn given(&self) -> Vec<(LimitName, Limit)> {
        let of = |name| match name {
            LimitName::RequestsPerMinute => self.requests_per_minute,
            LimitName::EventsPerMinute => self.events_per_minute,
            LimitName::KibPerMinute => self.kib_per_minute,
            LimitName::DatabaseSecondsPerMinute => self.database_seconds_per_minute,
            LimitName::Connections => self.connections,
        };
        LimitName::ALL.into_iter().filter_map(|name| Some((name, of(name)?))).collect()
    }
}

/// Value of a limit: the tenant's own, or the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Own(NonZeroU32),
    Default,
}

fn limit(text: &str) -> Result<Limit, String> {
    if text == "default" {
        return Ok(Limit::Default);
    }
    text.parse()
        .map(Limit::Own)
        .map_err(|_| "neither a whole number from 1 to 4294967295 nor `default`".to_owned())
}

/// Lists, shows and sets.
pub(super) async fn tenant(args: TenantArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let since = Utc::now() - SHOWN;
    match args.command {
        TenantCommand::List { output } => {
            let pool = place.operator_pool()?;
            let found = tenants::list(&pool, since, None).await.context("reading what tenants use")?;
            printing::listed(&found, output)?;
            Ok(Outcome::Done)
        }
        TenantCommand::Show { tenant, output } => {
            let (tenant, pool) = (TenantId::new(&tenant)?, place.operator_pool()?);
            let found = tenants::list(&pool, since, Some(&tenant)).await;
            let found = found.context("reading what the tenant uses")?.pop();
            let parked = tenants::parked(&pool, &tenant).await.context("counting its parked records")?;
            if found.is_none() && parked == 0 {
                note(&format!(
                    "{tenant} has no key and no limits of its own, and used nothing in the last hour"
                ));
                return Ok(Outcome::No);
            }
            let found = found.unwrap_or_else(|| TenantUse {
                tenant: tenant.to_string(),
                used: BTreeMap::new(),
                limits: Vec::new(),
                keys: 0,
            });
            printing::shown(&found, parked, &defaults(&place.settings), output)?;
            Ok(Outcome::Done)
        }
        TenantCommand::Limit { tenant, limits, reason } => {
            if reason.trim().is_empty() || reason.len() > MAX_REASON_BYTES {
                bail!("the reason must be 1 to {MAX_REASON_BYTES} bytes, and not blank");
            }
            set(&place, &TenantId::new(&tenant)?, &limits.given(), &reason).await?;
            Ok(Outcome::Done)
        }
    }
}

/// The limits of the settings, as this command sees them; `None` for no limit.
fn defaults(settings: &Settings) -> BTreeMap<LimitName, Option<NonZeroU32>> {
    let quotas = settings.gateway.tenant_per_minute.quotas();
    let shares = settings.query_api.shares.limits();
    let connections = u32::try_from(shares.connections_per_tenant).ok().and_then(NonZeroU32::new);
    [
        (LimitName::RequestsPerMinute, quotas.requests_per_minute),
        (LimitName::EventsPerMinute, quotas.events_per_minute),
        (LimitName::KibPerMinute, quotas.kib_per_minute),
        (LimitName::DatabaseSecondsPerMinute, Some(shares.database_seconds_per_minute)),
        (LimitName::Connections, connections),
    ]
    .into()
}

/// Sets limits and publishes that they were set: neither without the other, but for events of limits that were not set
/// after all because the database went away in between.
async fn set(
    place: &Place,
    tenant: &TenantId,
    limits: &[(LimitName, Limit)],
    reason: &str,
) -> anyhow::Result<()> {
    let by = account();
    let mut transaction = place.operator_pool()?.begin().await.context("reaching the database")?;
    let (mut events, mut said) = (Vec::new(), Vec::new());
    for (name, limit) in limits {
        let value = match limit {
            Limit::Own(value) => Some(*value),
            Limit::Default => None,
        };
        let before = tenants::set_limit(&mut transaction, tenant, *name, value, &by, reason).await;
        let before = before.context("setting the limit")?;
        let change = LimitChange { name: *name, before, value, reason };
        events.push(change.envelope(tenant, &by, Utc::now()));
        said.push(change.sentence());
    }
    own_event::publish(place, "tenant", &events).await?;
    transaction.commit().await.context("setting the limits")?;
    for sentence in said {
        note(&format!("{tenant}: {sentence}"));
    }
    Ok(())
}

/// One limit that was set.
struct LimitChange<'a> {
    name: LimitName,
    before: Option<u32>,
    value: Option<NonZeroU32>,
    reason: &'a str,
}

impl LimitChange<'_> {
    fn sentence(&self) -> String {
        let text = |value: Option<u32>| value.map_or_else(|| "default".to_owned(), |value| value.to_string());
        let (name, value) = (self.name.name(), text(self.value.map(NonZeroU32::get)));
        format!("{name} is {value}; it was {}", text(self.before))
    }

    fn envelope(&self, tenant: &TenantId, by: &str, now: Timestamp) -> Envelope {
        let number = |value: u32| value.to_string();
        let attributes = [
            ("limit", Some(self.name.name().to_owned())),
            ("value", self.value.map(|value| number(value.get()))),
            ("previous", self.before.map(number)),
        ];
        let named = |(name, value): (&str, Option<String>)| Some((name.to_owned(), value?));
        let event = Event::Governance(Governance {
            kind: GovernanceKind::BudgetSet,
            subject_kind: "tenant_limit".to_owned(),
            subject_id: tenant.to_string(),
            actor: Actor { kind: ActorKind::User, id: one_line(by, 200), ..Actor::default() },
            decision: Some(if self.value.is_some() { "set" } else { "default" }.to_owned()),
            reason: Some(one_line(self.reason, MAX_REASON_BYTES)),
            expires_at: None,
            attributes: attributes.into_iter().filter_map(named).collect(),
        });
        own_event::envelope(tenant.clone(), "/weir/tenants", tenant.to_string(), event, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_default() {
        assert_eq!(limit("default"), Ok(Limit::Default));
        assert_eq!(limit("4294967295"), Ok(Limit::Own(NonZeroU32::MAX)));
        for bad in ["", "0", "-1", "4294967296", "1k", "none"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_that_is_set_is_a_decision_about_the_tenant() {
        let acme = TenantId::new("acme").expect("a tenant");
        let change = LimitChange {
            name: LimitName::EventsPerMinute,
            before: None,
            value: NonZeroU32::new(7),
            reason: "floods",
        };
        assert_eq!(change.sentence(), "events_per_minute is 7; it was default");
        let envelope = change.envelope(&acme, "mara", Utc::now());
        assert!(envelope.source.is_reserved(), "nobody else says so");
        let Event::Governance(decision) = envelope.event else { panic!("a decision") };
        let attributes: Vec<_> = decision.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(attributes, [("limit", "events_per_minute"), ("value", "7")]);
        assert_eq!((decision.decision.as_deref(), decision.subject_id.as_str()), (Some("set"), "acme"));
    }
}
