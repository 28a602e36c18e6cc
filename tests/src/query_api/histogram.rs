//! Counts over time of a log whose entries take longer to count than there is time for.

use std::time::Instant;

use schemas::TenantId;
use sinks::read_models::audit_entry::{
    facets::{self, Histogram, HistogramStep},
    read::AuditFilter,
};
use sqlx::{
    Executor as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::fixture::{Api, at, entry};

const DAY: i64 = 86_400;

/// Lets every entry that a histogram counts take 50 ms.
async fn slow(api: &mut Api) {
    let statements = "
        CREATE FUNCTION counted_slowly() RETURNS boolean LANGUAGE plpgsql VOLATILE COST 10000 AS $$
        BEGIN
          IF current_query() LIKE '%date_trunc%' THEN PERFORM pg_sleep(0.05); END IF;
          RETURN true;
        END $$;
        CREATE POLICY slow ON audit_entry AS RESTRICTIVE FOR SELECT TO weir_reader USING (counted_slowly());";
    api.owner.execute(statements).await.expect("made slow");
}

async fn counted(pool: &PgPool) -> Histogram {
    let tenant = TenantId::new("acme").expect("valid");
    let histogram = facets::histogram(pool, &tenant, &AuditFilter::default(), HistogramStep::Day).await;
    histogram.expect("an answer")
}

fn entries(histogram: &Histogram) -> i64 {
    histogram.points.iter().map(|point| point.entries).sum()
}

#[tokio::test]
async fn a_month_that_takes_too_long_is_counted_by_days() {
    let mut api = Api::start().await;
    // January, and a part of February: two entries a day.
    for day in 0..50 {
        api.insert(&entry(day * DAY, "Read")).await;
        api.insert(&entry(day * DAY + 1, "Read")).await;
    }
    assert_eq!((entries(&counted(&api.readers).await), counted(&api.readers).await.reached), (100, None));

    // February alone takes 1.9 s.
    slow(&mut api).await;
    let began = Instant::now();
    let part = counted(&api.readers).await;
    let reached = part.reached.unwrap_or_else(|| panic!("{:?} for all of it", began.elapsed()));
    assert!(part.points.first().is_some_and(|newest| newest.at == at(49 * DAY)), "{part:?}");
    assert!(reached > at(0) && part.points.iter().all(|point| point.at >= reached), "{part:?}");
    let days = (at(50 * DAY) - reached).num_days();
    assert_eq!(entries(&part), 2 * days, "all down to there: {part:?}");
}

#[tokio::test]
async fn a_day_that_takes_too_long_is_where_the_counting_ends() {
    let mut api = Api::start().await;
    api.insert(&entry(40 * DAY, "Read")).await;
    for second in 0..30 {
        api.insert(&entry(39 * DAY + second, "Read")).await;
    }
    api.insert(&entry(0, "Read")).await;
    slow(&mut api).await;
    let options = api.database.parse::<PgConnectOptions>().expect("an address");
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute("SET ROLE weir_reader").await.map(drop) })
        })
        .connect_lazy_with(options.options([("statement_timeout", "400")]));
    let part = counted(&pool).await;
    assert_eq!((entries(&part), part.reached), (1, Some(at(40 * DAY))));
}
