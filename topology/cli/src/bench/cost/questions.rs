//! Times of queries about days.

use std::time::{Duration, Instant};

use anyhow::Context;
use schemas::TenantId;
use serde::Serialize;
use sinks::{
    postgres::PgPool,
    read_models::{
        cost::read::{self, By, CostFilter, CostView, Dimension, Step},
        reader_pool,
    },
};

/// Most values of a breakdown, as the query API has it by default.
const LIMIT: u16 = 50;

/// One question, asked several times.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    pub(super) question: &'static str,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    /// Points or values of the last answer.
    pub(super) answers: usize,
}

/// Query.
#[derive(Debug, Clone, Copy)]
enum Question {
    Timeseries(Step),
    Breakdown(Dimension),
    Team,
}

const QUESTIONS: [(&str, Question); 6] = [
    ("timeseries by day", Question::Timeseries(Step::Day)),
    ("timeseries by month", Question::Timeseries(Step::Month)),
    ("breakdown by service", Question::Breakdown(Dimension::Service)),
    ("breakdown by region", Question::Breakdown(Dimension::Region)),
    ("breakdown by resource", Question::Breakdown(Dimension::Resource)),
    ("breakdown by the tag team", Question::Team),
];

/// Asks each question so often.
pub(super) async fn ask(database: &str, tenant: &str, rounds: u32) -> anyhow::Result<Vec<Answered>> {
    let pool = reader_pool(database, 1)?;
    let tenant = TenantId::new(tenant).context("the bench's own tenant")?;
    let mut answered = Vec::new();
    for (question, asked) in QUESTIONS {
        // Once without measuring, as caches are warm in use.
        one(&pool, &tenant, asked).await?;
        let (mut took, mut answers) = (Vec::new(), 0);
        for _ in 0..rounds {
            let began = Instant::now();
            answers = one(&pool, &tenant, asked).await?;
            took.push(began.elapsed());
        }
        took.sort();
        let at = |share: usize| took.get((took.len() * share).div_ceil(100).saturating_sub(1)).copied();
        let millis =
            |time: Option<Duration>| time.map_or(0.0, |time| (time.as_secs_f64() * 1e4).round() / 10.0);
        answered.push(Answered { question, p50_ms: millis(at(50)), p95_ms: millis(at(95)), answers });
    }
    pool.close().await;
    Ok(answered)
}

async fn one(pool: &PgPool, tenant: &TenantId, question: Question) -> anyhow::Result<usize> {
    let (view, filter) = (CostView::default(), CostFilter::default());
    let by = match question {
        Question::Timeseries(step) => {
            return Ok(read::timeseries(pool, tenant, &view, &filter, step).await?.points.len());
        }
        Question::Breakdown(dimension) => By::Dimension(dimension),
        Question::Team => By::Tag("team".to_owned()),
    };
    Ok(read::breakdown(pool, tenant, &view, &filter, by, LIMIT).await?.items.len())
}
