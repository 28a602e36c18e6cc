//! The services' logins: each takes on its own roles, and no other.

use secrecy::SecretString;
use sinks::postgres::{Login, login_url, make_logins, service_pool};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::fixture::Place;

const ROLES: [&str; 5] = ["weir_owner", "weir_operator", "weir_writer", "weir_reader", "weir_service"];

/// The roles that a login may take on, and whether it may do anything without one.
async fn may_be(url: &str) -> Vec<&'static str> {
    let mut connection = PgConnection::connect(url).await.expect("the login connects");
    for table in ["audit_entry", "api_key", "stage_position"] {
        let read = format!("SELECT count(*) FROM {table}");
        assert!(connection.execute(AssertSqlSafe(read)).await.is_err(), "{table} is read without a role");
    }
    let mut roles = Vec::new();
    for role in ROLES {
        if connection.execute(AssertSqlSafe(format!("SET ROLE {role}"))).await.is_ok() {
            roles.push(role);
        }
        connection.execute("RESET ROLE").await.expect("reset");
    }
    roles
}

#[tokio::test]
async fn each_login_takes_on_its_own_roles_and_no_other() {
    let place = Place::new().await;
    let password = |number: usize| SecretString::from(format!("a 'quoted' \\ password {number}"));
    let all = |number: usize| Login::ALL.map(|login| (login, password(number))).to_vec();
    make_logins(&place.url, &all(1)).await.expect("made");
    // Again, with other passwords: those of before are no longer good.
    make_logins(&place.url, &all(2)).await.expect("changed");
    let url = |login, number| login_url(&place.url, login, &password(number)).expect("a URL");
    assert_eq!(may_be(&url(Login::Gateway, 2)).await, ["weir_service"]);
    assert_eq!(may_be(&url(Login::QueryApi, 2)).await, ["weir_reader", "weir_service"]);
    assert_eq!(may_be(&url(Login::Stages, 2)).await, ["weir_writer"]);

    // What lets people in makes no keys, and changes nobody's limit.
    let pool = service_pool(&url(Login::Gateway, 2), 1).expect("a URL");
    sinks::api_keys::load_all(&pool).await.expect("keys are read");
    sinks::tenants::limits(&pool).await.expect("limits are read");
    for forbidden in [
        "INSERT INTO api_key (id, tenant_id, name, scopes, secret_hmac) VALUES ('x', 'x', 'x', '{}', '')",
        "UPDATE api_key SET expires_at = NULL",
        "UPDATE tenant_limit SET value = 1",
        "DELETE FROM tenant_limit",
        "SELECT count(*) FROM audit_entry",
        "UPDATE stage_position SET position = 0",
    ] {
        let refused = pool.execute(forbidden).await.expect_err(forbidden);
        let code =
            refused.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {refused}");
    }
}
