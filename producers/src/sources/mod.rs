//! Foreign records: finding them in a file, and mapping each to an envelope. Pure except for reading.
//!
//! A source is one file here with a constant `ROW`, and one line in [`SourceFormat`]. HTTP, `weir import`,
//! `weir rules scan` and the OpenAPI description take everything from the row.

pub mod aws_config;
pub mod azure;
pub mod cdevents;
pub mod cloudtrail;
mod decoded;
pub mod elements;
mod fields;
pub mod focus;
pub mod gcp_audit;
pub mod github;
mod inventory;
pub mod kubernetes_audit;
mod mapped;
pub mod okta;
pub mod records;
pub mod terraform;
#[cfg(test)]
mod tests;
mod unwrapped;

pub use mapped::{ASSUMED_TIME, Mapped, NotARecord, Oddities};
use schemas::TenantId;

use self::fields::Fields;
pub use self::{
    decoded::decoded_text,
    unwrapped::{Around, Room},
};

/// Description of a source.
#[derive(Debug)]
pub struct SourceRow {
    /// Name of the format in native records.
    pub format: &'static str,
    /// Name in routes and commands.
    pub slug: &'static str,
    /// Description of one record, for people: `a CloudTrail record`.
    pub record: &'static str,
    /// Accepted input, as one line of help.
    pub takes: &'static str,
    /// Members that list the records if the file is one object around them; the system's own list first.
    pub lists: &'static [&'static str],
    /// Authentication over HTTP.
    pub received: Received,
    /// Members or paths, one of which every record has and other objects rarely have.
    marks: &'static [&'static str],
    map: fn(&TenantId, &str, &Around) -> Result<Mapped, NotARecord>,
}

/// Authentication of a source's records over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// `POST /api/v1/sources/{slug}` with an API key.
    WithKey,
    /// `POST /api/v1/sources/{slug}/{tenant}` with a signature.
    Signed,
}

macro_rules! sources {
    ($($(#[$doc:meta])* $name:ident => $row:expr,)+) => {
        /// A format of native records that is read from files and over HTTP.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SourceFormat { $($(#[$doc])* $name),+ }

        impl SourceFormat {
            /// Every format.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Description of the format.
            pub const fn row(self) -> &'static SourceRow {
                match self { $(Self::$name => &$row),+ }
            }
        }
    };
}

sources! {
    /// AWS CloudTrail records.
    CloudTrail => cloudtrail::ROW,
    /// Kubernetes `audit.k8s.io` events.
    KubernetesAudit => kubernetes_audit::ROW,
    /// GitHub audit log entries.
    GithubAudit => github::audit::ROW,
    /// GitHub webhook bodies.
    GithubWebhook => github::webhook::ROW,
    /// Okta system log events.
    OktaSystemLog => okta::ROW,
    /// Google Cloud audit log entries.
    GcpAudit => gcp_audit::ROW,
    /// Azure activity log records.
    AzureActivity => azure::activity::ROW,
    /// Entra audit log records.
    AzureAudit => azure::audit::ROW,
    /// Entra sign-in log records.
    AzureSignin => azure::signin::ROW,
    /// CDEvents.
    CdEvents => cdevents::ROW,
    /// Terraform plans, one a file.
    TerraformPlan => terraform::ROW,
    /// Configuration items of AWS Config; from files also the resources of Terraform states.
    Config => aws_config::ROW,
    /// Charges: FOCUS and the clouds' own cost exports.
    Focus => focus::ROW,
}

impl SourceFormat {
    /// Name of the format in native records.
    pub const fn name(self) -> &'static str {
        self.row().format
    }

    /// Name in routes and commands.
    pub const fn slug(self) -> &'static str {
        self.row().slug
    }

    /// Description of one record, for people.
    pub const fn record(self) -> &'static str {
        self.row().record
    }

    /// The source with that slug, if it accepts records with an API key.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.slug() == slug)
    }

    /// Whether detection rules exist for its records.
    pub const fn is_scanned(self) -> bool {
        !matches!(self, Self::TerraformPlan | Self::CdEvents | Self::Config | Self::Focus)
    }

    /// Whether an object looks like a record of this format, to tell a foreign file from one of this format.
    pub fn is_recognised(self, record: &str) -> bool {
        if self == Self::Focus {
            return focus::is_charge(record);
        }
        Fields::parse(record).is_ok_and(|fields| self.row().marks.iter().any(|mark| fields.has_path(mark)))
    }

    /// Maps one record. No object is rejected for its content, and the same record always gives the same
    /// envelope.
    pub fn map(self, tenant: &TenantId, text: &str) -> Result<Mapped, NotARecord> {
        self.map_within(tenant, text, &Around::default())
    }

    /// Maps one record with data from its carrier, which fills in what the record lacks.
    pub fn map_within(self, tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
        (self.row().map)(tenant, text, around)
    }
}
