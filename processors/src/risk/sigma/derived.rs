//! Modifiers of fields in correlations that extend Sigma: `network` and `product`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Bits of an IPv4 address that name its network: about what one provider announces at one place.
const V4_BITS: u8 = 16;
/// Bits of an IPv6 address that name its network: what a registry gives to one provider.
const V6_BITS: u8 = 32;

/// Part of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derived {
    /// The network of an address that is reached over the internet.
    Network,
    /// The product that a user agent names first, without its version.
    Product,
}

impl Derived {
    /// The field, and what is taken of it. Fails where nobody knows the modifier.
    pub(super) fn split(written: &str) -> Result<(&str, Option<Self>), String> {
        match written.rsplit_once('|') {
            None => Ok((written, None)),
            Some((field, "network")) => Ok((field, Some(Self::Network))),
            Some((field, "product")) => Ok((field, Some(Self::Product))),
            Some((_, other)) => Err(format!(
                "{other:?} takes nothing of a field; `network` and `product` do, in correlations"
            )),
        }
    }

    /// It of one value; nothing where the value is of another kind.
    pub(super) fn of(self, value: &str) -> Option<String> {
        match self {
            Self::Network => network(value),
            Self::Product => product(value),
        }
    }
}

/// The network of a public address, with or without a port. Private addresses say nothing about where somebody is.
fn network(value: &str) -> Option<String> {
    let value = value.trim();
    let address =
        value.parse::<IpAddr>().or_else(|_| value.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    let network = match address.to_canonical() {
        IpAddr::V4(address) if is_public_v4(address) => IpNet::from(Ipv4Net::new(address, V4_BITS).ok()?),
        IpAddr::V6(address) if is_public_v6(address) => IpNet::from(Ipv6Net::new(address, V6_BITS).ok()?),
        _ => return None,
    };
    Some(network.trunc().to_string())
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || shared)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local())
}

/// `aws-cli` of `aws-cli/2.15.0 md/…`, `s3console` of `[S3Console/0.4, aws-internal/3]`.
fn product(value: &str) -> Option<String> {
    let value = value.trim_start_matches(['[', '"', ' ']);
    let end = value.find(['/', ' ', ',', ';', '(', ']', '"']).unwrap_or(value.len());
    let product = value[..end].to_lowercase();
    (!product.is_empty()).then_some(product)
}

/// A place on earth to half a degree, about 55 km, as whole half degrees: a window of events knows few of them.
pub(super) fn place(latitude: &str, longitude: &str) -> Option<String> {
    let half_degrees = |text: &str, most: f64| {
        let degrees = text.trim().parse::<f64>().ok().filter(|degrees| degrees.abs() <= most)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most 360")]
        let halves = (degrees * 2.0).round() as i64;
        Some(halves)
    };
    Some(format!("{},{}", half_degrees(latitude, 90.0)?, half_degrees(longitude, 180.0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_that_of_an_address_on_the_internet() {
        for (value, expected) in [
            ("203.0.113.7", Some("203.0.0.0/16")),
            ("203.0.200.1:4711", Some("203.0.0.0/16")),
            ("::ffff:198.51.100.7", Some("198.51.0.0/16")),
            ("2001:db8:1::7", Some("2001:db8::/32")),
            ("[2001:db8:ffff::7]:443", Some("2001:db8::/32")),
            ("10.1.2.3", None),
            ("100.64.0.1", None),
            ("169.254.169.254", None),
            ("fd00::1", None),
            ("::1", None),
            ("ec2.amazonaws.com", None),
            ("", None),
        ] {
            assert_eq!(Derived::Network.of(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_product_has_no_version() {
        for (value, expected) in [
            ("aws-cli/2.15.0 md/Botocore#2.4 ua/2.0", Some("aws-cli")),
            ("Boto3/1.34.2", Some("boto3")),
            ("[S3Console/0.4, aws-internal/3]", Some("s3console")),
            ("kubectl/v1.30.0 (linux/amd64) kubernetes/7c48c2b", Some("kubectl")),
            ("console.amazonaws.com", Some("console.amazonaws.com")),
            ("  ", None),
            ("/", None),
        ] {
            assert_eq!(Derived::Product.of(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_place_is_known_to_half_a_degree() {
        assert_eq!(place("59.33", "18.07").as_deref(), Some("119,36"));
        assert_eq!(place("-33.9", "-151.2").as_deref(), Some("-68,-302"));
        for (latitude, longitude) in [("91", "0"), ("0", "181"), ("north", "0"), ("NaN", "0"), ("", "")] {
            assert_eq!(place(latitude, longitude), None, "{latitude} {longitude}");
        }
    }

    #[test]
    fn an_unknown_modifier_is_refused() {
        assert_eq!(Derived::split("a.b"), Ok(("a.b", None)));
        assert_eq!(Derived::split("a.b|network"), Ok(("a.b", Some(Derived::Network))));
        assert!(Derived::split("a|contains").is_err_and(|reason| reason.contains("contains")));
    }
}
