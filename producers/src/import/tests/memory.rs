//! Memory of reading bills: a process that reads a file ten times as long holds hardly more.

use std::{env, fs::File, io, ops::ControlFlow, process::Command, sync::Arc};

use parquet::{
    data_type::{ByteArray, ByteArrayType},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};

use super::*;

/// Variable with the file that a process of this test reads.
const FILE: &str = "WEIR_TEST_READS";
const THIS: &str = "import::tests::memory::memory_does_not_grow_with_the_file";
/// Rows of the short file, of about 400 bytes each.
const ROWS: usize = 4_000;
const TIMES: usize = 10;
/// Memory that a long file may take beyond a short one: a quarter of the bytes that it has beyond it.
const MOST_MORE: u64 = 4_000_000;

const COLUMNS: [&str; 10] = [
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "ChargeCategory",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ProviderName",
    "ResourceId",
    "ServiceName",
];

fn cells(row: usize) -> [String; COLUMNS.len()] {
    [
        format!("{row}.25"),
        "1".to_owned(),
        "USD".to_owned(),
        "Usage".to_owned(),
        format!("{row} {}", "a description of what was used ".repeat(8)),
        "2026-01-01T01:00:00Z".to_owned(),
        "2026-01-01T00:00:00Z".to_owned(),
        "AWS".to_owned(),
        format!("r-{}", row % 100),
        "Compute".to_owned(),
    ]
}

fn text(out: &mut dyn io::Write, rows: usize) {
    let lines = std::iter::once(COLUMNS.join(",")).chain((0..rows).map(|row| cells(row).join(",")));
    lines.for_each(|line| writeln!(out, "{line}").expect("written"));
}

fn plain(file: File, rows: usize) {
    text(&mut io::BufWriter::new(file), rows);
}

fn gzip(file: File, rows: usize) {
    let mut encoder = GzEncoder::new(file, Compression::fast());
    text(&mut encoder, rows);
    encoder.finish().expect("written");
}

fn zstd(file: File, rows: usize) {
    let mut encoder = zstd::Encoder::new(file, 1).expect("an encoder");
    text(&mut encoder, rows);
    encoder.finish().expect("written");
}

/// Row groups of as many rows as the short file has.
fn parquet(file: File, rows: usize) {
    let columns = COLUMNS.map(|name| format!("REQUIRED BYTE_ARRAY {name} (UTF8);")).concat();
    let schema = parse_message_type(&format!("message charges {{ {columns} }}")).expect("a schema");
    let mut writer = SerializedFileWriter::new(file, schema.into(), Arc::default()).expect("a writer");
    for first in (0..rows).step_by(ROWS) {
        let mut group = writer.next_row_group().expect("a row group");
        for place in 0..COLUMNS.len() {
            let values = (first..first + ROWS).map(|row| ByteArray::from(cells(row)[place].as_str()));
            let mut column = group.next_column().expect("a column").expect("one more");
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(&values.collect::<Vec<_>>(), None, None).expect("written");
            column.close().expect("closed");
        }
        group.close().expect("closed");
    }
    writer.close().expect("closed");
}

/// Reads the file as an import does, and tells the charges and the largest memory of this process, in bytes.
fn read(file: &Path) {
    let (mut charges, tenant) = (0, TenantId::new("acme").expect("a plain name"));
    super::super::records(vec![file.to_owned()], SourceFormat::Focus, &tenant, |record| {
        assert!(matches!(record, FileRecord::Record { .. }), "{record:?}");
        charges += 1;
        ControlFlow::Continue(())
    });
    let status = fs::read_to_string("/proc/self/status").expect("read");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    writeln!(io::stdout(), "\nread {charges} {}000", peak.expect("a peak")).expect("written");
}

/// The largest memory of a process of its own that reads the file.
fn peak_of_reading(file: &Path, rows: usize) -> u64 {
    let mut command = Command::new(env::current_exe().expect("this program"));
    let output = command.args(["--exact", THIS, "--nocapture"]).env(FILE, file).output().expect("started");
    let told = String::from_utf8_lossy(&output.stdout);
    let line = told.lines().find_map(|line| line.strip_prefix("read "));
    let (charges, peak) = line.and_then(|line| line.split_once(' ')).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(charges, rows.to_string(), "{}", file.display());
    peak.parse().expect("a number")
}

/// Writes a bill of so many rows.
type Form = fn(File, usize);

#[test]
fn memory_does_not_grow_with_the_file() {
    if let Some(file) = env::var_os(FILE) {
        return read(Path::new(&file));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let formats: [(&str, Form); 4] =
        [("bill.csv", plain), ("bill.csv.gz", gzip), ("bill.csv.zst", zstd), ("bill.parquet", parquet)];
    for (name, write) in formats {
        let file = folder.path().join(name);
        let [short, long] = [ROWS, ROWS * TIMES].map(|rows| {
            write(File::create(&file).expect("made"), rows);
            peak_of_reading(&file, rows)
        });
        assert!(long <= short + MOST_MORE, "{name}: {short} bytes, and {long} for a file ten times as long");
    }
}
