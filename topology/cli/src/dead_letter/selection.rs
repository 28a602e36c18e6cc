//! Selection of the parked records that a command applies to.

use anyhow::bail;
use clap::Args;
use schemas::{ParkReason, Timestamp, Topic};
use sinks::parking::Selection;

use crate::{lag::duration, stage::topic};

/// Selection options of every command but `show`.
#[derive(Debug, Args)]
pub(super) struct SelectionArgs {
    /// Only those of this stage.
    #[arg(long)]
    stage: Option<String>,
    /// Only those of this topic, for example weir.activity.v1.
    #[arg(long, value_parser = topic)]
    topic: Option<Topic>,
    /// Only those of this partition.
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
    /// Only the one at this offset.
    #[arg(long, requires = "partition")]
    offset: Option<i64>,
    /// Only those of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only those parked since then: an RFC 3339 time, or how long ago (90s, 5m, 2h).
    #[arg(long, value_parser = instant)]
    since: Option<Timestamp>,
}

impl SelectionArgs {
    /// The selection, with the reason that another flag names.
    pub(super) fn with(&self, reason: Option<ParkReason>) -> Selection {
        Selection {
            stage: self.stage.clone(),
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            reason,
            tenant: self.tenant.clone(),
            since: self.since,
        }
    }
}

/// Refuses to mean everything by saying nothing.
pub(super) fn demand_one(selection: &Selection, all: bool) -> anyhow::Result<()> {
    if !all && *selection == Selection::default() {
        bail!("say which records: by --stage, --topic, --reason, --tenant, --since and so on, or --all");
    }
    Ok(())
}

/// Advice about a selection without a record; `replayed`: the records of it that an earlier command replayed.
pub(super) fn nothing_selected(replayed: u64) -> String {
    let list = "nothing was selected; `weir dead-letter list` shows the records with reason and status";
    match replayed {
        0 => list.to_owned(),
        1 => format!("{list}. 1 record was replayed before: --again replays it once more"),
        many => format!("{list}. {many} records were replayed before: --again replays them once more"),
    }
}

/// The reason of that name.
pub(super) fn park_reason(name: &str) -> Result<ParkReason, String> {
    let names = || ParkReason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(", ");
    ParkReason::from_name(name).ok_or_else(|| format!("no such reason; there are {}", names()))
}

fn instant(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let ago =
        duration(text).map_err(|_| format!("{text:?} is neither an RFC 3339 time nor 90s, 5m or 2h"))?;
    let ago = chrono::Duration::from_std(ago).map_err(|error| error.to_string())?;
    let now = Timestamp::from(std::time::SystemTime::now());
    now.checked_sub_signed(ago).ok_or_else(|| format!("{text:?} is too long ago"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_instant_or_how_long_ago() {
        let now = Timestamp::from(std::time::SystemTime::now());
        let hours = instant("2h").expect("a duration");
        assert!((now - hours - chrono::Duration::hours(2)).num_minutes().abs() <= 1, "{hours}");
        assert_eq!(instant("2026-01-05T08:00:00Z").expect("a time").timestamp(), 1_767_600_000);
        for bad in ["", "yesterday", "-1h", "9999999999999999999h", "99999999999999h"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_reason_is_refused_with_those_that_there_are() {
        assert_eq!(park_reason("duplicate_id_conflict"), Ok(ParkReason::DuplicateIdConflict));
        for bad in ["duplicate_id_conflct", "", "Undecodable"] {
            let why = park_reason(bad).expect_err(bad);
            assert!(why.contains("undecodable") && why.contains("siem_too_large"), "{why}");
        }
    }

    #[test]
    fn a_selection_without_a_record_names_what_to_do() {
        assert!(!nothing_selected(0).contains("--again"));
        for replayed in [1, 7] {
            let said = nothing_selected(replayed);
            assert!(said.contains("weir dead-letter list") && said.contains("--again"), "{said}");
            assert!(said.contains(&replayed.to_string()), "{said}");
        }
    }

    #[test]
    fn nothing_said_is_not_everything() {
        let one = Selection { tenant: Some("acme".into()), ..Selection::default() };
        assert!(demand_one(&Selection::default(), false).is_err());
        assert!(demand_one(&Selection::default(), true).is_ok() && demand_one(&one, false).is_ok());
    }
}
