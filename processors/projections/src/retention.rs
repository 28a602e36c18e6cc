//! Retention of audit entries, and selection of those that are due for removal.

use std::collections::{BTreeMap, BTreeSet};

/// Retention of audit entries, in days since their arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditRetention {
    /// Days for entries that no rule matches; `None` keeps them for ever.
    pub days: Option<u32>,
    /// Rules for some entries. Of several matching rules the most specific one applies: tenant and class,
    /// then tenant, then class; of equally specific ones the longest.
    pub rules: Vec<RetentionRule>,
}

/// Retention of some entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// Only entries of this tenant.
    pub tenant: Option<String>,
    /// Only entries of this OCSF class.
    pub class_uid: Option<i32>,
    /// Days; `None` keeps them for ever.
    pub days: Option<u32>,
}

/// Entries of one partition, tenant, class and log, which are removed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// OCSF `class_uid`.
    pub class_uid: i32,
    /// The highest log index; `None` if all were written before there was a log.
    pub newest: Option<u64>,
}

/// Age of a log's entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogAge {
    /// The audit topic has all entries below this index.
    pub relayed: u64,
    /// By number of days: all entries below this index arrived at least that long ago.
    pub arrived: BTreeMap<u32, u64>,
}

impl AuditRetention {
    /// Number of days for which a tenant's entries of a class are kept; `None` for ever.
    pub fn days_of(&self, tenant: &str, class_uid: i32) -> Option<u32> {
        let fits = |rule: &&RetentionRule| {
            rule.tenant.as_deref().is_none_or(|own| own == tenant)
                && rule.class_uid.is_none_or(|own| own == class_uid)
        };
        let exactness = |rule: &RetentionRule| (rule.tenant.is_some(), rule.class_uid.is_some());
        let longest = |rule: &RetentionRule| rule.days.map_or(u64::MAX, u64::from);
        let best = self.rules.iter().filter(fits).max_by_key(|rule| (exactness(rule), longest(rule)));
        best.map_or(self.days, |rule| rule.days)
    }

    /// Every number of days that a rule names.
    pub fn all_days(&self) -> BTreeSet<u32> {
        self.rules.iter().map(|rule| rule.days).chain([self.days]).flatten().collect()
    }

    /// Whether nothing is ever removed.
    pub fn keeps_all(&self) -> bool {
        self.all_days().is_empty()
    }
}

/// Whether a group is due: its newest entry arrived long enough ago, and the audit topic has all of it.
pub fn due(retention: &AuditRetention, group: &Group<'_>, log: &LogAge) -> bool {
    let Some(days) = retention.days_of(group.tenant, group.class_uid) else { return false };
    let arrived = log.arrived.get(&days).copied().unwrap_or(0);
    match group.newest {
        Some(newest) => newest < arrived && newest < log.relayed,
        // Whatever was written before the log was there when its first entries were.
        None => arrived > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tenant: &str, class_uid: Option<i32>, days: Option<u32>) -> RetentionRule {
        RetentionRule { tenant: (!tenant.is_empty()).then(|| tenant.to_owned()), class_uid, days }
    }

    #[test]
    fn the_most_exact_rule_counts_and_of_equal_ones_the_longest() {
        let rules = vec![
            rule("", Some(3002), Some(30)),
            rule("acme", None, Some(365)),
            rule("acme", None, Some(7)),
            rule("acme", Some(6003), None),
        ];
        let retention = AuditRetention { days: Some(90), rules };
        for (tenant, class, days) in [
            ("other", 6003, Some(90)),
            ("other", 3002, Some(30)),
            ("acme", 3002, Some(365)),
            ("acme", 6003, None),
        ] {
            assert_eq!(retention.days_of(tenant, class), days, "{tenant} {class}");
        }
        assert_eq!(retention.all_days().into_iter().collect::<Vec<_>>(), [7, 30, 90, 365]);
        assert!(AuditRetention::default().keeps_all() && !retention.keeps_all());
    }

    #[test]
    fn a_group_is_due_once_its_newest_arrived_long_ago_and_left() {
        let retention = AuditRetention { days: Some(90), rules: Vec::new() };
        let log = |relayed, arrived| LogAge { relayed, arrived: [(90, arrived)].into() };
        let check = |newest, log: &LogAge, expected| {
            let group = Group { tenant: "acme", class_uid: 6003, newest };
            assert_eq!(due(&retention, &group, log), expected, "{newest:?} {log:?}");
        };
        check(Some(9), &log(20, 10), true);
        check(Some(10), &log(20, 10), false);
        check(Some(9), &log(9, 10), false);
        check(None, &log(0, 1), true);
        check(None, &LogAge::default(), false);
        check(Some(0), &LogAge::default(), false);
    }
}
