//! What would be reachable from the internet.

use schemas::changes::change_review::FactorKind::NetworkExposure;
use serde_json::{Map, Value};

use super::{Findings, Rule, note};
use crate::change_review::attributes::Attribute;

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

/// Attributes that name who may come in.
const SOURCES: [&str; 17] = [
    "authorized_ip_ranges",
    "cidr",
    "cidr_block",
    "cidr_blocks",
    "cidr_ipv4",
    "cidr_ipv6",
    "ip_range",
    "ip_ranges",
    "ipv6_cidr_block",
    "ipv6_cidr_blocks",
    "load_balancer_source_ranges",
    "public_access_cidrs",
    "source_address_prefix",
    "source_address_prefixes",
    "source_addresses",
    "source_ranges",
    "value",
];
/// Remote shells and desktops, databases, caches, brokers, orchestrators.
const ADMINISTRATIVE_PORTS: [i64; 26] = [
    21, 22, 23, 135, 445, 1433, 1521, 2049, 2375, 2376, 2379, 3306, 3389, 5432, 5601, 5900, 5984, 5985, 6379,
    6443, 8020, 9042, 9092, 9200, 11211, 27017,
];

/// Looks at one attribute of a configuration.
pub(super) fn find(kind: &str, attribute: &Attribute<'_>, findings: &mut Findings) {
    match attribute.value {
        Value::String(text) => find_in_text(kind, attribute, text, findings),
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

fn find_in_text(kind: &str, attribute: &Attribute<'_>, text: &str, findings: &mut Findings) {
    let (path, holder) = (attribute.path, attribute.holder);
    let rule = match (attribute.name, text) {
        (name, text) if SOURCES.contains(&name) && is_everywhere(name, text) => {
            if !lets_in(kind, path, holder) {
                return;
            }
            let ports = ports(holder);
            // The ports tell one opening from another of the same resource.
            return note(findings, exposure(&ports), &format!("{path} ({})", describe(&ports)));
        }
        ("acl", text) if text.starts_with("public-read") || text == "website" => &PUBLIC_DATA,
        ("container_access_type", "blob" | "container") => &PUBLIC_DATA,
        ("start_ip_address", "0.0.0.0")
            if holder.get("end_ip_address").is_some_and(|end| end == "255.255.255.255") =>
        {
            &PUBLIC_DATA
        }
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
        ("internal", false) if kind == "aws_lb" || kind == "aws_alb" || kind == "aws_elb" => &ENDPOINT,
        ("associate_public_ip_address" | "map_public_ip_on_launch" | "public_ip_enabled", true) => &ADDRESS,
        _ => return None,
    })
}

fn is_everywhere(name: &str, text: &str) -> bool {
    let azure = name.starts_with("source_address");
    matches!(text, "0.0.0.0/0" | "::/0") || azure && matches!(text, "*" | "Internet" | "Any" | "0.0.0.0")
}

/// Whether the attribute is about traffic that comes in and is let in.
fn lets_in(kind: &str, path: &str, holder: &Map<String, Value>) -> bool {
    let is = |name: &str, word: &str| {
        holder.get(name).and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    let outwards = path.contains("egress")
        || kind.contains("egress")
        || is("type", "egress")
        || is("direction", "egress")
        || is("direction", "outbound")
        || holder.get("egress") == Some(&Value::Bool(true));
    let denied = ["action", "rule_action", "access"].iter().any(|name| is(name, "deny"))
        // A Google firewall rule either allows or denies.
        || holder.get("deny").and_then(Value::as_array).is_some_and(|deny| !deny.is_empty());
    // A route to everywhere says where traffic goes, an `ipset` or prefix list nothing by itself.
    let elsewhere = kind.contains("route") || kind.contains("prefix_list") || kind.contains("ip_set");
    // `value` is an address only in lists of networks that may come in.
    let unrelated = path.ends_with("value") && !path.contains("authorized_networks");
    !(outwards || denied || elsewhere || unrelated)
}

/// Ranges of ports; none: unknown.
type Ports = Vec<(i64, i64)>;
const ALL_PORTS: (i64, i64) = (0, 65_535);
/// Whoever opens more ranges of ports at once opens all, as far as the review is concerned.
const MAX_RANGES: usize = 64;

/// The ports that a rule opens, in the words of AWS, Azure and Google.
fn ports(holder: &Map<String, Value>) -> Ports {
    let protocol = ["protocol", "ip_protocol"].iter().find_map(|name| holder.get(*name)?.as_str());
    if protocol.is_some_and(|protocol| matches!(protocol, "-1" | "all")) {
        return vec![ALL_PORTS];
    }
    let number = |name: &str| holder.get(name).and_then(Value::as_i64);
    let of_aws = number("from_port").zip(number("to_port"));
    let of_azure = ["destination_port_range", "destination_port_ranges"]
        .into_iter()
        .flat_map(|name| texts(holder.get(name)).filter_map(range));
    let allowed = holder.get("allow").and_then(Value::as_array).into_iter().flatten();
    let of_google = allowed.flat_map(|allowed| {
        let listed = allowed.get("ports").and_then(Value::as_array).filter(|ports| !ports.is_empty());
        let all = listed.is_none().then_some(ALL_PORTS);
        listed.into_iter().flatten().filter_map(Value::as_str).filter_map(range).chain(all)
    });
    let mut found: Ports = of_aws.into_iter().chain(of_azure).chain(of_google).take(MAX_RANGES + 1).collect();
    if found.len() > MAX_RANGES {
        found = vec![ALL_PORTS];
    }
    found.sort_unstable();
    found
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let several = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    value.and_then(Value::as_str).into_iter().chain(several)
}

/// `*`, `22` or `20-30`.
fn range(text: &str) -> Option<(i64, i64)> {
    if text == "*" {
        return Some(ALL_PORTS);
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
}

fn exposure(ports: &Ports) -> &'static Rule {
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

fn describe(ports: &Ports) -> String {
    let one = |(from, to): &(i64, i64)| match (from, to) {
        range if (*range.0, *range.1) == ALL_PORTS => "all ports".to_owned(),
        (from, to) if from == to => format!("port {from}"),
        (from, to) => format!("ports {from} to {to}"),
    };
    if ports.is_empty() {
        "ports unknown".to_owned()
    } else {
        ports.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
