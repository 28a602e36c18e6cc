//! Charges in files.

mod noise;
mod times;

use std::{fs::File, io::Cursor, path::Path, sync::Arc};

use ::parquet::{
    data_type::{ByteArray, ByteArrayType, DoubleType},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use rust_decimal::Decimal;
use schemas::{
    TenantId, Timestamp,
    events::{Usage, UsageKind},
};

use super::*;

const NOW: Timestamp = ASSUMED_TIME;
const FOCUS: &str = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd";

fn charges(delivery: Delivery) -> Charges {
    Charges::new(&TenantId::new("acme").expect("a plain name"), delivery, NOW)
}

fn read_as(text: impl AsRef<[u8]>, delivery: Delivery) -> Vec<Result<Envelope, String>> {
    let reader = Box::new(Cursor::new(text.as_ref().to_vec()));
    let rows = ChargeRows::of_text(reader, charges(delivery)).expect("a table").expect("a header");
    rows.map(|row| row.expect("read to its end").charge.map(|mapped| mapped.envelope)).collect()
}

fn read(text: impl AsRef<[u8]>) -> Vec<Result<Envelope, String>> {
    read_as(text, Delivery::default())
}

fn usage(envelope: &Envelope) -> &Usage {
    match &envelope.event {
        Event::Usage(usage) => usage,
        other => panic!("no charge: {other:?}"),
    }
}

/// The one charge of a header and a row.
fn one(header: &str, row: &str) -> Envelope {
    let mut found = read(format!("{header}\n{row}\n"));
    assert_eq!(found.len(), 1);
    found.remove(0).unwrap_or_else(|why| panic!("{row}: {why}"))
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

#[test]
fn instants_in_the_forms_of_exports_are_one() {
    for start in [
        "2024-09-18 22:00:00",
        "2024-09-18T22:00:00Z",
        "2024-09-18T22:00:00.000Z",
        "2024-09-19T00:00:00+02:00",
        "2024-9-18T22:00:00Z",
        "2024-09-18 22:00:00 UTC",
        "1726696800",
        "1726696800000000000",
    ] {
        let charge = one(FOCUS, &format!("1,USD,{start},2024-09-18 23:00:00"));
        assert_eq!(usage(&charge).charge_period_start, instant("2024-09-18T22:00:00Z"), "{start}");
    }
    for day in ["2024-09-18", "20240918", "09/18/2024"] {
        let charge = one(FOCUS, &format!("1,USD,{day},2024-09-19"));
        assert_eq!(usage(&charge).charge_period_start, instant("2024-09-18T00:00:00Z"), "{day}");
    }
}

#[test]
fn money_keeps_every_digit() {
    for (text, value) in [
        ("0.00001605990", "0.00001605990"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("1.2999999999999999e-05", "0.000012999999999999999"),
        ("0E-11", "0"),
        ("3.4E+2", "340"),
    ] {
        let charge = one(FOCUS, &format!("{text},USD,2024-09-18,2024-09-19"));
        assert_eq!(usage(&charge).billed_cost, decimal(value), "{text}");
    }
}

#[test]
fn bad_rows_are_told_by_line_and_column_and_good_ones_kept() {
    let good = "1,USD,2024-09-18,2024-09-19";
    for (row, told) in [
        ("NaN,USD,2024-09-18,2024-09-19", "line 3: column BilledCost is not a decimal number"),
        ("inf,USD,2024-09-18,2024-09-19", "line 3: column BilledCost is not a decimal number"),
        (
            "10000000000000000000000000000000000000000,USD,2024-09-18,2024-09-19",
            "line 3: column BilledCost is not a decimal number of at most 28 digits",
        ),
        ("1e40,USD,2024-09-18,2024-09-19", "line 3: column BilledCost is not a decimal number of at most 28"),
        (
            "\"1,5\",USD,2024-09-18,2024-09-19",
            "line 3: column BilledCost is not a decimal number: use a decimal point",
        ),
        (",USD,2024-09-18,2024-09-19", "line 3: column BilledCost is empty"),
        ("1,,2024-09-18,2024-09-19", "line 3: column BillingCurrency is empty"),
        ("1,US$,2024-09-18,2024-09-19", "line 3: column BillingCurrency is not a currency"),
        ("1,EURO,2024-09-18,2024-09-19", "line 3: column BillingCurrency is not a currency"),
        ("1,USD,2024-09-19,2024-09-18", "line 3: column ChargePeriodEnd lies before ChargePeriodStart"),
        ("1,USD,13/01/2024,2024-09-18", "line 3: column ChargePeriodStart is not a date or time"),
        ("1,USD,2024-02-30,2024-09-18", "line 3: column ChargePeriodStart is not a date or time"),
        ("1,USD,2024-09-18", "line 3: the row has 3 of 4 columns and ends at ChargePeriodStart"),
        ("1,USD,2024-09-18,2024-09-19,7", "line 3: the row has 5 of 4 columns"),
    ] {
        let text = format!("{FOCUS}\n{good}\n{row}\n{good}");
        for (text, line) in [
            (text.replace('\n', "\r\n"), 3),
            (format!("sep=,\n{text}"), 4),
            (format!("\u{feff}sep=,\r\n{}", text.replace('\n', "\r\n")), 4),
            (text.replacen('\n', "\n\n", 2), 5),
            (text, 3),
        ] {
            let found = read(&text);
            assert_eq!(found.len(), 3, "{text:?}");
            assert!(found[0].is_ok() && found[2].is_ok(), "{text:?}");
            let why = found[1].as_ref().expect_err(row);
            assert!(why.starts_with(&told.replace("line 3", &format!("line {line}"))), "{text:?}: {why}");
        }
    }
}

#[test]
fn an_empty_currency_is_told_in_every_export() {
    for (header, row) in [
        ("Date,CostInBillingCurrency,BillingCurrency", "09/18/2024,1,"),
        ("Date,CostInBillingCurrency,BillingCurrencyCode", "09/18/2024,1,"),
        ("UsageDateTime,PreTaxCost,Currency", "09/18/2024,1,null"),
        (
            "line_item_usage_start_date,line_item_usage_end_date,line_item_unblended_cost,line_item_currency_code",
            "2024-09-18,2024-09-19,1,",
        ),
        ("usage_start_time,usage_end_time,cost,currency", "2024-09-18,2024-09-19,1,"),
    ] {
        let found = read(format!("{header}\n{row}"));
        assert!(
            found[0].as_ref().is_err_and(|why| why.contains("BillingCurrency is empty")),
            "{header}: {found:?}"
        );
    }
    let none = one("Date,CostInBillingCurrency", "09/18/2024,1");
    assert_eq!(usage(&none).billing_currency, "XXX", "the file has no column for it");
}

#[test]
fn a_header_that_comes_again_is_no_row() {
    let header = "billedcost,billing_currency,CHARGEPERIODSTART,chargePeriodEnd,x_Team,x_Team";
    let row = "1,USD,2024-09-18,2024-09-19,a,b";
    let found = read(format!("{header}\n{row}\n{header}\n{row}\n"));
    assert!(found.len() == 2 && found.iter().all(Result::is_ok), "{found:?}");
}

#[test]
fn nothing_is_null_however_it_is_written() {
    let header = format!("{FOCUS},EffectiveCost,ResourceId,ChargeClass,x_Other,x_Note,Tags");
    let charge = one(&header, "1,usd,2024-09-18,2024-09-19,NULL,(null),null,,\\N,NULL");
    let usage = usage(&charge);
    assert_eq!((usage.effective_cost, usage.resource_id.as_deref()), (None, None));
    assert_eq!(usage.billing_currency, "USD");
    assert!(usage.other_columns.is_empty() && usage.tags.is_empty(), "{usage:?}");
}

#[test]
fn names_and_providers_of_every_version_are_understood_and_unknown_columns_kept() {
    let header = "billed_cost,Billing Currency,CHARGEPERIODSTART,chargePeriodEnd,ServiceProviderName,x_Team,Tags,\
                  BillingPeriodStart,ChargeClass,x_ExportDateTime,SkuPriceDetails";
    let row = r#"-1.50,EUR,2024-09-18,2024-09-19,Nimbus,core,"{""a"":""b"",""n"":7}",2024-09,Correction,2025-07-5T00:00:00Z,"{""x"":1}""#;
    let bad = read(format!("{header}\n{row}"));
    assert!(bad[0].as_ref().is_err_and(|why| why.contains("BillingPeriodStart")), "{bad:?}");
    let charge = one(header, &row.replace("2024-09,", "2024-09-01,"));
    let usage = usage(&charge);
    assert_eq!(usage.kind, UsageKind::ChargeCorrected);
    assert_eq!((usage.provider_name.as_str(), usage.billed_cost), ("Nimbus", decimal("-1.50")));
    assert_eq!(usage.tags, [("a".into(), "b".into()), ("n".into(), "7".into())].into());
    let other = |name: &str| usage.other_columns.get(name).map(String::as_str);
    assert_eq!(other("BillingPeriodStart"), Some("2024-09-01T00:00:00Z"));
    assert_eq!(other("BillingPeriodEnd"), Some("2024-10-01T00:00:00Z"));
    assert_eq!(other("x_Team"), Some("core"));
    assert_eq!(other("SkuPriceDetails"), Some(r#"{"x":1}"#));
    assert_eq!(other("x_ExportDateTime"), Some("2025-07-5T00:00:00Z"), "the text as it was");
    assert_eq!(charge.occurred_at, instant("2025-07-05T00:00:00Z"));
    assert!(!charge.time_assumed);
}

#[test]
fn encodings_and_forms_of_one_file_give_the_same_charges() {
    let text =
        format!("{FOCUS},ResourceId\n1.50,USD,2024-09-18,2024-09-19,é😀\n2,USD,2024-09-18,2024-09-19,NULL\n");
    let ids = |found: Vec<Result<Envelope, String>>| -> Vec<EventId> {
        found.into_iter().map(|charge| charge.expect("good").id).collect()
    };
    let expected = ids(read(&text));
    let utf_16: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(ids(read(utf_16)), expected);
    assert_eq!(ids(read(format!("\u{feff}{}", text.replace('\n', "\r\n")))), expected);
    assert_eq!(ids(read(text.replace(',', ";"))), expected);
    assert_eq!(ids(read(text.trim_end().replace("1.50", "\"1.5\""))), expected);
    let json = r#"{"BilledCost": 1.50, "BillingCurrency": "USD", "ChargePeriodStart": "2024-09-18T00:00:00Z",
                   "ChargePeriodEnd": "2024-09-19T00:00:00Z", "ResourceId": "é😀", "Tags": null}"#;
    assert_eq!(charges(Delivery::default()).map_json(json).expect("a charge").envelope.id, expected[0]);
}

#[test]
fn a_charge_is_its_content_and_its_number_among_equals() {
    let row = "1,USD,2024-09-18,2024-09-19";
    let ids = |text: &str, delivery| -> Vec<EventId> {
        read_as(text, delivery).into_iter().flatten().map(|charge| charge.id).collect()
    };
    let whole = ids(&format!("{FOCUS}\n{row}\n2{row}\n{row}\n"), Delivery::default());
    assert_ne!(whole[0], whole[2], "two equal rows are two charges");
    let cut = ids(&format!("{FOCUS}\n{row}\n2{row}\n1,USD"), Delivery::default());
    assert_eq!(cut, whole[..2], "a file that was cut holds charges of the whole one");
    let known_at = Some(instant("2025-01-01T00:00:00Z"));
    let later = Delivery { known_at, mode: DeliveryMode::Replace };
    let again = ids(&format!("{FOCUS}\n{row}\n"), later);
    assert_ne!(again[0], whole[0], "a row that is delivered anew in place of others is another");
}

#[test]
fn what_replaces_others_says_when_it_became_known() {
    let replace = Delivery { known_at: None, mode: DeliveryMode::Replace };
    let row = "1,USD,2024-09-18,2024-09-19";
    let refused = read_as(format!("{FOCUS}\n{row}"), replace);
    assert!(refused[0].as_ref().is_err_and(|why| why.contains("x_ExportDateTime")), "{refused:?}");
    let told = read_as(format!("{FOCUS},x_ExportDateTime\n{row},2025-01-01"), replace);
    let charge = told[0].as_ref().expect("good");
    assert_eq!(usage(charge).other_columns.get(REPLACES).map(String::as_str), Some(BILLING_PERIOD));
}

#[test]
fn rows_of_one_delivery_do_not_replace_each_other() {
    let replace = Delivery { known_at: None, mode: DeliveryMode::Replace };
    let header = format!("{FOCUS},BillingAccountId,BillingPeriodStart,x_ExportDateTime");
    let row = |account: &str, period: &str, known_at: &str| {
        format!("1,USD,2024-09-18,2024-09-19,{account},{period},{known_at}")
    };
    let text = [
        header,
        row("A", "2024-09-01", "2025-01-01"),
        row("A", "2024-09-01", "2025-01-02"),
        row("A", "2024-09-01", "2025-01-01T00:00:00Z"),
        row("A", "2024-10-01", "2025-01-02"),
        row("B", "2024-09-01", "2025-01-02"),
        // Without a billing period, that is the month of the charge.
        row("B", "", "2025-01-03"),
    ]
    .join("\n");
    let found = read_as(&text, replace);
    let good: Vec<bool> = found.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true, true, true, false], "{found:?}");
    let why = found[1].as_ref().expect_err("another instant");
    for part in ["line 3: column x_ExportDateTime is 2025-01-02T", "2025-01-01T", "--known-at"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let told = Delivery { known_at: Some(instant("2025-02-01T00:00:00Z")), ..replace };
    assert!(read_as(&text, told).iter().all(Result::is_ok));
    assert!(read(&text).iter().all(Result::is_ok), "rows that are added may become known one by one");
}

#[test]
fn rows_of_two_files_of_a_delivery_do_not_replace_each_other() {
    let replace = Delivery { known_at: None, mode: DeliveryMode::Replace };
    let row = |known_at: &str| {
        format!(
            r#"{{"BilledCost":1,"BillingCurrency":"USD","ChargePeriodStart":"2024-09-18","ChargePeriodEnd":"2024-09-19",
                "x_ExportDateTime":"{known_at}"}}"#
        )
    };
    let instants = Instants::default();
    let mut first = charges(replace).within(instants.clone());
    let mut second = charges(replace).within(instants);
    assert!(first.map_json(&row("2025-01-01")).is_ok());
    assert!(second.map_json(&row("2025-01-02")).is_err());
    assert!(second.map_json(&row("2025-01-01")).is_ok());
}

#[test]
fn native_exports_are_mapped() {
    let aws = "bill_payer_account_id,line_item_usage_account_id,bill_billing_period_start_date,line_item_usage_start_date,\
               line_item_usage_end_date,line_item_currency_code,line_item_unblended_cost,line_item_line_item_type,\
               savings_plan_savings_plan_effective_cost,pricing_public_on_demand_cost,product_region_code,resource_tags";
    let charge = one(
        aws,
        "111,222,2024-09-01T00:00:00.000Z,2024-09-18T22:00:00.000Z,2024-09-18T23:00:00.000Z,USD,0.0960000000,\
         SavingsPlanCoveredUsage,0.0700000000,0.0960000000,eu-west-1,\"{\"\"user_team\"\":\"\"core\"\"}\"",
    );
    let of_aws = usage(&charge);
    assert_eq!((of_aws.provider_name.as_str(), of_aws.billing_account_id.as_str()), ("AWS", "111"));
    assert_eq!((of_aws.billed_cost, of_aws.effective_cost), (decimal("0.096"), Some(decimal("0.07"))));
    assert_eq!((of_aws.charge_category.as_str(), of_aws.region_id.as_deref()), ("Usage", Some("eu-west-1")));
    assert_eq!(of_aws.tags.get("user_team").map(String::as_str), Some("core"));
    let legacy = aws.replace("line_item_usage_start_date", "lineItem/UsageStartDate");
    assert_eq!(
        usage(&one(&legacy, "1,2,2024-09-01,2024-09-18,2024-09-19,USD,1,Tax,,,,")).charge_category,
        "Tax"
    );

    let azure = "BillingAccountId,SubscriptionId,Date,BillingPeriodStartDate,BillingPeriodEndDate,CostInBillingCurrency,\
                 BillingCurrency,MeterCategory,ResourceId,ChargeType,Tags";
    let charge = one(
        azure,
        "A,S,09/18/2024,09/01/2024,09/30/2024,1.25,EUR,Storage,/subscriptions/s,Usage,\"\"\"env\"\": \"\"prod\"\"\"",
    );
    let of_azure = usage(&charge);
    assert_eq!(of_azure.charge_period_end, instant("2024-09-19T00:00:00Z"));
    assert_eq!((of_azure.service_name.as_str(), of_azure.provider_name.as_str()), ("Storage", "Microsoft"));
    assert_eq!(of_azure.tags.get("env").map(String::as_str), Some("prod"));

    let gcp = r#"{"billing_account_id": "01-AB", "service": {"id": "6F", "description": "Compute Engine"}, "cost": 2.5,
                  "usage_start_time": "2024-09-18 22:00:00 UTC", "usage_end_time": "2024-09-18 23:00:00 UTC",
                  "project": {"id": "shop"}, "currency": "USD", "credits": [{"name": "SUD", "amount": -0.75}],
                  "labels": [{"key": "team", "value": "core"}], "invoice": {"month": "202409"}, "cost_type": "regular",
                  "export_time": "2024-09-19 01:02:03.5 UTC"}"#;
    let charge = charges(Delivery::default()).map_json(gcp).expect("a charge").envelope;
    let of_gcp = usage(&charge);
    assert_eq!((of_gcp.billed_cost, of_gcp.sub_account_id.as_deref()), (decimal("1.75"), Some("shop")));
    assert_eq!(of_gcp.service_name, "Compute Engine");
    assert_eq!(of_gcp.tags.get("team").map(String::as_str), Some("core"));
    let period = of_gcp.other_columns.get("BillingPeriodStart").map(String::as_str);
    assert_eq!(period, Some("2024-09-01T00:00:00Z"));
    assert_eq!(charge.occurred_at, instant("2024-09-19T01:02:03.5Z"));
}

/// Google's table as BigQuery exports it, in part.
const GOOGLE: &str = "message charges {
    REQUIRED BYTE_ARRAY usage_start_time (UTF8);
    REQUIRED BYTE_ARRAY usage_end_time (UTF8);
    REQUIRED BYTE_ARRAY currency (UTF8);
    REQUIRED DOUBLE cost;
    OPTIONAL group service { OPTIONAL BYTE_ARRAY description (UTF8); }
    OPTIONAL group sku { OPTIONAL BYTE_ARRAY id (UTF8); OPTIONAL BYTE_ARRAY description (UTF8); }
    OPTIONAL group project { OPTIONAL BYTE_ARRAY id (UTF8); }
    OPTIONAL group location { OPTIONAL BYTE_ARRAY region (UTF8); }
    OPTIONAL group usage { OPTIONAL DOUBLE amount; OPTIONAL BYTE_ARRAY unit (UTF8); }
    OPTIONAL group invoice { OPTIONAL BYTE_ARRAY month (UTF8); }
}";
/// The cells of a row; those from the fifth on are in groups.
const GOOGLE_CELLS: [&str; 12] = [
    "2024-09-18 22:00:00 UTC",
    "2024-09-18 23:00:00 UTC",
    "USD",
    "2.5",
    "Compute Engine",
    "2E27-4DB8",
    "N1 core",
    "shop",
    "europe-west1",
    "3600.5",
    "seconds",
    "202409",
];

/// Writes two rows, the second without groups.
fn write_google(path: &Path) {
    let schema = parse_message_type(GOOGLE).expect("a schema");
    let file = File::create(path).expect("made");
    let mut writer = SerializedFileWriter::new(file, schema.into(), Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    for (place, cell) in GOOGLE_CELLS.iter().enumerate() {
        let in_group = place >= 4;
        let levels: Option<&[i16]> = if in_group { Some(&[2, 0]) } else { None };
        let count = if in_group { 1 } else { 2 };
        let mut column = group.next_column().expect("a column").expect("one more");
        let written = if ["2.5", "3600.5"].contains(cell) {
            let number: f64 = cell.parse().expect("a number");
            column.typed::<DoubleType>().write_batch(&vec![number; count], levels, None)
        } else {
            column.typed::<ByteArrayType>().write_batch(&vec![ByteArray::from(*cell); count], levels, None)
        };
        written.expect("written");
        column.close().expect("closed");
    }
    group.close().expect("closed");
    writer.close().expect("closed");
}

#[test]
fn groups_of_googles_export_in_parquet_are_columns() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bill.parquet");
    write_google(&path);
    let file = File::open(&path).expect("opened");
    let rows = ChargeRows::of_parquet(file, charges(Delivery::default())).expect("a table");
    let found: Vec<Envelope> =
        rows.map(|row| row.expect("read to its end").charge.expect("a charge").envelope).collect();
    assert_eq!(found.len(), 2);
    let whole = usage(&found[0]);
    assert_eq!(
        (whole.service_name.as_str(), whole.sub_account_id.as_deref()),
        ("Compute Engine", Some("shop"))
    );
    assert_eq!(whole.region_id.as_deref(), Some("europe-west1"));
    assert_eq!(whole.consumed_quantity, Some(decimal("3600.5")));
    assert_eq!(whole.consumed_unit.as_deref(), Some("seconds"));
    assert_eq!(whole.charge_description.as_deref(), Some("N1 core"));
    let other = |name: &str| whole.other_columns.get(name).map(String::as_str);
    assert_eq!(other("SkuId"), Some("2E27-4DB8"));
    assert_eq!(other("BillingPeriodStart"), Some("2024-09-01T00:00:00Z"));
    let bare = usage(&found[1]);
    assert_eq!((bare.service_name.as_str(), bare.sub_account_id.as_deref()), ("", None));
    assert_eq!((bare.billed_cost, bare.consumed_quantity), (decimal("2.5"), None));
}

#[test]
fn a_file_without_charges_is_foreign() {
    let reader = Box::new(Cursor::new(b"ContractId,ContractCommitmentCost\n1,2\n".to_vec()));
    let found = ChargeRows::of_text(reader, charges(Delivery::default()));
    assert!(matches!(found, Err(FileBroken::Foreign(why)) if why.contains("ContractId")));
    let empty = ChargeRows::of_text(Box::new(Cursor::new(Vec::new())), charges(Delivery::default()));
    assert!(empty.expect("read").is_none());
}

#[test]
fn an_object_is_a_charge_by_its_columns() {
    for charge in [
        r#"{"billedcost": 1, "ChargePeriodStart": "2025-01-01"}"#,
        r#"{"lineItem/UnblendedCost": "1", "lineItem/UsageStartDate": "2025-01-01"}"#,
        r#"{"PreTaxCost": 1, "UsageDateTime": "2025-01-01"}"#,
        r#"{"cost": 1, "usage_start_time": "2025-01-01 00:00:00 UTC", "service": {"id": "6F"}}"#,
    ] {
        assert!(is_charge(charge), "{charge}");
    }
    for other in [
        r#"{"manifestVersion": "2024-04-01", "blobs": [{"blobName": "part_0.csv", "dataRowCount": 2}]}"#,
        r#"{"columns": ["BilledCost", "ChargePeriodStart"]}"#,
        r#"{"BilledCost": 1}"#,
        "17",
        "{",
    ] {
        assert!(!is_charge(other), "{other}");
    }
}
