//! Resources that would become reachable from the internet.

use schemas::changes::change_review::FactorKind::NetworkExposure;
use serde_json::Value;

use super::{Findings, Rule, addresses, note, ports};
use crate::change_review::{
    attributes::Attribute,
    holding::{Holding, holding},
};

const fn rule(name: &'static str, points: u32, reason: &'static str) -> Rule {
    Rule { kind: NetworkExposure, name, points, reason }
}

static ADMINISTRATION: Rule =
    rule("open_administration", 40, "ports of administration or of databases would be open to the internet");
static OPEN: Rule = rule("open_port", 25, "would be open to the internet");
static WEB: Rule = rule("open_web_port", 8, "nothing but web ports would be open to the internet");
static PUBLIC_DATA: Rule = rule("public_data", 40, "data would be reachable from the internet");
static UNBLOCKED: Rule =
    rule("public_access_unblocked", 25, "public access to objects would no longer be blocked");
static ENDPOINT: Rule = rule("public_endpoint", 15, "the service's endpoint would be public");
static ADDRESS: Rule = rule("public_address", 10, "would have a public address");

/// Attributes that contain the allowed sources, in the providers' words.
const SOURCES: [&str; 35] = [
    "allowed_ip_addresses",
    "allowed_ip_list",
    "authorized_ip_ranges",
    "cidr",
    "cidr_block",
    "cidr_blocks",
    "cidr_ip",
    "cidr_ipv4",
    "cidr_ipv6",
    "ip_allow_list",
    "ip_filter",
    "ip_range",
    "ip_ranges",
    "ip_rules",
    "ipv4",
    "ipv6",
    "ipv6_cidr_block",
    "ipv6_cidr_blocks",
    "loadBalancerSourceRanges",
    "load_balancer_source_ranges",
    "network",
    "public_access_cidrs",
    "remote",
    "remote_ip_prefix",
    "source",
    "source_address_prefix",
    "source_address_prefixes",
    "source_addresses",
    "source_cidr_ip",
    "source_ips",
    "source_ranges",
    "src_ip_ranges",
    "v4_cidr_blocks",
    "v6_cidr_blocks",
    "value",
];
/// Ports of remote shells and desktops, databases, caches, brokers, orchestrators.
const ADMINISTRATIVE_PORTS: [i64; 26] = [
    21, 22, 23, 135, 445, 1433, 1521, 2049, 2375, 2376, 2379, 3306, 3389, 5432, 5601, 5900, 5984, 5985, 6379,
    6443, 8020, 9042, 9092, 9200, 11211, 27017,
];

/// Examines one attribute of a configuration.
pub(super) fn find(kind: &str, root: &Value, attribute: &Attribute<'_>, findings: &mut Findings) {
    match attribute.value {
        Value::String(text) => find_in_text(kind, root, attribute, text, findings),
        Value::Bool(value) => {
            if let Some(rule) = rule_of_flag(kind, attribute.name, *value) {
                note(findings, rule, attribute.path);
            }
        }
        // A Google machine has a public address where this block stands, even empty.
        _ if attribute.path.ends_with("network_interface.access_config.nat_ip") => {
            note(findings, &ADDRESS, "network_interface.access_config");
        }
        _ => {}
    }
}

fn find_in_text(kind: &str, root: &Value, attribute: &Attribute<'_>, text: &str, findings: &mut Findings) {
    let (path, holder) = (attribute.path, attribute.holder);
    let rule = match (attribute.name, text) {
        (name, text) if SOURCES.contains(&name) && addresses::is_everywhere(text, holder.get(name)) => {
            if !lets_in(kind, root, attribute) {
                return;
            }
            // An allow list of a data store opens the store, whatever its port.
            if holding(kind) == Holding::Data || is_list_of_a_store(kind) {
                return note(findings, &PUBLIC_DATA, path);
            }
            let ports = ports::of(holder);
            // The ports tell one opening from another of the same resource.
            return note(findings, exposure(&ports), &format!("{path} ({})", ports::describe(&ports)));
        }
        ("acl", text) if text.starts_with("public-read") || text == "website" => &PUBLIC_DATA,
        ("start_ip_address", start) if addresses::is_wide_range(start, holder.get("end_ip_address")) => {
            &PUBLIC_DATA
        }
        // Snapshots and images shared with every account of the cloud.
        ("account_id", "all") if kind == "aws_snapshot_create_volume_permission" => &PUBLIC_DATA,
        ("group", "all") if kind == "aws_ami_launch_permission" => &PUBLIC_DATA,
        ("shared_accounts", "all") | ("container_access_type", "blob" | "container") => &PUBLIC_DATA,
        ("access_type", access) if access.starts_with("ObjectRead") => &PUBLIC_DATA,
        ("container_read", access) if access.contains(".r:*") => &PUBLIC_DATA,
        ("visibility" | "visibility_level", "public") if is_code(kind) => &PUBLIC_DATA,
        ("address_type", "EXTERNAL") if kind.starts_with("google_compute_") => &ADDRESS,
        ("nat_ip", _) if path.contains("access_config") => &ADDRESS,
        ("type", "LoadBalancer") if kind.starts_with("kubernetes_service") => &ENDPOINT,
        ("domain", "vpc") if kind == "aws_eip" => &ADDRESS,
        ("allocation_method", _) if kind == "azurerm_public_ip" => &ADDRESS,
        _ => return,
    };
    note(findings, rule, path);
}

fn rule_of_flag(kind: &str, name: &str, value: bool) -> Option<&'static Rule> {
    Some(match (name, value) {
        ("publicly_accessible", true) => &PUBLIC_DATA,
        ("allow_blob_public_access" | "allow_nested_items_to_be_public", true)
        | (
            "block_public_acls" | "block_public_policy" | "ignore_public_acls" | "restrict_public_buckets",
            false,
        ) => &UNBLOCKED,
        ("public_network_access_enabled" | "endpoint_public_access" | "ipv4_enabled", true) => &ENDPOINT,
        ("private", false) if is_code(kind) => &PUBLIC_DATA,
        ("internal", false) if kind == "aws_lb" || kind == "aws_alb" || kind == "aws_elb" => &ENDPOINT,
        ("associate_public_ip_address" | "map_public_ip_on_launch" | "public_ip_enabled", true) => &ADDRESS,
        _ => return None,
    })
}

/// Whether the type is a source code repository.
fn is_code(kind: &str) -> bool {
    matches!(kind, "github_repository" | "gitlab_project" | "gitlab_group" | "bitbucket_repository")
}

/// Whether the type is a separate list of networks that may reach a data store.
fn is_list_of_a_store(kind: &str) -> bool {
    kind == "mongodbatlas_project_ip_access_list"
        || kind.starts_with("snowflake_network_")
        || kind.ends_with("_database_firewall")
}

/// Whether the attribute allows incoming traffic.
fn lets_in(kind: &str, root: &Value, attribute: &Attribute<'_>) -> bool {
    let (path, holder) = (attribute.path, attribute.holder);
    // A rule's direction and verdict stand beside the address, or at the resource above a block that holds it.
    let is = |name: &str, word: &str| {
        let here = holder.get(name).or_else(|| root.get(name));
        here.and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    let outwards = path.contains("egress")
        || path.contains("outbound")
        || kind.contains("egress")
        || ["egress", "out", "outbound"].iter().any(|word| is("type", word) || is("direction", word))
        || holder.get("egress") == Some(&Value::Bool(true));
    let denied = ["action", "rule_action", "access", "policy", "decision"]
        .iter()
        .any(|name| ["deny", "drop", "reject", "block", "refuse"].iter().any(|word| is(name, word)))
        // A Google firewall rule either allows or denies.
        || holder.get("deny").and_then(Value::as_array).is_some_and(|deny| !deny.is_empty())
        || path.contains("blocked");
    // A route to everywhere says where traffic goes, an `ipset` or prefix list nothing by itself.
    let elsewhere = kind.contains("route") || kind.contains("prefix_list") || kind.contains("ip_set");
    // Words of many meanings are addresses only where the resource is about letting in.
    let unrelated = match attribute.name {
        "value" => !path.contains("authorized_networks"),
        "network" => !path.contains("ip_filter"),
        "remote" | "source" | "ipv4" | "ipv6" => {
            let of_traffic = ["ingress", "inbound"].iter().any(|word| path.contains(word))
                || ["security", "firewall", "secgroup", "network_rule"]
                    .iter()
                    .any(|word| kind.contains(word));
            !of_traffic
        }
        _ => false,
    };
    !(outwards || denied || elsewhere || unrelated)
}

fn exposure(ports: &ports::Ports) -> &'static Rule {
    let administrative =
        |(from, to): &(i64, i64)| ADMINISTRATIVE_PORTS.iter().any(|port| (*from..=*to).contains(port));
    if ports.iter().any(administrative) {
        &ADMINISTRATION
    } else if !ports.is_empty() && ports.iter().all(|range| matches!(range, (80, 80) | (443, 443))) {
        &WEB
    } else {
        &OPEN
    }
}
