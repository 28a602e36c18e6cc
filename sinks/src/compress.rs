//! Stored records: zstd frames made with a numbered dictionary.
//!
//! Equal input gives equal bytes, so that a rebuild gives the same rows. A dictionary that was ever used stays for
//! ever, because old rows need it; a new one gets the next number. Number 0 means no dictionary.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    io,
    sync::LazyLock,
};

use zstd::{
    bulk,
    dict::DecoderDictionary,
    zstd_safe::{self, CParameter},
};

/// The largest record that is decompressed, in bytes; a larger one was not written by us.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// zstd's fastest level of the usual ones: with a dictionary, higher ones gain little on records of 2 KB.
const LEVEL: i32 = 1;
/// Shortest match to search for, in bytes: records share keys and whole values.
const MIN_MATCH: u32 = 7;
/// The dictionary that new records are compressed with: the last one.
pub const CURRENT: i16 = 3;

/// Every dictionary, number 1 first; the example `train_dictionary` of the crate `tests` makes them.
pub const DICTIONARIES: [&[u8]; 3] = [
    include_bytes!("../dictionaries/1.zdict"),
    include_bytes!("../dictionaries/2.zdict"),
    include_bytes!("../dictionaries/3.zdict"),
];

/// Error of reading a stored record.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// Written by a later version of Weir.
    #[error("the record needs dictionary {0}, which this version does not have")]
    UnknownDictionary(i16),
    /// Larger than [`MAX_RECORD_BYTES`], or of unknown size.
    #[error("the record does not say its size, or it is larger than {MAX_RECORD_BYTES} bytes")]
    TooLarge,
    /// zstd refused the bytes.
    #[error("zstd: {0}")]
    Zstd(#[from] io::Error),
}

static DECODERS: LazyLock<Vec<DecoderDictionary<'static>>> =
    LazyLock::new(|| DICTIONARIES.iter().map(|bytes| DecoderDictionary::copy(bytes)).collect());

/// Compresses records with the current dictionary, reusing its memory.
pub struct Compressor {
    zstd: bulk::Compressor<'static>,
    record: Vec<u8>,
    frame: Vec<u8>,
}

impl Compressor {
    /// A compressor with the dictionary [`CURRENT`].
    pub fn new() -> Result<Self, CompressError> {
        let newest = DICTIONARIES.last().copied().unwrap_or_default();
        let mut zstd = bulk::Compressor::with_dictionary(LEVEL, newest)?;
        zstd.set_parameter(CParameter::MinMatch(MIN_MATCH))?;
        // The column beside the record says which dictionary it was.
        zstd.include_dictid(false)?;
        zstd.include_checksum(false)?;
        Ok(Self { zstd, record: Vec::new(), frame: Vec::new() })
    }

    /// The record that `write` appends as one frame, valid until the next call.
    pub fn compress(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<&[u8], CompressError> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        write(&mut record);
        let compressed = self.compress_bytes(&record).map(drop);
        self.record = record;
        compressed.map(|()| self.frame.as_slice())
    }

    /// A record as one frame, valid until the next call.
    pub fn compress_bytes(&mut self, record: &[u8]) -> Result<&[u8], CompressError> {
        self.frame.clear();
        self.frame.reserve(zstd_safe::compress_bound(record.len()));
        self.zstd.compress_to_buffer(record, &mut self.frame)?;
        Ok(&self.frame)
    }
}

/// The record that [`Compressor::compress`] was given, by the number of its dictionary.
pub fn decompress(dictionary: i16, frame: &[u8]) -> Result<Vec<u8>, CompressError> {
    let size = zstd_safe::get_frame_content_size(frame).ok().flatten().ok_or(CompressError::TooLarge)?;
    let size = usize::try_from(size).ok().filter(|size| *size <= MAX_RECORD_BYTES);
    let size = size.ok_or(CompressError::TooLarge)?;
    let mut record = Vec::with_capacity(size);
    DECOMPRESSORS.with_borrow_mut(|known| {
        let zstd = match known.entry(dictionary) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(decompressor(dictionary)?),
        };
        zstd.decompress_to_buffer(frame, &mut record)?;
        Ok(record)
    })
}

thread_local! {
    /// Decoders by dictionary. Setting one up costs several times as much as reading a record of 2 KB.
    static DECOMPRESSORS: RefCell<HashMap<i16, bulk::Decompressor<'static>>> = RefCell::default();
}

fn decompressor(dictionary: i16) -> Result<bulk::Decompressor<'static>, CompressError> {
    if dictionary == 0 {
        return Ok(bulk::Decompressor::new()?);
    }
    let index = usize::try_from(i32::from(dictionary) - 1).ok();
    let decoder = index.and_then(|index| DECODERS.get(index));
    let decoder = decoder.ok_or(CompressError::UnknownDictionary(dictionary))?;
    Ok(bulk::Decompressor::with_prepared_dictionary(decoder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &[u8]) {
        let mut compressor = Compressor::new().expect("compressor");
        let mut compress = || {
            let frame = compressor.compress(|to| to.extend_from_slice(record));
            frame.expect("compresses").to_vec()
        };
        let first = compress();
        assert_eq!(first, compress(), "equal input, equal bytes");
        assert_eq!(record, decompress(CURRENT, &first).expect("decompresses"));
    }

    #[test]
    fn records_come_back_byte_for_byte() {
        check(b"");
        check(br#"{"class_uid":6003,"actor":{"user":{"name":"ada"}}}"#);
        check(&vec![b'x'; 1_000_000]);
        check(
            &(0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn new_records_use_the_last_dictionary() {
        assert_eq!(usize::try_from(CURRENT), Ok(DICTIONARIES.len()));
    }

    #[test]
    fn records_without_dictionary_come_back_too() {
        let frame = zstd::bulk::compress(b"record", LEVEL).expect("compresses");
        assert_eq!(b"record".as_slice(), decompress(0, &frame).expect("decompresses"));
    }

    #[test]
    fn what_we_did_not_write_is_refused_before_memory_is_taken() {
        assert!(matches!(decompress(CURRENT, b"no frame"), Err(CompressError::TooLarge)));
        assert!(matches!(decompress(CURRENT, b""), Err(CompressError::TooLarge)));
        let bomb = zstd::bulk::compress(&vec![0; MAX_RECORD_BYTES + 1], LEVEL).expect("compresses");
        assert!(matches!(decompress(0, &bomb), Err(CompressError::TooLarge)));
        let frame = zstd::bulk::compress(b"record", LEVEL).expect("compresses");
        assert!(matches!(decompress(CURRENT + 1, &frame), Err(CompressError::UnknownDictionary(_))));
        assert!(matches!(decompress(-1, &frame), Err(CompressError::UnknownDictionary(-1))));
        assert!(decompress(0, &frame[..frame.len() - 1]).is_err(), "cut short");
    }
}
