//! A made-up bill: hourly charges of one month in the columns of FOCUS 1.0, the same for the same number of rows.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use chrono::{NaiveDate, TimeDelta};

/// Days of the bill.
const DAYS: u64 = 30;
/// Charges of a resource on a day.
const HOURS: u64 = 24;
const HEADER: &str = "BilledCost,BillingAccountId,BillingCurrency,BillingPeriodEnd,BillingPeriodStart,ChargeCategory,\
    ChargeClass,ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart,ConsumedQuantity,ConsumedUnit,\
    ContractedCost,EffectiveCost,InvoiceIssuerName,ListCost,PricingCategory,PricingQuantity,PricingUnit,ProviderName,\
    PublisherName,RegionId,ResourceId,ServiceCategory,ServiceName,SkuId,SkuPriceId,SubAccountId,Tags,x_ExportDateTime";
const SERVICES: [(&str, &str); 8] = [
    ("Amazon Elastic Compute Cloud", "Compute"),
    ("Amazon Relational Database Service", "Databases"),
    ("Amazon Simple Storage Service", "Storage"),
    ("AWS Lambda", "Compute"),
    ("Amazon ElastiCache", "Databases"),
    ("Elastic Load Balancing", "Networking"),
    ("Amazon DynamoDB", "Databases"),
    ("Amazon Elastic Kubernetes Service", "Compute"),
];
const REGIONS: [&str; 4] = ["us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-2"];

/// Writes so many charges, day after day as exports come; bytes of the file.
pub(super) fn write(path: &Path, rows: u64) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(out, "{HEADER}")?;
    let resources = rows.div_ceil(DAYS * HOURS).max(1);
    let per_day = resources * HOURS;
    let begin = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default().and_time(chrono::NaiveTime::MIN);
    for row in 0..rows {
        let (day, of_day) = (row / per_day, row % per_day);
        let (resource, hour) = (of_day / HOURS, of_day % HOURS);
        let start = begin + TimeDelta::hours(i64::try_from(day * HOURS + hour).unwrap_or_default());
        let end = start + TimeDelta::hours(1);
        charge(&mut out, resource, row, (start, end))?;
    }
    out.into_inner()?.metadata().map(|file| file.len())
}

fn charge(
    out: &mut impl io::Write,
    resource: u64,
    row: u64,
    (start, end): (chrono::NaiveDateTime, chrono::NaiveDateTime),
) -> io::Result<()> {
    let at = |place: u64, count: usize| usize::try_from(place).unwrap_or_default() % count;
    let (service, category) = SERVICES[at(resource, SERVICES.len())];
    let (region, account) = (REGIONS[at(resource / 8, REGIONS.len())], resource % 40);
    let (team, project) = (resource % 12, resource % 60);
    // Ten digits after the point, as hourly charges have.
    let cost = 1_000_000_000 + row.wrapping_mul(2_654_435_761) % 9_000_000_000;
    let list = cost + cost / 10;
    let money = |amount: u64| format!("{}.{:010}", amount / 10_000_000_000, amount % 10_000_000_000);
    let (cost, list) = (money(cost), money(list));
    let instant = |at: chrono::NaiveDateTime| at.format("%Y-%m-%dT%H:%M:%SZ");
    let (start, end) = (instant(start), instant(end));
    writeln!(
        out,
        "{cost},100000000001,USD,2026-02-01T00:00:00Z,2026-01-01T00:00:00Z,Usage,,\"Hours of use, {region}\",Usage-Based,\
         {end},{start},1,Hours,{cost},{cost},AWS,{list},Standard,1,Hours,AWS,AWS,{region},arn:aws:x:{region}:{account}:r/{resource},\
         {category},{service},SKU-{},SKU-{}.1,2000000000{account:02},\"{{\"\"project\"\":\"\"p{project}\"\",\"\"team\"\":\"\"t{team}\"\"}}\",\
         2026-02-03T00:00:00Z",
        resource % 200,
        resource % 200,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_all_columns_and_rows_differ() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bill.csv");
        let bytes = write(&path, 1_000).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!((u64::try_from(text.len()).expect("small"), text.lines().count()), (bytes, 1_001));
        let lines: std::collections::BTreeSet<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1_001);
        let columns = HEADER.split(',').count();
        for line in text.lines().skip(1) {
            // Two cells hold a comma, in quotes.
            assert_eq!(line.split(',').count(), columns + 2, "{line}");
        }
    }
}
