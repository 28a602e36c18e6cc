//! `[database]`: the passwords of the services' logins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sinks::postgres::Login;

/// `[database]`: for the process that prepares the database. Each service connects with a `DATABASE_URL` of
/// its own.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct Database {
    /// Password of the login `weir_gateway`.
    gateway_password: Option<String>,
    /// A file that holds it.
    gateway_password_file: Option<PathBuf>,
    /// Password of the login `weir_query_api`.
    query_api_password: Option<String>,
    /// A file that holds it.
    query_api_password_file: Option<PathBuf>,
    /// Password of the login `weir_stages`.
    stages_password: Option<String>,
    /// A file that holds it.
    stages_password_file: Option<PathBuf>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database(..)")
    }
}

impl Database {
    /// The password that is set for a login, and the file that is named for it.
    pub(in super::super) fn password(&self, login: Login) -> (Option<&String>, Option<&PathBuf>) {
        let (password, file) = match login {
            Login::Gateway => (&self.gateway_password, &self.gateway_password_file),
            Login::QueryApi => (&self.query_api_password, &self.query_api_password_file),
            Login::Stages => (&self.stages_password, &self.stages_password_file),
        };
        (password.as_ref(), file.as_ref())
    }
}
