use serde_json::json;

use super::*;

/// A plan of these changes for one region.
fn plan(changes: &[Value]) -> Value {
    json!({
        "format_version": "1.2",
        "configuration": {"provider_config": {
            "aws": {"expressions": {"region": {"references": ["var.region"]}}},
            "google": {"expressions": {"region": {"constant_value": "europe-west1"}}},
        }},
        "variables": {"region": {"value": "us-east-1"}},
        "resource_changes": changes,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn change(address: &str, actions: &[&str], before: Value, after: Value) -> Value {
    let kind = address.split('.').next().unwrap_or_default();
    json!({
        "address": address, "mode": "managed", "type": kind,
        "change": {"actions": actions, "before": before, "after": after, "after_unknown": {}},
    })
}

fn create(address: &str, after: Value) -> Value {
    change(address, &["create"], Value::Null, after)
}

fn estimated(changes: &[Value]) -> Estimate {
    estimate(&plan(changes), &PriceList::examples()).expect("a plan")
}

/// A resource that is created costs so much a month; `None`: it has no price.
fn check(address: &str, after: Value, expected: Option<&str>) {
    let found = estimated(&[create(address, after)]);
    let monthly = found.resources[0].monthly_after.map(|monthly| monthly.to_string());
    assert_eq!(monthly.as_deref(), expected, "{address}: {found:?}");
    let unpriced = expected.is_none();
    assert_eq!(found.unpriced_total, u32::from(unpriced), "{found:?}");
    assert_eq!(found.coverage_after.percent, if unpriced { 0 } else { 100 });
    assert_eq!(found.confidence == 0, unpriced);
}

#[test]
fn resources_of_three_clouds_are_priced_by_size() {
    // 730 × 0.096 + 20 × 0.08
    check(
        "aws_instance.a",
        json!({"instance_type": "m5.large", "root_block_device": [{"volume_type": "gp3", "volume_size": 20}]}),
        Some("71.68"),
    );
    // 100 × 0.08 + 1000 × 0.005 + 125 × 0.04
    let volume = json!({"type": "gp3", "size": 100, "iops": 4000, "throughput": 250});
    check("aws_ebs_volume.a", volume, Some("18"));
    // 2 × (730 × 0.178 + 100 × 0.115)
    check(
        "aws_db_instance.a",
        json!({"engine": "postgres", "instance_class": "db.m5.large", "allocated_storage": 100, "multi_az": true}),
        Some("282.88"),
    );
    check("aws_nat_gateway.a", json!({}), Some("32.85"));
    // 3 × 730 × 0.0416 + 3 × 20 × 0.10
    let group = json!({"instance_types": ["t3.medium"], "scaling_config": [{"desired_size": 3}]});
    check("aws_eks_node_group.a", group, Some("97.104"));
    // 730 × 0.115 + 19.71... a premium disk of 128 GB
    check(
        "azurerm_linux_virtual_machine.a",
        json!({"size": "Standard_D2s_v5", "location": "West Europe",
               "os_disk": [{"storage_account_type": "Premium_LRS", "disk_size_gb": 128}]}),
        Some("105.63"),
    );
    // 730 × (2 × 0.0413 + 8 × 0.007) + 50 × 0.17
    check(
        "google_sql_database_instance.a",
        json!({"settings": [{"tier": "db-custom-2-8192", "disk_size": 50}]}),
        Some("109.678"),
    );
    // 730 × 0.0523 + 10 × 0.04, in the region of its zone
    check(
        "google_compute_instance.a",
        json!({"machine_type": "n1-standard-1", "zone": "europe-west1-b"}),
        Some("38.579"),
    );
}

#[test]
fn resources_without_a_price_are_named_and_never_zero() {
    check("aws_instance.a", json!({"instance_type": "x9.huge"}), None);
    check("aws_instance.a", json!({}), None);
    check("aws_instance.a", json!({"instance_type": 7}), None);
    check("aws_instance.a", json!({"instance_type": "m5.large", "region": "af-south-1"}), None);
    check("aws_s3_bucket.a", json!({}), None);
    check("acme_widget.a", json!({}), None);
    check("aws_ebs_volume.a", json!({"size": -5}), None);
    check("aws_ebs_volume.a", json!({"size": 1e28}), None);
    let unknown = json!({
        "address": "aws_instance.a", "mode": "managed", "type": "aws_instance",
        "change": {"actions": ["create"], "before": null, "after": {}, "after_unknown": {"instance_type": true}},
    });
    let found = estimated(&[unknown]);
    assert_eq!(found.unpriced[0].reason, "instance_type is known only after apply");
    assert_eq!(found.resources[0].delta, None);
}

#[test]
fn free_types_are_said_to_be_free() {
    let found = estimated(&[create("aws_iam_role.a", json!({})), create("aws_subnet.a", json!({}))]);
    assert_eq!((found.coverage_after.free, found.coverage_after.percent, found.confidence), (2, 100, 100));
    assert!(found.resources.iter().all(|resource| resource.pricing == Pricing::Free));
    assert_eq!(found.delta, Decimal::ZERO);
    // An endpoint is free or not by what it is.
    check("aws_vpc_endpoint.a", json!({"vpc_endpoint_type": "Gateway"}), Some("0"));
    check("aws_vpc_endpoint.a", json!({"vpc_endpoint_type": "Interface"}), Some("7.3"));
}

#[test]
fn a_delta_counts_only_resources_with_a_price_on_both_sides() {
    let size = |kind: &str| json!({"instance_type": kind, "root_block_device": [{"volume_size": 8}]});
    let found = estimated(&[
        change("aws_instance.grown", &["update"], size("m5.large"), size("m5.xlarge")),
        change("aws_instance.gone", &["delete"], size("t3.micro"), Value::Null),
        change("aws_instance.kept", &["no-op"], size("t3.small"), size("t3.small")),
        change("aws_instance.anew", &["delete", "create"], size("t3.large"), size("t3.xlarge")),
        change("aws_instance.odd", &["update"], size("m5.large"), size("nobody.knows")),
    ]);
    let of = |name: &str| {
        let address = format!("aws_instance.{name}");
        found.resources.iter().find(|r| r.address == address).expect("named").delta.map(|d| d.to_string())
    };
    assert_eq!(of("grown").as_deref(), Some("70.08"));
    assert_eq!(of("gone").as_deref(), Some("-8.392"));
    assert_eq!(of("kept").as_deref(), Some("0"));
    assert_eq!(of("anew").as_deref(), Some("60.736"));
    assert_eq!(of("odd"), None);
    assert_eq!(found.delta.to_string(), "122.424");
    assert_eq!((found.coverage_before.percent, found.coverage_after.percent), (100, 75));
    assert_eq!(found.unpriced[0].address, "aws_instance.odd");
}

#[test]
fn assumptions_and_parts_billed_by_use_lower_the_confidence() {
    let found = estimated(&[create("aws_nat_gateway.a", json!({}))]);
    assert_eq!(found.confidence, 80);
    assert_eq!(found.resources[0].notes, ["not in the amount: processed data, billed by use"]);
    let mut plan = plan(&[
        create("aws_nat_gateway.a", json!({})),
        create("aws_instance.b", json!({"instance_type": "t3.micro", "availability_zone": "eu-west-1a"})),
    ]);
    plan["configuration"] = json!({});
    let found = estimate(&plan, &PriceList::examples()).expect("a plan");
    let gateway = found.resources.iter().find(|r| r.kind == "aws_nat_gateway").expect("named");
    assert_eq!(gateway.parts[0].region, "eu-west-1");
    assert!(gateway.notes[0].contains("the region of the plan's other resources"), "{gateway:?}");
}

#[test]
fn documents_that_are_no_plan_have_no_estimate_and_odd_entries_are_counted() {
    let prices = PriceList::examples();
    for document in [json!({}), json!([]), json!({"resource_changes": "all"}), json!(null)] {
        assert_eq!(estimate(&document, &prices), None);
    }
    let found =
        estimated(&[json!(1), json!({"change": {"actions": ["explode"]}}), create("aws_vpc.a", json!({}))]);
    assert_eq!((found.resources_total, found.unpriced_total, found.coverage_after.percent), (3, 2, 33));
}

#[test]
fn every_price_of_the_shipped_list_is_reached_by_a_rule() {
    // A typo in a product's name would make its prices dead.
    let sources = [include_str!("aws.rs"), include_str!("azure.rs"), include_str!("gcp.rs")].concat();
    for (key, _) in PriceList::examples().iter() {
        assert!(sources.contains(&format!("\"{}\"", key.product)), "no rule asks for {}", key.product);
    }
}

#[test]
fn types_with_a_rule_are_known() {
    assert!(knows_type("aws_instance") && knows_type("aws_iam_role") && !knows_type("acme_widget"));
}
