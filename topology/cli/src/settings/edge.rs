//! Settings of a listener, and of the certificate authorities that commands trust.

use std::{net::IpAddr, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use edge::tls::TlsConfig;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// `[gateway.tls]`, `[query_api.tls]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// A PEM file: the listener's certificate, then those that lead to an authority.
    pub(crate) certificate: Option<PathBuf>,
    /// A PEM file: its private key.
    pub(crate) key: Option<PathBuf>,
}

impl Tls {
    /// The files, if TLS is wanted; `section` is the one of the settings.
    pub(crate) fn config(&self, section: &str) -> anyhow::Result<Option<TlsConfig>> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsConfig::new(certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => bail!("[{section}.tls] names a certificate and no key: set both, or neither"),
            (None, Some(_)) => bail!("[{section}.tls] names a key and no certificate: set both, or neither"),
        }
    }
}

/// Networks as people write them down: one alone, or a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Networks {
    One(String),
    Many(Vec<String>),
}

impl Default for Networks {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Networks {
    /// The networks; an address alone is one of its own.
    pub(crate) fn parse(&self) -> anyhow::Result<Vec<IpNet>> {
        let given = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        let parse = |text: &String| {
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.with_context(|| {
                format!("trusted_proxies names {text:?}, which is no network such as 10.0.0.0/8")
            })
        };
        given.iter().map(parse).collect()
    }
}

/// `[client]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Client {
    /// A PEM file of the authorities whose certificates are believed, in place of this machine's.
    pub(crate) ca_certificate: Option<PathBuf>,
}

/// Whom a command that asks over HTTPS believes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Trust {
    /// PEM file of the authority that vouches for the service asked over https, in place of this machine's.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca_certificate: Option<PathBuf>,
}

impl Trust {
    /// The command line's value, or else the setting.
    pub(crate) fn over(&self, settings: Client) -> Client {
        Client { ca_certificate: self.ca_certificate.clone().or(settings.ca_certificate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_goes_with_its_key() {
        let tls = |certificate: Option<&str>, key: Option<&str>| Tls {
            certificate: certificate.map(Into::into),
            key: key.map(Into::into),
        };
        assert_eq!(tls(None, None).config("gateway").expect("no TLS"), None);
        let both = tls(Some("a.crt"), Some("a.key"));
        assert_eq!(both.config("gateway").expect("TLS"), Some(TlsConfig::new("a.crt", "a.key")));
        for half in [tls(Some("a.crt"), None), tls(None, Some("a.key"))] {
            let error = half.config("query_api").expect_err("half of it").to_string();
            assert!(error.contains("[query_api.tls]"), "{error}");
        }
    }

    #[test]
    fn networks_are_networks_or_addresses() {
        let many =
            |given: &[&str]| Networks::Many(given.iter().map(|&text| text.to_owned()).collect()).parse();
        assert_eq!(many(&[]).expect("none"), []);
        let parsed = many(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]).expect("three");
        assert_eq!(
            parsed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]
        );
        assert_eq!(Networks::One("10.0.0.0/8".into()).parse().expect("one").len(), 1);
        let error = many(&["10.0.0.0/33"]).expect_err("no network").to_string();
        assert!(error.contains("10.0.0.0/33"), "{error}");
    }
}
