//! `Content-Encoding`: one of identity, gzip and zstd, decoded as a stream within limits.

use std::io::Read;

use bytes::Bytes;
use edge::api_error::ApiError;
use flate2::bufread::GzDecoder;
use http::{HeaderMap, HeaderValue, header};
use schemas::problem::ProblemKind;

use super::config::Limits;

/// Maximum number of gzip members or zstd frames in one body. One is usual; each costs the setup of a
/// decoder.
const MAX_PARTS: usize = 16;
/// Maximum window of a zstd frame, which is memory that its header asks for: 8 MiB, as RFC 8878 advises.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const PIECE: usize = 32 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Content encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    Identity,
    Gzip,
    Zstd,
}

impl ContentEncoding {
    /// The encoding that the headers declare. Several encodings, in one header or many, are rejected: they
    /// multiply each other's expansion.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, more) = (values.next(), values.next());
        match (first.map(HeaderValue::to_str), more) {
            (None, _) => Ok(Self::Identity),
            (Some(Ok(name)), None) => {
                Self::named(name.trim()).ok_or_else(|| unsupported(&format!("{name:?} is not taken")))
            }
            _ => Err(unsupported("there may be one Content-Encoding")),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("identity") || name.is_empty() => Some(Self::Identity),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

fn unsupported(what: &str) -> ApiError {
    let accepted = HeaderValue::from_static("gzip, zstd, identity");
    ApiError::new(ProblemKind::UnsupportedEncoding, format!("{what}; send one of identity, gzip, zstd"))
        .header(header::ACCEPT_ENCODING, accepted)
}

/// Decodes a whole body. `grow` is called before more decoded bytes are kept.
pub(super) fn decode(
    encoding: ContentEncoding,
    sent: Bytes,
    limits: &Limits,
    grow: &mut dyn FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    let limit = limits.decoded_bytes.min(limits.decoded_ratio.saturating_mul(sent.len()));
    let mut decoded = Decoded { bytes: Vec::new(), limit, grow };
    match encoding {
        ContentEncoding::Identity => return Ok(sent),
        ContentEncoding::Gzip => gunzip(&sent, &mut decoded)?,
        ContentEncoding::Zstd => unzstd(&sent, &mut decoded)?,
    }
    Ok(decoded.bytes.into())
}

struct Decoded<'a> {
    bytes: Vec<u8>,
    limit: usize,
    grow: &'a mut dyn FnMut(usize) -> Result<(), ApiError>,
}

impl Decoded<'_> {
    fn read_all(&mut self, mut from: impl Read) -> Result<(), ApiError> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = from.read(&mut piece).map_err(|error| invalid(&error.to_string()))?;
            if read == 0 {
                return Ok(());
            }
            if self.bytes.len() + read > self.limit {
                return Err(too_large(&format!("the body decodes to more than {} bytes", self.limit)));
            }
            (self.grow)(read)?;
            self.bytes.extend_from_slice(&piece[..read]);
        }
    }
}

fn gunzip(sent: &[u8], decoded: &mut Decoded<'_>) -> Result<(), ApiError> {
    let mut rest = sent;
    for _ in 0..MAX_PARTS {
        let mut member = GzDecoder::new(rest);
        decoded.read_all(&mut member)?;
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(());
        }
        if !rest.starts_with(&GZIP_MAGIC) {
            return Err(invalid("bytes follow the gzip stream"));
        }
    }
    Err(too_large(&format!("the body has more than {MAX_PARTS} gzip members")))
}

fn unzstd(sent: &[u8], decoded: &mut Decoded<'_>) -> Result<(), ApiError> {
    let mut rest = sent;
    for _ in 0..MAX_PARTS {
        if is_skippable(rest) {
            return Err(too_large(
                "a skippable zstd frame carries bytes that no limit on decoded bytes sees",
            ));
        }
        if !rest.starts_with(&ZSTD_MAGIC) {
            return Err(invalid(if rest.len() == sent.len() {
                "not a zstd frame"
            } else {
                "bytes follow the zstd frame"
            }));
        }
        rest = one_frame(rest, decoded)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
    Err(too_large(&format!("the body has more than {MAX_PARTS} zstd frames")))
}

fn one_frame<'a>(sent: &'a [u8], decoded: &mut Decoded<'_>) -> Result<&'a [u8], ApiError> {
    let mut frame = zstd::stream::read::Decoder::with_buffer(sent)
        .map_err(|error| invalid(&error.to_string()))?
        .single_frame();
    frame.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| invalid(&error.to_string()))?;
    decoded.read_all(&mut frame)?;
    Ok(frame.finish())
}

/// RFC 8878, section 3.1.2: 0x184D2A50 to 0x184D2A5F, little-endian.
fn is_skippable(bytes: &[u8]) -> bool {
    matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

fn invalid(what: &str) -> ApiError {
    ApiError::new(ProblemKind::InvalidEncoding, format!("the body cannot be decoded: {what}"))
}

fn too_large(what: &str) -> ApiError {
    ApiError::new(ProblemKind::BodyTooLarge, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).expect("to memory");
        encoder.finish().expect("to memory")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 3).expect("to memory")
    }

    /// The decoded bytes, or the problem's slug.
    #[track_caller]
    fn check(encoding: ContentEncoding, sent: impl Into<Bytes>, expected: Result<&[u8], &str>) {
        let limits = Limits { decoded_bytes: 1 << 20, ..Limits::default() };
        let mut kept = 0;
        let answer = decode(encoding, sent.into(), &limits, &mut |more| {
            kept += more;
            Ok(())
        });
        match (answer, expected) {
            (Ok(got), Ok(want)) => {
                assert_eq!(got, want);
                assert!(encoding == ContentEncoding::Identity || kept == want.len());
            }
            (Err(refusal), Err(slug)) => {
                assert_eq!(refusal.problem().slug(), slug);
                assert!(kept <= limits.decoded_bytes, "{kept} bytes were kept");
            }
            (got, want) => panic!("{got:?} instead of {want:?}"),
        }
    }

    #[test]
    fn what_was_encoded_comes_back() {
        check(ContentEncoding::Identity, "{}", Ok(b"{}"));
        check(ContentEncoding::Gzip, gzip(b"{}"), Ok(b"{}"));
        check(ContentEncoding::Gzip, [gzip(b"[1,"), gzip(b"2]")].concat(), Ok(b"[1,2]"));
        check(ContentEncoding::Zstd, zstd(b"{}"), Ok(b"{}"));
        check(ContentEncoding::Zstd, [zstd(b"[1,"), zstd(b"2]")].concat(), Ok(b"[1,2]"));
    }

    #[test]
    fn bombs_are_refused_before_they_are_kept() {
        let zeros = vec![b'0'; 8 << 20];
        check(ContentEncoding::Gzip, gzip(&zeros), Err("body-too-large"));
        check(ContentEncoding::Zstd, zstd(&zeros), Err("body-too-large"));
        check(ContentEncoding::Gzip, gzip(&zeros[..64 << 10]), Err("body-too-large"));
        check(ContentEncoding::Gzip, gzip(b"").repeat(5_000), Err("body-too-large"));
        check(ContentEncoding::Zstd, zstd(b"").repeat(5_000), Err("body-too-large"));
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
        check(ContentEncoding::Zstd, skippable.repeat(1_000), Err("body-too-large"));
        check(ContentEncoding::Zstd, [zstd(b"{}"), skippable].concat(), Err("body-too-large"));
    }

    #[test]
    fn what_is_broken_is_said_to_be() {
        let whole = gzip(b"hello, hello");
        let mut bad_crc = whole.clone();
        let at = bad_crc.len() - 6;
        bad_crc[at] ^= 1;
        let no_gzip = b"plain".to_vec();
        for broken in
            [whole[..whole.len() - 9].to_vec(), bad_crc, [whole, vec![0, 1]].concat(), no_gzip, vec![]]
        {
            check(ContentEncoding::Gzip, broken, Err("invalid-encoding"));
        }
        let whole = zstd(b"hello, hello");
        let wide = [&ZSTD_MAGIC[..], &[0x00, 0xf8, 0, 0, 0]].concat();
        for broken in [whole[..whole.len() - 2].to_vec(), [whole, vec![7]].concat(), vec![], wide] {
            check(ContentEncoding::Zstd, broken, Err("invalid-encoding"));
        }
    }

    #[test]
    fn one_known_encoding_or_none() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            ContentEncoding::of(&headers).map_err(|refusal| refusal.problem().slug().to_owned())
        };
        assert_eq!(of(&[]), Ok(ContentEncoding::Identity));
        assert_eq!(of(&["GZIP"]), Ok(ContentEncoding::Gzip));
        assert_eq!(of(&["zstd"]), Ok(ContentEncoding::Zstd));
        for bad in [&["gzip, gzip"][..], &["gzip", "gzip"], &["br"], &["deflate"]] {
            assert_eq!(of(bad), Err("unsupported-encoding".into()), "{bad:?}");
        }
    }

    proptest! {
        /// Any bytes after the magic number, and any mutation of a valid body, are decoded within the limit
        /// or rejected.
        #[test]
        fn no_bytes_take_more_than_the_limit(
            noise in vec(any::<u8>(), 0..400),
            at in any::<prop::sample::Index>(),
            with_gzip in any::<bool>(),
        ) {
            let (encoding, mut sent) = if with_gzip {
                (ContentEncoding::Gzip, gzip(&b"0123456789".repeat(50)))
            } else {
                (ContentEncoding::Zstd, zstd::encode_all(&b"0123456789".repeat(50)[..], 1).expect("to memory"))
            };
            let at = at.index(sent.len());
            let end = (at + noise.len()).min(sent.len());
            sent.splice(at..end, noise);
            let limits = Limits { decoded_bytes: 4_096, ..Limits::default() };
            let mut kept = 0;
            let decoded = decode(encoding, sent.into(), &limits, &mut |more| {
                kept += more;
                Ok(())
            });
            prop_assert!(kept <= limits.decoded_bytes);
            if let Ok(bytes) = decoded {
                prop_assert_eq!(bytes.len(), kept);
            }
        }
    }
}
