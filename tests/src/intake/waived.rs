//! A waiver from its request to its end, as the decision about a plan sees it: by tokens of two people.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    decisions::{BLOCK, decided, plan},
    door::{Answer, Door},
    four_eyes::Issuer,
};
use crate::support::site::Site;

/// The waiver's life, in seconds: long enough for a busy machine to see it.
const LIFE: i64 = 45;

/// Asks until the decision is another one.
async fn changed_from(door: &Door, decision: &str) -> Value {
    for _ in 0..600 {
        let told = decided(door, BLOCK, plan(false)).await;
        if told["decision"] != decision {
            return told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("the decision stays {decision}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiver_lets_a_plan_pass_until_it_ends() {
    let (site, issuer, stop) = (Site::new().await, Issuer::new(), CancellationToken::new());
    let (waivers, _) = topology::runtime::waivers::follow(&site.endpoints.database_url, stop.clone());
    let door = Door::open_with(&site, |config| {
        config.identities = issuer.identities();
        config.waivers = waivers;
    })
    .await;
    let stage = site.run_stages(&["compliance"], 1);
    let denied = decided(&door, BLOCK, plan(false)).await;
    assert_eq!(denied["decision"], "deny", "{denied}");
    let denying = denied["reasons"].as_array().into_iter().flatten().filter(|one| one["verdict"] == "deny");
    let policies: Vec<&Value> = denying.map(|one| &one["policy_id"]).collect();
    assert_eq!(decided(&door, BLOCK, plan(false)).await["cached"], true);

    let person = async |who: &str, what: &str, body: Value| {
        let path = format!("/api/v1/compliance/waivers/w-1/{what}");
        Answer::to(door.post_as(&issuer.token(who), &path, body.to_string())).await
    };
    let terms = json!({
        "owner": "olga", "policies": policies, "resources": ["terraform/aws_kms_key.a"],
        "reason": "rotated by hand this month", "expires_at": Utc::now() + TimeDelta::seconds(LIFE),
    });
    person("ada", "requests", terms).await.taken();
    let grant = |by: &str| json!({"decision": "approved", "requested_by": by, "reason": "agreed"});
    assert_eq!(person("ada", "decisions", grant("ada")).await.status, 422, "nobody grants their own request");
    assert_eq!(decided(&door, BLOCK, plan(false)).await["decision"], "deny", "it is asked for only");
    person("bob", "decisions", grant("ada")).await.taken();

    let passed = changed_from(&door, "deny").await;
    let waived: Vec<&Value> =
        passed["reasons"].as_array().into_iter().flatten().filter(|one| one["verdict"] == "waived").collect();
    assert_eq!(waived.len(), policies.len(), "{passed}");
    assert!(waived.iter().all(|one| one["waiver"] == "w-1" && one["waived_until"].is_string()), "{passed}");
    assert_eq!(passed["counts"]["deny"], 0);

    let now = passed["decision"].as_str().expect("a decision");
    let open = changed_from(&door, now).await;
    assert_eq!(
        (&open["decision"], &open["counts"]["waived"]),
        (&json!("deny"), &json!(0)),
        "it ended by itself"
    );
    stage.stop().await;
    stop.cancel();
    door.stop.cancel();
}
