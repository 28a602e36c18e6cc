//! From settings to sinks that can be run: every fault is named with its place.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::{Destination, File, Filter, Records, SecretSource, Sink, SinkSettings};
use crate::{
    datadog::{self, Datadog},
    dispatch::RequestLimits,
    elasticsearch::{self, Elasticsearch},
    message::ENVELOPE_BYTES,
    reach::Reach,
    slack::{self, Slack},
    splunk_hec::{self, Acknowledgement, SplunkHec},
    syslog::Syslog,
    webhook::{self, Webhook},
};

/// Records in a request, unless it is set.
const BATCH: usize = 100;
/// The longest name.
const MAX_NAME: usize = 40;
const LINGER: Duration = Duration::from_secs(5);
/// Time between statements of completeness.
const STATEMENTS: Duration = Duration::from_mins(1);
/// The least that a record's limit may be: without its native record, every record of Weir's fits.
const LEAST_RECORD: usize = 4_096;
/// Size of a message that syslog receivers accept as far as is known: many accept 8 KiB.
const SYSLOG_MESSAGE: usize = 8_192;
const ROTATE_MIB: u64 = 100;
const KINDS: &str = "splunk_hec, datadog, elasticsearch, syslog, webhook, slack or file";

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[[sink]] {place}: {fault}")]
pub struct SettingsError {
    /// The sink's name, or its number where it has none.
    pub place: String,
    /// The fault, and the cure.
    pub fault: String,
}

/// The sinks of the settings. `channel` is a GUID of this process's own; `origin` the machine's name.
pub fn checked(settings: &[SinkSettings], channel: &str, origin: &str) -> Result<Vec<Sink>, SettingsError> {
    let mut sinks: Vec<Sink> = Vec::with_capacity(settings.len());
    for (number, written) in settings.iter().enumerate() {
        let place = if written.name.is_empty() {
            format!("number {}", number + 1)
        } else {
            format!("{:?}", written.name)
        };
        let error = |fault: String| SettingsError { place: place.clone(), fault };
        let sink = check(written, channel, origin).map_err(error)?;
        if sinks.iter().any(|other| other.name == sink.name) {
            return Err(error(
                "the name is given twice: positions go by it, so each sink needs one of its own".into(),
            ));
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

fn check(written: &SinkSettings, channel: &str, origin: &str) -> Result<Sink, String> {
    name(&written.name)?;
    let records = match written.records.as_deref() {
        None if written.kind == "slack" => Records::Findings,
        None | Some("audit") => Records::Audit,
        Some("findings") => Records::Findings,
        Some(other) => return Err(format!("records = {other:?} is neither audit nor findings")),
    };
    only_of(written)?;
    let destination = destination(written, records, (channel, origin))?;
    let secret = secret(written)?;
    let (limits, max_record_bytes) = limits(written, &destination)?;
    let linger = match written.linger_s {
        None => LINGER,
        Some(seconds) if (0.0..=300.0).contains(&seconds) => Duration::from_secs_f64(seconds),
        Some(other) => return Err(format!("linger_s = {other} is not between 0 and 300")),
    };
    let statements = match written.statement_s {
        _ if matches!(destination, Destination::Slack(_)) => None,
        None => Some(STATEMENTS),
        Some(0.0) => None,
        Some(seconds) if (0.1..=3_600.0).contains(&seconds) => Some(Duration::from_secs_f64(seconds)),
        Some(other) => return Err(format!("statement_s = {other} is neither 0 nor between 0.1 and 3600")),
    };
    let can_compress = matches!(
        destination,
        Destination::SplunkHec(_) | Destination::Datadog(_) | Destination::Elasticsearch(_)
    );
    Ok(Sink {
        name: written.name.clone(),
        records,
        secret,
        ocsf_version: written.ocsf_version.unwrap_or_default(),
        limits,
        max_record_bytes,
        linger,
        statements,
        gzip: written.gzip.unwrap_or(can_compress),
        filter: Filter {
            tenants: written.tenants.clone(),
            classes: written.classes.clone(),
            min_severity: written.min_severity.unwrap_or(0),
        },
        ca_certificate: written.ca_certificate.clone(),
        reach: reach(written, &destination)?,
        destination,
    })
}

fn name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
        return Err(format!("name = {name:?} is not 1 to {MAX_NAME} of a-z, 0-9, - and _"));
    }
    Ok(())
}

/// Refuses settings that belong to another kind of sink.
fn only_of(written: &SinkSettings) -> Result<(), String> {
    let kind = written.kind.as_str();
    let wrong = [
        ("acknowledgement", written.acknowledgement.is_some(), kind == "splunk_hec"),
        ("index", written.index.is_some(), matches!(kind, "splunk_hec" | "elasticsearch")),
        ("format", written.format.is_some(), kind == "syslog"),
        ("rotate_mib", written.rotate_mib.is_some(), kind == "file"),
    ];
    match wrong.into_iter().find(|(_, is_set, fits)| *is_set && !*fits) {
        Some((setting, ..)) => Err(format!("{setting} has no meaning for kind = {kind:?}: leave it out")),
        None => Ok(()),
    }
}

fn destination(
    written: &SinkSettings,
    records: Records,
    (channel, origin): (&str, &str),
) -> Result<Destination, String> {
    let endpoint = |example: &str| {
        let endpoint = written.endpoint.clone().filter(|endpoint| !endpoint.is_empty());
        endpoint.ok_or_else(|| format!("it has no endpoint, for example {example}"))
    };
    let url = |example: &str| {
        let url = endpoint(example)?;
        let is_http = url.starts_with("https://") || url.starts_with("http://");
        if is_http {
            Ok(url)
        } else {
            Err(format!("endpoint = {url:?} is no https:// or http:// URL, such as {example}"))
        }
    };
    Ok(match written.kind.as_str() {
        "splunk_hec" => Destination::SplunkHec(SplunkHec {
            endpoint: url("https://splunk.example.com:8088")?,
            acknowledgement: written.acknowledgement.unwrap_or(Acknowledgement::On),
            index: written.index.clone(),
            channel: channel.to_owned(),
        }),
        "datadog" => {
            Destination::Datadog(Datadog { endpoint: url("https://http-intake.logs.datadoghq.eu")? })
        }
        "elasticsearch" => Destination::Elasticsearch(Elasticsearch {
            endpoint: url("https://elastic.example.com:9200")?,
            index: written.index.as_deref().map_or_else(|| Ok("weir-audit".to_owned()), index)?,
        }),
        "syslog" => Destination::Syslog(syslog(&endpoint("tls://siem.example.com:6514")?, written, origin)?),
        "webhook" => {
            let what = if records == Records::Findings { "finding" } else { "audit" };
            Destination::Webhook(Webhook { endpoint: url("https://hooks.example.com/weir")?, what })
        }
        "slack" => Destination::Slack(Slack),
        "file" => Destination::File(File {
            path: PathBuf::from(endpoint("/var/lib/weir/audit.ndjson")?),
            rotate_bytes: written.rotate_mib.unwrap_or(ROTATE_MIB).max(1).saturating_mul(1024 * 1024),
        }),
        "" => return Err(format!("it has no kind: set one of {KINDS}")),
        other => return Err(format!("kind = {other:?} is unknown: it is one of {KINDS}")),
    })
}

/// The name of an index. An alias may have capitals, and the receiver tells of a name that it does not take.
fn index(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("index = \"\" names no index: leave it out for weir-audit".into());
    }
    Ok(name.to_owned())
}

fn syslog(endpoint: &str, written: &SinkSettings, origin: &str) -> Result<Syslog, String> {
    let bad = || format!("endpoint = {endpoint:?} is not tcp://host:port or tls://host:port");
    let (scheme, rest) = endpoint.split_once("://").ok_or_else(bad)?;
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(bad)?;
    let tls = match scheme {
        "tls" => true,
        "tcp" => false,
        _ => return Err(bad()),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = port.parse().map_err(|_| bad())?;
    if host.is_empty() {
        return Err(bad());
    }
    Ok(Syslog { host, port, tls, format: written.format.unwrap_or_default(), origin: origin.to_owned() })
}

fn secret(written: &SinkSettings) -> Result<SecretSource, String> {
    let given = [
        written.secret.clone().map(SecretSource::Given),
        written.secret_file.clone().map(SecretSource::File),
        written.secret_env.clone().map(SecretSource::Environment),
    ];
    let mut given: Vec<SecretSource> = given.into_iter().flatten().collect();
    let (needs, what) = match written.kind.as_str() {
        "splunk_hec" => (true, "the collector's token"),
        "datadog" => (true, "the API key"),
        "elasticsearch" => (true, "an API key in its encoded form, or user:password"),
        "webhook" => (true, "the signing secret (whsec_…)"),
        "slack" => (true, "the incoming webhook's URL"),
        _ => (false, ""),
    };
    match (given.len(), needs) {
        (0, true) => Err(format!("it has no secret: set secret_file, secret_env or secret to {what}")),
        (0, false) => Ok(SecretSource::None),
        (1, true) => {
            let secret = given.remove(0);
            if let (SecretSource::Given(text), "webhook") = (&secret, written.kind.as_str()) {
                webhook::check_secret(text).map_err(|fault| fault.to_string())?;
            }
            Ok(secret)
        }
        (_, false) => Err(format!("kind = {:?} takes no secret: leave it out", written.kind)),
        _ => Err("it has several secrets: set one of secret, secret_file and secret_env".into()),
    }
}

fn limits(written: &SinkSettings, destination: &Destination) -> Result<(RequestLimits, usize), String> {
    let most = match destination {
        Destination::SplunkHec(_) => splunk_hec::LIMITS,
        Destination::Datadog(_) => datadog::LIMITS,
        Destination::Elasticsearch(_) => elasticsearch::LIMITS,
        Destination::Webhook(_) => RequestLimits { messages: 1_000, ..webhook::LIMITS },
        Destination::Slack(_) => slack::LIMITS,
        Destination::Syslog(_) | Destination::File(_) => {
            RequestLimits { messages: 10_000, bytes: 16_000_000 }
        }
    };
    let batch = match destination {
        Destination::Webhook(_) | Destination::Slack(_) => written.batch.unwrap_or(1),
        _ => written.batch.unwrap_or(BATCH),
    };
    if batch == 0 || batch > most.messages {
        return Err(format!("batch = {batch} is not between 1 and {}", most.messages));
    }
    let bytes = written.max_request_bytes.unwrap_or(most.bytes);
    let record = written.max_record_bytes.unwrap_or(match destination {
        Destination::Datadog(_) => datadog::RECORD_BYTES,
        Destination::Syslog(_) => SYSLOG_MESSAGE,
        _ => bytes.saturating_sub(ENVELOPE_BYTES),
    });
    if record < LEAST_RECORD {
        return Err(format!("max_record_bytes = {record} is below {LEAST_RECORD}: no record would fit"));
    }
    if record + ENVELOPE_BYTES > bytes {
        return Err(format!(
            "max_request_bytes = {bytes} is below max_record_bytes = {record} and {ENVELOPE_BYTES}"
        ));
    }
    if matches!(destination, Destination::Datadog(_)) && (record > datadog::RECORD_BYTES || bytes > 5_000_000)
    {
        return Err(format!(
            "Datadog cuts entries above 1 MB: max_record_bytes is at most {}",
            datadog::RECORD_BYTES
        ));
    }
    Ok((RequestLimits { messages: batch, bytes }, record))
}

/// Addresses that a sink may connect to. An address literal in the endpoint counts as allowed, since an
/// operator chose it.
fn reach(written: &SinkSettings, destination: &Destination) -> Result<Reach, String> {
    let parse = |text: &String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| format!("allow_networks names {text:?}, which is no network such as 10.0.0.0/8"))
    };
    let mut allowed = written.allow_networks.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    match written.endpoint.as_deref().map(host).unwrap_or_default() {
        "localhost" => {
            allowed.extend(["127.0.0.0/8", "::1/128"].map(|own| own.parse::<IpNet>().expect("a network")));
        }
        // As it is written, so that nobody is led astray by another spelling of an address.
        host => {
            let literal = host.parse::<IpAddr>().ok().filter(|address| address.to_string() == host);
            let chosen = literal.filter(|address| address.is_loopback() || is_private(*address));
            allowed.extend(chosen.map(IpNet::from));
        }
    }
    let public_only = matches!(destination, Destination::Webhook(_) | Destination::Slack(_));
    Ok(Reach { allowed, public_only })
}

fn is_private(address: IpAddr) -> bool {
    let public = Reach { allowed: Vec::new(), public_only: true };
    public.refusal(address).is_some() && Reach::default().refusal(address).is_none()
}

/// The host of a URL, without brackets.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(name: &str, kind: &str, endpoint: &str) -> SinkSettings {
        let endpoint = (!endpoint.is_empty()).then(|| endpoint.to_owned());
        SinkSettings { name: name.into(), kind: kind.into(), endpoint, ..SinkSettings::default() }
    }

    fn error(settings: &[SinkSettings]) -> String {
        checked(settings, "guid", "host").expect_err("a fault").to_string()
    }

    #[test]
    fn every_fault_is_named_with_its_place_and_its_cure() {
        let file = |name: &str| sink(name, "file", "/tmp/x");
        let hec = || SinkSettings { secret: Some("t".into()), ..sink("s", "splunk_hec", "https://s:8088") };
        for (settings, said) in [
            (vec![file("a"), file("a")], "[[sink]] \"a\": the name is given twice"),
            (vec![sink("a", "kafka", "x")], "\"a\": kind = \"kafka\" is unknown: it is one of splunk_hec"),
            (vec![sink("a", "", "x")], "it has no kind"),
            (vec![sink("", "file", "x")], "[[sink]] number 1: name = \"\""),
            (vec![sink("A b", "file", "x")], "name = \"A b\""),
            (vec![sink("a", "splunk_hec", "https://s")], "\"a\": it has no secret: set secret_file"),
            (vec![sink("a", "slack", "")], "it has no secret"),
            (vec![sink("a", "datadog", "")], "it has no endpoint, for example https://"),
            (vec![sink("a", "elasticsearch", "es:9200")], "is no https://"),
            (vec![sink("a", "syslog", "udp://h:514")], "is not tcp://host:port"),
            (vec![sink("a", "syslog", "tls://h")], "is not tcp://host:port"),
            (vec![SinkSettings { secret_env: Some("X".into()), ..hec() }], "several secrets"),
            (vec![SinkSettings { secret: Some("x".into()), ..file("a") }], "takes no secret"),
            (vec![SinkSettings { records: Some("all".into()), ..file("a") }], "neither audit nor findings"),
            (
                vec![SinkSettings { index: Some("i".into()), ..file("a") }],
                "index has no meaning for kind = \"file\"",
            ),
            (vec![SinkSettings { batch: Some(0), ..file("a") }], "batch = 0"),
            (vec![SinkSettings { batch: Some(1_001), ..hec() }], "batch = 1001 is not between 1 and 1000"),
            (vec![SinkSettings { max_record_bytes: Some(10), ..file("a") }], "below 4096"),
            (
                vec![SinkSettings { max_record_bytes: Some(2_000_000), ..hec() }],
                "max_request_bytes = 1000000",
            ),
            (vec![SinkSettings { linger_s: Some(-1.0), ..file("a") }], "linger_s = -1"),
            (vec![SinkSettings { linger_s: Some(f64::NAN), ..file("a") }], "linger_s = NaN"),
            (vec![SinkSettings { statement_s: Some(-1.0), ..file("a") }], "statement_s = -1"),
            (
                vec![SinkSettings { allow_networks: vec!["x/8".into()], ..file("a") }],
                "allow_networks names \"x/8\"",
            ),
        ] {
            let error = error(&settings);
            assert!(error.contains(said), "{error} does not say {said}");
        }
        let (index, secret) = (Some(String::new()), Some("u:p".into()));
        let elastic = SinkSettings { secret, index, ..sink("a", "elasticsearch", "https://es") };
        assert!(error(&[elastic]).contains("names no index"));
        let hook = SinkSettings { secret: Some("abc".into()), ..sink("a", "webhook", "https://h/x") };
        assert!(error(&[hook]).contains("whsec_"));
    }

    #[test]
    fn defaults_are_those_of_the_receiver() {
        let settings = [
            SinkSettings { secret_env: Some("T".into()), ..sink("s", "splunk_hec", "https://s:8088") },
            sink("f", "file", "/var/lib/weir/a.ndjson"),
            SinkSettings { secret: Some("https://hooks.slack.com/x".into()), ..sink("k", "slack", "") },
            sink("y", "syslog", "tls://[2001:db8::1]:6514"),
        ];
        let sinks = checked(&settings, "guid", "host").expect("sinks");
        assert_eq!((sinks[0].limits.messages, sinks[0].gzip, sinks[0].linger), (100, true, LINGER));
        assert_eq!((sinks[1].records, sinks[2].records), (Records::Audit, Records::Findings));
        assert!(!sinks[1].gzip && sinks[2].limits.messages == 1);
        let Destination::Syslog(syslog) = &sinks[3].destination else { panic!("syslog") };
        assert_eq!((syslog.host.as_str(), syslog.port, syslog.tls), ("2001:db8::1", 6514, true));
        assert!(!format!("{:?}", sinks[2]).contains("hooks.slack.com"), "a secret is never shown");
    }

    #[test]
    fn only_a_plainly_written_address_is_allowed_by_being_written() {
        let reaches = |endpoint: &str, address: &str| {
            let hook = SinkSettings { secret_env: Some("S".into()), ..sink("a", "webhook", endpoint) };
            let sinks = checked(&[hook], "guid", "host").expect("a sink");
            sinks[0].reach.refusal(address.parse().expect("an address")).is_none()
        };
        assert!(
            reaches("http://127.0.0.1:80/x", "127.0.0.1") && reaches("http://localhost:80/x", "127.0.0.1")
        );
        assert!(reaches("http://[::1]:80/x", "::1") && reaches("https://10.0.0.5/x", "10.0.0.5"));
        for endpoint in
            ["http://169.254.169.254/", "http://[::ffff:7f00:1]/", "http://0x7f.1/", "https://h.example/"]
        {
            assert!(!reaches(endpoint, "127.0.0.1") && !reaches(endpoint, "169.254.169.254"), "{endpoint}");
        }
        assert!(!reaches("http://127.0.0.1@evil.example/", "127.0.0.1"));
    }
}
