//! The dictionary of the audit log's terms, beyond the most that it holds of one field.

use schemas::{TenantId, changes::AuditEntry};

use super::fixture::{Place, apply, entry};

/// The days of a term, whichever field of the tenant it belongs to.
const DAYS: &str = "SELECT coalesce(sum(upper(d) - lower(d)), 0)::bigint
                      FROM audit_term, unnest(days) AS d WHERE field = 'resource' AND term = 'bucket-of-another'";
const TERMS: &str = "SELECT count(*) FROM audit_term WHERE field = 'resource'";

fn of_tenant(n: u64) -> AuditEntry {
    AuditEntry { tenant: TenantId::new("acme").expect("valid"), ..entry(n) }
}

/// A full field takes no new terms. Those that it has get their days all the same, whoever has noted them.
#[tokio::test]
async fn terms_of_a_full_field_get_their_days() {
    let mut place = Place::new().await;
    place.deliver(apply([of_tenant(0)])).await;
    for statement in [
        "INSERT INTO audit_term VALUES ('acme', 'resource', 'bucket-of-another', '{[2020-01-01,2020-01-02)}', 1)",
        "UPDATE audit_term_field SET overflowed = true WHERE field = 'resource'",
    ] {
        sqlx::query(statement).execute(&mut place.owner).await.expect("written");
    }
    // So many that the writer looks whether the field is full, and knows it for the next batch.
    place.deliver(apply((1..1_200).map(of_tenant))).await;
    assert_eq!((place.number(TERMS).await, place.number(DAYS).await), (2, 1));
    let seen_again = AuditEntry { resource: Some("bucket-of-another".into()), ..of_tenant(1_200) };
    place.deliver(apply([of_tenant(1_201), seen_again])).await;
    assert_eq!((place.number(TERMS).await, place.number(DAYS).await), (2, 2));
}
