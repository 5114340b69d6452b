//! What several workers on one database do one after the other.

/// Work that is done by one worker at a time, until its transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Claiming messages to decide.
    Claim = 1,
    /// Deleting content whose time is over.
    Delete = 2,
    /// Storing what becomes of messages: what a group is compared with must be there until it is stored.
    Group = 3,
}
