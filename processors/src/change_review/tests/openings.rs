//! Plans that open networks and data to the internet.

use FactorKind::NetworkExposure;
use schemas::changes::change_review::FactorKind;
use serde_json::{Value, json};

use super::rule_on_creating;

#[test]
fn openings_to_the_internet_are_told_by_their_ports() {
    let rule = |address: &str, after: Value| rule_on_creating(NetworkExposure, address, after);
    let some = |rule: &str| Some(rule.to_owned());
    let block = |from: i64, to: i64, protocol: &str, cidr: &str| {
        let cidr_blocks = [cidr];
        json!([{ "from_port": from, "to_port": to, "protocol": protocol, "cidr_blocks": cidr_blocks }])
    };
    let ingress = |from, to, protocol, cidr| json!({ "ingress": block(from, to, protocol, cidr) });
    let group = "aws_security_group.a";
    assert_eq!(rule(group, ingress(22, 22, "tcp", "0.0.0.0/0")), some("open_administration"));
    assert_eq!(rule(group, ingress(0, 0, "-1", "::/0")), some("open_administration"));
    assert_eq!(rule(group, ingress(443, 443, "tcp", "0.0.0.0/0")), some("open_web_port"));
    assert_eq!(rule(group, ingress(8080, 8090, "tcp", "0.0.0.0/0")), some("open_port"));
    assert_eq!(rule(group, ingress(22, 22, "tcp", "10.0.0.0/8")), None);
    let egress = json!({ "egress": block(0, 0, "-1", "0.0.0.0/0") });
    assert_eq!(rule(group, egress), None, "what goes out");
    let rule_of =
        |kind: &str| json!({ "type": kind, "from_port": 22, "to_port": 22, "cidr_blocks": ["0.0.0.0/0"] });
    assert_eq!(rule("aws_security_group_rule.a", rule_of("ingress")), some("open_administration"));
    assert_eq!(rule("aws_security_group_rule.a", rule_of("egress")), None);
    assert_eq!(rule("aws_route.a", json!({ "cidr_block": "0.0.0.0/0", "gateway_id": "igw-1" })), None);

    let firewall = |direction: &str, ports: Value| {
        let allow = json!([{ "protocol": "tcp", "ports": ports }]);
        json!({ "direction": direction, "source_ranges": ["0.0.0.0/0"], "allow": allow })
    };
    let google = "google_compute_firewall.a";
    assert_eq!(rule(google, firewall("INGRESS", json!(["22", "80"]))), some("open_administration"));
    assert_eq!(rule(google, firewall("INGRESS", json!([]))), some("open_administration"), "no ports are all");
    assert_eq!(rule(google, firewall("EGRESS", json!(["22"]))), None);
    let azure = |access: &str| {
        let mut rule = json!({ "access": access, "direction": "Inbound", "source_address_prefix": "*" });
        rule["destination_port_range"] = "3389".into();
        rule
    };
    assert_eq!(rule("azurerm_network_security_rule.a", azure("Allow")), some("open_administration"));
    assert_eq!(rule("azurerm_network_security_rule.a", azure("Deny")), None);

    assert_eq!(rule("aws_db_instance.a", json!({ "publicly_accessible": true })), some("public_data"));
    assert_eq!(rule("aws_s3_bucket_acl.a", json!({ "acl": "public-read-write" })), some("public_data"));
    assert_eq!(
        rule("aws_s3_bucket_public_access_block.a", json!({ "block_public_acls": false })),
        some("public_access_unblocked")
    );
    assert_eq!(
        rule("aws_instance.a", json!({ "associate_public_ip_address": true })),
        some("public_address")
    );
    let machine = json!({ "network_interface": [{ "access_config": [{ "nat_ip": null }] }] });
    assert_eq!(rule("google_compute_instance.a", machine), some("public_address"));
}

#[test]
fn openings_are_found_in_the_words_of_every_cloud() {
    let rule = |address: &str, after: Value| rule_on_creating(NetworkExposure, address, after);
    let administration = Some("open_administration".to_owned());
    let halves = json!({
        "type": "ingress", "protocol": "tcp", "from_port": 22, "to_port": 22,
        "cidr_blocks": ["0.0.0.0/1", "128.0.0.0/1"],
    });
    let azure = json!({
        "direction": "Inbound", "access": "Allow", "source_address_prefix": "INTERNET",
        "destination_port_range": "3389",
    });
    let google = |action: &str, direction: &str| {
        json!({
            "action": action, "direction": direction,
            "match": [{
                "src_ip_ranges": ["0.0.0.0/0"],
                "layer4_configs": [{ "ip_protocol": "tcp", "ports": ["20-25"] }],
            }],
        })
    };
    let oracle = json!({
        "ingress_security_rules": [
            { "protocol": "6", "source": "0.0.0.0/0", "tcp_options": [{ "min": 3306, "max": 3306 }] },
        ],
    });
    let alibaba =
        json!({ "type": "ingress", "cidr_ip": "0.0.0.0/0", "port_range": "22/22", "policy": "accept" });
    let openstack = json!({
        "direction": "ingress", "remote_ip_prefix": "::/0", "port_range_min": 22, "port_range_max": 22,
    });
    let ocean = json!({ "inbound_rule": [{ "port_range": "all", "source_addresses": ["0.0.0.0/0"] }] });
    let hetzner = json!({ "rule": [{ "direction": "in", "port": "22", "source_ips": ["::/0"] }] });
    let cloud_control = json!({
        "security_group_ingress": [
            { "cidr_ip": "0.0.0.0/0", "from_port": 5432, "to_port": 5432, "ip_protocol": "tcp" },
        ],
    });
    for (address, after) in [
        ("aws_security_group_rule.a", halves),
        ("azurerm_network_security_rule.a", azure),
        ("google_compute_firewall_policy_rule.a", google("allow", "INGRESS")),
        ("oci_core_security_list.a", oracle),
        ("alicloud_security_group_rule.a", alibaba.clone()),
        ("openstack_networking_secgroup_rule_v2.a", openstack),
        ("digitalocean_firewall.a", ocean),
        ("hcloud_firewall.a", hetzner),
        ("awscc_ec2_security_group.a", cloud_control),
    ] {
        assert_eq!(rule(address, after), administration, "{address}");
    }
    assert_eq!(rule("google_compute_firewall_policy_rule.a", google("deny", "INGRESS")), None);
    assert_eq!(rule("google_compute_firewall_policy_rule.a", google("allow", "EGRESS")), None);
    let mut dropped = alibaba;
    dropped["policy"] = "drop".into();
    assert_eq!(rule("alicloud_security_group_rule.a", dropped), None);
    assert_eq!(
        rule("hcloud_firewall.a", json!({ "rule": [{ "direction": "out", "destination_ips": ["::/0"] }] })),
        None
    );
}

#[test]
fn data_shared_with_everybody_is_public_in_the_words_of_every_cloud() {
    let rule = |address: &str, after: Value| rule_on_creating(NetworkExposure, address, after);
    let public = Some("public_data".to_owned());
    for (address, after) in [
        ("mongodbatlas_project_ip_access_list.a", json!({ "cidr_block": "0.0.0.0/0" })),
        ("aiven_pg.a", json!({ "pg_user_config": [{ "ip_filter": ["0.0.0.0/0"] }] })),
        (
            "azurerm_mysql_firewall_rule.a",
            json!({ "start_ip_address": "0.0.0.0", "end_ip_address": "255.255.255.254" }),
        ),
        ("aws_snapshot_create_volume_permission.a", json!({ "snapshot_id": "s", "account_id": "all" })),
        ("aws_ami_launch_permission.a", json!({ "image_id": "i", "group": "all" })),
        ("aws_db_snapshot.a", json!({ "shared_accounts": ["all"] })),
        ("oci_objectstorage_bucket.a", json!({ "access_type": "ObjectReadWithoutList" })),
        ("github_repository.a", json!({ "visibility": "public" })),
    ] {
        assert_eq!(rule(address, after), public, "{address}");
    }
    assert_eq!(
        rule("aws_snapshot_create_volume_permission.a", json!({ "account_id": "111122223333" })),
        None
    );
}
