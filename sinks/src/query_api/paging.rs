//! Lists and single items: the common parameters of requests, and the form of answers.

use edge::api_error::ApiError;
use http::Uri;
use schemas::TenantId;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    body::Answer,
    cursor::{Binding, MAX_CURSOR_BYTES},
    freshness::{Freshness, await_positions},
    parameters::Parameters,
};
use crate::read_models::{Page, PageAt, Positions, ReadError};

/// Rows on a page by default.
pub(super) const DEFAULT_LIMIT: u16 = 50;
/// Most rows on a page.
pub(super) const MAX_LIMIT: u16 = 1000;

/// Position and size of a page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// `next_cursor` of the page before, as it was given; it is good for the same filter and tenant only.
    #[serde(deserialize_with = "cursor")]
    #[param(min_length = 1, max_length = 10240, pattern = r"^[^\u0000]*$")]
    cursor: Option<String>,
    /// Most items on the page. It ends early after 2 MiB.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// A text of 1 to [`MAX_CURSOR_BYTES`] characters without U+0000.
fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    if (1..=MAX_CURSOR_BYTES).contains(&text.chars().count()) && !text.contains('\0') {
        return Ok(Some(text));
    }
    let expected = format!("must be a text of 1 to {MAX_CURSOR_BYTES} characters without U+0000");
    Err(serde::de::Error::custom(expected))
}

/// `limit`, within its bounds.
pub(super) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    match Option::<u16>::deserialize(deserializer)? {
        Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => {
            Err(serde::de::Error::custom(format!("must be a whole number from 1 to {MAX_LIMIT}")))
        }
        limit => Ok(limit),
    }
}

/// The filter of a list without one.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
pub(super) struct Unfiltered {}

/// A list of a tenant's rows: where it is, and which stage fills it.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    /// The route, to which cursors are bound.
    pub(super) route: &'static str,
    /// The stage whose positions say what a page reflects; `None`: the least of all stages.
    pub(super) stage: Option<&'static str>,
}

/// Request for a list: filter, page and freshness.
#[derive(Debug)]
pub(super) struct Asked<F> {
    /// Filter on the rows.
    pub(super) filter: F,
    paging: Paging,
    freshness: Freshness,
}

impl<F> Asked<F> {
    /// Reads the address; `check` tells what the filter's fields say against each other.
    pub(super) fn of(uri: &Uri, check: impl FnOnce(&F, &mut Parameters)) -> Result<Self, ApiError>
    where
        F: DeserializeOwned + IntoParams,
    {
        let mut given = Parameters::of(uri);
        let (filter, paging, freshness) = (given.take(), given.take(), given.take());
        check(&filter, &mut given);
        given.finish()?;
        Ok(Self { filter, paging, freshness })
    }

    /// The rest of an address whose filter is taken and checked.
    pub(super) fn with(filter: F, mut given: Parameters) -> Result<Self, ApiError> {
        let (paging, freshness) = (given.take(), given.take());
        given.finish()?;
        Ok(Self { filter, paging, freshness })
    }

    /// The same for a list that waits for no position.
    pub(super) fn without_freshness(uri: &Uri) -> Result<Self, ApiError>
    where
        F: DeserializeOwned + IntoParams,
    {
        let mut given = Parameters::of(uri);
        let (filter, paging) = (given.take(), given.take());
        given.finish()?;
        Ok(Self { filter, paging, freshness: Freshness::default() })
    }

    /// The same page of another filter.
    pub(super) fn map<G>(self, change: impl FnOnce(F) -> G) -> Asked<G> {
        Asked { filter: change(self.filter), paging: self.paging, freshness: self.freshness }
    }

    /// Most rows on the page.
    pub(super) fn limit(&self) -> u16 {
        self.paging.limit.unwrap_or(DEFAULT_LIMIT)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listed<T> {
    /// In the order that the route promises.
    pub items: Vec<T>,
    /// Give it as `cursor`, with the same filter, for the next page; null on the last one.
    pub next_cursor: Option<String>,
    /// Whether the time for a search was over before the page was full: `next_cursor` continues the search.
    #[serde(default)]
    pub partial: bool,
    /// Instant down to which every entry was searched, where the page is partial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub reached: Option<schemas::Timestamp>,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Found<T> {
    /// The item.
    pub item: T,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Answers one page of a list.
pub(super) async fn listed<F, T, K, R>(
    api: &Api,
    tenant: &TenantId,
    list: List,
    asked: Asked<F>,
    read: impl FnOnce(PgPool, TenantId, F, PageAt<K>) -> R,
) -> Result<Answer<Listed<T>>, ApiError>
where
    F: Serialize,
    T: Send + 'static,
    K: Serialize + DeserializeOwned + Send + 'static,
    R: Future<Output = Result<Page<T, K>, ReadError>> + Send + 'static,
{
    let binding = Binding::of(list.route, tenant, &asked.filter);
    // A cursor of another question is refused before anything waits.
    let cursor = asked.paging.cursor.as_deref();
    let after = cursor.map(|cursor| api.cursor_key.open(&binding, cursor)).transpose()?;
    if let Some(stage) = list.stage {
        await_positions(api, tenant, stage, &asked.freshness.positions()).await?;
    }
    let at = PageAt { after, limit: asked.limit() };
    let page = api.ask(tenant, read(api.pool.clone(), tenant.clone(), asked.filter, at)).await?;
    Ok(page.map(|page| Listed {
        items: page.items,
        next_cursor: page.next.map(|end| api.cursor_key.seal(&binding, &end)),
        partial: page.reached.is_some(),
        reached: page.reached,
        position: page.positions,
    }))
}

/// Answers one item, or that there is none.
pub(super) async fn found<T, R>(
    api: &Api,
    tenant: &TenantId,
    stage: &'static str,
    freshness: &Freshness,
    read: impl FnOnce(PgPool, TenantId) -> R,
) -> Result<Answer<Found<T>>, ApiError>
where
    T: Send + 'static,
    R: Future<Output = Result<(Option<T>, Positions), ReadError>> + Send + 'static,
{
    await_positions(api, tenant, stage, &freshness.positions()).await?;
    let answer = api.ask(tenant, read(api.pool.clone(), tenant.clone())).await?;
    let Answer { value: (item, position), memory } = answer;
    let item = item.ok_or_else(ApiError::not_found)?;
    Ok(Answer { value: Found { item, position }, memory })
}

/// Refuses a range of time that ends before it begins.
pub(super) fn check_range(
    from: Option<schemas::Timestamp>,
    to: Option<schemas::Timestamp>,
    given: &mut Parameters,
) {
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        given.refuse("from", "must not lie after to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_taken_up_to_its_limit() {
        for (length, is_taken) in
            [(0, false), (1, true), (MAX_CURSOR_BYTES, true), (MAX_CURSOR_BYTES + 1, false)]
        {
            let uri: Uri = format!("/x?cursor={}", "A".repeat(length)).parse().expect("an address");
            let taken = Asked::<Unfiltered>::without_freshness(&uri);
            assert_eq!(taken.is_ok(), is_taken, "{length}");
        }
    }

    #[test]
    fn the_description_says_the_limit_of_a_cursor() {
        let described = serde_json::to_value(Paging::into_params(|| None)).expect("serialises");
        let cursor = described.as_array().expect("a list").iter().find(|one| one["name"] == "cursor");
        assert_eq!(cursor.expect("described")["schema"]["maxLength"], MAX_CURSOR_BYTES);
    }
}
