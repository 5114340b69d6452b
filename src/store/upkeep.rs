//! What daily upkeep asks of the store and gets: accounts of the sources, loose ends, retention.

use serde::{Deserialize, Serialize};

/// What is stored of one source. «Seen» is counted when a message is stored, the outcomes are counted from the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceAccount {
    /// Name of the source.
    pub source: String,
    /// Messages that the source has shown and that were stored.
    pub seen: i64,
    /// Opened a case.
    pub opened: i64,
    /// Joined a case.
    pub joined: i64,
    /// Copies of stored messages.
    pub duplicate: i64,
    /// Left alone with a reason.
    pub left_alone: i64,
    /// Not decided yet.
    pub pending: i64,
    /// Listed and gone before they could be fetched; not part of `seen`.
    pub gone: i64,
    /// When the last check was completed, Unix milliseconds; 0 when none was.
    pub checked_at_ms: i64,
}

impl SourceAccount {
    /// Messages with an outcome, or on the way to one.
    pub const fn accounted(&self) -> i64 {
        self.opened
            .saturating_add(self.joined)
            .saturating_add(self.duplicate)
            .saturating_add(self.left_alone)
            .saturating_add(self.pending)
    }

    /// Messages that were seen and have none; below 0, more have one than were seen.
    pub const fn unaccounted(&self) -> i64 {
        self.seen.saturating_sub(self.accounted())
    }
}

/// Something in the store that does not hang together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LooseEnd {
    /// Name of the source; empty for what belongs to none.
    pub source: String,
    /// `without-case`, `without-original`, `without-reason`, `without-content`, `undecided`, `without-acknowledgement`,
    /// `without-message`.
    pub kind: String,
    /// How many.
    pub count: i64,
}

/// A finished reconciliation of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// Name of the source; empty for what belongs to none.
    pub source: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Messages or cases that do not add up.
    pub differences: i64,
    /// Everything, as JSON.
    pub report: String,
}

/// What retention has done and has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionCounts {
    /// Messages whose content was deleted.
    pub messages_deleted: i64,
    /// Messages left alone whose time is over.
    pub left_alone_due: i64,
    /// Cases whose content was deleted.
    pub cases_deleted: i64,
    /// Cases whose time is over.
    pub cases_due: i64,
}
