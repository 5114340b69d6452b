//! A case (sak): its number, its states, its history and what follows from each change. Pure.

pub mod admit;
pub mod chase;
mod event_day;
pub mod form;
pub mod likeness;
pub mod names;
pub mod number;
pub mod person;
mod policy;
pub mod record;
pub mod reply;
mod routing;
mod state;
pub mod surroundings;
pub mod undeliverable;
pub mod undo;

pub use form::CaseField;
pub use number::CaseNumber;
pub use policy::{Policy, Reports};
pub use record::{Acknowledgement, Actor, Case, Change, Event, EventKind, MailOrder, Reminder};
pub use routing::SAMHANDLING;
pub use state::State;

use serde::{Deserialize, Serialize};

/// Kinds of mail that linjevei writes; each has a template of this name. All but [`MailKind::REPORTS`] belong to one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailKind {
    /// To the reporter, at once: number, who has it, when to expect an answer. Null return path.
    Kvittering,
    /// To the responsible party that is `secure`: the case, with the report's text and files attached.
    Sak,
    /// To the responsible party that is not `secure`: number, type and due date only.
    Varsel,
    /// To a `secure` party for information: copies, orientering, ros; text and files attached. Nothing is asked of it.
    Orientering,
    /// To a party for information that is not `secure`: number and type only. Nothing is asked of it.
    Orienteringsvarsel,
    /// To a party that stood in To or Cc already: number and due date, not the report again.
    Kort,
    /// The one reminder after the due date.
    Purring,
    /// To the reporter: somebody else has the case now.
    Status,
    /// To a reporter at a `secure` address: the answer, attached as text and files.
    Svar,
    /// To a reporter whose address is not `secure`: an answer has come and will reach you in another way.
    Svarvarsel,
    /// To the duty address, at once: a report seems to be about serious harm. The case number and nothing else.
    Vakt,
    /// To the samhandlingsavdeling, at most once a day: what waits for a person.
    Oversikt,
    /// To a party, at most once a week: numbers and due dates of its open cases.
    Partstatus,
}

impl MailKind {
    /// All kinds that belong to one case, in the order of its life.
    pub const ALL: [Self; 11] = [
        Self::Kvittering,
        Self::Sak,
        Self::Varsel,
        Self::Orientering,
        Self::Orienteringsvarsel,
        Self::Kort,
        Self::Purring,
        Self::Status,
        Self::Svar,
        Self::Svarvarsel,
        Self::Vakt,
    ];

    /// The kinds that are about many cases.
    pub const REPORTS: [Self; 2] = [Self::Oversikt, Self::Partstatus];

    /// Stable id: template file name, outbox column, part of the Message-ID.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Kvittering => "kvittering",
            Self::Sak => "sak",
            Self::Varsel => "varsel",
            Self::Orientering => "orientering",
            Self::Orienteringsvarsel => "orienteringsvarsel",
            Self::Kort => "kort",
            Self::Purring => "purring",
            Self::Status => "status",
            Self::Svar => "svar",
            Self::Svarvarsel => "svarvarsel",
            Self::Vakt => "vakt",
            Self::Oversikt => "oversikt",
            Self::Partstatus => "partstatus",
        }
    }

    /// The kind with that id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .chain(Self::REPORTS)
            .find(|kind| kind.id() == id)
    }

    /// What people see in lists.
    pub const fn navn(self) -> &'static str {
        match self {
            Self::Kvittering => "kvittering",
            Self::Sak => "saken med vedlegg",
            Self::Varsel => "varsel uten innhold",
            Self::Orientering => "orientering med vedlegg",
            Self::Orienteringsvarsel => "orientering uten innhold",
            Self::Kort => "kort beskjed (har meldingen fra før)",
            Self::Purring => "purring",
            Self::Status => "beskjed om hvem som har saken",
            Self::Svar => "svaret",
            Self::Svarvarsel => "beskjed om at svaret er kommet",
            Self::Vakt => "varsel til vakt",
            Self::Oversikt => "oversikt til samhandlingsavdelingen",
            Self::Partstatus => "ukentlig status til parten",
        }
    }

    /// Whether the mail may carry the report's text and files.
    pub const fn carries_content(self) -> bool {
        matches!(self, Self::Sak | Self::Orientering | Self::Svar)
    }
}
