//! `weir audit tiles`: a folder that others keep is written on, and never over.

use std::{fs, path::Path};

use audit_log::keys::Purpose;
use sqlx::Executor as _;

use super::{ENTRIES, LOG, Logged, rewritten_log};

/// The exit code and output of a command.
pub(super) async fn weir(logged: &Logged, folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
    command
        .args(args)
        .current_dir(folder)
        .env("WEIR_HOME", folder)
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("DATABASE_URL", &logged.url)
        .env_remove("RUST_LOG");
    let output = command.output().await.expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// The bytes of every file below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_tiles_is_written_on_and_never_over() {
    let mut logged = Logged::new().await;
    let place = tempfile::tempdir().expect("a folder");
    let log = place.path().join("kept").join(LOG);
    let key = logged.key.public(Purpose::Log).to_string();
    let witness = logged.witness.public(Purpose::Witness).to_string();
    let write = ["audit", "tiles", "kept"];
    let by_itself = ["verify", "--tiles", "kept", "--key", &key, "--witness", &witness];
    let against_it = ["verify", "--kept", "kept", "--key", &key, "--witness", &witness];
    for args in [&write[..], &by_itself, &against_it] {
        let (code, said) = weir(&logged, place.path(), args).await;
        assert_eq!(code, Some(0), "{args:?}: {said}");
    }
    let whole = files(&log);

    // Somebody was killed while writing.
    fs::write(log.join(format!("tile/0/001.p/{}", ENTRIES - 256)), b"short").expect("written");
    assert_eq!(weir(&logged, place.path(), &by_itself).await.0, Some(2), "it cannot be verified");
    let (code, said) = weir(&logged, place.path(), &write).await;
    assert_eq!((code, files(&log)), (Some(0), whole.clone()), "{said}");

    // The log is rewritten and signed anew: what the folder holds stays as it is.
    let mut leaves = logged.leaves.clone();
    leaves.swap(200, 201);
    let rows = "UPDATE audit_entry SET log_index = 401 - log_index WHERE log_index IN (200, 201)".to_owned();
    let forget = "DELETE FROM audit_checkpoint".to_owned();
    for statement in [vec![forget], rewritten_log(&leaves, &logged), vec![rows]].concat() {
        logged.connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("as the server's owner");
    }
    let (code, said) = weir(&logged, place.path(), &write).await;
    assert_eq!((code, files(&log)), (Some(1), whole.clone()), "{said}");
    assert!(said.contains(LOG) && said.contains("weir verify --kept kept"), "{said}");
    let (code, said) = weir(&logged, place.path(), &against_it).await;
    assert!(code == Some(1) && said.contains("entry 200 of") && said.contains("swapped"), "{said}");

    // It is cut, or gone.
    for (statement, part) in [
        ("UPDATE audit_log SET size = 280", "280 entries"),
        ("DELETE FROM audit_log", "gone from the database"),
    ] {
        logged.connection.execute(statement).await.expect("as the server's owner");
        let (code, said) = weir(&logged, place.path(), &write).await;
        assert_eq!((code, files(&log)), (Some(1), whole.clone()), "{said}");
        assert!(said.contains(part), "{said}");
    }
}
