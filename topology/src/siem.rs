//! Sinks as stages: each with a name, a consumer group, positions and a pace of its own, so that one that is away holds up none.

use std::{error::Error, time::Duration};

use ::siem::{
    Destination as Receiver,
    settings::{Records, Sink},
    splunk_hec::Acknowledgement,
};
use processors::forward::Forward;
use sinks::{postgres::SinkConfig, siem::SiemSink};

use crate::{
    runtime::{BatchLimits, StageContext},
    topology::{
        Destination, Stage, from,
        holding::{AUDIT, AUDIT_BACKFILL, FINDINGS},
    },
};

/// Prefix of the name of a sink's stage; the sink's name follows.
pub const STAGE_PREFIX: &str = "sink.";
/// Most requests whose acknowledgement is awaited together, with one query for all of them.
const ACKNOWLEDGED_TOGETHER: usize = 10;
/// Records that are settled together where each is a request of its own.
const SINGLES_TOGETHER: usize = 100;
/// Most requests that are settled together while more records wait: each settlement is a transaction, which costs about a fifth
/// of what the delivery of 100 records does. A sink that is killed sends as many again.
const REQUESTS_TOGETHER: usize = 4;

/// The stage of each sink. A sink's name is kept in memory for as long as the process runs.
pub fn stages(sinks: Vec<Sink>) -> Vec<Stage> {
    sinks.into_iter().map(stage).collect()
}

fn stage(setup: Sink) -> Stage {
    let stage: &'static str = Box::leak(format!("{STAGE_PREFIX}{}", setup.name).into_boxed_str());
    let topics = match setup.records {
        Records::Audit => vec![AUDIT, AUDIT_BACKFILL],
        Records::Findings => vec![FINDINGS],
    };
    let ::siem::settings::Filter { tenants, classes, min_severity } = setup.filter.clone();
    let forward = Forward { sink: setup.name.clone(), tenants, classes, min_severity };
    from(topics).through(forward).named(stage).to(Siem { setup, name: &stage[STAGE_PREFIX.len()..] })
}

/// A receiver of records.
struct Siem {
    setup: Sink,
    name: &'static str,
}

impl Destination for Siem {
    type Sink = SiemSink;

    fn name(&self) -> &'static str {
        self.setup.destination.kind()
    }

    fn open(&self, context: &StageContext) -> Result<SiemSink, Box<dyn Error + Send + Sync>> {
        Ok(SiemSink::new(self.setup.clone(), self.name, context.sink_config())?)
    }

    fn limits(&self, allowed: BatchLimits) -> BatchLimits {
        let request = self.setup.limits;
        let records = match &self.setup.destination {
            Receiver::SplunkHec(hec) if hec.acknowledgement == Acknowledgement::On => {
                request.messages * ACKNOWLEDGED_TOGETHER
            }
            _ if request.messages == 1 => SINGLES_TOGETHER,
            _ => request.messages * REQUESTS_TOGETHER,
        };
        let records = records.min(allowed.records);
        let linger = if request.messages == 1 { Duration::ZERO } else { self.setup.linger };
        BatchLimits { records, linger, worthwhile: request.messages.min(records), ..allowed }
    }

    fn outbox(&self, context: &StageContext) -> Option<SinkConfig> {
        Some(context.sink_config())
    }
}

#[cfg(test)]
mod tests {
    use ::siem::settings::{SinkSettings, checked};

    use super::*;

    #[test]
    fn each_sink_is_a_stage_of_its_own_over_its_topic() {
        let file = |name: &str, records: &str| SinkSettings {
            name: name.into(),
            kind: "file".into(),
            endpoint: Some("/tmp/x".into()),
            records: Some(records.into()),
            ..SinkSettings::default()
        };
        let sinks = checked(&[file("a", "audit"), file("b", "findings")], "guid", "host").expect("sinks");
        let stages = stages(sinks);
        let shown: Vec<_> =
            stages.iter().map(|stage| (stage.name(), stage.group(), stage.topics()[0].name())).collect();
        assert_eq!(shown[0], ("sink.a", "weir-sink.a".to_owned(), "weir.audit.v1"));
        assert_eq!(shown[1], ("sink.b", "weir-sink.b".to_owned(), "weir.findings.v1"));
    }
}
