//! Both services against a generated client, and against a tester of OpenAPI descriptions (schemathesis): statuses, media types, bodies and values are as
//! they are described, and what is not described is refused.

mod client;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    intake::door::Door,
    query_api::fixture::{Api, entry},
    support::site::{Site, ended},
};

/// The version that the promises were checked with.
const VERSION: &str = "4.32.5";
/// Generated requests for each operation, at most.
const EXAMPLES: &str = "15";

/// A Python program: named by an environment variable, on the path, or installed below the target directory.
async fn program(variable: &str, package: &str, version: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{package}-{version}"));
    let installed = place.join("bin").join(package);
    for candidate in named.into_iter().chain([PathBuf::from(package), installed.clone()]) {
        let mut asked = Command::new(&candidate);
        asked.arg("--version");
        if tokio::task::spawn_blocking(move || asked.output())
            .await
            .expect("no panic")
            .is_ok_and(|out| out.status.success())
        {
            return Some(candidate);
        }
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(&place);
    let mut install = Command::new(place.join("bin/pip"));
    install.args(["install", "--quiet", &format!("{package}=={version}")]);
    for mut step in [venv, install] {
        let done = tokio::task::spawn_blocking(move || step.output()).await.expect("no panic");
        if !done.is_ok_and(|output| output.status.success()) {
            #[expect(clippy::print_stderr, reason = "whoever runs the tests should see what was not run")]
            {
                eprintln!(
                    "ignored: {package} {version} is neither installed nor can it be installed from PyPI"
                );
            }
            return None;
        }
    }
    Some(installed)
}

/// Runs the tester against a service. Without a tester nothing is checked, and the test says so.
async fn check(url: &str, token: &str) {
    let Some(tester) = program("WEIR_SCHEMATHESIS", "schemathesis", VERSION).await else { return };
    let mut run = Command::new(tester);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi");
    run.arg("--config-file")
        .arg(ours.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{url}/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--max-examples", EXAMPLES, "--seed", "20260131", "--workers", "1"])
        .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "20", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", ours.join("hooks.py"))
        .env("HYPOTHESIS_STORAGE_DIRECTORY", Path::new(env!("CARGO_TARGET_TMPDIR")).join("hypothesis"))
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    let output = ended(run).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_api_is_as_it_is_described() {
    let mut api = Api::start_with(|shares| shares.connections_per_tenant = shares.connections).await;
    for n in 0..20 {
        let mut entry = entry(n, "Read");
        entry.resource = Some("bucket");
        entry.project = Some("shop");
        api.insert(&entry).await;
    }
    api.set_position("audit", 0, 20).await;
    check(&api.url, &api.tokens["operator"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_as_it_is_described() {
    let site = Site::new().await;
    // The tester leaves credentials out and makes them up.
    let door = Door::open_with(&site, |config| config.rates.failed_logins_per_minute = NonZeroU32::MAX).await;
    check(&format!("http://{}", door.address()), door.token()).await;
    door.stop.cancel();
}
