//! Settings of a sink: one `[[sink]]` table of `weir.toml`.

mod checking;

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    datadog::Datadog,
    dispatch::RequestLimits,
    elasticsearch::Elasticsearch,
    message::{Message, Oversize},
    ocsf_version::OcsfVersion,
    reach::Reach,
    slack::Slack,
    splunk_hec::{Acknowledgement, SplunkHec},
    syslog::{Format, Syslog},
    webhook::Webhook,
};

pub use checking::{SettingsError, checked};

/// `[[sink]]` as it is written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkSettings {
    /// Its name: at most 40 of a-z, 0-9, `-` and `_`; for ever, since positions go by it.
    pub name: String,
    /// `splunk_hec`, `datadog`, `elasticsearch`, `syslog`, `webhook`, `slack` or `file`.
    pub kind: String,
    /// Records to forward: `audit` (the default) or `findings`.
    pub records: Option<String>,
    /// URL of the receiver; `tcp://host:port` or `tls://host:port` for syslog; the path of the file for a file.
    pub endpoint: Option<String>,
    /// The token, key or signing secret itself.
    pub secret: Option<String>,
    /// A file that holds it; read again for every request.
    pub secret_file: Option<PathBuf>,
    /// The variable of the environment that holds it.
    pub secret_env: Option<String>,
    /// Splunk: whether to wait for the indexer's acknowledgement, `on` (the default) or `off`.
    pub acknowledgement: Option<Acknowledgement>,
    /// Splunk: the index. Elasticsearch: the index or data stream.
    pub index: Option<String>,
    /// Syslog: `json` (the default), `cef` or `leef`.
    pub format: Option<Format>,
    /// The version of OCSF that records are sent in.
    pub ocsf_version: Option<OcsfVersion>,
    /// Most records in a request.
    pub batch: Option<usize>,
    /// Seconds that records wait for a full batch, at most.
    pub linger_s: Option<f64>,
    /// Seconds between statements of completeness; 0 for none.
    pub statement_s: Option<f64>,
    /// Whether bodies are compressed with gzip; `true` where the receiver takes it.
    pub gzip: Option<bool>,
    /// The largest request in bytes, before compression.
    pub max_request_bytes: Option<usize>,
    /// The largest record in bytes; larger ones are sent in parts, or parked.
    pub max_record_bytes: Option<usize>,
    /// Only records of these tenants; empty for all.
    pub tenants: Vec<String>,
    /// Only records of these OCSF classes; empty for all.
    pub classes: Vec<i64>,
    /// Only records of this OCSF severity or above.
    pub min_severity: Option<i64>,
    /// A PEM file of the authorities whose certificates are believed, in place of this machine's.
    pub ca_certificate: Option<PathBuf>,
    /// Networks that may be called although they are loopback, link-local or, for webhooks, private.
    pub allow_networks: Vec<String>,
    /// File: rotate at this size in MiB; rotated files are compressed.
    pub rotate_mib: Option<u64>,
}

/// A sink, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Records to forward.
    pub records: Records,
    /// Receiver of the records.
    pub destination: Destination,
    /// Source of the receiver's secret.
    pub secret: SecretSource,
    /// The version of OCSF that records are sent in.
    pub ocsf_version: OcsfVersion,
    /// Limits of a request.
    pub limits: RequestLimits,
    /// The largest record in bytes.
    pub max_record_bytes: usize,
    /// Longest wait of a record for a full batch.
    pub linger: Duration,
    /// Time between statements of completeness; `None` for a sink without.
    pub statements: Option<Duration>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Filter on the records.
    pub filter: Filter,
    /// PEM file of trusted certificate authorities, in place of the machine's.
    pub ca_certificate: Option<PathBuf>,
    /// Addresses that the sink may connect to.
    pub reach: Reach,
}

/// Topic that a sink forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// `weir.audit.v1`
    Audit,
    /// `weir.findings.v1`
    Findings,
}

/// Filter of a sink; a record must fulfil every part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only records of these tenants; empty for all.
    pub tenants: Vec<String>,
    /// Only records of these OCSF classes; empty for all.
    pub classes: Vec<i64>,
    /// Only records of this OCSF severity or above; 99 (other) always passes.
    pub min_severity: i64,
}

impl Filter {
    /// Whether records may be left out.
    pub fn leaves_out(&self) -> bool {
        !self.tenants.is_empty() || !self.classes.is_empty() || self.min_severity > 0
    }
}

/// Source of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The receiver asks for none.
    None,
    /// The settings themselves.
    Given(String),
    /// A file, read again for every request.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Given(_) => f.write_str("Given(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
        }
    }
}

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHec),
    /// Datadog's log intake.
    Datadog(Datadog),
    /// Elasticsearch's or OpenSearch's bulk API.
    Elasticsearch(Elasticsearch),
    /// RFC 5424 over TCP or TLS.
    Syslog(Syslog),
    /// A signed webhook.
    Webhook(Webhook),
    /// A channel of Slack.
    Slack(Slack),
    /// A file of one record a line.
    File(File),
}

/// A file of one record a line, rotated by size; rotated ones are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The file that is written to.
    pub path: PathBuf,
    /// The file is rotated at this size in bytes.
    pub rotate_bytes: u64,
}

impl Destination {
    /// The message as the receiver gets it: whole, or where it is JSON and larger than `limit` in parts. CEF, LEEF and Slack's
    /// text hold no native record that could be sent apart.
    pub fn parted(&self, message: Message, limit: usize) -> Result<Vec<Message>, Oversize> {
        let bytes = match self {
            Self::Syslog(syslog) if syslog.format == Format::Json => return syslog.parted(message, limit),
            Self::Syslog(syslog) => syslog.text(&message).len(),
            Self::Slack(slack) => slack.request(&[&message], "").body.len(),
            Self::SplunkHec(_)
            | Self::Datadog(_)
            | Self::Elasticsearch(_)
            | Self::Webhook(_)
            | Self::File(_) => return message.parted(limit),
        };
        if bytes <= limit { Ok(vec![message]) } else { Err(Oversize { bytes, limit }) }
    }

    /// The kind's name in the settings.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SplunkHec(_) => "splunk_hec",
            Self::Datadog(_) => "datadog",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::Syslog(_) => "syslog",
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::File(_) => "file",
        }
    }
}
