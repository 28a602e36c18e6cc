//! The secrets and the key that `weir up` makes once and finds again at its next start.

use std::path::Path;

use anyhow::Context;
use audit_log::keys::PrivateKey;
use schemas::{TenantId, access::Scope};
use secrecy::ExposeSecret as _;
use sinks::api_keys::KeyRequest;
use stack::Endpoints;

use super::LOCAL_TENANT;
use crate::{
    deployment::{Deployment, write_private},
    output, place,
    settings::Settings,
};

pub(super) fn pepper(settings: &Settings, home: &Path) -> anyhow::Result<()> {
    let given = settings.api_keys.pepper.is_some() || settings.api_keys.pepper_file.is_some();
    unless_given(given, &home.join("pepper"), || Ok(random()))
}

pub(super) fn subject_secret(settings: &Settings, home: &Path) -> anyhow::Result<()> {
    let given = settings.audit.subject_secret.is_some() || settings.audit.subject_secret_file.is_some();
    unless_given(given, &home.join(place::SUBJECT_SECRET), || Ok(random()))
}

pub(super) fn signing_key(settings: &Settings, home: &Path) -> anyhow::Result<()> {
    let given = settings.audit.signing_key.is_some() || settings.audit.signing_key_file.is_some();
    unless_given(given, &home.join(place::SIGNING_KEY), || {
        let name = format!("weir-{}", output::hex(&rand::random::<[u8; 4]>()));
        let key = PrivateKey::new(&name, &rand::random()).context("naming the signing key")?;
        Ok(key.text())
    })
}

/// Makes a secret, unless the settings have one or an earlier start has left it.
fn unless_given(
    given: bool,
    file: &Path,
    make: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    if given || file.exists() {
        return Ok(());
    }
    write_private(file, &make()?)
}

fn random() -> String {
    output::hex(&rand::random::<[u8; 32]>())
}

/// Keeps the key of an earlier start if it still works, else makes one.
pub(super) async fn key(
    deployment: &mut Deployment,
    endpoints: &Endpoints,
    settings: &Settings,
    home: &Path,
) -> anyhow::Result<()> {
    let peppers = place::peppers(settings, home)?;
    let pool = sinks::postgres::operator_pool(&endpoints.database_url, 1)?;
    let keys = sinks::api_keys::load_all(&pool).await.context("reading the API keys")?;
    let ring = schemas::access::KeyRing::new(peppers.clone(), keys);
    if deployment.token.as_deref().is_some_and(|token| ring.verify(token, chrono::Utc::now()).is_some()) {
        return Ok(());
    }
    let request = KeyRequest {
        tenant: TenantId::new(LOCAL_TENANT)?,
        name: "weir up".to_owned(),
        scopes: Scope::ALL.to_vec(),
        expires_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    let mut connection = pool.acquire().await.context("reaching the database")?;
    let made = sinks::api_keys::create(&mut connection, &peppers.current, &request).await;
    let made = made.context("making an API key")?;
    deployment.token = Some(made.token.expose_secret().to_owned());
    deployment.save(home)
}
