//! Columns: those of FOCUS in any case, and the corresponding columns of native exports.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{dialect::Dialect, exported::OTHERS};

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
    /// [`key_of`] each name in the file.
    keys: Vec<String>,
    /// Indices by [`key_of`] the name; the first of several with one key.
    places: HashMap<String, usize>,
    /// Indices of the columns that each FOCUS column is read from, the best first.
    of_focus: HashMap<&'static str, Vec<usize>, RandomState>,
    /// Indices of the columns without a field in the event, in the order of their names.
    others: Vec<usize>,
    /// Index of the column in which an export of Weir keeps further columns.
    exported: Option<usize>,
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
    pub(super) fn new<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Self, NoHeader> {
        let cells: Vec<&str> = cells.collect();
        if cells.len() > MAX_COLUMNS {
            return Err(NoHeader::TooWide);
        }
        let known: HashMap<String, &str> =
            FIELDS.iter().chain(&KEPT).map(|name| (key_of(name), *name)).collect();
        let keys: Vec<String> = cells.iter().map(|cell| key_of(cell)).collect();
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
            return Err(NoHeader::Foreign(beginning(&cells)));
        };
        let sources = |name: &'static str| {
            let names = std::iter::once(&name).chain(dialect.aliases(name)).map(|name| key_of(name));
            (name, names.filter_map(|key| places.get(&key).copied()).collect())
        };
        let of_focus = FIELDS.into_iter().chain(KEPT).map(sources).collect();
        let mut others: Vec<usize> =
            (0..names.len()).filter(|place| !FIELDS.contains(&names[*place].as_str())).collect();
        others.sort_by(|a, b| names[*a].cmp(&names[*b]));
        let exported = places.get(&key_of(OTHERS)).copied();
        Ok(Self { names, keys, places, of_focus, others, exported, dialect })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is a column that a FOCUS column is read from.
    pub(super) fn has_focus(&self, name: &str) -> bool {
        self.of_focus.get(name).is_some_and(|places| !places.is_empty())
    }

    pub(super) fn place_of_others(&self) -> Option<usize> {
        self.exported
    }

    /// Whether a cell is the name of that column, without case and punctuation.
    pub(super) fn is_named(&self, place: usize, cell: &str) -> bool {
        self.keys.get(place).is_some_and(|key| key.chars().eq(key_chars(cell)))
    }

    pub(super) fn name(&self, place: usize) -> &str {
        &self.names[place]
    }
}

fn beginning(cells: &[&str]) -> String {
    let text = cells[..cells.len().min(3)].join(", ");
    let text = schemas::problem::printable(&text);
    format!("{:?}", text.chars().take(80).collect::<String>())
}

/// A name without case and punctuation: `lineItem/UnblendedCost` and `line_item_unblended_cost` are equal.
pub(super) fn key_of(name: &str) -> String {
    key_chars(name).collect()
}

fn key_chars(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// The texts of a row's cells, one after the other, and where each ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cells<'a> {
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> Cells<'a> {
    /// The cells of a text; the index of the first that ends within a character otherwise.
    pub(super) fn new(text: &'a str, ends: &'a [usize]) -> Result<Self, usize> {
        match ends.iter().position(|end| !text.is_char_boundary(*end)) {
            None => Ok(Self { text, ends }),
            Some(place) => Err(place),
        }
    }

    pub(super) fn len(self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(self, place: usize) -> Option<&'a str> {
        let end = *self.ends.get(place)?;
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[begin..end])
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(move |place| self.get(place))
    }

    /// The first so many.
    pub(super) fn first(self, count: usize) -> Self {
        Self { ends: &self.ends[..count.min(self.ends.len())], ..self }
    }
}

/// Cells that are made one by one.
#[derive(Debug, Default)]
pub(super) struct OwnCells {
    text: String,
    ends: Vec<usize>,
}

impl OwnCells {
    pub(super) fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(super) fn cells(&self) -> Cells<'_> {
        Cells { text: &self.text, ends: &self.ends }
    }
}

/// A row's cells with their header; `NULL`, `(null)` and empty texts count as absent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) header: &'a Header,
    pub(super) cells: Cells<'a>,
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
