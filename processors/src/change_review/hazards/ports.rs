//! Ports that a firewall rule opens, in the providers' notations.

use serde_json::{Map, Value};

/// Port ranges; empty if unknown.
pub(super) type Ports = Vec<(i64, i64)>;
const ALL_PORTS: (i64, i64) = (0, 65_535);
/// Maximum number of port ranges; more count as all ports.
const MAX_RANGES: usize = 64;

/// Pairs of attributes with the first and the last port.
const BOUNDS: [(&str, &str); 4] = [
    ("from_port", "to_port"),
    ("min", "max"),
    ("port_min", "port_max"),
    ("port_range_min", "port_range_max"),
];
/// Attributes with ports or port ranges as text or number.
const LISTED: [&str; 6] =
    ["destination_port_range", "destination_port_ranges", "destination_ports", "port", "port_range", "ports"];
/// Blocks for one protocol that contain the bounds.
const BLOCKS: [&str; 5] = ["tcp_options", "udp_options", "tcp", "udp", "destination_port_range"];

/// Ports that the object beside an address opens.
pub(super) fn of(holder: &Map<String, Value>) -> Ports {
    let protocol = ["protocol", "ip_protocol"].iter().find_map(|name| holder.get(*name)?.as_str());
    let every_protocol =
        protocol.is_some_and(|name| matches!(name.to_ascii_lowercase().as_str(), "-1" | "all" | "any" | "*"));
    let found: Ports = direct(holder)
        .chain(BLOCKS.iter().flat_map(|block| objects(holder.get(*block))).flat_map(of_block))
        .chain(of_google(holder.get("allow")))
        .chain(of_google(holder.get("layer4_configs")))
        .take(MAX_RANGES + 1)
        .collect();
    // AWS ignores the ports of a rule for every protocol.
    let all = protocol == Some("-1") || every_protocol && found.is_empty() || found.len() > MAX_RANGES;
    let mut found = if all { vec![ALL_PORTS] } else { found };
    found.sort_unstable();
    found
}

fn direct(holder: &Map<String, Value>) -> impl Iterator<Item = (i64, i64)> {
    let bounds =
        BOUNDS.iter().filter_map(|(from, to)| number(holder.get(*from)).zip(number(holder.get(*to))));
    let listed = LISTED.iter().flat_map(|name| ranges(holder.get(*name)));
    bounds.chain(listed)
}

/// The ranges of a block; OCI nests the range once more if a rule names source and destination.
fn of_block(block: &Map<String, Value>) -> impl Iterator<Item = (i64, i64)> {
    let nested = objects(block.get("destination_port_range")).flat_map(direct);
    direct(block).chain(nested).collect::<Vec<_>>().into_iter()
}

/// The ranges of a Google rule; a protocol without ports opens all of them.
fn of_google(allowed: Option<&Value>) -> impl Iterator<Item = (i64, i64)> {
    objects(allowed).flat_map(|allowed| {
        let listed: Vec<(i64, i64)> = ranges(allowed.get("ports")).collect();
        if listed.is_empty() { vec![ALL_PORTS] } else { listed }
    })
}

/// An object, or the objects of a list.
fn objects(value: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let several = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    value.and_then(Value::as_object).into_iter().chain(several)
}

fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn ranges(value: Option<&Value>) -> impl Iterator<Item = (i64, i64)> {
    let several = value.and_then(Value::as_array).into_iter().flatten();
    let one = value.filter(|value| !value.is_array());
    one.into_iter().chain(several).flat_map(|value| match value {
        Value::Number(number) => number.as_i64().map(|port| (port, port)).into_iter().collect(),
        Value::String(text) => text.split(',').filter_map(range).collect(),
        _ => Vec::new(),
    })
}

/// `*`, `all`, `22`, `20-30`, `20:30`, or `22/22` as Alibaba writes it (`-1/-1` is all).
fn range(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    if ["*", "all", "any", "-1", "-1/-1"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(ALL_PORTS);
    }
    let (from, to) =
        ['-', '/', ':'].iter().find_map(|separator| text.split_once(*separator)).unwrap_or((text, text));
    Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
}

/// The ports in words.
pub(super) fn describe(ports: &Ports) -> String {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_provider_writes_ports_differently() {
        let cases = [
            (json!({ "from_port": 22, "to_port": 22, "protocol": "tcp" }), vec![(22, 22)]),
            (json!({ "from_port": 0, "to_port": 0, "protocol": "-1" }), vec![ALL_PORTS]),
            (json!({ "destination_port_ranges": ["22", "80-90"] }), vec![(22, 22), (80, 90)]),
            (json!({ "destination_port_range": "*" }), vec![ALL_PORTS]),
            (json!({ "allow": [{ "protocol": "tcp", "ports": ["22"] }] }), vec![(22, 22)]),
            (json!({ "layer4_configs": [{ "ip_protocol": "tcp" }] }), vec![ALL_PORTS]),
            (json!({ "protocol": "6", "tcp_options": [{ "min": 22, "max": 23 }] }), vec![(22, 23)]),
            (
                json!({ "tcp_options": [{ "destination_port_range": [{ "min": 22, "max": 22 }] }] }),
                vec![(22, 22)],
            ),
            (json!({ "port_range_min": 22, "port_range_max": 22 }), vec![(22, 22)]),
            (json!({ "port_range": "22/22", "ip_protocol": "tcp" }), vec![(22, 22)]),
            (json!({ "port_range": "-1/-1", "ip_protocol": "all" }), vec![ALL_PORTS]),
            (json!({ "ports": "22,443" }), vec![(22, 22), (443, 443)]),
            (json!({ "port": 22 }), vec![(22, 22)]),
            (json!({ "protocol": "all" }), vec![ALL_PORTS]),
            (json!({ "protocol": "tcp" }), vec![]),
        ];
        for (holder, expected) in cases {
            assert_eq!(of(holder.as_object().expect("an object")), expected, "{holder}");
        }
    }
}
