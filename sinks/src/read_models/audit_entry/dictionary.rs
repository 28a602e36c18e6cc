//! Looking filters up in the dictionary of terms: on which days entries can be, about how many there are, and
//! by which terms the filters of block ranges find them.

use chrono::NaiveDate;
use schemas::{TenantId, Timestamp};
use sqlx::{FromRow, PgConnection};

use super::{
    filter::{AuditFilter, AuditOutcome, like_literal},
    terms::Field,
    window::{Window, in_common, midnight},
};
use crate::read_models::snapshot::ReadError;

/// Most terms that a text may match in the dictionary; beyond it, it is common enough to be found by walking.
const MAX_TEXT_TERMS: i64 = 5_000;
/// Most terms of a text that are looked up in the filters of block ranges, and most passes over them.
const MAX_KEYS: usize = 8;
const MAX_PASSES: usize = 16;
/// A term is rare if no more than one in so many of the tenant's entries holds it.
const RARE: i64 = 250;
/// Entries that a term is taken to have which is not in the dictionary because its field has too many.
const UNCOUNTED: i64 = 1_000;
/// Number of the text among the parts of a filter.
const TEXT: i32 = -1;
/// Name of the field in the filters of block ranges of which no terms are kept.
const CORRELATION: &str = "correlation";

/// Each part of a filter: the days on which any of its terms was seen, or always where not all terms are
/// kept, the number of entries, and the terms. With it the number of all entries of the tenant.
const LOOKUP: &str = "WITH wanted AS (
       SELECT w.number, w.field, w.term, t.seen, t.term IS NOT NULL AS is_kept,
              t.term IS NULL AND f.overflowed IS TRUE AS is_uncounted,
              CASE WHEN t.term IS NOT NULL THEN t.days WHEN f.overflowed THEN '{(,)}'::datemultirange
                   ELSE '{}'::datemultirange END AS days
         FROM unnest($2::int[], $3::text[], $4::text[]) AS w(number, field, term)
         LEFT JOIN audit_term AS t ON t.tenant_id = $1 AND t.field = w.field AND t.term = w.term COLLATE \"C\"
         LEFT JOIN audit_term_field AS f ON f.tenant_id = $1 AND f.field = w.field
     ), matching AS MATERIALIZED (
       SELECT field, term, days, seen FROM audit_term
        WHERE $6::text IS NOT NULL AND tenant_id = $1 AND field = ANY ($5::text[])
          AND term COLLATE \"default\" ILIKE $6 ESCAPE '\\' LIMIT $7
     ), found AS (
       SELECT count(*) >= $7 OR EXISTS (SELECT FROM audit_term_field
                                         WHERE tenant_id = $1 AND field = ANY ($5) AND overflowed) AS is_part
         FROM matching
     ), part AS (
       SELECT number, range_agg(days) AS days, coalesce(sum(seen), 0)::bigint AS seen,
              bool_or(is_uncounted) AS is_uncounted,
              coalesce(array_agg(field) FILTER (WHERE is_kept OR is_uncounted), '{}') AS fields,
              coalesce(array_agg(term) FILTER (WHERE is_kept OR is_uncounted), '{}') AS terms
         FROM wanted GROUP BY number
       UNION ALL
       SELECT $8, CASE WHEN (SELECT is_part FROM found) THEN '{(,)}'::datemultirange
                       ELSE coalesce(range_agg(days), '{}'::datemultirange) END,
              coalesce(sum(seen), 0)::bigint, (SELECT is_part FROM found),
              ARRAY(SELECT field FROM matching ORDER BY field, term LIMIT $9),
              ARRAY(SELECT term FROM matching ORDER BY field, term LIMIT $9)
         FROM matching HAVING $6 IS NOT NULL
     )
     SELECT number, ARRAY(SELECT lower(r) FROM unnest(days) AS r ORDER BY lower(r) DESC NULLS LAST) AS firsts,
            ARRAY(SELECT upper(r) FROM unnest(days) AS r ORDER BY lower(r) DESC NULLS LAST) AS nexts,
            seen, is_uncounted, fields, terms,
            (SELECT coalesce(sum(seen), 0)::bigint FROM audit_term
              WHERE tenant_id = $1 AND field = 'outcome') AS entries
       FROM part";

/// One part of a filter, as the dictionary knows it.
#[derive(Debug, FromRow)]
struct Part {
    number: i32,
    /// The first day of each range of days, newest first.
    firsts: Vec<Option<NaiveDate>>,
    /// The day after each of these ranges.
    nexts: Vec<Option<NaiveDate>>,
    seen: i64,
    is_uncounted: bool,
    fields: Vec<String>,
    terms: Vec<String>,
    entries: i64,
}

/// Terms of which each wanted entry holds one, as the filters of block ranges know them: each in the field of
/// its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) fields: Vec<String>,
    pub(super) terms: Vec<String>,
    /// About how many entries hold one, where it is known.
    pub(super) seen: Option<i64>,
}

/// Days and terms by which the entries of a filter are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lookup {
    /// The ranges of days on which there may be some, newest first.
    pub(super) windows: Vec<Window>,
    /// The terms to look them up by; none where walking is quicker, or no filter of block ranges knows a
    /// part.
    pub(super) keys: Option<Keys>,
}

/// Looks a filter up in the dictionary. The filter's own range of time is left aside.
pub(super) async fn lookup(
    connection: &mut PgConnection,
    tenant: &TenantId,
    filter: &AuditFilter,
) -> Result<Lookup, ReadError> {
    let (mut numbers, mut fields, mut terms) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (of, term)) in constraints(filter).into_iter().enumerate() {
        for field in of {
            numbers.push(i32::try_from(number).unwrap_or(i32::MAX));
            fields.push(field.name());
            terms.push(term);
        }
    }
    // A line break stands between the fields when a text is looked for in all of them: then it may match
    // across two.
    let text = filter.text.as_deref().filter(|text| !text.contains('\n'));
    let parts = if numbers.is_empty() && text.is_none() {
        Vec::new()
    } else {
        sqlx::query_as(LOOKUP)
            .bind(tenant.as_str())
            .bind(numbers)
            .bind(fields)
            .bind(terms)
            .bind(Field::OF_TEXT.map(Field::name).to_vec())
            .bind(text.map(|text| format!("%{}%", like_literal(text))))
            .bind(MAX_TEXT_TERMS)
            .bind(TEXT)
            .bind(i64::try_from(MAX_KEYS + 1).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?
    };
    Ok(judge(&parts, filter.correlation.as_deref()))
}

/// The windows that all parts have in common, and the best part to look entries up by.
fn judge(parts: &[Part], correlation: Option<&str>) -> Lookup {
    let mut windows = vec![Window { from: None, to: None }];
    for part in parts {
        windows = in_common(&windows, &part.windows());
    }
    let of_correlation = correlation.map(|term| Keys {
        fields: vec![CORRELATION.to_owned()],
        terms: vec![term.to_owned()],
        seen: None,
    });
    let known = parts.iter().filter_map(Part::keys).chain(of_correlation);
    let keys = known.min_by_key(|keys| keys.seen.unwrap_or(UNCOUNTED));
    let entries = parts.first().map_or(i64::MAX, |part| part.entries);
    let is_rare = |keys: &Keys| keys.seen.is_none_or(|seen| seen.saturating_mul(RARE) <= entries);
    Lookup { windows, keys: keys.filter(is_rare) }
}

impl Part {
    fn windows(&self) -> Vec<Window> {
        let instant = |day: &Option<NaiveDate>| -> Option<Timestamp> { day.and_then(midnight) };
        let ends = self.firsts.iter().zip(&self.nexts);
        ends.map(|(first, next)| Window { from: instant(first), to: instant(next) }).collect()
    }

    /// Its terms, if the filters of block ranges know all of them.
    fn keys(&self) -> Option<Keys> {
        let is_part_of_text = self.number == TEXT && self.is_uncounted;
        let passes =
            |name: &String| Field::OF_KEYS.into_iter().find(|field| field.name() == name).map(Field::passes);
        let passes = self.fields.iter().map(passes).sum::<Option<usize>>()?;
        let are_few = (1..=MAX_KEYS).contains(&self.fields.len()) && passes <= MAX_PASSES;
        (are_few && !is_part_of_text).then(|| Keys {
            fields: self.fields.clone(),
            terms: self.terms.clone(),
            seen: (!self.is_uncounted).then_some(self.seen),
        })
    }
}

/// The filter's parts that the dictionary knows of: any of the fields must hold the term.
fn constraints(filter: &AuditFilter) -> Vec<(Vec<Field>, &str)> {
    [
        (vec![Field::Actor, Field::ActorName], filter.actor.as_deref()),
        (vec![Field::Action], filter.action.as_deref()),
        (vec![Field::Resource, Field::OtherResource], filter.resource.as_deref()),
        (vec![Field::Project], filter.project.as_deref()),
        (vec![Field::Source], filter.source.as_deref()),
        (vec![Field::Kind], filter.kind.as_deref()),
        (vec![Field::Address], filter.address.as_deref()),
        (vec![Field::Outcome], filter.outcome.map(AuditOutcome::name)),
    ]
    .into_iter()
    .filter_map(|(fields, term)| Some((fields, term?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: i32, field: &str, seen: i64) -> Part {
        Part {
            number,
            firsts: vec![None],
            nexts: vec![None],
            seen,
            is_uncounted: false,
            fields: vec![field.to_owned()],
            terms: vec!["x".to_owned()],
            entries: 1_000_000,
        }
    }

    fn fields(parts: &[Part], correlation: Option<&str>) -> Option<Vec<String>> {
        judge(parts, correlation).keys.map(|keys| keys.fields)
    }

    #[test]
    fn the_rarest_part_that_has_a_filter_is_looked_up() {
        assert_eq!(
            fields(&[part(0, "action", 900), part(1, "resource", 90)], None).expect("rare"),
            ["resource"]
        );
        assert_eq!(fields(&[part(0, "action", 900), part(1, "kind", 1)], None).expect("rare"), ["action"]);
        assert_eq!(fields(&[part(0, "kind", 1)], None), None, "no filter knows a kind");
        assert_eq!(fields(&[part(0, "action", 4_000)], None).expect("rare"), ["action"]);
        assert_eq!(fields(&[part(0, "action", 4_001)], None), None, "walking is quicker");
        assert_eq!(fields(&[part(0, "action", 500_000)], Some("run")).expect("rare"), ["correlation"]);
        assert_eq!(fields(&[part(0, "action", 20)], Some("run")).expect("rare"), ["action"]);
        assert_eq!(fields(&[], Some("run")).expect("unknown"), ["correlation"]);
    }

    #[test]
    fn a_term_of_a_full_field_is_looked_up_and_a_text_that_may_match_others_is_not() {
        let uncounted = |number, field| Part { is_uncounted: true, ..part(number, field, 0) };
        let keys = judge(&[uncounted(0, "address")], None).keys.expect("it may be rare");
        assert_eq!((keys.fields, keys.seen), (vec!["address".to_owned()], None));
        assert_eq!(fields(&[uncounted(TEXT, "action")], None), None);
        assert_eq!(fields(&[part(TEXT, "action", 9)], None).expect("rare"), ["action"]);
        let many =
            |count, field: &str| Part { fields: vec![field.to_owned(); count], ..part(TEXT, field, 9) };
        assert_eq!(fields(&[many(9, "action")], None), None);
        assert_eq!(fields(&[many(3, "other_resource")], None).expect("few enough").len(), 3);
        assert_eq!(fields(&[many(4, "other_resource")], None), None, "each takes several passes");
    }

    #[test]
    fn a_resource_is_looked_up_wherever_it_stands_in_an_entry() {
        let filter = AuditFilter { resource: Some("bucket".to_owned()), ..AuditFilter::default() };
        assert_eq!(constraints(&filter), [(vec![Field::Resource, Field::OtherResource], "bucket")]);
        let both = ["resource", "other_resource"].map(str::to_owned);
        let found = Part { fields: both.to_vec(), ..part(0, "resource", 9) };
        assert_eq!(fields(&[found], None).expect("rare"), both);
    }

    #[test]
    fn windows_are_those_of_all_parts() {
        let day = |text: &str| Some(text.parse().expect("a day"));
        let on =
            |first, next| Part { firsts: vec![day(first)], nexts: vec![day(next)], ..part(0, "kind", 1) };
        let (early, late) = (on("2026-01-01", "2026-01-05"), on("2026-01-04", "2026-01-09"));
        let found = judge(&[early, late], None).windows;
        let expected = Window {
            from: Some("2026-01-04T00:00:00Z".parse().expect("an instant")),
            to: Some("2026-01-05T00:00:00Z".parse().expect("an instant")),
        };
        assert_eq!(found, [expected]);
        let nowhere = Part { firsts: Vec::new(), nexts: Vec::new(), ..part(0, "kind", 0) };
        assert_eq!(judge(&[nowhere], None).windows, []);
    }
}
