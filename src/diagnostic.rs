//! Faults in rules, templates and settings: where, what, and what to write instead. All faults of a set are shown at once.

use std::collections::BTreeMap;
use std::ops::Range;

/// One fault in a text file that a person edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as the person knows it (relative path).
    pub file: String,
    /// Byte range in the file's text; empty range at 0 when the fault concerns the file as a whole.
    pub span: Range<usize>,
    /// What is wrong, a lowercase fragment without full stop.
    pub message: String,
    /// What to write instead, a sentence fragment; empty when there is nothing to suggest.
    pub help: String,
}

/// The texts that faults point into, by file name.
pub type Sources = BTreeMap<String, String>;

/// Faults found in one set of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// In the order of file and place.
    pub list: Vec<Fault>,
    /// The texts, for drawing the place.
    pub sources: Sources,
}
