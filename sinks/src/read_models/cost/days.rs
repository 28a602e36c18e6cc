//! Days of series, derived from charges, and the sums of days that answer most questions.
//!
//! | table | a row for each | answers |
//! |---|---|---|
//! | `cost_daily` | series, day, instant of knowledge | everything |
//! | `cost_monthly` | series, month, instant | questions about whole months, by any dimension or tag |
//! | `cost_daily_group` | group of series, day, instant | questions that name no resource, SKU, unit or tag |
//!
//! A group is a series without resource, SKU, units and tags; its row in `cost_series` is that series. All three are sums
//! of the same entries, without trailing zeros, so that any order of the entries gives the same bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use foldhash::fast::RandomState;
use projections::cost::{Entry, Sign, entries};
use rust_decimal::Decimal;
use schemas::{Timestamp, changes::cost::CostSeries};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    charges::Keyed,
    table::{EntryRow, ScopeKey, ScopeRow},
};

/// Times at which a scope was replaced.
type Replacements = BTreeSet<Timestamp>;

/// Writes what follows from charges; the scopes that were replaced.
pub(super) async fn write<'a>(
    tx: &mut PgConnection,
    charges: &[Keyed<'a>],
) -> sqlx::Result<BTreeSet<ScopeKey<'a>>> {
    if charges.is_empty() {
        return Ok(BTreeSet::new());
    }
    // All locks first, in their order; what is read afterwards is everything that others have committed.
    let mut replaced = lock_scopes(tx, charges).await?;
    let mut anew: BTreeSet<ScopeKey<'a>> = BTreeSet::new();
    for keyed in charges.iter().filter(|keyed| keyed.charge.replaces) {
        let scope = keyed.scope();
        if replaced.entry(scope).or_default().insert(keyed.charge.known_at) {
            anew.insert(scope);
        }
    }
    for scope in &anew {
        derive_anew(tx, *scope, &replaced[scope]).await?;
    }
    let mut sums = Sums::default();
    for keyed in charges {
        let scope = keyed.scope();
        if !anew.contains(&scope) {
            for entry in entries(keyed.charge.known_at, &replaced[&scope]) {
                sums.add(entry_row(keyed, entry));
            }
        }
    }
    add(tx, &sums.into_rows()).await?;
    metrics::counter!("weir_cost_scopes_replaced_total").increment(anew.len() as u64);
    Ok(anew)
}

/// The days of a scope.
pub(super) async fn of_scope(tx: &mut PgConnection, scope: ScopeKey<'_>) -> sqlx::Result<Vec<NaiveDate>> {
    sqlx::query_scalar(
        "SELECT DISTINCT d.day FROM cost_daily AS d JOIN cost_series AS s USING (tenant_id, series_key)
          WHERE s.tenant_id = $1 AND s.scope_key = $2",
    )
    .bind(scope.tenant_id)
    .bind(scope.scope_key)
    .fetch_all(tx)
    .await
}

/// Makes the scopes that are missing and locks all, in the order of the primary key; when each was replaced.
async fn lock_scopes<'a>(
    tx: &mut PgConnection,
    charges: &[Keyed<'a>],
) -> sqlx::Result<BTreeMap<ScopeKey<'a>, Replacements>> {
    let mut scopes: BTreeMap<ScopeKey<'a>, &CostSeries> = BTreeMap::new();
    for keyed in charges {
        scopes.entry(keyed.scope()).or_insert(&keyed.charge.series);
    }
    let rows = scopes.iter().map(|(scope, series)| ScopeRow {
        tenant_id: scope.tenant_id,
        scope_key: scope.scope_key,
        provider: &series.provider,
        billing_account: &series.billing_account,
        billing_period: series.billing_period,
    });
    ScopeRow::insert_missing(tx, &rows.collect::<Vec<_>>()).await?;
    let keys: Vec<ScopeKey<'a>> = scopes.into_keys().collect();
    let replaced: Vec<Vec<Timestamp>> = sqlx::query_scalar(
        "SELECT s.replaced_at
           FROM unnest($1::cost_scope_key[]) WITH ORDINALITY AS a(tenant_id, scope_key, nth)
           JOIN cost_scope AS s USING (tenant_id, scope_key) ORDER BY a.nth FOR UPDATE OF s",
    )
    .bind(&keys)
    .fetch_all(tx)
    .await?;
    if replaced.len() != keys.len() {
        return Err(sqlx::Error::RowNotFound);
    }
    Ok(keys.into_iter().zip(replaced.into_iter().map(|instants| instants.into_iter().collect())).collect())
}

/// Removes the sums of a scope, in this order.
const REMOVE: [&str; 3] = [
    "DELETE FROM cost_daily_group AS d USING (
            SELECT DISTINCT group_key FROM cost_series WHERE tenant_id = $1 AND scope_key = $2) AS s
      WHERE d.tenant_id = $1 AND d.series_key = s.group_key",
    "DELETE FROM cost_monthly AS d USING cost_series AS s
      WHERE s.tenant_id = $1 AND s.scope_key = $2 AND d.tenant_id = s.tenant_id AND d.series_key = s.series_key",
    "DELETE FROM cost_daily AS d USING cost_series AS s
      WHERE s.tenant_id = $1 AND s.scope_key = $2 AND d.tenant_id = s.tenant_id AND d.series_key = s.series_key",
];
/// Sums the days of a scope up.
const SUM_UP: [&str; 2] = [
    "INSERT INTO cost_monthly (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                               consumed_quantity, pricing_quantity)
     SELECT d.tenant_id, d.series_key, date_trunc('month', d.day::timestamp)::date, d.known_at, sum(d.charges),
            trim_scale(sum(d.billed)), trim_scale(sum(d.effective)), trim_scale(sum(d.list)),
            trim_scale(sum(d.contracted)), trim_scale(sum(d.consumed_quantity)), trim_scale(sum(d.pricing_quantity))
       FROM cost_series AS s JOIN cost_daily AS d USING (tenant_id, series_key)
      WHERE s.tenant_id = $1 AND s.scope_key = $2 GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4",
    "INSERT INTO cost_daily_group (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                                   consumed_quantity, pricing_quantity)
     SELECT d.tenant_id, s.group_key, d.day, d.known_at, sum(d.charges),
            trim_scale(sum(d.billed)), trim_scale(sum(d.effective)), trim_scale(sum(d.list)),
            trim_scale(sum(d.contracted)), trim_scale(sum(d.consumed_quantity)), trim_scale(sum(d.pricing_quantity))
       FROM cost_series AS s JOIN cost_daily AS d USING (tenant_id, series_key)
      WHERE s.tenant_id = $1 AND s.scope_key = $2 GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4",
];

/// Notes when a scope was replaced, and derives its sums again from all of its charges: what replaces may
/// have come before or after what it replaces.
async fn derive_anew(
    tx: &mut PgConnection,
    scope: ScopeKey<'_>,
    replaced: &Replacements,
) -> sqlx::Result<()> {
    let replaced: Vec<Timestamp> = replaced.iter().copied().collect();
    sqlx::query("UPDATE cost_scope SET replaced_at = $3 WHERE tenant_id = $1 AND scope_key = $2")
        .bind(scope.tenant_id)
        .bind(scope.scope_key)
        .bind(&replaced)
        .execute(&mut *tx)
        .await?;
    for statement in REMOVE {
        sqlx::query(statement).bind(scope.tenant_id).bind(scope.scope_key).execute(&mut *tx).await?;
    }
    // The rule of `projections::cost::entries`, where the charges are.
    sqlx::query(
        "INSERT INTO cost_daily (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                                 consumed_quantity, pricing_quantity, covers_until)
         SELECT c.tenant_id, c.series_key, (c.charge_period_start AT TIME ZONE 'UTC')::date, e.known_at, sum(e.sign),
                trim_scale(sum(e.sign * c.billed)), trim_scale(sum(e.sign * coalesce(c.effective, 0))),
                trim_scale(sum(e.sign * coalesce(c.list, 0))), trim_scale(sum(e.sign * coalesce(c.contracted, 0))),
                trim_scale(sum(e.sign * coalesce(c.consumed_quantity, 0))),
                trim_scale(sum(e.sign * coalesce(c.pricing_quantity, 0))),
                max(c.charge_period_end) FILTER (WHERE e.sign > 0)
           FROM cost_charge AS c
          CROSS JOIN LATERAL (
                SELECT c.known_at, 1 AS sign
                UNION ALL
                SELECT min(r.at), -1 FROM unnest($3::timestamptz[]) AS r(at)
                 WHERE r.at > c.known_at HAVING min(r.at) IS NOT NULL) AS e
          WHERE c.tenant_id = $1 AND c.scope_key = $2
          GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4",
    )
    .bind(scope.tenant_id)
    .bind(scope.scope_key)
    .bind(&replaced)
    .execute(&mut *tx)
    .await?;
    for statement in SUM_UP {
        sqlx::query(statement).bind(scope.tenant_id).bind(scope.scope_key).execute(&mut *tx).await?;
    }
    Ok(())
}

/// A charge's entry in the day of its series.
fn entry_row<'a>(keyed: &Keyed<'a>, entry: Entry) -> EntryRow<'a> {
    let (charge, amounts) = (keyed.charge, &keyed.charge.amounts);
    let signed = |amount: Decimal| if entry.sign == Sign::Plus { amount } else { -amount };
    let optional = |amount: Option<Decimal>| signed(amount.unwrap_or_default());
    EntryRow {
        tenant_id: keyed.tenant(),
        series_key: keyed.keys.series,
        day: charge.charge_period_start.date_naive(),
        known_at: entry.known_at,
        charges: if entry.sign == Sign::Plus { 1 } else { -1 },
        billed: signed(amounts.billed),
        effective: optional(amounts.effective),
        list: optional(amounts.list),
        contracted: optional(amounts.contracted),
        consumed_quantity: optional(amounts.consumed_quantity),
        pricing_quantity: optional(amounts.pricing_quantity),
        covers_until: (entry.sign == Sign::Plus).then_some(charge.charge_period_end),
    }
}

/// Entries, added up by tenant, series, day and instant as far as 28 digits hold every digit of the sum.
#[derive(Default)]
struct Sums<'a> {
    sums: HashMap<(&'a str, Uuid, NaiveDate, Timestamp), EntryRow<'a>, RandomState>,
    /// Entries whose sum has more digits; Postgres adds them.
    beyond: Vec<EntryRow<'a>>,
}

impl<'a> Sums<'a> {
    fn add(&mut self, row: EntryRow<'a>) {
        let key = (row.tenant_id, row.series_key, row.day, row.known_at);
        match self.sums.get_mut(&key) {
            None => {
                self.sums.insert(key, row);
            }
            Some(sum) => match added(sum, &row) {
                Some(added) => *sum = added,
                None => self.beyond.push(row),
            },
        }
    }

    /// The rows, sorted by key.
    fn into_rows(self) -> Vec<EntryRow<'a>> {
        let mut rows: Vec<EntryRow<'a>> = self.sums.into_values().chain(self.beyond).collect();
        rows.sort_by(|a, b| {
            (a.tenant_id, a.series_key, a.day, a.known_at).cmp(&(
                b.tenant_id,
                b.series_key,
                b.day,
                b.known_at,
            ))
        });
        rows
    }
}

fn added<'a>(a: &EntryRow<'a>, b: &EntryRow<'a>) -> Option<EntryRow<'a>> {
    Some(EntryRow {
        charges: a.charges.checked_add(b.charges)?,
        billed: exact_sum(a.billed, b.billed)?,
        effective: exact_sum(a.effective, b.effective)?,
        list: exact_sum(a.list, b.list)?,
        contracted: exact_sum(a.contracted, b.contracted)?,
        consumed_quantity: exact_sum(a.consumed_quantity, b.consumed_quantity)?,
        pricing_quantity: exact_sum(a.pricing_quantity, b.pricing_quantity)?,
        covers_until: a.covers_until.max(b.covers_until),
        ..*a
    })
}

/// The sum, unless it has more digits than a decimal holds: the library would round.
fn exact_sum(a: Decimal, b: Decimal) -> Option<Decimal> {
    // Rounding takes places away: with all of them, nothing was rounded.
    if let Some(sum) = a.checked_add(b).filter(|sum| sum.scale() == a.scale().max(b.scale())) {
        return Some(sum);
    }
    let (a, b) = (a.normalize(), b.normalize());
    let scale = a.scale().max(b.scale());
    let sum = a.checked_add(b)?;
    // A sum of nothing has no scale.
    (sum.is_zero() || sum.scale() == scale).then_some(sum)
}

/// Adds entries to the days and to their sums; Postgres sums, for it has as many digits as it takes.
async fn add(tx: &mut PgConnection, rows: &[EntryRow<'_>]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(ADD).bind(rows).execute(tx).await.map(drop)
}

/// Adds entries, once for each table of sums.
const ADD: &str = "
    WITH e AS MATERIALIZED (
         SELECT tenant_id, series_key, day, known_at, sum(charges)::bigint AS charges, sum(billed) AS billed,
                sum(effective) AS effective, sum(list) AS list, sum(contracted) AS contracted,
                sum(consumed_quantity) AS consumed_quantity, sum(pricing_quantity) AS pricing_quantity,
                max(covers_until) AS covers_until
           FROM unnest($1::cost_entry_row[]) GROUP BY 1, 2, 3, 4),
    days AS (
         INSERT INTO cost_daily AS d (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                                      consumed_quantity, pricing_quantity, covers_until)
         SELECT tenant_id, series_key, day, known_at, charges, trim_scale(billed), trim_scale(effective), trim_scale(list),
                trim_scale(contracted), trim_scale(consumed_quantity), trim_scale(pricing_quantity), covers_until
           FROM e ORDER BY 1, 2, 3, 4
         ON CONFLICT (tenant_id, series_key, day, known_at) DO UPDATE SET
                charges = d.charges + excluded.charges, billed = trim_scale(d.billed + excluded.billed),
                effective = trim_scale(d.effective + excluded.effective), list = trim_scale(d.list + excluded.list),
                contracted = trim_scale(d.contracted + excluded.contracted),
                consumed_quantity = trim_scale(d.consumed_quantity + excluded.consumed_quantity),
                pricing_quantity = trim_scale(d.pricing_quantity + excluded.pricing_quantity),
                covers_until = greatest(d.covers_until, excluded.covers_until)),
    months AS (
         INSERT INTO cost_monthly AS d (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                                        consumed_quantity, pricing_quantity)
         SELECT tenant_id, series_key, date_trunc('month', day::timestamp)::date, known_at, sum(charges),
                trim_scale(sum(billed)), trim_scale(sum(effective)), trim_scale(sum(list)), trim_scale(sum(contracted)),
                trim_scale(sum(consumed_quantity)), trim_scale(sum(pricing_quantity))
           FROM e GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
         ON CONFLICT (tenant_id, series_key, day, known_at) DO UPDATE SET
                charges = d.charges + excluded.charges, billed = trim_scale(d.billed + excluded.billed),
                effective = trim_scale(d.effective + excluded.effective), list = trim_scale(d.list + excluded.list),
                contracted = trim_scale(d.contracted + excluded.contracted),
                consumed_quantity = trim_scale(d.consumed_quantity + excluded.consumed_quantity),
                pricing_quantity = trim_scale(d.pricing_quantity + excluded.pricing_quantity))
    INSERT INTO cost_daily_group AS d (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                                       consumed_quantity, pricing_quantity)
    SELECT e.tenant_id, s.group_key, e.day, e.known_at, sum(e.charges), trim_scale(sum(e.billed)),
           trim_scale(sum(e.effective)), trim_scale(sum(e.list)), trim_scale(sum(e.contracted)),
           trim_scale(sum(e.consumed_quantity)), trim_scale(sum(e.pricing_quantity))
      FROM e JOIN cost_series AS s USING (tenant_id, series_key) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, series_key, day, known_at) DO UPDATE SET
           charges = d.charges + excluded.charges, billed = trim_scale(d.billed + excluded.billed),
           effective = trim_scale(d.effective + excluded.effective), list = trim_scale(d.list + excluded.list),
           contracted = trim_scale(d.contracted + excluded.contracted),
           consumed_quantity = trim_scale(d.consumed_quantity + excluded.consumed_quantity),
           pricing_quantity = trim_scale(d.pricing_quantity + excluded.pricing_quantity)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_exact_or_left_to_postgres() {
        let decimal = |text: &str| Decimal::from_str_exact(text).expect("a decimal");
        let check = |a: &str, b: &str, sum: Option<&str>| {
            assert_eq!(exact_sum(decimal(a), decimal(b)), sum.map(decimal), "{a} + {b}");
        };
        check("1.50", "0.25", Some("1.75"));
        check("0.00", "-0.1", Some("-0.1"));
        check("0.1", "-0.10", Some("0"));
        check("0.5", "0.5", Some("1.0"));
        check("79228162514264337593543950335", "1", None);
        check("10000000000000000000", "0.0000000000000000000000000001", None);
        check("7922816251426433759354395033.5", "0.05", None);
    }
}
