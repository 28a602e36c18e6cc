//! Writing facts about changes, and what follows from them.

use std::collections::{BTreeMap, HashMap};

use projections::change_review::{Review, Step};
use schemas::{Timestamp, changes::ChangeFact};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    budgets,
    facts::facts_of,
    table::{FactRow, News, ReviewRow},
};
use crate::{
    outbox::Outgoing,
    read_models::{Fact, ReadModel, WritePath, aliases::Aliases, stored_content::fill_stored},
};

/// Changes that are derived at a time: bounds the facts in memory.
const MAX_CHANGES: usize = 100;
/// Most impossible transitions that a row holds; all of them are counted, and the facts hold them.
const MAX_IMPOSSIBLE: usize = 100;

type Stated<'a> = Fact<'a, ChangeFact>;

/// The read model of change review.
#[derive(Debug, Default)]
pub struct ChangeReviews;

impl ReadModel for ChangeReviews {
    type Change = ChangeFact;
    type Key<'a> = (&'a str, Uuid);

    const TABLE: &'static str = "change_fact";
    const JOINED: &'static [&'static str] = &["change_budget", "change_fact", "change_review"];

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
        let keys: HashMap<Self::Key<'_>, usize> =
            facts.iter().map(|fact| Self::key(fact.change)).zip(0..).collect();
        let mut stored = vec![None; facts.len()];
        fill_stored(tx, Self::TABLE, &keys, &mut stored).await?;
        Ok(stored)
    }

    async fn write(&mut self, tx: &mut PgConnection, facts: &[Stated<'_>], _: WritePath) -> sqlx::Result<()> {
        let people: Vec<(&str, &str)> = facts.iter().flat_map(|fact| people(fact.change)).collect();
        let aliases = Aliases::of(tx, &people).await?;
        let rows: Vec<FactRow<'_>> = facts.iter().map(|fact| fact_row(fact, &aliases)).collect();
        FactRow::insert(tx, &rows).await?;
        for proposal in facts.iter().filter_map(|fact| fact.change.proposal.as_deref()) {
            let (route, plan) = (proposal.route.name(), proposal.plan.reading.name());
            metrics::counter!("weir_change_proposals_total", "route" => route, "plan" => plan).increment(1);
        }
        Ok(())
    }

    async fn fold(&mut self, tx: &mut PgConnection, new: &[Stated<'_>]) -> sqlx::Result<Vec<Outgoing>> {
        let mut touched: BTreeMap<(&str, &str), News<'_>> = BTreeMap::new();
        for Fact { change: fact, .. } in new {
            let key = (fact.tenant.as_str(), fact.change_id.as_str());
            let (tenant_id, change_id) = key;
            let at = fact.occurred_at;
            let news = News { tenant_id, change_id, first_at: at, last_at: at, facts: 0 };
            let known = touched.entry(key).or_insert(news);
            known.facts += 1;
            known.first_at = known.first_at.min(at);
            known.last_at = known.last_at.max(at);
        }
        let touched: Vec<News<'_>> = touched.into_values().collect();
        // All locks first, in their order; what is read afterwards is everything that others have committed.
        lock(tx, &touched).await?;
        let proposed = new.iter().filter(|fact| fact.change.proposal.is_some());
        let proposed: Vec<(&str, Uuid)> = proposed.map(|fact| Self::key(fact.change)).collect();
        budgets::judge_proposals(tx, &touched, &proposed).await?;
        for some in touched.chunks(MAX_CHANGES) {
            derive(tx, some).await?;
        }
        Ok(Vec::new())
    }
}

/// The people whom a fact names, each with its tenant.
fn people(fact: &ChangeFact) -> impl Iterator<Item = (&str, &str)> {
    let actor = fact.actor.as_ref().map(|actor| actor.id.as_str());
    actor.into_iter().chain(fact.second_party.as_deref()).map(move |person| (fact.tenant.as_str(), person))
}

fn fact_row<'a>(fact: &Stated<'a>, aliases: &'a Aliases) -> FactRow<'a> {
    let Fact { change, partition, offset } = *fact;
    let (actor, proposal) = (change.actor.as_ref(), change.proposal.as_deref());
    let tenant_id = change.tenant.as_str();
    let named = actor.filter(|actor| aliases.alias(tenant_id, &actor.id).is_none());
    FactRow {
        tenant_id,
        event_id: *change.event_id.as_uuid(),
        change_id: &change.change_id,
        kind: change.kind.name(),
        occurred_at: change.occurred_at,
        actor_kind: actor.map(|actor| actor.kind.name()),
        actor: actor.map(|actor| aliases.known_as(tenant_id, &actor.id)),
        actor_name: named.and_then(|actor| actor.name.as_deref()),
        second_party: change.second_party.as_deref().map(|party| aliases.known_as(tenant_id, party)),
        resource: change.resource.as_deref(),
        project: change.project.as_deref(),
        environment: change.environment.as_deref(),
        decision: change.decision.as_deref(),
        decided_proposal: change.decided_proposal.as_deref(),
        reason: change.reason.as_deref(),
        expires_at: change.expires_at,
        outcome: change.outcome.name(),
        outcome_code: change.outcome_code.as_deref(),
        route: proposal.map(|proposal| proposal.route.name()),
        score: proposal.map(|proposal| i16::from(proposal.score)),
        reading: proposal.map(|proposal| proposal.plan.reading.name()),
        proposal: proposal.map(Json),
        topic: partition.topic.name(),
        partition: partition.partition,
        record_offset: offset,
        content_sha256: &change.content_sha256,
    }
}

/// Makes the rows that are missing and locks all, in the order of the primary key: so that two batches that touch the same
/// changes wait for one another and never both for each other.
async fn lock(tx: &mut PgConnection, touched: &[News<'_>]) -> sqlx::Result<()> {
    // A conflict locks the row even where nothing is updated.
    sqlx::query(
        "INSERT INTO change_review AS r (tenant_id, change_id, first_at, last_at)
         SELECT tenant_id, change_id, first_at, last_at FROM unnest($1::change_news[])
         ON CONFLICT (tenant_id, change_id) DO UPDATE SET facts = r.facts WHERE false",
    )
    .bind(touched)
    .execute(tx)
    .await
    .map(drop)
}

/// Reads the facts of changes whose rows are locked, and writes what follows from them.
async fn derive(tx: &mut PgConnection, touched: &[News<'_>]) -> sqlx::Result<()> {
    let known = sqlx::query_as::<_, (Timestamp, Timestamp, i64)>(
        "SELECT least(r.first_at, a.first_at), greatest(r.last_at, a.last_at), r.facts + a.facts
           FROM unnest($1::change_news[]) WITH ORDINALITY AS a(tenant_id, change_id, first_at, last_at, facts, nth)
           JOIN change_review AS r USING (tenant_id, change_id) ORDER BY a.nth",
    );
    let known = known.bind(touched).fetch_all(&mut *tx).await?;
    if known.len() != touched.len() {
        return Err(sqlx::Error::RowNotFound);
    }
    let (tenants, ids): (Vec<&str>, Vec<&str>) =
        touched.iter().map(|news| (news.tenant_id, news.change_id)).unzip();
    let mut facts = facts_of(tx, &tenants, &ids).await?;
    let reviews: Vec<Review> =
        (0..touched.len()).map(|index| Review::of(&facts.remove(&index).unwrap_or_default())).collect();
    let rows = touched.iter().zip(known).zip(&reviews).map(|((news, (first_at, last_at, facts)), review)| {
        review_row(News { first_at, last_at, facts, ..*news }, review)
    });
    ReviewRow::upsert(tx, &rows.collect::<Vec<_>>()).await
}

/// The row of a change, of which so many facts between these instants are known.
fn review_row<'a>(of: News<'a>, review: &'a Review) -> ReviewRow<'a> {
    let proposal = review.proposal.as_ref();
    ReviewRow {
        tenant_id: of.tenant_id,
        change_id: of.change_id,
        approval: review.approval.name(),
        decision: review.decision.map(|(decision, _)| decision.name()),
        provisioning: review.provisioning.name(),
        route: proposal.map(|proposal| proposal.assessed.route.name()),
        score: proposal.map(|proposal| proposal.assessed.score),
        reading: proposal.map(|proposal| proposal.assessed.reading.name()),
        project: review.project.as_deref(),
        environment: review.environment.as_deref(),
        requested_by: review.requested_by.as_deref(),
        proposal_event_id: proposal.map(|proposal| proposal.event_id),
        proposed_at: proposal.map(|proposal| proposal.at),
        decided_at: review.decision.map(|(_, at)| at),
        approvals: review.approvals,
        approvals_needed: i16::try_from(review.approvals_needed()).unwrap_or(i16::MAX),
        approved_until: review.approved_until,
        impossible: Json(impossible(review)),
        impossible_total: i32::try_from(review.impossible().count()).unwrap_or(i32::MAX),
        first_at: of.first_at,
        last_at: of.last_at,
        facts: of.facts,
    }
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
