//! The Java SDK of CloudEvents, with Kafka's own client, in every mode that it has. An event is sent twice: one row, and one
//! duplicate.
//!
//! Where Maven cannot get the SDK the test says so.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::door::Door;
use crate::support::site::{Site, ended};

const MODES: [&str; 4] = ["http binary", "http structured", "kafka binary", "kafka structured"];
/// Shapes of data that the program sends: JSON, none, text, bytes, and JSON with attributes that need encoding.
const SHAPES: usize = 5;
/// Maven's plugin that runs a program.
const PLUGIN: &str = "org.codehaus.mojo:exec-maven-plugin:3.5.0";

/// A copy of the program, compiled; `None` where that fails.
async fn compiled() -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("senders/java");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("senders/java");
    for file in ["pom.xml", "src/main/java/sdk/Sender.java"] {
        let to = copy.join(file);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(ours.join(file), to).expect("copied");
    }
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "compile", &format!("{PLUGIN}:help")]).current_dir(&copy);
    let output = tokio::task::spawn_blocking(move || maven.output()).await.expect("no panic");
    output.is_ok_and(|output| output.status.success()).then_some(copy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_java_sdk_is_accepted_in_every_mode() {
    let Some(folder) = compiled().await else {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests should see what was not run")]
        {
            eprintln!("ignored: Maven cannot get the Java SDK of CloudEvents");
        }
        return;
    };
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let stage = site.run_stages(&["audit"], 1);
    let mut sender = Command::new("mvn");
    sender
        .args(["-q", "-B", "-Dstyle.color=never", &format!("{PLUGIN}:java"), "-Dexec.mainClass=sdk.Sender"])
        .current_dir(folder)
        .env("WEIR_URL", format!("http://{}/api/v1/events", door.address()))
        .env("WEIR_TOKEN", door.token())
        .env("WEIR_KAFKA", &site.endpoints.kafka);
    let output = ended(sender).await;
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    for mode in MODES {
        let taken = |line: &&str| {
            // Maven may colour the first line.
            line.split_once(mode)
                .map(|(_, rest)| rest)
                .is_some_and(|rest| rest.ends_with(" 202") || rest.ends_with(" sent"))
        };
        assert_eq!(told.lines().filter(taken).count(), 2 * SHAPES, "{mode}: {told}");
    }

    let events = i64::try_from(SHAPES * MODES.len()).expect("few");
    site.await_count("SELECT count(*) FROM audit_entry WHERE tenant_id = 'acme'", events).await;
    let duplicates = "SELECT coalesce(sum(duplicate), 0)::bigint FROM stage_position WHERE stage = 'audit'";
    site.await_count(duplicates, events).await;
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 0);
    stage.stop().await;
    door.stop.cancel();
}
