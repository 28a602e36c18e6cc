//! The rules in force, which can be replaced while they are used.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    rules::{EXAMPLES_SUFFIX, own},
    sigma::SigmaEngine,
};

/// The rules in force. Clones share them: a replacement takes effect in all of them, from the next event on.
#[derive(Clone)]
pub struct RuleSet {
    /// `None` until first used: then Weir's own rules, which take a while to load.
    engine: Arc<RwLock<Option<Arc<SigmaEngine>>>>,
}

impl RuleSet {
    /// A set of these rules.
    pub fn new(engine: SigmaEngine) -> Self {
        Self { engine: Arc::new(RwLock::new(Some(Arc::new(engine)))) }
    }

    /// Weir's own rules, loaded on first use.
    pub fn own() -> Self {
        Self { engine: Arc::default() }
    }

    /// The rules in force now; later replacements do not affect the result.
    pub fn current(&self) -> Arc<SigmaEngine> {
        // Whole values are swapped: nothing is left half done by a panic.
        if let Some(engine) = &*self.engine.read().unwrap_or_else(PoisonError::into_inner) {
            return Arc::clone(engine);
        }
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(engine.get_or_insert_with(|| Arc::new(own_engine())))
    }

    /// Identity of the rules in force: [`SigmaEngine::hash`].
    pub fn hash(&self) -> Arc<str> {
        self.current().shared_hash()
    }

    /// Replaces the rules.
    pub fn replace(&self, engine: SigmaEngine) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(engine));
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("RuleSet")
            .field("rules", &engine.as_ref().map(|engine| engine.rules().count()))
            .finish()
    }
}

fn own_engine() -> SigmaEngine {
    let rules = own().into_iter().filter(|(name, _)| !name.ends_with(EXAMPLES_SUFFIX));
    let (engine, problems) = SigmaEngine::load(rules);
    assert!(problems.is_empty(), "Weir's own rules are usable, as a test holds: {problems:?}");
    engine
}
