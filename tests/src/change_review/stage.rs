//! From a plan and what people say about it on the topics to its review.

use std::sync::Arc;

use producers::{kafka::Tally, sources::SourceFormat};
use schemas::{Envelope, Native, TenantId, envelope::native_format, events::InfrastructureKind};
use sqlx::{Connection, PgConnection};

use super::fixture::{asked, decided, infrastructure, plan_of, proposed};
use crate::support::site::Site;

const SETTLED: &str = "SELECT coalesce(sum(applied + duplicate), 0)::bigint FROM stage_position";

impl Site {
    async fn publish_all(&self, envelopes: &[Envelope]) {
        let tally = Arc::new(Tally::default());
        for envelope in envelopes {
            self.producer.send_tallied(envelope, &tally).await.expect("room in the queue");
        }
        tally.settled().await;
        assert_eq!((tally.acknowledged(), tally.failed()), (envelopes.len() as u64, 0));
    }

    /// Every review without its times, in order.
    async fn reviews(&self) -> Vec<String> {
        let mut connection =
            PgConnection::connect(&self.endpoints.database_url).await.expect("Postgres answers");
        sqlx::query_scalar(
            "SELECT concat_ws(' ', change_id, approval, decision, provisioning, route, score, reading, requested_by,
                    approvals, approvals_needed, impossible_total, facts)
               FROM change_review ORDER BY change_id COLLATE \"C\"",
        )
        .fetch_all(&mut connection)
        .await
        .expect("rows")
    }
}

/// An imported plan; its change is the plan itself.
fn imported(plan: &str) -> (Envelope, String) {
    let tenant = TenantId::new("acme").expect("valid");
    let envelope = SourceFormat::TerraformPlan.map(&tenant, plan).expect("a plan").envelope;
    let id = envelope.id.to_string();
    (envelope, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_reviewed_by_people_and_applied() {
    let site = Site::new().await;
    let (plan, id) = imported(&plan_of("delete", "aws_ebs_volume.prod").to_string());
    let mut cut = proposed(90, "CR-cut", "aws_db_instance.a", 1);
    cut.native =
        Some(Native { format: native_format::TERRAFORM_PLAN.into(), record: r#"{"format_ver"#.into() });
    let events = [
        plan,
        asked(1, &id, "ada", 10),
        decided(2, &id, ("ada", "approved"), 20),
        decided(3, &id, ("bob", "approved"), 30),
        infrastructure(4, &id, InfrastructureKind::Provisioned, 35),
        decided(5, &id, ("eve", "approved"), 40),
        infrastructure(6, &id, InfrastructureKind::Deleted, 50),
        infrastructure(7, &id, InfrastructureKind::Completed, 60),
        cut,
        proposed(91, "CR-prod", "aws_db_instance.prod", 2),
        decided(92, "CR-prod", ("eve", "approved"), 3),
    ];
    site.publish_all(&events).await;

    // Two members share the partitions of both topics: what follows must not depend on who is quicker.
    let stage = site.run_stages(&["change_review"], 2);
    site.await_count(SETTLED, 11).await;
    let mut expected = vec![
        "CR-cut risk_assessed requested review 20 unreadable 0 1 0 1".to_owned(),
        "CR-prod decided blocked planned block 95 read 0 0 1 2".to_owned(),
        format!("{id} decided approved completed two_person 73 read ada 2 2 2 8"),
    ];
    expected.sort();
    assert_eq!(site.reviews().await, expected);

    // The same events again change nothing, nor does a rebuild from the beginning of the topics.
    site.publish_all(&events).await;
    site.await_count(SETTLED, 22).await;
    stage.stop().await;
    assert_eq!(site.reviews().await, expected);
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 0);
    let mut owner = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    sqlx::raw_sql("TRUNCATE change_fact, change_review, stage_position")
        .execute(&mut owner)
        .await
        .expect("emptied");
    let stage = site.run_stages(&["change_review"], 1);
    site.await_count(SETTLED, 22).await;
    stage.stop().await;
    assert_eq!(site.reviews().await, expected);
}
