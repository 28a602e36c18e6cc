//! The issuers of running services, and the rules by which their claims give roles: read again when a file
//! that names them changes, or on SIGHUP.
//!
//! If they cannot be read any more, those in force stay.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use edge::identity::Identities;
use metrics::counter;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    issuer,
    settings::{Issuer, Settings, issuer_configs},
    watched::{self, Glance, Watch},
};

/// Interval between checks of the files. A change is in force after two checks, within a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Files that name issuers, and the state in which they were read last.
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    watch: Watch,
    /// The issuers in force.
    issuers: Vec<Issuer>,
    /// URL of the scripted issuer.
    scripted: Option<String>,
}

/// The issuers of the settings, and the scripted one at the URL.
pub(crate) fn known(settings: &Settings, scripted: Option<&str>) -> anyhow::Result<Vec<Issuer>> {
    let mut issuers = settings.issuers()?;
    if let Some(url) = scripted {
        let described = issuer::described(url);
        issuers.push(serde_json::from_value(described).context("describing the scripted issuer")?);
    }
    Ok(issuers)
}

/// Puts the issuers of the settings in force, and the scripted one at the URL.
pub(crate) fn start(
    settings: &Settings,
    scripted: Option<&str>,
) -> anyhow::Result<(Arc<Identities>, Watched)> {
    let files: Vec<PathBuf> =
        [PathBuf::from("weir.toml")].into_iter().chain(settings.identity.issuers_file.clone()).collect();
    // Before they are read, so that a change in between is seen.
    let watch = Watch::new(glance(&files));
    // A counter that begins with its first failure has not increased.
    counter!("weir_issuer_reloads_total", "outcome" => "kept").increment(0);
    let issuers = known(settings, scripted)?;
    let identities = Arc::new(Identities::new(issuer_configs(issuers.clone())?)?);
    let scripted = scripted.map(str::to_owned);
    Ok((identities, Watched { files, watch, issuers, scripted }))
}

/// Files that are there; one that is not may still come.
fn glance(files: &[PathBuf]) -> Glance {
    watched::glance(files, |file: &Path| Ok(vec![file.to_owned()]))
}

impl Watched {
    /// Follows the files until shutdown.
    pub(crate) async fn follow(
        mut self,
        identities: Arc<Identities>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let serving = Handle::current();
        let scripted = self.scripted.take();
        let look = move |asked| {
            if self.look(asked, || known(&Settings::load()?, scripted.as_deref()), &identities) {
                let identities = Arc::clone(&identities);
                serving.spawn(async move { identities.prime().await });
            }
        };
        watched::follow_every(LOOK_EVERY, look, stop).await
    }

    /// Whether other issuers are in force.
    fn look(
        &mut self,
        asked: bool,
        read: impl Fn() -> anyhow::Result<Vec<Issuer>>,
        identities: &Identities,
    ) -> bool {
        if !self.watch.look(glance(&self.files)) && !asked {
            return false;
        }
        match read().and_then(|issuers| self.replace(issuers, identities)) {
            Ok(replaced) => replaced,
            Err(error) => {
                let reason = format!("{error:#}");
                warn!(reason, "cannot reload the issuers; the current ones and their rules stay in force");
                counter!("weir_issuer_reloads_total", "outcome" => "kept").increment(1);
                false
            }
        }
    }

    fn replace(&mut self, issuers: Vec<Issuer>, identities: &Identities) -> anyhow::Result<bool> {
        if issuers == self.issuers {
            return Ok(false);
        }
        identities.replace(issuer_configs(issuers.clone())?)?;
        self.issuers = issuers;
        info!(issuers = self.issuers.len(), "other issuers or rules of theirs are in force");
        counter!("weir_issuer_reloads_total", "outcome" => "replaced").increment(1);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(role: &str) -> String {
        format!(
            "[[issuer]]\nissuer = \"https://id.example.com\"\naudiences = [\"weir\"]\n\
             rules = [{{ claim = \"groups\", matches = \"a\", role = \"{role}\", tenant = \"acme\" }}]\n"
        )
    }

    #[test]
    fn files_that_change_put_other_issuers_in_force_and_broken_ones_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("issuers.toml");
        fs::write(&file, text("viewer")).expect("written");
        let mut settings = Settings::default();
        settings.identity.issuers_file = Some(file.clone());
        let (identities, mut watched) = start(&settings, None).expect("issuers");
        let mut look = |asked| watched.look(asked, || settings.issuers(), &identities);
        assert!(!look(false) && !look(true), "nothing changed");
        fs::write(&file, text("administrator")).expect("written");
        assert!(!look(false) && !look(false), "no such role: the issuers stay");
        assert!(!identities.is_empty());
        fs::write(&file, text("approver")).expect("written");
        assert!(!look(false), "it may still be written");
        assert!(look(false) && !look(false), "once");
        fs::remove_file(&file).expect("removed");
        assert!(!look(false) && !look(false) && !identities.is_empty(), "no file: the issuers stay");
        fs::write(&file, "issuer = []").expect("written");
        assert!(!look(false) && look(false) && identities.is_empty(), "told that there are none");
    }

    #[test]
    fn the_scripted_issuer_stays_beside_those_of_the_settings() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("issuers.toml");
        fs::write(&file, text("viewer")).expect("written");
        let mut settings = Settings::default();
        settings.identity.issuers_file = Some(file.clone());
        let scripted = "http://127.0.0.1:8647";
        let urls = |settings: &Settings| {
            let issuers = known(settings, Some(scripted)).expect("issuers");
            issuers.iter().map(|issuer| issuer.url().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(urls(&settings), ["https://id.example.com", scripted]);
        let (identities, mut watched) = start(&settings, Some(scripted)).expect("issuers");
        fs::write(&file, "issuer = []").expect("written");
        let mut look = || watched.look(false, || known(&settings, Some(scripted)), &identities);
        assert!(!look() && look());
        assert_eq!(urls(&settings), [scripted]);
        assert!(!identities.is_empty());
    }
}
