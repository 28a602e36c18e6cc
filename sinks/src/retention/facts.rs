//! Removing facts of other tables that are old enough, each by its own rule. What a legal hold keeps stays.

use chrono::TimeDelta;
use schemas::Timestamp;
use sqlx::PgConnection;

use super::RetentionPolicy;

/// Rows of a table that go.
struct Rule {
    table: &'static str,
    /// Deletes what is older than its parameter.
    delete: &'static str,
    days: fn(&RetentionPolicy) -> Option<u32>,
}

const RULES: [Rule; 10] = [
    // Settled: published anew, or given up. Those that wait for somebody stay.
    Rule {
        table: "parked_record",
        delete: "DELETE FROM parked_record AS p WHERE p.status <> 'parked' AND p.settled_at < $1
                    AND (p.tenant_id IS NULL OR NOT legal_hold_keeps(p.tenant_id, NULL, NULL, NULL))",
        days: |policy| policy.settled_parked_days,
    },
    // By event time, whole hours. Exposures, scores and incidents stay as they are: they are sums of signals by the hour, and
    // signals that come again are told by them.
    Rule {
        table: "risk_signal",
        delete:
            "DELETE FROM risk_signal AS s WHERE s.occurred_at < date_trunc('hour', $1::timestamptz, 'UTC')
                    AND NOT legal_hold_keeps(s.tenant_id, s.actor, s.entity, NULL)",
        days: |policy| policy.risk_days,
    },
    Rule {
        table: "risk_unusable",
        delete: "DELETE FROM risk_unusable AS u WHERE u.occurred_at < $1
                    AND NOT legal_hold_keeps(u.tenant_id, NULL, NULL, NULL)",
        days: |policy| policy.risk_days,
    },
    // Longer than any correlation of the group looks back, twice: a late event is still correlated.
    Rule {
        table: "risk_correlation_event",
        delete: "DELETE FROM risk_correlation_event AS e USING risk_correlation_group AS g
                  WHERE g.tenant_id = e.tenant_id AND g.rule_id = e.rule_id AND g.group_key = e.group_key
                    AND e.occurred_at < $1 - 2 * make_interval(secs => g.longest_seconds::float8)
                    AND NOT legal_hold_keeps(e.tenant_id, NULL, NULL, NULL)",
        days: |policy| policy.correlation_days,
    },
    // What was told of events that are gone, as long as the signals: some of the events may be imported again. No event is left
    // that a late one could complete it with.
    Rule {
        table: "risk_correlation_report",
        delete: "DELETE FROM risk_correlation_report AS r USING risk_correlation_group AS g
                  WHERE g.tenant_id = r.tenant_id AND g.rule_id = r.rule_id AND g.group_key = r.group_key
                    AND r.occurred_at < $1 - 2 * make_interval(secs => g.longest_seconds::float8)
                    AND NOT legal_hold_keeps(r.tenant_id, NULL, NULL, NULL)",
        days: |policy| {
            policy.correlation_days.zip(policy.risk_days).map(|(events, signals)| events.max(signals))
        },
    },
    // A group comes back with its next event. The newest instant is compared again once the row is locked.
    Rule {
        table: "risk_correlation_group",
        delete: "DELETE FROM risk_correlation_group AS g
                  WHERE g.newest_at < $1 - 2 * make_interval(secs => g.longest_seconds::float8)
                    AND NOT EXISTS (SELECT FROM risk_correlation_event AS e
                                     WHERE e.tenant_id = g.tenant_id AND e.rule_id = g.rule_id
                                       AND e.group_key = g.group_key)
                    AND NOT EXISTS (SELECT FROM risk_correlation_report AS r
                                     WHERE r.tenant_id = g.tenant_id AND r.rule_id = g.rule_id
                                       AND r.group_key = g.group_key)",
        days: |policy| policy.correlation_days,
    },
    // Whoever was quiet for so long is got to know anew. The values first: the groups say which ones.
    Rule {
        table: "risk_first_seen",
        delete: "DELETE FROM risk_first_seen AS s USING risk_first_seen_group AS g
                  WHERE g.tenant_id = s.tenant_id AND g.rule_id = s.rule_id AND g.group_key = s.group_key
                    AND g.last_day < floor(extract(epoch FROM $1::timestamptz) / 86400)
                    AND NOT legal_hold_keeps(s.tenant_id, NULL, NULL, NULL)",
        days: |policy| policy.risk_days,
    },
    Rule {
        table: "risk_first_seen_group",
        delete: "DELETE FROM risk_first_seen_group AS g
                  WHERE g.last_day < floor(extract(epoch FROM $1::timestamptz) / 86400)
                    AND NOT EXISTS (SELECT FROM risk_first_seen AS s
                                     WHERE s.tenant_id = g.tenant_id AND s.rule_id = g.rule_id
                                       AND s.group_key = g.group_key)",
        days: |policy| policy.risk_days,
    },
    // The sums of an hour go with what they sum up: later than they are looked at.
    Rule {
        table: "cost_utilisation",
        delete: "DELETE FROM cost_utilisation AS u WHERE u.measured_at < $1
                    AND NOT legal_hold_keeps(u.tenant_id, NULL, u.resource, NULL)",
        days: |policy| policy.utilisation_days,
    },
    Rule {
        table: "cost_utilisation_hour",
        delete: "DELETE FROM cost_utilisation_hour AS h WHERE h.hour < $1 - interval '1 hour'
                    AND NOT EXISTS (SELECT FROM cost_utilisation AS u
                                     WHERE u.tenant_id = h.tenant_id AND u.resource_ref = h.resource_ref
                                       AND u.metric = h.metric AND u.measured_at >= h.hour
                                       AND u.measured_at < h.hour + interval '1 hour')",
        days: |policy| policy.utilisation_days,
    },
];

/// Removes rows that are due at this instant; returns their number by table.
pub(super) async fn remove(
    connection: &mut PgConnection,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> sqlx::Result<Vec<(&'static str, u64)>> {
    let mut removed = Vec::new();
    for rule in &RULES {
        let Some(days) = (rule.days)(policy) else { continue };
        let before = now - TimeDelta::days(i64::from(days));
        let gone = sqlx::query(rule.delete).bind(before).execute(&mut *connection).await?;
        removed.push((rule.table, gone.rows_affected()));
    }
    Ok(removed)
}
