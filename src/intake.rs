//! Where messages come from: Maildir, mbox, `.eml` files and folders, standard input, IMAP, KS SvarInn. [I/O]
//!
//! A [`MailSource`] lists what is there, fetches bytes, and, only after the store has committed, treats what is ours
//! (flag, move, leave). It never changes anything else at the source.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::config::SourceConfig;

pub mod files;
pub mod imap;

pub mod maildir;
pub mod mbox;
pub mod svarinn;

pub use files::{Shape, StreamSource, detect, open_path};

pub use imap::{ImapReport, ImapSource};
pub use maildir::MaildirSource;
pub use svarinn::SvarInnSource;

/// Opens a watched mailbox of the configuration. Nothing is connected or read before the first call.
///
/// # Errors
/// [`SourceError::NeedsPerson`] for settings that cannot work.
pub fn open(config: &SourceConfig) -> Result<Box<dyn MailSource>, SourceError> {
    Ok(match config {
        SourceConfig::Imap { .. } => Box::new(ImapSource::new(config)?),
        SourceConfig::Maildir { name, path, .. } => {
            Box::new(MaildirSource::new(name.clone(), path.clone()))
        }
        SourceConfig::SvarInn(config) => Box::new(SvarInnSource::new(config)?),
    })
}

/// Position of a message at its source; unique within source, mailbox and `uid_validity`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// IMAP folder as people write it, or empty.
    pub mailbox: String,
    /// UIDVALIDITY (RFC 3501 section 2.3.1.1) for IMAP, else 0.
    pub uid_validity: u32,
    /// IMAP UID in decimal; unique file name of a Maildir without flags; offset and hash in an mbox; path and hash of a
    /// file (another text under the same path is another message); hash of standard input.
    pub key: String,
}

/// What the store remembers of a source between two checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// UIDVALIDITY of the last check; 0 at first.
    pub uid_validity: u32,
    /// Highest UID below which everything is stored; 0 at first. Only for IMAP.
    pub last_uid: u32,
}

/// A message that is at the source, not yet fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub position: Position,
    /// Size in bytes as the source tells it.
    pub size: u64,
    /// INTERNALDATE in Unix milliseconds; `None` where the source has no such thing.
    pub internal_date_ms: Option<i64>,
}

/// What is at the source after the cursor, oldest first, bounded in number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The messages.
    pub candidates: Vec<Candidate>,
    /// The cursor to store once all of these are stored.
    pub cursor: Cursor,
    /// There is more after these.
    pub more: bool,
}

/// A fetched message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// Where it was.
    pub position: Position,
    /// INTERNALDATE in Unix milliseconds.
    pub internal_date_ms: Option<i64>,
    /// The bytes as the source holds them.
    pub bytes: Vec<u8>,
}

/// Result of one fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Here it is.
    Message(RawMessage),
    /// It was listed and has gone since («gone before fetch»).
    Gone(Position),
    /// One file could not be read (permissions, I/O error); tried again at the next check, the others go on.
    Unreadable(Position, String),
}

/// What to do at the source with a message that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreatmentKind {
    /// It became a case or joined one.
    Ours,
}

/// What went wrong at a source, cut by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Connection, time-out, server busy: try again with back-off.
    #[error("{what}")]
    Temporary {
        /// What was being done and where, without addresses of people; a lowercase fragment.
        what: String,
        /// Cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Wrong password, no such mailbox, untrusted certificate: a person must act; tried again at a slow pace.
    #[error("{what}: {advice}")]
    NeedsPerson {
        /// What happened and where.
        what: String,
        /// What to do.
        advice: String,
    },
}

impl SourceError {
    /// A failure that may go away by itself; `source` must not hold text of mail.
    pub(crate) fn temporary(
        what: impl Into<String>,
        source: impl Into<Option<Box<dyn std::error::Error + Send + Sync>>>,
    ) -> Self {
        Self::Temporary {
            what: what.into(),
            source: source.into(),
        }
    }

    /// A failure that somebody must mend.
    pub(crate) fn needs_person(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::NeedsPerson {
            what: what.into(),
            advice: advice.into(),
        }
    }

    /// Sorts a failure of the file system: what is missing or forbidden needs a person, the rest may pass.
    pub(crate) fn from_io(what: &str, path: &Path, error: io::Error) -> Self {
        let place = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Self::needs_person(
                format!("{what}: {place} does not exist"),
                "correct the path",
            ),
            io::ErrorKind::PermissionDenied => Self::needs_person(
                format!("{what}: no permission for {place}"),
                "let the user that runs linjevei read it",
            ),
            _ => Self::temporary(format!("{what}: {place}"), Some(error.into())),
        }
    }

    /// Whether it may go away by itself.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary { .. })
    }
}

/// A mailbox of some kind.
#[async_trait::async_trait]
pub trait MailSource: Send {
    /// The name from the configuration; unique. Sources that are taken in once have a colon in it, which the configuration
    /// does not allow.
    fn name(&self) -> &str;

    /// What is there after `cursor`, at most `limit` messages.
    ///
    /// IMAP goes on at `cursor`, wherever it was last. The other sources have no cursor: they walk through everything that
    /// is there, page by page while [`Listing::more`], and begin anew after that; the caller leaves out the positions it
    /// has stored. So what could not be stored comes again in the next walk.
    ///
    /// # Errors
    /// [`SourceError`] when the source cannot be reached or read.
    async fn list(&mut self, cursor: &Cursor, limit: usize) -> Result<Listing, SourceError>;

    /// Fetches the candidates, in order. The caller bounds their number and total size.
    ///
    /// # Errors
    /// [`SourceError`] when the source as a whole fails; what was fetched before is lost and fetched again.
    async fn fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError>;

    /// Treats messages that are ours as the configuration says. Repeating it changes nothing; a message that has gone is
    /// no error. Returns the positions that are done.
    ///
    /// # Errors
    /// [`SourceError`]; nothing is lost, the treatment is tried again.
    async fn treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError>;

    /// Waits until something may have arrived, at most `at_most`. Cancel-safe.
    ///
    /// # Errors
    /// [`SourceError`] when the connection broke.
    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError>;

    /// Says goodbye; never fails and takes at most a few seconds.
    async fn close(&mut self);
}

/// Runs file-system work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SourceError::temporary(
            "reading files was cut short",
            Some(error.into()),
        )),
    }
}

/// What is said of a file that cannot be read; never its name or its text.
pub(crate) fn unreadable_because(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        kind => format!("cannot be read ({kind})"),
    }
}
