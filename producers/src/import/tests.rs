//! Against the client library's own broker, in this process.

mod foreign;
mod memory;
mod names;

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use schemas::codec::Framing;

use super::*;
use crate::{
    kafka::{ProducerConfig, Purpose},
    sources::focus::DeliveryMode,
};

fn producer() -> Producer {
    let extra = BTreeMap::from([
        ("test.mock.num.brokers".to_owned(), "1".to_owned()),
        ("allow.auto.create.topics".to_owned(), "true".to_owned()),
        ("queue.buffering.max.messages".to_owned(), "100".to_owned()),
        ("linger.ms".to_owned(), "0".to_owned()),
    ]);
    let config = ProducerConfig {
        bootstrap: "localhost:1".into(),
        purpose: Purpose::Bulk,
        client_id: "weir-test".into(),
        extra,
    };
    Producer::new(&config, Framing::SingleObject).expect("the settings are good")
}

struct Case {
    files: tempfile::TempDir,
    state: tempfile::TempDir,
    producer: Producer,
    stop: CancellationToken,
}

impl Case {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a temporary folder");
        Self { files: folder(), state: folder(), producer: producer(), stop: CancellationToken::new() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.files.path().join(name), content).expect("written");
    }

    fn options(&self, format: SourceFormat, start: Start) -> ImportOptions {
        ImportOptions {
            format,
            tenant: TenantId::new("acme").expect("a plain name"),
            state_dir: self.state.path().into(),
            start,
            delivery: Delivery::default(),
            state: StateOptions::default(),
            stop: self.stop.clone(),
        }
    }

    async fn import(&self, start: Start, mut seen: impl FnMut(Progress)) -> ImportSummary {
        let options = self.options(SourceFormat::CloudTrail, start);
        import(vec![self.files.path().into()], options, &self.producer, &mut seen).await.expect("imported")
    }

    /// Imports the folder, as a source's.
    async fn import_folder(&self, format: SourceFormat) -> ImportSummary {
        let options = self.options(format, Start::Over);
        import(vec![self.files.path().into()], options, &self.producer, drop).await.expect("imported")
    }

    /// Imports files that are named one by one.
    async fn import_named(&self, format: SourceFormat, names: &[&str]) -> ImportSummary {
        let paths = names.iter().map(|name| self.files.path().join(name)).collect();
        let options = self.options(format, Start::Over);
        import(paths, options, &self.producer, drop).await.expect("imported")
    }

    fn journals(&self) -> usize {
        fs::read_dir(self.state.path()).expect("listed").count()
    }
}

fn record(id: u32) -> String {
    format!(
        r#"{{"eventID":"00000000-0000-4000-8000-{id:012}","eventName":"Do","eventTime":"2026-01-01T00:00:00Z"}}"#
    )
}

fn records(ids: std::ops::Range<u32>) -> String {
    format!(r#"{{"Records":[{}]}}"#, ids.map(record).collect::<Vec<_>>().join(","))
}

fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).expect("compressed");
    encoder.finish().expect("compressed")
}

fn told(counts: Counts) -> (u64, u64, u64, u64) {
    (counts.read, counts.published, counts.duplicates, counts.rejected)
}

#[tokio::test]
async fn every_shape_of_file_is_published_and_repetitions_counted() {
    let case = Case::new();
    case.file("a.json", records(0..200));
    case.file("b.json.gz", [gzip(record(200)), gzip("\n"), gzip(record(201))].concat());
    case.file("c.jsonl", format!("{}\n17\n{}\n", record(0), record(202)));
    case.file("empty.json", "");
    case.file("README.md", "# Not a log\n");
    case.file("other.json", r#"[{"name":"no log either"}]"#);
    let mut last = Progress::default();
    let summary = case.import(Start::Over, |progress| last = progress).await;
    assert_eq!(told(summary.counts), (205, 203, 1, 1));
    assert_eq!((summary.files, summary.skipped_files, summary.refused_files), (4, 2, 0));
    assert_eq!(summary.rejections[0].record, Some(1));
    assert!(summary.rejections[0].file.ends_with("c.jsonl"));
    assert_eq!((last.files_done, last.files_total), (6, 6));
    assert_eq!(last.bytes_done, last.bytes_total);
    assert!(summary.is_complete());
    assert_eq!(case.journals(), 0, "a finished import leaves nothing behind");

    let again = case.import(Start::Over, |_| ()).await;
    assert_eq!(told(again.counts), told(summary.counts), "a new import publishes all of it again");
}

#[tokio::test]
async fn what_a_stage_would_park_is_rejected_before_it_is_published() {
    let case = Case::new();
    let late = record(1).replace("2026-01-01", "9026-01-01");
    case.file("a.jsonl", format!("{late}\n{}\n", record(2)));
    let summary = case.import(Start::Over, |_| ()).await;
    assert_eq!(told(summary.counts), (2, 1, 0, 1));
    let rejection = &summary.rejections[0];
    assert_eq!(rejection.record, Some(0));
    assert!(rejection.reason.contains("ahead of when it was received"), "{}", rejection.reason);
}

#[tokio::test]
async fn broken_files_keep_what_came_before_and_are_read_again_when_resumed() {
    let case = Case::new();
    let whole = gzip(records(10..400));
    case.file("a.json", records(0..10));
    case.file("cut.json.gz", &whole[..whole.len() - 20]);
    case.file("false.json.gz", "not gzip");
    case.file("cut.json", &records(400..410)[..records(400..410).len() - 2]);
    let summary = case.import(Start::Over, |_| ()).await;
    assert_eq!((summary.files, summary.refused_files), (4, 3));
    assert!(summary.counts.published > 20, "what came before the cut is kept: {:?}", summary.counts);
    assert_eq!((summary.is_complete(), case.journals()), (false, 1));
    let reasons: Vec<_> = summary.rejections.iter().map(|rejection| rejection.reason.as_str()).collect();
    assert!(reasons[0].contains("cut"), "{reasons:?}");

    case.file("cut.json.gz", whole);
    case.file("false.json.gz", gzip("[]"));
    case.file("cut.json", records(400..410));
    let summary = case.import(Start::Resumed, |_| ()).await;
    assert_eq!(told(summary.counts), (410, 410, 0, 0), "counts include what was done before");
    assert_eq!((summary.files, summary.resumed_files, case.journals()), (4, 1, 0));
}

#[tokio::test]
async fn archives_and_binary_formats_are_named_with_what_to_do() {
    let mut tar = [0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (content, instead) in [
        (b"PK\x03\x04....".to_vec(), "a ZIP archive"),
        (tar.to_vec(), "a tar archive"),
        (gzip(tar), "a tar archive"),
        (gzip(gzip("{}")), "compressed twice"),
        (b"BZh91AY".to_vec(), "bzip2"),
        (b"PAR1....".to_vec(), "Parquet"),
    ] {
        let case = Case::new();
        case.file("a.json", records(0..1));
        case.file("packed.json", content);
        let summary = case.import(Start::Over, |_| ()).await;
        assert_eq!((told(summary.counts), summary.skipped_files), ((1, 1, 0, 0), 1), "{instead}");
        assert!(summary.skipped[0].reason.contains(instead), "{:?}", summary.skipped);
    }
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let case = Case::new();
    for file in 0..20 {
        case.file(&format!("{file:02}.json"), records(file * 300..(file + 1) * 300));
    }
    let stop = case.stop.clone();
    let summary = case
        .import(Start::Over, |progress| {
            if progress.files_done == 5 {
                stop.cancel();
            }
        })
        .await;
    assert!(summary.interrupted && (5..20).contains(&summary.files), "{} files", summary.files);
    let case = Case { stop: CancellationToken::new(), ..case };
    let resumed = case.import(Start::Resumed, |_| ()).await;
    assert_eq!(resumed.resumed_files, summary.files);
    assert_eq!((resumed.files, told(resumed.counts)), (20, (6_000, 6_000, 0, 0)));
}

/// A bill of a month is one file.
#[tokio::test]
async fn an_interrupted_file_goes_on_where_it_stopped() {
    const RECORDS: u32 = 70_000;
    let case = Case::new();
    case.file("a.json", records(RECORDS..RECORDS + 10));
    case.file("long.json", records(0..RECORDS));
    let stop = case.stop.clone();
    let summary = case
        .import(Start::Over, |progress| {
            if progress.counts.read > 50_000 {
                stop.cancel();
            }
        })
        .await;
    assert!(summary.interrupted && summary.counts.read < u64::from(RECORDS), "{:?}", summary.counts);
    let case = Case { stop: CancellationToken::new(), ..case };
    let resumed = case.import(Start::Resumed, |_| ()).await;
    assert_eq!(resumed.resumed_files, 1);
    assert_eq!(resumed.resumed_records, summary.counts.read - 10, "everything that was acknowledged");
    let all = u64::from(RECORDS) + 10;
    assert_eq!((resumed.files, told(resumed.counts)), (2, (all, all, 0, 0)));
    assert_eq!(case.journals(), 0);
}

/// Killed, nobody notes the end: the last section that was acknowledged counts. A file that has changed is read anew.
#[tokio::test]
async fn a_killed_import_goes_on_behind_the_last_section() {
    let case = Case::new();
    case.file("long.json", records(0..50_000));
    case.file("refused.json.gz", "not gzip");
    case.import(Start::Over, |_| ()).await;
    let journal =
        fs::read_dir(case.state.path()).expect("listed").next().expect("one").expect("an entry").path();
    let lines = fs::read_to_string(&journal).expect("text");
    let sections: Vec<&str> = lines.lines().filter(|line| line.contains("\"partly\":true")).collect();
    assert_eq!(sections.len(), 2, "{lines}");
    // As if it had been killed before the file was whole, in the middle of a line.
    fs::write(&journal, format!("{}\n{}", sections.join("\n"), &sections[1][..20])).expect("written");
    let resumed = case.import(Start::Resumed, |_| ()).await;
    assert_eq!(resumed.resumed_files, 0);
    assert!((40_000..41_000).contains(&resumed.resumed_records), "{}", resumed.resumed_records);
    assert_eq!(told(resumed.counts), (50_000, 50_000, 0, 1));

    fs::write(&journal, sections.join("\n")).expect("written");
    case.file("long.json", records(0..50_001));
    let anew = case.import(Start::Resumed, |_| ()).await;
    assert_eq!((anew.resumed_records, told(anew.counts)), (0, (50_001, 50_001, 0, 1)));
}

#[tokio::test]
async fn a_path_that_is_not_there_is_named() {
    let case = Case::new();
    let options = ImportOptions {
        format: SourceFormat::CloudTrail,
        tenant: TenantId::new("acme").expect("a plain name"),
        state_dir: case.state.path().join("new/folder"),
        start: Start::Over,
        delivery: Delivery::default(),
        state: StateOptions::default(),
        stop: CancellationToken::new(),
    };
    let missing = case.files.path().join("missing.json");
    let lone = case.files.path().join("lone.json");
    fs::write(&lone, r#"{"name":"no record"}"#).expect("written");
    let summary =
        import(vec![missing.clone(), lone.clone()], options, &case.producer, |_| ()).await.expect("imported");
    let files: Vec<&Path> = summary.rejections.iter().map(|rejection| Path::new(&rejection.file)).collect();
    assert_eq!(files, [missing.as_path(), lone.as_path()]);
    assert_eq!((summary.files, told(summary.counts)), (1, (0, 0, 0, 2)));
}

#[tokio::test]
async fn every_source_is_imported_from_the_files_it_writes() {
    let event = |id: u32| {
        format!(
            r#"{{"kind":"Event","auditID":"00000000-0000-4000-8000-{id:012}","stage":"Panic","verb":"get"}}"#
        )
    };
    let list = format!(r#"{{"kind":"EventList","items":[{},{}],"metadata":{{}}}}"#, event(1), event(2));
    let plan =
        r#"{"format_version":"1.2","resource_changes":[{"change":{"actions":["create"]}}],"Records":[1,2]}"#;
    let foreign = r#"{"name":"no log"}"#;
    for (format, files, expected) in [
        (SourceFormat::KubernetesAudit, vec![list, format!("{}\n{}\n", event(2), event(3))], (4, 3, 1, 0)),
        (SourceFormat::GithubAudit, vec![r#"[{"action":"a.b","actor":"ada"},7]"#.to_owned()], (2, 1, 0, 1)),
        (SourceFormat::OktaSystemLog, vec![r#"{"eventtype":"a.b","published":""}"#.to_owned()], (1, 1, 0, 0)),
        (SourceFormat::TerraformPlan, vec![plan.to_owned(), plan[..60].to_owned()], (1, 1, 0, 1)),
    ] {
        let case = Case::new();
        for (at, file) in files.iter().enumerate() {
            case.file(&format!("{at}.json"), file);
        }
        case.file("other.json", foreign);
        let summary = case.import_folder(format).await;
        assert_eq!(told(summary.counts), expected, "{format:?}: {:?}", summary.rejections);
        assert_eq!(summary.skipped_files, 1, "{format:?}: {:?}", summary.skipped);
    }
}

const STATE: &str = r#"{"format_version":"1.0","terraform_version":"1.9.0","values":{"root_module":{"resources":[
    {"address":"aws_ebs_volume.a","mode":"managed","type":"aws_ebs_volume","name":"a","values":{"encrypted":true}},
    {"address":"data.aws_ami.x","mode":"data","type":"aws_ami","name":"x","values":{}},
    {"address":"aws_ebs_volume.b","mode":"managed","type":"aws_ebs_volume","name":"b","values":7}]}}}"#;

#[tokio::test]
async fn items_and_states_are_imported_side_by_side() {
    let case = Case::new();
    let item = r#"{"configurationItemCaptureTime":"2026-01-01T00:00:00Z","configurationItemStatus":"OK",
                   "resourceType":"AWS::EC2::Volume","resourceId":"v-1"}"#;
    case.file(
        "a_snapshot.json",
        format!(r#"{{"fileVersion":"1.0","configurationItems":[{item},{item},{{"resourceId":"x"}}]}}"#),
    );
    case.file("b_state.json", STATE);
    case.file("c_plan.json", r#"{"format_version":"1.2","planned_values":{},"resource_changes":[]}"#);
    case.file("d_cut.json", &STATE[..120]);
    let names = ["a_snapshot.json", "b_state.json", "c_plan.json", "d_cut.json"];
    let summary = case.import_named(SourceFormat::Config, &names).await;
    assert_eq!(told(summary.counts), (5, 2, 1, 4), "{:?}", summary.rejections);
    let why = |file: &str| {
        let of_file = summary.rejections.iter().filter(|one| one.file.ends_with(file));
        of_file.map(|one| one.reason.clone()).collect::<Vec<_>>().join("; ")
    };
    assert!(why("a_snapshot.json").contains("no resourceType"), "{}", why("a_snapshot.json"));
    assert!(
        why("b_state.json").contains("/values/root_module/resources/2: `values`"),
        "{}",
        why("b_state.json")
    );
    assert!(why("c_plan.json").contains("weir import terraform-plan"), "{}", why("c_plan.json"));
    assert!(why("d_cut.json").contains("line 2"), "{}", why("d_cut.json"));
}

#[tokio::test]
async fn charges_that_replace_a_billing_period_state_one_instant_in_all_files() {
    let case = Case::new();
    let bill = |period: &str, known_at: &str, costs: &[&str]| {
        let row = |cost: &&str| format!("{cost},USD,2025-05-01,2025-05-02,Nimbus,A-1,{period},{known_at}\n");
        let rows: String = costs.iter().map(row).collect();
        format!(
            "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ProviderName,BillingAccountId,\
             BillingPeriodStart,x_ExportDateTime\n{rows}"
        )
    };
    case.file("a.csv", bill("2025-05-01", "2025-07-01", &["1"]));
    case.file("b.csv", bill("2025-05-01", "2025-07-02", &["2"]));
    case.file("c.csv", bill("2025-06-01", "2025-07-02", &["3"]));
    case.file("d.csv.gz", "not gzip");
    let options = |start| ImportOptions {
        format: SourceFormat::Focus,
        tenant: TenantId::new("acme").expect("a plain name"),
        state_dir: case.state.path().into(),
        start,
        delivery: Delivery { known_at: None, mode: DeliveryMode::Replace },
        state: StateOptions::default(),
        stop: case.stop.clone(),
    };
    let paths = || vec![PathBuf::from(case.files.path())];
    let summary = import(paths(), options(Start::Over), &case.producer, |_| ()).await.expect("imported");
    assert_eq!(told(summary.counts), (3, 2, 0, 2), "{:?}", summary.rejections);
    assert!(summary.rejections[0].file.ends_with("b.csv"), "{:?}", summary.rejections);
    assert!(summary.rejections[0].reason.contains("--known-at"), "{:?}", summary.rejections);

    // A resumed import knows the instants of the files that are done.
    case.file("b.csv", bill("2025-05-01", "2025-07-02", &["2", "4"]));
    let resumed = import(paths(), options(Start::Resumed), &case.producer, |_| ()).await.expect("imported");
    assert_eq!(resumed.resumed_files, 2);
    assert_eq!(told(resumed.counts), (4, 2, 0, 3), "{:?}", resumed.rejections);
}

#[tokio::test]
async fn digests_beside_the_logs_of_a_folder_are_passed_over() {
    let case = Case::new();
    case.file("a.json", records(0..2));
    let digest =
        r#"{"digestS3Object":"AWSLogs/1/CloudTrail-Digest/a.json.gz","logFiles":[],"awsAccountId":"1"}"#;
    case.file("digest.json", digest);
    let summary = case.import(Start::Over, drop).await;
    assert_eq!((told(summary.counts), summary.skipped_files), ((2, 2, 0, 0), 1));
    assert!(summary.is_complete());
}
