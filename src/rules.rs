//! The rule engine: rule files → [`RuleSet`]; ([`Message`](crate::message::Message), [`RuleSet`]) → [`Verdict`] that names the rules behind it.
//!
//! Pure: same message and same rule set give the same verdict on every machine. Cost grows with the message, hardly with
//! the number of rules.

mod compile;
mod cover;
mod decide;
mod directory;
mod examples;
mod fold;
mod inflect;
mod language;
mod lexicon;
mod model;
mod raw;
mod reporter;
mod scan;
mod schema;
mod trie;
mod view;
mod vocabulary;
mod why_not;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use compile::{FILE_BYTES_MAX, RuleFiles, RuleSet, SET_BYTES_MAX, TERMS_MAX};
pub use decide::ClassifyContext;
pub use directory::{Directory, Portal, is_public_domain};
pub use examples::{Example, ExampleMail};
pub use schema::schema;
pub use view::{ReadText, TEXT_BYTES_MAX};

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Facet {
    /// What the message is (`avvik`, `svar`, `ikke-avvik` …).
    Type,
    /// Who reports (`fra-fastlege` …).
    Direction,
    /// Who has to answer: a party id.
    Destination,
    /// One of the nine categories.
    Category,
    /// Consequence for the patient.
    Severity,
    /// What kind of reply it is (`endelig`, `forelopig`, `sporsmal`, `feil-adressat`, `takk`, `purring`).
    Reply,
    /// A machine that only its text gives away: `fravaer` (out of office), `kvittering` (another system's receipt).
    Robot,
}

/// Written language of a mail.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub enum Language {
    /// Bokmål.
    #[default]
    #[serde(rename = "nb")]
    Bokmal,
    /// Nynorsk.
    #[serde(rename = "nn")]
    Nynorsk,
}

/// The decision for one facet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Decision {
    /// The best value, if any evidence spoke.
    pub value: Option<String>,
    /// Enough evidence, and far enough ahead of the runner-up.
    pub certain: bool,
    /// Sum of the evidence for `value`.
    pub score: i64,
    /// The second best value and its sum.
    pub runner_up: Option<(String, i64)>,
}

/// One rule that spoke: never a word of the message, only the term as written in the rule and where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The facet it is evidence for.
    pub facet: Facet,
    /// The value it is evidence for.
    pub value: String,
    /// The rule's id; rules that the directory implies are called `part:<party>:<what>`.
    pub rule: String,
    /// The zone in which the term stood.
    pub zone: crate::message::Zone,
    /// The field of the form, where the term stood in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<crate::message::FieldName>,
    /// Which of the texts of that zone, from 0, in the order of [`RuleSet::texts`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub piece: usize,
    /// Byte offset of the match in that text.
    pub offset: usize,
    /// The term as written in the rule.
    pub term: String,
    /// Strength; a decisive rule has [`DECISIVE`].
    pub strength: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The strength that stands for `decisive` in [`Evidence`].
pub const DECISIVE: i64 = 1000;

/// Where the reporter's address comes from (`classify --json`: `reporter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum ReporterSource {
    /// From.
    From,
    /// Reply-To, where the directory says so for a portal.
    ReplyTo,
    /// An e-mail address on the cover page or in the text of an eDialog message.
    CoverPage,
    /// The one directory entry whose name matches the sender of an eDialog message.
    Directory,
    /// The inner sender of a forwarded report.
    Forwarded,
    /// No usable address.
    #[default]
    None,
}

/// The person who reports, as far as an answer can reach them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reporter {
    /// Where the address comes from.
    pub source: ReporterSource,
    /// The address; empty for [`ReporterSource::None`].
    pub address: String,
    /// The party of the directory that the reporter belongs to, if one does.
    pub party: Option<String>,
}

/// Why no automatic answer goes out (`classify --json`: `why_not`). Kebab-case ids are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyNot {
    /// `Auto-Submitted` other than `no`, out-of-office.
    AutoSubmitted,
    /// Mailing list or bulk mail.
    List,
    /// A bounce.
    Bounce,
    /// A read receipt, another system's receipt, a feedback report or calendar mail.
    Receipt,
    /// From a no-reply, mailer-daemon or postmaster address with nobody known behind it.
    NoReply,
    /// From an address that we send from or watch, or through our own loop.
    OwnAddress,
    /// `X-Auto-Response-Suppress: All` or `AutoReply`.
    Suppressed,
    /// Nobody to answer.
    NoAddress,
    /// A person decides first whether it is a report.
    UncertainType,
    /// Sender authentication failed, or the mail is flagged as spam.
    Unauthenticated,
    /// Not a report.
    IkkeAvvik,
    /// Belongs to a case.
    Svar,
    /// Could not be parsed.
    Unreadable,
    /// Older than `acknowledge_max_age` at intake.
    TooOld,
    /// A duplicate of a stored message, or joined a case.
    Joined,
}

impl WhyNot {
    const ALL: [Self; 15] = [
        Self::AutoSubmitted,
        Self::List,
        Self::Bounce,
        Self::Receipt,
        Self::NoReply,
        Self::OwnAddress,
        Self::Suppressed,
        Self::NoAddress,
        Self::UncertainType,
        Self::Unauthenticated,
        Self::IkkeAvvik,
        Self::Svar,
        Self::Unreadable,
        Self::TooOld,
        Self::Joined,
    ];

    /// Stable id, as in `classify --json`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::AutoSubmitted => "auto-submitted",
            Self::List => "list",
            Self::Bounce => "bounce",
            Self::Receipt => "receipt",
            Self::NoReply => "no-reply",
            Self::OwnAddress => "own-address",
            Self::Suppressed => "suppressed",
            Self::NoAddress => "no-address",
            Self::UncertainType => "uncertain-type",
            Self::Unauthenticated => "unauthenticated",
            Self::IkkeAvvik => "ikke-avvik",
            Self::Svar => "svar",
            Self::Unreadable => "unreadable",
            Self::TooOld => "too-old",
            Self::Joined => "joined",
        }
    }

    /// The reason with that id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why_not| why_not.id() == id)
    }
}

/// What the rules say of a message. Destinations hold the best guess even when uncertain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// `sha256:…` of the rule set.
    pub ruleset: String,
    /// What it is.
    pub kind: Decision,
    /// Who reports.
    pub direction: Decision,
    /// Who has to answer.
    pub destination: Decision,
    /// Who gets it for information.
    pub copies: Vec<String>,
    /// Category of the annual report.
    pub category: Decision,
    /// Consequence for the patient.
    pub severity: Decision,
    /// Kind of reply, for messages that join a case.
    pub reply: Decision,
    /// A machine known by its text only.
    pub robot: Decision,
    /// A person has to place the message.
    pub triage: bool,
    /// Why no automatic answer goes out for this message alone; `None` means acknowledge.
    pub why_not: Option<WhyNot>,
    /// Who reports.
    pub reporter: Reporter,
    /// Language to answer in: the party's målform, else that of the message.
    pub language: Language,
    /// The rules that spoke, in the order of facet, rule id, zone and offset.
    pub because: Vec<Evidence>,
    /// The reporter's own case reference («vår ref. 2026/188»), if one stands in the message.
    pub reference: Option<String>,
    /// The message has more text than [`TEXT_BYTES_MAX`], or than was taken from it; the rest was not read.
    #[serde(default)]
    pub truncated: bool,
}

impl Verdict {
    /// Acknowledge at once, for this message alone.
    pub const fn acknowledge(&self) -> bool {
        self.why_not.is_none()
    }
}

/// What a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartyKind {
    /// A clinic of the own hospital.
    Klinikk,
    /// The samhandlingsavdeling itself.
    Samhandling,
    /// A kommune.
    Kommune,
    /// A fastlege's office, a private specialist.
    Fastlege,
    /// Another hospital.
    AnnetSykehus,
}

/// A party of the directory, as the rest of the program needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Stable ASCII id.
    pub id: String,
    /// Norwegian name as people see it.
    pub name: String,
    /// What it is.
    pub kind: PartyKind,
    /// Where cases are sent; may be empty.
    pub send_to: Vec<String>,
    /// Addresses that belong to the party, `send_to` included, in lower case.
    pub addresses: Vec<String>,
    /// Mail domains that belong to the party, in lower case.
    pub domains: Vec<String>,
    /// Text and attachments may be sent to it by mail.
    pub secure: bool,
    /// A person approves before a case is sent to it.
    pub approval: bool,
    /// The language it is written to.
    pub language: Option<Language>,
}
