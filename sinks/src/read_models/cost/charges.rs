//! Writing of charges: one narrow row each. Columns that whole deliveries have in common are stored once for each
//! combination of their values.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use projections::cost::{columns_key, scope_key, series_key_in};
use schemas::changes::cost::ChargeFact;
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
    /// The charges of a batch with their keys. Most are of few scopes.
    pub(super) fn all(charges: Vec<&'a ChargeFact>) -> Vec<Self> {
        let mut scopes: HashMap<(&str, &str, NaiveDate), Uuid> = HashMap::new();
        let keyed = |charge: &'a ChargeFact| {
            let series = &charge.series;
            let names = (series.provider.as_str(), series.billing_account.as_str(), series.billing_period);
            let scope = *scopes.entry(names).or_insert_with(|| scope_key(series));
            Self { charge, keys: Keys { series: series_key_in(scope, series), scope } }
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

/// The other columns of a charge: those that it shares with others, and its own. JSON objects; `None` without any.
struct Parted {
    shared: Option<(Uuid, String)>,
    own: Option<String>,
}

impl Parted {
    fn of(charge: &ChargeFact) -> Self {
        let is_shared =
            |name: &str, value: &str| value.len() <= MAX_SHARED_BYTES && SHARED.binary_search(&name).is_ok();
        let (mut shared, mut own) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in &charge.other_columns {
            let part = if is_shared(name, value) { &mut shared } else { &mut own };
            part.insert(name.as_str(), value.as_str());
        }
        let json = |part: &BTreeMap<&str, &str>| {
            serde_json::to_string(part).expect("texts by text are an object of JSON")
        };
        Self {
            shared: (!shared.is_empty()).then(|| (columns_key(&shared), json(&shared))),
            own: (!own.is_empty()).then(|| json(&own)),
        }
    }
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
    let parted: Vec<Parted> = charges.iter().map(|keyed| Parted::of(keyed.charge)).collect();
    let mut missing = BTreeMap::new();
    for (keyed, parted) in charges.iter().zip(&parted) {
        let tenant = keyed.tenant();
        if let Some((key, columns)) = parted.shared.as_ref().filter(|(key, _)| !known.has(tenant, *key)) {
            missing.entry((tenant, *key)).or_insert(columns.as_str());
        }
    }
    known.writes(missing.keys().copied());
    let columns = missing.into_iter().map(|((tenant_id, columns_key), columns)| ColumnsRow {
        tenant_id,
        columns_key,
        columns,
    });
    let columns: Vec<ColumnsRow<'_>> = columns.collect();
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
    rows.optional_bytea(parted.shared.as_ref().map(|(key, _)| &key.as_bytes()[..]));
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
        columns_key: parted.shared.as_ref().map(|(key, _)| *key),
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
