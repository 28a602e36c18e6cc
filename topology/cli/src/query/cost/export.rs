//! `weir query cost export`: the charges as a FOCUS file.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{Api, ChargesArgs};
use crate::output;

/// Longest duration of an export.
const EXPORTED_WITHIN: Duration = Duration::from_hours(6);

/// Arguments of `weir query cost export`.
#[derive(Debug, Args)]
pub(in crate::query) struct ExportArgs {
    /// The file to write.
    file: PathBuf,
    /// Format of the file; by default Parquet if its name ends in .parquet, else CSV.
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,
    #[command(flatten)]
    charges: ChargesArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Csv,
    Parquet,
}

impl ExportFormat {
    fn of(file: &Path) -> Self {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ending.eq_ignore_ascii_case("parquet") { Self::Parquet } else { Self::Csv }
    }

    /// The name in the API's parameter.
    const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// Writes the file beside its place and moves it there once it is whole.
pub(in crate::query) async fn export(api: &Api, args: &ExportArgs) -> anyhow::Result<()> {
    let format = args.format.unwrap_or_else(|| ExportFormat::of(&args.file));
    let mut parameters = args.charges.parameters()?;
    parameters.push(("format", format.name()));
    let mut answer = api.open("/api/v1/cost/export", &parameters, EXPORTED_WITHIN).await?;
    let mut name = args.file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let writing = async {
        let mut file = File::create(&part)?;
        let mut bytes: u64 = 0;
        while let Some(chunk) = answer.chunk().await.context("the export was cut off; try again")? {
            file.write_all(&chunk)?;
            bytes += chunk.len() as u64;
        }
        file.sync_all()?;
        fs::rename(&part, &args.file)?;
        anyhow::Ok(bytes)
    };
    match writing.await {
        Ok(bytes) => {
            output::line(&format!("{bytes} bytes of {} written to {}", format.name(), args.file.display()));
            Ok(())
        }
        Err(error) => {
            drop(fs::remove_file(&part));
            Err(error).with_context(|| format!("writing {}", args.file.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_from_the_name() {
        let of = |name: &str| ExportFormat::of(Path::new(name)).name();
        assert_eq!(
            [of("a.parquet"), of("A.PARQUET"), of("a.csv"), of("a")],
            ["parquet", "parquet", "csv", "csv"]
        );
    }
}
