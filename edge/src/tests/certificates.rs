//! Certificates made on the spot.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;

/// A self-signed certificate; clients that trust `der` trust its listener.
pub(crate) struct Issued {
    /// PEM.
    pub(crate) certificate: String,
    /// PEM.
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

/// Good for that name, from a year before this one to a year after it.
pub(crate) fn issue(name: &str) -> Issued {
    use chrono::Datelike as _;
    let year = chrono::Utc::now().year();
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + 2, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
}
