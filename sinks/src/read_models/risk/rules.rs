//! The rules that rows refer to: `risk_rule`, and those of its rows that are known already.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::{HashMap, HashMapExt as _};
use schemas::changes::{
    correlation::CorrelationTerms,
    risk::{RiskChange, SignalLevel, SignalRule},
};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};

use super::table::RuleRow;
use crate::read_models::Fact;

/// Rules that are kept in memory; with more, they are read again.
const MAX_KNOWN: usize = 10_000;

/// Rules that are not known to be stored, by tenant and key.
type Missing<'r> = BTreeMap<(&'r str, i64), (&'r Arc<SignalRule>, Option<&'r CorrelationTerms>)>;

/// Rules that are known to be stored.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// By tenant, then by key.
    known: HashMap<String, HashMap<i64, StoredRule>>,
    /// Number of them.
    count: usize,
}

/// A rule, and for a correlation the JSON text of its terms.
#[derive(Debug, Clone)]
struct StoredRule {
    rule: Arc<SignalRule>,
    terms: Option<Arc<CorrelationTerms>>,
}

/// Key by which rows refer to a rule: the first 8 bytes of the SHA-256 of all that is stored of it.
fn rule_key(rule: &SignalRule, terms: Option<&CorrelationTerms>) -> i64 {
    let digest: [u8; 32] = Sha256::digest(encoded(&(rule, terms))).into();
    i64::from_be_bytes(*digest.first_chunk().expect("8 of 32 bytes"))
}

/// Keys of the rules of a batch, each computed once: by the rule's place in memory, and whether terms belong to it.
#[derive(Debug, Default)]
pub(super) struct RuleKeys(HashMap<(usize, bool), i64>);

impl RuleKeys {
    /// The key of a rule that lives as long as the batch does.
    pub(super) fn of(&mut self, rule: &Arc<SignalRule>, terms: Option<&CorrelationTerms>) -> i64 {
        let place = Arc::as_ptr(rule).addr();
        *self.0.entry((place, terms.is_some())).or_insert_with(|| rule_key(rule, terms))
    }
}

impl Rules {
    /// Stores the rules of facts where they are missing. In transactions of their own, before that of the facts: whoever
    /// reads a row finds its rule, and what is known to be stored is not rolled back.
    pub(super) async fn store(
        &mut self,
        connection: &mut PgConnection,
        facts: &[Fact<'_, RiskChange>],
    ) -> sqlx::Result<()> {
        let missing = self.missing(rules_of(facts).into_iter());
        insert(connection, &missing).await?;
        for ((tenant, key), (rule, terms)) in missing {
            let stored = StoredRule { rule: Arc::clone(rule), terms: terms.cloned().map(Arc::new) };
            self.keep(tenant, key, stored);
        }
        Ok(())
    }

    /// Stores rules in the transaction whose rows refer to them, where they are not known to be stored: those that were read
    /// under a key that an older version had made.
    pub(super) async fn ensure(
        &self,
        tx: &mut PgConnection,
        rules: Vec<(&str, &Arc<SignalRule>)>,
    ) -> sqlx::Result<()> {
        let missing = self.missing(rules.into_iter().map(|(tenant, rule)| (tenant, rule, None)));
        insert(tx, &missing).await
    }

    fn missing<'r>(
        &self,
        rules: impl Iterator<Item = (&'r str, &'r Arc<SignalRule>, Option<&'r CorrelationTerms>)>,
    ) -> Missing<'r> {
        let (mut missing, mut keys) = (Missing::new(), RuleKeys::default());
        for (tenant, rule, terms) in rules {
            let key = keys.of(rule, terms);
            if self.known(tenant, key).is_none() {
                missing.insert((tenant, key), (rule, terms));
            }
        }
        missing
    }

    fn keep(&mut self, tenant: &str, key: i64, rule: StoredRule) {
        if self.count >= MAX_KNOWN {
            self.known.clear();
            self.count = 0;
        }
        if !self.known.contains_key(tenant) {
            self.known.insert(tenant.to_owned(), HashMap::new());
        }
        let replaced = self.known.get_mut(tenant).and_then(|own| own.insert(key, rule));
        self.count += usize::from(replaced.is_none());
    }

    fn known(&self, tenant: &str, key: i64) -> Option<&StoredRule> {
        self.known.get(tenant)?.get(&key)
    }

    /// Reads those of the rules that are not known yet.
    pub(super) async fn read(
        &mut self,
        connection: &mut PgConnection,
        mut missing: BTreeSet<(&str, i64)>,
    ) -> sqlx::Result<()> {
        missing.retain(|(tenant, key)| self.known(tenant, *key).is_none());
        if missing.is_empty() {
            return Ok(());
        }
        let (tenants, keys): (Vec<&str>, Vec<i64>) = missing.into_iter().unzip();
        let rows = sqlx::query(
            "SELECT r.* FROM unnest($1::text[], $2::bigint[]) AS a(tenant_id, rule_key)
               JOIN risk_rule AS r USING (tenant_id, rule_key)",
        )
        .bind(tenants)
        .bind(keys)
        .fetch_all(connection)
        .await?;
        for row in rows {
            let terms: Option<&str> = row.try_get("terms")?;
            let terms: Option<CorrelationTerms> = terms.map(decoded).transpose()?;
            let level: &str = row.try_get("level")?;
            let rule = SignalRule {
                id: row.try_get("rule_id")?,
                version: row.try_get("version")?,
                title: row.try_get("title")?,
                author: row.try_get("author")?,
                file: row.try_get("file")?,
                level: SignalLevel::ALL.into_iter().find(|known| known.name() == level).unwrap_or_default(),
                tactics: row.try_get("tactics")?,
                techniques: row.try_get("techniques")?,
            };
            let (tenant, key) = (row.try_get("tenant_id")?, row.try_get("rule_key")?);
            self.keep(tenant, key, StoredRule { rule: Arc::new(rule), terms: terms.map(Arc::new) });
        }
        Ok(())
    }

    /// A rule that was read or stored.
    pub(super) fn rule(&self, tenant: &str, key: i64) -> sqlx::Result<Arc<SignalRule>> {
        self.stored(tenant, key).map(|stored| Arc::clone(&stored.rule))
    }

    /// A correlation's terms.
    pub(super) fn terms(&self, tenant: &str, key: i64) -> sqlx::Result<Arc<CorrelationTerms>> {
        let terms = self.stored(tenant, key)?.terms.as_ref();
        terms.map(Arc::clone).ok_or_else(|| sqlx::Error::Decode("a correlation's rule has no terms".into()))
    }

    fn stored(&self, tenant: &str, key: i64) -> sqlx::Result<&StoredRule> {
        let stored = self.known(tenant, key);
        stored.ok_or_else(|| sqlx::Error::Decode(format!("no row of risk_rule has the key {key}").into()))
    }
}

/// The rules of facts, and the terms of those that are correlations.
fn rules_of<'f>(
    facts: &[Fact<'f, RiskChange>],
) -> Vec<(&'f str, &'f Arc<SignalRule>, Option<&'f CorrelationTerms>)> {
    let mut rules = Vec::new();
    for fact in facts {
        match fact.change {
            RiskChange::Signal(signal) => rules.push((signal.tenant.as_str(), &signal.rule, None)),
            // The correlation, and the rule of the signals that it becomes.
            RiskChange::Part(part) => {
                let (tenant, rule) = (part.tenant.as_str(), &part.rule);
                rules.extend([(tenant, rule, Some(&part.terms)), (tenant, rule, None)]);
            }
            RiskChange::Sightings(sightings) => {
                let tenant = sightings.tenant.as_str();
                for shown in &sightings.shown {
                    let (rule, terms) = (&shown.rule, shown.terms.as_ref());
                    rules.extend([(tenant, rule, Some(terms)), (tenant, rule, None)]);
                }
            }
            RiskChange::Weight(_) | RiskChange::Triage(_) | RiskChange::Unusable(_) => {}
        }
    }
    rules
}

async fn insert(connection: &mut PgConnection, missing: &Missing<'_>) -> sqlx::Result<()> {
    let rows: Vec<RuleRow<'_>> = missing.iter().map(|(key, rule)| row(*key, *rule)).collect();
    if rows.is_empty() { Ok(()) } else { RuleRow::insert_missing(connection, &rows).await }
}

fn row<'a>(
    (tenant, key): (&'a str, i64),
    (rule, terms): (&'a Arc<SignalRule>, Option<&CorrelationTerms>),
) -> RuleRow<'a> {
    RuleRow {
        rule_key: key,
        tenant_id: tenant,
        rule_id: &rule.id,
        version: &rule.version,
        title: &rule.title,
        author: rule.author.as_deref(),
        file: &rule.file,
        level: rule.level.name(),
        tactics: &rule.tactics,
        techniques: &rule.techniques,
        terms: terms.map(encoded),
    }
}

/// The JSON text of something that is stored as one.
pub(super) fn encoded<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and numbers serialise")
}

/// Decodes a stored JSON text.
pub(super) fn decoded<T: serde::de::DeserializeOwned>(text: &str) -> sqlx::Result<T> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}
