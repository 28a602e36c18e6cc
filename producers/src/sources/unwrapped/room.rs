//! Room for what carriers unpack to: a kilobyte of base64 may hold megabytes, and each of their lines a record.

use std::fmt;

/// Room in bytes and records, of a whole input or of each of its elements.
pub struct Room<'a> {
    scope: Scope,
    bytes: usize,
    records: usize,
    /// Called before more decompressed bytes are kept; `false` if the caller has no memory for them.
    grow: Box<dyn FnMut(usize) -> bool + 'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Input,
    Element,
}

/// The exhausted part of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sources) enum Full {
    Bytes,
    Records,
}

/// Room of one element of a file: the next one has as much again.
const ELEMENT_BYTES: usize = 64 * 1024 * 1024;
const ELEMENT_RECORDS: usize = 100_000;

impl Room<'static> {
    /// Room for each element of an input that is read as a stream.
    pub fn each_element() -> Self {
        let (bytes, records, grow) = (ELEMENT_BYTES, ELEMENT_RECORDS, Box::new(|_: usize| true));
        Self { scope: Scope::Element, bytes, records, grow }
    }
}

impl<'a> Room<'a> {
    /// Room for a whole input: decompressed bytes, in all layers together, and records. `grow` is called before
    /// more bytes are kept, and says whether there is memory for them.
    pub fn whole_input(bytes: usize, records: usize, grow: impl FnMut(usize) -> bool + 'a) -> Self {
        Self { scope: Scope::Input, bytes, records, grow: Box::new(grow) }
    }

    /// Whether each element has room of its own, so that reading goes on after one that has too little.
    pub(in crate::sources) fn is_of_element(&self) -> bool {
        self.scope == Scope::Element
    }

    pub(in crate::sources) fn begin_element(&mut self) {
        if self.is_of_element() {
            (self.bytes, self.records) = (ELEMENT_BYTES, ELEMENT_RECORDS);
        }
    }

    pub(super) fn take_bytes(&mut self, more: usize) -> Result<(), Full> {
        self.bytes = self.bytes.checked_sub(more).ok_or(Full::Bytes)?;
        if (self.grow)(more) { Ok(()) } else { Err(Full::Bytes) }
    }

    pub(super) fn take_record(&mut self) -> Result<(), Full> {
        self.records = self.records.checked_sub(1).ok_or(Full::Records)?;
        Ok(())
    }
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, bytes, records, .. } = self;
        let mut shown = formatter.debug_struct("Room");
        shown.field("scope", scope).field("bytes", bytes).field("records", records).finish_non_exhaustive()
    }
}
