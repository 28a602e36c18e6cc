//! How long audit entries are kept, and which are due.

use std::collections::{BTreeMap, BTreeSet};

/// How many days audit entries are kept, counted from their arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditRetention {
    /// For entries that no rule names; `None`: for ever.
    pub days: Option<u32>,
    /// What else holds for some; of several rules that fit the most exact one counts: tenant and class, then tenant, then
    /// class, and of equally exact ones the longest.
    pub rules: Vec<RetentionRule>,
}

/// How long some entries are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// Of this tenant only.
    pub tenant: Option<String>,
    /// Of this OCSF class only.
    pub class_uid: Option<i32>,
    /// Days; `None`: for ever.
    pub days: Option<u32>,
}

/// Entries of one partition, tenant, class and log, which go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// OCSF `class_uid`.
    pub class_uid: i32,
    /// The highest index; `None` where all were written before there was a log.
    pub newest: Option<u64>,
}

/// What is known of a log's age.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogAge {
    /// The audit topic has all entries below this index.
    pub relayed: u64,
    /// By number of days: all entries below this index arrived so long ago or longer.
    pub arrived: BTreeMap<u32, u64>,
}

impl AuditRetention {
    /// For how many days a tenant's entries of a class are kept; `None`: for ever.
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

    /// Every number of days that is asked for.
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
