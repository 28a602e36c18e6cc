//! A client that is generated from a service's description (openapi-python-client) parses what the service answers.

use std::{path::Path, process::Command};

use utoipa::openapi::OpenApi as Document;

use super::program;
use crate::{
    change_review, compliance, cost,
    query_api::fixture::Api,
    releases, risk,
    support::{
        projection::{Place, Projection},
        site::ended,
    },
};

/// The version of the generator, openapi-python-client.
const VERSION: &str = "0.29.1";

/// A client's package in a folder of its own, and the Python that runs it; `None` without a generator.
async fn generated(document: &Document) -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    let generator = program("WEIR_OPENAPI_CLIENT", "openapi-python-client", VERSION).await?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let description = folder.path().join("openapi.json");
    std::fs::write(&description, document.to_json().expect("JSON")).expect("written");
    let mut generate = Command::new(&generator);
    generate.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]).arg(description);
    generate.arg("--output-path").arg(folder.path().join("weir_client"));
    // The generator formats its code with a program that is installed beside it.
    let beside = generator.parent().map(Path::to_owned).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(beside.clone()).chain(std::env::split_paths(&path));
    generate.env("PATH", std::env::join_paths(paths).expect("a path"));
    let output = ended(generate).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let beside_it = beside.join("python");
    Some((folder, if beside_it.exists() { beside_it } else { "python3".into() }))
}

/// Delivers a stage's events to the API's database.
async fn delivered<P: Projection>(api: &Api, events: &[P::Event]) {
    let mut member = Place::<P>::at(api.database.clone()).await.member(0).await;
    for batch in events.chunks(200) {
        member.deliver(batch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_parses_every_answer_of_the_query_api() {
    let Some((folder, python)) = generated(&sinks::query_api::description()).await else { return };
    let api = releases::answered().await;
    delivered::<risk::fixture::Risk>(&api, &risk::fixture::events(1, 300)).await;
    delivered::<change_review::fixture::Changes>(&api, &change_review::fixture::events(1, 200)).await;
    delivered::<compliance::fixture::Judged>(&api, &compliance::fixture::events(1, 200)).await;
    delivered::<cost::fixture::Costs>(&api, &cost::workloads::a_day()).await;
    let mut call = Command::new(python);
    call.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/client.py"));
    call.arg(folder.path()).args(["weir_client", &api.url, &api.tokens["acme"]]);
    let output = ended(call).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_client_of_the_gateway_can_be_generated() {
    generated(&producers::gateway::openapi()).await;
}

#[test]
fn operations_have_names_of_their_own() {
    for document in [sinks::query_api::description(), producers::gateway::openapi()] {
        let mut names = std::collections::BTreeSet::new();
        for (path, item) in &document.paths.paths {
            let operations = [&item.get, &item.put, &item.post, &item.patch, &item.delete];
            for operation in operations.into_iter().flatten() {
                let name = operation.operation_id.as_deref().unwrap_or_default();
                assert!(!name.is_empty() && names.insert(name.to_owned()), "{path}: {name:?} is taken");
            }
        }
    }
}
