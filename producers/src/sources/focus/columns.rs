//! Columns: those of FOCUS in any case, and the corresponding columns of native exports.

use std::collections::HashMap;

use super::dialect::Dialect;

/// Maximum number of columns in a file.
pub(super) const MAX_COLUMNS: usize = 1_000;

/// FOCUS columns that become fields of the event; all others are kept by name.
pub(super) const FIELDS: [&str; 18] = [
    "BillingAccountId",
    "SubAccountId",
    "ProviderName",
    "ServiceName",
    "ServiceCategory",
    "RegionId",
    "ResourceId",
    "ChargeCategory",
    "ChargeDescription",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "BillingCurrency",
    "BilledCost",
    "EffectiveCost",
    "ListCost",
    "ContractedCost",
    "ConsumedQuantity",
    "ConsumedUnit",
];

/// FOCUS columns, 1.0 to 1.4, that are kept among the other columns, with this spelling.
pub(super) const KEPT: [&str; 12] = [
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargeClass",
    "ChargeFrequency",
    "InvoiceId",
    "InvoiceIssuerName",
    "PricingQuantity",
    "PricingUnit",
    "SkuId",
    "SkuPriceId",
    "Tags",
    "x_ExportDateTime",
];

/// Names of a file's columns, and their indices.
#[derive(Debug)]
pub(super) struct Header {
    /// FOCUS' spelling for its columns, the file's for others.
    names: Vec<String>,
    /// Indices by [`key_of`] the name; the first of several with one key.
    places: HashMap<String, usize>,
    /// Indices of the columns that each FOCUS column is read from, the best first.
    of_focus: HashMap<&'static str, Vec<usize>>,
    /// Indices of the columns without a field in the event.
    others: Vec<usize>,
    pub(super) dialect: Dialect,
}

/// Error of reading a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoHeader {
    /// It has no column for an amount or a time.
    #[error(
        "this is not a charge: it has neither BilledCost and ChargePeriodStart (FOCUS) nor the columns of a cost export of \
         AWS, Azure or Google Cloud; it begins with {0}"
    )]
    Foreign(String),
    /// It has too many columns.
    #[error("the first row names more than {MAX_COLUMNS} columns")]
    TooWide,
}

impl Header {
    pub(super) fn new(cells: &[String]) -> Result<Self, NoHeader> {
        if cells.len() > MAX_COLUMNS {
            return Err(NoHeader::TooWide);
        }
        let known: HashMap<String, &str> =
            FIELDS.iter().chain(&KEPT).map(|name| (key_of(name), *name)).collect();
        let (mut names, mut places) = (Vec::with_capacity(cells.len()), HashMap::new());
        for (place, cell) in cells.iter().enumerate() {
            let cell = cell.trim().trim_start_matches('\u{feff}');
            let key = key_of(cell);
            let taken = places.contains_key(&key);
            let name = match known.get(&key) {
                Some(name) if !taken => (*name).to_owned(),
                _ if cell.is_empty() => format!("column_{}", place + 1),
                _ if taken => format!("{cell}_{}", place + 1),
                _ => cell.to_owned(),
            };
            places.entry(key).or_insert(place);
            names.push(name);
        }
        let Some(dialect) = Dialect::of(|key| places.contains_key(key)) else {
            return Err(NoHeader::Foreign(beginning(cells)));
        };
        let sources = |name: &'static str| {
            let names = std::iter::once(&name).chain(dialect.aliases(name)).map(|name| key_of(name));
            (name, names.filter_map(|key| places.get(&key).copied()).collect())
        };
        let of_focus = FIELDS.into_iter().chain(KEPT).map(sources).collect();
        let others = (0..names.len()).filter(|place| !FIELDS.contains(&names[*place].as_str())).collect();
        Ok(Self { names, places, of_focus, others, dialect })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is a column of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(&key_of(name))
    }

    pub(super) fn name(&self, place: usize) -> &str {
        &self.names[place]
    }
}

fn beginning(cells: &[String]) -> String {
    let text = cells.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    let text = schemas::problem::printable(&text);
    format!("{:?}", text.chars().take(80).collect::<String>())
}

/// A name without case and punctuation: `lineItem/UnblendedCost` and `line_item_unblended_cost` are equal.
pub(super) fn key_of(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A row's cells with their header; `NULL`, `(null)` and empty texts count as absent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) header: &'a Header,
    pub(super) cells: &'a [String],
}

/// A value, with the column's name in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) column: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Row<'a> {
    /// The cell of the column with that name.
    pub(super) fn cell(self, name: &str) -> Option<Cell<'a>> {
        let place = *self.header.places.get(&key_of(name))?;
        Some(Cell { column: self.header.name(place), text: self.text(place)? })
    }

    /// The first of those columns that is not empty.
    pub(super) fn first(self, names: &[&str]) -> Option<Cell<'a>> {
        names.iter().find_map(|name| self.cell(name))
    }

    /// The value of a FOCUS column, one of [`FIELDS`] and [`KEPT`]: its own, or that of the native export's
    /// corresponding column.
    pub(super) fn focus(self, name: &str) -> Option<Cell<'a>> {
        let header = self.header;
        let places = header.of_focus.get(name)?.iter();
        places.copied().find_map(|place| Some(Cell { column: header.name(place), text: self.text(place)? }))
    }

    /// Columns without a field in the event, with their values.
    pub(super) fn others(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let header = self.header;
        header.others.iter().filter_map(move |place| Some((header.name(*place), self.text(*place)?)))
    }

    pub(super) fn is_empty(self) -> bool {
        (0..self.header.len()).all(|place| self.text(place).is_none())
    }

    fn text(self, place: usize) -> Option<&'a str> {
        let text = self.cells.get(place)?.trim();
        let null = match text.len() {
            0 => true,
            2 | 4 | 6 => ["null", "(null)", "\\n"].iter().any(|null| text.eq_ignore_ascii_case(null)),
            _ => false,
        };
        (!null).then_some(text)
    }
}
