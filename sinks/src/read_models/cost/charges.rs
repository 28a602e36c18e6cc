//! Writing of charges: one narrow row each. Columns that whole deliveries have in common are stored once for each
//! combination of their values.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use foldhash::fast::RandomState;
use projections::cost::{columns_key, scope_key, series_key_in};
use schemas::changes::cost::{ChargeFact, CostSeries};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    remembered::Remembered,
    table::{ChargeRow, ColumnsRow, ScopeKey},
};
use crate::{
    postgres::copy::{CopyIn, CopyRows},
    read_models::WritePath,
};

/// Columns that most charges of a delivery have in common, in the order of their names. They say nothing about who used
/// what. A name that is added here changes where later charges keep the column, not what they say.
const SHARED: [&str; 19] = [
    "AvailabilityZone",
    "BillingAccountType",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeFrequency",
    "CommitmentDiscountCategory",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "HostProviderName",
    "InvoiceId",
    "InvoiceIssuerName",
    "PricingCategory",
    "PricingCurrency",
    "PublisherName",
    "RegionName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "SubAccountType",
    "x_ExportDateTime",
];
/// Bytes of such a value; a longer one is not repeated for long.
const MAX_SHARED_BYTES: usize = 256;

const COPY: &str = "COPY cost_charge (known_at, charge_period_start, charge_period_end, event_id, series_key, scope_key,
    columns_key, replaces, tenant_id, billed, effective, list, contracted, consumed_quantity, pricing_quantity, description,
    corrects, other_columns, content_sha256) FROM STDIN (FORMAT binary)";
/// Columns of [`COPY`].
const COLUMNS: i16 = 19;

/// Keys of what a charge is summed up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) series: Uuid,
    pub(super) scope: Uuid,
}

/// A charge with its keys, which are computed once for a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed<'a> {
    pub(super) charge: &'a ChargeFact,
    pub(super) keys: Keys,
}

impl<'a> Keyed<'a> {
    /// The charges of a batch with their keys. Most are of few scopes, and many of one series.
    pub(super) fn all(charges: Vec<&'a ChargeFact>) -> Vec<Self> {
        let mut scopes: HashMap<(&str, &str, NaiveDate), Uuid> = HashMap::new();
        let mut known: HashMap<&CostSeries, Keys, RandomState> = HashMap::default();
        let mut keys_of = |series: &'a CostSeries| {
            let names = (series.provider.as_str(), series.billing_account.as_str(), series.billing_period);
            let scope = *scopes.entry(names).or_insert_with(|| scope_key(series));
            Keys { series: series_key_in(scope, series), scope }
        };
        let keyed = |charge: &'a ChargeFact| {
            let keys = *known.entry(&charge.series).or_insert_with_key(|series| keys_of(series));
            Self { charge, keys }
        };
        charges.into_iter().map(keyed).collect()
    }

    pub(super) fn tenant(&self) -> &'a str {
        self.charge.tenant.as_str()
    }

    pub(super) fn scope(&self) -> ScopeKey<'a> {
        ScopeKey { tenant_id: self.tenant(), scope_key: self.keys.scope }
    }
}

/// The other columns of a charge: the key of those that it shares with others, and its own as a JSON object; `None` without
/// any.
struct Parted {
    shared: Option<Uuid>,
    own: Option<String>,
}

/// Parts the other columns of a batch's charges, most of which share all that can be shared.
#[derive(Default)]
struct Parting<'a> {
    /// Columns that charges share, with their values, behind the tenant: their key.
    keys: HashMap<Vec<(&'a str, &'a str)>, Uuid, RandomState>,
    /// The columns by tenant and key, JSON objects.
    shared: BTreeMap<(&'a str, Uuid), String>,
    /// The columns of one charge, in a buffer that is reused.
    found: Vec<(&'a str, &'a str)>,
}

impl<'a> Parting<'a> {
    fn part(&mut self, charge: &'a ChargeFact) -> Parted {
        let is_shared =
            |name: &str, value: &str| value.len() <= MAX_SHARED_BYTES && SHARED.binary_search(&name).is_ok();
        let tenant = charge.tenant.as_str();
        let mut own = BTreeMap::new();
        self.found.clear();
        self.found.push(("", tenant));
        for (name, value) in charge.other_columns.iter() {
            if is_shared(name, value) {
                self.found.push((name, value));
            } else {
                own.insert(name, value);
            }
        }
        Parted { shared: self.key_of_found(tenant), own: (!own.is_empty()).then(|| json(&own)) }
    }

    fn key_of_found(&mut self, tenant: &'a str) -> Option<Uuid> {
        let shared = self.found.get(1..).filter(|shared| !shared.is_empty())?;
        if let Some(key) = self.keys.get(&self.found) {
            return Some(*key);
        }
        let shared: BTreeMap<&str, &str> = shared.iter().copied().collect();
        let key = columns_key(&shared);
        self.shared.insert((tenant, key), json(&shared));
        self.keys.insert(self.found.clone(), key);
        Some(key)
    }
}

fn json(columns: &BTreeMap<&str, &str>) -> String {
    serde_json::to_string(columns).expect("texts by text are an object of JSON")
}

/// Writes charges, sorted by key, and the shared columns that no committed batch wrote.
pub(super) async fn write(
    tx: &mut PgConnection,
    charges: &[Keyed<'_>],
    path: WritePath,
    known: &mut Remembered,
    rows: &mut CopyRows,
) -> sqlx::Result<()> {
    if charges.is_empty() {
        return Ok(());
    }
    let mut parting = Parting::default();
    let parted: Vec<Parted> = charges.iter().map(|keyed| parting.part(keyed.charge)).collect();
    let missing = parting.shared.iter().filter(|((tenant, key), _)| !known.has(tenant, *key));
    let columns: Vec<ColumnsRow<'_>> = missing
        .map(|(&(tenant_id, columns_key), columns)| ColumnsRow { tenant_id, columns_key, columns })
        .collect();
    known.writes(columns.iter().map(|row| (row.tenant_id, row.columns_key)));
    if !columns.is_empty() {
        ColumnsRow::insert_missing(tx, &columns).await?;
    }
    match path {
        WritePath::Any => {
            let mut copy = CopyIn::begin(tx, COPY, rows).await?;
            for (keyed, parted) in charges.iter().zip(&parted) {
                encode(copy.rows(), keyed, parted);
                copy.send_pieces().await?;
            }
            copy.finish().await.map(drop)
        }
        WritePath::InsertOnly => {
            let rows = charges.iter().zip(&parted).map(|(keyed, parted)| row(keyed, parted));
            ChargeRow::insert(tx, &rows.collect::<Vec<_>>()).await
        }
    }
}

/// Adds a row of [`COPY`].
fn encode(rows: &mut CopyRows, Keyed { charge, keys }: &Keyed<'_>, parted: &Parted) {
    let amounts = &charge.amounts;
    rows.row(COLUMNS);
    rows.timestamptz(charge.known_at);
    rows.timestamptz(charge.charge_period_start);
    rows.timestamptz(charge.charge_period_end);
    rows.uuid(charge.event_id.as_uuid());
    rows.uuid(&keys.series);
    rows.uuid(&keys.scope);
    rows.optional_bytea(parted.shared.as_ref().map(|key| &key.as_bytes()[..]));
    rows.bytea(&[u8::from(charge.replaces)]);
    rows.text(charge.tenant.as_str());
    let others = [
        amounts.effective,
        amounts.list,
        amounts.contracted,
        amounts.consumed_quantity,
        amounts.pricing_quantity,
    ];
    for amount in std::iter::once(Some(amounts.billed)).chain(others) {
        rows.optional_numeric(amount);
    }
    rows.optional_text(charge.description.as_deref());
    rows.optional_text(charge.corrects.as_deref());
    rows.optional_text(parted.own.as_deref());
    rows.bytea(&charge.content_sha256);
}

fn row<'a>(Keyed { charge, keys }: &Keyed<'a>, parted: &Parted) -> ChargeRow<'a> {
    let amounts = &charge.amounts;
    ChargeRow {
        tenant_id: charge.tenant.as_str(),
        event_id: *charge.event_id.as_uuid(),
        known_at: charge.known_at,
        charge_period_start: charge.charge_period_start,
        charge_period_end: charge.charge_period_end,
        series_key: keys.series,
        scope_key: keys.scope,
        replaces: charge.replaces,
        billed: amounts.billed,
        effective: amounts.effective,
        list: amounts.list,
        contracted: amounts.contracted,
        consumed_quantity: amounts.consumed_quantity,
        pricing_quantity: amounts.pricing_quantity,
        description: charge.description.as_deref(),
        corrects: charge.corrects.as_deref(),
        other_columns: parted.own.clone(),
        content_sha256: &charge.content_sha256,
        columns_key: parted.shared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_shared_columns_can_be_searched() {
        assert!(SHARED.is_sorted());
        assert_eq!(
            COPY.split_once(" FROM ").expect("a COPY").0.split(',').count(),
            usize::from(COLUMNS.unsigned_abs())
        );
    }
}
