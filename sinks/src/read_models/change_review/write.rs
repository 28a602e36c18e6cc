//! Writing facts about changes, and what follows from them.

use std::{collections::BTreeMap, sync::LazyLock};

use projections::change_review::{Review, Standing, Step};
use schemas::{Timestamp, changes::ChangeFact};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::facts::facts_of;
use crate::{
    outbox::Outgoing,
    read_models::{Fact, ReadModel, WritePath},
};

/// Changes that are derived at a time: bounds the facts in memory.
const MAX_CHANGES: usize = 100;
/// Most impossible transitions that a row holds; all of them are counted, and the facts hold them.
const MAX_IMPOSSIBLE: usize = 100;

/// The columns of a fact in the order in which they are written, and their types.
const COLUMNS: [(&str, &str); 24] = [
    ("tenant_id", "text"),
    ("event_id", "uuid"),
    ("change_id", "text"),
    ("kind", "text"),
    ("occurred_at", "timestamptz"),
    ("actor_kind", "text"),
    ("actor", "text"),
    ("actor_name", "text"),
    ("resource", "text"),
    ("project", "text"),
    ("environment", "text"),
    ("decision", "text"),
    ("reason", "text"),
    ("expires_at", "timestamptz"),
    ("outcome", "text"),
    ("outcome_code", "text"),
    ("route", "text"),
    ("score", "smallint"),
    ("reading", "text"),
    ("proposal", "jsonb"),
    ("topic", "text"),
    ("partition", "int"),
    ("record_offset", "bigint"),
    ("content_sha256", "bytea"),
];

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let arrays: Vec<String> =
        (1..).zip(COLUMNS).map(|(number, (_, kind))| format!("${number}::{kind}[]")).collect();
    format!("INSERT INTO change_fact ({names}) SELECT * FROM unnest({})", arrays.join(", "))
});

type Stated<'a> = Fact<'a, ChangeFact>;

/// The read model of change review.
#[derive(Debug, Default)]
pub struct ChangeReviews;

impl ReadModel for ChangeReviews {
    type Change = ChangeFact;
    type Key<'a> = (&'a str, Uuid);

    const TABLE: &'static str = "change_fact";

    fn key(fact: &ChangeFact) -> Self::Key<'_> {
        (fact.tenant.as_str(), *fact.event_id.as_uuid())
    }

    fn content_sha256(fact: &ChangeFact) -> [u8; 32] {
        fact.content_sha256
    }

    async fn prepare(&mut self, _: &mut PgConnection, _: &[Stated<'_>]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Stated<'_>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT a.nth, f.content_sha256
               FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS a(tenant_id, event_id, nth)
               JOIN change_fact AS f USING (tenant_id, event_id)",
        )
        .bind(column(facts, |f| f.tenant.as_str()))
        .bind(column(facts, |f| *f.event_id.as_uuid()))
        .fetch_all(tx)
        .await?;
        let mut stored = vec![None; facts.len()];
        for (nth, content) in rows {
            let slot = usize::try_from(nth - 1).ok().and_then(|index| stored.get_mut(index));
            let (Some(slot), Ok(content)) = (slot, <[u8; 32]>::try_from(content)) else {
                return Err(sqlx::Error::Decode("content_sha256 is not 32 bytes long".into()));
            };
            *slot = Some(content);
        }
        Ok(stored)
    }

    async fn write(&mut self, tx: &mut PgConnection, facts: &[Stated<'_>], _: WritePath) -> sqlx::Result<()> {
        let proposals = |of: fn(&schemas::changes::Proposal) -> &'static str| {
            column(facts, move |f| f.proposal.as_deref().map(of))
        };
        sqlx::query(INSERT.as_str())
            .bind(column(facts, |f| f.tenant.as_str()))
            .bind(column(facts, |f| *f.event_id.as_uuid()))
            .bind(column(facts, |f| f.change_id.as_str()))
            .bind(column(facts, |f| f.kind.name()))
            .bind(column(facts, |f| f.occurred_at))
            .bind(column(facts, |f| f.actor.as_ref().map(|actor| actor.kind.name())))
            .bind(column(facts, |f| f.actor.as_ref().map(|actor| actor.id.as_str())))
            .bind(column(facts, |f| f.actor.as_ref().and_then(|actor| actor.name.as_deref())))
            .bind(column(facts, |f| f.resource.as_deref()))
            .bind(column(facts, |f| f.project.as_deref()))
            .bind(column(facts, |f| f.environment.as_deref()))
            .bind(column(facts, |f| f.decision.as_deref()))
            .bind(column(facts, |f| f.reason.as_deref()))
            .bind(column(facts, |f| f.expires_at))
            .bind(column(facts, |f| f.outcome.name()))
            .bind(column(facts, |f| f.outcome_code.as_deref()))
            .bind(proposals(|proposal| proposal.route.name()))
            .bind(column(facts, |f| f.proposal.as_deref().map(|proposal| i16::from(proposal.score))))
            .bind(proposals(|proposal| proposal.plan.reading.name()))
            .bind(column(facts, |f| f.proposal.as_deref().map(Json)))
            .bind(facts.iter().map(|f| f.partition.topic.name()).collect::<Vec<_>>())
            .bind(facts.iter().map(|f| f.partition.partition).collect::<Vec<_>>())
            .bind(facts.iter().map(|f| f.offset).collect::<Vec<_>>())
            .bind(column(facts, |f| f.content_sha256.as_slice()))
            .execute(tx)
            .await?;
        for proposal in facts.iter().filter_map(|fact| fact.change.proposal.as_deref()) {
            let (route, plan) = (proposal.route.name(), proposal.plan.reading.name());
            metrics::counter!("weir_change_proposals_total", "route" => route, "plan" => plan).increment(1);
        }
        Ok(())
    }

    async fn fold(&mut self, tx: &mut PgConnection, new: &[Stated<'_>]) -> sqlx::Result<Vec<Outgoing>> {
        let mut touched: BTreeMap<(&str, &str), News> = BTreeMap::new();
        for fact in new {
            let key = (fact.change.tenant.as_str(), fact.change.change_id.as_str());
            touched
                .entry(key)
                .and_modify(|news| news.add(fact.change))
                .or_insert_with(|| News::of(fact.change));
        }
        let touched: Vec<_> = touched.into_iter().collect();
        // All locks first, in their order; what is read afterwards is everything that others have committed.
        lock(tx, &touched).await?;
        for some in touched.chunks(MAX_CHANGES) {
            derive(tx, some).await?;
        }
        Ok(Vec::new())
    }
}

/// What a batch adds to a change besides its facts.
#[derive(Debug, Clone, Copy)]
struct News {
    facts: i64,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl News {
    fn of(fact: &ChangeFact) -> Self {
        Self { facts: 1, first_at: fact.occurred_at, last_at: fact.occurred_at }
    }

    fn add(&mut self, fact: &ChangeFact) {
        self.facts += 1;
        self.first_at = self.first_at.min(fact.occurred_at);
        self.last_at = self.last_at.max(fact.occurred_at);
    }
}

type Touched<'a> = ((&'a str, &'a str), News);

/// Makes the rows that are missing, locks all, and counts what is new. Both in the order of the primary key, so that
/// two batches that touch the same changes wait for one another and never both for each other.
async fn lock(tx: &mut PgConnection, touched: &[Touched<'_>]) -> sqlx::Result<()> {
    let tenants: Vec<&str> = touched.iter().map(|((tenant, _), _)| *tenant).collect();
    let ids: Vec<&str> = touched.iter().map(|((_, id), _)| *id).collect();
    sqlx::query(
        "INSERT INTO change_review (tenant_id, change_id, first_at, last_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
             AS a(tenant_id, change_id, first_at, last_at)
          ORDER BY tenant_id, change_id
         ON CONFLICT DO NOTHING",
    )
    .bind(&tenants)
    .bind(&ids)
    .bind(touched.iter().map(|(_, news)| news.first_at).collect::<Vec<_>>())
    .bind(touched.iter().map(|(_, news)| news.last_at).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "SELECT 1 FROM change_review
          WHERE (tenant_id, change_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
          ORDER BY tenant_id, change_id FOR UPDATE",
    )
    .bind(&tenants)
    .bind(&ids)
    .execute(tx)
    .await?;
    Ok(())
}

/// Reads the facts of changes whose rows are locked, and writes what follows from them.
async fn derive(tx: &mut PgConnection, touched: &[Touched<'_>]) -> sqlx::Result<()> {
    let tenants: Vec<&str> = touched.iter().map(|((tenant, _), _)| *tenant).collect();
    let ids: Vec<&str> = touched.iter().map(|((_, id), _)| *id).collect();
    let mut facts = facts_of(tx, &tenants, &ids).await?;
    let reviews: Vec<Review> =
        (0..touched.len()).map(|index| Review::of(&facts.remove(&index).unwrap_or_default())).collect();
    let standing = |of: fn(&Standing) -> &'static str| {
        reviews.iter().map(|review| review.proposal.as_ref().map(of)).collect::<Vec<_>>()
    };
    sqlx::query(
        "UPDATE change_review AS r
            SET approval = a.approval, decision = a.decision, provisioning = a.provisioning, route = a.route,
                score = a.score, reading = a.reading, project = a.project, environment = a.environment,
                requested_by = a.requested_by, proposal_event_id = a.proposal_event_id,
                proposed_at = a.proposed_at, decided_at = a.decided_at, approvals = a.approvals,
                approvals_needed = a.approvals_needed, impossible = a.impossible,
                impossible_total = a.impossible_total, first_at = least(r.first_at, a.first_at),
                last_at = greatest(r.last_at, a.last_at), facts = r.facts + a.facts
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[],
                       $8::text[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::timestamptz[],
                       $14::timestamptz[], $15::smallint[], $16::smallint[], $17::jsonb[], $18::int[],
                       $19::timestamptz[], $20::timestamptz[], $21::bigint[])
             AS a(tenant_id, change_id, approval, decision, provisioning, route, score, reading, project,
                  environment, requested_by, proposal_event_id, proposed_at, decided_at, approvals,
                  approvals_needed, impossible, impossible_total, first_at, last_at, facts)
          WHERE r.tenant_id = a.tenant_id AND r.change_id = a.change_id",
    )
    .bind(&tenants)
    .bind(&ids)
    .bind(each(&reviews, |r| r.approval.name()))
    .bind(each(&reviews, |r| r.decision.map(|(decision, _)| decision.name())))
    .bind(each(&reviews, |r| r.provisioning.name()))
    .bind(standing(|proposal| proposal.assessed.route.name()))
    .bind(each(&reviews, |r| r.proposal.map(|proposal| proposal.assessed.score)))
    .bind(standing(|proposal| proposal.assessed.reading.name()))
    .bind(each(&reviews, |r| r.project.as_deref()))
    .bind(each(&reviews, |r| r.environment.as_deref()))
    .bind(each(&reviews, |r| r.requested_by.as_deref()))
    .bind(each(&reviews, |r| r.proposal.map(|proposal| proposal.event_id)))
    .bind(each(&reviews, |r| r.proposal.map(|proposal| proposal.at)))
    .bind(each(&reviews, |r| r.decision.map(|(_, at)| at)))
    .bind(each(&reviews, |r| r.approvals))
    .bind(each(&reviews, |r| i16::try_from(r.approvals_needed()).unwrap_or(i16::MAX)))
    .bind(each(&reviews, impossible))
    .bind(each(&reviews, |r| i32::try_from(r.impossible().count()).unwrap_or(i32::MAX)))
    .bind(touched.iter().map(|(_, news)| news.first_at).collect::<Vec<_>>())
    .bind(touched.iter().map(|(_, news)| news.last_at).collect::<Vec<_>>())
    .bind(touched.iter().map(|(_, news)| news.facts).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// The transitions that cannot be, as a row holds them.
fn impossible(review: &Review) -> Value {
    let one = |step: &Step| {
        serde_json::json!({
            "event_id": step.event_id,
            "occurred_at": step.occurred_at,
            "kind": step.kind,
            "actor": step.actor,
            "impossible": step.impossible,
        })
    };
    review.impossible().take(MAX_IMPOSSIBLE).map(one).collect()
}

fn column<'a, T>(facts: &[Stated<'a>], of: impl Fn(&'a ChangeFact) -> T) -> Vec<T> {
    facts.iter().map(|fact| of(fact.change)).collect()
}

fn each<'r, T>(reviews: &'r [Review], of: impl Fn(&'r Review) -> T) -> Vec<T> {
    reviews.iter().map(of).collect()
}
