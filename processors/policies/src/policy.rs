//! One policy: its metadata and the rules that are evaluated.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Severity, compiled::Compiled, gatekeeper::Constraint};

/// Form of a policy, which determines its input and its results.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// A package whose annotations name resource types: it gets one resource at a time.
    Resource,
    /// A package of conftest's form: it sees the whole document.
    Whole,
    /// A Gatekeeper constraint with the template that it names.
    Constraint(Box<Constraint>),
}

/// A rule that returns a policy's result.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// For example `data.main.deny_public`.
    pub(crate) path: String,
    pub(crate) answer: Answer,
}

/// Meaning of a rule's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Reasons against the configuration.
    Deny,
    /// Reasons for a warning.
    Warn,
    /// Reasons why the policy cannot decide.
    NotEvaluated,
    /// Whether the policy concerns the resource.
    Applies,
    /// True if the policy passes.
    Allow,
}

/// One policy of a set.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its id: that of its annotations, or else its package's name or the constraint's.
    pub id: String,
    /// One line.
    pub title: String,
    /// The behaviour that the policy demands, and the reason.
    pub description: String,
    /// Severity of a failure.
    pub severity: Severity,
    /// The change that makes a resource compliant.
    pub remediation: String,
    /// Terraform resource types and Kubernetes kinds; empty if the policy gets whole documents.
    pub resource_types: BTreeSet<String>,
    /// Paths without which the policy cannot decide.
    pub decides: Vec<String>,
    /// Whether a denial depends only on known values, so that unknown ones cannot revoke it.
    pub denies_what_is_present: bool,
    /// Controls that a verdict is evidence for, by framework.
    pub controls: BTreeMap<String, Vec<String>>,
    /// The file that declares it.
    pub file: String,
    /// SHA-256 of its text and that of its libraries, in hexadecimal digits.
    pub hash: String,
    /// Whether it reads resources other than the evaluated one (`input.resources`, `data.inventory`).
    pub reads_others: bool,
    pub(crate) form: Form,
    pub(crate) entries: Vec<Entry>,
    /// Paths of the configuration that it passes to Weir's library as literals.
    pub(crate) paths: BTreeSet<String>,
    /// The engine of the set that holds its modules.
    pub(crate) engine: usize,
    /// Its rules for the virtual machine, if they can be compiled.
    pub(crate) compiled: Option<Compiled>,
}

impl Policy {
    /// Whether the virtual machine evaluates it, rather than the interpreter.
    pub fn is_compiled(&self) -> bool {
        self.compiled.is_some()
    }

    /// Name of its form.
    pub fn form(&self) -> &'static str {
        match self.form {
            Form::Resource => "resource",
            Form::Whole => "conftest",
            Form::Constraint(_) => "gatekeeper",
        }
    }
}
