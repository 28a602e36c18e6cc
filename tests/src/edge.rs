//! The listeners as operators set them up: over TLS, asked by the command.

use std::{path::PathBuf, process::Output};

use edge::{Listen, Listener, tls::TlsConfig};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{query_api::fixture::Api, support};

/// A certificate for localhost, its key, and who must be believed for it: the same certificate.
struct Files {
    folder: TempDir,
    tls: TlsConfig,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let tls = TlsConfig::new(folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&tls.files.certificate, cert.pem()).expect("written");
        std::fs::write(&tls.files.key, signing_key.serialize_pem()).expect("written");
        Self { folder, tls }
    }

    fn certificate(&self) -> PathBuf {
        self.tls.files.certificate.clone()
    }
}

/// The command, in a folder where nothing runs.
fn weir(home: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
    command
        .args(args)
        .env("WEIR_HOME", home.path())
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("LOG_FORMAT", "json")
        .env_remove("RUST_LOG")
        .current_dir(home.path())
        .kill_on_drop(true);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_ask_over_https_whom_they_are_told_to_believe() {
    let api = Api::start().await;
    let files = Files::new();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = Listen { tls: Some(files.tls.clone()), ..Listen::at("test", address) };
    let listener = Listener::bind(listen).await.expect("a certificate and a port");
    let url = format!("https://localhost:{}", listener.address().port());
    tokio::spawn(listener.serve(api.router.clone(), tokio_util::sync::CancellationToken::new()));
    let ask = async |args: &[&str], trusted: Option<PathBuf>| {
        let mut command = weir(&files.folder, args);
        command.env("DATABASE_URL", &api.database).env("WEIR_QUERY_API__URL", &url);
        command.env("WEIR_TOKEN", &api.tokens["acme"]);
        if let Some(file) = trusted {
            command.env("WEIR_CLIENT__CA_CERTIFICATE", file);
        }
        command.output().await.expect("it starts")
    };
    let certificate = files.certificate();
    let named =
        ["query", "audit", "--output", "json", "--ca-certificate", certificate.to_str().expect("text")];
    let answer = ask(&named, None).await;
    assert!(answer.status.success(), "{}", text(&answer));
    assert_eq!(serde_json::from_slice::<Value>(&answer.stdout).expect("JSON"), serde_json::json!([]));
    let answer = ask(&named[..4], Some(certificate.clone())).await;
    assert!(answer.status.success(), "{}", text(&answer));
    let stranger = Files::new();
    for trusted in [None, Some(stranger.certificate())] {
        let refused = ask(&named[..4], trusted).await;
        assert!(
            !refused.status.success() && text(&refused).contains("does not answer"),
            "{}",
            text(&refused)
        );
    }
    for (file, said) in [
        ("/nowhere/ca.crt", "cannot be read"),
        (stranger.tls.files.key.to_str().expect("text"), "holds no certificate"),
    ] {
        let refused = ask(&[&named[..4], &["--ca-certificate", file]].concat(), None).await;
        assert!(!refused.status.success() && text(&refused).contains(said), "{}", text(&refused));
    }
}

/// A query API as a process, over TLS, on ports of its own.
fn run(database: &str, files: &Files, home: &TempDir) -> Child {
    weir(home, &["run", "query-api"])
        .env("DATABASE_URL", database)
        .env("WEIR_API_KEYS__PEPPER", "thirty-two bytes of pepper, and more")
        .env("WEIR_QUERY_API__LISTEN", "127.0.0.1:0")
        .env("WEIR_QUERY_API__ADMIN_LISTEN", "127.0.0.1:0")
        .env("WEIR_QUERY_API__TLS__CERTIFICATE", &files.tls.files.certificate)
        .env("WEIR_QUERY_API__TLS__KEY", &files.tls.files.key)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Addresses of a process's listeners, as its log states them: the main one and the one for health.
async fn listeners(process: &mut Child) -> [(String, bool); 2] {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
    let mut found: [Option<(String, bool)>; 2] = [None, None];
    while let Some(line) = lines.next_line().await.expect("readable") {
        let Ok(event) = serde_json::from_str::<Value>(&line) else { panic!("no JSON: {line}") };
        let place = match event["listener"].as_str() {
            Some("query API") => 0,
            Some("query API admin") => 1,
            _ => continue,
        };
        let address = event["address"].as_str().expect("an address").to_owned();
        found[place] = Some((address, event["tls"] == true));
        if let [Some(main), Some(admin)] = &found {
            let found = [main.clone(), admin.clone()];
            // Whoever does not read it would stop it in the end.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return found;
        }
    }
    panic!("it ended and had told {found:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_api_answers_over_tls_and_tells_its_health_beside_it() {
    let (database, files, home) =
        (support::database().await, Files::new(), tempfile::tempdir().expect("a folder"));
    let mut process = run(&database, &files, &home);
    let [(main, encrypted), (admin, clear)] = listeners(&mut process).await;
    assert!(encrypted && !clear);
    let pem = std::fs::read(files.certificate()).expect("readable");
    support::provide_cryptography();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).expect("a certificate")])
        .build()
        .expect("a client");
    let port = main.rsplit(':').next().expect("a port");
    let (main, admin) = (format!("https://localhost:{port}"), format!("http://{admin}"));
    let status = async |url: String| client.get(&url).send().await.expect("an answer").status().as_u16();
    while status(format!("{admin}/readyz")).await != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(status(format!("{main}/readyz")).await, 200);
    assert_eq!(status(format!("{main}/metrics")).await, 404);
    assert_eq!(status(format!("{main}/api/v1/audit")).await, 401);
    let metrics = client.get(format!("{admin}/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let expiry = "weir_tls_certificate_expires_timestamp_seconds{listener=\"query API\"} ";
    assert!(metrics.lines().any(|line| line.starts_with(expiry)), "{metrics}");
    assert!(client.get(main.replace("https", "http")).send().await.is_err(), "no clear text there");
    let pid = Pid::from_raw(i32::try_from(process.id().expect("it runs")).expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("a signal");
    assert!(process.wait().await.expect("it ends").success());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_said_at_the_start() {
    let (files, other, home) = (Files::new(), Files::new(), tempfile::tempdir().expect("a folder"));
    std::fs::copy(&other.tls.files.key, &files.tls.files.key).expect("copied");
    let process = run(&support::database().await, &files, &home);
    let output = process.wait_with_output().await.expect("it ends");
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    for part in ["does not belong to", "tls.crt", "tls.key", "TLS of the query API"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}
