use super::*;

/// Whatever else is set, by whatever key, a process reads itself: it runs in the same folder with the same environment.
#[test]
fn processes_are_told_their_addresses_and_servers_alone() {
    let endpoints = Endpoints { registry: Some("http://registry".to_owned()), ..Endpoints::default() };
    let told = |name: &str| {
        let environment = environment(&endpoints, Path::new("/home"));
        let start = start_of(name, &Deployment::default(), &Settings::default(), environment);
        let start = start.expect("free addresses");
        assert_eq!(start.args, ["run", name]);
        let names = start.env.into_iter().map(|(name, _)| name);
        names.filter(|name| MEMORY.iter().all(|(memory, _)| name != memory)).collect::<Vec<_>>()
    };
    let servers = ["WEIR_HOME", "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "SCHEMA_REGISTRY_URL"];
    for (name, addresses) in [
        (GATEWAY, &["WEIR_GATEWAY__LISTEN", "WEIR_GATEWAY__ADMIN_LISTEN"][..]),
        (QUERY_API, &["WEIR_QUERY_API__LISTEN", "WEIR_QUERY_API__ADMIN_LISTEN"][..]),
        (Audit::NAME, &["WEIR_STAGE__ADMIN_LISTEN"][..]),
        (SINKS, &["WEIR_STAGE__ADMIN_LISTEN"][..]),
    ] {
        assert_eq!(told(name), [&servers[..], addresses].concat(), "{name}");
    }
}
