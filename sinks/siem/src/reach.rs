//! Network addresses that a sink may connect to.
//!
//! A host's name may resolve to anything, and a receiver may redirect: only addresses that pass here are connected to. Loopback,
//! link-local (where clouds answer with credentials), unspecified and multicast addresses are refused, and for webhooks private
//! networks too. What an operator has named is allowed: a network in `allow_networks`, or an address in the endpoint itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Rules for the addresses that a sink may connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Networks that an operator has allowed.
    pub allowed: Vec<IpNet>,
    /// Whether private networks are refused.
    pub public_only: bool,
}

impl Reach {
    /// Reason to refuse a connection to an address; `None` if it is allowed.
    pub fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let address = unmapped(address);
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return None;
        }
        let (local, private) = match address {
            IpAddr::V4(v4) => (is_local(v4), v4.is_private() || is_shared(v4)),
            IpAddr::V6(v6) => (is_local6(v6), v6.is_unique_local()),
        };
        match (local, private && self.public_only) {
            (true, _) => Some("a loopback, link-local, unspecified or multicast address"),
            (_, true) => Some("an address of a private network"),
            _ => None,
        }
    }
}

/// The address inside, where an IPv6 address only wraps one of IPv4.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().or_else(|| translated(v6)).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The address behind the well-known prefix of NAT64.
fn translated(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments() else { return None };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

fn is_local(v4: Ipv4Addr) -> bool {
    v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0
}

fn is_local6(v6: Ipv6Addr) -> bool {
    // fd00:ec2::254 answers like 169.254.169.254.
    let metadata = v6.segments()[..2] == [0xfd00, 0x0ec2];
    v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() || metadata
}

/// The network that carriers share (RFC 6598).
fn is_shared(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    a == 100 && (64..128).contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_refused_however_they_are_written() {
        let check =
            |reach: &Reach, address: &str| reach.refusal(address.parse().expect("an address")).is_none();
        let (siem, hook) = (Reach::default(), Reach { public_only: true, ..Reach::default() });
        for address in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "::ffff:7f00:1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "fd00:ec2::254",
            "ff02::1",
            "0.1.2.3",
        ] {
            assert!(!check(&siem, address) && !check(&hook, address), "{address}");
        }
        for address in ["10.1.2.3", "192.168.0.1", "172.16.0.1", "100.64.0.1", "fd12::1"] {
            assert!(check(&siem, address) && !check(&hook, address), "{address}");
        }
        for address in ["192.0.2.1", "8.8.8.8", "2001:db8::1", "100.128.0.1"] {
            assert!(check(&siem, address) && check(&hook, address), "{address}");
        }
        let named = Reach { allowed: vec!["127.0.0.0/8".parse().expect("a network")], public_only: true };
        assert!(check(&named, "127.0.0.1") && check(&named, "::ffff:7f00:1") && !check(&named, "::1"));
    }
}
