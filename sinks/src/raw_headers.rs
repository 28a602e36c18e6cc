//! A record's headers in one block of memory.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::headers::Headers;

/// Length that marks a null value.
const NULL_LENGTH: u32 = u32::MAX;
/// Bytes of a header's two lengths.
const LENGTHS: usize = 8;

/// Headers in order, as the broker gives them; names may repeat, values may be null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawHeaders {
    /// For each header the lengths of its name and its value, then both.
    bytes: Bytes,
    /// Number of headers.
    count: usize,
}

impl RawHeaders {
    /// Copies borrowed headers to the end of `arena`.
    pub fn copy(headers: &[(&str, Option<&[u8]>)], arena: &mut BytesMut) -> Self {
        arena.reserve(Self::room(headers));
        for (name, value) in headers {
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a record is smaller than 4 GiB");
            arena.put_u32(length(name.as_bytes()));
            arena.put_u32(value.map_or(NULL_LENGTH, length));
            arena.put_slice(name.as_bytes());
            arena.put_slice(value.unwrap_or_default());
        }
        Self { bytes: arena.split().freeze(), count: headers.len() }
    }

    /// Size of a copy in bytes.
    pub(crate) fn room(headers: &[(&str, Option<&[u8]>)]) -> usize {
        headers.iter().map(|(name, value)| LENGTHS + name.len() + value.map_or(0, <[u8]>::len)).sum()
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut rest = &*self.bytes;
        (0..self.count).map(move |_| {
            let (name, value) = (rest.get_u32(), rest.get_u32());
            let mut part = |length: u32| {
                let (part, after) = rest.split_at(usize::try_from(length).expect("it was a length"));
                rest = after;
                part
            };
            let name = str::from_utf8(part(name)).expect("it was text when it was added");
            (name, (value != NULL_LENGTH).then(|| part(value)))
        })
    }

    /// The headers, each on its own.
    pub fn to_headers(&self) -> Headers {
        self.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect()
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.bytes.len() - LENGTHS * self.count
    }
}

impl FromIterator<(String, Option<Vec<u8>>)> for RawHeaders {
    fn from_iter<I: IntoIterator<Item = (String, Option<Vec<u8>>)>>(headers: I) -> Self {
        let headers: Vec<_> = headers.into_iter().collect();
        let borrowed: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
        Self::copy(&borrowed, &mut BytesMut::new())
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
            let sizes = headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
            prop_assert_eq!(raw.size(), sizes.sum::<usize>());
            // Beside others in the same piece of memory.
            let mut arena = BytesMut::with_capacity(64);
            let borrowed: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
            let copies = [0, 1, 2].map(|_| RawHeaders::copy(&borrowed, &mut arena));
            prop_assert!(copies.iter().all(|copy| *copy == raw));
        }
    }
}
