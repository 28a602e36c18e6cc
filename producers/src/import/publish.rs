//! Passes records from a reading thread through a bounded channel to the producer; counts acknowledgements by
//! file.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::Utc;
use schemas::{Envelope, codec};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Counts, ImportError, ImportOptions, ImportSummary, MAX_LISTED, Progress, Rejection,
    journal::{Done, Journal, Published, Whose},
    read::{Ending, Item, Sought, Unrecognised, chain, read_file},
    seen::Seen,
    sent::{Noted, SentFile},
    walk::{FoundFile, Walk, path_text},
};
use crate::{
    kafka::{DeliveryFailure, Producer, SendError},
    sources::{
        Mapped, SourceFormat,
        focus::{Delivery, DeliveryMode, Instants},
    },
};

/// Maximum number of records in a batch from the reading thread; a batch also ends beyond this many bytes.
const BATCH_RECORDS: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;
const BATCHES_WAITING: usize = 4;
/// Time that a stopped import waits for records in flight.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Message of the reading thread.
enum Told {
    Totals {
        files: u64,
        bytes: u64,
    },
    /// A file, and the number of its first records that an interrupted import published.
    FileBegun(FoundFile, u64),
    Items(Vec<Item>),
    FileEnded(Ending),
    Missing(Rejection),
    Resumed {
        file: FoundFile,
        counts: Counts,
    },
}

pub(super) struct Publishing<'a> {
    producer: &'a Producer,
    format: SourceFormat,
    journal: Journal,
    done: Done,
    seen: Seen,
    summary: ImportSummary,
    progress: Progress,
    stop: CancellationToken,
    bytes_read: Arc<AtomicU64>,
    /// File that is being read.
    current: Option<SentFile>,
    sent_files: VecDeque<SentFile>,
}

impl<'a> Publishing<'a> {
    pub(super) fn begin(
        paths: &[PathBuf],
        options: &ImportOptions,
        producer: &'a Producer,
    ) -> Result<Self, ImportError> {
        let whose = Whose {
            format: options.format,
            tenant: &options.tenant,
            delivery: options.delivery,
            state: &options.state,
            destination: producer.bootstrap(),
        };
        let (journal, done) = Journal::open(&options.state_dir, options.start, &whose, paths)?;
        Ok(Self {
            producer,
            format: options.format,
            journal,
            done,
            seen: Seen::default(),
            summary: ImportSummary::default(),
            progress: Progress::default(),
            stop: options.stop.clone(),
            bytes_read: Arc::default(),
            current: None,
            sent_files: VecDeque::new(),
        })
    }

    pub(super) async fn run(
        mut self,
        paths: Vec<PathBuf>,
        options: ImportOptions,
        mut report: impl FnMut(Progress),
    ) -> Result<ImportSummary, ImportError> {
        let (sender, mut told) = mpsc::channel(BATCHES_WAITING);
        let reading = Reading {
            options,
            done: std::mem::take(&mut self.done),
            bytes_read: Arc::clone(&self.bytes_read),
            instants: Instants::default(),
            sender,
        };
        let reader = tokio::task::spawn_blocking(move || reading.run(paths));
        while let Some(told) = told.recv().await {
            self.take(told).await?;
            self.note_acknowledged_files()?;
            self.progress.bytes_done = self.bytes_read.load(Relaxed);
            self.progress.counts = self.summary.counts;
            report(self.progress);
        }
        reader.await.map_err(ImportError::Reader)?;
        self.finish().await
    }

    async fn take(&mut self, told: Told) -> Result<(), ImportError> {
        match told {
            Told::Totals { files, bytes } => {
                (self.progress.files_total, self.progress.bytes_total) = (files, bytes);
            }
            Told::FileBegun(file, published_before) => {
                self.summary.resumed_records += published_before;
                self.current = Some(SentFile::begun(file, published_before));
            }
            Told::Items(items) => {
                let mut current = self.current.take().expect("items come from a file that was begun");
                let before = current.counts;
                for item in items {
                    self.publish(item, &mut current).await?;
                }
                self.summary.counts.add(current.counts.since(before));
                self.sent_files.extend(current.end_section());
                self.current = Some(current);
            }
            Told::FileEnded(ending) => self.file_ended(ending),
            Told::Missing(rejection) => self.refuse(rejection),
            Told::Resumed { file, counts } => {
                self.progress.files_done += 1;
                self.bytes_read.fetch_add(file.bytes, Relaxed);
                self.summary.files += 1;
                self.summary.resumed_files += 1;
                self.summary.counts.add(counts);
            }
        }
        Ok(())
    }

    async fn publish(&mut self, item: Item, file: &mut SentFile) -> Result<(), ImportError> {
        if file.cut {
            return Ok(());
        }
        file.counts.read += 1;
        let (index, Mapped { envelope, oddities }) = match item {
            Item::Record { index, mapped } => (index, *mapped),
            Item::Rejected { index, reason } => {
                self.reject(index, reason, file);
                return Ok(());
            }
        };
        if let Err(refusal) = codec::check(&envelope, Utc::now()) {
            self.reject(index, refusal.detail, file);
            return Ok(());
        }
        if self.is_repeated(&envelope) {
            file.counts.duplicates += 1;
            return Ok(());
        }
        let sent = tokio::select! {
            biased;
            sent = async { Ok(()) }, if file.counts.read <= file.published_before => sent,
            sent = self.producer.send_tallied(&envelope, &file.tally) => sent,
            // Only a send that has to wait is given up.
            () = self.stop.cancelled() => {
                file.counts.read -= 1;
                file.cut = true;
                return Ok(());
            }
        };
        match sent {
            Ok(()) => {
                file.counts.published += 1;
                file.counts.ids_derived += u64::from(oddities.id_derived);
                file.counts.times_assumed += u64::from(oddities.time_assumed);
                file.counts.fields_empty += u64::from(oddities.fields_empty);
                Ok(())
            }
            Err(error @ SendError::TooLarge { .. }) => {
                file.is_refused = true;
                self.reject(index, chain(&error), file);
                Ok(())
            }
            Err(error @ (SendError::QueueFull | SendError::Fatal(_))) => Err(ImportError::Producer(error)),
        }
    }

    /// Whether the import published the record before. Charges of one file differ in their ids, which are derived from
    /// all of their content.
    fn is_repeated(&mut self, envelope: &Envelope) -> bool {
        match self.format {
            SourceFormat::Focus if self.progress.files_total == 1 => false,
            SourceFormat::Focus => self.seen.is_repeated_id(envelope.id),
            _ => self.seen.is_repeated(envelope),
        }
    }

    fn reject(&mut self, record: u64, reason: String, file: &mut SentFile) {
        file.counts.rejected += 1;
        let rejection = Rejection { file: path_text(&file.file.path), record: Some(record), reason };
        list(&mut self.summary.rejections, rejection);
    }

    fn refuse(&mut self, rejection: Rejection) {
        self.summary.refused_files += 1;
        self.summary.counts.rejected += 1;
        list(&mut self.summary.rejections, rejection);
    }

    fn file_ended(&mut self, ending: Ending) {
        let mut sent = self.current.take().expect("a file that ends was begun");
        self.progress.files_done += 1;
        let ending = if sent.cut { Ending::Stopped } else { ending };
        sent.noted = match ending {
            Ending::Whole => Noted::Whole,
            Ending::Stopped if !sent.is_refused => Noted::Partly,
            _ => Noted::Nothing,
        };
        let about = |reason| Rejection { file: path_text(&sent.file.path), record: None, reason };
        match ending {
            Ending::Whole => self.summary.files += 1,
            Ending::Stopped => {}
            Ending::Skipped(reason) => {
                self.summary.skipped_files += 1;
                list(&mut self.summary.skipped, about(reason));
            }
            Ending::Refused(reason) => {
                self.summary.files += 1;
                self.refuse(about(reason));
            }
        }
        self.sent_files.push_back(sent);
    }

    /// Records in the journal the files whose last record is acknowledged, in order.
    fn note_acknowledged_files(&mut self) -> Result<(), ImportError> {
        while let Some(first) = self.sent_files.pop_front_if(|first| first.tally.is_settled()) {
            first.check_acknowledged()?;
            // What was published before is noted already.
            let is_news = first.counts.read > first.published_before;
            match first.noted {
                Noted::Whole => self.journal.note(&first.file, false, first.counts)?,
                Noted::Partly if is_news => self.journal.note(&first.file, true, first.counts)?,
                Noted::Partly | Noted::Nothing => {}
            }
        }
        // The file in hand may be long: a failure need not wait for its end.
        self.current.as_ref().map_or(Ok(()), SentFile::check_acknowledged)
    }

    async fn finish(mut self) -> Result<ImportSummary, ImportError> {
        let settled = async {
            for sent in &self.sent_files {
                sent.tally.settled().await;
            }
        };
        // An import that nobody stops waits as long as the producer does.
        tokio::select! {
            () = settled => {}
            () = async { self.stop.cancelled().await; sleep(LAST_WAIT).await } => {}
        }
        self.note_acknowledged_files()?;
        let unsettled: u64 =
            self.sent_files.iter().map(|sent| sent.tally.sent() - sent.tally.acknowledged()).sum();
        if unsettled > 0 {
            return Err(ImportError::Unacknowledged { failed: unsettled, source: DeliveryFailure::Stopped });
        }
        self.summary.interrupted = self.stop.is_cancelled();
        if self.summary.is_complete() {
            self.journal.remove()?;
        }
        Ok(self.summary)
    }
}

fn list(rejections: &mut Vec<Rejection>, rejection: Rejection) {
    if rejections.len() < MAX_LISTED {
        rejections.push(rejection);
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.read += other.read;
        self.published += other.published;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.ids_derived += other.ids_derived;
        self.times_assumed += other.times_assumed;
        self.fields_empty += other.fields_empty;
    }

    fn since(self, before: Self) -> Self {
        Self {
            read: self.read - before.read,
            published: self.published - before.published,
            duplicates: self.duplicates - before.duplicates,
            rejected: self.rejected - before.rejected,
            ids_derived: self.ids_derived - before.ids_derived,
            times_assumed: self.times_assumed - before.times_assumed,
            fields_empty: self.fields_empty - before.fields_empty,
        }
    }
}

/// The reading thread.
struct Reading {
    options: ImportOptions,
    done: Done,
    bytes_read: Arc<AtomicU64>,
    /// Instants of the charges that replace others.
    instants: Instants,
    sender: mpsc::Sender<Told>,
}

impl Reading {
    fn run(self, paths: Vec<PathBuf>) {
        let (mut files, mut bytes) = (0, 0);
        for file in Walk::new(paths.clone()).flatten() {
            files += 1;
            bytes += file.bytes;
            if self.is_stopped() {
                return;
            }
        }
        if self.tell(Told::Totals { files, bytes }).is_break() {
            return;
        }
        for found in Walk::new(paths) {
            let told = match found {
                Err(unseen) => {
                    let (file, reason) = (path_text(&unseen.path), chain(&unseen.error));
                    self.tell(Told::Missing(Rejection { file, record: None, reason }))
                }
                Ok(file) => self.read(file),
            };
            if told.is_break() {
                return;
            }
        }
    }

    fn read(&self, file: FoundFile) -> ControlFlow<()> {
        let published = self.done.of(&file);
        if let Some(Published { counts, partly: false, .. }) = published {
            self.recall_instants(&file);
            return self.tell(Told::Resumed { file, counts });
        }
        let published_before = published.map_or(0, |published| published.counts.read);
        self.tell(Told::FileBegun(file.clone(), published_before))?;
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        let mut ending = read_file(&file, self.sought(), &self.bytes_read, |item| {
            batch_bytes += size_of_item(&item);
            batch.push(item);
            if batch.len() < BATCH_RECORDS && batch_bytes < BATCH_BYTES {
                return ControlFlow::Continue(());
            }
            batch_bytes = 0;
            self.tell(Told::Items(std::mem::take(&mut batch)))?;
            if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if self.is_stopped() && ending != Ending::Whole {
            ending = Ending::Stopped;
        }
        self.tell(Told::Items(batch))?;
        self.tell(Told::FileEnded(ending))?;
        if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn sought(&self) -> Sought<'_> {
        Sought {
            format: self.options.format,
            tenant: &self.options.tenant,
            delivery: self.options.delivery,
            instants: &self.instants,
            state: &self.options.state,
            unrecognised: Unrecognised::Refused,
        }
    }

    /// Reads a file that was published before, if the rows of others must state the same instants.
    fn recall_instants(&self, file: &FoundFile) {
        let Delivery { known_at, mode } = self.options.delivery;
        if mode == DeliveryMode::Replace && known_at.is_none() {
            read_file(file, self.sought(), &Arc::default(), |_| {
                if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
    }

    fn is_stopped(&self) -> bool {
        self.options.stop.is_cancelled()
    }

    /// Sends a message, waiting for room; stops reading if the receiver is gone.
    fn tell(&self, told: Told) -> ControlFlow<()> {
        match self.sender.blocking_send(told) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

fn size_of_item(item: &Item) -> usize {
    match item {
        Item::Record { mapped, .. } => {
            mapped.envelope.native.as_ref().map_or(0, |native| native.record.len())
        }
        Item::Rejected { reason, .. } => reason.len(),
    }
}
