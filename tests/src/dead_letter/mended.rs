//! Replays after a fix: a record that was parked and replayed leaves the rows that it would have left
//! unparked.

use sinks::{
    parking::{Selection, Settling, Status},
    postgres::operator_pool,
};
use sqlx::{Connection, PgConnection};
use topology::{
    pipeline,
    runtime::{RunConfig, offline::replay::Replayer},
};

use super::fixture::{STANDS_PARKED, WAITING, execute, read_models};
use crate::{
    stage::Running,
    support::{
        CAUGHT_UP,
        site::{Site, ended},
    },
};

const SETTLED: &str =
    "SELECT coalesce(sum(applied + duplicate + ignored + parked), 0)::bigint FROM stage_position";
const AUDIT_DUPLICATES: &str =
    "SELECT coalesce(sum(duplicate), 0)::bigint FROM stage_position WHERE stage = 'audit'";
const ROWS: &str = "SELECT count(*) FROM audit_entry WHERE source <> '/weir/stage'";
const REPLAYS_TOLD: &str = "SELECT count(*) FROM audit_entry WHERE action = 'ReplayParkedRecords' AND actor <> 'ada' AND tenant_id = 'ops'";

/// Two databases over the same topics: in one of them a constraint refuses what one actor did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_then_replayed_is_never_parked() {
    let site = Site::new().await;
    let stages = pipeline::declaration().stage_names();
    site.publish(1, "acme", 1_000).await;
    let never = sinks::postgres::create_database(&site.endpoints.maintenance_url, "never").await;
    let never = never.expect("a database");
    sinks::postgres::migrate(&never).await.expect("migrations");
    let stage = Running::start(&stages, RunConfig { database_url: never.clone(), ..site.run_config() });
    caught_up(&site, &never).await;
    stage.stop().await;
    let expected = read_models(&never).await;
    let (actor, rows) = busy_but_rare(&never).await;

    let url = &site.endpoints.database_url;
    execute(url, format!("ALTER TABLE audit_entry ADD CONSTRAINT not_them CHECK (actor <> '{actor}')")).await;
    let stage = site.run_stages(&stages, 1);
    site.await_count(STANDS_PARKED, rows).await;
    caught_up(&site, url).await;
    assert_eq!((site.count(WAITING).await, site.count(ROWS).await), (rows, 1_000 - rows));
    execute(url, "ALTER TABLE audit_entry DROP CONSTRAINT not_them".into()).await;

    let _gateway = site.gateway();
    let (dry, ended_well) = site.decide(&["replay", "--stage", "audit", "--dry-run"]).await;
    assert_eq!((&dry["replayed"], ended_well), (&rows.into(), true), "{dry}");
    assert_eq!(site.count(WAITING).await, rows, "a dry run changes nothing");
    killed_in_between(&site).await;
    published_and_not_marked(&site).await;
    let left = site.count(WAITING).await;
    let (done, ended_well) =
        site.decide(&["replay", "--reason", "constraint_violated", "--rate", "1000"]).await;
    assert_eq!((&done["replayed"], &done["refusals"], ended_well), (&left.into(), &0.into(), true), "{done}");
    site.await_count(ROWS, 1_000).await;
    assert_eq!((site.count(WAITING).await, site.count(STANDS_PARKED).await), (0, 0));

    site.await_that(REPLAYS_TOLD, "the killed command left no event", |told| told > 0).await;
    once_more_does_no_harm(&site, rows).await;
    stage.stop().await;
    for ((table, found), (_, wanted)) in read_models(url).await.iter().zip(&expected) {
        let differing: Vec<_> = found.iter().zip(wanted).filter(|(found, wanted)| found != wanted).collect();
        assert_eq!((found.len(), &differing[..]), (wanted.len(), &[][..]), "{table}");
    }
    let filled = expected.iter().filter(|(_, rows)| !rows.is_empty()).count();
    assert!(filled > 3, "there is something to compare: {filled} tables");
}

/// The command is killed while it publishes: what it marked stays marked, the rest waits.
async fn killed_in_between(site: &Site) {
    let waiting = site.count(WAITING).await;
    let mut child = site
        .dead_letter(&["replay", "--all", "--rate", "20", "--audit-tenant", "ops"])
        .spawn()
        .expect("started");
    site.await_that(WAITING, "nothing is published", |left| left <= waiting - 2).await;
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let left = site.count(WAITING).await;
    assert!(left < waiting && left > 0, "{left} of {waiting} left");
}

/// The crash that no timing finds: acknowledged by the broker, and not marked.
async fn published_and_not_marked(site: &Site) {
    let pool = operator_pool(&site.endpoints.database_url, 1).expect("an address");
    let replayer = Replayer::new(&site.endpoints.kafka, &[].into()).expect("a client");
    let mut settling = loop {
        // The killed command's connection may not be gone yet: the next call waits for it.
        if let Some(settling) = Settling::begin(&pool).await.expect("asked") {
            break settling;
        }
    };
    let places = settling.places(&Selection::default(), &[Status::Parked], (None, 1)).await.expect("read");
    let mut record = settling.record(&places[0]).await.expect("read").expect("there");
    replayer.prepare(&places[0], &mut record).await.expect("it may be published");
    replayer.publish(&places[0], &record).await.expect("acknowledged");
}

/// Whoever has applied a record that comes again counts a duplicate.
async fn once_more_does_no_harm(site: &Site, rows: i64) {
    caught_up(site, &site.endpoints.database_url).await;
    let (settled, duplicates) = (site.count(SETTLED).await, site.count(AUDIT_DUPLICATES).await);
    let (nothing, ended_well) = site.decide(&["replay", "--all"]).await;
    assert!(nothing["selected"] == 0 && !ended_well, "nothing waits: {nothing}");
    let args = ["replay", "--again", "--tenant", "acme", "--since", "1h", "--rate", "1000"];
    let (again, ended_well) = site.decide(&args).await;
    assert_eq!((&again["replayed"], ended_well), (&rows.into(), true), "{again}");
    site.await_count(AUDIT_DUPLICATES, duplicates + rows).await;
    caught_up(site, &site.endpoints.database_url).await;
    assert!(site.count(SETTLED).await >= settled + 2 * rows, "every stage of the topic met them");
    assert_eq!(site.count(WAITING).await, 0);
}

/// An actor of some rows, yet few enough to stay below every limit of parking.
async fn busy_but_rare(url: &str) -> (String, i64) {
    let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
    sqlx::query_as(
        "SELECT actor, count(*) FROM audit_entry
          WHERE topic = 'weir.activity.v1' AND actor <> '' AND strpos(actor, chr(39)) = 0
          GROUP BY 1 HAVING count(*) BETWEEN 8 AND 40 ORDER BY 2 DESC, 1 LIMIT 1",
    )
    .fetch_one(&mut connection)
    .await
    .expect("somebody")
}

/// Waits until every stage has applied what the topics hold now, to the database of that URL.
async fn caught_up(site: &Site, url: &str) {
    let mut command = site.command(&CAUGHT_UP);
    command.env("DATABASE_URL", url);
    let output = ended(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A schema that no registry told of; then one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_an_unknown_schema_are_applied_once_it_is_known() {
    let site = Site::with_registry().await;
    site.publish(1, "acme", 30).await;
    let stage = Running::start(&["audit"], RunConfig { registry: None, ..site.run_config() });
    site.await_count("SELECT count(*) FROM parked_record WHERE reason = 'schema_unknown'", 30).await;
    stage.stop().await;
    let stage = site.run(1);
    let (done, ended_well) = site.decide(&["replay", "--reason", "schema_unknown", "--rate", "1000"]).await;
    assert_eq!((&done["replayed"], ended_well), (&30.into(), true), "{done}");
    site.await_count(ROWS, 30).await;
    assert_eq!(site.count(WAITING).await, 0);
    stage.stop().await;
}
