//! How `weir up` starts processes, and what it refuses to start.

use std::{fs, io::ErrorKind, net::TcpListener, path::PathBuf};

use serde_json::Value;

use super::Weir;

/// The variables by which an environment names a proxy.
pub(super) fn proxies(proxy: &TcpListener) -> impl Iterator<Item = (&'static str, String)> {
    let url = format!("http://{}", proxy.local_addr().expect("an address"));
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"].into_iter().map(move |name| (name, url.clone()))
}

/// Every service of the deployment is on this machine.
pub(super) fn nobody_has_asked_the_proxy(weir: &Weir) {
    weir.proxy.set_nonblocking(true).expect("set");
    let connection = weir.proxy.accept();
    assert!(connection.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{connection:?}");
}

pub(super) fn no_process_dumps_its_memory(status: &Value) {
    let stages = status["stages"].as_array().expect("stages");
    assert!(!stages.is_empty());
    for stage in stages {
        let limits = PathBuf::from(format!("/proc/{}/limits", stage["pid"]));
        let limits = fs::read_to_string(&limits).expect("the limits of a process");
        let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a limit");
        assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"], "{}", stage["name"]);
    }
}

/// The processes that run would stay where they are, beside a token for servers that they do not use.
pub(super) fn other_servers_are_refused(weir: &Weir, status: &Value) {
    let output = weir
        .command(&["up", "--detach", "--no-demo"])
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("DATABASE_URL", "postgres://weir@127.0.0.1:1/other")
        .output()
        .expect("the command starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("other servers") && said.contains("audit"), "{said}");
    let now = weir.json(&["status", "--output", "json", "--show-secrets"]);
    assert_eq!(now["token"], status["token"]);
    assert_eq!(now["stages"][0]["pid"], status["stages"][0]["pid"]);
}
