//! A certificate and its key in PEM files, checked as far as a client would.

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

/// A chain of certificates and a key are a few KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The listener's certificate, then those that lead to an authority; PEM.
    pub certificate: PathBuf,
    /// The certificate's private key; PEM (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not there, or may not be read.
    #[error("the file {file} cannot be read; check its path and that this user may read it")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file is no certificate or key at all.
    #[error("the file {file} is larger than {MAX_FILE_BYTES} bytes: it is no {expected}")]
    TooLarge {
        /// Which.
        file: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A file holds something else.
    #[error("the file {file} holds no {expected} in PEM form (-----BEGIN …-----)")]
    NotPem {
        /// Which.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The certificate cannot be read.
    #[error("the first certificate in {file} is not an X.509 certificate")]
    NotX509 {
        /// Which.
        file: PathBuf,
    },
    /// Nobody is there to type its password.
    #[error("the private key in {file} is encrypted; decrypt it: openssl pkey -in {file} -out NEW_FILE")]
    EncryptedKey {
        /// Which.
        file: PathBuf,
    },
    /// The key is of a kind that TLS cannot use here.
    #[error(
        "the private key in {file} cannot be used; take an RSA key of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519"
    )]
    UnusableKey {
        /// Which.
        file: PathBuf,
        /// What the library says.
        #[source]
        source: rustls::Error,
    },
    /// The key is another certificate's.
    #[error(
        "the private key in {key} does not belong to the first certificate in {certificate}; the listener's own \
         certificate comes first, and both files must be of the same issue"
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate was good once.
    #[error("the certificate in {file} expired at {at}; put a new one in its place")]
    Expired {
        /// Which.
        file: PathBuf,
        /// When.
        at: DateTime<Utc>,
    },
    /// The certificate will be good some day.
    #[error("the certificate in {file} is good from {at} on; check this machine's clock")]
    NotYetValid {
        /// Which.
        file: PathBuf,
        /// When.
        at: DateTime<Utc>,
    },
}

/// What the files hold.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: CertifiedKey,
    /// Seconds since 1970.
    pub(super) expires_at: i64,
    pub(super) digest: [u8; 32],
}

impl TlsFiles {
    /// Reads both files; fails where a client would refuse what they hold at that instant.
    pub(super) fn load(&self, now: DateTime<Utc>) -> Result<Loaded, TlsError> {
        self.look(now).1
    }

    /// A digest of both files, or of what is wrong with them, and what they hold.
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
