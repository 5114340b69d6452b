//! Texts of outgoing mail: `templates/` (minijinja, strict) + facts of a case → subject, text and HTML. Pure.
//!
//! The facts hold no word of any report: number, names of types and parties, dates.

use serde::Serialize;

/// What a template may say. Every field is always there; texts may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Facts {
    /// `SAK-2026-000123`.
    pub sak: String,
    /// Norwegian name of the type, for example «Samhandlingsavvik».
    pub type_navn: String,
    /// Name of the party that has the case; «Samhandlingsavdelingen» when a person places it.
    pub part: String,
    /// Day of receipt, «3. mars 2026».
    pub mottatt: String,
    /// Day when an answer is due, «2. april 2026»; empty when none is expected.
    pub frist: String,
    /// Whole days since the due date on the day of sending; 0 before and on it.
    pub dager_over_frist: i64,
    /// The recipient's own reference; empty when unknown.
    pub referanse: String,
    /// Who we are.
    pub avsender: String,
    /// Number of files attached.
    pub antall_vedlegg: usize,
}

/// A rendered mail text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// Subject without the `[SAK-…]` token.
    pub subject: String,
    /// text/plain.
    pub text: String,
    /// text/html.
    pub html: String,
}
