//! `weir prices`: the price list that estimates use: list it, check a file, replace it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use costs::prices::{Price, PriceKey, PriceList, ReadPrices, read};
use serde_json::{Value, json};

use super::{
    Outcome,
    output::{self, Format, note},
    settings::{self, Settings},
};

/// Most bytes of a price list.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Arguments of `weir prices`.
#[derive(Debug, Args)]
pub(super) struct PricesArgs {
    #[command(subcommand)]
    command: PricesCommand,
}

#[derive(Debug, Subcommand)]
enum PricesCommand {
    /// Show the prices in use, or those of a file.
    List(ListArgs),
    /// Report rows of a price list that cannot be used, with line and column; exit 1 if there are any.
    Check {
        /// A price list, CSV.
        file: PathBuf,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Take the good rows of a price list into use; exit 1 if bad rows were left out. Running stages use it after a
    /// restart.
    Import {
        /// A price list, CSV.
        file: PathBuf,
        /// The file to write; without it, the one that the setting `prices.file` names.
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
        /// Keep prices of the list in use that the new list does not have.
        #[arg(long)]
        merge: bool,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// A price list, CSV; without it, the prices in use.
    file: Option<PathBuf>,
    /// Only this provider: aws, azure or gcp.
    #[arg(long)]
    provider: Option<String>,
    /// Only this region, and prices that hold everywhere.
    #[arg(long)]
    region: Option<String>,
    /// Only this product, for example instance.
    #[arg(long)]
    product: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) fn prices(args: PricesArgs) -> anyhow::Result<Outcome> {
    match args.command {
        PricesCommand::List(args) => list(&args),
        PricesCommand::Check { file, output } => check(&file, output),
        PricesCommand::Import { file, into, merge } => import(&file, into, merge),
    }
}

/// The price list that the settings name, or the examples.
///
/// # Errors
/// The file cannot be read or has bad rows: a stage must not estimate with half a list.
pub(super) fn in_use(settings: &settings::Prices) -> anyhow::Result<PriceList> {
    let Some(file) = &settings.file else { return Ok(PriceList::examples()) };
    let found = read_file(file)?;
    if let Some(first) = found.problems.first() {
        bail!(
            "the price list {} has {} rows that cannot be used, first {first}; see `weir prices check`",
            file.display(),
            found.problems_total
        );
    }
    found.list.with_context(|| format!("the price list {} has no prices", file.display()))
}

fn read_file(file: &Path) -> anyhow::Result<ReadPrices> {
    let told = || format!("the price list {} cannot be read", file.display());
    let size = fs::metadata(file).with_context(told)?.len();
    if size > MAX_FILE_BYTES {
        bail!("the price list {} has {size} bytes, more than {MAX_FILE_BYTES}", file.display());
    }
    let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(read(&name, &fs::read(file).with_context(told)?))
}

fn report(file: &Path, found: &ReadPrices) {
    for problem in &found.problems {
        note(&format!("{}: {problem}", file.display()));
    }
    let more = found.problems_total - found.problems.len();
    if more > 0 {
        note(&format!("{}: {more} more rows cannot be used", file.display()));
    }
}

fn check(file: &Path, format: Format) -> anyhow::Result<Outcome> {
    let found = read_file(file)?;
    let prices = found.list.as_ref().map_or(0, PriceList::len);
    if format == Format::Table {
        report(file, &found);
        output::line(&format!("{prices} prices can be used, {} rows cannot", found.problems_total));
    } else {
        let problems: Vec<Value> = found
            .problems
            .iter()
            .map(|problem| json!({"line": problem.line, "column": problem.column, "reason": problem.reason}))
            .collect();
        let list = found.list.as_ref().map(PriceList::used);
        output::json(&json!({
            "prices": prices, "list": list, "problems_total": found.problems_total, "problems": problems,
        }))?;
    }
    Ok(outcome(&found))
}

fn outcome(found: &ReadPrices) -> Outcome {
    if found.problems_total == 0 { Outcome::Done } else { Outcome::No }
}

fn import(file: &Path, into: Option<PathBuf>, merge: bool) -> anyhow::Result<Outcome> {
    let settings = Settings::load()?.prices;
    let target = into.or_else(|| settings.file.clone()).context(
        "name the file to write with --into, or set prices.file (WEIR_PRICES__FILE): the stages read it from there",
    )?;
    let found = read_file(file)?;
    report(file, &found);
    let Some(mut list) = found.list.clone() else {
        bail!("{} has no price that can be used", file.display())
    };
    if merge {
        let before = if target.exists() {
            in_use(&settings::Prices { file: Some(target.clone()) })?
        } else {
            in_use(&settings)?
        };
        list = before.merged(&list)?;
    }
    replace(&target, &list.to_csv())
        .with_context(|| format!("the price list {} cannot be written", target.display()))?;
    output::line(&format!(
        "{} prices in {} are in {}; {} rows were left out; restart the stages change_review and cost to use them",
        list.len(),
        list.currency(),
        target.display(),
        found.problems_total
    ));
    Ok(outcome(&found))
}

/// Writes beside the file and renames: a reader sees the old list or the new one.
fn replace(target: &Path, text: &str) -> std::io::Result<()> {
    let beside = target.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, target)
}

fn list(args: &ListArgs) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Done;
    let list = match &args.file {
        None => in_use(&Settings::load()?.prices)?,
        Some(file) => {
            let found = read_file(file)?;
            report(file, &found);
            outcome = self::outcome(&found);
            found.list.with_context(|| format!("{} has no price that can be used", file.display()))?
        }
    };
    let wanted = |wanted: &Option<String>, found: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
    };
    let fits = |key: &PriceKey| {
        let region = key.region == costs::prices::EVERYWHERE || wanted(&args.region, &key.region);
        wanted(&args.provider, &key.provider) && region && wanted(&args.product, &key.product)
    };
    let rows: Vec<(&PriceKey, &Price)> = list.iter().filter(|(key, _)| fits(key)).collect();
    match args.output {
        Format::Table => print_table(&list, &rows),
        Format::Json => output::json(&rows.iter().map(|row| row_json(&list, row)).collect::<Vec<_>>())?,
        Format::Ndjson => rows.iter().try_for_each(|row| output::json(&row_json(&list, row)))?,
    }
    Ok(outcome)
}

fn row_json(list: &PriceList, (key, price): &(&PriceKey, &Price)) -> Value {
    json!({
        "provider": key.provider, "region": key.region, "product": key.product, "sku": price.sku,
        "unit": price.unit.name(), "price": price.price.to_string(), "currency": list.currency(),
        "as_of": price.as_of.to_string(),
    })
}

fn print_table(list: &PriceList, rows: &[(&PriceKey, &Price)]) {
    let mut table = output::table(&["provider", "region", "product", "sku", "price", "unit", "as of"]);
    for (key, price) in rows {
        table.add_row([
            key.provider.clone(),
            key.region.clone(),
            key.product.clone(),
            price.sku.clone(),
            format!("{} {}", price.price, list.currency()),
            price.unit.name().to_owned(),
            price.as_of.to_string(),
        ]);
    }
    output::print_table(&table, "no price matches");
    if list.name() == costs::prices::EXAMPLES_NAME {
        note("these are examples, written from public list prices: replace them with `weir prices import`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "provider,region,product,sku,unit,price,currency,as_of\n";
    const ROW: &str = "aws,us-east-1,instance,m5.large,hour,0.1,USD,2025-01-01\n";

    #[test]
    fn a_list_is_imported_whole_or_without_its_bad_rows_and_the_exit_code_says_which() {
        let folder = tempfile::tempdir().expect("a folder");
        let (new, target) = (folder.path().join("new.csv"), folder.path().join("prices.csv"));
        fs::write(&new, format!("{HEADER}{ROW}")).expect("written");
        assert_eq!(import(&new, Some(target.clone()), false).expect("imported"), Outcome::Done);
        let settings = settings::Prices { file: Some(target.clone()) };
        assert_eq!(in_use(&settings).expect("prices").len(), 1);

        let other = ROW.replace("m5.large", "m5.xlarge");
        let twice = format!("{HEADER}{other}{ROW}{}", ROW.replace("0.1", "0.2"));
        fs::write(&new, twice).expect("written");
        assert_eq!(check(&new, Format::Json).expect("checked"), Outcome::No);
        assert_eq!(import(&new, Some(target), true).expect("imported"), Outcome::No);
        let merged = in_use(&settings).expect("prices");
        assert_eq!(merged.len(), 2);
        assert_eq!(
            merged.find("aws", "us-east-1", "instance", "m5.large").expect("kept").1.price.to_string(),
            "0.1"
        );
        assert!(
            in_use(&settings::Prices { file: Some(new) }).is_err(),
            "a stage takes no list with bad rows"
        );
    }

    #[test]
    fn without_a_setting_the_examples_are_in_use() {
        assert_eq!(in_use(&settings::Prices::default()).expect("prices"), PriceList::examples());
    }
}
