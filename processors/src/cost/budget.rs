//! Decisions about budgets.
//!
//! The decision is the amount, or `removed`. Attributes: `currency`, `period` (`monthly`, `quarterly`,
//! `yearly`), at most one of `project`, `team` and `tag` (`key=value`), `cost` (`billed`, `effective`),
//! `enforcement` (`soft`, `hard`) and `thresholds` (percentages separated by commas).

use rust_decimal::Decimal;
use schemas::{
    Envelope,
    changes::cost::{
        BudgetCost, BudgetFact, BudgetLimit, BudgetPeriod, BudgetScope, BudgetTerms, Enforcement, bounded_id,
    },
    events::{Governance, GovernanceKind},
};

/// Subject kind of governance events about budgets.
const SUBJECT_KIND: &str = "budget";
/// Default thresholds, in percent.
const THRESHOLDS: [u16; 4] = [50, 80, 90, 100];
/// Maximum number of thresholds, and the highest one.
const MAX_THRESHOLDS: usize = 20;
const MAX_PERCENT: u16 = 1_000;

pub(super) fn budget(envelope: &Envelope, event: &Governance) -> Option<BudgetFact> {
    if event.kind != GovernanceKind::BudgetSet
        || event.subject_kind != SUBJECT_KIND
        || event.subject_id.is_empty()
    {
        return None;
    }
    let terms = match event.decision.as_deref().map(str::trim) {
        Some("removed") => BudgetTerms::Removed,
        decision => limit(decision, event).map_or_else(BudgetTerms::Unreadable, BudgetTerms::Set),
    };
    Some(BudgetFact {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        budget: bounded_id(&event.subject_id),
        decided_at: envelope.occurred_at,
        actor: event.actor.id.clone(),
        reason: event.reason.clone(),
        terms,
        content_sha256: envelope.content_sha256(),
    })
}

fn limit(decision: Option<&str>, event: &Governance) -> Result<BudgetLimit, String> {
    let told = |name: &str| event.attributes.get(name).map(|text| text.trim());
    let amount = decision.or_else(|| told("amount")).ok_or("there is no amount")?;
    let amount = amount.parse::<Decimal>().ok().filter(|amount| *amount > Decimal::ZERO);
    let amount = amount.ok_or("the amount is no decimal number above zero")?;
    let currency = told("currency").ok_or("there is no currency")?;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err("the currency is not three capital letters (ISO 4217)".into());
    }
    Ok(BudgetLimit {
        amount,
        currency: currency.to_owned(),
        period: word(told("period"), "period", BudgetPeriod::Monthly, BudgetPeriod::from_name)?,
        scope: scope(event)?,
        cost: word(told("cost"), "cost", BudgetCost::Billed, BudgetCost::from_name)?,
        enforcement: word(told("enforcement"), "enforcement", Enforcement::Soft, Enforcement::from_name)?,
        thresholds: thresholds(told("thresholds"))?,
    })
}

/// The value of a word, or a default if the attribute is absent.
fn word<T>(
    told: Option<&str>,
    name: &str,
    otherwise: T,
    from_name: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    match told {
        None => Ok(otherwise),
        Some(text) => from_name(text).ok_or_else(|| format!("{name} {text:?} is unknown")),
    }
}

fn scope(event: &Governance) -> Result<BudgetScope, String> {
    let told =
        |name: &str| event.attributes.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    match (told("project"), told("team"), told("tag")) {
        (None, None, None) => Ok(BudgetScope::Tenant),
        (Some(project), None, None) => Ok(BudgetScope::Project(project.to_owned())),
        (None, Some(team), None) => Ok(BudgetScope::Team(team.to_owned())),
        (None, None, Some(tag)) => match tag.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(BudgetScope::Tag { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("the tag is not key=value".into()),
        },
        _ => Err("a budget is for a project, a team or a tag, and not for several".into()),
    }
}

fn thresholds(told: Option<&str>) -> Result<Vec<u16>, String> {
    let Some(told) = told else { return Ok(THRESHOLDS.to_vec()) };
    let percent = |text: &str| text.trim().parse().ok().filter(|percent| (1..=MAX_PERCENT).contains(percent));
    let mut percents: Vec<u16> = told
        .split(',')
        .map(percent)
        .collect::<Option<_>>()
        .ok_or("a threshold is not a percent from 1 to 1000")?;
    percents.sort_unstable();
    percents.dedup();
    if percents.len() > MAX_THRESHOLDS {
        return Err(format!("there are more than {MAX_THRESHOLDS} thresholds"));
    }
    Ok(percents)
}
