//! A file of one record a line, for sites without a network and for tests.
//!
//! A batch is written under the file's lock and synced before it counts. A line that a crash has cut off was not settled: it is
//! taken off before the next batch, which holds its record again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use siem::{Message, Verdict, settings::File as Setup};

pub(super) struct FileWriter {
    setup: Setup,
}

impl FileWriter {
    pub(super) fn new(setup: Setup) -> Self {
        Self { setup }
    }

    /// Appends messages, a line each.
    pub(super) async fn write(&self, messages: &[&Message]) -> Verdict {
        let mut lines = Vec::with_capacity(messages.iter().map(|message| message.json.len() + 1).sum());
        for message in messages {
            lines.extend_from_slice(&message.json);
            lines.push(b'\n');
        }
        let setup = self.setup.clone();
        let written = tokio::task::spawn_blocking(move || append(&setup, &lines)).await;
        match written {
            Ok(Ok(())) => Verdict::Delivered,
            Ok(Err(error))
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) =>
            {
                Verdict::pause(format!("{}: {error}", self.setup.path.display()))
            }
            Ok(Err(error)) => Verdict::retry(format!("{}: {error}", self.setup.path.display())),
            Err(error) => Verdict::retry(format!("writing broke off: {error}")),
        }
    }
}

fn append(setup: &Setup, lines: &[u8]) -> io::Result<()> {
    let mut file = locked(&setup.path)?;
    let mut end = whole_lines(&mut file)?;
    if end > 0 && end + lines.len() as u64 > setup.rotate_bytes {
        put_aside(&setup.path)?;
        file = locked(&setup.path)?;
        end = file.metadata()?.len();
    }
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // A disk that is full: nothing of the batch stays.
        file.set_len(end)?;
    }
    written
}

/// Opens and locks the file; another process may have rotated it meanwhile.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        file.lock()?;
        if fs::metadata(path).is_ok_and(|named| file.metadata().is_ok_and(|own| own.ino() == named.ino())) {
            return Ok(file);
        }
    }
}

/// Takes a line off that was cut off; answers the file's length.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut buffer = vec![0; 64 * 1024];
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let part = usize::try_from(end - start).unwrap_or(buffer.len());
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut buffer[..part])?;
        if let Some(found) = buffer[..part].iter().rposition(|byte| *byte == b'\n') {
            end = start + found as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// Renames the file by the time, and compresses it.
fn put_aside(path: &Path) -> io::Result<()> {
    let stamp = chrono::Utc::now().format("%Y%m%dT%H%M%S%.9fZ");
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{stamp}"));
    let aside = PathBuf::from(name);
    fs::rename(path, &aside)?;
    let with = |end: &str| {
        let mut name = aside.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let (draft, done) = (with(".gz.new"), with(".gz"));
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&draft)?;
    let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::default());
    io::copy(&mut File::open(&aside)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&draft, done)?;
    fs::remove_file(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message { json: text.as_bytes().to_vec().into(), ..Message::default() }
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_goes_and_the_whole_ones_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.ndjson");
        fs::write(&path, format!("{{\"a\":1}}\n{{\"b\":\"{}", "x".repeat(200_000))).expect("a file");
        let writer = FileWriter::new(Setup { path: path.clone(), rotate_bytes: 1 << 30 });
        assert_eq!(writer.write(&[&message("{\"b\":2}")]).await, Verdict::Delivered);
        assert_eq!(fs::read_to_string(&path).expect("text"), "{\"a\":1}\n{\"b\":2}\n");
        fs::write(&path, "{\"only\":").expect("a file");
        assert_eq!(writer.write(&[&message("{}"), &message("{}")]).await, Verdict::Delivered);
        assert_eq!(fs::read_to_string(&path).expect("text"), "{}\n{}\n");
    }

    #[tokio::test]
    async fn a_file_that_grows_is_put_aside_and_nothing_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.ndjson");
        let writer = FileWriter::new(Setup { path: path.clone(), rotate_bytes: 30 });
        for number in 0..10 {
            assert_eq!(writer.write(&[&message(&format!("{{\"n\":{number}}}"))]).await, Verdict::Delivered);
        }
        let mut found: Vec<PathBuf> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        found.sort();
        assert_eq!(found.remove(0), path);
        assert!(found.len() >= 2 && found.iter().all(|path| path.extension().is_some_and(|end| end == "gz")));
        let mut text = String::new();
        for path in &found {
            let mut decoder = flate2::read::GzDecoder::new(File::open(path).expect("a file"));
            decoder.read_to_string(&mut text).expect("text");
        }
        text.push_str(&fs::read_to_string(&path).expect("text"));
        let expected: Vec<String> = (0..10).map(|number| format!("{{\"n\":{number}}}")).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_pauses() {
        let writer = FileWriter::new(Setup { path: "/nonexistent/x".into(), rotate_bytes: 1 });
        assert!(matches!(writer.write(&[&message("{}")]).await, Verdict::Pause { .. }));
    }
}
