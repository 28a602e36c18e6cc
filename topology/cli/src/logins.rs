//! Logins of the services on Postgres: each process connects with a login that has only the rights it needs.

use std::path::Path;

use anyhow::Context;
use secrecy::SecretString;
use sinks::postgres::{Login, login_url};

use super::{
    deployment::{GATEWAY, QUERY_API, write_private},
    output,
    place::read,
    settings::Database,
};

/// Shortest password that is taken.
const MIN_PASSWORD_BYTES: usize = 16;

/// Logins and their passwords.
#[derive(Debug, Default)]
pub(super) struct Logins(Vec<(Login, SecretString)>);

impl Logins {
    /// Those whose passwords are set.
    pub(super) fn given(settings: &Database) -> anyhow::Result<Self> {
        let mut logins = Vec::new();
        for login in Login::ALL {
            let (password, file) = settings.password(login);
            let password = match (password, file) {
                (Some(password), _) => password.clone(),
                (None, Some(file)) => read(file)?.trim_end().to_owned(),
                (None, None) => continue,
            };
            logins.push((login, checked(login, password)?));
        }
        Ok(Self(logins))
    }

    /// All of them for a deployment on this machine: passwords that are set, else those made at the first start.
    pub(super) fn kept(settings: &Database, home: &Path) -> anyhow::Result<Self> {
        let Self(mut logins) = Self::given(settings)?;
        for login in Login::ALL {
            if logins.iter().any(|(given, _)| *given == login) {
                continue;
            }
            let file = home.join(format!("{}.password", login.name()));
            if !file.exists() {
                write_private(&file, &output::hex(&rand::random::<[u8; 32]>()))?;
            }
            logins.push((login, read(&file)?.trim_end().to_owned().into()));
        }
        Ok(Self(logins))
    }

    /// Makes them, or gives those that are there these passwords.
    pub(super) async fn make(&self, admin_url: &str) -> anyhow::Result<()> {
        sinks::postgres::make_logins(admin_url, &self.0).await.context("making the services' logins")
    }

    /// Database URL of a process of the pipeline: with its own login if it has one.
    pub(super) fn database_url(&self, process: &str, database_url: &str) -> anyhow::Result<String> {
        let login = match process {
            GATEWAY => Login::Gateway,
            QUERY_API => Login::QueryApi,
            _ => Login::Stages,
        };
        match self.0.iter().find(|(own, _)| *own == login) {
            Some((_, password)) => login_url(database_url, login, password).context("the database's URL"),
            None => Ok(database_url.to_owned()),
        }
    }
}

fn checked(login: Login, password: String) -> anyhow::Result<SecretString> {
    anyhow::ensure!(
        password.len() >= MIN_PASSWORD_BYTES,
        "the password of {} is shorter than {MIN_PASSWORD_BYTES} bytes: `openssl rand -hex 32` makes a good one",
        login.name()
    );
    Ok(password.into())
}
