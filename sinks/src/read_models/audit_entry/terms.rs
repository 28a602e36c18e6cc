//! The dictionary of the audit log: which terms each tenant has in which field, and on which days they were seen.
//!
//! Terms are written before the rows that hold them, so that a search for a term that is not in the dictionary need not
//! look at any row. A process remembers what it has written: a term costs a statement when it is new, and once a day.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use foldhash::fast::RandomState;
use schemas::changes::AuditEntry;
use sqlx::PgConnection;

use crate::{postgres::row_type::row_type, read_models::Fact};

/// Most terms of one tenant and field. A field that has more is marked, and what is new in it is not noted any more.
pub(crate) const MAX_TERMS: i64 = 20_000;
/// Terms remembered by one process; beyond it the memory is cleared.
const MAX_REMEMBERED: usize = 200_000;
/// Ranges of days remembered for one term.
const MAX_RANGES: usize = 8;
/// New terms of one tenant and field after which it is checked whether the field is full.
const LOOK_EVERY: u32 = 1_000;
/// SQLSTATE of a lock that is not available in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Rows after which a term's count is written, unless another write carries it earlier.
const COUNT_EVERY: u32 = 10_000;

/// A field of which the terms are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Field {
    Actor,
    ActorName,
    Action,
    Resource,
    /// A resource of an entry, and not its first.
    OtherResource,
    Project,
    Source,
    OutcomeCode,
    Kind,
    Address,
    Outcome,
}

impl Field {
    pub(super) const ALL: [Self; 11] = [
        Self::Actor,
        Self::ActorName,
        Self::Action,
        Self::Resource,
        Self::OtherResource,
        Self::Project,
        Self::Source,
        Self::OutcomeCode,
        Self::Kind,
        Self::Address,
        Self::Outcome,
    ];

    /// The fields in which a text is looked for.
    pub(super) const OF_TEXT: [Self; 8] = [
        Self::Actor,
        Self::ActorName,
        Self::Action,
        Self::Resource,
        Self::OtherResource,
        Self::Project,
        Self::Source,
        Self::OutcomeCode,
    ];

    /// The fields whose terms the filters of block ranges know.
    pub(super) const OF_KEYS: [Self; 7] = [
        Self::Actor,
        Self::ActorName,
        Self::Action,
        Self::Resource,
        Self::OtherResource,
        Self::Source,
        Self::Address,
    ];

    /// The field's name in the dictionary.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::ActorName => "actor_name",
            Self::Action => "action",
            Self::Resource => "resource",
            Self::OtherResource => "other_resource",
            Self::Project => "project",
            Self::Source => "source",
            Self::OutcomeCode => "outcome_code",
            Self::Kind => "kind",
            Self::Address => "address",
            Self::Outcome => "outcome",
        }
    }

    /// Passes over the filters of block ranges that a lookup of one term takes. Of an entry's other resources they know the
    /// first four, each by its place, and that there are more.
    pub(super) const fn passes(self) -> usize {
        match self {
            Self::OtherResource => 5,
            _ => 1,
        }
    }

    fn terms(self, entry: &AuditEntry) -> impl Iterator<Item = &str> {
        let others = match self {
            Self::OtherResource => entry.other_resources.as_slice(),
            _ => &[],
        };
        self.term(entry).into_iter().chain(others.iter().map(String::as_str))
    }

    /// The term of a field that has one at most.
    fn term(self, entry: &AuditEntry) -> Option<&str> {
        match self {
            Self::OtherResource => None,
            Self::Actor => Some(&entry.actor),
            Self::ActorName => entry.actor_name.as_deref(),
            Self::Action => Some(&entry.action),
            Self::Resource => entry.resource.as_deref(),
            Self::Project => entry.project.as_deref(),
            Self::Source => Some(&entry.source),
            Self::OutcomeCode => entry.outcome_code.as_deref(),
            Self::Kind => Some(entry.kind),
            Self::Address => entry.actor_ip.as_deref(),
            Self::Outcome => Some(entry.outcome.name()),
        }
    }
}

/// A term that was seen on a day, as it is sent.
#[derive(sqlx::Encode)]
struct Row<'a> {
    tenant_id: &'a str,
    field: &'a str,
    term: &'a str,
    day: NaiveDate,
    seen: i64,
}

row_type!(Row, "audit_term_row");

/// Rows of a term that this process has written.
#[derive(Debug, Default, Clone)]
struct Known {
    /// First and last day of each range, none next to another.
    days: Vec<(NaiveDate, NaiveDate)>,
    /// Rows that are not in the stored count yet.
    uncounted: u32,
}

impl Known {
    fn has(&self, day: NaiveDate) -> bool {
        self.days.iter().any(|(first, last)| (*first..=*last).contains(&day))
    }

    fn add(&mut self, day: NaiveDate) {
        let next = |day: NaiveDate| day.succ_opt().unwrap_or(day);
        if let Some(range) = self.days.iter_mut().find(|range| next(range.1) == day) {
            range.1 = day;
        } else if let Some(range) = self.days.iter_mut().find(|range| next(day) == range.0) {
            range.0 = day;
        } else if !self.has(day) {
            if self.days.len() == MAX_RANGES {
                self.days.remove(0);
            }
            self.days.push((day, day));
        }
    }
}

/// The terms of one tenant and field.
#[derive(Debug, Default)]
struct OfField {
    terms: HashMap<Box<str>, Known, RandomState>,
    /// New terms since it was looked whether the field is full.
    new: u32,
    /// The field is full: a term that is not among these is not noted.
    full: bool,
}

/// The terms of one tenant, by field.
type OfTenant = [OfField; Field::ALL.len()];

/// The terms that this process knows to be written.
#[derive(Debug, Default)]
pub(super) struct Terms {
    tenants: HashMap<Box<str>, OfTenant, RandomState>,
    remembered: usize,
}

impl Terms {
    /// Writes the terms of these facts that are not known to be in the dictionary, each with its days.
    pub(super) async fn learn(
        &mut self,
        connection: &mut PgConnection,
        facts: &[Fact<'_, AuditEntry>],
    ) -> sqlx::Result<()> {
        let new = self.unknown(facts);
        if new.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row<'_>> = new
            .iter()
            .map(|((tenant_id, field, term, day), seen)| Row {
                tenant_id,
                field: field.name(),
                term,
                day: *day,
                seen: i64::from(*seen),
            })
            .collect();
        let learn = sqlx::query("SELECT audit_terms_learn($1, $2)").bind(rows).bind(MAX_TERMS);
        learn.execute(&mut *connection).await?;
        for (tenant, field, term, day) in new.keys() {
            self.remember(tenant, *field, term, *day);
        }
        let mut fields: Vec<(&str, Field)> =
            new.keys().map(|(tenant, field, ..)| (*tenant, *field)).collect();
        fields.dedup();
        for (tenant, field) in fields {
            self.look_whether_full(connection, tenant, field).await?;
        }
        Ok(())
    }

    /// Learns all terms of a field that takes no more. Where another's lock is in the way, it is looked again later.
    async fn look_whether_full(
        &mut self,
        connection: &mut PgConnection,
        tenant: &str,
        field: Field,
    ) -> sqlx::Result<()> {
        let of_field = self.tenants.get_mut(tenant).map(|fields| &mut fields[field as usize]);
        let Some(of_field) = of_field.filter(|own| !own.full && own.new >= LOOK_EVERY) else {
            return Ok(());
        };
        of_field.new = 0;
        let all: sqlx::Result<Vec<Option<String>>> =
            sqlx::query_scalar("SELECT audit_terms_of_full_field($1, $2)")
                .bind(tenant)
                .bind(field.name())
                .fetch_all(connection)
                .await;
        let all = match all {
            Ok(all) => all,
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| code == LOCK_NOT_AVAILABLE) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if all.iter().any(Option::is_none) {
            return Ok(());
        }
        let before = std::mem::take(&mut of_field.terms);
        of_field.terms.extend(all.into_iter().flatten().map(|term| {
            let known = before.get(term.as_str()).cloned().unwrap_or_default();
            (term.into_boxed_str(), known)
        }));
        of_field.full = true;
        self.remembered = self.tenants.values().flatten().map(|field| field.terms.len()).sum();
        Ok(())
    }

    /// Terms and days to write, with the number of rows that were not counted yet.
    fn unknown<'a>(
        &mut self,
        facts: &[Fact<'a, AuditEntry>],
    ) -> BTreeMap<(&'a str, Field, &'a str, NaiveDate), u32> {
        let mut new = BTreeMap::new();
        for fact in facts {
            let entry = fact.change;
            let (tenant, day) = (entry.tenant.as_str(), entry.occurred_at.date_naive());
            let mut of_tenant = self.tenants.get_mut(tenant);
            let terms =
                Field::ALL.into_iter().flat_map(|field| field.terms(entry).map(move |term| (field, term)));
            for (field, term) in terms {
                let of_field = of_tenant.as_mut().map(|fields| &mut fields[field as usize]);
                let is_full = of_field.as_ref().is_some_and(|own| own.full);
                let uncounted = match of_field.and_then(|own| own.terms.get_mut(term)) {
                    Some(known) if known.has(day) && known.uncounted < COUNT_EVERY => {
                        known.uncounted += 1;
                        continue;
                    }
                    Some(known) => std::mem::take(&mut known.uncounted) + 1,
                    None if is_full => continue,
                    None => 1,
                };
                *new.entry((tenant, field, term, day)).or_default() += uncounted;
            }
        }
        new
    }

    fn remember(&mut self, tenant: &str, field: Field, term: &str, day: NaiveDate) {
        if self.remembered >= MAX_REMEMBERED {
            self.tenants.clear();
            self.remembered = 0;
        }
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.into(), OfTenant::default());
        }
        let Some(fields) = self.tenants.get_mut(tenant) else { return };
        let own = &mut fields[field as usize];
        if !own.terms.contains_key(term) {
            own.terms.insert(term.into(), Known::default());
            own.new += 1;
            self.remembered += 1;
        }
        if let Some(known) = own.terms.get_mut(term) {
            known.add(day);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn days_are_remembered_as_ranges() {
        let mut known = Known::default();
        for text in ["2026-01-02", "2026-01-03", "2026-01-01", "2026-03-01", "2026-01-02"] {
            known.add(day(text));
        }
        assert_eq!(known.days.len(), 2, "{known:?}");
        assert!(
            known.has(day("2026-01-01")) && known.has(day("2026-03-01")) && !known.has(day("2026-02-01"))
        );
        for n in 1..20 {
            known.add(day("2027-01-01") + chrono::Days::new(2 * n));
        }
        assert_eq!(known.days.len(), MAX_RANGES, "what is forgotten is written once more");
    }
}
