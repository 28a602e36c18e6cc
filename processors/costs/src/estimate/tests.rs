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

/// The estimate of a resource that is created, with the values that its plan leaves open and the expressions of its
/// configuration.
#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn planned(address: &str, after: Value, unknown: Value, expressions: Value) -> Estimate {
    let mut change = create(address, after);
    change["change"]["after_unknown"] = unknown;
    let kind = address.split('.').next().unwrap_or_default();
    let mut plan = plan(&[change]);
    plan["configuration"]["root_module"] = json!({
        "resources": [{"address": address, "type": kind, "mode": "managed", "expressions": expressions}],
    });
    estimate(&plan, &PriceList::examples()).expect("a plan")
}

/// A resource whose plan leaves values to the provider costs so much a month, and a note says so.
fn check_left(planned: &Estimate, monthly: &str, note: &str) {
    let one = &planned.resources[0];
    assert_eq!(one.monthly_after.map(|cost| cost.to_string()).as_deref(), Some(monthly), "{planned:?}");
    assert!(one.delta.is_some() && one.notes.iter().any(|found| found.contains(note)), "{:?}", one.notes);
}

fn constant(value: &str) -> Value {
    json!({"constant_value": value})
}

/// Resources as Terraform shows them whose configuration sets required arguments only.
#[test]
fn arguments_that_the_provider_decides_are_assumed() {
    check_left(
        &planned(
            "aws_instance.a",
            json!({"instance_type": "t3.micro", "ami": "ami-1", "timeouts": null}),
            json!({"id": true, "arn": true, "availability_zone": true, "tenancy": true, "ebs_block_device": true,
               "instance_market_options": true, "root_block_device": true}),
            json!({"ami": constant("ami-1"), "instance_type": constant("t3.micro")}),
        ),
        "8.392",
        "the provider's defaults of ebs_block_device, instance_market_options, tenancy",
    );
    check_left(
        &planned(
            "aws_ebs_volume.a",
            json!({"availability_zone": "us-east-1a", "size": 100}),
            json!({"iops": true, "throughput": true, "type": true, "snapshot_id": true}),
            json!({"size": {"constant_value": 100}, "availability_zone": {"references": ["aws_subnet.a"]}}),
        ),
        "10",
        "defaults of iops, throughput, type",
    );
    check_left(
        &planned(
            "aws_db_instance.a",
            json!({"engine": "mysql", "instance_class": "db.t3.micro", "allocated_storage": 20, "iops": null}),
            json!({"storage_type": true, "multi_az": true, "storage_throughput": true}),
            json!({"engine": constant("mysql"), "allocated_storage": {"constant_value": 20}}),
        ),
        "14.71",
        "defaults of multi_az, storage_type",
    );
    check_left(
        &planned(
            "aws_eks_node_group.a",
            json!({"scaling_config": [{"desired_size": 3}], "launch_template": []}),
            json!({"ami_type": true, "capacity_type": true, "disk_size": true, "instance_types": true,
               "scaling_config": [{}]}),
            json!({"scaling_config": [{"desired_size": {"constant_value": 3}}]}),
        ),
        "97.104",
        "defaults of capacity_type",
    );
}

#[test]
fn arguments_that_other_providers_decide_are_assumed() {
    check_left(
        &planned(
            "google_compute_instance.a",
            json!({"machine_type": "n1-standard-1", "zone": "europe-west1-b",
               "boot_disk": [{"initialize_params": [{"image": "debian"}]}]}),
            json!({"guest_accelerator": true, "scheduling": true,
               "boot_disk": [{"source": true, "initialize_params": [{"size": true, "type": true}]}]}),
            json!({"boot_disk": [{"initialize_params": [{"image": constant("debian")}]}]}),
        ),
        "38.579",
        "guest_accelerator, scheduling.preemptible",
    );
    check_left(
        &planned(
            "google_sql_database_instance.a",
            json!({"settings": [{"tier": "db-custom-2-8192", "disk_size": 50}]}),
            json!({"region": true, "settings": [{"availability_type": true, "disk_type": true}]}),
            json!({"settings": [{"tier": constant("db-custom-2-8192")}]}),
        ),
        "109.678",
        "defaults of settings.availability_type",
    );
    check_left(
        &planned(
            "google_container_node_pool.a",
            json!({"node_count": 2, "location": "europe-west1-b",
               "node_config": [{"machine_type": "n1-standard-1", "disk_size_gb": 50}]}),
            json!({"initial_node_count": true, "node_locations": true,
               "node_config": [{"disk_type": true, "guest_accelerator": true, "local_ssd_count": true}]}),
            json!({"node_config": [{"machine_type": constant("n1-standard-1")}]}),
        ),
        "80.358",
        "node_locations",
    );
    check_left(
        &planned(
            "azurerm_linux_virtual_machine.a",
            json!({"size": "Standard_D2s_v5", "location": "westeurope",
               "os_disk": [{"storage_account_type": "Premium_LRS"}]}),
            json!({"os_disk": [{"disk_size_gb": true, "name": true}], "platform_fault_domain": true}),
            json!({"os_disk": [{"storage_account_type": constant("Premium_LRS")}]}),
        ),
        "89.76",
        "disk_size_gb is 30",
    );
}

#[test]
fn a_resource_whose_argument_refers_to_something_unknown_has_no_price() {
    let after = json!({"instance_type": "t3.micro"});
    let unknown = json!({"tenancy": true});
    let of = |references: Value| {
        let expressions = json!({"tenancy": {"references": references}});
        planned("aws_instance.a", after.clone(), unknown.clone(), expressions)
    };
    let found = of(json!(["aws_dedicated_host.a.tenancy", "aws_dedicated_host.a"]));
    assert_eq!(found.unpriced[0].reason, "tenancy is known only after apply");
    assert_eq!(found.resources[0].delta, None);
    // An input variable is known: the value is null, as if the argument were not there.
    assert!(of(json!(["var.tenancy"])).resources[0].delta.is_some());
    // A plan without its configuration does not tell the one from the other.
    let mut change = create("aws_instance.a", after.clone());
    change["change"]["after_unknown"] = unknown.clone();
    assert_eq!(estimated(&[change]).resources[0].delta, None);
}

#[test]
fn every_part_of_a_resource_has_its_price_or_the_resource_has_none() {
    let reason = |address: &str, after: Value| {
        let found = estimated(&[create(address, after)]);
        assert_eq!(found.resources[0].monthly_after, None, "{found:?}");
        found.unpriced[0].reason.clone()
    };
    // 3 × (730 × 0.0523 + 50 × 0.04) + 73: the pools of a cluster beside its fee.
    let cluster = |node: Value| json!({"location": "europe-west1-b", "node_pool": [{"initial_node_count": 3, "node_config": [node]}]});
    let node = json!({"machine_type": "n1-standard-1", "disk_size_gb": 50});
    check("google_container_cluster.a", cluster(node), Some("193.537"));
    let node = json!({"guest_accelerator": [{"type": "nvidia-tesla-t4", "count": 1}]});
    assert_eq!(reason("google_container_cluster.a", cluster(node)), "the price list has no accelerators");
    let pool = json!({"node_count": 1, "node_config": [{"guest_accelerator": [{"count": 1}]}]});
    assert_eq!(reason("google_container_node_pool.a", pool), "the price list has no accelerators");
    let machine = json!({"machine_type": "n1-standard-1", "zone": "europe-west1-b",
                         "scratch_disk": [{"interface": "NVME"}]});
    assert_eq!(reason("google_compute_instance.a", machine), "the price list has no such disk of gcp");

    let database = |kind: &str, size: u32, iops: u32| {
        json!({"engine": "postgres", "instance_class": "db.m5.large", "allocated_storage": size,
               "storage_type": kind, "iops": iops})
    };
    let io2 = reason("aws_db_instance.a", database("io2", 100, 1_000));
    assert_eq!(io2, "the price list has no such database_storage of aws");
    let gp3 = reason("aws_db_instance.a", database("gp3", 100, 4_000));
    assert_eq!(gp3, "the price list has no such database_iops of aws");
    // 730 × 0.178 + 400 × 0.115: 12,000 IOPS are included from 400 GB on.
    check("aws_db_instance.a", database("gp3", 400, 12_000), Some("175.94"));

    // 105.63 with the disk of the system alone.
    let machine = |disks: Value| {
        json!({"vm_size": "Standard_D2s_v5", "location": "westeurope",
               "storage_os_disk": [{"managed_disk_type": "Premium_LRS", "disk_size_gb": 128}],
               "storage_data_disk": disks})
    };
    let disk = |option: &str| json!({"create_option": option, "managed_disk_type": "Premium_LRS", "disk_size_gb": 128});
    check("azurerm_virtual_machine.a", machine(json!([disk("Attach")])), Some("105.63"));
    check("azurerm_virtual_machine.a", machine(json!([disk("Empty")])), Some("127.31"));
    let scale_set = json!({"sku": "Standard_D2s_v5", "location": "westeurope", "instances": 2,
                           "os_disk": [{"storage_account_type": "Premium_LRS", "disk_size_gb": 128}],
                           "data_disk": [{"storage_account_type": "Premium_LRS", "disk_size_gb": 128}]});
    check("azurerm_linux_virtual_machine_scale_set.a", scale_set, Some("254.62"));
}

/// The pools that a cluster shows once it exists may be resources of their own.
#[test]
fn pools_of_an_existing_cluster_count_if_its_configuration_has_them() {
    let cluster = json!({"location": "europe-west1-b", "node_pool": [{"node_count": 3}]});
    let found = estimated(&[change("google_container_cluster.a", &["no-op"], cluster.clone(), cluster)]);
    assert_eq!(found.resources[0].monthly_after.map(|cost| cost.to_string()).as_deref(), Some("73"));
}

#[test]
fn what_is_forgotten_goes_on_to_cost_beside_the_new_object() {
    for actions in [["create", "forget"], ["forget", "create"]] {
        let made = change("aws_nat_gateway.a", &actions, json!({}), json!({}));
        assert_eq!(estimated(&[made]).delta.normalize().to_string(), "32.85", "{actions:?}");
    }
}

#[test]
fn ephemeral_resources_cost_nothing() {
    let mut opened = change("random_password.a", &["open"], Value::Null, Value::Null);
    opened["mode"] = "ephemeral".into();
    let found = estimated(&[create("aws_nat_gateway.a", json!({})), opened]);
    assert_eq!((found.resources.len(), found.coverage_after.percent), (1, 100));
}
