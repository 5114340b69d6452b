//! What is kept: raw messages, verdicts, cases, history and the outbox. [I/O]
//!
//! [`Store`] is a port of whole use-cases; each method is one transaction. All SQL is in this module. A message's bytes and
//! position are one transaction ([`Store::store_raw`]); its outcome, the case change and the mail it asks for are one more
//! ([`Group::settle`]). A process that dies in between leaves a message that is still `pending` and is picked up again.

mod copy;
mod fault;
mod postgres;
mod rows;
mod sqlite;
mod turns;
mod upkeep;

pub use copy::{Copied, UNFINISHED_COPY, copy};
pub use postgres::{POSTGRES_OLDEST, PostgresStore, ServerReport};
pub use sqlite::SqliteStore;
pub use upkeep::{LooseEnd, Reconciled, RetentionCounts, SourceAccount};

use crate::case::likeness::{Earlier, Sketch};
use crate::case::surroundings::Thread;
use crate::case::undeliverable::{DeadAddresses, RetryWord, Returned, SentMail};
use crate::case::{Case, CaseField, CaseNumber, Change, Event, MailKind, MailOrder, State};
use crate::config::{DatabaseConfig, Secret};
use crate::intake::{Cursor, Position, RawMessage};
use crate::message::ContentHash;
use crate::message::extract::Extracted;
use crate::outbox::compose::Composed;
use crate::outbox::message_id::Verp;
use crate::outbox::retry::Next;
use crate::outbox::{Delivery, Envelope};
use crate::rules::RuleFiles;
use jiff::civil::Date;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What went wrong in the store, cut by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the database, the disk is full or the server does not answer: try again later; nothing was
    /// written, unless the answer to the commit was lost.
    #[error("the database cannot take it now ({what})")]
    Temporary {
        /// What the database said.
        what: String,
        /// Cause.
        #[source]
        source: sqlx::Error,
    },
    /// Somebody else changed the case in between: read it again and decide again.
    #[error("the case was changed by somebody else at the same time")]
    Conflict,
    /// The database holds something that cannot be.
    #[error("the database holds something unexpected: {0}")]
    Broken(String),
    /// The database cannot be opened or brought up to date.
    #[error("the database {path} cannot be opened: {what}")]
    Open {
        /// File.
        path: String,
        /// What was wrong.
        what: String,
    },
}

impl StoreError {
    /// Whether trying again may help.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary { .. } | Self::Conflict)
    }
}

/// Composes a mail to its last byte, inside the transaction that gives the case its number.
pub trait Compose: Send + Sync {
    /// The mail; `previous` is the Message-ID of our last mail to the same party in this case.
    ///
    /// # Errors
    /// A line that says why this mail cannot be written (an address that is none, a template that fails).
    fn compose(
        &self,
        case: &Case,
        order: &MailOrder,
        previous: Option<&str>,
    ) -> Result<Composed, String>;
    /// Bytes of the content that it holds for the mails that carry any.
    fn content_bytes(&self) -> usize {
        0
    }
}

/// What the settling of several messages will look for, so that it is looked for once.
#[derive(Debug, Clone, Default)]
pub struct Ahead<'a> {
    /// By what each may refer to a case.
    pub threads: Vec<&'a ThreadKeys>,
    /// Addresses that may get an acknowledgement.
    pub addresses: BTreeSet<&'a str>,
    /// What reports may be alike by.
    pub sketches: Vec<&'a Sketch>,
    /// Acknowledgements queued later than this count.
    pub since_ms: i64,
}

/// A message to be stored, with its identity by content.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Bytes and position.
    pub raw: RawMessage,
    /// Identity by content.
    pub hash: ContentHash,
}

/// What storing a message came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// New; to be decided.
    New(i64),
    /// The same content is stored already; recorded as a duplicate of it.
    Duplicate(i64),
    /// This position is stored already.
    Known,
    /// The database refused this message alone; nothing of it was written, and what it said.
    Refused(String),
}

/// A stored message that is to be decided, or decided anew by a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Row id.
    pub id: i64,
    /// Attempts to decide it, this one included.
    pub attempts: i64,
    /// Name of its source.
    pub source: String,
    /// The folder there.
    pub mailbox: String,
    /// INTERNALDATE, if the source had one.
    pub internal_date_ms: Option<i64>,
    /// When it was stored first.
    pub first_seen_at_ms: i64,
    /// Size in bytes.
    pub size_bytes: i64,
}

/// What becomes of the attempt at a message that was not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The message is to blame.
    Counts,
    /// It is not.
    TakenBack,
}

/// By what a message may refer to a case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadKeys {
    /// Cases named by Message-IDs of ours with a valid signature, nearest first.
    pub signed: Vec<CaseNumber>,
    /// Cases named by tokens in the subject.
    pub tokens: Vec<CaseNumber>,
    /// All Message-IDs that it cites, nearest first.
    pub cited: Vec<String>,
    /// The sender's own reference.
    pub own: Option<OwnReference>,
}

/// A sender's own reference, and whose it is: two offices may count alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnReference {
    /// As the sender wrote it.
    pub reference: String,
    /// The sender's address; empty when unknown.
    pub address: String,
    /// The party that the sender belongs to; empty when none.
    pub party: String,
}

/// By what a delivery report proves which mail of ours it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReturnKeys {
    /// Local parts of Message-IDs whose signature holds.
    pub signed: Vec<String>,
    /// Message-IDs that it cites: a server that replaced ours may have told us one of them.
    pub cited: Vec<String>,
    /// Our return paths to which it came.
    pub verps: Vec<Verp>,
}

/// What became of a person's word about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// There is no such mail, it was sent, or its content was deleted.
    NotWaiting,
    /// Mail came back from its address, and nobody says that it works again: since when, and with which status.
    DeadAddress {
        /// When it came back, Unix milliseconds.
        since_ms: i64,
        /// Enhanced status code; empty when unknown.
        status: String,
    },
    /// It goes out at the next round, and so much other mail with it that was held for the same addresses.
    Queued {
        /// How many others.
        others: u64,
    },
}

/// What becomes of a message, to be stored.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The message's row.
    pub message_id: i64,
    /// When it was received.
    pub received_at_ms: i64,
    /// Domain of the sender, for the list of what was left alone.
    pub sender_domain: String,
    /// Its own Message-ID.
    pub rfc_message_id: Option<String>,
    /// The sender's own reference.
    pub own: Option<OwnReference>,
    /// Rule set hash and verdict as JSON.
    pub verdict: Option<(String, String)>,
    /// The outcome.
    pub outcome: Outcome,
    /// By what a later report is known as possibly the same, for a new case.
    pub sketch: Option<Sketch>,
    /// The message says that a mail of ours came back.
    pub returned: Option<Returned>,
    /// What reading its attachments gave, by their place: content, kept with the message when it is in a case.
    pub attachment_texts: Vec<(usize, Extracted)>,
    /// The message was left alone until now, and a person makes a case of it.
    pub adopted: bool,
    /// Now.
    pub at_ms: i64,
}

/// Outcome of a message.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A new case.
    Opened(Box<Change>),
    /// Joins a case.
    Joined(Box<Change>),
    /// Left where it is, with the reason.
    LeftAlone(String),
}

/// Two cases that change together, and messages that move between them.
pub struct Rearrangement {
    /// The change of the first case, which may be new.
    pub first: Change,
    /// The change of the other, once the first has its number.
    pub then: Box<dyn FnOnce(&Case) -> Change + Send>,
    /// Messages that move.
    pub moves: Vec<MessageMove>,
    /// Rule set hash and verdict as JSON for a message that a person had decided on anew; the earlier one is kept beside it.
    pub verdict: Option<(i64, String, String)>,
    /// The sketch of the first case when it is new.
    pub sketch: Option<Sketch>,
}

/// A message that moves from one case of a [`Rearrangement`] to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageMove {
    /// The message.
    pub message_id: i64,
    /// To the first case; else to the other.
    pub to_first: bool,
    /// It is the one that opened that case.
    pub opened: bool,
}

/// A day for which a report is done, whether it had something to say or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportDay {
    /// `oversikt`, `urort`, `partstatus`.
    pub kind: &'static str,
    /// The party that it is for; empty for the samhandlingsavdeling.
    pub party: String,
    /// The day.
    pub day: Date,
}

/// A mail about many cases, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportMail {
    /// Kind, party and addresses.
    pub order: MailOrder,
    /// The mail.
    pub mail: Composed,
}

/// A mail of ours that did not arrive, or is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDelivered {
    /// Row of the outbox.
    pub id: i64,
    /// Its case, unless it is about many.
    pub case: Option<CaseNumber>,
    /// Which text.
    pub kind: MailKind,
    /// Party id; empty for the reporter.
    pub party: String,
    /// Held for a person; else refused, bounced or of unknown fate.
    pub held: bool,
    /// It came back, or is held because its address takes no mail.
    pub address: bool,
}

/// A message that was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// Row id.
    pub message_id: i64,
    /// When it was received, Unix milliseconds.
    pub received_at_ms: i64,
    /// Domain of the sender.
    pub sender_domain: String,
    /// Why.
    pub reason: String,
}

/// A message in lists.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MessageRow {
    /// Row id.
    pub id: i64,
    /// Source name.
    pub source: String,
    /// `pending`, `opened`, `joined`, `duplicate`, `left-alone`.
    pub outcome: String,
    /// Reason for `left-alone`.
    pub reason: String,
    /// Case number, if it is in one.
    pub case: Option<String>,
    /// Row of the original for `duplicate`.
    pub duplicate_of: Option<i64>,
    /// When it was received, Unix milliseconds; 0 while pending.
    pub received_at_ms: i64,
    /// Domain of the sender.
    pub sender_domain: String,
    /// Size in bytes.
    pub size_bytes: i64,
}

/// Something at a source that cannot be read there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Name of the source.
    pub source: String,
    /// Where it lies.
    pub position: Position,
    /// Since when, Unix milliseconds.
    pub first_at_ms: i64,
    /// When it was tried last.
    pub last_at_ms: i64,
    /// Why; never content.
    pub why: String,
}

/// What a person did at a source by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEvent {
    /// Name of the source.
    pub source: String,
    /// Key of the position there.
    pub position_key: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What, with how it ended.
    pub kind: &'static str,
    /// Who.
    pub actor: crate::case::Actor,
    /// Why.
    pub reason: String,
}

/// What people said a message is, by correcting the case that it opened; ground truth for the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Correction {
    /// Row of the message that opened the case.
    pub message_id: i64,
    /// Case number.
    pub case: String,
    /// Facets that a person set (`type`, `destination`, `category`, `severity`), the last word on each.
    pub facets: std::collections::BTreeMap<String, String>,
}

/// Which cases to list.
#[derive(Debug, Clone, Default)]
pub struct CaseFilter {
    /// Only this state.
    pub state: Option<State>,
    /// Only this responsible party.
    pub party: Option<String>,
    /// Only those that this party reported or is responsible for.
    pub concerns: Option<String>,
    /// Only those that this user was the last person to decide on.
    pub handled_by: Option<String>,
    /// Only open ones whose due date is before this day.
    pub overdue_on: Option<Date>,
    /// Only those that a person should look at.
    pub attention: bool,
    /// Also closed, registered and dismissed ones.
    pub all: bool,
    /// At most so many, newest last.
    pub limit: u32,
}

/// A claimed mail, ready to be handed to a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Row id.
    pub id: i64,
    /// Its case, unless it is about many.
    pub number: Option<CaseNumber>,
    /// Which text.
    pub kind: MailKind,
    /// Attempts, this one included.
    pub attempts: u32,
    /// When it was queued.
    pub created_at_ms: i64,
    /// Envelope with the recipients that still wait.
    pub envelope: Envelope,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A mail in lists.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OutboxRow {
    /// Row id.
    pub id: i64,
    /// Case number, unless the mail is about many cases.
    pub case: Option<String>,
    /// Mail kind.
    pub kind: String,
    /// Party id; empty for the reporter.
    pub party: String,
    /// `queued`, `sending`, `sent`, `failed`, `held`, `bounced`.
    pub state: String,
    /// Why it is held, where nothing else tells: `dead-address`.
    pub hold_reason: String,
    /// Attempts so far.
    pub attempts: i64,
    /// Attempts whose outcome is unknown.
    pub unknown_outcomes: i64,
    /// When it is tried next, Unix milliseconds.
    pub next_attempt_at_ms: i64,
    /// When it was sent; 0 when it was not.
    pub sent_at_ms: i64,
    /// Last SMTP code of each recipient, in order.
    pub codes: Vec<i64>,
    /// Our Message-ID.
    pub message_id: String,
}

/// Numbers for `doctor` and the demo.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Messages by outcome.
    pub messages: Vec<(String, i64)>,
    /// Cases by state.
    pub cases: Vec<(String, i64)>,
    /// Mail by state.
    pub outbox: Vec<(String, i64)>,
    /// When the oldest mail that still waits was queued, Unix milliseconds.
    pub oldest_unsent_ms: Option<i64>,
}

/// A worker that is not heard of for so long is taken for dead; by the database's clock.
pub const LIVES_MS: i64 = 45_000;

/// Whether a source may be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// Until the lease ends.
    Granted,
    /// This worker watches it.
    By(String),
}

/// A worker that shares the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name: host, and a word that differs at each start.
    pub name: String,
    /// Hash of the rules that it has in force.
    pub ruleset: String,
    /// Since when, Unix milliseconds by its own clock.
    pub ruleset_at_ms: i64,
}

/// The workers that live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// What the clock of the database says, Unix milliseconds.
    pub clock_ms: i64,
    /// Those that share it, the one whose rules are the newest last.
    pub nodes: Vec<Node>,
}

/// Opens a database, creating it and bringing it up to date as needed.
///
/// # Errors
/// [`StoreError::Open`] when that is not possible; never with a password.
pub async fn open(database: &DatabaseConfig) -> Result<SharedStore, StoreError> {
    Ok(match database {
        DatabaseConfig::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
        DatabaseConfig::Postgres { url, password } => {
            Arc::new(PostgresStore::open(url, password.as_ref().map(Secret::reveal)).await?)
        }
    })
}

/// The store as everything else sees it.
pub type SharedStore = Arc<dyn Store>;

/// What becomes of several messages, in one transaction; what is read sees what the group has settled. An error ends the group. Nothing of it is stored before [`Group::commit`]; dropping it undoes all.
#[async_trait::async_trait]
pub trait Group: Send {
    /// Looks for all that these may ask for, in one go. Nothing depends on it but the number of questions to the database.
    async fn look_ahead(&mut self, ahead: &Ahead<'_>) -> Result<(), StoreError>;
    /// The case that a message refers to.
    async fn find_thread(&mut self, keys: &ThreadKeys) -> Result<Option<Thread>, StoreError>;
    /// The mail of ours that a delivery report is about, and its case, unless it is about many.
    async fn sent_mail(
        &mut self,
        keys: &ReturnKeys,
    ) -> Result<Option<(SentMail, Option<CaseNumber>)>, StoreError>;
    /// Addresses to which nothing is sent.
    async fn dead_addresses(&mut self) -> Result<DeadAddresses, StoreError>;
    /// Acknowledgements queued for an address since a moment.
    async fn acknowledgements_since(
        &mut self,
        address: &str,
        since_ms: i64,
    ) -> Result<u32, StoreError>;
    /// Earlier cases that a report may repeat.
    async fn earlier(
        &mut self,
        sketch: &Sketch,
        received_at_ms: i64,
    ) -> Result<Vec<Earlier>, StoreError>;
    /// Stores what became of a message: outcome, case, history and outbox rows. `None` when it was settled before. The mail of a
    /// new case is composed with that of the others, before [`Self::commit`] at the latest.
    async fn settle(
        &mut self,
        settlement: Settlement,
        composer: Arc<dyn Compose>,
    ) -> Result<Option<Case>, StoreError>;
    /// Makes it last.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Port to the database. Every method is one transaction; an error means that nothing of it was written.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// The name of this worker among those that share the database; `None` where one alone has it.
    fn node(&self) -> Option<&str>;
    /// Asks to watch a source, or to go on watching it, for so long by the database's clock. Always granted where one worker
    /// alone has the database.
    async fn watch_source(&self, source: &str, lease_ms: i64) -> Result<Watch, StoreError>;
    /// Watches it no more: another may at once.
    async fn leave_source(&self, source: &str) -> Result<(), StoreError>;
    /// Sources and the workers that watch them now.
    async fn watchers(&self) -> Result<Vec<(String, String)>, StoreError>;
    /// Says that this worker lives and by which rules it decides since when, and tells who else lives. `None` where one worker
    /// alone has the database.
    async fn meet(&self, ruleset: &str, since_ms: i64) -> Result<Option<Meeting>, StoreError>;
    /// What in the database itself does not hang together, for people, besides [`Self::loose_ends`]; empty when all is well.
    async fn integrity(&self) -> Result<Vec<String>, StoreError>;
    /// The workers that live, for somebody who is none of them.
    async fn nodes(&self) -> Result<Meeting, StoreError>;
    /// This worker stops: others take over at once.
    async fn part(&self) -> Result<(), StoreError>;
    /// Where the last check of the source ended.
    async fn cursor(&self, source: &str) -> Result<Cursor, StoreError>;
    /// Which of the positions are not stored yet, in order.
    async fn unknown(&self, source: &str, positions: &[Position]) -> Result<Vec<bool>, StoreError>;
    /// Stores raw bytes and positions of a batch; one bad message undoes only itself.
    async fn store_raw(
        &self,
        source: &str,
        batch: &[Incoming],
        now_ms: i64,
    ) -> Result<Vec<Stored>, StoreError>;
    /// Remembers that a check of the source was completed.
    async fn source_checked(
        &self,
        source: &str,
        cursor: &Cursor,
        gone: u32,
        now_ms: i64,
    ) -> Result<(), StoreError>;
    /// Remembers what lies at a source and could not be read just now.
    async fn note_unreadable(
        &self,
        source: &str,
        found: &[(Position, String)],
        now_ms: i64,
    ) -> Result<(), StoreError>;
    /// Forgets what could not be read before and was not met since that moment: it lies there no more.
    async fn forget_unreadable(
        &self,
        source: &str,
        not_met_since_ms: i64,
    ) -> Result<(), StoreError>;
    /// What lies at the sources and cannot be read, oldest first.
    async fn unreadable(&self) -> Result<Vec<Unreadable>, StoreError>;
    /// The message that stands at a position.
    async fn message_at(
        &self,
        source: &str,
        position: &Position,
    ) -> Result<Option<MessageRow>, StoreError>;
    /// The mailbox that a message was taken from; empty when it has none.
    async fn mailbox(&self, message_id: i64) -> Result<String, StoreError>;
    /// Keeps what a person did at a source.
    async fn keep_source_event(&self, event: &SourceEvent) -> Result<(), StoreError>;
    /// Claims messages that are stored and not decided, for `lease_ms`, and counts the attempt before it is made. Those that
    /// were never begun come together; one whose attempt never ended comes alone, so that if it kills the process, it kills
    /// nobody else's attempt.
    async fn claim_undecided(
        &self,
        limit: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<Pending>, StoreError>;
    /// How many messages are claimed now.
    async fn claimed(&self, now_ms: i64) -> Result<i64, StoreError>;
    /// Frees what others had claimed, at start, when nobody else can be deciding; nothing where workers share the database.
    async fn release_claims(&self) -> Result<(), StoreError>;
    /// Begins to store what becomes of these messages.
    async fn group(&self, messages: &[i64]) -> Result<Box<dyn Group>, StoreError>;
    /// How a message was taken in, whatever became of it.
    async fn taken_in(&self, message_id: i64) -> Result<Option<Pending>, StoreError>;
    /// Gives claimed messages back that were not decided.
    async fn give_back(&self, message_ids: &[i64], attempt: Attempt) -> Result<(), StoreError>;
    /// The raw bytes of a message; of a duplicate those of its original.
    async fn raw(&self, message_id: i64) -> Result<Option<Vec<u8>>, StoreError>;
    /// What reading the attachments of a message gave, by their place; nothing when it is in no case.
    async fn attachment_texts(
        &self,
        message_id: i64,
    ) -> Result<Vec<(usize, Extracted)>, StoreError>;
    /// Acknowledgements queued for an address since a moment.
    async fn acknowledgements_since(&self, address: &str, since_ms: i64)
    -> Result<u32, StoreError>;
    /// Positions at a source of messages that are ours and not treated there yet.
    async fn untreated(&self, source: &str, limit: u32) -> Result<Vec<Position>, StoreError>;
    /// Marks positions as treated at the source.
    async fn mark_treated(&self, source: &str, positions: &[Position]) -> Result<(), StoreError>;
    /// Messages for lists, newest last; `left_alone` only those.
    async fn messages(&self, left_alone: bool, limit: u32) -> Result<Vec<MessageRow>, StoreError>;
    /// One message.
    async fn message(&self, id: i64) -> Result<Option<MessageRow>, StoreError>;
    /// The verdict stored with a message, as JSON.
    async fn verdict(&self, message_id: i64) -> Result<Option<String>, StoreError>;
    /// Keeps a rule set whole.
    async fn keep_ruleset(
        &self,
        hash: &str,
        engine_version: &str,
        files: &RuleFiles,
        now_ms: i64,
    ) -> Result<(), StoreError>;
    /// The files of a rule set that was kept.
    async fn ruleset_files(&self, hash: &str) -> Result<Option<RuleFiles>, StoreError>;
    /// A case by its number.
    async fn case(&self, number: CaseNumber) -> Result<Option<Case>, StoreError>;
    /// Cases, by due date and number.
    async fn cases(&self, filter: &CaseFilter) -> Result<Vec<Case>, StoreError>;
    /// The history of a case, oldest first.
    async fn history(&self, case_id: i64) -> Result<Vec<Event>, StoreError>;
    /// What the form of the report says, in the order in which it was kept.
    async fn case_fields(&self, case_id: i64) -> Result<Vec<CaseField>, StoreError>;
    /// What people corrected, by case in the order of their numbers.
    async fn corrections(&self) -> Result<Vec<Correction>, StoreError>;
    /// Rows of the messages in a case, oldest first.
    async fn case_messages(&self, case_id: i64) -> Result<Vec<i64>, StoreError>;
    /// Stores a person's or the calendar's change of a case, creating the case when it has no id.
    async fn apply(&self, change: Change, composer: &dyn Compose) -> Result<Case, StoreError>;
    /// Stores a person's change of two cases and moves messages between them. Gives both as they are then.
    async fn rearrange(
        &self,
        rearrangement: Rearrangement,
        composer: &dyn Compose,
        now_ms: i64,
    ) -> Result<(Case, Case), StoreError>;
    /// Earlier cases that a report may repeat.
    async fn earlier(
        &self,
        sketch: &Sketch,
        received_at_ms: i64,
    ) -> Result<Vec<Earlier>, StoreError>;
    /// Whether a report is done for that day.
    async fn report_done(&self, day: &ReportDay) -> Result<bool, StoreError>;
    /// When the report was done for the last day before this one, Unix milliseconds.
    async fn report_done_before(&self, day: &ReportDay) -> Result<Option<i64>, StoreError>;
    /// Marks days as done and queues their mail, all or nothing. `false` when the first of them was done already.
    async fn queue_report(
        &self,
        days: &[ReportDay],
        mail: Option<&ReportMail>,
        now_ms: i64,
    ) -> Result<bool, StoreError>;
    /// Cases that were taken in since a moment and not acknowledged, and those without an address that were answered since.
    async fn unacknowledged(&self, since_ms: i64) -> Result<Vec<Case>, StoreError>;
    /// Mail that did not arrive or is held; mail about many cases only when it was tried since a moment.
    async fn not_delivered(&self, since_ms: i64) -> Result<Vec<NotDelivered>, StoreError>;
    /// What was left alone since a moment and was not a robot's: how many, and the first of them.
    async fn left_alone(
        &self,
        since_ms: i64,
        limit: u32,
    ) -> Result<(u64, Vec<LeftAlone>), StoreError>;
    /// Cases for which time may have something to do: due and not reminded, or answered since before `answered_before_ms`.
    async fn chaseable(
        &self,
        today: Date,
        answered_before_ms: i64,
    ) -> Result<Vec<Case>, StoreError>;
    /// Claims mail that is due, for `lease_ms`.
    async fn claim(
        &self,
        limit: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<Claimed>, StoreError>;
    /// Mail whose sender died or was cut off: outcome unknown. `all` at start, when nobody else can be sending; where
    /// workers share the database only those whose lease has run out.
    async fn recover_sending(&self, all: bool, now_ms: i64) -> Result<u64, StoreError>;
    /// Stores the result of an attempt.
    async fn record_delivery(
        &self,
        claimed: &Claimed,
        delivery: &Delivery,
        next: Next,
        now_ms: i64,
    ) -> Result<(), StoreError>;
    /// Mail for lists: what waits, failed or is held; with `all` also what was sent.
    async fn outbox(&self, all: bool, limit: u32) -> Result<Vec<OutboxRow>, StoreError>;
    /// A person's word: keep it. `false` when the row is not in a state for that.
    async fn hold_mail(&self, id: i64) -> Result<bool, StoreError>;
    /// A person's word: try again now.
    async fn retry_mail(
        &self,
        id: i64,
        word: &RetryWord,
        now_ms: i64,
    ) -> Result<Retried, StoreError>;
    /// Addresses to which nothing is sent.
    async fn dead_addresses(&self) -> Result<DeadAddresses, StoreError>;
    /// When the content of a message was deleted, Unix milliseconds.
    async fn content_deleted_ms(&self, message_id: i64) -> Result<Option<i64>, StoreError>;
    /// When the next queued mail is due.
    async fn next_due_ms(&self) -> Result<Option<i64>, StoreError>;
    /// When the oldest mail that still waits was queued, Unix milliseconds.
    async fn oldest_unsent_ms(&self) -> Result<Option<i64>, StoreError>;
    /// A remembered setting.
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;
    /// Remembers a setting.
    async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError>;
    /// Remembers a setting unless it is there; returns what is there now.
    async fn setting_once(&self, name: &str, value: &str) -> Result<String, StoreError>;
    /// Numbers. They are counted: with a million cases this takes seconds.
    async fn counts(&self) -> Result<Counts, StoreError>;
    /// When the last check of a source was completed, Unix milliseconds.
    async fn checked_at_ms(&self, source: &str) -> Result<Option<i64>, StoreError>;
    /// What is stored of each source, by name.
    async fn accounts(&self) -> Result<Vec<SourceAccount>, StoreError>;
    /// What does not hang together in the store; messages first seen before the moment have to be decided.
    async fn loose_ends(&self, undecided_before_ms: i64) -> Result<Vec<LooseEnd>, StoreError>;
    /// The last reconciliation of each source, by name.
    async fn reconciliations(&self) -> Result<Vec<Reconciled>, StoreError>;
    /// Remembers a reconciliation in place of the last one of its source.
    async fn keep_reconciliation(&self, reconciled: &Reconciled) -> Result<(), StoreError>;
    /// Deletes the content of some messages that were left alone before the moment; how many. 0: there are no more.
    async fn delete_left_alone_content(
        &self,
        settled_before_ms: i64,
        now_ms: i64,
    ) -> Result<u64, StoreError>;
    /// Deletes the content of the next case after that row which is done and in which nothing happened since the moment.
    async fn delete_case_content(
        &self,
        after_case_id: i64,
        ended_before_ms: i64,
        now_ms: i64,
    ) -> Result<Option<(i64, CaseNumber)>, StoreError>;
    /// What retention has deleted so far and what is due; `None`: cases are kept.
    async fn retention_counts(
        &self,
        settled_before_ms: i64,
        ended_before_ms: Option<i64>,
    ) -> Result<RetentionCounts, StoreError>;
}
