//! Published catalogues of frameworks.

use std::fs;

use serde_json::Value;

use super::corpus::{corpus, files};
use crate::{Config, Framework, PolicySet};

#[test]
#[expect(clippy::disallowed_methods, reason = "tests read the corpus; policies read no files")]
fn catalogues_load_with_their_faults_named() {
    let Some(folder) = corpus("prowler_compliance") else { return };
    let set = PolicySet::own(Config::default());
    let (mut requirements, mut manual, mut repeated, mut catalogues) = (0, 0, 0, 0);
    for file in files(&folder.path().join("prowler_compliance"), "json") {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let document: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
        let (framework, faults) = Framework::read(&name, &document, |_| true).expect("a catalogue");
        assert!(faults.iter().all(|fault| fault.reason.contains("twice")), "{faults:?}");
        catalogues += 1;
        requirements += framework.requirements.len();
        manual += framework.manual();
        let mut places: Vec<_> =
            faults.iter().filter_map(|fault| fault.reason.split(" names ").next()).collect();
        places.dedup();
        repeated += places.len();
        if name.starts_with("hipaa") || name.starts_with("soc2") || name.starts_with("cis_3.0") {
            let evidenced =
                framework.crosswalk(&set).values().filter(|policies| !policies.is_empty()).count();
            assert!(evidenced >= 4, "{name}: {evidenced}");
        }
    }
    assert_eq!((catalogues, requirements, manual, repeated), (9, 2_227, 405, 29));
}
