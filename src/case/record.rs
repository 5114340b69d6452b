//! The case itself, its events and the mail that a change asks for.

use super::{CaseField, CaseNumber, MailKind, State};
use crate::rules::{Language, ReporterSource, WhyNot};
use jiff::civil::Date;
use serde_json::Value;

/// Whether the one reminder may still go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reminder {
    /// It goes out when it is due.
    Allowed,
    /// Never: no answer is expected, or the report was too old when it was taken in.
    Never,
    /// It has been queued; there is no second one.
    Queued,
}

impl Reminder {
    /// Stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Never => "never",
            Self::Queued => "queued",
        }
    }

    /// The value with that id.
    pub fn from_id(id: &str) -> Option<Self> {
        [Self::Allowed, Self::Never, Self::Queued]
            .into_iter()
            .find(|value| value.id() == id)
    }
}

/// The one decision about the acknowledgement that every case has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// There is an outbox row for it.
    Queued,
    /// There is none, for this reason.
    Not(WhyNot),
}

/// A case. Its number and id are set by the store when it is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Row id; 0 before it is stored.
    pub id: i64,
    /// The number that people see.
    pub number: CaseNumber,
    /// Counts the changes; a change that was decided on an older version is refused.
    pub version: i64,
    /// Where it stands.
    pub state: State,
    /// Type id; empty when nothing is known.
    pub kind: String,
    /// Direction id.
    pub direction: String,
    /// Responsible party; the best guess while in triage; empty when nothing is known.
    pub destination: String,
    /// Parties that get it for information.
    pub copies: Vec<String>,
    /// Category id; empty when not judged.
    pub category: String,
    /// Severity id; empty when not judged.
    pub severity: String,
    /// Where answers go; empty when there is no address.
    pub reporter_address: String,
    /// Where that address came from.
    pub reporter_source: ReporterSource,
    /// Party of the directory that the reporter belongs to; empty when none.
    pub reporter_party: String,
    /// Message-ID of the report, for threading our mail to the reporter; empty when it has none.
    pub reporter_message_id: String,
    /// Language of mail to the reporter.
    pub language: Language,
    /// The reporter's own reference; empty when unknown.
    pub reference: String,
    /// When the report was received, Unix milliseconds.
    pub received_at_ms: i64,
    /// The day of receipt in Europe/Oslo.
    pub received_day: Date,
    /// Day when an answer is due; `None` when none is expected. Never moves once promised.
    pub due_day: Option<Date>,
    /// When the case was created, Unix milliseconds.
    pub created_at_ms: i64,
    /// When the responsible party last got the case.
    pub sent_at_ms: Option<i64>,
    /// When the final answer came.
    pub answered_at_ms: Option<i64>,
    /// When it was closed.
    pub closed_at_ms: Option<i64>,
    /// The acknowledgement decision.
    pub acknowledgement: Acknowledgement,
    /// The party that the reporter was told has the case; empty for the samhandlingsavdeling.
    pub told_party: String,
    /// The reminder.
    pub reminder: Reminder,
    /// Something happened that a person should look at.
    pub attention: bool,
    /// The message that opened it; 0 for paper and telephone.
    pub message_id: i64,
    /// The case that a person merged it into; its messages and all later mail are there.
    pub merged_into: Option<CaseNumber>,
    /// «Mulig dublett av»: an earlier case that seems to be the same report, until a person has decided.
    pub duplicate_of: Option<CaseNumber>,
}

impl Case {
    /// A person must place it, whatever had been done with it before.
    pub(super) const fn put_in_triage(&mut self) {
        self.state = State::Triage;
        self.answered_at_ms = None;
        self.closed_at_ms = None;
    }
}

/// Who changes a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The program itself.
    Worker,
    /// A person: name of the operating system's user, and on whose behalf, if said.
    Person {
        /// OS user.
        user: String,
        /// `--on-behalf-of`; empty when not given.
        on_behalf_of: String,
    },
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Worker => f.write_str("linjevei"),
            Self::Person { user, on_behalf_of } if on_behalf_of.is_empty() => f.write_str(user),
            Self::Person { user, on_behalf_of } => write!(f, "{user} (for {on_behalf_of})"),
        }
    }
}

/// What happened; the ids stand in the history for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The case was created.
    Opened,
    /// It was given to a party (or to the samhandlingsavdeling).
    Placed,
    /// Mail to the reporter was queued, or there is a reason why not.
    Acknowledgement,
    /// A message joined it.
    Joined,
    /// The final answer came.
    Answered,
    /// The reminder was queued.
    Reminded,
    /// A person approved it.
    Approved,
    /// A person handed it over outside mail.
    HandedOver,
    /// It was closed.
    Closed,
    /// It was opened again.
    Reopened,
    /// It was dismissed.
    Dismissed,
    /// A person changed a facet.
    Corrected,
    /// A person wrote a note.
    Note,
    /// A mail of ours could not be delivered.
    MailFailed,
    /// A person lets a mail go that did not arrive, or was held.
    Retried,
    /// A mail of ours was sent.
    MailSent,
    /// A person looked at the content.
    Shown,
    /// A person said that it has to do with another case.
    Linked,
    /// A person made a case of its own from a part of it.
    Split,
    /// A person put another case's messages into it.
    Merged,
    /// The duty address was told of a report of serious harm.
    Alerted,
    /// The content was deleted when its time was over.
    ContentDeleted,
}

impl EventKind {
    const ALL: [Self; 22] = [
        Self::Opened,
        Self::Placed,
        Self::Acknowledgement,
        Self::Joined,
        Self::Answered,
        Self::Reminded,
        Self::Approved,
        Self::HandedOver,
        Self::Closed,
        Self::Reopened,
        Self::Dismissed,
        Self::Corrected,
        Self::Note,
        Self::MailFailed,
        Self::Retried,
        Self::MailSent,
        Self::Shown,
        Self::Linked,
        Self::Split,
        Self::Merged,
        Self::Alerted,
        Self::ContentDeleted,
    ];

    /// Stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Placed => "placed",
            Self::Acknowledgement => "acknowledgement",
            Self::Joined => "joined",
            Self::Answered => "answered",
            Self::Reminded => "reminded",
            Self::Approved => "approved",
            Self::HandedOver => "handed-over",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Dismissed => "dismissed",
            Self::Corrected => "corrected",
            Self::Note => "note",
            Self::MailFailed => "mail-failed",
            Self::Retried => "retried",
            Self::MailSent => "mail-sent",
            Self::Shown => "shown",
            Self::Linked => "linked",
            Self::Split => "split",
            Self::Merged => "merged",
            Self::Alerted => "alerted",
            Self::ContentDeleted => "content-deleted",
        }
    }

    /// The kind with that id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// What people see in the history.
    pub const fn navn(self) -> &'static str {
        match self {
            Self::Opened => "Opprettet",
            Self::Placed => "Plassert",
            Self::Acknowledgement => "Kvittering",
            Self::Joined => "Ny melding i saken",
            Self::Answered => "Besvart",
            Self::Reminded => "Purring lagt i kø",
            Self::Approved => "Godkjent",
            Self::HandedOver => "Overlevert",
            Self::Closed => "Lukket",
            Self::Reopened => "Gjenåpnet",
            Self::Dismissed => "Avvist",
            Self::Corrected => "Rettet",
            Self::Note => "Notat",
            Self::MailFailed => "E-post ikke levert",
            Self::Retried => "E-post sendes på nytt",
            Self::MailSent => "E-post sendt",
            Self::Shown => "Innhold vist",
            Self::Linked => "Koblet til en annen sak",
            Self::Split => "Delt",
            Self::Merged => "Slått sammen",
            Self::Alerted => "Vakt varslet",
            Self::ContentDeleted => "Innhold slettet",
        }
    }
}

/// One line of the append-only history. Holds no word of any report.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Who.
    pub actor: Actor,
    /// Why, as a person wrote it; empty for the worker.
    pub reason: String,
    /// State afterwards.
    pub state: State,
    /// Ids and counts: party, message row, mail kind, rule ids.
    pub data: Value,
}

/// A mail that a change of a case asks for. The store composes and queues it in the change's own transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailOrder {
    /// Which text.
    pub kind: MailKind,
    /// Party id; empty for the reporter.
    pub party: String,
    /// Addresses, at least one.
    pub to: Vec<String>,
    /// Language.
    pub language: Language,
    /// With case, party and kind, unique. Acknowledgement and reminder always have 1: there is only one of each.
    pub seq: i64,
    /// Keep it until a person lets it go (too many acknowledgements to one address).
    pub held: bool,
}

/// A decided change: the case as it is afterwards, what goes into the history, the mail it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The case afterwards; `version` is that of the case it was decided on.
    pub case: Case,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What to send, in order.
    pub mails: Vec<MailOrder>,
    /// What the form of a report says; kept where the case has nothing under that name yet.
    pub fields: Vec<CaseField>,
}

impl Change {
    /// A change that does nothing yet.
    pub const fn of(case: Case) -> Self {
        Self {
            case,
            events: Vec::new(),
            mails: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Adds a line by the worker to the history.
    pub fn record(&mut self, kind: EventKind, at_ms: i64, data: Value) {
        self.note(kind, at_ms, &Actor::Worker, "", data);
    }

    /// Adds a line by somebody to the history, without a reason of theirs.
    pub fn record_by(&mut self, kind: EventKind, at_ms: i64, actor: &Actor, data: Value) {
        self.note(kind, at_ms, actor, "", data);
    }

    pub(super) fn note(
        &mut self,
        kind: EventKind,
        at_ms: i64,
        actor: &Actor,
        reason: &str,
        data: Value,
    ) {
        self.events.push(Event {
            kind,
            at_ms,
            actor: actor.clone(),
            reason: reason.to_owned(),
            state: self.case.state,
            data,
        });
    }
}
