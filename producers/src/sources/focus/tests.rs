//! Charges in files.

use std::io::Cursor;

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
        let found = read(format!("{FOCUS}\n{good}\n{row}\n{good}"));
        assert_eq!(found.len(), 3, "{row}");
        assert!(found[0].is_ok() && found[2].is_ok(), "{row}");
        let why = found[1].as_ref().expect_err(row);
        assert!(why.starts_with(told), "{row}: {why}");
    }
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

#[test]
fn a_file_without_charges_is_foreign() {
    let reader = Box::new(Cursor::new(b"ContractId,ContractCommitmentCost\n1,2\n".to_vec()));
    let found = ChargeRows::of_text(reader, charges(Delivery::default()));
    assert!(matches!(found, Err(FileBroken::Foreign(why)) if why.contains("ContractId")));
    let empty = ChargeRows::of_text(Box::new(Cursor::new(Vec::new())), charges(Delivery::default()));
    assert!(empty.expect("read").is_none());
}
