//! Noise of binary floating-point numbers.

use super::*;

/// 2^-49: a double that a decimal of 28 decimal places does not hold.
const NOISE: &str = "1.7763568394002505e-15";

#[test]
fn noise_of_doubles_does_not_cost_a_row() {
    let number: f64 = NOISE.parse().expect("a number");
    let noise = decimal(&values::of_double(number));
    let header = "usage_start_time,usage_end_time,currency,cost,credits,usage.amount";
    let period = "2024-09-18 22:00:00 UTC,2024-09-18 23:00:00 UTC";
    let charge = one(header, &format!("{period},USD,{NOISE},[],{NOISE}"));
    assert_eq!((usage(&charge).billed_cost, usage(&charge).consumed_quantity), (noise, Some(noise)));
    let json = format!(
        r#"{{"usage_start_time": "2024-09-18 22:00:00 UTC", "usage_end_time": "2024-09-18 23:00:00 UTC",
            "currency": "USD", "cost": 0.5, "credits": [{{"amount": -0.5}}, {{"amount": {NOISE}}}]}}"#
    );
    let charge = charges(Delivery::default()).map_json(&json).expect("a charge").envelope;
    assert_eq!(usage(&charge).billed_cost, noise);
    let charge = one(&format!("{FOCUS},EffectiveCost,ListCost"), &focus_row(&format!(",{NOISE},{NOISE}")));
    let of_focus = usage(&charge);
    assert_eq!(
        (of_focus.billed_cost, of_focus.effective_cost, of_focus.list_cost),
        (noise, Some(noise), Some(noise))
    );
    let azure = "Date,CostInBillingCurrency,BillingCurrency,Quantity";
    let charge = one(azure, &format!("09/18/2024,{NOISE},EUR,{NOISE}"));
    assert_eq!((usage(&charge).billed_cost, usage(&charge).consumed_quantity), (noise, Some(noise)));
    // No double has so many digits: what is rounded away would not be noise.
    let refused = read(format!("{FOCUS}\n1.23456789012345678e-15,USD,2024-09-18,2024-09-19"));
    assert!(refused[0].as_ref().is_err_and(|why| why.contains("at most 28 digits")), "{refused:?}");
}

/// A row of [`FOCUS`] that costs [`NOISE`], with further cells.
fn focus_row(further: &str) -> String {
    format!("{NOISE},USD,2024-09-18,2024-09-19{further}")
}

#[test]
fn a_row_with_noise_has_one_id_as_text_and_as_parquet() {
    let schema = "message charges {
        REQUIRED DOUBLE BilledCost;
        REQUIRED BYTE_ARRAY BillingCurrency (UTF8);
        REQUIRED BYTE_ARRAY ChargePeriodStart (UTF8);
        REQUIRED BYTE_ARRAY ChargePeriodEnd (UTF8);
    }";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bill.parquet");
    let schema = parse_message_type(schema).expect("a schema");
    let file = File::create(&path).expect("made");
    let mut writer = SerializedFileWriter::new(file, schema.into(), Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    for cell in focus_row("").split(',') {
        let mut column = group.next_column().expect("a column").expect("one more");
        let written = if cell == NOISE {
            let number: f64 = cell.parse().expect("a number");
            column.typed::<DoubleType>().write_batch(&[number], None, None)
        } else {
            column.typed::<ByteArrayType>().write_batch(&[ByteArray::from(cell)], None, None)
        };
        written.expect("written");
        column.close().expect("closed");
    }
    group.close().expect("closed");
    writer.close().expect("closed");
    let file = File::open(&path).expect("opened");
    let mut rows = ChargeRows::of_parquet(file, charges(Delivery::default())).expect("a table");
    let row = rows.next().expect("a row").expect("read");
    assert_eq!(row.charge.expect("a charge").envelope.id, one(FOCUS, &focus_row("")).id);
}

/// Weir's own export rounds such an amount where it has a type, and keeps it beside.
#[test]
fn amounts_of_an_export_are_taken_from_its_other_columns() {
    let exact = "0.0000000000000017763568394003";
    let header = format!("{FOCUS},EffectiveCost,x_OtherColumns");
    let cells = "USD,2024-09-18,2024-09-19";
    let rounded = one(
        &header,
        &format!(
            r#"0.000000000000001776,{cells},,"{{""BilledCost"":""{exact}"",""EffectiveCost"":""{exact}"",""x_Team"":""core""}}""#
        ),
    );
    let whole = one(&header, &format!(r#"{exact},{cells},{exact},"{{""x_Team"":""core""}}""#));
    assert_eq!(usage(&rounded).billed_cost, decimal(exact));
    assert_eq!(rounded.id, whole.id, "as the export in CSV");
    let alone = one(&header, &format!(r#"0,{cells},,"{{""BilledCost"":""{exact}""}}""#));
    assert_eq!(usage(&alone).billed_cost, decimal(exact));
    assert!(usage(&alone).other_columns.is_empty(), "{alone:?}");
}
