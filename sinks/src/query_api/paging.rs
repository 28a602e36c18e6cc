//! Pages: what every question for one may give besides its filter, and what is done before its rows are read.

use serde::de::DeserializeOwned;

use super::{
    Api,
    answer::Refusal,
    cursor::Binding,
    freshness::{await_positions, parse_positions},
    parameters::Parameters,
};
use crate::read_models::Positions;

/// Rows on a page when nobody says how many.
pub(super) const DEFAULT_LIMIT: u16 = 50;
/// Most rows on a page.
pub(super) const MAX_LIMIT: u16 = 1000;

/// `limit`, or the default.
pub(super) fn limit(given: &mut Parameters) -> u16 {
    let parse = |text: &str| text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
    given.parsed("limit", "a whole number from 1 to 1000", parse).unwrap_or(DEFAULT_LIMIT)
}

/// `cursor`, `limit` and `min_position`.
#[derive(Debug)]
pub(super) struct Paging {
    cursor: Option<String>,
    /// Most rows on the page.
    pub(super) limit: u16,
    wanted: Positions,
}

impl Paging {
    /// Takes them out of the request's parameters.
    pub(super) fn of(given: &mut Parameters) -> Self {
        Self { cursor: given.text("cursor"), limit: limit(given), wanted: parse_positions(given) }
    }

    /// Where the page begins, once the stage has come as far as was asked for. Refuses a cursor of another question
    /// before it waits.
    pub(super) async fn begin<K: DeserializeOwned>(
        &self,
        api: &Api,
        stage: &'static str,
        binding: &Binding<'_>,
    ) -> Result<Option<K>, Refusal> {
        let cursor = self.cursor.as_deref();
        let after = cursor.map(|cursor| api.cursor_key.open(binding, cursor)).transpose()?;
        await_positions(api, stage, &self.wanted).await?;
        Ok(after)
    }
}
