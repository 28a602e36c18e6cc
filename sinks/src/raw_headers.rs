//! A record's headers, kept in two pieces of memory however many there are: nearly every record is applied and its
//! headers are dropped unread.

use crate::headers::Headers;

/// Headers in order, as the broker gives them; names may repeat, values may be null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawHeaders {
    /// Names and values, one after the other.
    bytes: Vec<u8>,
    /// Where each name ends, and its value if it has one.
    ends: Vec<(usize, Option<usize>)>,
}

impl RawHeaders {
    /// Copies borrowed headers.
    pub fn copy(headers: &[(&str, Option<&[u8]>)]) -> Self {
        let size = headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
        let mut copy = Self { bytes: Vec::with_capacity(size), ends: Vec::with_capacity(headers.len()) };
        for (name, value) in headers {
            copy.push(name, *value);
        }
        copy
    }

    /// Adds a header.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.ends.push((name_end, value.map(|_| self.bytes.len())));
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut begin = 0;
        self.ends.iter().map(move |(name_end, value_end)| {
            let name =
                std::str::from_utf8(&self.bytes[begin..*name_end]).expect("it was text when it was added");
            begin = value_end.unwrap_or(*name_end);
            (name, value_end.map(|end| &self.bytes[*name_end..end]))
        })
    }

    /// The headers, each on its own.
    pub fn to_headers(&self) -> Headers {
        self.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect()
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl FromIterator<(String, Option<Vec<u8>>)> for RawHeaders {
    fn from_iter<I: IntoIterator<Item = (String, Option<Vec<u8>>)>>(headers: I) -> Self {
        let mut copy = Self::default();
        for (name, value) in headers {
            copy.push(&name, value.as_deref());
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(headers: Headers) {
            let raw: RawHeaders = headers.iter().cloned().collect();
            prop_assert_eq!(raw.to_headers(), headers.clone());
            let borrowed: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
            prop_assert_eq!(RawHeaders::copy(&borrowed), raw);
        }
    }
}
