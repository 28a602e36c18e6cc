//! Names of files in the journal and in what is told.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use super::*;

/// A file that is refused keeps the journal for a resumed import.
const REFUSED: &str = "zz.json.gz";

#[tokio::test]
async fn a_name_that_is_not_utf_8_is_imported_and_resumed() {
    let case = Case::new();
    let file = |name: &[u8], content: String| {
        fs::write(case.files.path().join(OsStr::from_bytes(name)), content).expect("written");
    };
    file(b"a\xE9.json", records(0..2));
    file(br"a\xE9.json", records(2..4));
    file(b"b\xE9.json.gz", "not gzip".to_owned());
    let summary = case.import(Start::Over, drop).await;
    assert_eq!((told(summary.counts), summary.refused_files), ((4, 4, 0, 1), 1));
    assert!(summary.rejections[0].file.ends_with(r"/b\xE9.json.gz"), "{:?}", summary.rejections);
    let told_to_machines = serde_json::to_string(&summary).expect("JSON");
    assert!(told_to_machines.contains(r"b\\xE9.json.gz"), "{told_to_machines}");

    let resumed = case.import(Start::Resumed, drop).await;
    assert_eq!((resumed.resumed_files, told(resumed.counts)), (2, (4, 4, 0, 1)));
}

#[tokio::test]
async fn a_journal_that_is_cut_within_a_character_resumes() {
    let case = Case::new();
    case.file("a.json", records(0..2));
    case.file("é.json", records(2..4));
    case.file(REFUSED, "not gzip");
    case.import(Start::Over, drop).await;
    let journal =
        fs::read_dir(case.state.path()).expect("listed").next().expect("one").expect("an entry").path();
    let lines = fs::read(&journal).expect("read");
    let within = lines.iter().position(|byte| *byte == "é".as_bytes()[0]).expect("the name") + 1;
    fs::write(&journal, &lines[..within]).expect("written");
    let resumed = case.import(Start::Resumed, drop).await;
    assert_eq!((resumed.resumed_files, told(resumed.counts)), (1, (4, 4, 0, 1)));
}

/// A folder of the journal that cannot be written is told with what to do.
#[tokio::test]
async fn a_journal_that_cannot_be_written_is_named() {
    let case = Case::new();
    case.file("a.json", records(0..1));
    case.file("no_folder", "");
    let state_dir = case.files.path().join("no_folder");
    let options =
        ImportOptions { state_dir: state_dir.clone(), ..case.options(SourceFormat::CloudTrail, Start::Over) };
    let failed = import(vec![case.files.path().into()], options, &case.producer, drop).await;
    let told = failed.expect_err("no folder").to_string();
    assert!(
        told.contains(&state_dir.display().to_string()) && told.contains("make its folder writable"),
        "{told}"
    );
}
