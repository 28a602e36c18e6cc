//! `[retention]`: for how long what is kept.

use anyhow::Context;
use audit_log::keys::{PrivateKey, PublicKey};
use schemas::TenantId;
use serde::{Deserialize, Serialize};
use sinks::retention::{AuditRetention, RetentionPolicy, RetentionRule};

/// `[retention]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retention {
    /// Days for which audit entries are kept, counted from their arrival; 0 for ever.
    pub(crate) audit_days: u32,
    /// Audit entries that are kept for another time.
    pub(crate) audit: Vec<AuditRule>,
    /// Days for which parked records are kept after they were replayed or discarded; 0 for ever.
    pub(crate) settled_parked_days: u32,
    /// Days for which risk signals and events that no rule could read are kept, by event time; 0 for ever.
    pub(crate) risk_days: u32,
    /// Days for which events that correlations count are kept, beyond twice the timespan they count in; 0 for ever.
    pub(crate) correlation_days: u32,
    /// Days for which measurements of utilisation are kept, by the time of the measurement; 0 for ever.
    pub(crate) utilisation_days: u32,
}

/// `[[retention.audit]]`: of a tenant, of a class, or of both.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditRule {
    tenant: Option<String>,
    class: Option<i32>,
    days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            audit_days: 90,
            audit: Vec::new(),
            settled_parked_days: 30,
            risk_days: 180,
            correlation_days: 30,
            utilisation_days: 400,
        }
    }
}

impl Retention {
    /// Retention policy for a log that these keys sign and have signed.
    pub(crate) fn policy(
        &self,
        keys: Vec<PrivateKey>,
        earlier_keys: Vec<PublicKey>,
    ) -> anyhow::Result<RetentionPolicy> {
        Ok(RetentionPolicy {
            audit: self.audit()?,
            settled_parked_days: days(self.settled_parked_days),
            risk_days: days(self.risk_days),
            correlation_days: days(self.correlation_days),
            utilisation_days: days(self.utilisation_days),
            keys,
            earlier_keys,
        })
    }

    fn audit(&self) -> anyhow::Result<AuditRetention> {
        let rule = |rule: &AuditRule| {
            if let Some(tenant) = &rule.tenant {
                TenantId::new(tenant).context("a rule of [[retention.audit]] names no tenant")?;
            }
            anyhow::ensure!(
                rule.tenant.is_some() || rule.class.is_some(),
                "a rule of [[retention.audit]] names neither tenant nor class: set retention.audit_days"
            );
            Ok(RetentionRule { tenant: rule.tenant.clone(), class_uid: rule.class, days: days(rule.days) })
        };
        let rules = self.audit.iter().map(rule).collect::<anyhow::Result<_>>()?;
        Ok(AuditRetention { days: days(self.audit_days), rules })
    }
}

/// 0 is for ever.
fn days(days: u32) -> Option<u32> {
    (days > 0).then_some(days)
}

#[cfg(test)]
mod tests {
    use figment::{Figment, providers::Serialized};

    use super::*;

    fn rule(tenant: Option<&str>, class: Option<i32>) -> AuditRule {
        AuditRule { tenant: tenant.map(str::to_owned), class, days: 7 }
    }

    #[test]
    fn rules_come_from_the_environment_too_and_name_something() {
        let audit = vec![rule(Some("acme"), Some(3002)), rule(None, Some(6003)), rule(Some("eu.b"), None)];
        let retention = Retention { audit, ..Retention::default() };
        let rules = r#"[{tenant="acme",class=3002,days=7},{class=6003,days=7},{tenant="eu.b",days=7}]"#;
        let value: figment::value::Value = rules.parse().expect("never fails");
        let read: Vec<AuditRule> =
            Figment::from(Serialized::default("audit", value)).extract_inner("audit").expect("a list");
        let text = |rules: &Vec<AuditRule>| serde_json::to_value(rules).expect("JSON");
        assert_eq!(text(&read), text(&retention.audit));
        assert_eq!(retention.audit().expect("rules").days_of("acme", 3002), Some(7));
        let empty = Retention { audit: vec![rule(None, None)], ..Retention::default() };
        assert!(empty.audit().expect_err("it names nothing").to_string().contains("retention.audit_days"));
        let for_ever = Retention { audit_days: 0, settled_parked_days: 0, ..Retention::default() };
        let policy = for_ever.policy(Vec::new(), Vec::new()).expect("no rules");
        assert!(policy.audit.keeps_all());
        assert_eq!((policy.settled_parked_days, policy.risk_days), (None, Some(180)));
    }
}
