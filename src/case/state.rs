//! The states of a case and the names that people see.

use serde::{Deserialize, Serialize};

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Just taken in; nothing has been decided.
    Received,
    /// A person places it.
    Triage,
    /// Placed; waits for a person's approval before it is sent.
    Approval,
    /// The party may not get the content by mail; it has a notice, a person hands the case over.
    SecureHandover,
    /// The responsible party has it.
    Sent,
    /// The responsible party has given its final answer.
    Answered,
    /// Done.
    Closed,
    /// Orientering or ros: confirmed and counted, no answer is expected.
    Registered,
    /// Did not belong here; the number stays.
    Dismissed,
}

impl State {
    /// All states, in the order of a case's life.
    pub const ALL: [Self; 9] = [
        Self::Received,
        Self::Triage,
        Self::Approval,
        Self::SecureHandover,
        Self::Sent,
        Self::Answered,
        Self::Closed,
        Self::Registered,
        Self::Dismissed,
    ];

    /// Stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Triage => "triage",
            Self::Approval => "approval",
            Self::SecureHandover => "secure-handover",
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Closed => "closed",
            Self::Registered => "registered",
            Self::Dismissed => "dismissed",
        }
    }

    /// The state with that id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// What people see.
    pub const fn navn(self) -> &'static str {
        match self {
            Self::Received => "Mottatt",
            Self::Triage => "Til vurdering",
            Self::Approval => "Til godkjenning",
            Self::SecureHandover => "Må sendes sikkert",
            Self::Sent => "Sendt ansvarlig part",
            Self::Answered => "Besvart",
            Self::Closed => "Lukket",
            Self::Registered => "Registrert",
            Self::Dismissed => "Avvist",
        }
    }

    /// Whether somebody still has something to do.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Closed | Self::Registered | Self::Dismissed)
    }
}
