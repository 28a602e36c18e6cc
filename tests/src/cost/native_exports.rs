//! Recommendations from the clouds' own exports, which name no category of a service.

use producers::sources::focus::{Charges, Delivery};
use schemas::{
    Envelope, Event,
    changes::cost::RecommendationKind,
    events::{Monitoring, MonitoringKind, Resource},
};
use serde_json::{Value, json};
use sinks::query_api::CostRecommendations;

use super::fixture::{Place, at, charge, tenant};
use crate::query_api::fixture::Api;

/// Days of bills, from the first of May 2025.
const DAYS: i64 = 45;

/// A row of AWS' Cost and Usage Report 2.0.
fn of_aws(code: &str, family: &str, resource: &str, start: &str, end: &str) -> Value {
    json!({
        "bill_payer_account_id": "111", "line_item_usage_account_id": "222",
        "line_item_product_code": code, "product_product_family": family, "line_item_resource_id": resource,
        "line_item_usage_start_date": start, "line_item_usage_end_date": end, "product_region_code": "us-east-1",
        "line_item_unblended_cost": "10", "line_item_currency_code": "USD", "line_item_line_item_type": "Usage",
    })
}

/// A row of Google Cloud's export.
fn of_google(resource: &str, start: &str, end: &str) -> Value {
    json!({
        "billing_account_id": "01-AB", "service": {"description": "Cloud Storage"}, "project": {"id": "shop"},
        "sku": {"id": "1", "description": "Standard Storage Belgium"}, "resource": {"name": resource},
        "location": {"region": "europe-west1"}, "usage_start_time": start, "usage_end_time": end,
        "cost": 10, "currency": "USD", "cost_type": "regular",
    })
}

fn bills() -> Vec<Envelope> {
    let mut charges = Charges::new(&tenant("acme"), Delivery::default(), at("2025-06-14T12:00:00Z"));
    let mut events = Vec::new();
    for day in 0..DAYS {
        let start = at("2025-05-01T00:00:00Z") + chrono::TimeDelta::days(day);
        let end = schemas::rfc3339(start + chrono::TimeDelta::days(1));
        let start = schemas::rfc3339(start);
        for row in [
            of_aws("AmazonS3", "Storage", "old-logs", &start, &end),
            of_aws("AmazonEC2", "Compute Instance", "i-00000000000000003", &start, &end),
            of_google("old-images", &start, &end),
        ] {
            events.push(charges.map_json(&row.to_string()).expect("a charge").envelope);
        }
    }
    events
}

/// Nobody asks for an object of a bucket in an hour of June.
fn unread(n: u64, bucket: &str, hour: i64) -> Envelope {
    let when = at("2025-06-01T00:30:00Z") + chrono::TimeDelta::hours(hour);
    let mut envelope = charge(n, 0, 0, when);
    envelope.event = Event::Monitoring(Monitoring {
        kind: MonitoringKind::UtilisationMeasured,
        subject: Resource { id: bucket.into(), ..Resource::default() },
        name: "AllRequests".into(),
        severity: None,
        status: None,
        value: Some("0".into()),
        threshold: None,
        unit: Some("Count".into()),
        message: None,
    });
    envelope
}

#[tokio::test]
async fn exports_without_categories_give_tiers_and_commitments() {
    use RecommendationKind::{Commitment, StorageTier};
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut events = bills();
    for hour in 0..14 * 24 {
        let n = 1_000 + 2 * u64::try_from(hour).expect("positive");
        events.push(unread(n, "old-logs", hour));
        events.push(unread(n + 1, "old-images", hour));
    }
    for batch in events.chunks(400) {
        member.deliver(batch).await;
    }
    let found: CostRecommendations =
        api.get("acme", "/api/v1/cost/recommendations?as_of=2025-06-15T00:00:00Z").await;
    let mut told: Vec<_> = found
        .items
        .iter()
        .map(|item| (item.kind, item.resource.clone().unwrap_or_default(), item.monthly_saving.as_str()))
        .collect();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        (Commitment, String::new(), "81"),
        (StorageTier, "old-images".to_owned(), "120"),
        (StorageTier, "old-logs".to_owned(), "120"),
    ];
    assert_eq!(told, expected, "{found:#?}");
}
