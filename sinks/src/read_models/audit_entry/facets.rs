//! Aggregates of the audit log: the terms of a field, and the number of entries over time.

use std::time::Instant;

use chrono::NaiveDate;
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, FromRow, PgConnection, PgPool, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{
    dictionary::lookup,
    filter::{AuditFilter, like_literal, push_filter},
    keys::next_days,
    read::STAGE,
    search::SEARCH_TIME,
    terms::Field,
    window::{MOST_DAYS, Window, bounded, newest_days, push_window},
};
use crate::read_models::{
    Positions,
    parameters::text,
    snapshot::{ReadError, Snapshot},
};

/// Points of a histogram, at most; a step that would give more is taken larger.
const MAX_POINTS: i64 = 1_000;
/// Time limit of a step of several days.
const STEP_TIME_MS: u64 = 1_000;

/// Selection of terms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct TermsFilter {
    /// The field of which the terms are; `action` by default.
    #[param(inline)]
    pub field: Option<TermField>,
    /// Found anywhere in the term; case is ignored, no character is special.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub text: Option<String>,
}

/// A field of which the terms are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TermField {
    /// Id of who acted.
    Actor,
    /// Name of who acted.
    ActorName,
    /// The action in the source's words.
    #[default]
    Action,
    /// Id of a resource.
    Resource,
    /// Project.
    Project,
    /// CloudEvents `source`.
    Source,
    /// The source's error code.
    OutcomeCode,
    /// Kind of event.
    Kind,
    /// The actor's address.
    Address,
    /// The outcome.
    Outcome,
}

impl TermField {
    /// The fields of the dictionary that have its terms.
    const fn fields(self) -> &'static [Field] {
        match self {
            Self::Actor => &[Field::Actor],
            Self::ActorName => &[Field::ActorName],
            Self::Action => &[Field::Action],
            Self::Resource => &[Field::Resource, Field::OtherResource],
            Self::Project => &[Field::Project],
            Self::Source => &[Field::Source],
            Self::OutcomeCode => &[Field::OutcomeCode],
            Self::Kind => &[Field::Kind],
            Self::Address => &[Field::Address],
            Self::Outcome => &[Field::Outcome],
        }
    }
}

/// A term of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct TermItem {
    /// The term.
    pub term: String,
    /// Approximate number of entries with the term; it may lag behind.
    pub seen: i64,
    /// The first day on which it was seen, in UTC.
    #[schema(value_type = String, format = Date)]
    pub first_day: NaiveDate,
    /// The last day on which it was seen, in UTC.
    #[schema(value_type = String, format = Date)]
    pub last_day: NaiveDate,
}

/// Terms of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Those seen most first.
    pub items: Vec<TermItem>,
    /// Whether all terms of the field are kept.
    pub complete: bool,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// The tenant's terms of a field, those seen most first.
pub async fn terms(
    pool: &PgPool,
    tenant: &TenantId,
    filter: &TermsFilter,
    limit: u16,
) -> Result<Terms, ReadError> {
    let fields = filter.field.unwrap_or_default().fields();
    let fields: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new(
        "SELECT term, sum(seen)::bigint AS seen, min(lower(days)) AS first_day, max(upper(days)) - 1 AS last_day
           FROM audit_term WHERE tenant_id = ",
    );
    query.push_bind(tenant.as_str()).push(" AND field = ANY (").push_bind(fields.clone()).push(")");
    if let Some(text) = &filter.text {
        query.push(" AND term COLLATE \"default\" ILIKE ").push_bind(format!("%{}%", like_literal(text)));
        query.push(" ESCAPE '\\'");
    }
    query.push(" GROUP BY term ORDER BY sum(seen) DESC, term LIMIT ").push_bind(i64::from(limit));
    let items = query.build_query_as().fetch_all(snapshot.connection()).await?;
    let overflowed: Option<bool> = sqlx::query_scalar(
        "SELECT bool_or(overflowed) FROM audit_term_field WHERE tenant_id = $1 AND field = ANY ($2)",
    )
    .bind(tenant.as_str())
    .bind(fields)
    .fetch_one(snapshot.connection())
    .await?;
    Ok(Terms { items, complete: overflowed != Some(true), positions: snapshot.positions })
}

/// The distance between two points of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistogramStep {
    /// By the minute.
    Minute,
    /// By the hour.
    #[default]
    Hour,
    /// By the day, in UTC.
    Day,
    /// By the month, in UTC.
    Month,
}

impl HistogramStep {
    const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    const fn unit(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Month => 28 * 86_400,
        }
    }

    /// This step, or the smallest that does not exceed the limit on points.
    fn for_range(self, from: Timestamp, to: Timestamp) -> Self {
        let seconds = (to - from).num_seconds();
        let fits = |step: &Self| *step >= self && seconds / step.seconds() < MAX_POINTS;
        Self::ALL.into_iter().find(fits).unwrap_or(Self::Month)
    }
}

/// Entries from one instant to the next point's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct HistogramPoint {
    /// Start of the interval.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Entries.
    pub entries: i64,
}

/// Number of entries over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Newest first; points without entries are left out.
    pub points: Vec<HistogramPoint>,
    /// The distance between two points.
    pub step: HistogramStep,
    /// The instant down to which was counted before the time was over, if it was.
    pub reached: Option<Timestamp>,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// Counts the tenant's entries that fulfil the filter, newest first, for as long as there is time.
pub async fn histogram(
    pool: &PgPool,
    tenant: &TenantId,
    filter: &AuditFilter,
    step: HistogramStep,
) -> Result<Histogram, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let connection = snapshot.connection();
    let asked = Window { from: filter.from, to: filter.to };
    let mut histogram = Histogram { points: Vec::new(), step, reached: None, positions: Positions::new() };
    let windows = lookup(connection, tenant, filter).await?.windows;
    if let Some(all) = bounded(connection, tenant, asked).await? {
        if let (Some(from), Some(to)) = (all.from, all.to) {
            histogram.step = step.for_range(from, to);
        }
        let count = Count { tenant, filter, step: histogram.step };
        let windows = windows.into_iter().filter_map(|window| window.within(all)).collect();
        histogram.reached = count.windows(connection, windows, &mut histogram.points).await?;
        // The beginning of all is no place to go on from.
        histogram.reached = histogram.reached.filter(|reached| Some(*reached) != all.from);
    }
    histogram.positions = snapshot.positions;
    Ok(histogram)
}

/// Counting the entries that fulfil a filter.
struct Count<'a> {
    tenant: &'a TenantId,
    filter: &'a AuditFilter,
    step: HistogramStep,
}

impl Count<'_> {
    /// Counts those of windows that have both ends, the newest first; answers the instant down to which there was time, if that was
    /// not all. Where the days of a step hold too many entries, they are counted one by one.
    async fn windows(
        &self,
        connection: &mut PgConnection,
        windows: Vec<Window>,
        points: &mut Vec<HistogramPoint>,
    ) -> Result<Option<Timestamp>, ReadError> {
        let began = Instant::now();
        let mut days = MOST_DAYS;
        for mut left in windows {
            while let Some(next) = newest_days(left, days) {
                let step_began = Instant::now();
                match self.window(connection, next, days).await {
                    Ok(older) => add(points, older),
                    Err(ReadError::TooSlow) if days > 1 => {
                        days = 1;
                        continue;
                    }
                    Err(ReadError::TooSlow) => return Ok(left.to),
                    Err(error) => return Err(error),
                }
                if days < MOST_DAYS {
                    days = next_days(days, step_began.elapsed());
                }
                left.to = next.from;
                if began.elapsed() >= SEARCH_TIME {
                    return Ok(next.from);
                }
            }
        }
        Ok(None)
    }

    /// Counts those of so many days. The time limit of several ends with the savepoint, and so does the fault of a statement
    /// that hits it.
    async fn window(
        &self,
        connection: &mut PgConnection,
        window: Window,
        days: u32,
    ) -> Result<Vec<HistogramPoint>, ReadError> {
        let mut query = QueryBuilder::new("SELECT date_trunc(");
        query.push_bind(self.step.unit());
        query.push(", occurred_at, 'UTC') AS at, count(*) AS entries FROM audit_entry WHERE tenant_id = ");
        query.push_bind(self.tenant.as_str().to_owned());
        let unbounded = AuditFilter { from: None, to: None, ..self.filter.clone() };
        push_filter(&mut query, &unbounded);
        push_window(&mut query, window);
        query.push(" GROUP BY 1 ORDER BY 1 DESC");
        let mut savepoint = connection.begin().await?;
        if days > 1 {
            let limit = format!("SET LOCAL statement_timeout = {STEP_TIME_MS}");
            savepoint.execute(AssertSqlSafe(limit)).await?;
        }
        let counted = query.build_query_as().fetch_all(&mut *savepoint).await;
        savepoint.rollback().await?;
        Ok(counted?)
    }
}

/// Adds older points; the newest of them may belong to the oldest one there.
fn add(points: &mut Vec<HistogramPoint>, older: Vec<HistogramPoint>) {
    for point in older {
        match points.last_mut() {
            Some(last) if last.at == point.at => last.entries += point.entries,
            _ => points.push(point),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_step_that_gives_too_many_points_is_taken_larger() {
        let from = at("2026-01-01T00:00:00Z");
        for (to, expected) in [
            ("2026-01-01T10:00:00Z", HistogramStep::Minute),
            ("2026-01-20T00:00:00Z", HistogramStep::Hour),
            ("2026-12-31T00:00:00Z", HistogramStep::Day),
            ("2126-12-31T00:00:00Z", HistogramStep::Month),
        ] {
            assert_eq!(HistogramStep::Minute.for_range(from, at(to)), expected, "{to}");
        }
        assert_eq!(HistogramStep::Day.for_range(from, at("2026-01-01T10:00:00Z")), HistogramStep::Day);
    }

    #[test]
    fn points_of_two_windows_are_joined() {
        let point = |text: &str, entries| HistogramPoint { at: at(text), entries };
        let mut points = vec![point("2026-01-02T00:00:00Z", 1)];
        add(&mut points, vec![point("2026-01-02T00:00:00Z", 2), point("2026-01-01T00:00:00Z", 3)]);
        assert_eq!(points, [point("2026-01-02T00:00:00Z", 3), point("2026-01-01T00:00:00Z", 3)]);
    }
}
