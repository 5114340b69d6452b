//! Rules and templates in force: swapped as a whole, or not at all.

use crate::rules::RuleSet;
use crate::template::Templates;
use std::sync::{Arc, PoisonError, RwLock};

/// One set of rules and templates. Whoever decides something keeps one set from beginning to end.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// The templates.
    pub templates: Arc<Templates>,
}

/// What is in force now; shared by all loops.
#[derive(Debug, Clone)]
pub struct Rulebook(Arc<RwLock<InForce>>);

impl Rulebook {
    /// Puts a first set in force.
    pub fn new(rules: RuleSet, templates: Templates) -> Self {
        Self(Arc::new(RwLock::new(in_force(rules, templates))))
    }

    /// The set in force.
    pub fn current(&self) -> InForce {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts another set in force.
    pub fn replace(&self, rules: RuleSet, templates: Templates) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = in_force(rules, templates);
    }
}

fn in_force(rules: RuleSet, templates: Templates) -> InForce {
    InForce {
        rules: Arc::new(rules),
        templates: Arc::new(templates),
    }
}
