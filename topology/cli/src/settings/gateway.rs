//! `[gateway]`: what the gateway listens on, and what each tenant may send.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, path::PathBuf};

use anyhow::Context;
use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use producers::gateway::{TenantQuotas, WebhookSecrets};
use schemas::TenantId;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Networks, OneOrMany, Tls, refusal::without_values};

/// `[gateway]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gateway {
    /// Address that the gateway listens on.
    pub(crate) listen: SocketAddr,
    /// Its certificate; without one it speaks clear text.
    pub(crate) tls: Tls,
    /// Address of its health and metrics, in clear text.
    pub(crate) admin_listen: SocketAddr,
    /// Whether the main listener serves metrics, too.
    pub(crate) public_metrics: bool,
    /// Proxies whose `X-Forwarded-For` is believed: one network, or a list.
    pub(crate) trusted_proxies: Networks,
    /// Its URL, for commands; by default that of the local deployment.
    pub(crate) url: Option<String>,
    /// Requests per minute for one API key; 0 for no limit.
    pub(crate) requests_per_minute: u32,
    /// Limits on publishing by one tenant, over all its credentials together.
    pub(crate) tenant_per_minute: TenantLimits,
    /// Secrets with which GitHub signs its webhooks, by tenant: one, or two during a rotation.
    pub(crate) github_webhook_secrets: BTreeMap<String, OneOrMany>,
    /// A TOML file that holds the same: `acme = "…"` or `acme = ["…", "…"]`. A tenant that both name has the file's.
    pub(crate) github_webhook_secrets_file: Option<PathBuf>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8640)),
            tls: Tls::default(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8643)),
            public_metrics: false,
            trusted_proxies: Networks::default(),
            url: None,
            requests_per_minute: 1_000,
            tenant_per_minute: TenantLimits::default(),
            github_webhook_secrets: BTreeMap::new(),
            github_webhook_secrets_file: None,
        }
    }
}

/// `[gateway.tenant_per_minute]`: each 0 for no limit; a quarter of it may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TenantLimits {
    /// Requests that publish.
    pub(crate) requests: u32,
    /// Events, records and commands.
    pub(crate) events: u32,
    /// KiB of bodies, decoded.
    pub(crate) kib: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        let TenantQuotas { requests_per_minute, events_per_minute, kib_per_minute } = TenantQuotas::default();
        let number = |limit: Option<NonZeroU32>| limit.map_or(0, NonZeroU32::get);
        Self {
            requests: number(requests_per_minute),
            events: number(events_per_minute),
            kib: number(kib_per_minute),
        }
    }
}

impl TenantLimits {
    /// The limits for the gateway.
    pub(crate) fn quotas(self) -> TenantQuotas {
        TenantQuotas {
            requests_per_minute: NonZeroU32::new(self.requests),
            events_per_minute: NonZeroU32::new(self.events),
            kib_per_minute: NonZeroU32::new(self.kib),
        }
    }
}

impl Gateway {
    /// The secrets of GitHub's webhooks, from the settings and their file.
    pub(crate) fn github_webhook_secrets(&self) -> anyhow::Result<WebhookSecrets> {
        let mut by_tenant = self.github_webhook_secrets.clone();
        if let Some(file) = &self.github_webhook_secrets_file {
            let read = Figment::from(Toml::file_exact(file)).extract::<BTreeMap<String, OneOrMany>>();
            let read = read.map_err(without_values).with_context(|| {
                format!("the file of webhook secrets, {}, cannot be used", file.display())
            })?;
            by_tenant.extend(read);
        }
        let mut secrets = WebhookSecrets::default();
        for (tenant, given) in by_tenant {
            let given = match given {
                OneOrMany::One(one) => vec![one],
                OneOrMany::Many(many) => many,
            };
            let tenant = TenantId::new(&tenant).context("the webhook secrets name no tenant")?;
            secrets.set(tenant, given.into_iter().map(SecretString::from).collect())?;
        }
        Ok(secrets)
    }
}
