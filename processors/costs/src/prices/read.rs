//! Reads price lists: valid rows are kept, invalid ones are reported with line and column.

use std::collections::{BTreeMap, btree_map::Entry};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::{COLUMNS, Price, PriceKey, PriceList, Unit};

/// Maximum length of a cell, in bytes.
const MAX_CELL_BYTES: usize = 200;
/// Maximum number of rows, which bounds memory.
const MAX_ROWS: usize = 2_000_000;
/// Maximum number of problems that are reported one by one.
const MAX_PROBLEMS: usize = 1_000;
/// Maximum price of a unit.
const MAX_PRICE: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// A rejected row, or a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct PriceProblem {
    /// Line of the file, from 1.
    pub line: u64,
    /// Name of the column; `-` if the whole line is meant.
    pub column: String,
    /// The reason, without the cell's text.
    pub reason: String,
}

/// The result of reading a price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPrices {
    /// List of the valid rows; absent if there are none.
    pub list: Option<PriceList>,
    /// Rejected rows, in the file's order; at most 1,000.
    pub problems: Vec<PriceProblem>,
    /// Number of problems.
    pub problems_total: usize,
}

/// Reads a list. Two different prices with one key reject both rows; the same price twice counts once.
pub fn read(name: &str, bytes: &[u8]) -> ReadPrices {
    let mut reading = Reading::default();
    match text_of(bytes) {
        Ok(text) => reading.rows(text),
        Err((line, reason)) => reading.report(line, "-", reason),
    }
    reading.finish(name)
}

/// UTF-8 with or without a byte order mark.
fn text_of(bytes: &[u8]) -> Result<&str, (u64, String)> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((1, "the file is UTF-16: save it as UTF-8".to_owned()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count() as u64;
        (line, "the line is not UTF-8".to_owned())
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[derive(Debug, Default)]
struct Reading {
    currency: Option<String>,
    /// Prices with their lines.
    prices: BTreeMap<PriceKey, (u64, Price)>,
    /// Keys with two different prices, neither of which counts.
    contested: BTreeMap<PriceKey, u64>,
    problems: Vec<PriceProblem>,
    problems_total: usize,
}

impl Reading {
    fn report(&mut self, line: u64, column: &str, reason: impl Into<String>) {
        self.problems_total += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(PriceProblem { line, column: column.to_owned(), reason: reason.into() });
        }
    }

    fn rows(&mut self, text: &str) {
        let header = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
        let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|delimiter| {
            let found = header.bytes().filter(|byte| byte == delimiter).count();
            (found, *delimiter == b',')
        });
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter.unwrap_or(b','))
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let columns = match reader.headers() {
            Ok(header) => columns_of(header),
            Err(error) => return self.report(1, "-", format!("the header cannot be read: {error}")),
        };
        let columns = match columns {
            Ok(columns) => columns,
            Err((column, reason)) => return self.report(1, column, reason),
        };
        let mut lines = Lines { text: text.as_bytes(), at: 0, line: 1 };
        for (count, record) in reader.records().enumerate() {
            match record {
                Ok(_) if count >= MAX_ROWS => {
                    return self.report(0, "-", format!("the list has more than {MAX_ROWS} rows"));
                }
                Ok(record) => {
                    let line = lines.of(record.position());
                    if let Err((column, reason)) = self.row(line, &record, &columns) {
                        self.report(line, column, reason);
                    }
                }
                Err(error) => {
                    let line = lines.of(error.position());
                    self.report(line, "-", told(&error));
                }
            }
        }
    }

    /// Reads one row; an error names the column.
    fn row(
        &mut self,
        line: u64,
        record: &csv::StringRecord,
        columns: &[usize; 8],
    ) -> Result<(), (&'static str, String)> {
        let mut cells = [""; 8];
        for (index, name) in COLUMNS.iter().enumerate() {
            let cell = record.get(columns[index]).unwrap_or_default();
            cells[index] = word(cell).map_err(|reason| (*name, reason.to_owned()))?;
        }
        let [provider, region, product, sku, unit, price, currency, as_of] = cells;
        let unit = Unit::from_name(unit).ok_or_else(|| {
            ("unit", format!("the unit is not one of {}", Unit::ALL.map(Unit::name).join(", ")))
        })?;
        let price = amount(price).map_err(|reason| ("price", reason.to_owned()))?;
        let code = currency_code(currency)
            .ok_or_else(|| ("currency", "the currency is no ISO 4217 code of three letters".to_owned()))?;
        let as_of = NaiveDate::parse_from_str(as_of, "%Y-%m-%d")
            .map_err(|_| ("as_of", "the day is not written as YYYY-MM-DD".to_owned()))?;
        let expected = self.currency.get_or_insert_with(|| code.clone());
        if *expected != code {
            let reason =
                format!("the currency is {code}, the first row's is {expected}: one list, one currency");
            return Err(("currency", reason));
        }
        let key = PriceKey {
            provider: provider.to_ascii_lowercase(),
            region: region.to_ascii_lowercase(),
            product: product.to_ascii_lowercase(),
            sku: sku.to_ascii_lowercase(),
        };
        self.keep(line, key, Price { sku: sku.to_owned(), unit, price, as_of })
    }

    fn keep(&mut self, line: u64, key: PriceKey, price: Price) -> Result<(), (&'static str, String)> {
        if let Some(first) = self.contested.get(&key) {
            return Err(("price", format!("a second price for the same thing; see line {first}")));
        }
        match self.prices.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert((line, price));
                Ok(())
            }
            Entry::Occupied(entry)
                if entry.get().1.unit == price.unit && entry.get().1.price == price.price =>
            {
                Ok(())
            }
            Entry::Occupied(entry) => {
                let (key, (first, earlier)) = entry.remove_entry();
                let (column, what) =
                    if earlier.unit == price.unit { ("price", "price") } else { ("unit", "unit") };
                let thing = format!("{} {} {} {}", key.provider, key.region, key.product, price.sku);
                self.contested.insert(key, first);
                Err((column, format!("a second {what} for {thing}, first on line {first}: neither is used")))
            }
        }
    }

    fn finish(mut self, name: &str) -> ReadPrices {
        if self.prices.is_empty() && self.problems.is_empty() {
            self.report(1, "-", "the list has no prices");
        }
        let prices: BTreeMap<PriceKey, Price> =
            self.prices.into_iter().map(|(key, (_, price))| (key, price)).collect();
        let list =
            (!prices.is_empty()).then(|| PriceList::new(name, self.currency.unwrap_or_default(), prices));
        ReadPrices { list, problems: self.problems, problems_total: self.problems_total }
    }
}

/// Lines of positions in ascending order. The reader's own are those before empty lines and before the second byte of a
/// CRLF.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    /// Line of the byte `at`, from 1.
    line: u64,
}

impl Lines<'_> {
    /// The line on which the row at a position begins; 0 without a position.
    fn of(&mut self, position: Option<&csv::Position>) -> u64 {
        let Some(position) = position else { return 0 };
        let start = usize::try_from(position.byte()).unwrap_or(usize::MAX).clamp(self.at, self.text.len());
        let ends = self.text[start..].iter().take_while(|byte| matches!(**byte, b'\r' | b'\n')).count();
        let passed = &self.text[self.at..start + ends];
        self.line += passed.split(|byte| *byte == b'\n').skip(1).count() as u64;
        self.at = start + ends;
        self.line
    }
}

/// Indices of the eight columns in the header.
fn columns_of(header: &csv::StringRecord) -> Result<[usize; 8], (&'static str, String)> {
    let mut places = [0; 8];
    for (index, name) in COLUMNS.iter().enumerate() {
        let mut found =
            header.iter().enumerate().filter(|(_, cell)| cell.eq_ignore_ascii_case(name)).map(|(at, _)| at);
        places[index] = found.next().ok_or_else(|| (*name, "the header lacks this column".to_owned()))?;
        if found.next().is_some() {
            return Err((name, "the header has this column twice".to_owned()));
        }
    }
    Ok(places)
}

fn word(cell: &str) -> Result<&str, &'static str> {
    if cell.is_empty() {
        return Err("the cell is empty");
    }
    if cell.len() > MAX_CELL_BYTES {
        return Err("the cell is longer than 200 bytes");
    }
    if cell.chars().any(char::is_control) {
        return Err("the cell holds control characters");
    }
    Ok(cell)
}

fn amount(text: &str) -> Result<Decimal, &'static str> {
    let scientific = text.contains(['e', 'E']);
    let parsed = if scientific { Decimal::from_scientific(text) } else { Decimal::from_str_exact(text) };
    let amount = parsed.map_err(|_| "the price is no decimal number with a point")?;
    if amount.is_sign_negative() && !amount.is_zero() {
        return Err("the price is negative");
    }
    if amount > MAX_PRICE {
        return Err("the price is more than 1,000,000,000 for one unit");
    }
    Ok(amount)
}

fn currency_code(text: &str) -> Option<String> {
    let letters = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    letters.then(|| text.to_ascii_uppercase())
}

fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} cells, the header {expected_len}")
        }
        _ => "the row cannot be read as CSV".to_owned(),
    }
}
