//! Refuses to send in clear text, or to an unverified server, beyond this machine unless the settings allow
//! it.

use anyhow::{Context, bail, ensure};
use edge::peer::is_this_machine;
use reqwest::Url;
use stack::Endpoints;

use super::settings::{KAFKA_SECURITY, secret};

/// Refuses servers on other machines whose protection is not configured.
pub(super) fn check(endpoints: &Endpoints) -> anyhow::Result<()> {
    for (name, _) in KAFKA_SECURITY {
        secret(name)?;
    }
    check_kafka(&endpoints.kafka, secret("KAFKA_SECURITY_PROTOCOL")?.as_deref())?;
    check_postgres(&endpoints.database_url, secret("PGSSLMODE")?.as_deref())
}

fn check_kafka(bootstrap: &str, protocol: Option<&str>) -> anyhow::Result<()> {
    if protocol.is_some() {
        return Ok(());
    }
    for broker in bootstrap.split(',').map(str::trim).filter(|broker| !broker.is_empty()) {
        let address = broker.split_once("://").map_or(broker, |(_, address)| address);
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        ensure!(
            is_here(host),
            "Kafka at {broker} is on another machine, and nothing says how to speak with it: set \
             KAFKA_SECURITY_PROTOCOL to ssl or sasl_ssl; where the network itself is trusted, to plaintext"
        );
    }
    Ok(())
}

fn check_postgres(database_url: &str, mode: Option<&str>) -> anyhow::Result<()> {
    let url = Url::parse(database_url).context("DATABASE_URL is no URL")?;
    let given = |names: &[&str]| {
        url.query_pairs()
            .find(|(name, _)| names.contains(&name.as_ref()))
            .map(|(_, value)| value.into_owned())
    };
    if mode.is_some() || given(&["sslmode", "ssl-mode"]).is_some() {
        return Ok(());
    }
    // A folder is that of a socket.
    let host = given(&["host", "hostaddr"]).or_else(|| url.host_str().map(str::to_owned));
    match host {
        Some(host) if !is_here(&host) && !host.starts_with('/') && !host.starts_with("%2F") => bail!(
            "PostgreSQL at {host} is on another machine, and nothing says how to speak with it: add \
             ?sslmode=verify-full to DATABASE_URL (and &sslrootcert=FILE for an authority of your own); where the \
             network itself is trusted, ?sslmode=prefer"
        ),
        _ => Ok(()),
    }
}

/// Whether a host is this machine, or none is named.
fn is_here(host: &str) -> bool {
    host.is_empty() || is_this_machine(&host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn databases_elsewhere_need_a_mode() {
        for here in [
            "postgres://weir@127.0.0.1:5432/weir",
            "postgres://weir@[::1]/weir",
            "postgres:///weir?host=/var/run/postgresql",
            "postgres://weir@%2Fvar%2Frun%2Fpostgresql/weir",
            "postgres://localhost",
            "postgres://weir@db.example.com/weir?sslmode=verify-full",
            "postgres://weir@db.example.com/weir?sslmode=prefer",
        ] {
            check_postgres(here, None).expect(here);
        }
        for elsewhere in ["postgres://weir:secret@db.example.com/weir", "postgres:///weir?host=10.0.0.7"] {
            let refused = check_postgres(elsewhere, None).expect_err(elsewhere).to_string();
            assert!(refused.contains("sslmode=verify-full") && !refused.contains("secret"), "{refused}");
            check_postgres(elsewhere, Some("disable")).expect("it was said");
        }
    }
}
