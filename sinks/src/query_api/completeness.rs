//! `GET /api/v1/pipeline/completeness`.

use std::{ops::RangeInclusive, sync::Arc};

use axum::{Extension, extract::State};
use chrono::{DateTime, Utc};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{Timestamp, access::Principal};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, body::Answer, described::ListRefusals, paging::check_range, parameters::Parameters};
use crate::read_models::{
    Positions,
    completeness::{self, CompleteHour},
    parameters::instant,
};

/// Hours of an answer without bounds.
const DEFAULT_HOURS: i64 = 24;
/// Most hours of an answer.
const MAX_HOURS: i64 = 7 * 24;
const HOUR_S: i64 = 3_600;
/// The first hour of year 1 and the last one of year 9999, counted from 1970.
const YEARS: RangeInclusive<i64> = -17_259_888..=70_389_527;

/// Range of time, widened to whole hours; by default the last 24 hours. Of a longer one, the last 7 days are
/// answered for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Hours {
    /// An instant of the first hour (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// The end: the last hour begins before it (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// Completeness of a tenant's audit log at each sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompletenessAnswer {
    /// Start of the first hour.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// End of the last hour.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// Entries that sinks have passed and neither delivered nor set aside, over all hours: 0 if nothing was
    /// lost.
    pub missing: i64,
    /// Newest first; hours without anything are left out.
    pub hours: Vec<CompleteHour>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// The tenant's audit entries by the hour of their events: written, published to the audit topic, and for
/// each sink owed, delivered, set aside, waiting and missing.
#[utoipa::path(
    get,
    path = "/api/v1/pipeline/completeness",
    tag = "pipeline",
    params(Hours),
    responses((status = 200, body = CompletenessAnswer), ListRefusals),
    security(("api_key" = ["read"]))
)]
pub(super) async fn hours(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CompletenessAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let asked = given.take::<Hours>();
    check_range(asked.from, asked.to, &mut given);
    given.finish()?;
    let range = whole_hours(&asked, Utc::now());
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let question = async move { completeness::hours(&pool, &tenant, range).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|found| CompletenessAnswer {
        from: range.0,
        to: range.1,
        missing: found.hours.iter().flat_map(|hour| &hour.sinks).map(|sink| sink.missing).sum(),
        hours: found.hours,
        position: found.positions,
    }))
}

/// The range in whole hours, within the years that RFC 3339 can write.
fn whole_hours(asked: &Hours, now: Timestamp) -> (Timestamp, Timestamp) {
    // A range that begins later than now is empty, and does not end before it.
    let to = asked.to.unwrap_or_else(|| asked.from.map_or(now, |from| from.max(now)));
    let begun = to.timestamp().div_euclid(HOUR_S);
    let is_whole = to.timestamp().rem_euclid(HOUR_S) == 0 && to.timestamp_subsec_nanos() == 0;
    let to = if is_whole { begun } else { begun + 1 };
    let from = asked.from.map_or(to - DEFAULT_HOURS, |from| from.timestamp().div_euclid(HOUR_S));
    let instant = |hour: i64| {
        let seconds = hour.clamp(*YEARS.start(), *YEARS.end()) * HOUR_S;
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    };
    (instant(from.max(to - MAX_HOURS)), instant(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn range(from: Option<&str>, to: Option<&str>) -> (Timestamp, Timestamp) {
        let asked = Hours { from: from.map(at), to: to.map(at) };
        whole_hours(&asked, at("2026-02-01T10:20:00Z"))
    }

    #[test]
    fn a_range_is_widened_to_whole_hours() {
        assert_eq!(range(None, None), (at("2026-01-31T11:00:00Z"), at("2026-02-01T11:00:00Z")));
        let one = (at("2026-01-31T14:00:00Z"), at("2026-01-31T15:00:00Z"));
        assert_eq!(range(Some("2026-01-31T14:00:00Z"), Some("2026-01-31T15:00:00Z")), one);
        assert_eq!(range(Some("2026-01-31T14:59:59Z"), Some("2026-01-31T14:59:59.5Z")), one);
        let ahead = (at("2027-01-01T00:00:00Z"), at("2027-01-01T01:00:00Z"));
        assert_eq!(range(Some("2027-01-01T00:30:00Z"), None), ahead);
    }

    #[test]
    fn of_a_long_range_the_last_days_are_answered_for() {
        let week = (at("2026-01-25T11:00:00Z"), at("2026-02-01T11:00:00Z"));
        assert_eq!(range(Some("2026-01-20T00:00:00Z"), None), week);
        assert_eq!(range(Some("0001-01-01T00:00:00Z"), None), week);
    }

    #[test]
    fn bounds_can_be_written_whatever_was_asked_for() {
        let (first, last) = (at("0001-01-01T00:00:00Z"), at("9999-12-31T23:00:00Z"));
        assert_eq!(range(None, Some("0000-01-01T00:00:00Z")), (first, first));
        assert_eq!(range(None, Some("9999-12-31T23:59:59Z")).1, last);
        assert_eq!(range(Some("9999-12-31T23:59:59Z"), None).0, last);
    }
}
