//! Brings to one sink what the audit topic does not hold any more: entries out of the table, on a topic of their own.
//!
//! An operator asks for ranges of logs (`weir sink backfill`). Any process that runs the stage audit takes a range up,
//! under a transactional id of its own, and goes on where the topic says that its predecessor stopped; so a range is written
//! once, whoever is killed when. It rests half of the time: the audit topic comes first.

use sinks::log_store::{Backfill, Follower, LogEntry};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    ABANDONED_S, AuditTopicConfig, PAGE, RelayError, SWEEP, tail, target::Target, writer::LogWriter,
};

/// Brings what is asked for until shutdown.
pub(super) async fn run(config: AuditTopicConfig, stop: CancellationToken) {
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut store = None;
    while stop.run_until_cancelled(sweep.tick()).await.is_some() {
        if let Err(failure) = take_up(&config, &mut store, &stop).await {
            warn!(error = %failure, "cannot bring a backfill now; will retry");
            metrics::counter!("weir_audit_topic_failures_total").increment(1);
            store = None;
        }
    }
}

/// Brings the ranges that nobody brings.
async fn take_up(
    config: &AuditTopicConfig,
    store: &mut Option<Follower>,
    stop: &CancellationToken,
) -> Result<(), RelayError> {
    let store = match store {
        Some(store) => store,
        None => store.insert(Follower::connect(&config.database_url).await?),
    };
    let waiting = store.backfills().await?;
    for backfill in waiting.into_iter().filter(|backfill| backfill.standing.age_s > ABANDONED_S) {
        if stop.is_cancelled() {
            break;
        }
        bring(config, store, backfill, stop).await?;
    }
    Ok(())
}

async fn bring(
    config: &AuditTopicConfig,
    store: &mut Follower,
    backfill: Backfill,
    stop: &CancellationToken,
) -> Result<(), RelayError> {
    let Backfill { id, sink, mut standing } = backfill;
    let target = Target::backfill(standing.log.clone(), id.clone(), sink.clone());
    if standing.offset.is_none() {
        // Noted before anything is written: whoever goes on need not read what lies before.
        let (config, target) = (config.clone(), target.clone());
        let end = tokio::task::spawn_blocking(move || tail::end(&config, &target)).await??;
        standing = store.begin_backfill(&id, end).await?;
    }
    let (log, until) = (standing.log.clone(), standing.size);
    let mut offset = standing.offset;
    let mut writer = LogWriter::take_over(config, target, Some(standing)).await?;
    let checkpoints = store.checkpoints().await?;
    let checkpoint = checkpoints.into_iter().find(|(of, _)| *of == log).map(|(_, note)| note);
    while writer.next < until && !stop.is_cancelled() {
        let began = Instant::now();
        let mut behind = (writer.next + u64::from(PAGE)).min(until);
        let mut entries = store.entries(&log, writer.next, PAGE).await?;
        entries.retain(|entry| entry.index < until);
        if entries.is_empty() {
            // Retention has taken them: so it may have the next ones.
            behind = store.first_kept(&log, behind, until).await?.unwrap_or(until);
        }
        for run in entries.chunk_by(follows) {
            let first = run[0].index;
            writer.previous = match first.checked_sub(1) {
                Some(before) => store.leaf(&log, before).await?,
                None => None,
            };
            writer.next = first;
            offset = writer.write(run, checkpoint.as_deref()).await?.or(offset);
        }
        writer.next = behind;
        store.note_backfill(&id, behind, offset).await?;
        stop.run_until_cancelled(tokio::time::sleep(began.elapsed())).await;
    }
    if writer.next >= until {
        info!(sink, log, until, "brought a backfill to its topic");
    }
    Ok(())
}

fn follows(entry: &LogEntry, next: &LogEntry) -> bool {
    entry.index + 1 == next.index
}
