//! An audit log that is made up by the database itself, to measure searches by: 20 tenants, 12 months.

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection};

use crate::read_models::audit_entry::{terms::MAX_TERMS, upkeep::Upkeep};

/// Number of tenants: `t0` and so on.
pub const TENANTS: u64 = 20;
const MONTHS: u32 = 12;
/// Rows that one statement inserts.
const CHUNK_ROWS: u64 = 200_000;
/// One row in this number holds a rare term.
const RARE_EVERY: i64 = 20_011;

/// Number of entries of such a log that was filled before; `None` if there is none, or its filling was
/// interrupted.
pub async fn filled(url: &str) -> sqlx::Result<Option<u64>> {
    let mut connection = PgConnection::connect(url).await?;
    // The terms of this field are written last.
    let entries: Option<i64> =
        sqlx::query_scalar("SELECT sum(seen)::bigint FROM audit_term WHERE field = 'outcome'")
            .fetch_one(&mut connection)
            .await?;
    connection.close().await?;
    Ok(entries.map(i64::cast_unsigned))
}

/// Inserts entries in the order of their time, their terms, and the results of the stage's upkeep.
pub async fn fill(url: &str, rows: u64, today: NaiveDate, say: impl Fn(&str)) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let begins = today - chrono::Months::new(MONTHS);
    for month in 0..=MONTHS {
        make_partition(&mut connection, begins + chrono::Months::new(month), today).await?;
    }
    let apart_us = 365 * 86_400 * 1_000_000 / rows.max(1);
    let mut first = 0;
    while first < rows {
        let last = (first + CHUNK_ROWS).min(rows);
        say(&format!("{last} of {rows} entries"));
        insert(&mut connection, begins, [first, last, apart_us].map(u64::cast_signed)).await?;
        first = last;
    }
    say("terms, statistics, filters of block ranges");
    learn(&mut connection).await?;
    sqlx::query("VACUUM ANALYZE audit_entry").execute(&mut connection).await?;
    sqlx::query("ANALYZE audit_term").execute(&mut connection).await?;
    connection.close().await?;
    Upkeep::default().round(url, today).await
}

async fn make_partition(connection: &mut PgConnection, day: NaiveDate, today: NaiveDate) -> sqlx::Result<()> {
    sqlx::query("SELECT audit_entry_make_partition($1, $2)")
        .bind(day)
        .bind(today)
        .execute(connection)
        .await
        .map(drop)
}

/// About 800 bytes a row, of which the record is the half.
async fn insert(
    connection: &mut PgConnection,
    begins: NaiveDate,
    [first, last, apart_us]: [i64; 3],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO audit_entry (occurred_at, record_offset, event_id, partition, class_uid, activity_id, severity_id,
             record_dictionary, topic, tenant_id, kind, actor_kind, actor, actor_ip, action, resource_type, resource,
             project, outcome, source, correlation_id, content_sha256, record, other_resources)
         SELECT $1::date::timestamp AT TIME ZONE 'UTC' + n * $4 * interval '1 microsecond', n, gen_random_uuid(),
                n % 8, 6003, 1, 1, 0, 'weir.activity.v1', 't' || (n * 7919 % $5), 'ApiCalled', 'user',
                CASE WHEN n % $6 = 3 THEN 'visitor' ELSE 'user' || (random() * random() * 2000)::int END,
                CASE WHEN n % $6 = 5 THEN '203.0.113.7'
                     ELSE format('10.%s.%s.%s', (random() * random() * 4)::int, (random() * random() * 200)::int,
                                 (random() * random() * 200)::int) END,
                CASE WHEN n % $6 = 7 THEN 'DeleteTrail' WHEN random() < 0.4 THEN 'GetObject'
                     ELSE 'Action' || (random() * random() * 400)::int END,
                'bucket',
                CASE WHEN n % $6 = 11 THEN 'arn:aws:s3:::secret'
                     ELSE 'arn:aws:s3:::bucket-' || (random() * random() * 10000)::int END,
                'project' || (random() * 30)::int, CASE WHEN random() < 0.05 THEN 'failure' ELSE 'success' END,
                CASE WHEN n % $6 = 13 THEN '/aws/elsewhere' ELSE '/aws/cloudtrail/' || n % 3 END,
                CASE WHEN n % $6 < 40 THEN 'run-' || (n * 7919 % $5) ELSE gen_random_uuid()::text END,
                sha256(n::text::bytea), decode(repeat(md5(n::text), 25), 'hex'),
                CASE WHEN n % $6 = 17 THEN ARRAY['arn:aws:kms:::key', 'arn:aws:s3:::aside']
                     WHEN n % $6 = 15 THEN ARRAY['a', 'b', 'c', 'd', 'e', 'arn:aws:s3:::last']
                     WHEN random() < 0.25 THEN ARRAY['arn:aws:s3:::bucket-' || (random() * random() * 10000)::int] END
           FROM generate_series($2::bigint, $3::bigint - 1) AS n",
    )
    .bind(begins)
    .bind(first)
    .bind(last)
    .bind(apart_us)
    .bind(TENANTS.cast_signed())
    .bind(RARE_EVERY)
    .execute(connection)
    .await
    .map(drop)
}

/// Notes the terms as the stage would have done.
async fn learn(connection: &mut PgConnection) -> sqlx::Result<()> {
    for (field, column) in [
        ("actor", "actor"),
        ("action", "action"),
        ("resource", "resource"),
        ("other_resource", "unnest(other_resources)"),
        ("project", "project"),
        ("source", "source"),
        ("kind", "kind"),
        ("address", "actor_ip"),
        ("outcome", "outcome"),
    ] {
        let learn = format!(
            "WITH days AS (
               SELECT tenant_id, {column} AS term, (occurred_at AT TIME ZONE 'UTC')::date AS day, count(*) AS seen
                 FROM audit_entry GROUP BY 1, 2, 3
             ), by_term AS (
               SELECT tenant_id, term, sum(seen) AS seen,
                      CASE WHEN count(*) > 60 THEN datemultirange(daterange(min(day), max(day), '[]'))
                           ELSE range_agg(daterange(day, day, '[]')) END AS days,
                      row_number() OVER (PARTITION BY tenant_id ORDER BY min(day), term) AS nth
                 FROM days GROUP BY tenant_id, term
             ), kept AS (
               INSERT INTO audit_term (tenant_id, field, term, days, seen)
               SELECT tenant_id, '{field}', term, days, seen FROM by_term WHERE nth <= {MAX_TERMS}
             )
             INSERT INTO audit_term_field (tenant_id, field, terms, overflowed)
             SELECT tenant_id, '{field}', least(count(*), {MAX_TERMS} + 1), count(*) > {MAX_TERMS} FROM by_term GROUP BY 1"
        );
        sqlx::query(sqlx::AssertSqlSafe(learn)).execute(&mut *connection).await?;
    }
    Ok(())
}
