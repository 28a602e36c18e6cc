//! What `weir doctor` finds.

use serde_json::Value;
use sqlx::Connection as _;

use super::Weir;

pub(super) async fn the_doctor_finds_a_halted_stage(weir: &Weir) {
    let findings = |output: &std::process::Output| -> Vec<Value> {
        serde_json::from_slice(&output.stdout).expect("findings in JSON")
    };
    let healthy = weir.run(&["doctor", "--output", "json"]);
    let found = findings(&healthy);
    let checks: Vec<&str> = found.iter().filter_map(|finding| finding["check"].as_str()).collect();
    for check in [
        "kafka",
        "topics",
        "database",
        "connections",
        "migrations",
        "clock",
        "outbox",
        "checkpoints",
        "stages",
        "keys",
        "witness",
        "gateway",
        "query API",
    ] {
        assert!(checks.contains(&check), "{check} in {checks:?}");
    }
    // The machine's disk is not the test's.
    let problems: Vec<_> =
        found.iter().filter(|it| it["verdict"] == "problem" && it["check"] != "disk").collect();
    assert!(problems.is_empty(), "{problems:?}");
    let status = weir.json(&["status", "--output", "json", "--show-secrets"]);
    let url = status["admin_database_url"].as_str().expect("a URL");
    let mut connection = sqlx::PgConnection::connect(url).await.expect("the database takes connections");
    sqlx::query("UPDATE stage_position SET halted = 'retention_gap: 5 records' WHERE stage = 'audit'")
        .execute(&mut connection)
        .await
        .expect("halted");
    let ill = weir.run(&["doctor", "--output", "json"]);
    assert_eq!(ill.status.code(), Some(1), "{}", String::from_utf8_lossy(&ill.stdout));
    let found = findings(&ill);
    let halted = found.iter().find(|it| it["verdict"] == "problem" && it["check"] == "stages");
    let halted = halted.unwrap_or_else(|| panic!("the stage is halted: {found:#?}"));
    assert!(halted["cure"].as_str().expect("a cure").contains("accept-gap audit"), "{halted}");
}
