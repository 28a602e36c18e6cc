//! `weir key`: API keys for publishers and readers.

mod audit;
mod printing;

use anyhow::{Context, bail};
use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use schemas::{Timestamp, access::Scope};
use sinks::api_keys::{self, CreatedKey, KeyRequest, RotatedKey};

use self::audit::KeyChange;
use super::{
    Outcome,
    acted_for::acted_for,
    output::{Format, note},
    place::Place,
};

/// Longest name of a key, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// Arguments of `weir key`.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key; it is shown once.
    Create {
        /// Name for people.
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// The tenant it speaks for; without it, that of the local deployment.
        #[arg(long, env = "WEIR_TENANT")]
        tenant: Option<String>,
        /// Scope that the key grants; repeat for several.
        #[arg(long = "scope", value_parser = scope, required = true)]
        scopes: Vec<Scope>,
        /// Expiry of the key: a time as in RFC 3339, or a span from now such as 90d, 12h or 30m. Without it:
        /// never.
        #[arg(long, value_parser = end)]
        expires: Option<End>,
        /// Publish events of these CloudEvents sources only: one as it is, or a beginning and `*`; repeat for several.
        #[arg(long = "source")]
        sources: Vec<String>,
        /// Use it from these networks only, for example 10.0.0.0/8; repeat for several.
        #[arg(long = "network", value_parser = network)]
        networks: Vec<IpNet>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Make a key like another one, which stays valid for a while.
    Rotate {
        /// The other one's public id, 8 characters.
        id: String,
        /// Time for which the old key stays valid, unless it ends before.
        #[arg(long, value_parser = end, default_value = "24h")]
        overlap: End,
        /// Expiry of the new key. Without it: never.
        #[arg(long, value_parser = end)]
        expires: Option<End>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// List the keys, without their secrets.
    List {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Stop a key from working, within a second.
    Revoke {
        /// The key's public id, 8 characters.
        id: String,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text)
        .ok_or_else(|| format!("no such scope; the scopes are {}", Scope::ALL.map(Scope::name).join(", ")))
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| "no network such as 10.0.0.0/8, and no address".to_owned())
}

/// End of a validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    At(Timestamp),
    After(TimeDelta),
}

impl End {
    fn from(self, now: Timestamp) -> anyhow::Result<Timestamp> {
        let end = match self {
            Self::At(end) => Some(end),
            Self::After(span) => now.checked_add_signed(span),
        };
        end.filter(|end| *end > now).context("the end must lie in the future, and within the calendar")
    }
}

fn end(text: &str) -> Result<End, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(End::At(at));
    }
    let wrong = || "neither a time as in RFC 3339 nor a span such as 90d, 12h or 30m".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let span = match unit {
        'd' => TimeDelta::try_days(number),
        'h' => TimeDelta::try_hours(number),
        'm' => TimeDelta::try_minutes(number),
        _ => None,
    };
    span.filter(|span| *span > TimeDelta::zero()).map(End::After).ok_or_else(wrong)
}

/// Makes, rotates, lists and revokes.
pub(super) async fn key(args: KeyArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    match args.command {
        KeyCommand::Create { name, tenant, scopes, expires, sources, networks, output } => {
            if name.len() > MAX_NAME_BYTES {
                bail!("the name has more than {MAX_NAME_BYTES} bytes");
            }
            let expires_at = expires.map(|end| end.from(Utc::now())).transpose()?;
            let tenant = acted_for(tenant.as_deref())?;
            let request = KeyRequest { tenant, name, scopes, expires_at, sources, networks };
            let made = create(&place, &request).await?;
            printing::created(&made, output)?;
            Ok(Outcome::Done)
        }
        KeyCommand::Rotate { id, overlap, expires, output } => {
            let now = Utc::now();
            let until = overlap.from(now)?;
            let expires_at = expires.map(|end| end.from(now)).transpose()?;
            let rotated = rotate(&place, &id, until, expires_at).await?;
            let Some(RotatedKey { made, old_until }) = rotated else { return Ok(unknown(&id)) };
            note(&format!("key {id} works until {}", old_until.format("%F %T UTC")));
            printing::created(&made, output)?;
            Ok(Outcome::Done)
        }
        KeyCommand::List { output } => {
            let pool = place.operator_pool()?;
            let keys = api_keys::list(&pool).await.context("reading the API keys")?;
            printing::listed(keys, output)?;
            Ok(Outcome::Done)
        }
        KeyCommand::Revoke { id } => revoke(&place, &id).await,
    }
}

fn unknown(id: &str) -> Outcome {
    note(&format!("no valid key has the id {id}; `weir key list` shows them"));
    Outcome::No
}

/// Makes a key and publishes that it was made: neither without the other, but for an event of a key that was not made
/// after all because the database went away in between.
async fn create(place: &Place, request: &KeyRequest) -> anyhow::Result<CreatedKey> {
    let peppers = place.peppers()?;
    let mut transaction = place.operator_pool()?.begin().await.context("reaching the database")?;
    let made = api_keys::create(&mut transaction, &peppers.current, request).await?;
    audit::publish(place, &KeyChange::created(&made.key)).await?;
    transaction.commit().await.context("making the key")?;
    Ok(made)
}

async fn rotate(
    place: &Place,
    id: &str,
    until: Timestamp,
    expires_at: Option<Timestamp>,
) -> anyhow::Result<Option<RotatedKey>> {
    let peppers = place.peppers()?;
    let mut transaction = place.operator_pool()?.begin().await.context("reaching the database")?;
    let rotated = api_keys::rotate(&mut transaction, &peppers.current, id, until, expires_at).await?;
    let Some(rotated) = rotated else { return Ok(None) };
    audit::publish(place, &KeyChange::rotated(&rotated, id)).await?;
    transaction.commit().await.context("rotating the key")?;
    Ok(Some(rotated))
}

/// Ends the key first: a leaked key must end whether or not Kafka takes the event.
async fn revoke(place: &Place, id: &str) -> anyhow::Result<Outcome> {
    let mut connection = place.operator_pool()?.acquire().await.context("reaching the database")?;
    let Some(key) = api_keys::revoke(&mut connection, id).await? else { return Ok(unknown(id)) };
    note(&format!("key {id} is revoked; the gateway and the query API refuse it within a second"));
    if let Err(error) = audit::publish(place, &KeyChange::revoked(&key)).await {
        note(&format!("the audit log does not know of it: {error:#}"));
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_span_from_now() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let check = |text: &str, expected: Option<&str>| {
            let found = end(text).ok().and_then(|end| end.from(now).ok());
            assert_eq!(found, expected.map(|text| text.parse().expect("a time")), "{text}");
        };
        check("90d", Some("2026-04-02T03:04:05Z"));
        check("12h", Some("2026-01-02T15:04:05Z"));
        check("30m", Some("2026-01-02T03:34:05Z"));
        check("2027-01-01T00:00:00Z", Some("2027-01-01T00:00:00Z"));
        for bad in
            ["", "d", "90", "0d", "-1d", "1w", "1é", "9999999999999d", "2020-01-01T00:00:00Z", "tomorrow"]
        {
            check(bad, None);
        }
    }
}
