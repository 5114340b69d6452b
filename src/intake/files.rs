//! Single messages in files, folders of them, and standard input; and the guess which kind of mailbox a path is.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::maildir::{MaildirSource, read_regular};
use super::mbox::MboxSource;
use super::{
    Candidate, Cursor, Fetched, Listing, MailSource, Position, RawMessage, SourceError, blocking,
    unreadable_because,
};

/// Largest message taken from standard input or a pipe, which has no size to look at first.
pub const STREAM_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of SHA-256 in a key.
const KEY_HASH_BYTES: usize = 8;

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A folder that holds `new` and `cur`.
    Maildir,
    /// A folder with `*.eml` files.
    Folder,
    /// A file of many messages.
    Mbox,
    /// One message.
    Message,
    /// One message that can be read once: standard input (`-`), a pipe.
    Stream,
}

/// Tells what lies at `path`. A name that ends in `.eml` or `.mbox` decides; otherwise a file whose first line begins with
/// `From ` is an mbox, and any other file one message.
///
/// # Errors
/// [`SourceError::NeedsPerson`] when there is nothing, or when a folder is neither a Maildir nor holds `*.eml` files.
pub fn detect(path: &Path) -> Result<Shape, SourceError> {
    if path == Path::new("-") {
        return Ok(Shape::Stream);
    }
    let cannot_read = |error| SourceError::from_io("cannot read", path, error);
    let metadata = fs::metadata(path).map_err(cannot_read)?;
    if metadata.is_dir() {
        if path.join("new").is_dir() && path.join("cur").is_dir() {
            return Ok(Shape::Maildir);
        }
        if eml_files(path)?.is_empty() {
            return Err(SourceError::needs_person(
                format!("{} holds no messages", path.display()),
                "name a Maildir (with `new` and `cur`), a folder of *.eml files, an mbox or a message",
            ));
        }
        return Ok(Shape::Folder);
    }
    if !metadata.is_file() {
        return Ok(Shape::Stream);
    }
    if has_extension(path, "eml") {
        return Ok(Shape::Message);
    }
    if has_extension(path, "mbox") {
        return Ok(Shape::Mbox);
    }
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(5).read_to_end(&mut start))
        .map_err(cannot_read)?;
    Ok(if start == b"From " {
        Shape::Mbox
    } else {
        Shape::Message
    })
}

/// Opens whatever lies at `path`, for taking it in once; `-` is standard input.
///
/// # Errors
/// As [`detect`].
pub fn open_path(path: &Path) -> Result<Box<dyn MailSource>, SourceError> {
    let shape = detect(path)?;
    if shape == Shape::Stream && path == Path::new("-") {
        return Ok(Box::new(StreamSource::stdin()));
    }
    let full = fs::canonicalize(path).map_err(|e| SourceError::from_io("cannot read", path, e))?;
    let named = |kind: &str| format!("{kind}:{}", full.display());
    Ok(match shape {
        Shape::Maildir => Box::new(MaildirSource::new(named("maildir"), full)),
        Shape::Mbox => Box::new(MboxSource::new(named("mbox"), full)),
        Shape::Folder => Box::new(FilesSource::new(FilesOf::Folder(full))),
        Shape::Message => Box::new(FilesSource::new(FilesOf::One(full))),
        // Canonical paths of pipes (`/proc/…/fd/pipe:[…]`) cannot be opened; the path as given can.
        Shape::Stream => {
            let path = path.to_owned();
            Box::new(StreamSource::new(move || Ok(Box::new(File::open(path)?))))
        }
    })
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// The `*.eml` files of a folder, in the order of their names.
fn eml_files(folder: &Path) -> Result<VecDeque<PathBuf>, SourceError> {
    let cannot_read = |error| SourceError::from_io("cannot read the folder", folder, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot_read)? {
        let path = entry.map_err(cannot_read)?.path();
        if has_extension(&path, "eml") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files.into())
}

/// Lower-case hexadecimal.
pub(crate) fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .into_iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn content_hash(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).iter().take(KEY_HASH_BYTES))
}

fn position(key: String) -> Position {
    Position {
        mailbox: String::new(),
        uid_validity: 0,
        key,
    }
}

/// Which files.
#[derive(Debug, Clone)]
enum FilesOf {
    One(PathBuf),
    Folder(PathBuf),
}

/// Messages in files of their own.
#[derive(Debug)]
struct FilesSource {
    of: FilesOf,
    walk: Option<VecDeque<PathBuf>>,
}

impl FilesSource {
    const fn new(of: FilesOf) -> Self {
        Self { of, walk: None }
    }
}

/// Reads a file and checks that it is the text that was listed.
fn read_listed(key: &str) -> io::Result<Option<Vec<u8>>> {
    // A file that could not be read when it was listed has no hash in its key.
    let (path, hash) = match key.rsplit_once('#') {
        Some((path, hash)) if hash.len() == KEY_HASH_BYTES.saturating_mul(2) => (path, Some(hash)),
        _ => (key, None),
    };
    let bytes = read_regular(Path::new(path))?;
    Ok(hash
        .is_none_or(|hash| hash == content_hash(&bytes))
        .then_some(bytes))
}

#[async_trait]
impl MailSource for FilesSource {
    fn name(&self) -> &'static str {
        "files:"
    }

    async fn list(&mut self, cursor: &Cursor, limit: usize) -> Result<Listing, SourceError> {
        let (of, walk) = (self.of.clone(), self.walk.take());
        let (candidates, walk) = blocking(move || {
            let mut walk = match (walk, of) {
                (Some(walk), _) => walk,
                (None, FilesOf::One(path)) => VecDeque::from([path]),
                (None, FilesOf::Folder(folder)) => eml_files(&folder)?,
            };
            let mut candidates = Vec::new();
            for path in walk.drain(..limit.max(1).min(walk.len())) {
                let name = path.to_string_lossy();
                let (key, size) = match read_regular(&path) {
                    Ok(bytes) => (format!("{name}#{}", content_hash(&bytes)), bytes.len()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(_) => (name.into_owned(), 0),
                };
                candidates.push(Candidate {
                    position: position(key),
                    size: u64::try_from(size).unwrap_or(u64::MAX),
                    internal_date_ms: None,
                });
            }
            Ok((candidates, walk))
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
        blocking(move || {
            let read = |candidate: Candidate| {
                let position = candidate.position;
                match read_listed(&position.key) {
                    Ok(Some(bytes)) => Fetched::Message(RawMessage {
                        position,
                        internal_date_ms: None,
                        bytes,
                    }),
                    Ok(None) => Fetched::Gone(position),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Fetched::Gone(position)
                    }
                    Err(error) => Fetched::Unreadable(position, unreadable_because(&error)),
                }
            };
            Ok(candidates.into_iter().map(read).collect())
        })
        .await
    }

    async fn treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError> {
        Ok(ours.to_vec())
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        tokio::time::sleep(at_most).await;
        Ok(())
    }

    async fn close(&mut self) {}
}

/// Opens a stream; called once.
type Opener = Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send>;

/// One message from a stream that can be read once; kept in memory from the first listing on. The envelope line that mail
/// servers put before a piped message is left out.
pub struct StreamSource {
    open: Option<Opener>,
    message: Option<(String, Vec<u8>)>,
}

impl StreamSource {
    /// One message on standard input.
    pub fn stdin() -> Self {
        Self::new(|| Ok(Box::new(io::stdin())))
    }

    /// The message that `open` gives to read, once, at the first listing.
    pub fn new(open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static) -> Self {
        Self {
            open: Some(Box::new(open)),
            message: None,
        }
    }
}

/// Mail servers that pipe a message to a command put the envelope line `From sender date` before it; it is no header.
fn without_envelope_line(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.starts_with(b"From ") || bytes.starts_with(b">From ") {
        let line = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at.saturating_add(1));
        bytes.drain(..line);
    }
    bytes
}

fn read_stream(open: Opener) -> Result<(String, Vec<u8>), SourceError> {
    let mut bytes = Vec::new();
    open()
        .and_then(|stream| {
            stream
                .take(STREAM_MAX_BYTES.saturating_add(1))
                .read_to_end(&mut bytes)
        })
        .map_err(|error| SourceError::temporary("cannot read the message", Some(error.into())))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > STREAM_MAX_BYTES {
        return Err(SourceError::needs_person(
            "the message is larger than 256 MB",
            "limit the size of messages in the mail server",
        ));
    }
    let bytes = without_envelope_line(bytes);
    if bytes.is_empty() {
        return Err(SourceError::needs_person(
            "there was no message to read",
            "pipe one message to the command",
        ));
    }
    Ok((content_hash(&bytes), bytes))
}

#[async_trait]
impl MailSource for StreamSource {
    fn name(&self) -> &'static str {
        "stdin:"
    }

    async fn list(&mut self, cursor: &Cursor, _limit: usize) -> Result<Listing, SourceError> {
        if let Some(open) = self.open.take() {
            self.message = Some(blocking(move || read_stream(open)).await?);
        }
        let candidates = self.message.iter().map(|(key, bytes)| Candidate {
            position: position(key.clone()),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            internal_date_ms: None,
        });
        Ok(Listing {
            candidates: candidates.collect(),
            cursor: cursor.clone(),
            more: false,
        })
    }

    async fn fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError> {
        let fetched = candidates.iter().map(|candidate| {
            let position = candidate.position.clone();
            match &self.message {
                Some((key, bytes)) if *key == position.key => Fetched::Message(RawMessage {
                    position,
                    internal_date_ms: None,
                    bytes: bytes.clone(),
                }),
                _ => Fetched::Gone(position),
            }
        });
        Ok(fetched.collect())
    }

    async fn treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError> {
        Ok(ours.to_vec())
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        tokio::time::sleep(at_most).await;
        Ok(())
    }

    async fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bytes: &'static [u8]) -> StreamSource {
        StreamSource::new(move || Ok(Box::new(bytes)))
    }

    #[tokio::test]
    async fn a_piped_message_loses_its_envelope_line_only() {
        let mut source =
            stream(b"From a@lege.example Mon Jan  5 09:14:02 2026\nSubject: x\n\nFrom here\n");
        let listing = source.list(&Cursor::default(), 10).await.unwrap();
        let fetched = source.fetch(&listing.candidates).await.unwrap();
        let [Fetched::Message(message)] = fetched.as_slice() else {
            panic!("one message expected");
        };
        assert_eq!(message.bytes, b"Subject: x\n\nFrom here\n");
    }

    #[tokio::test]
    async fn an_empty_pipe_is_an_error() {
        let error = stream(b"").list(&Cursor::default(), 10).await.unwrap_err();
        assert!(!error.is_temporary());
    }
}
