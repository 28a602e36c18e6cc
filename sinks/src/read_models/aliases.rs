//! Aliases of erased people. What an erased person does afterwards is stored under the alias by which what it did before is
//! known, so that its steps in a review stay those of one person.

use std::collections::{BTreeSet, HashMap};

use schemas::events::Party;
use sqlx::PgConnection;

/// The aliases of those people in a batch who were erased, by tenant.
#[derive(Debug, Default)]
pub(super) struct Aliases(HashMap<String, HashMap<Party, String>>);

impl Aliases {
    /// Aliases of these people, each with its tenant. No other person is renamed until the transaction has ended.
    pub(super) async fn of(tx: &mut PgConnection, people: &[(&str, &str)]) -> sqlx::Result<Self> {
        let people: BTreeSet<(&str, Party)> =
            people.iter().filter_map(|(tenant, id)| Some((*tenant, Party::new(id)?))).collect();
        if people.is_empty() {
            return Ok(Self::default());
        }
        // An erasure that holds it alone has renamed everything that was committed before.
        sqlx::query("SELECT pg_advisory_xact_lock_shared(hashtext('weir.aliases'))")
            .execute(&mut *tx)
            .await?;
        let (tenants, parties): (Vec<&str>, Vec<&str>) =
            people.iter().map(|(tenant, party)| (*tenant, party.as_str())).unzip();
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT DISTINCT p.tenant_id, p.party, p.alias
               FROM unnest($1::text[], $2::text[]) AS a(tenant_id, party)
               JOIN erasure_progress AS p USING (tenant_id, party)
              WHERE p.alias IS NOT NULL",
        )
        .bind(tenants)
        .bind(parties)
        .fetch_all(tx)
        .await?;
        let mut aliases = Self::default();
        for (tenant, party, alias) in rows {
            aliases.0.entry(tenant).or_default().extend(Party::new(&party).map(|party| (party, alias)));
        }
        Ok(aliases)
    }

    /// The alias of a person; `None` if the person was not erased.
    pub(super) fn alias(&self, tenant: &str, person: &str) -> Option<&str> {
        let of_tenant = self.0.get(tenant)?;
        of_tenant.get(&Party::new(person)?).map(String::as_str)
    }

    /// The alias of a person who was erased, else the id itself.
    pub(super) fn known_as<'a>(&'a self, tenant: &str, person: &'a str) -> &'a str {
        self.alias(tenant, person).unwrap_or(person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_erased_person_has_one_alias() {
        let ada = Party::new("Ada").expect("not blank");
        let aliases = Aliases([("acme".to_owned(), [(ada, "erased:1".to_owned())].into())].into());
        for spelling in ["ada", "ADA", " Ada "] {
            assert_eq!(aliases.known_as("acme", spelling), "erased:1");
        }
        assert_eq!(aliases.known_as("acme", "bob"), "bob");
        assert_eq!(aliases.known_as("other", "ada"), "ada");
        assert_eq!(aliases.alias("acme", " "), None);
    }
}
