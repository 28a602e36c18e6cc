//! `GET /api/v1/audit/export`: the file verifies, and an edited byte in it is found.

use std::{collections::BTreeSet, fs, path::PathBuf};

use audit_log::keys::Purpose;
use serde_json::{Value, json};
use sinks::query_api::ShareLimits;

use super::{ENTRIES, LOG, Logged, mirrored::weir};
use crate::query_api::fixture::{Api, READERS};

/// An export, and the commands that verify it.
struct Exported {
    logged: Logged,
    api: Api,
    place: tempfile::TempDir,
    key: String,
    witness: String,
}

impl Exported {
    async fn new() -> Self {
        let logged = Logged::new().await;
        let shares = ShareLimits { connections: READERS as usize, ..ShareLimits::default() };
        let api = Api::over(logged.url.clone(), shares).await;
        let key = logged.key.public(Purpose::Log).to_string();
        let witness = logged.witness.public(Purpose::Witness).to_string();
        Self { logged, api, place: tempfile::tempdir().expect("a folder"), key, witness }
    }

    /// The lines of an export with records; the filter is one more parameter.
    async fn lines(&self, filter: &str) -> Vec<String> {
        let path = format!("/api/v1/audit/export?include=record{filter}");
        let (status, lines) = self.api.ask("acme", &path).await;
        assert_eq!(status, 200, "{lines}");
        lines.lines().map(ToOwned::to_owned).collect()
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("export.ndjson")
    }

    /// The exit code of `weir verify` on these lines, and its report.
    async fn verified(&self, lines: &[String], more: &[&str]) -> (Option<i32>, Value) {
        fs::write(self.file(), lines.join("\n")).expect("written");
        let args = ["verify", "--export", "export.ndjson", "--output", "json", "--key", &self.key];
        let (code, said) = weir(&self.logged, self.place.path(), &[&args[..], more].concat()).await;
        let report = said.lines().find_map(|line| serde_json::from_str(line).ok());
        (code, report.unwrap_or_else(|| json!(said)))
    }
}

fn index(line: &str) -> u64 {
    let line: Value = serde_json::from_str(line).expect("JSON");
    line["record"]["unmapped"]["record_integrity"]["index"].as_u64().expect("a place in a log")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_verifies_and_an_edited_byte_of_it_does_not() {
    let exported = Exported::new().await;
    let lines = exported.lines("").await;
    assert_eq!(lines.iter().map(|line| index(line)).collect::<BTreeSet<_>>().len() as u64, ENTRIES);
    // It is all of the log, so that the witness's cosignature can be demanded.
    for more in [vec![], vec!["--witness", exported.witness.as_str()]] {
        let (code, report) = exported.verified(&lines, &more).await;
        let expected = (Some(0), &json!(ENTRIES), &json!(1));
        assert_eq!((code, &report["entries"], &report["logs"]), expected, "{report}");
        assert!(report["unanchored"].is_null() && report["single"].is_array(), "{report}");
    }

    for (at, from, to) in [(3, "acme", "acne"), (200, "\"severity_id\":", "\"severity_id\":1")] {
        // The last place of it is in the record.
        let place = lines[at].rfind(from).expect("every record has it");
        let mut edited = lines.clone();
        edited[at].replace_range(place..place + from.len(), to);
        let (code, report) = exported.verified(&edited, &[]).await;
        let fault = &report["first_fault"];
        let expected = (Some(1), &json!(LOG), &json!(index(&lines[at])), &json!("edited"));
        assert_eq!((code, &fault["log"], &fault["index"], &fault["kind"]), expected, "{from}: {report}");
    }
    let mut edited = lines.clone();
    edited[11] = edited[11].replacen("\"action\":\"", "\"action\":\"x", 1);
    let (code, report) = exported.verified(&edited, &[]).await;
    assert_eq!(
        (code, &report["first_fault"]["index"]),
        (Some(1), &json!(index(&lines[11]))),
        "a column: {report}"
    );
    let twice = [lines.as_slice(), &lines[5..6]].concat();
    assert_eq!(exported.verified(&twice, &[]).await.1["first_fault"]["kind"], "doubled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_of_a_log_is_verified_with_the_leaves_of_the_others() {
    let exported = Exported::new().await;
    let all = exported.lines("").await;
    let one: Value = serde_json::from_str(&all[100]).expect("JSON");
    let kind = one["kind"].as_str().expect("a kind");
    for filter in ["&outcome=failure".to_owned(), format!("&kind={kind}"), "&text=a".to_owned()] {
        let lines = exported.lines(&filter).await;
        assert!(!lines.is_empty() && lines.iter().all(|line| all.contains(line)), "{filter}");
    }
    let some = exported.lines("&outcome=failure").await;
    assert!(some.len() < all.len(), "{} of {}", some.len(), all.len());
    let (code, report) = exported.verified(&some, &[]).await;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["unanchored"][0]["entries"], some.len(), "{report}");
    // No checkpoint can be compared with some entries alone.
    let demanded = ["--witness", &exported.witness];
    let (code, said) = exported.verified(&some, &demanded).await;
    assert!(code == Some(2) && said.as_str().is_some_and(|said| said.contains("--kept")), "{said}");
    let (code, said) = weir(&exported.logged, exported.place.path(), &["audit", "tiles", "kept"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, report) = exported.verified(&some, &[&demanded[..], &["--kept", "kept"]].concat()).await;
    assert!(code == Some(0) && report["unanchored"].is_null(), "{report}");
}
