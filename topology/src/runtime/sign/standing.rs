//! How the logs stand: which are not signed and why, and which wait for cosignatures.

use std::collections::{HashMap, HashSet};

use schemas::Timestamp;
use tracing::{error, info};

use super::{Refusal, witnesses::Cosigned};

/// Logs that are refused, and logs that lack cosignatures.
#[derive(Debug, Default)]
pub(super) struct Standing {
    refused: HashMap<String, Refusal>,
    /// Logs whose checkpoints lack cosignatures, and since when.
    uncosigned: HashMap<String, Timestamp>,
}

impl Standing {
    /// Keeps what came of a log's checkpoint, which was signed at that time.
    pub(super) fn settle(&mut self, log: &str, outcome: Result<Cosigned, Refusal>, signed_at: Timestamp) {
        let refusal = match outcome {
            Ok(Cosigned::ByAll) => {
                self.uncosigned.remove(log);
                None
            }
            Ok(Cosigned::ByFewer) => {
                self.note_uncosigned(log, signed_at);
                // A witness that disagreed and does not answer now disagrees still.
                self.refused.get(log).copied().filter(|before| *before == Refusal::WitnessDisagrees)
            }
            Err(refusal) => {
                if refusal == Refusal::WitnessDisagrees {
                    self.note_uncosigned(log, signed_at);
                }
                Some(refusal)
            }
        };
        self.note(log, refusal);
    }

    /// Keeps since when a log's checkpoints have lacked cosignatures.
    pub(super) fn note_uncosigned(&mut self, log: &str, signed_at: Timestamp) {
        self.uncosigned.entry(log.to_owned()).or_insert(signed_at);
    }

    /// Keeps why a log is not signed, and says so once.
    pub(super) fn note(&mut self, log: &str, refusal: Option<Refusal>) {
        let before = self.refused.remove(log);
        if let Some(refusal) = refusal {
            self.refused.insert(log.to_owned(), refusal);
            // That there is no key is true of every log: it was said at the start.
            if before != Some(refusal) && refusal != Refusal::NoKey {
                error!(log, reason = refusal.name(), "the audit log is not signed: {}", refusal.advice());
            }
        } else if before.is_some() {
            info!(log, "the audit log is signed again");
        }
    }

    /// Whether witnesses may be asked for a log's newest checkpoint: one that is refused for another reason than a witness is to
    /// be signed first.
    pub(super) fn may_be_cosigned(&self, log: &str) -> bool {
        self.refused.get(log).is_none_or(|refusal| *refusal == Refusal::WitnessDisagrees)
    }

    /// Forgets the waiting of logs that are not among these.
    pub(super) fn forget_others(&mut self, logs: &HashSet<&str>) {
        self.uncosigned.retain(|log, _| logs.contains(log.as_str()));
    }

    /// Sets the gauges.
    pub(super) fn tell(&self, now: Timestamp) {
        for refusal in Refusal::ALL {
            let count = self.refused.values().filter(|own| **own == refusal).count();
            let gauge = metrics::gauge!("weir_audit_log_refused", "reason" => refusal.name());
            gauge.set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        metrics::gauge!("weir_audit_uncosigned_age_seconds").set(self.uncosigned_age_s(now));
    }

    /// Seconds for which the checkpoints of the log that has waited longest have lacked cosignatures.
    fn uncosigned_age_s(&self, now: Timestamp) -> u32 {
        let oldest = self.uncosigned.values().min();
        let seconds = oldest.map_or(0, |since| (now - *since).num_seconds().max(0));
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "weir.activity.v1/0";
    const OTHER: &str = "weir.activity.v1/1";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).expect("an instant")
    }

    #[test]
    fn a_witness_that_disagrees_and_then_is_silent_disagrees_still() {
        let mut standing = Standing::default();
        let disagrees = Some(&Refusal::WitnessDisagrees);
        standing.settle(LOG, Err(Refusal::WitnessDisagrees), at(10));
        assert_eq!((standing.refused.get(LOG), standing.may_be_cosigned(LOG)), (disagrees, true));
        standing.settle(LOG, Ok(Cosigned::ByFewer), at(11));
        assert_eq!(standing.refused.get(LOG), disagrees);
        standing.settle(LOG, Ok(Cosigned::ByAll), at(12));
        assert_eq!(standing.refused.get(LOG), None);
        // Any other refusal ends with the next checkpoint, cosigned or not.
        standing.settle(LOG, Err(Refusal::RootsDiffer), at(13));
        assert!(!standing.may_be_cosigned(LOG));
        standing.settle(LOG, Ok(Cosigned::ByFewer), at(14));
        assert_eq!(standing.refused.get(LOG), None);
    }

    #[test]
    fn a_log_waits_for_cosignatures_since_the_first_checkpoint_that_lacks_one() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _installed = metrics::set_default_local_recorder(&recorder);
        let mut standing = Standing::default();
        let check = |standing: &Standing, now, expected: u32| {
            standing.tell(at(now));
            let line = format!("weir_audit_uncosigned_age_seconds {expected}");
            let text = recorder.handle().render();
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        };
        check(&standing, 100, 0);
        standing.settle(LOG, Ok(Cosigned::ByFewer), at(10));
        standing.settle(LOG, Ok(Cosigned::ByFewer), at(60));
        standing.settle(OTHER, Err(Refusal::WitnessDisagrees), at(50));
        check(&standing, 100, 90);
        standing.settle(LOG, Ok(Cosigned::ByAll), at(101));
        check(&standing, 101, 51);
        check(&standing, 1, 0);
        standing.forget_others(&HashSet::from([LOG]));
        check(&standing, 101, 0);
    }
}
