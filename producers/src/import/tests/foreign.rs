//! Files of others: skipped in folders, refused when they are named.

use super::*;

/// Lines of an application's log, the last one half written.
fn growing_log() -> String {
    let line = |n: u32| {
        format!(r#"{{"level":"info","message":"request {:08x} is done"}}"#, n.wrapping_mul(2_654_435_761))
    };
    let whole: String = (0..800).map(|n| line(n) + "\n").collect();
    format!("{whole}{{\"level\":\"in")
}

fn without_its_end(gzipped: &[u8]) -> &[u8] {
    &gzipped[..gzipped.len() - 20]
}

#[tokio::test]
async fn a_foreign_file_that_ends_early_is_no_source_of_records() {
    let case = Case::new();
    case.file("a.json", records(0..2));
    case.file("growing.jsonl", growing_log());
    case.file("growing.jsonl.gz", gzip(growing_log()));
    case.file("cut.jsonl.gz", without_its_end(&gzip(growing_log())));
    case.file("cut.json", r#"[{"level":"info"},{"level":"in"#);
    let summary = case.import_folder(SourceFormat::CloudTrail).await;
    assert_eq!((told(summary.counts), summary.skipped_files), ((2, 2, 0, 0), 4), "{:?}", summary.rejections);
    assert!(summary.is_complete());
    for (skipped, defect) in summary.skipped.iter().zip(["was cut", "cannot be read", "was cut", "was cut"]) {
        let reason = &skipped.reason;
        assert!(reason.starts_with("none of its records is a CloudTrail record; it "), "{reason}");
        assert!(reason.contains(defect), "{}: {reason}", skipped.file);
    }

    let named = ["growing.jsonl", "growing.jsonl.gz", "cut.jsonl.gz", "cut.json"];
    let summary = case.import_named(SourceFormat::CloudTrail, &named).await;
    assert_eq!((told(summary.counts), summary.refused_files), ((0, 0, 0, 4), 4), "{:?}", summary.rejections);
}

#[tokio::test]
async fn a_truncated_file_of_another_source_is_named_as_that() {
    let case = Case::new();
    let event = |n: u32| {
        format!(r#"{{"eventType":"user.session.start","uuid":"{n}","published":"2026-01-01T00:00:00Z"}}"#)
    };
    let events: Vec<String> = (0..800).map(event).collect();
    case.file("okta.json.gz", without_its_end(&gzip(format!("[{}]", events.join(",")))));
    let summary = case.import_named(SourceFormat::CloudTrail, &["okta.json.gz"]).await;
    assert_eq!(told(summary.counts), (0, 0, 0, 1), "{:?}", summary.rejections);
    let reason = &summary.rejections[0].reason;
    assert!(reason.contains("they look like an Okta system log event (okta); it cannot be read"), "{reason}");
}

/// Exports lie in a folder with a manifest that describes them.
#[tokio::test]
async fn the_manifest_beside_a_bill_is_no_charge() {
    let case = Case::new();
    let manifest = r#"{"manifestVersion":"2024-04-01","blobCount":1,"dataRowCount":1,
        "blobs":[{"blobName":"part_0.csv","byteCount":120,"dataRowCount":1}],"columns":["BilledCost","ChargePeriodStart"]}"#;
    let charge = r#"{"BilledCost":2,"BillingCurrency":"USD","ChargePeriodStart":"2026-01-01","ChargePeriodEnd":"2026-01-02"}"#;
    let header = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd";
    case.file("bill.csv", format!("{header}\n1,USD,2026-01-01,2026-01-02\n"));
    case.file("bill.json", format!("[{charge},{{\"BilledCost\":3}},7]"));
    case.file("manifest.json", manifest);
    let summary = case.import_folder(SourceFormat::Focus).await;
    assert_eq!((told(summary.counts), summary.skipped_files), ((4, 2, 0, 2), 1), "{:?}", summary.rejections);
    assert!(summary.skipped[0].file.ends_with("manifest.json"), "{:?}", summary.skipped);

    let clean = case.import_named(SourceFormat::Focus, &["bill.csv"]).await;
    assert!(clean.is_clean());
    let named = case.import_named(SourceFormat::Focus, &["manifest.json"]).await;
    assert_eq!((told(named.counts), named.refused_files), ((0, 0, 0, 1), 1), "{:?}", named.rejections);

    // Nothing else in the folder: the exit code is 0.
    fs::remove_file(case.files.path().join("bill.json")).expect("removed");
    assert!(case.import_folder(SourceFormat::Focus).await.is_clean());
}
