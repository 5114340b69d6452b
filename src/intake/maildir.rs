//! A Maildir that a mail server delivers to: `new` and `cur` are read, other folders (`tmp`, subfolders) are not.
//!
//! A message is known by its unique name, the file name without the flags after `:2,`, so it stays the same message when
//! a mail program moves it from `new` to `cur` or marks it as read. Files that are not ours are never moved, renamed or
//! written. A Maildir has no INTERNALDATE: the time of a file says when it was copied, not when the mail arrived.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::time::{Instant, sleep};

use super::{
    Candidate, Cursor, Fetched, Listing, MailSource, Position, RawMessage, SourceError, blocking,
    unreadable_because,
};
use crate::config::Ours;

/// How often [`MailSource::wait`] looks whether the folder has changed.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Where the messages of one scan lie, by unique name.
type Places = HashMap<String, PathBuf>;

/// A Maildir as a source.
#[derive(Debug)]
pub struct MaildirSource {
    name: String,
    path: PathBuf,
    ours: Ours,
    places: Arc<Places>,
    /// Unique names not yet listed in this walk; `None` between two walks.
    walk: Option<VecDeque<String>>,
    /// Times of `new` and `cur` just before the last scan.
    stamps: Option<[SystemTime; 2]>,
}

impl MaildirSource {
    /// The Maildir at `path`; ours are left where they are.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            ours: Ours::Leave,
            places: Arc::default(),
            walk: None,
            stamps: None,
        }
    }

    /// What happens to ours: `Flag("Flagged")` sets the flag F, the only one that means no more than «look here»;
    /// `Move(folder)` moves into `cur` of that Maildir: an absolute path, or a Maildir++ subfolder such as `Behandlet`.
    #[must_use]
    pub fn with_ours(mut self, ours: Ours) -> Self {
        self.ours = ours;
        self
    }

    async fn scan(&mut self) -> Result<VecDeque<String>, SourceError> {
        let path = self.path.clone();
        let (names, places) = blocking(move || scan(&path)).await?;
        self.places = Arc::new(places);
        Ok(names)
    }
}

/// Unique name of a file: everything before the flags.
fn unique_name(file_name: &str) -> &str {
    file_name
        .split_once(":2,")
        .map_or(file_name, |(unique, _)| unique)
}

/// Sort key: a Maildir name begins with the second of delivery.
fn delivered(unique: &str) -> u64 {
    let digits = unique
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    digits.parse().unwrap_or(u64::MAX)
}

fn cannot_read(path: &Path, error: io::Error) -> SourceError {
    SourceError::from_io("cannot read the Maildir", path, error)
}

/// All messages, oldest first. `new` before `cur`: what a mail program moves meanwhile is then seen at least once.
fn scan(path: &Path) -> Result<(VecDeque<String>, Places), SourceError> {
    let mut places = Places::new();
    for folder in ["new", "cur"] {
        let folder = path.join(folder);
        let entries = fs::read_dir(&folder).map_err(|e| cannot_read(&folder, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| cannot_read(&folder, e))?;
            let file_name = entry.file_name();
            // A name that is not UTF-8 is written with replacement characters in the key; the path stays exact.
            let file_name = file_name.to_string_lossy();
            if file_name.starts_with('.') {
                continue;
            }
            places.insert(unique_name(&file_name).to_owned(), entry.path());
        }
    }
    let mut names: Vec<String> = places.keys().cloned().collect();
    names.sort_unstable_by(|a, b| delivered(a).cmp(&delivered(b)).then_with(|| a.cmp(b)));
    Ok((names.into(), places))
}

/// Looks a message up, with a fresh scan when it is no longer where it was.
struct Finder {
    path: PathBuf,
    places: Arc<Places>,
    rescanned: bool,
}

impl Finder {
    fn new(path: PathBuf, places: Arc<Places>) -> Self {
        Self {
            path,
            places,
            rescanned: false,
        }
    }

    /// Does `work` with the file of this message; `None` when it has gone.
    fn with<T>(
        &mut self,
        key: &str,
        work: impl Fn(&Path) -> io::Result<T>,
    ) -> Result<Option<io::Result<T>>, SourceError> {
        loop {
            if let Some(place) = self.places.get(key) {
                match work(place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => return Ok(Some(other)),
                }
            }
            if self.rescanned {
                return Ok(None);
            }
            self.rescanned = true;
            self.places = Arc::new(scan(&self.path)?.1);
        }
    }
}

/// Reads a regular file. Anything else (a pipe would block for ever) is an error.
pub(super) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    fs::read(path)
}

fn stamps(path: &Path) -> Option<[SystemTime; 2]> {
    let of = |folder: &str| {
        fs::metadata(path.join(folder))
            .and_then(|m| m.modified())
            .ok()
    };
    Some([of("new")?, of("cur")?])
}

/// Renames without ever replacing a file.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some network file systems do not know the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if fs::exists(to)? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        Err(error) => Err(error.into()),
    }
}

/// File name in `cur` with the flag added; `None` when it has it already.
fn with_flag(file_name: &str, flag: char) -> Option<String> {
    let (unique, flags) = file_name.split_once(":2,").unwrap_or((file_name, ""));
    if flags.contains(flag) {
        return None;
    }
    let mut flags: Vec<char> = flags.chars().chain([flag]).collect();
    flags.sort_unstable();
    Some(format!(
        "{unique}:2,{}",
        flags.into_iter().collect::<String>()
    ))
}

/// What [`Ours`] means for this Maildir, checked.
#[derive(Debug, Clone)]
enum Treatment {
    Leave,
    Flag,
    Move(PathBuf),
}

impl Treatment {
    fn check(ours: &Ours, path: &Path) -> Result<Self, SourceError> {
        match ours {
            Ours::Leave => Ok(Self::Leave),
            Ours::Flag(flag) if matches!(flag.trim_start_matches('\\'), "Flagged" | "F") => {
                Ok(Self::Flag)
            }
            Ours::Flag(_) => Err(SourceError::needs_person(
                "a Maildir has no keywords",
                "use the flag «Flagged», move to a folder, or leave ours where they are",
            )),
            Ours::Move(folder) => {
                let folder = if Path::new(folder).is_absolute() {
                    PathBuf::from(folder)
                } else {
                    path.join(format!(
                        ".{}",
                        folder.trim_start_matches('.').replace('/', ".")
                    ))
                };
                let cur = folder.join("cur");
                if cur.is_dir() {
                    Ok(Self::Move(cur))
                } else {
                    Err(SourceError::needs_person(
                        format!("there is no Maildir folder {}", folder.display()),
                        "create it, or name another folder for ours",
                    ))
                }
            }
        }
    }

    fn apply(&self, maildir: &Path, file: &Path) -> io::Result<()> {
        let name = file
            .file_name()
            .ok_or(io::ErrorKind::InvalidInput)?
            .to_str()
            .ok_or(io::ErrorKind::InvalidInput)?;
        match self {
            Self::Leave => Ok(()),
            Self::Flag => match with_flag(name, 'F') {
                Some(name) => rename_new(file, &maildir.join("cur").join(name)),
                None => Ok(()),
            },
            Self::Move(cur) => {
                let name = if name.contains(":2,") {
                    name.to_owned()
                } else {
                    format!("{name}:2,")
                };
                rename_new(file, &cur.join(name))
            }
        }
    }
}

#[async_trait]
impl MailSource for MaildirSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&mut self, cursor: &Cursor, limit: usize) -> Result<Listing, SourceError> {
        let mut walk = if let Some(walk) = self.walk.take() {
            walk
        } else {
            let path = self.path.clone();
            self.stamps = blocking(move || Ok(stamps(&path))).await?;
            self.scan().await?
        };
        let names: Vec<String> = walk.drain(..limit.min(walk.len())).collect();
        let mut finder = Finder::new(self.path.clone(), Arc::clone(&self.places));
        let candidates = blocking(move || {
            let mut candidates = Vec::with_capacity(names.len());
            for key in names {
                let size = match finder.with(&key, |file| fs::metadata(file))? {
                    Some(Ok(metadata)) if metadata.is_file() => metadata.len(),
                    // A folder or a pipe is no message; what vanished needs no mention.
                    Some(Ok(_)) | None => continue,
                    Some(Err(_)) => 0,
                };
                candidates.push(Candidate {
                    position: Position {
                        mailbox: String::new(),
                        uid_validity: 0,
                        key,
                    },
                    size,
                    internal_date_ms: None,
                });
            }
            Ok(candidates)
        })
        .await?;
        let more = !walk.is_empty();
        self.walk = more.then_some(walk);
        Ok(Listing {
            candidates,
            cursor: cursor.clone(),
            more,
        })
    }

    async fn fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError> {
        let candidates = candidates.to_vec();
        let mut finder = Finder::new(self.path.clone(), Arc::clone(&self.places));
        blocking(move || {
            let mut fetched = Vec::with_capacity(candidates.len());
            for candidate in candidates {
                let position = candidate.position;
                fetched.push(match finder.with(&position.key, read_regular)? {
                    Some(Ok(bytes)) => Fetched::Message(RawMessage {
                        position,
                        internal_date_ms: None,
                        bytes,
                    }),
                    Some(Err(error)) => Fetched::Unreadable(position, unreadable_because(&error)),
                    None => Fetched::Gone(position),
                });
            }
            Ok(fetched)
        })
        .await
    }

    async fn treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError> {
        let positions = ours.to_vec();
        if self.ours == Ours::Leave || positions.is_empty() {
            return Ok(positions);
        }
        let (path, ours) = (self.path.clone(), self.ours.clone());
        let mut finder = Finder::new(path.clone(), Arc::clone(&self.places));
        blocking(move || {
            let treatment = Treatment::check(&ours, &path)?;
            let mut done = Vec::with_capacity(positions.len());
            for position in positions {
                match finder.with(&position.key, |file| treatment.apply(&path, file))? {
                    Some(Ok(())) | None => done.push(position),
                    Some(Err(error)) => {
                        tracing::warn!(error = %error.kind(), "a message could not be treated in the Maildir; tried again later");
                    }
                }
            }
            Ok(done)
        })
        .await
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        let end = Instant::now().checked_add(at_most);
        loop {
            let path = self.path.clone();
            let now = blocking(move || Ok(stamps(&path))).await?;
            // A folder that cannot be read is reported by the next listing.
            if now != self.stamps || self.walk.is_some() {
                return Ok(());
            }
            let left = end.map_or(WATCH_INTERVAL, |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(WATCH_INTERVAL)).await;
        }
    }

    async fn close(&mut self) {}
}
