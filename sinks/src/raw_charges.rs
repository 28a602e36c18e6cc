//! The yardstick of `weir bench cost`: COPY of a bill's rows as they are, and their daily sums, with nothing else to do.

use std::{
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{postgres::nodelay, raw_copy::RawCopyError};

const PIECE_BYTES: usize = 64 * 1024;
/// Columns with amounts, and with instants; all others are text.
const AMOUNTS: [&str; 6] =
    ["BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ConsumedQuantity", "PricingQuantity"];
const INSTANTS: [&str; 3] = ["ChargePeriodStart", "ChargePeriodEnd", "x_ExportDateTime"];
/// Columns that days are summed up by, as in `cost_series`.
const SERIES: &str = r#""BillingAccountId", "BillingPeriodStart", "SubAccountId", "ServiceName", "ServiceCategory",
    "RegionId", "ResourceId", "ChargeCategory", "ChargeClass", "BillingCurrency", "SkuId", "SkuPriceId", "ConsumedUnit",
    "PricingUnit", "ProviderName", "Tags""#;

/// Sums of the days: a check that all sides have loaded the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaySums {
    /// Days of series.
    pub days: i64,
    /// Billed cost, a decimal.
    pub billed: String,
    /// Charges.
    pub charges: i64,
}

/// The sums of `cost_daily`.
pub async fn sums_of_days(database_url: &str) -> Result<DaySums, RawCopyError> {
    let mut connection = PgConnection::connect(database_url).await?;
    let sums = sums(&mut connection, "cost_daily", "billed").await?;
    connection.close().await?;
    Ok(sums)
}

async fn sums(connection: &mut PgConnection, table: &str, billed: &str) -> sqlx::Result<DaySums> {
    let question = format!(
        "SELECT count(*), coalesce(trim_scale(sum({billed})), 0)::text, coalesce(sum(charges), 0)::bigint FROM {table}"
    );
    let (days, billed, charges) = sqlx::query_as(AssertSqlSafe(question)).fetch_one(connection).await?;
    Ok(DaySums { days, billed, charges })
}

/// Copies a CSV file with a header into a table with a primary key, and sums it up by day; both are gone afterwards.
pub async fn load(database_url: &str, file: &Path) -> Result<(Duration, DaySums), RawCopyError> {
    let unreadable = |error: std::io::Error| RawCopyError::Postgres(sqlx::Error::Io(error));
    let mut connection = PgConnection::connect(database_url).await?;
    nodelay::set(&database_url.parse()?).await;
    let mut open = std::fs::File::open(file).map_err(unreadable)?;
    let mut piece = vec![0; PIECE_BYTES];
    let first = open.read(&mut piece).map_err(unreadable)?;
    let header = String::from_utf8_lossy(&piece[..first]);
    let header = header.lines().next().unwrap_or_default().to_owned();
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |name: &&str| {
        let kind = if AMOUNTS.contains(name) {
            "numeric"
        } else if INSTANTS.contains(name) {
            "timestamptz"
        } else {
            "text"
        };
        format!("\"{name}\" {kind}")
    };
    let columns = names.iter().map(column).collect::<Vec<_>>().join(", ");
    let listed = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let sums_of = AMOUNTS.map(|name| format!("sum(\"{name}\") AS \"{name}\"")).join(", ");
    sqlx::raw_sql(AssertSqlSafe(format!(
        "DROP TABLE IF EXISTS raw_charge, raw_daily;
         CREATE TABLE raw_charge (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns});"
    )))
    .execute(&mut connection)
    .await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
    let started = Instant::now();
    let mut copy = connection
        .copy_in_raw(&format!("COPY raw_charge ({listed}) FROM STDIN (FORMAT csv, HEADER true)"))
        .await?;
    let mut length = first;
    while length > 0 {
        copy.send(&piece[..length]).await?;
        length = open.read(&mut piece).map_err(unreadable)?;
    }
    copy.finish().await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE TABLE raw_daily AS
         SELECT {SERIES}, (\"ChargePeriodStart\" AT TIME ZONE 'UTC')::date AS day, {sums_of}, count(*) AS charges
           FROM raw_charge GROUP BY {SERIES}, day;
         CREATE INDEX ON raw_daily (\"ResourceId\", day);"
    )))
    .execute(&mut connection)
    .await?;
    let took = started.elapsed();
    let found = sums(&mut connection, "raw_daily", "\"BilledCost\"").await?;
    sqlx::raw_sql("DROP TABLE raw_charge, raw_daily").execute(&mut connection).await?;
    connection.close().await?;
    Ok((took, found))
}
