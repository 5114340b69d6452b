//! What a decision about a case is made from, besides the message and the case: the thread, the directory, the choices of
//! the installation, the time.

use super::undeliverable::{DeadAddresses, SentMail};
use super::{Case, CaseNumber, Policy};
use crate::rules::Directory;

/// A stored case that the message refers to, and how it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// The case.
    pub case: Case,
    /// The strongest way in which the message refers to it.
    pub by: ThreadBy,
}

/// Ways in which a message refers to a case, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThreadBy {
    /// One of our Message-IDs with a valid signature.
    SignedId,
    /// `[SAK-…]` in the subject.
    Token,
    /// The sender's own reference («vår sak 24/1187»), which the same sender gave in an earlier message of the case.
    OwnReference,
    /// An earlier message of the case.
    EarlierMessage,
}

impl ThreadBy {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::SignedId => "signed-id",
            Self::Token => "token",
            Self::OwnReference => "own-reference",
            Self::EarlierMessage => "earlier-message",
        }
    }
}

/// What surrounds the decision.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The directory of the rule set that gave the verdict.
    pub directory: &'a Directory,
    /// The installation's choices.
    pub policy: &'a Policy,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
    /// Acknowledgements queued for the reporter's address within the last hour.
    pub recent_acknowledgements: u32,
    /// Addresses to which nothing is sent.
    pub dead: &'a DeadAddresses,
    /// The mail of ours that the message, a delivery report, proves to be about.
    pub returned: Option<&'a SentMail>,
    /// An earlier case that the report seems to repeat, and by what.
    pub repeats: Option<(CaseNumber, super::likeness::Alike)>,
}
