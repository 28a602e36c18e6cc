//! Databases and their schema. For roles that may create roles and tables; stages and readers never need it.

use std::{borrow::Cow, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};

use crate::compress::DICTIONARIES;
use crate::session::connect_admin;

/// Months for which partitions are created in advance; stages create others that their events need.
const MONTHS_AHEAD: i32 = 2;
/// Retries of a migration that creates the same roles as another one at the same time, in another database.
const ATTEMPTS: usize = 5;
/// Retries of a migration that got no lock within the connection's timeout: two minutes with the pauses.
const LOCKED_ATTEMPTS: usize = 20;
/// Pause after a lock that was not got: whoever waited behind the migration gets it.
const LOCKED_PAUSE: Duration = Duration::from_secs(1);

pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Error of preparing or checking a database's schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The URL is wrong, the server does not answer, or it refuses.
    #[error("the database cannot be prepared: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or the database holds a later version's.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database holds another dictionary under the number of one of Weir's.
    #[error("dictionary {0} differs from the one in the database: records would become unreadable")]
    DictionaryDiffers(i16),
    /// A database's name that cannot be one.
    #[error("{0:?} is no name for a database: 1 to 63 of a-z 0-9 _ -, beginning with a letter")]
    InvalidName(String),
    /// A database that does not exist, and whose name's user may not create one.
    #[error(
        "the database {name} does not exist, and {user} may not create it: as a role that may, run CREATE DATABASE \
         \"{name}\" OWNER \"{user}\""
    )]
    MayNotCreate {
        /// The database's name.
        name: String,
        /// The user that the URL names.
        user: String,
    },
}

/// Brings the database of that URL up to this version: roles, tables, dictionaries, the next months'
/// partitions. Safe to run again, at the same time as others, and under running stages: it waits for a
/// table's lock for five seconds at a time, and lets others pass in between.
pub async fn migrate(admin_url: &str) -> Result<(), MigrateError> {
    let mut connection = connect_admin(admin_url).await?;
    let (mut attempts, mut locked) = (1, 1);
    while let Err(error) = MIGRATIONS.run(&mut connection).await {
        if code_of(&error).as_deref() == Some("55P03") && locked < LOCKED_ATTEMPTS {
            tracing::info!(attempt = locked, "a migration waits for a table that others use; will retry");
            locked += 1;
            tokio::time::sleep(LOCKED_PAUSE).await;
        } else if attempts == ATTEMPTS || !is_concurrent_change(&error) {
            return Err(error.into());
        } else {
            attempts += 1;
        }
        connection = connect_admin(admin_url).await?;
    }
    store_dictionaries(&mut connection).await?;
    sqlx::query(
        "SELECT audit_entry_make_month((now() AT TIME ZONE 'UTC' + n * interval '1 month')::date)
           FROM (SELECT n FROM generate_series(0, $1) AS n ORDER BY n) AS months(n)",
    )
    .bind(MONTHS_AHEAD)
    .execute(&mut connection)
    .await?;
    Ok(connection.close().await?)
}

/// Creates the database that `database_url` names, unless it exists, over a connection to another one: where
/// `maintenance_url` names the same, to one that every server has.
pub async fn ensure_database(maintenance_url: &str, database_url: &str) -> Result<(), MigrateError> {
    let (maintenance, wanted): (PgConnectOptions, PgConnectOptions) =
        (maintenance_url.parse()?, database_url.parse()?);
    match wanted.get_database() {
        // None: Postgres takes the user's name. Whoever says so has it.
        None => Ok(()),
        Some(name) if maintenance.get_database() == Some(name) => create_if_missing(&wanted, name).await,
        Some(name) => create_beside(&maintenance, name).await,
    }
}

/// Databases of every server, of which one may have been dropped.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

async fn create_if_missing(wanted: &PgConnectOptions, name: &str) -> Result<(), MigrateError> {
    match PgConnection::connect_with(wanted).await {
        Ok(connection) => return Ok(connection.close().await?),
        Err(error) if has_code(&error, &[UNKNOWN_DATABASE]) => {}
        Err(error) => return Err(error.into()),
    }
    let [first, second] = MAINTENANCE.map(|database| wanted.clone().database(database));
    let created = match create_beside(&first, name).await {
        Err(MigrateError::Database(error)) if has_code(&error, &[UNKNOWN_DATABASE]) => {
            create_beside(&second, name).await
        }
        created => created,
    };
    match created {
        Err(MigrateError::Database(error)) if has_code(&error, &[NO_PRIVILEGE, NO_ADMITTANCE]) => {
            let user = wanted.get_username().to_owned();
            Err(MigrateError::MayNotCreate { name: name.to_owned(), user })
        }
        created => created,
    }
}

const UNKNOWN_DATABASE: &str = "3D000";
const NO_PRIVILEGE: &str = "42501";
/// The server's list of who may connect to which database.
const NO_ADMITTANCE: &str = "28000";

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| codes.contains(&&*code))
}

/// Creates an empty database of that name beside the one of the URL, unless it exists; returns its URL.
pub async fn create_database(admin_url: &str, name: &str) -> Result<String, MigrateError> {
    let options: PgConnectOptions = admin_url.parse()?;
    create_beside(&options, name).await?;
    Ok(options.database(name).to_url_lossy().to_string())
}

async fn create_beside(options: &PgConnectOptions, name: &str) -> Result<(), MigrateError> {
    let name = plain_name(name)?;
    let mut connection = PgConnection::connect_with(options).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        // template0: template1 may be in use, by another database's creation for example.
        let statement = format!("CREATE DATABASE \"{name}\" TEMPLATE template0");
        match connection.execute(AssertSqlSafe(statement)).await {
            // Somebody else was faster.
            Err(sqlx::Error::Database(db)) if matches!(db.code().as_deref(), Some("42P04" | "23505")) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    Ok(connection.close().await?)
}

/// Drops the database of that name and its connections, if it exists.
pub async fn drop_database(admin_url: &str, name: &str) -> Result<(), MigrateError> {
    let name = plain_name(name)?;
    let mut connection = PgConnection::connect_with(&admin_url.parse()?).await?;
    connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))).await?;
    Ok(connection.close().await?)
}

/// Names go into statements that take no parameters: only names that need no quoting are accepted.
fn plain_name(name: &str) -> Result<&str, MigrateError> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
    if starts_well && plain && name.len() <= 63 {
        Ok(name)
    } else {
        Err(MigrateError::InvalidName(name.into()))
    }
}

async fn store_dictionaries(connection: &mut PgConnection) -> Result<(), MigrateError> {
    for (number, dictionary) in (1_i16..).zip(DICTIONARIES) {
        sqlx::query(
            "INSERT INTO zstd_dictionary (number, dictionary) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(number)
        .bind(dictionary)
        .execute(&mut *connection)
        .await?;
        let equal: bool = sqlx::query_scalar("SELECT dictionary = $2 FROM zstd_dictionary WHERE number = $1")
            .bind(number)
            .bind(dictionary)
            .fetch_one(&mut *connection)
            .await?;
        if !equal {
            return Err(MigrateError::DictionaryDiffers(number));
        }
    }
    Ok(())
}

/// "tuple concurrently updated" and its like, and keys that another's transaction had just taken.
fn is_concurrent_change(error: &sqlx::migrate::MigrateError) -> bool {
    matches!(code_of(error).as_deref(), Some("XX000" | "23505" | "42710" | "40P01" | "40001"))
}

/// PostgreSQL's code of the error.
fn code_of(error: &sqlx::migrate::MigrateError) -> Option<Cow<'_, str>> {
    use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
    let (Execute(sqlx::Error::Database(db)) | ExecuteMigration(sqlx::Error::Database(db), _)) = error else {
        return None;
    };
    db.code()
}
