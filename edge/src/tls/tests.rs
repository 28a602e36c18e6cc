//! Valid pairs of files, and the errors for invalid ones.

use std::error::Error as _;

use chrono::DateTime;
use tempfile::TempDir;

use super::{files::TlsError, *};
use crate::tests::certificates::{Issued, issue};

struct Files {
    _folder: TempDir,
    files: TlsFiles,
}

fn files(certificate: &str, key: &str) -> Files {
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&files.certificate, certificate).expect("written");
    std::fs::write(&files.key, key).expect("written");
    Files { _folder: folder, files }
}

/// The time this many years from now, to test the validity of certificates of [`issue`].
fn years_later(years: i64) -> DateTime<Utc> {
    Utc::now() + chrono::TimeDelta::days(366 * years)
}

#[track_caller]
fn check(certificate: &str, key: &str, now: DateTime<Utc>, said: &str) {
    let given = files(certificate, key);
    let error = given.files.load(now).expect_err("it cannot be used");
    assert!(error.to_string().contains(said), "{error}");
    let named = [&given.files.certificate, &given.files.key].map(|file| file.display().to_string());
    assert!(named.iter().any(|file| error.to_string().contains(file)), "{error} names no file");
}

#[test]
fn a_certificate_and_its_key_are_taken() {
    let Issued { certificate, key, .. } = issue("localhost");
    let given = files(&certificate, &key);
    let loaded = given.files.load(Utc::now()).expect("a good pair");
    assert!(loaded.expires_at > Utc::now().timestamp());
    // What stands around the PEM sections is no one's business.
    let noted = files(&format!("# issued for a test\n{certificate}"), &format!("\n{key}\n"));
    noted.files.load(Utc::now()).expect("still a good pair");
}

#[test]
fn what_cannot_be_used_is_told_with_its_file() {
    let (one, other) = (issue("localhost"), issue("localhost"));
    let now = Utc::now();
    check(&one.certificate, &other.key, now, "does not belong to");
    check(&one.certificate, &one.key, years_later(3), "expired at");
    check(&one.certificate, &one.key, years_later(-3), "is good from");
    check("", &one.key, now, "holds no certificate");
    check(&one.key, &one.key, now, "holds no certificate");
    check(&one.certificate, &one.certificate, now, "holds no private key");
    check(&one.certificate, "", now, "holds no private key");
    check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &one.key, now, "not an X.509");
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check(&one.certificate, key, now, "cannot be used");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    check(&one.certificate, locked, now, "openssl pkey");
    check(&"x".repeat(1024 * 1024 + 1), &one.key, now, "larger than");
}

#[test]
fn a_missing_file_is_told_with_what_the_system_says() {
    let one = issue("localhost");
    let mut given = files(&one.certificate, &one.key).files;
    given.key = "/nowhere/tls.key".into();
    let error = files(&one.certificate, &one.key);
    let missing = TlsFiles { key: given.key, ..error.files };
    let error = missing.load(Utc::now()).expect_err("no such file");
    assert!(matches!(error, TlsError::Unreadable { .. }) && error.source().is_some(), "{error}");
    assert!(error.to_string().contains("/nowhere/tls.key"), "{error}");
}

#[test]
fn a_new_pair_is_used_and_a_bad_one_changes_nothing() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let one = issue("localhost");
    let Files { files, _folder } = files(&one.certificate, &one.key);
    let config = TlsConfig { files: files.clone(), look_every: LOOK_EVERY };
    let tls = Tls::load(config, "test").expect("a good pair");
    let inspected = || tls.current.0.load_full().cert[0].clone();
    let check = |expected: &Issued, told: [u32; 2]| {
        // Looked at twice, told once.
        tls.look();
        tls.look();
        assert_eq!(inspected(), expected.der);
        let text = recorder.handle().render();
        for (outcome, times) in ["used", "refused"].into_iter().zip(told) {
            let line = format!(
                "weir_tls_certificate_reloads_total{{listener=\"test\",outcome=\"{outcome}\"}} {times}"
            );
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    };
    check(&one, [0, 0]);
    let two = issue("localhost");
    // One file is replaced before the other.
    std::fs::write(&files.certificate, &two.certificate).expect("written");
    check(&one, [0, 1]);
    std::fs::write(&files.key, &two.key).expect("written");
    check(&two, [1, 1]);
    std::fs::remove_file(&files.key).expect("removed");
    check(&two, [1, 2]);
    std::fs::write(&files.key, &two.key).expect("written");
    check(&two, [2, 2]);
}
