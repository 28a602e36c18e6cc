//! Forwards records of other stages to a sink: all, or those of some tenants, classes and severities, and none that are for another.

use schemas::OcsfEvent;

use crate::Processor;

/// Forwards records unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forward {
    /// The sink's name.
    pub sink: String,
    /// Only records of these tenants; empty for all.
    pub tenants: Vec<String>,
    /// Only records of these OCSF classes; empty for all.
    pub classes: Vec<i64>,
    /// Only records of this OCSF severity or above. 99 (other) is above all.
    pub min_severity: i64,
}

impl Processor for Forward {
    type Input = OcsfEvent;
    type Change = OcsfEvent;

    const NAME: &'static str = "forward";

    fn process(&self, event: &OcsfEvent) -> Vec<OcsfEvent> {
        let of_tenant =
            self.tenants.is_empty() || self.tenants.iter().any(|one| one == event.tenant.as_str());
        let of_class = self.classes.is_empty() || self.classes.contains(&event.class_uid);
        let of_sink = event.only_for.as_deref().is_none_or(|sink| sink == self.sink);
        let passes = of_sink && of_tenant && of_class && event.severity_id >= self.min_severity;
        if passes { vec![event.clone()] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{EventId, TenantId, Timestamp};

    use super::*;

    fn event(class_uid: i64, severity_id: i64) -> OcsfEvent {
        let tenant = TenantId::new("acme").expect("valid");
        OcsfEvent {
            id: EventId::derived(&tenant, "test", b"1"),
            tenant,
            time: Timestamp::UNIX_EPOCH,
            class_uid,
            severity_id,
            place: None,
            only_for: None,
            json: b"{}".to_vec().into(),
        }
    }

    #[test]
    fn a_record_passes_if_its_tenant_class_and_severity_do() {
        let all = Forward::default();
        assert_eq!(all.process(&event(6003, 0)), [event(6003, 0)]);
        let some =
            Forward { tenants: vec!["acme".into()], classes: vec![2004], min_severity: 4, ..all.clone() };
        let passes = |filter: &Forward, class, severity| !filter.process(&event(class, severity)).is_empty();
        assert!(passes(&some, 2004, 4) && passes(&some, 2004, 99));
        assert!(!passes(&some, 6003, 4) && !passes(&some, 2004, 3));
        assert!(!passes(&Forward { tenants: vec!["other".into()], ..all }, 6003, 1));
    }

    #[test]
    fn a_record_for_one_sink_passes_to_no_other() {
        let of = |sink: &str| Forward { sink: sink.into(), ..Forward::default() };
        let record = OcsfEvent { only_for: Some("late".into()), ..event(6003, 1) };
        assert_eq!(of("late").process(&record), std::slice::from_ref(&record));
        assert_eq!(of("early").process(&record), []);
        let strict = Forward { min_severity: 4, ..of("late") };
        assert_eq!(strict.process(&record), [], "its filter holds all the same");
    }
}
