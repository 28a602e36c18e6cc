//! Charges: FOCUS 1.0 to 1.4, and the native cost exports of AWS, Azure and Google Cloud.
//!
//! A charge is identified by its row's content and the number of equal rows before it in its file. So a file
//! that comes again, whole or in part, compressed or not, as CSV or as Parquet, adds nothing, and two equal
//! rows of one file are two charges.
//!
//! The event's time is when the issuer published the row (`x_ExportDateTime`, Google's `export_time`, or an
//! option of the import): together with the charge period it makes the ledger bitemporal. If neither is
//! given, it is the modification time of the file, which is not part of the charge's identity.

mod charge;
mod columns;
mod csv;
mod dialect;
mod exported;
mod identity;
mod instants;
mod parquet;
mod rows;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashSet};

use schemas::{Envelope, Event, EventId, Source, TenantId, Timestamp, envelope::native_format};
use serde_json::value::RawValue;

pub(crate) use self::instants::Instants;
pub use self::rows::{ChargeRow, ChargeRows, FileBroken};
use self::{
    charge::{Charge, charge},
    columns::{Header, OwnCells, Row, key_of},
    dialect::Dialect,
    identity::Repetitions,
};
use super::{
    Around, Received, SourceRow,
    mapped::{ASSUMED_TIME, Mapped, NotARecord, Oddities, is_attribute},
};

pub(super) const ROW: SourceRow = SourceRow {
    format: native_format::FOCUS,
    slug: "focus",
    record: "a charge",
    takes: "charges: FOCUS 1.0 to 1.4, AWS CUR 2.0, Azure and Google Cloud cost exports; CSV (plain, gzip, zstd), Parquet, JSON",
    lists: &["rows", "records"],
    received: Received::WithKey,
    // `is_charge` tells: each export has columns of its own, in any case and punctuation.
    marks: &[],
    map,
};

/// Properties of a delivery of rows that the file does not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    /// Time at which the issuer published the rows; overrides the times in the rows.
    pub known_at: Option<Timestamp>,
    /// Relation to earlier rows.
    pub mode: DeliveryMode,
}

/// Relation of delivered rows to earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryMode {
    /// The rows are added: originals, and corrections as difference or as reversal and new charge.
    #[default]
    Append,
    /// The rows replace all earlier rows of the same provider, billing account and billing period.
    Replace,
}

/// Column, among an event's other columns, by which its row replaces the earlier rows of the billing period.
pub const REPLACES: &str = "x_Replaces";
/// Value of [`REPLACES`] that does so.
pub const BILLING_PERIOD: &str = "BillingPeriod";

/// Maps the rows of one file or request to charges.
#[derive(Debug)]
pub struct Charges {
    tenant: TenantId,
    delivery: Delivery,
    /// Name of the part of a split delivery, which tells its rows from equal ones of other parts.
    part: Option<String>,
    /// Time of becoming known for rows that state none.
    otherwise_known_at: Timestamp,
    repetitions: Repetitions,
    /// Instants of the rows that replace others.
    instants: Instants,
}

impl Charges {
    /// Starts a file or request.
    pub fn new(tenant: &TenantId, delivery: Delivery, otherwise_known_at: Timestamp) -> Self {
        Self {
            tenant: tenant.clone(),
            delivery,
            part: None,
            otherwise_known_at,
            repetitions: Repetitions::default(),
            instants: Instants::default(),
        }
    }

    /// The same as the named part of a split delivery.
    pub(crate) fn part_of(self, part: Option<String>) -> Self {
        Self { part, ..self }
    }

    /// The same as one file among those of a delivery, whose instants are compared.
    pub(crate) fn within(self, instants: Instants) -> Self {
        Self { instants, ..self }
    }

    /// The next record in JSON: an object whose members are the columns.
    pub fn map_json(&mut self, text: &str) -> Result<Mapped, NotARecord> {
        let (mut names, mut cells) = (OwnCells::default(), OwnCells::default());
        let each = |name: String, text: String| {
            names.push(&name);
            cells.push(&text);
        };
        columns_of(text, each).map_err(NotARecord::NotAnObject)?;
        let other = |error: &dyn std::error::Error| NotARecord::OtherDocument(error.to_string());
        let header = Header::new(names.cells().iter()).map_err(|error| other(&error))?;
        self.map(Row { header: &header, cells: cells.cells() }).map_err(NotARecord::OtherDocument)
    }

    /// The next row.
    fn map(&mut self, row: Row<'_>) -> Result<Mapped, String> {
        let restored = exported::restored(row);
        let row = restored.as_ref().map_or(row, |cells| Row { cells: cells.cells(), ..row });
        let Charge { mut usage, known_at } = charge(row).map_err(|error| error.to_string())?;
        let stated = self.delivery.known_at.or(known_at);
        if self.delivery.mode == DeliveryMode::Replace {
            match (self.delivery.known_at, known_at) {
                (Some(_), _) => {}
                (None, Some(known_at)) => {
                    let column = row.focus("x_ExportDateTime").map_or("x_ExportDateTime", |cell| cell.column);
                    self.instants.check(&usage, known_at, column)?;
                }
                (None, None) => {
                    let why = "the row replaces others and does not say when it became known (x_ExportDateTime); \
                               tell it with --known-at (known_at)";
                    return Err(why.to_owned());
                }
            }
            usage.other_columns.insert(REPLACES.to_owned(), BILLING_PERIOD.to_owned());
        }
        let subject = usage.resource_id.clone().filter(|id| is_attribute(id));
        let content = identity::content(&usage, self.delivery.known_at);
        let numbered = self.repetitions.numbered(content).map_err(|error| {
            format!(
                "equal rows before it cannot be counted in a temporary file of {}: {error}; import the file again when \
                 there is room, or with TMPDIR of another folder",
                std::env::temp_dir().display()
            )
        })?;
        let part = self.part.as_deref().unwrap_or_default().as_bytes();
        let id = EventId::derived(&self.tenant, native_format::FOCUS, &[&numbered[..], part].concat());
        let oddities = Oddities {
            id_derived: false,
            time_assumed: stated.is_none(),
            fields_empty: usage.provider_name.is_empty() || usage.billing_account_id.is_empty(),
        };
        let envelope = Envelope {
            id,
            original_id: None,
            tenant: self.tenant.clone(),
            source: Source::new("focus:charges").expect("a URI without spaces"),
            subject,
            occurred_at: stated.unwrap_or(self.otherwise_known_at),
            skewed: false,
            time_assumed: stated.is_none(),
            correlation_id: None,
            causation_id: None,
            trace: None,
            event: Event::Usage(usage),
            native: None,
        };
        Ok(Mapped { envelope, oddities })
    }
}

/// One record alone, as an object of columns.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    Charges::new(tenant, Delivery::default(), around.time.unwrap_or(ASSUMED_TIME)).map_json(text)
}

/// Whether an object has the columns of a charge.
pub(super) fn is_charge(text: &str) -> bool {
    let mut keys = HashSet::new();
    let read = columns_of(text, |name, _| {
        keys.insert(key_of(&name));
    });
    read.is_ok() && Dialect::of(|key| keys.contains(key)).is_some()
}

/// Passes on the columns of an object: their names and texts.
fn columns_of(text: &str, mut column: impl FnMut(String, String)) -> serde_json::Result<()> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text)?;
    for (name, value) in members {
        flatten(name, &value, &mut column);
    }
    Ok(())
}

/// Members of Google's export that are objects (in Parquet: groups), whose own members are columns.
const NESTED: [&str; 8] = ["service", "sku", "project", "location", "usage", "resource", "invoice", "price"];

fn flatten(name: String, value: &RawValue, column: &mut dyn FnMut(String, String)) {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => column(name, serde_json::from_str(text).unwrap_or_default()),
        Some(b'{') if NESTED.contains(&name.as_str()) => {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap_or_default();
            for (member, value) in members {
                // One layer: what lies deeper stays JSON.
                let text = value.get();
                let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
                column(format!("{name}.{member}"), text);
            }
        }
        _ => column(name, text.to_owned()),
    }
}
