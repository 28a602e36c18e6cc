//! Whether addresses include the whole internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// Shortest prefix that counts as one owner's network: a `/8` has 16 million addresses; wider networks count
/// as the internet.
const SHORTEST_OWNED_V4: u8 = 8;
const SHORTEST_OWNED_V6: u8 = 16;
/// Maximum number of list items that are examined; real rules have fewer. Bounds the cost of a hostile plan.
const MAX_LOOKED_AT: usize = 1_000;

/// Whether a text means the whole internet: a network of that width in any spelling, a word for it, or one of
/// a list (`together`) that covers half of all addresses.
pub(super) fn is_everywhere(text: &str, together: Option<&Value>) -> bool {
    let text = text.trim();
    // Azure's service tags and other clouds' words; they compare without case.
    if ["*", "any", "all", "internet", "anywhere"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return true;
    }
    match network(text) {
        // A bare 0.0.0.0 or :: without a length stands for every address.
        Some((address, None)) => address.is_unspecified(),
        Some((IpAddr::V4(_), Some(length))) if length < SHORTEST_OWNED_V4 => true,
        Some((IpAddr::V6(_), Some(length))) => length < SHORTEST_OWNED_V6,
        Some((IpAddr::V4(_), Some(_))) => covers_half(together),
        // `<nw>/0` and the like: the length alone says it.
        None => text.rsplit_once('/').is_some_and(|(_, length)| length.trim_start_matches('0').is_empty()),
    }
}

/// Whether a range of IPv4 addresses is as wide as such a network.
pub(super) fn is_wide_range(start: &str, end: Option<&Value>) -> bool {
    let parse = |text: &str| text.trim().parse::<Ipv4Addr>().ok().map(u32::from);
    let (Some(start), Some(end)) = (parse(start), end.and_then(Value::as_str).and_then(parse)) else {
        return false;
    };
    end.checked_sub(start).is_some_and(|wide| wide >= u32::MAX >> SHORTEST_OWNED_V4)
}

/// An address and the length of its prefix, if it has one.
fn network(text: &str) -> Option<(IpAddr, Option<u8>)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.trim().parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address = match address {
        "0" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        address => address.parse().or_else(|_| address.parse::<Ipv6Addr>().map(IpAddr::V6)).ok()?,
    };
    Some((address, length))
}

/// Whether the IPv4 networks of a list together contain half of all addresses.
fn covers_half(together: Option<&Value>) -> bool {
    let Some(list) = together.and_then(Value::as_array) else { return false };
    let mut ranges: Vec<(u64, u64)> = list
        .iter()
        .take(MAX_LOOKED_AT)
        .filter_map(|entry| match network(entry.as_str()?.trim())? {
            (IpAddr::V4(address), Some(length)) if length <= 32 => {
                let size = 1_u64 << (32 - length);
                let start = u64::from(u32::from(address)) / size * size;
                Some((start, start + size))
            }
            _ => None,
        })
        .collect();
    ranges.sort_unstable();
    let (mut covered, mut reached) = (0_u64, 0_u64);
    for (start, end) in ranges {
        covered += end.saturating_sub(start.max(reached));
        reached = reached.max(end);
    }
    covered >= 1 << 31
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everywhere_has_many_spellings() {
        for text in [
            "0.0.0.0/0",
            "::/0",
            "0::0/0",
            "0/0",
            "0.0.0.0",
            "::",
            "10.0.0.0/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "64.0.0.0/2",
            "2000::/3",
            "*",
            "Internet",
            "internet",
            "ANY",
            "any",
            "<nw>/0",
            " 0.0.0.0/0 ",
            "0:0:0:0:0:0:0:0/0",
        ] {
            assert!(is_everywhere(text, None), "{text}");
        }
        for text in [
            "",
            "10.0.0.0/8",
            "192.168.1.1",
            "203.0.113.0/24",
            "2001:db8::/32",
            "VirtualNetwork",
            "sg-1",
            "AzureLoadBalancer",
            "10.0.0.0/80",
            "a/b",
        ] {
            assert!(!is_everywhere(text, None), "{text}");
        }
    }

    #[test]
    fn a_list_is_everywhere_where_its_networks_are_together() {
        let eighths: Vec<String> = (0..128).map(|n| format!("{}.0.0.0/8", n * 2)).collect();
        assert!(is_everywhere("0.0.0.0/8", Some(&json!(eighths))));
        assert!(!is_everywhere("0.0.0.0/8", Some(&json!(eighths[..127]))));
        let same = vec!["10.0.0.0/8"; 500];
        assert!(!is_everywhere("10.0.0.0/8", Some(&json!(same))), "a network counts once");
    }

    #[test]
    fn a_range_is_wide_from_a_prefix_of_eight_on() {
        let wide = |start: &str, end: &str| is_wide_range(start, Some(&json!(end)));
        assert!(wide("0.0.0.0", "255.255.255.255") && wide("1.0.0.0", "223.255.255.255"));
        assert!(
            !wide("10.0.0.0", "10.0.255.255") && !wide("0.0.0.0", "0.0.0.0") && !wide("9.0.0.0", "1.0.0.0")
        );
    }
}
