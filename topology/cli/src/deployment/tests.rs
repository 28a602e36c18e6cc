use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use stack::Endpoints;

use super::*;
use crate::{
    credential::{Credential, ServiceUrl},
    settings::Settings,
};

/// A process that runs: this one.
fn running(name: &str) -> Process {
    let pid = i32::try_from(std::process::id()).expect("a process id");
    Process {
        name: name.to_owned(),
        id: ProcessId::of(pid).expect("this process runs"),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        admin: None,
        scheme: Scheme::Http,
        settings: None,
        servers: None,
        log: PathBuf::new(),
    }
}

/// A process that has ended: it started at another time than the one with its id.
fn ended(name: &str) -> Process {
    let text = serde_json::to_string(&running(name)).expect("JSON");
    serde_json::from_str(&text.replace("\"started\":\"", "\"started\":\"9")).expect("a process")
}

#[test]
fn secrets_of_a_database_that_stays_are_kept() {
    let home = tempfile::tempdir().expect("a folder");
    let secrets = ["pepper", SUBJECT_SECRET, SIGNING_KEY, WITNESS_KEY];
    for name in secrets.into_iter().chain([LOGIN_FILE, "deployment.json"]) {
        fs::write(home.path().join(name), "{}").expect("written");
    }
    let left = || {
        let names =
            fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("a file").file_name());
        names.map(|name| name.into_string().expect("UTF-8")).collect::<BTreeSet<_>>()
    };
    Deployment::delete(home.path(), Secrets::Keep).expect("deleted");
    let kept = secrets.into_iter().chain(["deployment.json"]).map(str::to_owned);
    assert_eq!(left(), kept.collect::<BTreeSet<_>>());
    assert_eq!(Secrets::on_purge(&Deployment::load(home.path()), false), Secrets::Keep, "a second time, too");
    Deployment::delete(home.path(), Secrets::Delete).expect("deleted");
    assert!(left().is_empty());
}

#[test]
fn secrets_are_deleted_unless_some_start_named_a_database() {
    let home = tempfile::tempdir().expect("a folder");
    let decided = |names_database| Secrets::on_purge(&Deployment::load(home.path()), names_database);
    assert_eq!(decided(false), Secrets::Delete);
    assert_eq!(decided(true), Secrets::Keep, "this call names a database");
    let start = |names_database: bool| {
        let mut deployment = Deployment::load(home.path()).expect("a deployment");
        deployment.named_database |= names_database;
        deployment.save(home.path()).expect("saved");
    };
    start(false);
    assert_eq!(decided(false), Secrets::Delete);
    start(true);
    start(false);
    assert_eq!(decided(false), Secrets::Keep, "an earlier start named a database");
    fs::write(file(home.path()), "{ half").expect("written");
    assert_eq!(decided(false), Secrets::Keep, "nobody knows what an earlier start named");
}

#[test]
fn a_process_on_every_interface_is_asked_over_loopback() {
    let check = |listen: &str, scheme: Scheme, url: &str, admin_url: &str| {
        let listen = listen.parse().expect("an address");
        let process = Process { listen, scheme, ..running(GATEWAY) };
        assert_eq!((process.url(), process.admin_url()), (url.to_owned(), admin_url.to_owned()));
        let service = ServiceUrl::of_deployment(process.url());
        let token = Credential::of_deployment("weir_secret".to_owned(), [process.url()]);
        assert_eq!(token.for_service(&service).expect("its own"), "weir_secret");
    };
    check("0.0.0.0:8640", Scheme::Http, "http://127.0.0.1:8640", "http://127.0.0.1:8640");
    check("[::]:8640", Scheme::Http, "http://[::1]:8640", "http://[::1]:8640");
    check("127.0.0.1:8640", Scheme::Http, "http://127.0.0.1:8640", "http://127.0.0.1:8640");
    check("0.0.0.0:8640", Scheme::Https, "https://localhost:8640", "http://127.0.0.1:8640");
    check("[::]:8640", Scheme::Https, "https://localhost:8640", "http://[::1]:8640");
    check("127.0.0.1:8640", Scheme::Https, "https://localhost:8640", "http://127.0.0.1:8640");
    check("192.0.2.7:8640", Scheme::Https, "https://192.0.2.7:8640", "http://192.0.2.7:8640");
    let admin = Some("[::]:8643".parse().expect("an address"));
    assert_eq!(Process { admin, ..running(GATEWAY) }.admin_url(), "http://[::1]:8643");
}

#[test]
fn a_process_that_ended_and_is_not_wanted_is_forgotten() {
    let processes = vec![running(GATEWAY), ended("audit"), ended(SINKS), running("removed")];
    let mut deployment = Deployment { processes, ..Deployment::default() };
    deployment.forget_ended(&[GATEWAY, "audit"]);
    let names: Vec<&str> = deployment.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, [GATEWAY, "audit", "removed"]);
}

#[test]
fn running_processes_on_other_servers_are_named() {
    const DATABASE: &str = "postgres://weir:hunter2@127.0.0.1/weir";
    let endpoints = |kafka: &str, database_url: &str, registry: Option<&str>| Endpoints {
        kafka: kafka.to_owned(),
        database_url: database_url.to_owned(),
        maintenance_url: database_url.to_owned(),
        registry: registry.map(str::to_owned),
    };
    let started = Servers::of(&endpoints("a:9092", DATABASE, None));
    let on = |process: Process| Process { servers: Some(started.clone()), ..process };
    let processes = vec![on(running("audit")), on(ended("risk")), running("unknown")];
    let deployment = Deployment { processes, ..Deployment::default() };
    let kept = serde_json::to_string(&deployment).expect("JSON");
    assert!(!kept.contains("hunter2"), "{kept}");
    let deployment: Deployment = serde_json::from_str(&kept).expect("the same");
    for (now, others) in [
        (endpoints("a:9092", DATABASE, None), &[][..]),
        (endpoints("a:9092", "postgres://weir:another@127.0.0.1/weir", None), &[][..]),
        (endpoints("b:9092", DATABASE, None), &["audit"][..]),
        (endpoints("a:9092", "postgres://weir@127.0.0.1/other", None), &["audit"][..]),
        (endpoints("a:9092", DATABASE, Some("http://registry")), &["audit"][..]),
    ] {
        assert_eq!(deployment.on_other_servers(&Servers::of(&now)), others, "{now:?}");
    }
}

#[tokio::test]
async fn who_starts_or_stops_the_processes_waits_for_who_does() {
    let home = tempfile::tempdir().expect("a folder");
    let config = StackConfig::private(home.path()).expect("a home");
    let first = Deployment::lock(&config).await.expect("free");
    let is_released = Arc::new(AtomicBool::new(false));
    let second = tokio::spawn({
        let (config, is_released) = (config.clone(), is_released.clone());
        async move {
            let _lock = Deployment::lock(&config).await.expect("free in the end");
            is_released.load(Ordering::SeqCst)
        }
    });
    tokio::task::yield_now().await;
    is_released.store(true, Ordering::SeqCst);
    drop(first);
    assert!(second.await.expect("ended"), "it went on beside the first");
}

#[test]
fn running_processes_with_other_settings_are_named() {
    let in_folder = |folder: &str| {
        let mut settings = Settings::default();
        settings.prices.file = Some("prices.csv".into());
        Origin::of(&settings, Path::new(folder)).expect("a hash")
    };
    let process = |name: &str, settings: Option<Origin>| Process { settings, ..running(name) };
    let processes = vec![
        process("same", Some(in_folder("/a"))),
        process("other", Some(in_folder("/b"))),
        process("unknown", None),
    ];
    let deployment = Deployment { processes, ..Deployment::default() };
    assert_eq!(deployment.started_otherwise(&in_folder("/a")), ["other"]);
    let kept = serde_json::to_string(&deployment).expect("JSON");
    let read: Deployment = serde_json::from_str(&kept).expect("the same");
    assert_eq!(read.started_otherwise(&in_folder("/a")), ["other"]);
}
