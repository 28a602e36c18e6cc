//! A certificate and its key in PEM files, validated as a client would.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use rustls::{
    InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

/// Maximum file size; a certificate chain and a key take a few KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The PEM files of certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the listener, followed by its intermediates; PEM.
    pub certificate: PathBuf,
    /// Private key of the certificate; PEM (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Error of loading a certificate or its key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is missing or not readable.
    #[error("the file {file} cannot be read; check its path and that this user may read it")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// A file is too large for a certificate or key.
    #[error("the file {file} is larger than {MAX_FILE_BYTES} bytes: it is no {expected}")]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Expected content.
        expected: &'static str,
    },
    /// A file does not hold the expected PEM.
    #[error("the file {file} holds no {expected} in PEM form (-----BEGIN …-----)")]
    NotPem {
        /// The file.
        file: PathBuf,
        /// Expected content.
        expected: &'static str,
    },
    /// The certificate cannot be parsed.
    #[error("the first certificate in {file} is not an X.509 certificate")]
    NotX509 {
        /// The file.
        file: PathBuf,
    },
    /// The key is encrypted with a password.
    #[error("the private key in {file} is encrypted; decrypt it: openssl pkey -in {file} -out NEW_FILE")]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// The key is of an unsupported kind.
    #[error(
        "the private key in {file} cannot be used; take an RSA key of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519"
    )]
    UnusableKey {
        /// The file.
        file: PathBuf,
        /// Error of the TLS library.
        #[source]
        source: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error(
        "the private key in {key} does not belong to the first certificate in {certificate}; the listener's own \
         certificate comes first, and both files must be of the same issue"
    )]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// The certificate has expired.
    #[error("the certificate in {file} expired at {at}; put a new one in its place")]
    Expired {
        /// The file.
        file: PathBuf,
        /// Time of expiry.
        at: DateTime<Utc>,
    },
    /// The certificate is not valid yet.
    #[error("the certificate in {file} is good from {at} on; check this machine's clock")]
    NotYetValid {
        /// The file.
        file: PathBuf,
        /// Start of its validity.
        at: DateTime<Utc>,
    },
}

/// Content of the files.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: CertifiedKey,
    /// Expiry, in seconds since 1970.
    pub(super) expires_at: i64,
    pub(super) digest: [u8; 32],
}

impl TlsFiles {
    /// Reads both files; fails where a client would reject their content at that instant.
    pub(super) fn load(&self, now: DateTime<Utc>) -> Result<Loaded, TlsError> {
        self.look(now).1
    }

    /// A digest of both files, or of the error, together with the result of loading them.
    pub(super) fn look(&self, now: DateTime<Utc>) -> ([u8; 32], Result<Loaded, TlsError>) {
        let read = read(&self.certificate, "certificate")
            .and_then(|certificate| Ok((certificate, read(&self.key, "private key")?)));
        match read {
            Ok((certificate, key)) => {
                let digest: [u8; 32] = Sha256::new()
                    .chain_update((certificate.len() as u64).to_be_bytes())
                    .chain_update(&certificate)
                    .chain_update(&key)
                    .finalize()
                    .into();
                (digest, self.judge(&certificate, &key, digest, now))
            }
            Err(error) => (Sha256::digest(error.to_string()).into(), Err(error)),
        }
    }

    fn judge(
        &self,
        certificate: &[u8],
        key: &[u8],
        digest: [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<Loaded, TlsError> {
        let file = || self.certificate.clone();
        let not_pem = |file: &Path, expected| TlsError::NotPem { file: file.to_owned(), expected };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| not_pem(&self.certificate, "certificate"))?;
        let first = chain.first().ok_or_else(|| not_pem(&self.certificate, "certificate"))?;
        let (_, first) = X509Certificate::from_der(first).map_err(|_| TlsError::NotX509 { file: file() })?;
        let (from, until) = (first.validity().not_before.timestamp(), first.validity().not_after.timestamp());
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        if now.timestamp() > until {
            return Err(TlsError::Expired { file: file(), at: at(until) });
        }
        if now.timestamp() < from {
            return Err(TlsError::NotYetValid { file: file(), at: at(from) });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            let encrypted = String::from_utf8_lossy(key).contains("ENCRYPTED");
            if encrypted {
                TlsError::EncryptedKey { file: self.key.clone() }
            } else {
                not_pem(&self.key, "private key")
            }
        })?;
        let key =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| match source {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::Mismatch { certificate: file(), key: self.key.clone() }
                }
                source => TlsError::UnusableKey { file: self.key.clone(), source },
            })?;
        Ok(Loaded { key, expires_at: until, digest })
    }
}

fn read(file: &Path, expected: &'static str) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > MAX_FILE_BYTES => {
            Err(TlsError::TooLarge { file: file.to_owned(), expected })
        }
        Ok(_) => Ok(bytes),
        Err(source) => Err(TlsError::Unreadable { file: file.to_owned(), source }),
    }
}
