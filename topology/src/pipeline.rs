//! ★ The whole pipeline, one sentence per stage. Start reading here.

use std::error::Error;

use processors::{
    audit::Audit,
    change_review::ChangeReview,
    compliance::Compliance,
    cost::Cost,
    retention::Retention,
    risk::{Risk, RuleSet},
};
use sinks::{
    postgres::{PostgresSink, SinkConfig},
    read_models::{
        ReadModel,
        audit_entry::{AuditEntries, UnloggedEntries},
        change_review::ChangeReviews,
        compliance::Observations,
        cost::Charges,
        retention::RetentionDecisions,
        risk::RiskSignals,
    },
};

use crate::{
    runtime::StageContext,
    topology::{
        Destination, Topology, from,
        holding::{ACTIVITY, DELIVERY, FAMILIES, GOVERNANCE, INFRASTRUCTURE, MONITORING, USAGE},
    },
};

/// The pipeline with Weir's own rules.
pub fn declaration() -> Topology {
    with_rules(RuleSet::own(), ChangeReview::default(), Cost::default(), Compliance::default())
}

/// The pipeline with these rules, this review, these prices and these policies. The holder of the rules or
/// policies may replace them while stages run.
pub fn with_rules(rules: RuleSet, review: ChangeReview, cost: Cost, compliance: Compliance) -> Topology {
    Topology::new([
        // Every event of every family becomes a row of the audit log.
        from(FAMILIES).through(Audit).to(audit_log()),
        // Rules find signals in what was done; signals and decisions make up who is at risk.
        from([ACTIVITY, DELIVERY, GOVERNANCE]).through(Risk::new(rules)).to(risk_log()),
        // Proposed changes are scored and routed; requests, decisions and progress make up where each of them stands.
        from([INFRASTRUCTURE, GOVERNANCE]).through(review).to(change_log()),
        // Charges and their corrections make up what each day cost, as believed at any instant; resources that were made,
        // changed or deleted what accrues until they come; and both what is left of budgets. What was measured of
        // resources says which of them cost more than they need.
        from([USAGE, INFRASTRUCTURE, ACTIVITY, MONITORING, GOVERNANCE]).through(cost).to(cost_ledger()),
        // Legal holds and requests for erasure say what must be kept and what must go.
        from([GOVERNANCE]).through(Retention).to(retention_log()),
        // Resources that events show are judged by policies; verdicts, deletions and waivers make up the posture at any instant.
        from([ACTIVITY, INFRASTRUCTURE, GOVERNANCE]).through(compliance).to(compliance_log()),
    ])
}

/// The audit stage without its log, to measure the log by. For benchmarks.
pub fn audit_without_log() -> Topology {
    let model = |_: &StageContext| Ok(UnloggedEntries::new()?);
    Topology::new([from(FAMILIES).through(Audit).to(Table { name: "audit_entry", model })])
}

/// A read model in Postgres, and what makes it.
struct Table<M> {
    name: &'static str,
    model: fn(&StageContext) -> Result<M, Box<dyn Error + Send + Sync>>,
}

impl<M: ReadModel> Destination for Table<M> {
    type Sink = PostgresSink<M>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, context: &StageContext) -> Result<Self::Sink, Box<dyn Error + Send + Sync>> {
        Ok(PostgresSink::new(context.sink_config(), (self.model)(context)?))
    }

    fn outbox(&self, context: &StageContext) -> Option<SinkConfig> {
        Some(context.sink_config())
    }
}

/// The month-partitioned table `audit_entry`.
fn audit_log() -> Table<AuditEntries> {
    let model = |context: &StageContext| {
        let secret = context.subject_secret.clone().ok_or(
            "the stage audit needs the secret of its subjects' keys: set WEIR_AUDIT__SUBJECT_SECRET_FILE to a file of \
             32 random bytes or more, the same for all stages and rebuilds (`weir up` makes one)",
        )?;
        Ok(AuditEntries::new(secret)?.handing_over(context.appended.clone()))
    };
    Table { name: "audit_entry", model }
}

/// The table `risk_signal`, and what follows from it.
fn risk_log() -> Table<RiskSignals> {
    Table { name: "risk_signal", model: |_| Ok(RiskSignals::new()) }
}

/// The table `change_fact`, and `change_review`, which follows from it.
fn change_log() -> Table<ChangeReviews> {
    Table { name: "change_review", model: |_| Ok(ChangeReviews) }
}

/// The table `compliance_observation`, and what follows from it.
fn compliance_log() -> Table<Observations> {
    Table { name: "compliance_observation", model: |_| Ok(Observations::default()) }
}

/// The table `cost_charge`, and `cost_daily`, which follows from it.
fn cost_ledger() -> Table<Charges> {
    Table { name: "cost_charge", model: |_| Ok(Charges::default()) }
}

/// The table `retention_decision`, and the holds and erasures that follow from it.
fn retention_log() -> Table<RetentionDecisions> {
    Table { name: "retention_decision", model: |_| Ok(RetentionDecisions) }
}
