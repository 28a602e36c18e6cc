//! Iterates over a source's records, unpacked from lists and carriers.

use std::{collections::VecDeque, io::Read};

use super::{
    Around, SourceFormat,
    elements::{ElementDefect, Elements, FileDefect},
    unwrapped::{Full, Room, Unwrapped, unwrap},
};

const TOO_MUCH: &str = "a carrier that unpacks to more than 64 MiB or 100,000 records; split it";

/// One record, or its defect.
#[derive(Debug)]
pub struct Record {
    /// Index among the records, from 0.
    pub index: u64,
    /// Text of the record, or its defect.
    pub text: Result<String, ElementDefect>,
    /// Data from its carrier.
    pub around: Around,
}

/// Iterator over records. Memory: one element, and the records that it carries, within the room for them.
#[derive(Debug)]
pub struct Records<'a, R> {
    elements: Elements<super::decoded::Decoded<R>>,
    format: SourceFormat,
    room: Room<'a>,
    waiting: VecDeque<Unwrapped>,
    next_index: u64,
    passed_over: u64,
}

impl<R: Read> Records<'static, R> {
    /// Reads from the beginning of (decompressed) bytes: UTF-8, or UTF-16, with a byte order mark or without.
    pub fn new(reader: R, format: SourceFormat) -> Self {
        Self::within(reader, format, Room::each_element())
    }
}

impl<'a, R: Read> Records<'a, R> {
    /// The same, with other room for what carriers unpack to.
    pub fn within(reader: R, format: SourceFormat, room: Room<'a>) -> Self {
        let elements = Elements::listed_in(super::decoded::Decoded::new(reader), format.row().lists);
        Self { elements, format, room, waiting: VecDeque::new(), next_index: 0, passed_over: 0 }
    }

    /// Number of carriers without a record: tests of a connection.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

impl<R: Read> Iterator for Records<'_, R> {
    type Item = Result<Record, FileDefect>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(Unwrapped { text, around }) = self.waiting.pop_front() {
                let index = self.next_index;
                self.next_index += 1;
                return Some(Ok(Record { index, text, around }));
            }
            match self.elements.next()? {
                Err(defect) => return Some(Err(defect)),
                Ok(element) => match element.text {
                    // A plan is one record, whatever it holds, and a webhook's body has no carrier.
                    Ok(text) if carries(self.format) => {
                        self.room.begin_element();
                        match unwrap(text, self.format, &mut self.room) {
                            Ok(found) => {
                                self.passed_over += u64::from(found.is_empty());
                                self.waiting.extend(found);
                            }
                            Err(_) if self.room.is_of_element() => {
                                let text = Err(ElementDefect::Carrier(TOO_MUCH));
                                self.waiting.push_back(Unwrapped { text, around: Around::default() });
                            }
                            Err(Full::Bytes) => return Some(Err(FileDefect::TooManyBytes)),
                            Err(Full::Records) => return Some(Err(FileDefect::TooManyRecords)),
                        }
                    }
                    text => self.waiting.push_back(Unwrapped { text, around: Around::default() }),
                },
            }
        }
    }
}

fn carries(format: SourceFormat) -> bool {
    !matches!(format, SourceFormat::TerraformPlan | SourceFormat::GithubWebhook | SourceFormat::Focus)
}
