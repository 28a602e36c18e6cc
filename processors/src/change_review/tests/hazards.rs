//! Hazards of plans.

use FactorKind::{
    BlastRadius, Deletion, Drift, Encryption, Identity, NetworkExposure, Production, Replacement, Safeguard,
    Secret, Update,
};
use schemas::changes::change_review::{FactorKind, Route};
use serde_json::{Value, json};

use super::*;

const TOUCHED: (FactorKind, &str) = (Production, "touched");

#[test]
fn deleting_a_production_database_is_blocked_and_changing_a_tag_passes() {
    let database = delete("aws_db_instance.orders_prod", json!({}));
    check(&[database], 95, Route::Block, &[(Deletion, "data_store"), TOUCHED]);
    let tagged = |owner: &str| json!({ "name": "orders", "tags": { "owner": owner, "env": "production" } });
    check(&[update("aws_db_instance.orders", tagged("a"), tagged("b"))], 5, Route::Auto, &[TOUCHED]);
    let tagged = |owner: &str| json!({ "tags": { "owner": owner } });
    check(&[update("aws_iam_role.ci", tagged("a"), tagged("b"))], 0, Route::Auto, &[]);
}

#[test]
fn losses_count_by_what_the_resource_holds() {
    let gone = |address: &str, score: u8, rule: &str| {
        check(&[delete(address, json!({}))], score, Route::of(score), &[(Deletion, rule)]);
    };
    gone("google_sql_database_instance.orders", 60, "data_store");
    gone("azurerm_managed_disk.data", 45, "stateful");
    gone("aws_subnet.a", 30, "network");
    gone("kubernetes_role_binding.a", 20, "identity");
    gone("kubernetes_deployment.web", 12, "compute");
    gone("random_id.x", 6, "other");
    gone("acme_frobnicator.x", 25, "unknown_type");
    let unknown = change("acme_frobnicator.x", &["delete", "create"], json!({}), json!({}));
    check(&[unknown], 20, Route::Review, &[(Replacement, "unknown_type")]);
    let replaced = |actions: &[&str]| [change("aws_db_instance.main", actions, json!({}), json!({}))];
    for actions in [["delete", "create"], ["create", "delete"]] {
        check(&replaced(&actions), 50, Route::Review, &[(Replacement, "data_store")]);
    }
    check(&replaced(&["forget"]), 6, Route::Auto, &[(Deletion, "forgotten")]);
    check(&replaced(&["no-op"]), 0, Route::Auto, &[]);
    let engine = |version: &str| json!({ "engine_version": version });
    let updated = update("aws_db_instance.main", engine("15"), engine("16"));
    check(&[updated], 10, Route::Auto, &[(Update, "data_store")]);
}

#[test]
fn replacing_a_production_database_needs_two_people() {
    let replaced = change("module.prod.aws_rds_cluster.main", &["delete", "create"], json!({}), json!({}));
    check(&[replaced], 80, Route::TwoPerson, &[(Replacement, "data_store"), TOUCHED]);
}

#[test]
fn several_data_stores_that_are_lost_at_once_need_two_people() {
    let route = |n: usize, actions: &[&str], kind: &str| {
        let after = if actions.len() > 1 { json!({}) } else { Value::Null };
        let lost = (0..n).map(|i| change(&format!("{kind}.a{i}"), actions, json!({}), after.clone()));
        let proposal = scored(&lost.collect::<Vec<_>>());
        (proposal.score, proposal.route)
    };
    for kind in ["aws_db_instance", "scaleway_rdb_instance", "acme_postgres_cluster"] {
        assert_eq!(route(1, &["delete"], kind), (60, Route::Review), "{kind}");
        assert_eq!(route(3, &["delete"], kind), (70, Route::TwoPerson), "{kind}");
        assert_eq!(route(5, &["delete"], kind), (80, Route::TwoPerson), "{kind}");
        assert_eq!(route(5, &["delete", "create"], kind), (70, Route::TwoPerson), "{kind}");
        assert_eq!(route(300, &["delete"], kind).0, 100, "{kind}");
    }
}

#[test]
fn further_resources_add_less_and_not_for_ever() {
    let disks =
        |n: usize| (0..n).map(|i| delete(&format!("aws_instance.a{i}"), json!({}))).collect::<Vec<_>>();
    assert_eq!([1, 2, 4, 5].map(|n| scored(&disks(n)).score), [12, 15, 21, 21]);
    let many = scored(&disks(300));
    assert_eq!(rules(&many), [(Deletion, "compute"), (BlastRadius, "resources")]);
    let deletion = many.factors.iter().find(|factor| factor.kind == Deletion).expect("found");
    assert_eq!((deletion.resources.len(), deletion.resources_total), (20, 300));
    assert_eq!(deletion.resources[19].address, "aws_instance.a19", "the first twenty, in the plan's order");
    assert_eq!(many.score, 12 + 9 + 25);
}

#[test]
fn production_is_known_from_variables_and_namespaces_and_not_guessed() {
    let changes = [delete("aws_instance.web", json!({}))];
    let with = |variables: Value| {
        let mut plan = plan(&changes);
        plan["variables"] = variables;
        assess(Given::Json(&plan), false).score
    };
    assert_eq!(with(json!({ "environment": { "value": "production" } })), 12 + 6 + 5);
    assert_eq!(with(json!({ "environment": { "value": "non-production" } })), 12);
    assert_eq!(with(json!({ "owner": { "value": "production" } })), 12);
    assert_eq!(assess(Given::Json(&plan(&changes)), true).score, 23, "told beside the plan");
    let in_namespace = |name: &str| json!({ "metadata": [{ "namespace": name }] });
    assert_eq!(scored(&[delete("kubernetes_deployment.web", in_namespace("shop-prod"))]).score, 23);
    assert_eq!(scored(&[delete("kubernetes_deployment.web", in_namespace("shop"))]).score, 12);
}

fn policy(statement: &Value) -> Value {
    json!({ "policy": json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string() })
}

#[test]
fn wildcards_in_policies_are_found_where_they_allow() {
    let granted = |statement: Value, score: u8, rule: &str| {
        let change = create("aws_iam_policy.p", policy(&statement));
        check(&[change], score, Route::of(score), &[(Identity, rule)]);
    };
    granted(json!({ "Effect": "Allow", "Action": "*", "Resource": "*" }), 45, "grants_everything");
    granted(
        json!({ "Effect": "Allow", "Action": ["s3:Get*", "iam:*"], "Resource": ["*"] }),
        45,
        "grants_everything",
    );
    granted(json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }), 20, "grants_widely");
    granted(json!({ "Effect": "Allow", "NotAction": "iam:*", "Resource": "*" }), 20, "grants_widely");
    granted(json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" }), 10, "changed");
    granted(json!({ "Effect": "Deny", "Action": "*", "Resource": "*" }), 10, "changed");
    granted(json!({ "Effect": 7, "Action": {}, "Resource": null }), 10, "changed");

    let bucket = |extra: Value| {
        let mut statement =
            json!({ "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "s3:GetObject" });
        statement.as_object_mut().expect("an object").extend(extra.as_object().cloned().expect("an object"));
        rules(&scored(&[create("aws_s3_bucket_policy.p", policy(&statement))]))[0].1.to_owned()
    };
    assert_eq!(bucket(json!({})), "grants_anybody");
    let only_here = json!({ "Condition": { "StringEquals": { "aws:SourceVpc": "vpc-1" } } });
    assert_eq!(bucket(only_here), "grants_anybody_conditionally");
    assert_eq!(bucket(json!({ "Principal": { "AWS": "arn:aws:iam::1:root" } })), "changed");
}

#[test]
fn grants_of_other_clouds_are_read() {
    let rule = |address: &str, after: Value| rule_on_creating(Identity, address, after).expect("an identity");
    let attached = json!({ "policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess" });
    assert_eq!(rule("aws_iam_role_policy_attachment.a", attached), "grants_everything");
    assert_eq!(rule("google_project_iam_member.a", json!({ "role": "roles/owner" })), "grants_everything");
    assert_eq!(
        rule("google_project_iam_member.a", json!({ "role": "roles/storage.admin" })),
        "grants_widely"
    );
    let public = json!({ "role": "roles/storage.objectViewer", "members": ["allUsers"] });
    assert_eq!(rule("google_storage_bucket_iam_binding.a", public), "grants_anybody");
    assert_eq!(
        rule("azurerm_role_assignment.a", json!({ "role_definition_name": "Owner" })),
        "grants_everything"
    );
    assert_eq!(rule("azurerm_role_assignment.a", json!({ "role_definition_name": "Reader" })), "changed");
    let bound = json!({ "role_ref": [{ "name": "cluster-admin" }], "subject": [{ "name": "ada" }] });
    assert_eq!(rule("kubernetes_cluster_role_binding.a", bound), "grants_everything");
    let rules = json!({ "rule": [{ "verbs": ["*"], "resources": ["*"], "api_groups": ["*"] }] });
    assert_eq!(rule("kubernetes_cluster_role.a", rules.clone()), "grants_everything");
    assert_eq!(rule("kubernetes_role.a", rules), "grants_widely");
}

#[test]
fn what_was_so_before_is_not_this_changes_doing() {
    let everything = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    let mut after = policy(&everything);
    after["description"] = "new".into();
    check(
        &[update("aws_iam_policy.p", policy(&everything), after)],
        10,
        Route::Auto,
        &[(Identity, "changed")],
    );
    let group = |ports: &[i64]| {
        let open = |port| json!({ "from_port": port, "to_port": port, "cidr_blocks": ["0.0.0.0/0"] });
        json!({ "ingress": ports.iter().map(open).collect::<Vec<_>>() })
    };
    let opened = update("aws_security_group.a", group(&[443]), group(&[443, 22]));
    check(&[opened], 45, Route::Review, &[(NetworkExposure, "open_administration"), (Update, "network")]);
    let closed = update("aws_security_group.a", group(&[443, 22]), group(&[443]));
    check(&[closed], 5, Route::Auto, &[(Update, "network")]);
}

#[test]
fn databases_of_every_provider_are_not_deleted_or_replaced_on_auto() {
    for kind in [
        "aiven_mysql",
        "alicloud_db_instance",
        "awscc_rds_db_cluster",
        "cockroach_cluster",
        "digitalocean_database_cluster",
        "exoscale_database",
        "ibm_database",
        "mongodbatlas_advanced_cluster",
        "oci_database_db_system",
        "snowflake_database",
        "vault_mount",
        "yandex_mdb_clickhouse_cluster",
    ] {
        let address = format!("{kind}.prod");
        let deleted = scored(&[delete(&address, json!({ "name": "prod-main" }))]);
        assert!(deleted.route >= Route::TwoPerson, "{kind}: {}", deleted.score);
        let replaced = scored(&[change(&address, &["delete", "create"], json!({}), json!({}))]);
        assert!(replaced.route >= Route::TwoPerson, "{kind}: {}", replaced.score);
        let elsewhere = scored(&[delete(&format!("{kind}.test"), json!({}))]);
        assert!(elsewhere.route >= Route::Review, "{kind}: {}", elsewhere.score);
    }
}

#[test]
fn grants_are_found_where_they_are_written_differently() {
    let rule = |address: &str, after: Value| rule_on_creating(Identity, address, after);
    let some = |rule: &str| Some(rule.to_owned());
    let statement = |extra: Value| {
        let mut statement = json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" });
        statement.as_object_mut().expect("an object").extend(extra.as_object().cloned().expect("an object"));
        policy(&statement)
    };
    let all_but_one = statement(json!({ "NotPrincipal": { "AWS": "arn:aws:iam::111122223333:user/x" } }));
    assert_eq!(rule("aws_s3_bucket_policy.a", all_but_one), some("grants_anybody"));
    let denied = statement(json!({ "Effect": "Deny", "NotPrincipal": { "AWS": "arn:aws:iam::1:root" } }));
    assert_eq!(rule("aws_s3_bucket_policy.a", denied), some("changed"));
    for action in
        ["iam:Put*", "iam:*Policy", "IAM:CreateAccessKey", "iam:PassRole", "i*:*", "iam:Attach?serPolicy"]
    {
        assert_eq!(
            rule("aws_iam_policy.a", statement(json!({ "Action": action }))),
            some("grants_widely"),
            "{action}"
        );
    }
    for action in ["iam:Get*", "iam:List*", "s3:Put*", "iam:PutUserPolic"] {
        assert_eq!(
            rule("aws_iam_policy.a", statement(json!({ "Action": action }))),
            some("changed"),
            "{action}"
        );
    }
    assert_eq!(rule("aws_iam_policy.a", statement(json!({ "Action": "**" }))), some("grants_everything"));
    let one_role = statement(json!({ "Action": "iam:PassRole", "Resource": "arn:aws:iam::1:role/x" }));
    assert_eq!(rule("aws_iam_policy.a", one_role), some("changed"));
    let trust = json!({
        "assume_role_policy": json!({
            "Statement": [{
                "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": "ec2.amazonaws.com" },
            }],
        })
        .to_string(),
    });
    assert_eq!(rule("aws_iam_role.a", trust), some("changed"));
    assert_eq!(
        rule("aws_lambda_function_url.a", json!({ "authorization_type": "NONE" })),
        some("grants_anybody")
    );
    assert_eq!(rule("aws_lambda_function_url.a", json!({ "authorization_type": "AWS_IAM" })), None);
    let owner = "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    assert_eq!(
        rule("azurerm_role_assignment.a", json!({ "role_definition_id": owner })),
        some("grants_everything")
    );
    let sentence = |text: &str| json!({ "statements": [text] });
    assert_eq!(
        rule("oci_identity_policy.a", sentence("Allow group ops to manage all-resources in tenancy")),
        some("grants_everything")
    );
    assert_eq!(
        rule("oci_identity_policy.a", sentence("Allow any-user to read buckets in tenancy")),
        some("grants_anybody")
    );
    let vault = |text: &str| json!({ "policy": text });
    assert_eq!(
        rule("vault_policy.a", vault("path \"*\" {\n  capabilities = [\"create\", \"sudo\"]\n}")),
        some("grants_everything")
    );
    assert_eq!(rule("vault_policy.a", vault("path \"*\" { capabilities = [\"read\"] }")), some("changed"));
}

#[test]
fn imports_and_moves_are_counted_and_tell_of_production() {
    let mut imported =
        change("aws_db_instance.main", &["no-op"], json!({}), json!({ "identifier": "prod-db" }));
    imported["change"]["importing"] = json!({ "id": "prod-db" });
    let mut moved = change("aws_instance.b", &["no-op"], json!({}), json!({}));
    moved["previous_address"] = "aws_instance.a".into();
    let proposal = scored(&[imported, moved]);
    assert_eq!((proposal.plan.imports, proposal.plan.moves), (1, 1));
    assert!(proposal.plan.production && proposal.route == Route::Auto, "{proposal:?}");
}

#[test]
fn encryption_is_missed_only_where_it_is_configured_away() {
    let volume = |encrypted: Value| json!({ "size": 10, "encrypted": encrypted });
    check(
        &[create("aws_ebs_volume.a", volume(json!(false)))],
        20,
        Route::Review,
        &[(Encryption, "not_encrypted")],
    );
    check(&[create("aws_ebs_volume.a", volume(Value::Null))], 0, Route::Auto, &[]);
    check(&[create("aws_ebs_volume.a", json!({}))], 0, Route::Auto, &[]);
    let off = update("aws_ebs_volume.a", volume(json!(true)), volume(json!(false)));
    check(&[off], 40, Route::Review, &[(Encryption, "turned_off"), (Update, "stateful")]);
    let with = json!({ "server_side_encryption_configuration": [{ "rule": [{ "apply": "AES256" }] }] });
    let without = json!({ "server_side_encryption_configuration": [] });
    let off = update("aws_s3_bucket.a", with, without);
    check(&[off], 45, Route::Review, &[(Encryption, "turned_off"), (Update, "data_store")]);
    let plain =
        create("aws_lb_listener.a", json!({ "protocol": "HTTP", "default_action": [{ "type": "forward" }] }));
    check(&[plain], 15, Route::Auto, &[(Encryption, "plain_transport")]);
    let sent_on = create(
        "aws_lb_listener.a",
        json!({ "protocol": "HTTP", "default_action": [{ "type": "redirect" }] }),
    );
    check(&[sent_on], 0, Route::Auto, &[]);
    let old = create("azurerm_storage_account.a", json!({ "min_tls_version": "TLS1_0" }));
    check(&[old], 15, Route::Auto, &[(Encryption, "plain_transport")]);
}

#[test]
fn secrets_are_found_unless_marked_and_never_kept() {
    const VALUE: &str = "correct-horse-battery";
    let marked = |marks: Value| {
        let mut change = create("aws_db_instance.a", json!({ "password": VALUE, "username": "app" }));
        change["change"]["after_sensitive"] = marks;
        change
    };
    for plain in [json!({}), json!(false), Value::Null, json!({ "password": false })] {
        let proposal = scored(&[marked(plain)]);
        assert_eq!(rules(&proposal), [(Secret, "plain_value")]);
        assert_eq!(proposal.factors[0].resources[0].attribute.as_deref(), Some("password"));
        assert!(!serde_json::to_string(&proposal).expect("JSON").contains("horse"));
    }
    check(&[marked(json!({ "password": true }))], 0, Route::Auto, &[]);
    check(&[marked(json!(true))], 0, Route::Auto, &[]);

    let found = |after: Value| {
        rules(&scored(&[create("aws_ecs_task_definition.a", after)])) == [(Secret, "plain_value")]
    };
    let containers = json!([{ "environment": [{ "name": "DB_PASSWORD", "value": VALUE }] }]).to_string();
    assert!(found(json!({ "container_definitions": containers })), "JSON within a text");
    assert!(found(json!({ "environment": { "variables": { "apiToken": VALUE } } })));
    assert!(found(json!({ "user_data": "-----BEGIN RSA PRIVATE KEY-----\nx" })));
    assert!(found(json!({ "anything": format!("AKIA{}", "A".repeat(16)) })));
    assert!(!found(json!({ "password": "arn:aws:secretsmanager:eu:1:secret:x" })), "points to it");
    assert!(!found(json!({ "password": "" })));
    assert!(!found(json!({ "password": null, "password_policy": "strict", "secret_name": "orders" })));
    let unchanged = |owner: &str| json!({ "password": VALUE, "tags": { "owner": owner } });
    check(&[update("aws_instance.a", unchanged("a"), unchanged("b"))], 0, Route::Auto, &[]);
}

#[test]
fn variables_hold_secrets_unless_declared_sensitive() {
    let with = |declared: Value| {
        let mut plan = plan(&[]);
        plan["variables"] =
            json!({ "db_password": { "value": "correct-horse" }, "region": { "value": "eu" } });
        plan["configuration"] = json!({ "root_module": { "variables": { "db_password": declared } } });
        assess(Given::Json(&plan), false)
    };
    let found = with(json!({}));
    assert_eq!(found.factors[0].resources[0].address, "var.db_password");
    assert_eq!((found.score, found.route), (30, Route::Review));
    assert_eq!(with(json!({ "sensitive": true })).score, 0);
}

#[test]
fn what_protects_and_watches_is_missed() {
    let protected =
        |on: bool| json!({ "deletion_protection": on, "backup_retention_period": if on { 7 } else { 0 } });
    let off = update("google_sql_database_instance.a", protected(true), protected(false));
    check(&[off], 30, Route::Review, &[(Safeguard, "protection_off"), (Update, "data_store")]);
    let on = update("google_sql_database_instance.a", protected(false), protected(true));
    check(&[on], 10, Route::Auto, &[(Update, "data_store")]);
    check(
        &[delete("aws_cloudtrail.a", json!({}))],
        36,
        Route::Review,
        &[(Safeguard, "watching_off"), (Deletion, "other")],
    );
    let logging = |on: bool| json!({ "enable_logging": on });
    let silent = update("aws_cloudtrail.a", logging(true), logging(false));
    check(&[silent], 30, Route::Review, &[(Safeguard, "watching_off")]);
    let block = delete("aws_s3_bucket_public_access_block.a", json!({}));
    let opened = [(NetworkExposure, "public_access_block_deleted"), (Deletion, "other")];
    check(std::slice::from_ref(&block), 41, Route::Review, &opened);
    let together = [block, delete("aws_s3_bucket.a", json!({}))];
    check(&together, 66, Route::Review, &[(Deletion, "data_store"), (Deletion, "other")]);
}

#[test]
fn drift_counts_by_how_much() {
    let drifted = |n: usize| {
        let mut plan = plan(&[]);
        let one = |i: usize| update(&format!("aws_instance.a{i}"), json!({ "a": 1 }), json!({ "a": 2 }));
        plan["resource_drift"] = (0..n).map(one).collect();
        assess(Given::Json(&plan), false)
    };
    assert_eq!([0, 1, 6, 7, 60].map(|n| drifted(n).score), [0, 8, 18, 20, 20]);
    assert_eq!(rules(&drifted(1)), [(Drift, "by_hand")]);
    assert_eq!(drifted(60).plan.drifted, 60);
}
