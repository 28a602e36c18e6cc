//! Columns of a charge with their values.

use std::collections::BTreeMap;

/// Columns with their values, ascending by name, in two allocations however many there are: a stage holds the charges of
/// several batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// Names and values, each name before its value.
    text: Box<str>,
    /// End of each name and of each value.
    ends: Box<[usize]>,
}

impl Columns {
    /// The columns in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut begin = 0;
        self.ends.chunks_exact(2).map(move |ends| {
            let (name, value) = (&self.text[begin..ends[0]], &self.text[ends[0]..ends[1]]);
            begin = ends[1];
            (name, value)
        })
    }

    /// The value of a column.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(found, value)| (found == name).then_some(value))
    }
}

impl From<&BTreeMap<String, String>> for Columns {
    fn from(columns: &BTreeMap<String, String>) -> Self {
        let bytes = columns.iter().map(|(name, value)| name.len() + value.len()).sum();
        let (mut text, mut ends) = (String::with_capacity(bytes), Vec::with_capacity(2 * columns.len()));
        for part in columns.iter().flat_map(|(name, value)| [name, value]) {
            text.push_str(part);
            ends.push(text.len());
        }
        Self { text: text.into_boxed_str(), ends: ends.into_boxed_slice() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_they_were_made_of() {
        let check = |columns: &[(&str, &str)]| {
            let made_of: BTreeMap<String, String> =
                columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let made = Columns::from(&made_of);
            assert_eq!(made.iter().collect::<Vec<_>>(), columns);
            for (name, value) in columns {
                assert_eq!(made.get(name), Some(*value));
            }
            assert_eq!(made.get("absent"), None);
        };
        check(&[]);
        check(&[("", ""), ("a", ""), ("b", "größer"), ("x_é", "1")]);
    }
}
