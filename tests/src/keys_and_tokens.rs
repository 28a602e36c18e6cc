//! The command and the services where somebody else has put a folder, a secret or a lock.

use std::{
    fs,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
    time::Duration,
};

use schemas::{
    TenantId,
    access::{Pepper, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sinks::api_keys::{self, KeyRequest};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
};
use tokio_util::sync::CancellationToken;
use topology::runtime::keys;

use crate::support::{
    self, service,
    site::{Site, ended},
};

const TOKEN: &str = "weir_stranger_0123456789";
/// Everything that commands ask the two services for.
const COMMANDS: [&[&str]; 6] = [
    &["query", "audit"],
    &["query", "risk"],
    &["query", "changes"],
    &["query", "cost"],
    &["change", "approve", "change-1", "--reason", "looks good"],
    &["hold", "place", "tenant", "--reason", "a case"],
];

/// A server that writes down what it is sent, and answers that it has nothing.
async fn listening() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8 * 1024];
            let length = stream.read(&mut request).await.unwrap_or(0);
            into.lock().expect("no panic").extend_from_slice(&request[..length]);
            let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            // Whoever hung up has been heard nevertheless.
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (port, heard)
}

async fn weir_in(folder: &Path, home: &Path, args: &[&str]) -> Output {
    weir_with(folder, home, &[], args).await
}

async fn weir_with(folder: &Path, home: &Path, set: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(service::weir());
    for name in ["WEIR_TOKEN", "WEIR_TOKEN_FILE", "WEIR_QUERY_API__URL", "WEIR_GATEWAY__URL"] {
        command.env_remove(name);
    }
    command.envs(set.iter().copied());
    command
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("DATABASE_URL", "postgres://weir@127.0.0.1:1/weir");
    command.args(args).current_dir(folder).env("WEIR_HOME", home).kill_on_drop(true);
    command.output().await.expect("it starts")
}

#[tokio::test]
async fn a_folder_of_strangers_gets_no_token() {
    let (port, heard) = listening().await;
    let home = tempfile::tempdir().expect("a folder");
    let kept = json!({"token": TOKEN, "urls": ["http://127.0.0.1:1", "https://weir.example.com"]});
    fs::write(home.path().join("login.json"), kept.to_string()).expect("written");
    for url in [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}/api"),
        format!("http://weir.example.com@127.0.0.1:{port}"),
        format!("http://[::1]:{port}"),
    ] {
        let folder = folder_that_names(&url);
        for args in COMMANDS {
            let output = weir_in(folder.path(), home.path(), args).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains(" is not for "), "{args:?} at {url}: {said}");
            assert!(!said.contains(TOKEN), "{said}");
            let heard = String::from_utf8_lossy(&heard.lock().expect("no panic")).into_owned();
            assert!(!heard.contains(TOKEN) && !heard.contains("uthorization"), "{args:?} at {url}: {heard}");
        }
    }
}

/// A folder whose `weir.toml` names both services there.
fn folder_that_names(url: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!("[query_api]\nurl = \"{url}\"\n[gateway]\nurl = \"{url}\"\n");
    fs::write(folder.path().join("weir.toml"), settings).expect("written");
    folder
}

#[tokio::test]
async fn a_folder_of_strangers_gets_no_token_of_the_environment() {
    let (port, heard) = listening().await;
    let home = tempfile::tempdir().expect("a folder");
    let folder = folder_that_names("https://weir.invalid");
    for args in COMMANDS {
        let output = weir_with(folder.path(), home.path(), &[("WEIR_TOKEN", TOKEN)], args).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_told = ["WEIR_QUERY_API__URL", "WEIR_GATEWAY__URL"].iter().any(|name| said.contains(name));
        assert!(!output.status.success() && is_told && said.contains("weir.toml"), "{args:?}: {said}");
        assert!(!said.contains(TOKEN), "{said}");
    }
    let named = format!("http://127.0.0.1:{port}");
    let set = [("WEIR_TOKEN", TOKEN), ("WEIR_QUERY_API__URL", named.as_str())];
    weir_with(folder.path(), home.path(), &set, &["query", "audit"]).await;
    let heard = String::from_utf8_lossy(&heard.lock().expect("no panic")).into_owned();
    assert!(heard.contains(TOKEN), "the environment wins over the folder: {heard}");
}

#[tokio::test]
async fn nobody_signs_in_for_a_folder_of_strangers() {
    let (port, heard) = listening().await;
    let home = tempfile::tempdir().expect("a folder");
    let folder = folder_that_names("https://weir.invalid");
    let issuer = format!("http://127.0.0.1:{port}");
    let login = ["auth", "login", "--issuer", &issuer];
    let output = weir_in(folder.path(), home.path(), &login).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("WEIR_GATEWAY__URL"), "{said}");
    assert!(said.contains("weir.toml") && said.contains("https://weir.invalid/"), "{said}");
    assert!(heard.lock().expect("no panic").is_empty(), "the issuer is not even asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_scopes_of_its_own_an_end_and_a_place_in_the_log() {
    let site = Site::new().await;
    let stage = site.run_stages(&["audit"], 1);
    let pepper = "thirty-two bytes of pepper, and more";
    let key = async |pepper: &str, args: &[&str]| {
        let mut command = site.command(&[&["key"], args].concat());
        command.env("WEIR_API_KEYS__PEPPER", pepper);
        ended(command).await
    };
    let create: &[&str] = &["create", "--tenant", "acme", "--output", "json"];
    assert!(!key(pepper, create).await.status.success(), "no scope is none");
    let scoped = [create, &["--scope", "read", "--expires", "90d"]].concat();
    for (short, told) in [("", "WEIR_API_KEYS__PEPPER_FILE"), ("pepper", "32"), (&pepper[..31], "32")] {
        let refused = key(short, &scoped).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(told), "{short:?}: {said}");
    }
    assert!(!key(pepper, &[create, &["--scope", "dead-letter:admin"]].concat()).await.status.success());
    let made = key(pepper, &scoped).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert_eq!((&made["tenant"], &made["scopes"]), (&json!("acme"), &json!(["read"])));
    assert!(made["expires_at"].is_string(), "{made}");
    let id = made["id"].as_str().expect("an id");
    assert!(key(pepper, &["rotate", id]).await.status.success());
    assert!(key(pepper, &["revoke", id]).await.status.success());
    site.await_count(
        "SELECT count(*) FROM audit_entry WHERE tenant_id = 'acme' AND kind = 'PermissionChanged'
            AND action IN ('CreateApiKey', 'RotateApiKey', 'RevokeApiKey') AND actor <> ''",
        3,
    )
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_cannot_be_read_for_too_long_let_nobody_in() {
    let database = support::database().await;
    let mut owner = PgConnection::connect(&database).await.expect("connected");
    let pepper = Pepper::new("pepper");
    let request = KeyRequest {
        tenant: TenantId::new("acme").expect("valid"),
        name: "ci".into(),
        scopes: vec![Scope::Read],
        expires_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    let made = api_keys::create(&mut owner, &pepper, &request).await.expect("made");
    let stop = CancellationToken::new();
    let followed = keys::watch(&database, pepper.into(), Duration::from_secs(1), stop.clone());
    let holds = || {
        let ring = followed.current()?;
        Some(ring.verify(made.token.expose_secret(), chrono::Utc::now()).is_some())
    };
    let until = async |expected: Option<bool>| {
        let reached = async {
            while holds() != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
        assert!(reached.is_ok(), "{:?}, not {expected:?}", holds());
    };
    until(Some(true)).await;
    owner.execute("REVOKE SELECT ON api_key FROM weir_service").await.expect("the owner may");
    api_keys::revoke(&mut owner, &made.key.id).await.expect("revoked");
    until(None).await;
    owner.execute("GRANT SELECT ON api_key TO weir_service").await.expect("the owner may");
    until(Some(false)).await;
    stop.cancel();
}
