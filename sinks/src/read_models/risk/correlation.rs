//! Correlation: which stored events complete their rule's condition because of new ones.
//!
//! The groups of new events are locked in order, so that of two writers the second sees what the first has stored. Then
//! the events around the new ones are read, and judged with and without them: the difference is what becomes signals.

use std::collections::{BTreeMap, BTreeSet};

use projections::risk::{GroupEvent, completing};
use schemas::{
    EventId, TenantId, Timestamp,
    changes::{
        RiskChange,
        correlation::{CorrelationCondition, CorrelationPart, CorrelationSignal, CorrelationTerms},
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::facts;
use crate::{batch::TopicPartition, read_models::Fact};

/// Most rules that a correlation refers to, each of which may fire on one event.
const MAX_ROWS_OF_EVENT: i64 = 32;

/// Tenant, correlation rule, group.
type GroupKey<'a> = (&'a str, &'a str, &'a str);

/// A signal that follows from an event, and the record that made it follow.
pub(super) struct Derived {
    change: RiskChange,
    partition: TopicPartition,
    offset: i64,
}

impl Derived {
    pub(super) fn fact(&self) -> Fact<'_, RiskChange> {
        Fact { change: &self.change, partition: self.partition, offset: self.offset }
    }
}

/// What new events of a group share.
struct Group<'a> {
    oldest: Timestamp,
    newest: Timestamp,
    longest_seconds: i64,
    new: BTreeSet<(Uuid, &'a str)>,
    from: (TopicPartition, i64),
}

/// Stores the signals of correlation rules that follow from new events, and answers with those that are new.
pub(super) async fn complete(
    tx: &mut PgConnection,
    new: &[Fact<'_, RiskChange>],
) -> sqlx::Result<Vec<Derived>> {
    let groups = groups(new);
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    lock(tx, &groups).await?;
    // Statements of their own, which see what others had stored before they let the locks go.
    let stored = events_around(tx, &groups).await?;
    let mut completed: Vec<((&GroupKey<'_>, &Group<'_>), Uuid)> = Vec::new();
    for ((key, group), events) in groups.iter().zip(&stored) {
        completed.extend(newly_complete(group, events)?.into_iter().map(|event| ((key, group), event)));
    }
    let derived = signals(tx, &completed).await?;
    store(tx, derived).await
}

fn groups<'a>(new: &[Fact<'a, RiskChange>]) -> BTreeMap<GroupKey<'a>, Group<'a>> {
    let mut groups: BTreeMap<GroupKey<'a>, Group<'a>> = BTreeMap::new();
    for fact in new {
        let RiskChange::Part(part) = fact.change else { continue };
        let key = (part.tenant.as_str(), part.signal.rule.id.as_str(), part.group.as_str());
        let group = groups.entry(key).or_insert_with(|| Group {
            oldest: part.occurred_at,
            newest: part.occurred_at,
            longest_seconds: 0,
            new: BTreeSet::new(),
            from: (fact.partition, fact.offset),
        });
        group.oldest = group.oldest.min(part.occurred_at);
        group.newest = group.newest.max(part.occurred_at);
        group.longest_seconds = group.longest_seconds.max(part.terms.timespan_seconds.into());
        group.new.insert((*part.event_id.as_uuid(), part.reference.as_str()));
    }
    groups
}

fn column<K, V, C>(groups: &BTreeMap<K, V>, of: impl Fn(&K, &V) -> C) -> Vec<C> {
    groups.iter().map(|(key, group)| of(key, group)).collect()
}

/// Makes the groups' rows where they are missing and locks all of them to the end of the transaction, in order.
async fn lock(tx: &mut PgConnection, groups: &BTreeMap<GroupKey<'_>, Group<'_>>) -> sqlx::Result<()> {
    // A conflict locks the row even where nothing is updated.
    sqlx::query(
        "INSERT INTO risk_correlation_group AS g (tenant_id, rule_id, group_key, longest_seconds)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
         ON CONFLICT (tenant_id, rule_id, group_key) DO UPDATE SET longest_seconds = excluded.longest_seconds
          WHERE g.longest_seconds < excluded.longest_seconds",
    )
    .bind(column(groups, |key, _| key.0))
    .bind(column(groups, |key, _| key.1))
    .bind(column(groups, |key, _| key.2))
    .bind(column(groups, |_, group| group.longest_seconds))
    .execute(tx)
    .await
    .map(drop)
}

/// A stored event of a group.
struct Stored {
    occurred_at: Timestamp,
    event_id: Uuid,
    reference: String,
    value: String,
    /// The terms' JSON text.
    terms: String,
}

type Row = (i64, Timestamp, Uuid, String, String, String);

/// Every stored event that new ones may complete, and of those before them what may count for one of these; by group.
async fn events_around(
    tx: &mut PgConnection,
    groups: &BTreeMap<GroupKey<'_>, Group<'_>>,
) -> sqlx::Result<Vec<Vec<Stored>>> {
    let mut stored: Vec<Vec<Stored>> = groups.iter().map(|_| Vec::new()).collect();
    let since: Vec<Row> = sqlx::query_as(
        "SELECT a.nth, e.occurred_at, e.event_id, e.reference, e.value, e.terms::text
           FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY
                  AS a(tenant_id, rule_id, group_key, oldest, newest, nth)
           JOIN risk_correlation_group AS g USING (tenant_id, rule_id, group_key)
           JOIN risk_correlation_event AS e USING (tenant_id, rule_id, group_key)
          WHERE e.occurred_at >= a.oldest
            AND e.occurred_at < a.newest + make_interval(secs => g.longest_seconds::float8)",
    )
    .bind(column(groups, |key, _| key.0))
    .bind(column(groups, |key, _| key.1))
    .bind(column(groups, |key, _| key.2))
    .bind(column(groups, |_, group| group.oldest))
    .bind(column(groups, |_, group| group.newest))
    .fetch_all(&mut *tx)
    .await?;
    sort_in(&mut stored, since);
    let wanted = stored.iter().map(|events| Before::wanted_by(events)).collect::<sqlx::Result<Vec<_>>>()?;
    let before: Vec<Row> = sqlx::query_as(
        "SELECT nth, occurred_at, event_id, reference, value, terms::text FROM (
           SELECT DISTINCT ON (a.nth, e.of) a.nth, e.*
             FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[])
                    WITH ORDINALITY AS a(tenant_id, rule_id, group_key, oldest, one_per, at_most, nth)
             JOIN risk_correlation_group AS g USING (tenant_id, rule_id, group_key)
            CROSS JOIN LATERAL (
                  SELECT e.occurred_at, e.event_id, e.reference, e.value, e.terms,
                         CASE a.one_per WHEN 'value' THEN e.value COLLATE \"C\" WHEN 'reference' THEN e.reference
                                        ELSE e.event_id::text || e.reference END AS of
                    FROM risk_correlation_event AS e
                   WHERE e.tenant_id = a.tenant_id AND e.rule_id = a.rule_id AND e.group_key = a.group_key
                     AND e.occurred_at < a.oldest
                     AND e.occurred_at > a.oldest - make_interval(secs => g.longest_seconds::float8)
                   ORDER BY e.occurred_at DESC LIMIT a.at_most) AS e
            ORDER BY a.nth, e.of, e.occurred_at DESC) AS latest",
    )
    .bind(column(groups, |key, _| key.0))
    .bind(column(groups, |key, _| key.1))
    .bind(column(groups, |key, _| key.2))
    .bind(column(groups, |_, group| group.oldest))
    .bind(wanted.iter().map(Before::one_per).collect::<Vec<_>>())
    .bind(wanted.iter().map(Before::at_most).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    sort_in(&mut stored, before);
    Ok(stored)
}

fn sort_in(stored: &mut [Vec<Stored>], rows: Vec<Row>) {
    for (nth, occurred_at, event_id, reference, value, terms) in rows {
        if let Some(group) = usize::try_from(nth - 1).ok().and_then(|place| stored.get_mut(place)) {
            group.push(Stored { occurred_at, event_id, reference, value, terms });
        }
    }
}

/// What is enough of the events before the new ones: whether these themselves complete anything cannot change, so they
/// only have to count for later events. Otherwise a busy group would be read again and again.
enum Before {
    /// The latest events, so many: older ones add nothing once there are enough.
    Latest(i64),
    /// The latest event of each value.
    OfEachValue,
    /// The latest event of each rule.
    OfEachReference,
    All,
}

impl Before {
    /// What these events, which may be completed, need.
    fn wanted_by(events: &[Stored]) -> sqlx::Result<Self> {
        let texts: BTreeSet<&str> = events.iter().map(|event| event.terms.as_str()).collect();
        let mut wanted: Option<Self> = None;
        for text in texts {
            let terms: CorrelationTerms = decoded(text)?;
            let by_terms = match terms.condition {
                CorrelationCondition::EventCount(n) => {
                    Self::Latest(i64::try_from(n).unwrap_or(i64::MAX).saturating_mul(MAX_ROWS_OF_EVENT))
                }
                CorrelationCondition::ValueCount(_) => Self::OfEachValue,
                CorrelationCondition::Temporal(_) => Self::OfEachReference,
                CorrelationCondition::TemporalOrdered(_) => Self::All,
            };
            wanted = Some(match (wanted, by_terms) {
                (None, only) => only,
                (Some(Self::Latest(one)), Self::Latest(other)) => Self::Latest(one.max(other)),
                (Some(Self::OfEachValue), Self::OfEachValue) => Self::OfEachValue,
                (Some(Self::OfEachReference), Self::OfEachReference) => Self::OfEachReference,
                _ => Self::All,
            });
        }
        Ok(wanted.unwrap_or(Self::All))
    }

    fn one_per(&self) -> &'static str {
        match self {
            Self::OfEachValue => "value",
            Self::OfEachReference => "reference",
            Self::Latest(_) | Self::All => "event",
        }
    }

    fn at_most(&self) -> Option<i64> {
        match self {
            Self::Latest(rows) => Some(*rows),
            Self::OfEachValue | Self::OfEachReference | Self::All => None,
        }
    }
}

/// The events that complete their condition and did not before the new ones were stored.
fn newly_complete(group: &Group<'_>, stored: &[Stored]) -> sqlx::Result<BTreeSet<Uuid>> {
    let mut terms: BTreeMap<&str, CorrelationTerms> = BTreeMap::new();
    for event in stored {
        if !terms.contains_key(event.terms.as_str()) {
            terms.insert(&event.terms, decoded(&event.terms)?);
        }
    }
    let seen = |event: &&Stored| !group.new.contains(&(event.event_id, event.reference.as_str()));
    let complete = |events: Vec<&Stored>| -> BTreeSet<Uuid> {
        let judged: Vec<GroupEvent<'_>> = events
            .iter()
            .map(|event| GroupEvent {
                occurred_at: event.occurred_at,
                event_id: event.event_id,
                reference: &event.reference,
                value: &event.value,
                terms: &terms[event.terms.as_str()],
            })
            .collect();
        completing(&judged).into_iter().map(|place| judged[place].event_id).collect()
    };
    let before = complete(stored.iter().filter(seen).collect());
    let after = complete(stored.iter().collect());
    Ok(after.difference(&before).copied().collect())
}

/// The signals that the completing events become.
async fn signals(
    tx: &mut PgConnection,
    completed: &[((&GroupKey<'_>, &Group<'_>), Uuid)],
) -> sqlx::Result<Vec<Derived>> {
    if completed.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, Timestamp, String, Vec<u8>)> = sqlx::query_as(
        "SELECT DISTINCT ON (a.nth) a.nth, e.occurred_at, e.signal::text, e.content_sha256
           FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS a(tenant_id, rule_id, event_id, nth)
           JOIN risk_correlation_event AS e USING (tenant_id, rule_id, event_id)
          ORDER BY a.nth, e.reference COLLATE \"C\"",
    )
    .bind(completed.iter().map(|((key, _), _)| key.0).collect::<Vec<_>>())
    .bind(completed.iter().map(|((key, _), _)| key.1).collect::<Vec<_>>())
    .bind(completed.iter().map(|(_, event)| *event).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let mut derived = Vec::new();
    for (nth, occurred_at, signal, content_sha256) in rows {
        let place = usize::try_from(nth - 1).ok().and_then(|place| completed.get(place));
        let Some((((tenant, ..), group), event)) = place else { continue };
        let wrong = |what: &str| sqlx::Error::Decode(format!("{what} of a correlated event").into());
        let tenant = TenantId::new(tenant).map_err(|_| wrong("the tenant"))?;
        let event = EventId::new(*event).ok_or_else(|| wrong("the id"))?;
        let content_sha256 = <[u8; 32]>::try_from(content_sha256).map_err(|_| wrong("content_sha256"))?;
        let signal: CorrelationSignal = decoded(&signal)?;
        let (partition, offset) = group.from;
        for signal in signal.signals(&tenant, (event, occurred_at), content_sha256) {
            derived.push(Derived { change: RiskChange::Signal(Box::new(signal)), partition, offset });
        }
    }
    Ok(derived)
}

/// Writes those signals that are not there yet, and answers with them: a rule's id may stand for several rules.
async fn store(tx: &mut PgConnection, mut derived: Vec<Derived>) -> sqlx::Result<Vec<Derived>> {
    if derived.is_empty() {
        return Ok(derived);
    }
    derived.sort_by(|a, b| facts::key(&a.change).cmp(&facts::key(&b.change)));
    derived.dedup_by(|a, b| facts::key(&a.change) == facts::key(&b.change));
    let all: Vec<Fact<'_, RiskChange>> = derived.iter().map(Derived::fact).collect();
    let known: Vec<bool> = facts::stored_content(tx, &all).await?.iter().map(Option::is_some).collect();
    let mut known = known.into_iter();
    derived.retain(|_| known.next() == Some(false));
    let new: Vec<Fact<'_, RiskChange>> = derived.iter().map(Derived::fact).collect();
    facts::write(tx, &new).await?;
    Ok(derived)
}

/// Writes the events, sorted by key.
pub(super) async fn insert(tx: &mut PgConnection, parts: &[&CorrelationPart]) -> sqlx::Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO risk_correlation_event (occurred_at, event_id, tenant_id, rule_id, reference, group_key, value,
             terms, signal, content_sha256)
         SELECT occurred_at, event_id, tenant_id, rule_id, reference, group_key, value, terms::jsonb, signal::jsonb,
                content_sha256
           FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::bytea[])
             AS a(occurred_at, event_id, tenant_id, rule_id, reference, group_key, value, terms, signal, content_sha256)",
    )
    .bind(each(parts, |part| part.occurred_at))
    .bind(each(parts, |part| *part.event_id.as_uuid()))
    .bind(each(parts, |part| part.tenant.as_str()))
    .bind(each(parts, |part| part.signal.rule.id.as_str()))
    .bind(each(parts, |part| part.reference.as_str()))
    .bind(each(parts, |part| part.group.as_str()))
    .bind(each(parts, |part| part.value.as_str()))
    .bind(each(parts, |part| encoded(&part.terms)))
    .bind(each(parts, |part| encoded(&part.signal)))
    .bind(each(parts, |part| part.content_sha256.as_slice()))
    .execute(tx)
    .await
    .map(drop)
}

/// One column of the rows.
fn each<'a, C>(parts: &[&'a CorrelationPart], of: impl Fn(&'a CorrelationPart) -> C) -> Vec<C> {
    parts.iter().map(|part| of(part)).collect()
}

fn encoded<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and numbers serialise")
}

fn decoded<T: serde::de::DeserializeOwned>(text: &str) -> sqlx::Result<T> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}
