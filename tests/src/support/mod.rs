//! Servers, processes and files that the tests use.

pub(crate) mod corpus;
pub(crate) mod patience;
pub(crate) mod projection;
pub(crate) mod service;
pub(crate) mod site;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::stack::{Stack, StackConfig};
use audit_log::SubjectSecret;
use sqlx::{Connection, PgConnection};

/// Command that returns once every stage has applied what the topics hold now, however busy the machine is.
pub(crate) const CAUGHT_UP: [&str; 4] = ["lag", "--wait", "--timeout", "5m"];

/// Secret from which the audit log's subject keys are derived in tests: one for all, so that rebuilds give
/// the same leaves.
pub(crate) const SUBJECT_SECRET: &str = "nobody is the subject of a test's entries";

/// [`SUBJECT_SECRET`], as sinks take it.
pub(crate) fn subject_secret() -> SubjectSecret {
    SubjectSecret::new(SUBJECT_SECRET.as_bytes()).expect("long enough")
}

/// Names of test databases begin so; then follows when they were made, in seconds.
const PREFIX: &str = "weir_test_";
/// By then whoever made a database has ended, or been killed.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// A fresh database of this test's own, with all migrations run; its URL.
///
/// The server is the shared stack's, or the one that `DATABASE_URL` names. Databases that earlier runs left behind are
/// removed.
pub(crate) async fn database() -> String {
    let url = empty_database().await;
    sinks::postgres::migrate(&url).await.expect("migrations");
    url
}

/// A fresh database of this test's own, without tables; its URL.
pub(crate) async fn empty_database() -> String {
    let maintenance_url = postgres().await;
    remove_abandoned(&maintenance_url).await;
    let name = format!("{PREFIX}{}_{:016x}", seconds_now(), rand::random::<u64>());
    sinks::postgres::create_database(&maintenance_url, &name).await.expect("a database")
}

/// A server whose databases may be created; the URL of one that exists.
pub(crate) async fn postgres() -> String {
    // No broker is started for a test that asks for none.
    let config = StackConfig::shared().expect("a place for the servers").with_kafka("unused:0".into());
    Stack::new(config).up().await.expect("a Postgres server").maintenance_url
}

/// Once per run, and not all at once: dropping a database takes a checkpoint.
async fn remove_abandoned(maintenance_url: &str) {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut connection = PgConnection::connect(maintenance_url).await.expect("the server takes connections");
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT datname FROM pg_database WHERE starts_with(datname, $1) AND NOT datistemplate ORDER BY datname LIMIT 100",
    )
    .bind(PREFIX)
    .fetch_all(&mut connection)
    .await
    .expect("the catalog");
    for name in names {
        let made: Option<u64> = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .and_then(|(at, _)| at.parse().ok());
        if made.is_some_and(|at| at + ABANDONED_AFTER.as_secs() < seconds_now()) {
            // Another run may be removing it at this moment.
            drop(sinks::postgres::drop_database(maintenance_url, &name).await);
        }
    }
}

/// Every source file of Rust below a folder, with its text; folders of builds and of tools are left out.
pub(crate) fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    found
}

/// Installs the provider of cryptography that clients want, even for plain HTTP; whoever came first has installed the same one.
pub(crate) fn provide_cryptography() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// That nobody but its owner reads anything in the folder: what is in a folder that is closed needs no more.
pub(crate) fn assert_private(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, found) = (entry.path(), entry.metadata().expect("its mode"));
        let open = found.permissions().mode() & 0o077;
        if found.is_dir() && open != 0 {
            assert_eq!(open & 0o022, 0, "{} may be written by others", path.display());
            assert_private(&path);
        } else {
            assert_eq!(open, 0, "{} is open to others", path.display());
        }
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}
