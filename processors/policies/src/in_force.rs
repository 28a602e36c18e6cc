//! The policies in force, which can be replaced while they are used.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use crate::{Config, Document, Evaluation, Evaluator, PolicySet, Surroundings};

/// Maximum number of idle evaluators of one set.
const MAX_IDLE: usize = 16;

/// The policies in force. Clones share them: a replacement takes effect in all of them, from the next
/// document on.
#[derive(Clone)]
pub struct InForce {
    /// `None` until first used: then Weir's own policies, which take a while to load.
    held: Arc<RwLock<Option<Arc<Held>>>>,
}

/// A policy set with a pool of evaluators.
pub struct Held {
    set: PolicySet,
    idle: Mutex<Vec<Evaluator>>,
}

impl InForce {
    /// These policies.
    pub fn new(set: PolicySet) -> Self {
        Self { held: Arc::new(RwLock::new(Some(Arc::new(Held::new(set))))) }
    }

    /// Weir's own policies, loaded on first use.
    pub fn own() -> Self {
        Self { held: Arc::default() }
    }

    /// The policies in force now; later replacements do not affect the result.
    pub fn current(&self) -> Arc<Held> {
        // Whole values are swapped: a panic leaves nothing half done.
        if let Some(held) = &*self.held.read().unwrap_or_else(PoisonError::into_inner) {
            return Arc::clone(held);
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let own = || Arc::new(Held::new(PolicySet::own(Config::default())));
        Arc::clone(held.get_or_insert_with(own))
    }

    /// Replaces the policies.
    pub fn replace(&self, set: PolicySet) {
        let held = Arc::new(Held::new(set));
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }
}

impl Held {
    fn new(set: PolicySet) -> Self {
        Self { set, idle: Mutex::default() }
    }

    /// The policy set.
    pub fn set(&self) -> &PolicySet {
        &self.set
    }

    /// Evaluates every policy that applies to a document, from any thread.
    pub fn evaluate(&self, document: &Document, surroundings: &Surroundings) -> Evaluation {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut evaluator = waiting.unwrap_or_else(|| Evaluator::new(&self.set));
        let evaluation = evaluator.evaluate(&self.set, document, surroundings, |_| true);
        let mut idle = idle();
        if idle.len() < MAX_IDLE {
            idle.push(evaluator);
        }
        evaluation
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("InForce")
            .field("policies", &held.as_ref().map(|held| held.set.policies().len()))
            .finish()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("policy_set", &self.set.hash()).finish_non_exhaustive()
    }
}
