//! Utilisation: measurements as they are stored, and their sums by the hour.

use schemas::changes::cost::UtilisationFact;
use sqlx::PgConnection;

use super::table::UtilisationRow;

pub(super) fn row(fact: &UtilisationFact) -> UtilisationRow<'_> {
    UtilisationRow {
        tenant_id: fact.tenant.as_str(),
        event_id: *fact.event_id.as_uuid(),
        measured_at: fact.at,
        resource: &fact.resource,
        metric: &fact.metric,
        value: fact.value,
        content_sha256: &fact.content_sha256,
    }
}

/// Adds measurements to the sums of their hours, in the order of the primary key.
pub(super) async fn add(tx: &mut PgConnection, measured: &[&UtilisationFact]) -> sqlx::Result<()> {
    if measured.is_empty() {
        return Ok(());
    }
    let rows: Vec<UtilisationRow<'_>> = measured.iter().map(|fact| row(fact)).collect();
    sqlx::query(
        "INSERT INTO cost_utilisation_hour AS h (tenant_id, resource_ref, metric, hour, samples, total, least, largest)
         SELECT tenant_id, weir_resource_ref(resource), metric, date_trunc('hour', measured_at, 'UTC'), count(*),
                sum(value), min(value), max(value)
           FROM unnest($1::cost_utilisation_row[]) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
         ON CONFLICT (tenant_id, resource_ref, metric, hour) DO UPDATE SET
                samples = h.samples + excluded.samples, total = h.total + excluded.total,
                least = least(h.least, excluded.least), largest = greatest(h.largest, excluded.largest)",
    )
    .bind(&rows)
    .execute(tx)
    .await?;
    metrics::counter!("weir_cost_utilisation_total").increment(measured.len() as u64);
    Ok(())
}
