//! Rows of Weir's own export: what a Parquet column cannot hold whole stands among the other columns.

use std::collections::BTreeMap;

use super::columns::{OwnCells, Row};

/// Column of an export with the columns that it has no others for, a JSON object.
pub(super) const OTHERS: &str = "x_OtherColumns";

/// The cells of a row with the values that stand among the other columns, each in its own column; `None` if there are none.
pub(super) fn restored(row: Row<'_>) -> Option<OwnCells> {
    let header = row.header;
    let others = header.place_of_others()?;
    let text = row.cells.get(others).filter(|text| text.trim_start().starts_with('{'))?;
    let members: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    let place =
        |name: &String| (0..header.len()).find(|place| *place != others && header.name(*place) == name);
    let (mut lost, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in members {
        match place(&name) {
            Some(place) => drop(lost.insert(place, value)),
            None => drop(kept.insert(name, value)),
        }
    }
    if lost.is_empty() {
        return None;
    }
    let kept = if kept.is_empty() { String::new() } else { serde_json::json!(kept).to_string() };
    let mut cells = OwnCells::default();
    for place in 0..header.len() {
        let own = || row.cells.get(place).unwrap_or_default();
        let restored = || lost.get(&place).map_or_else(own, String::as_str);
        cells.push(if place == others { kept.as_str() } else { restored() });
    }
    Some(cells)
}
