//! The worker: joins sources, rules, cases, store and transport.
//!
//! [`Engine`] holds the parts and has one method a step (take in, decide, send, chase); each step can be called by itself,
//! by tests, by the demo and by the commands. [`supervisor`] runs the steps as loops until it is told to stop.

mod chasing;
mod compositor;
mod deciding;
pub mod endpoint;
pub mod fellows;
pub mod health;
pub mod reconciling;
pub mod reloading;
mod reporting;
pub mod retention;
mod rulebook;
mod sending;
pub mod service;
pub mod supervisor;
mod taking_in;
mod undoing;
pub mod vitals;
mod warming;

pub use deciding::PersonError;
pub use reporting::{Report, ReportError, digest_address};
pub use rulebook::{InForce, Rulebook};
pub use sending::SendReport;
pub use taking_in::TakenIn;

use crate::calendar::Calendar;
use crate::case::Policy;
use crate::clock::SharedClock;
use crate::config::{Identity, Mode};
use crate::extractor::{Extractor, ExtractorError};
use crate::message::Limits;
use crate::outbox::MailTransport;
use crate::outbox::message_id::SigningKey;
use crate::store::{SharedStore, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything that a step needs.
#[derive(Clone)]
pub struct Engine {
    /// The store.
    pub store: SharedStore,
    /// The clock.
    pub clock: SharedClock,
    /// Rules and templates in force.
    pub rulebook: Rulebook,
    /// Who we are.
    pub identity: Arc<Identity>,
    /// Keys of our Message-IDs, the one that signs first.
    pub keys: Arc<Vec<SigningKey>>,
    /// The installation's choices.
    pub policy: Arc<Policy>,
    /// Working days.
    pub calendar: Arc<Calendar>,
    /// How mail goes out.
    pub transport: Arc<dyn MailTransport>,
    /// Observe or live.
    pub mode: Mode,
    /// In live mode: what these sources received before a moment (Unix milliseconds) is left alone; not what a person takes
    /// in by hand.
    pub live_since: LiveSince,
    /// Limits for parsing.
    pub limits: Limits,
    /// Reads attachments.
    pub extractor: Arc<Extractor>,
}

/// The switch to live mode, for the sources that are watched.
#[derive(Debug, Clone, Default)]
pub struct LiveSince {
    /// The moment of the switch, Unix milliseconds.
    pub at_ms: i64,
    /// Names of the watched sources.
    pub sources: Arc<BTreeSet<String>>,
}

/// A step could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] crate::intake::SourceError),
    /// Attachments cannot be read now.
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
    /// A background thread was lost.
    #[error("a background task ended by surprise")]
    TaskLost,
}

impl WorkError {
    /// Whether trying again may help.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Store(error) => error.is_temporary(),
            Self::Source(error) => error.is_temporary(),
            Self::Extractor(_) | Self::TaskLost => true,
        }
    }
}
