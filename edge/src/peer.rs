//! Network address of a request's client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// Maximum number of proxies that are followed back in `X-Forwarded-For`.
const MAX_PROXIES: usize = 16;

/// Whether a host in an address, an IPv6 address also in brackets, is this machine.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address at the other end of the connection; a [`Listener`](crate::Listener) adds it to every request
/// as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// The peer of a request that a [`Listener`](crate::Listener) serves.
    pub fn of<B>(request: &http::Request<B>) -> Self {
        *request.extensions().get::<Self>().expect("the listener names the peer of every request")
    }

    /// The client: the peer or, as long as the hop is a trusted proxy, the address before it in
    /// `X-Forwarded-For`.
    pub fn client(self, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
        let mut client = self.0;
        let forwarded = headers.get_all("x-forwarded-for").iter().rev();
        let hops = forwarded.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
        for hop in hops.take(MAX_PROXIES) {
            if !is_proxy(client, proxies) {
                break;
            }
            match address_of(hop.trim()) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }
}

/// The address of an entry: alone, in brackets, or with a port, as some gateways write it
/// (`192.0.2.1:4362`, `[2001:db8::1]:4362`).
fn address_of(entry: &str) -> Option<IpAddr> {
    let alone = || entry.parse().ok();
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    alone().or_else(with_port).or_else(in_brackets)
}

/// Whether the peer is a trusted proxy.
pub fn is_proxy(peer: IpAddr, proxies: &[IpNet]) -> bool {
    proxies.iter().any(|net| net.contains(&peer.to_canonical()))
}

/// An address or, for IPv6, the /64 network that one host controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&'static str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let proxies = ["10.0.0.0/8".parse().expect("a network")];
        let client = Peer(peer.parse().expect("an address")).client(&headers, &proxies);
        assert_eq!(client, expected.parse::<IpAddr>().expect("an address"));
    }

    #[test]
    fn only_known_proxies_are_believed() {
        check("192.0.2.9", &["203.0.113.5"], "192.0.2.9");
        check("10.1.1.1", &["203.0.113.5"], "203.0.113.5");
        check("10.1.1.1", &["198.51.100.7, 203.0.113.5"], "203.0.113.5");
        check("10.1.1.1", &["198.51.100.7", "203.0.113.5, 10.2.2.2"], "203.0.113.5");
        check("10.1.1.1", &["garbage"], "10.1.1.1");
        check("10.1.1.1", &[], "10.1.1.1");
        check("::ffff:10.1.1.1", &["203.0.113.5"], "203.0.113.5");
    }

    #[test]
    fn an_entry_may_have_a_port() {
        check("10.1.1.1", &["203.0.113.5:4362"], "203.0.113.5");
        check("10.1.1.1", &["198.51.100.7:1, 10.2.2.2:443"], "198.51.100.7");
        check("10.1.1.1", &["[2001:db8::1]:4362"], "2001:db8::1");
        check("10.1.1.1", &["[2001:db8::1]"], "2001:db8::1");
        check("10.1.1.1", &["2001:db8::1"], "2001:db8::1");
        check("10.1.1.1", &["203.0.113.5:port"], "10.1.1.1");
        check("10.1.1.1", &["[203.0.113.5]"], "10.1.1.1");
    }

    #[test]
    fn a_host_cannot_multiply_itself_within_its_network() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
