//! KS SvarInn: what fastleger send by eDialog, and kommuner by SvarUt, as it comes to the hospital. [I/O]
//!
//! A forsendelse is listed, downloaded, decrypted and opened, and becomes a mail of the same content ([`letter`]); it is
//! stored like any other. Delivery is at least once: its position is its id, so it is stored once. The receipt goes out only
//! when what it became is committed and is a case; until then SvarInn shows it again at every look. What this source never
//! says is «mottakFeilet»: that sends a letter on to print, and is for a person ([`SvarInn`]).
//!
//! A forsendelse that cannot be read comes as a notice with what is known of it, at a position of its own, and is tried again
//! at every look; it is not receipted before it is read.

mod ber;
mod client;
mod cms;
mod forsendelse;
mod key;
mod letter;
mod package;

pub use client::Answered;
pub use key::{Identity, KeyError};
pub use letter::{message_id, notice_id};

use super::{Candidate, Cursor, Fetched, Listing, MailSource, Position, RawMessage, SourceError};
use crate::config::SvarInnConfig;
use async_trait::async_trait;
use client::{Client, NotDownloaded};
use cms::CmsError;
use forsendelse::Forsendelse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::warn;

/// Mailbox of all positions here, with the organisation number behind it. No mailbox of mail has that name.
const MAILBOX: &str = "svarinn:";
/// Ending of the position of a notice.
const NOTICE: &str = "#ulest";
/// Size that is reckoned with when SvarInn does not tell it.
const SIZE_UNTOLD: u64 = 8 << 20;
/// How much more than `max_bytes` a package may unpack to.
const UNPACKED_TIMES: usize = 2;
/// A failure that may pass is told to a person after so many attempts …
const ATTEMPTS_MAX: u32 = 3;
/// … and this long after the forsendelse came: KS begins to send warnings after two hours.
const PATIENCE: Duration = Duration::from_mins(45);

/// Whether messages of this mailbox were taken from SvarInn.
pub fn is_svarinn(mailbox: &str) -> bool {
    mailbox.starts_with(MAILBOX)
}

/// Position of a forsendelse, and that of the notice that it could not be read.
pub fn positions(config: &SvarInnConfig, id: &str) -> [Position; 2] {
    [id.to_owned(), format!("{id}{NOTICE}")].map(|key| Position {
        mailbox: format!("{MAILBOX}{}", config.organisation),
        uid_validity: 0,
        key,
    })
}

/// A forsendelse that waits in SvarInn; nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// Its id; empty when it has none that can be used.
    pub id: String,
    /// When it was sent, Unix milliseconds.
    pub date_ms: Option<i64>,
    /// Files that it says it has.
    pub files: usize,
    /// Their size, when told.
    pub size: Option<u64>,
}

/// SvarInn as a person's commands use it.
#[derive(Debug, Clone)]
pub struct SvarInn {
    client: Client,
}

impl SvarInn {
    /// Nothing is connected before the first call.
    pub fn new(config: &SvarInnConfig) -> Self {
        Self {
            client: Client::new(Arc::new(config.clone())),
        }
    }

    /// What waits there. Receipts nothing.
    ///
    /// # Errors
    /// [`SourceError`] when SvarInn cannot be asked.
    pub async fn waiting(&self) -> Result<Vec<Waiting>, SourceError> {
        let letters = self.client.waiting().await?;
        Ok(letters
            .into_iter()
            .map(|letter| Waiting {
                size: letter.size(),
                id: letter.id.unwrap_or_default(),
                date_ms: letter.date_ms,
                files: letter.files.len(),
            })
            .collect())
    }

    /// Receipts a forsendelse.
    ///
    /// # Errors
    /// [`SourceError`] when SvarInn cannot be asked or refuses.
    pub async fn receipt(&self, id: &str) -> Result<Answered, SourceError> {
        self.client.receipt(id).await
    }

    /// Says that a forsendelse cannot be received; `permanent` makes SvarInn send it on to Altinn and print.
    ///
    /// # Errors
    /// [`SourceError`] when SvarInn cannot be asked or refuses.
    pub async fn fail(
        &self,
        id: &str,
        text: &str,
        permanent: bool,
    ) -> Result<Answered, SourceError> {
        self.client.fail(id, text, permanent).await
    }
}

/// What is remembered of a forsendelse that could not be read.
#[derive(Debug, Clone)]
struct Trouble {
    since: Instant,
    tried: Instant,
    attempts: u32,
    why: NotDownloaded,
}

/// SvarInn as a source.
#[derive(Debug)]
pub struct SvarInnSource {
    config: Arc<SvarInnConfig>,
    client: Client,
    identity: Arc<Identity>,
    /// What waited at the last look, by position key; looks closer to each other than half the interval share it.
    seen: HashMap<String, Forsendelse>,
    seen_at: Option<Instant>,
    /// Keys not yet listed in this walk; `None` between two walks.
    walk: Option<VecDeque<String>>,
    troubles: HashMap<String, Trouble>,
}

impl SvarInnSource {
    /// Reads key and certificate.
    ///
    /// # Errors
    /// [`SourceError::NeedsPerson`] when they cannot be used.
    pub fn new(config: &SvarInnConfig) -> Result<Self, SourceError> {
        let identity = Identity::load(&config.private_key, &config.certificate)
            .map_err(|error| SourceError::needs_person(error.what, error.advice))?;
        let config = Arc::new(config.clone());
        Ok(Self {
            client: Client::new(Arc::clone(&config)),
            identity: Arc::new(identity),
            config,
            seen: HashMap::new(),
            seen_at: None,
            walk: None,
            troubles: HashMap::new(),
        })
    }

    /// Other loops wake the worker's look far more often than SvarInn is to be asked.
    fn pause(&self) -> Duration {
        self.config.poll.checked_div(2).unwrap_or_default()
    }

    async fn look(&mut self) -> Result<VecDeque<String>, SourceError> {
        if self.seen_at.is_none_or(|at| at.elapsed() >= self.pause()) {
            self.seen_at = None;
            let letters = self.client.waiting().await?;
            self.seen.clear();
            for letter in letters {
                if !letter.receiver.is_empty() && letter.receiver != self.config.organisation {
                    warn!(
                        mailbox.name = self.config.name,
                        organisation = letter.receiver,
                        "a forsendelse is for another organisation number than this source says"
                    );
                }
                let key = letter.id.clone().unwrap_or_else(|| {
                    format!(
                        "uten-id-{}",
                        crate::message::sha256_hex(letter.kept.as_bytes())
                    )
                });
                self.seen.insert(key, letter);
            }
            let seen = &self.seen;
            self.troubles.retain(|key, _| seen.contains_key(key));
            self.seen_at = Some(Instant::now());
        }
        let mut keys: Vec<&String> = self.seen.keys().collect();
        let date = |key: &str| self.seen.get(key).and_then(|letter| letter.date_ms);
        keys.sort_unstable_by(|a, b| date(a).cmp(&date(b)).then_with(|| a.cmp(b)));
        Ok(keys.into_iter().cloned().collect())
    }

    fn position(&self, key: &str) -> Position {
        let [position, _] = positions(&self.config, key);
        position
    }

    /// Moment of receipt: what SvarInn says, unless that lies in the future.
    fn received_ms(letter: &Forsendelse) -> Option<i64> {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        letter.date_ms.filter(|ms| *ms <= now_ms)
    }

    /// Downloads, decrypts and opens one forsendelse.
    async fn open(&self, id: &str, letter: &Forsendelse) -> Result<Vec<u8>, NotDownloaded> {
        let download = self.client.download(letter).await?;
        let (identity, sender) = (Arc::clone(&self.identity), self.config.sender.clone());
        let (id, letter) = (id.to_owned(), letter.clone());
        let max_bytes = self.config.max_bytes.saturating_mul(UNPACKED_TIMES);
        let max_bytes = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let opened = tokio::task::spawn_blocking(move || {
            let clear =
                cms::decrypt(&download.body, &identity).map_err(|error| undecryptable(&error))?;
            let package = package::unpack(clear, &download.told, &letter.files, max_bytes);
            let package = package.map_err(|error| NotDownloaded {
                what: error.to_string(),
                grunn: "filene i forsendelsen kunne ikke pakkes ut",
                lasting: true,
            })?;
            Ok(letter::build(&id, &letter, &package, &sender))
        });
        opened.await.unwrap_or_else(|_| {
            Err(NotDownloaded {
                what: "reading it ended by surprise".to_owned(),
                grunn: "forsendelsen kunne ikke leses",
                lasting: true,
            })
        })
    }

    async fn fetch_one(&mut self, key: &str, fetched: &mut Vec<Fetched>) {
        let position = self.position(key);
        let Some(letter) = self.seen.get(key).cloned() else {
            fetched.push(Fetched::Gone(position));
            return;
        };
        let Some(id) = &letter.id else {
            let why = "SvarInn lists a forsendelse without an id that can be used; ask KS about it";
            fetched.push(Fetched::Unreadable(position, why.to_owned()));
            return;
        };
        let rests = self
            .troubles
            .get(key)
            .is_some_and(|trouble| trouble.tried.elapsed() < self.pause());
        if !rests {
            match self.open(id, &letter).await {
                Ok(bytes) => {
                    self.troubles.remove(key);
                    fetched.push(Fetched::Message(RawMessage {
                        position,
                        internal_date_ms: Self::received_ms(&letter),
                        bytes,
                    }));
                    return;
                }
                Err(why) => self.note(key, why),
            }
        }
        let Some(trouble) = self.troubles.get(key) else {
            return;
        };
        if gives_up(trouble, &letter) {
            let [_, position] = positions(&self.config, key);
            fetched.push(Fetched::Message(RawMessage {
                position,
                internal_date_ms: Self::received_ms(&letter),
                bytes: letter::notice(id, &letter, &self.config.sender, trouble.why.grunn),
            }));
        }
        let why = format!("forsendelse {id}: {}", trouble.why.what);
        fetched.push(Fetched::Unreadable(position, why));
    }

    fn note(&mut self, key: &str, why: NotDownloaded) {
        let now = Instant::now();
        let trouble = self.troubles.entry(key.to_owned()).or_insert(Trouble {
            since: now,
            tried: now,
            attempts: 0,
            why: why.clone(),
        });
        trouble.attempts = trouble.attempts.saturating_add(1);
        trouble.tried = now;
        trouble.why = why;
    }
}

/// Whether a person is told now. It is tried again all the same.
fn gives_up(trouble: &Trouble, letter: &Forsendelse) -> bool {
    let age = match letter.date_ms {
        Some(ms) => {
            let age_ms = jiff::Timestamp::now().as_millisecond().saturating_sub(ms);
            Duration::from_millis(u64::try_from(age_ms).unwrap_or_default())
        }
        None => trouble.since.elapsed(),
    };
    trouble.why.lasting || trouble.attempts >= ATTEMPTS_MAX && age >= PATIENCE
}

fn undecryptable(error: &CmsError) -> NotDownloaded {
    let (grunn, advice) = match error {
        CmsError::Truncated => ("nedlastingen fra SvarInn ble avbrutt", ""),
        CmsError::NotEnveloped => (
            "det SvarInn ga fra seg, er ikke en kryptert forsendelse",
            "",
        ),
        CmsError::Unsupported(_) => ("forsendelsen er kryptert på en måte som ikke støttes", ""),
        CmsError::NotForUs { .. } => (
            "forsendelsen er kryptert for et annet sertifikat enn vårt",
            "; set private_key_file and certificate_file to those that are registered for the mottakersystem at KS",
        ),
        CmsError::Damaged => ("forsendelsen er skadet", ""),
    };
    NotDownloaded {
        what: format!("{error}{advice}"),
        grunn,
        lasting: *error != CmsError::Truncated,
    }
}

#[async_trait]
impl MailSource for SvarInnSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    async fn list(&mut self, _cursor: &Cursor, limit: usize) -> Result<Listing, SourceError> {
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => self.look().await?,
        };
        let page: Vec<String> = walk.drain(..limit.min(walk.len())).collect();
        let candidates = page
            .iter()
            .filter_map(|key| {
                let letter = self.seen.get(key)?;
                Some(Candidate {
                    position: self.position(key),
                    size: letter.size().unwrap_or(SIZE_UNTOLD),
                    internal_date_ms: Self::received_ms(letter),
                })
            })
            .collect();
        let more = !walk.is_empty();
        if more {
            self.walk = Some(walk);
        }
        Ok(Listing {
            candidates,
            cursor: Cursor::default(),
            more,
        })
    }

    async fn fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError> {
        let mut fetched = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            self.fetch_one(&candidate.position.key, &mut fetched).await;
        }
        Ok(fetched)
    }

    async fn treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError> {
        let mut done = Vec::with_capacity(ours.len());
        let mut asked = HashSet::new();
        for position in ours {
            // A notice is nothing that SvarInn knows of.
            if !position.key.ends_with(NOTICE) && asked.insert(&position.key) {
                if self.client.receipt(&position.key).await? == Answered::Unknown {
                    warn!(
                        mailbox.name = self.config.name,
                        forsendelse = position.key,
                        "SvarInn does not know the forsendelse that was to be receipted; somebody else has"
                    );
                }
                self.seen.remove(&position.key);
            }
            done.push(position.clone());
        }
        Ok(done)
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        sleep(at_most).await;
        Ok(())
    }

    async fn close(&mut self) {}
}
