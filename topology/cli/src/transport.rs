//! Refuses to send in clear text, or to an unverified server, beyond this machine unless the settings allow
//! it.

use anyhow::{Context, bail, ensure};
use edge::peer::is_this_machine;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use stack::Endpoints;

use super::settings::{KAFKA_SECURITY, secret};

/// Refuses servers on other machines whose protection is not configured.
pub(super) fn check(endpoints: &Endpoints) -> anyhow::Result<()> {
    for (name, _) in KAFKA_SECURITY {
        secret(name)?;
    }
    check_kafka(&endpoints.kafka, secret("KAFKA_SECURITY_PROTOCOL")?.as_deref())?;
    check_postgres(&Server::of(&endpoints.database_url, Variables::read()?)?)
}

/// Servers on other machines that are spoken to in clear text or without verification because the settings
/// allow it.
pub(super) fn unprotected(endpoints: &Endpoints) -> anyhow::Result<Vec<String>> {
    let protocol = secret("KAFKA_SECURITY_PROTOCOL")?;
    let kafka = unprotected_kafka(&endpoints.kafka, protocol.as_deref());
    let server = Server::of(&endpoints.database_url, Variables::read()?)?;
    Ok(kafka.into_iter().chain(unprotected_postgres(&server)).collect())
}

/// What PostgreSQL's client takes from the environment where the URL names none.
struct Variables {
    /// `PGHOSTADDR`, else `PGHOST`
    host: Option<String>,
    /// `PGSSLMODE`
    mode: Option<String>,
}

impl Variables {
    fn read() -> anyhow::Result<Self> {
        let host = std::env::var("PGHOSTADDR").or_else(|_| std::env::var("PGHOST")).ok();
        Ok(Self { host, mode: ssl_mode(std::env::var("PGSSLMODE").ok())? })
    }
}

/// Values of `sslmode`.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// The mode of `PGSSLMODE`, which the client of PostgreSQL takes where the URL names none. The client would ignore one that it
/// does not know.
fn ssl_mode(variable: Option<String>) -> anyhow::Result<Option<String>> {
    let Some(mode) = variable.filter(|mode| !mode.is_empty()) else { return Ok(None) };
    ensure!(
        SSL_MODES.iter().any(|known| mode.eq_ignore_ascii_case(known)),
        "PGSSLMODE is {mode:?}; set it to one of {}",
        SSL_MODES.join(", ")
    );
    Ok(Some(mode))
}

fn unprotected_kafka(bootstrap: &str, protocol: Option<&str>) -> Option<String> {
    let protocol = protocol.unwrap_or("plaintext").to_ascii_lowercase();
    if protocol.ends_with("ssl") {
        return None;
    }
    let broker = brokers(bootstrap).find(|broker| !is_here(host_of(broker)))?;
    Some(format!("Kafka at {broker} is spoken to in clear text ({protocol})"))
}

fn unprotected_postgres(server: &Server) -> Option<String> {
    let host = server.elsewhere()?;
    let mode = server.mode.as_deref().unwrap_or("prefer");
    let is_verified = mode.eq_ignore_ascii_case("verify-full");
    (!is_verified).then(|| format!("PostgreSQL at {host} is not verified (sslmode={mode})"))
}

fn brokers(bootstrap: &str) -> impl Iterator<Item = &str> {
    bootstrap.split(',').map(str::trim).filter(|broker| !broker.is_empty())
}

fn host_of(broker: &str) -> &str {
    let address = broker.split_once("://").map_or(broker, |(_, address)| address);
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn check_kafka(bootstrap: &str, protocol: Option<&str>) -> anyhow::Result<()> {
    if protocol.is_some() {
        return Ok(());
    }
    for broker in brokers(bootstrap) {
        ensure!(
            is_here(host_of(broker)),
            "Kafka at {broker} is on another machine, and nothing says how to speak with it: set \
             KAFKA_SECURITY_PROTOCOL to ssl or sasl_ssl; where the network itself is trusted, to plaintext"
        );
    }
    Ok(())
}

fn check_postgres(server: &Server) -> anyhow::Result<()> {
    match server.elsewhere() {
        Some(host) if server.mode.is_none() => bail!(
            "PostgreSQL at {host} is on another machine, and nothing says how to speak with it: add \
             ?sslmode=verify-full to DATABASE_URL (and &sslrootcert=FILE for an authority of your own); where the \
             network itself is trusted, ?sslmode=prefer"
        ),
        _ => Ok(()),
    }
}

/// Words of an error about a connection to Kafka or PostgreSQL, in lower case and all of them, and what to do about it; the
/// first that fits counts.
const CURES: [(&[&str], &str); 13] = [
    (
        &["server does not support tls"],
        "give PostgreSQL a certificate (ssl = on, ssl_cert_file, ssl_key_file); where the network itself is trusted, put \
         sslmode=prefer into DATABASE_URL",
    ),
    (
        &["invalid peer certificate: unknownissuer"],
        "name the authority of PostgreSQL's certificate in DATABASE_URL: sslrootcert=FILE",
    ),
    (
        &["invalid peer certificate", "not valid for name"],
        "name PostgreSQL in DATABASE_URL as its certificate does, or give it a certificate for this name",
    ),
    (&["invalid peer certificate", "expired"], "the certificate of PostgreSQL has expired: renew it"),
    (&["password authentication failed"], "correct user and password in DATABASE_URL"),
    // The client tells no more of what is wrong with a certificate.
    (
        &["kafka", "certificate verify failed"],
        "name the authority of Kafka's certificate: KAFKA_SSL_CA_LOCATION=FILE. If it is that one, the certificate has expired, or is \
         for another host than KAFKA_BOOTSTRAP_SERVERS names: `openssl s_client -connect HOST:PORT` shows it",
    ),
    (
        &["kafka", "alert"],
        "Kafka refuses this client's certificate: name one of an authority that it trusts, and its key, in \
         KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION",
    ),
    (&["kafka", "authentication failed"], "correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
    (&["kafka", "invalid credentials"], "correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
    (
        &["kafka", "mechanism"],
        "set KAFKA_SASL_MECHANISM to a mechanism that the listener enables, for example SCRAM-SHA-512",
    ),
    (
        &["kafka", "ssl handshake failed"],
        "the listener speaks no TLS, or wants a client's certificate: check KAFKA_SECURITY_PROTOCOL, and \
         KAFKA_SSL_CERTIFICATE_LOCATION with KAFKA_SSL_KEY_LOCATION",
    ),
    (
        &["kafka", "apiversion"],
        "the listener speaks another protocol: set KAFKA_SECURITY_PROTOCOL to its own (ssl, sasl_ssl, …)",
    ),
    (
        &["kafka", "disconnected"],
        "the listener speaks another protocol: set KAFKA_SECURITY_PROTOCOL to its own (ssl, sasl_ssl, …)",
    ),
];

/// Advice about an error of a connection to Kafka or PostgreSQL.
pub(super) fn cure(error: &anyhow::Error) -> Option<&'static str> {
    let text = format!("{error:#}").to_lowercase();
    CURES.iter().find(|(words, _)| words.iter().all(|word| text.contains(word))).map(|(_, cure)| *cure)
}

/// The server that PostgreSQL's client connects to.
struct Server {
    host: Option<String>,
    /// `sslmode`
    mode: Option<String>,
}

impl Server {
    /// The server of a URL and the environment. A socket's folder wins over every host; of several values the last counts.
    fn of(database_url: &str, variables: Variables) -> anyhow::Result<Self> {
        let url = Url::parse(database_url).context("DATABASE_URL is no URL")?;
        let given = |names: [&str; 2]| -> Vec<String> {
            let pairs = url.query_pairs().filter(|(name, _)| names.contains(&&**name));
            pairs.map(|(_, value)| value.into_owned()).collect()
        };
        let named = url.host_str().filter(|host| !host.is_empty());
        let named = named.map(|host| percent_decode_str(host).decode_utf8_lossy().into_owned());
        let mut hosts: Vec<String> = named.into_iter().chain(given(["host", "hostaddr"])).collect();
        let socket = hosts.iter().find(|host| is_folder(host)).cloned();
        let host = socket.or_else(|| hosts.pop()).or(variables.host);
        Ok(Self { host, mode: given(["sslmode", "ssl-mode"]).pop().or(variables.mode) })
    }

    /// The host, if it is another machine. A folder is that of a socket.
    fn elsewhere(&self) -> Option<&str> {
        self.host.as_deref().filter(|host| !is_here(host) && !is_folder(host))
    }
}

/// Whether a host is the folder of a socket.
fn is_folder(host: &str) -> bool {
    host.starts_with('/')
}

/// Whether a host is this machine, or none is named.
fn is_here(host: &str) -> bool {
    host.is_empty() || is_this_machine(&host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_connections_come_with_advice() {
        for (said, advice) in [
            ("error: invalid peer certificate: UnknownIssuer", Some("sslrootcert")),
            (
                "the Kafka cluster at a does not answer: SSL handshake failed: certificate verify failed",
                Some("CA_"),
            ),
            (
                "the Kafka cluster at a does not answer: tlsv13 alert certificate required",
                Some("CERTIFICATE_"),
            ),
            ("the Kafka cluster at a does not answer: Connect to 127.0.0.1:1 failed", None),
            ("no such file", None),
        ] {
            let found = cure(&anyhow::anyhow!(said).context("reading"));
            assert_eq!(found.is_some(), advice.is_some(), "{said}: {found:?}");
            assert!(found.unwrap_or_default().contains(advice.unwrap_or_default()), "{said}: {found:?}");
        }
    }

    #[test]
    fn brokers_elsewhere_need_a_protocol() {
        for here in ["127.0.0.1:9092", "localhost:9092,[::1]:9093", "PLAINTEXT://127.0.0.1:9092", ""] {
            check_kafka(here, None).expect(here);
        }
        for elsewhere in
            ["kafka:9092", "127.0.0.1:9092, b.example.com:9092", "[2001:db8::1]:9092", "10.0.0.7"]
        {
            let refused = check_kafka(elsewhere, None).expect_err(elsewhere).to_string();
            assert!(refused.contains("KAFKA_SECURITY_PROTOCOL"), "{refused}");
            check_kafka(elsewhere, Some("plaintext")).expect("it was said");
        }
    }

    fn server(url: &str, host: Option<&str>, mode: Option<&str>) -> Server {
        let variables = Variables { host: host.map(str::to_owned), mode: mode.map(str::to_owned) };
        Server::of(url, variables).expect("a URL")
    }

    #[test]
    fn databases_elsewhere_need_a_mode() {
        for here in [
            "postgres://weir@127.0.0.1:5432/weir",
            "postgres://weir@[::1]/weir",
            "postgres:///weir?host=/var/run/postgresql",
            "postgres://weir@%2Fvar%2Frun%2Fpostgresql/weir",
            "postgres://weir@%2fvar%2frun%2fpostgresql/weir",
            "postgres://db.example.com/weir?host=/var/run/postgresql&hostaddr=10.0.0.7",
            "postgres://db.example.com/weir?host=db.example.com&hostaddr=127.0.0.1",
            "postgres://localhost",
            "postgres://weir@db.example.com/weir?sslmode=verify-full",
            "postgres://weir@db.example.com/weir?sslmode=prefer",
        ] {
            check_postgres(&server(here, None, None)).expect(here);
        }
        for elsewhere in [
            "postgres://weir:secret@db.example.com/weir",
            "postgres:///weir?host=10.0.0.7",
            "postgres://localhost/weir?host=localhost&hostaddr=10.0.0.7",
        ] {
            let refused = check_postgres(&server(elsewhere, None, None)).expect_err(elsewhere).to_string();
            assert!(refused.contains("sslmode=verify-full") && !refused.contains("secret"), "{refused}");
            check_postgres(&server(elsewhere, None, Some("disable"))).expect("it was said");
        }
    }

    /// As libpq and its like have it, whose variables many shells keep.
    #[test]
    fn a_url_without_a_host_is_about_the_host_of_the_environment() {
        for url in ["postgres:///weir", "postgres:/weir?sslrootcert=ca.crt"] {
            let refused = check_postgres(&server(url, Some("db.example.com"), None)).expect_err(url);
            assert!(refused.to_string().contains("db.example.com"), "{refused}");
            check_postgres(&server(url, Some("db.example.com"), Some("verify-full"))).expect("it was said");
            for here in [None, Some("localhost"), Some("/var/run/postgresql")] {
                check_postgres(&server(url, here, None)).expect(url);
            }
        }
        let named = server("postgres://localhost/weir", Some("db.example.com"), None);
        check_postgres(&named).expect("the URL wins");
        let named = server("postgres://db.example.com/weir", Some("/var/run/postgresql"), None);
        assert!(check_postgres(&named).is_err(), "the URL wins");
    }

    #[test]
    fn a_mode_that_nobody_knows_says_nothing() {
        assert_eq!(ssl_mode(None).expect("none"), None);
        assert_eq!(ssl_mode(Some(String::new())).expect("none"), None);
        assert_eq!(ssl_mode(Some("Verify-Full".into())).expect("a mode").as_deref(), Some("Verify-Full"));
        let refused = ssl_mode(Some("verify_full".into())).expect_err("no mode").to_string();
        assert!(refused.contains("PGSSLMODE") && refused.contains("verify-full"), "{refused}");
    }

    #[test]
    fn servers_elsewhere_that_are_not_verified_are_named() {
        for (protocol, said) in
            [(None, true), (Some("sasl_plaintext"), true), (Some("SASL_SSL"), false), (Some("ssl"), false)]
        {
            assert_eq!(
                unprotected_kafka("127.0.0.1:1, b.example.com:9092", protocol).is_some(),
                said,
                "{protocol:?}"
            );
            assert_eq!(unprotected_kafka("localhost:9092", protocol), None);
        }
        for (url, said) in [
            ("postgres://weir@db.example.com/weir?sslmode=require", true),
            ("postgres://weir@db.example.com/weir?sslmode=verify-ca", true),
            ("postgres://weir@db.example.com/weir?sslmode=verify-full", false),
            ("postgres://weir:secret@db.example.com/weir", true),
            ("postgres://weir@127.0.0.1/weir", false),
        ] {
            let found = unprotected_postgres(&server(url, None, None));
            assert_eq!(found.is_some(), said, "{url}");
            assert!(!found.unwrap_or_default().contains("secret"));
        }
    }
}
