//! An mbox file (RFC 4155), read as a stream: memory grows with one message, never with the file.
//!
//! A message begins after a line «From sender date» and ends before the next. What counts as such a line: it begins with
//! `From ` and holds a time of day and a year. A file whose own first line has no date (some old exports) gets a laxer
//! reading: `From ` after an empty line.
//!
//! Quoting: writers of *mboxrd* put a `>` before every body line `From `, `>From `, `>>From `…, so one `>` is taken away from
//! each of those. Writers of *mboxo* quote `From ` alone; a line that read `>From ` before they wrote it then loses its
//! `>`, which is the price of not knowing the writer. The empty line before the next `From ` belongs to the format.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::{
    Candidate, Cursor, Fetched, Listing, MailSource, Position, RawMessage, SourceError, blocking,
    unreadable_because,
};

/// Bytes of a line that are looked at; the rest of a longer line only streams by.
const LINE_HEAD_MAX: usize = 256;
/// Size of the read buffer.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of SHA-256 in a key.
const KEY_HASH_BYTES: usize = 8;

/// An mbox file as a source.
#[derive(Debug)]
pub struct MboxSource {
    name: String,
    path: PathBuf,
    /// Where the next page begins; `None` between two walks.
    next: Option<Resume>,
}

impl MboxSource {
    /// The mbox file at `path`.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            next: None,
        }
    }
}

/// A message in the file: its bytes without the From line before and the empty line after it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    offset: u64,
    size: u64,
    hash: String,
}

impl Entry {
    fn key(&self) -> String {
        format!("{}-{}", self.offset, self.hash)
    }
}

/// How From lines look in this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// With a date.
    Dated,
    /// Without; an empty line must come before.
    Bare,
}

/// State of a walk between two pages: offset of the next From line.
#[derive(Debug, Clone, Copy)]
struct Resume {
    offset: u64,
    dialect: Dialect,
}

/// One line: the beginning of its text, and what was read.
struct Line {
    head: Vec<u8>,
    length: u64,
}

impl Line {
    fn is_blank(&self) -> bool {
        matches!(self.head.as_slice(), b"\n" | b"\r\n")
    }
}

/// Reads one line and hands every byte of it to `see`; `None` at the end of the file.
fn read_line(reader: &mut impl BufRead, mut see: impl FnMut(&[u8])) -> io::Result<Option<Line>> {
    let mut line = Line {
        head: Vec::new(),
        length: 0,
    };
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok((line.length > 0).then_some(line));
        }
        let chunk = buffer
            .split_inclusive(|byte| *byte == b'\n')
            .next()
            .unwrap_or(buffer);
        let ended = chunk.ends_with(b"\n");
        let room = LINE_HEAD_MAX.saturating_sub(line.head.len());
        line.head.extend(chunk.iter().take(room));
        see(chunk);
        let read = chunk.len();
        line.length = line
            .length
            .saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        reader.consume(read);
        if ended {
            return Ok(Some(line));
        }
    }
}

/// Whether a line `From …` holds a time of day and a year, as the date in a From line does.
fn is_dated(head: &[u8]) -> bool {
    let mut words = head
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .skip(1);
    let is_time = |word: &[u8]| {
        let mut parts = word.split(|byte| *byte == b':');
        let numbers = parts
            .by_ref()
            .take_while(|part| matches!(part.len(), 1 | 2) && part.iter().all(u8::is_ascii_digit))
            .count();
        numbers >= 2 && parts.next().is_none()
    };
    let is_year = |word: &[u8]| word.len() == 4 && word.iter().all(u8::is_ascii_digit);
    let (mut time, mut year) = (false, false);
    words.by_ref().for_each(|word| {
        time |= is_time(word);
        year |= is_year(word);
    });
    time && year
}

/// Whether this line separates two messages.
fn is_separator(line: &Line, after_blank: bool, dialect: Dialect) -> bool {
    line.head.starts_with(b"From ")
        && match dialect {
            Dialect::Dated => is_dated(&line.head),
            Dialect::Bare => after_blank,
        }
}

/// Lists up to `limit` messages from `resume` on.
fn scan(
    path: &Path,
    resume: Option<Resume>,
    limit: usize,
) -> Result<(Vec<Entry>, Option<Resume>), SourceError> {
    let cannot_read = |error| SourceError::from_io("cannot read the mbox", path, error);
    let mut file = File::open(path).map_err(cannot_read)?;
    let start = resume.map_or(0, |resume| resume.offset);
    file.seek(SeekFrom::Start(start)).map_err(cannot_read)?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);

    let Some(first) = read_line(&mut reader, |_| ()).map_err(cannot_read)? else {
        return Ok((Vec::new(), None));
    };
    if !first.head.starts_with(b"From ") && resume.is_some() {
        return Err(SourceError::temporary(
            "the mbox changed while it was read",
            None,
        ));
    }
    if !first.head.starts_with(b"From ") {
        return Err(SourceError::needs_person(
            format!(
                "{} is not an mbox: no line that begins with «From »",
                path.display()
            ),
            "name a single message *.eml, or export the mailbox again",
        ));
    }
    let dialect = match resume {
        Some(resume) => resume.dialect,
        None if is_dated(&first.head) => Dialect::Dated,
        None => Dialect::Bare,
    };

    let mut entries = Vec::new();
    let mut position = start.saturating_add(first.length);
    loop {
        let mut entry = Entry {
            offset: position,
            size: 0,
            hash: String::new(),
        };
        let mut hash = Sha256::new();
        // The last empty line is held back: it is the format's when a From line or the end follows.
        let mut held: Option<Line> = None;
        let next = loop {
            let mut pending = Vec::new();
            let mut seen: u64 = 0;
            let mut streaming = false;
            let after_blank = held.is_some();
            let line = read_line(&mut reader, |chunk| {
                // Only a line longer than the head is hashed while it is read; it can be no From line.
                if !streaming && pending.len().saturating_add(chunk.len()) <= LINE_HEAD_MAX {
                    pending.extend_from_slice(chunk);
                } else {
                    if !streaming {
                        if let Some(blank) = held.take() {
                            hash.update(&blank.head);
                            seen = seen.saturating_add(blank.length);
                        }
                        hash.update(&pending);
                        pending.clear();
                        streaming = true;
                    }
                    hash.update(chunk);
                }
            })
            .map_err(cannot_read)?;
            entry.size = entry.size.saturating_add(seen);
            let Some(line) = line else { break None };
            let line_start = position;
            position = position.saturating_add(line.length);
            if !streaming {
                if is_separator(&line, after_blank, dialect) {
                    break Some(line_start);
                }
                if let Some(blank) = held.take() {
                    hash.update(&blank.head);
                    entry.size = entry.size.saturating_add(blank.length);
                }
                if line.is_blank() {
                    held = Some(line);
                    continue;
                }
                hash.update(&pending);
            }
            entry.size = entry.size.saturating_add(line.length);
        };
        entry.hash = super::files::hex(hash.finalize().iter().take(KEY_HASH_BYTES));
        entries.push(entry);
        match next {
            None => return Ok((entries, None)),
            Some(offset) if entries.len() >= limit => {
                return Ok((entries, Some(Resume { offset, dialect })));
            }
            Some(_) => {}
        }
    }
}

/// Reads the bytes at a key and checks that they are still the ones that were listed.
fn read_entry(path: &Path, key: &str, size: u64) -> io::Result<Option<Vec<u8>>> {
    let Some((offset, hash)) = key.split_once('-') else {
        return Ok(None);
    };
    let Ok(offset) = offset.parse::<u64>() else {
        return Ok(None);
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    let found = super::files::hex(Sha256::digest(&bytes).iter().take(KEY_HASH_BYTES));
    Ok((found == hash).then_some(bytes))
}

/// Takes one `>` away from lines `>From `, `>>From `… .
fn unquote(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.split_first() {
            Some((b'>', rest)) => {
                let text = rest
                    .iter()
                    .position(|byte| *byte != b'>')
                    .and_then(|at| rest.get(at..));
                let quoted = text.is_some_and(|text| text.starts_with(b"From "));
                out.extend_from_slice(if quoted { rest } else { line });
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

#[async_trait]
impl MailSource for MboxSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&mut self, cursor: &Cursor, limit: usize) -> Result<Listing, SourceError> {
        let (path, resume) = (self.path.clone(), self.next.take());
        let (entries, next) = blocking(move || scan(&path, resume, limit.max(1))).await?;
        self.next = next;
        let candidates = entries
            .into_iter()
            .map(|entry| Candidate {
                position: Position {
                    mailbox: String::new(),
                    uid_validity: 0,
                    key: entry.key(),
                },
                size: entry.size,
                internal_date_ms: None,
            })
            .collect();
        Ok(Listing {
            candidates,
            cursor: cursor.clone(),
            more: next.is_some(),
        })
    }

    async fn fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError> {
        let path = self.path.clone();
        let mut wanted: VecDeque<Candidate> = candidates.to_vec().into();
        blocking(move || {
            let mut fetched = Vec::with_capacity(wanted.len());
            while let Some(Candidate { position, size, .. }) = wanted.pop_front() {
                fetched.push(match read_entry(&path, &position.key, size) {
                    Ok(Some(bytes)) => Fetched::Message(RawMessage {
                        position,
                        internal_date_ms: None,
                        bytes: unquote(&bytes),
                    }),
                    Ok(None) => Fetched::Gone(position),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Fetched::Gone(position)
                    }
                    Err(error) => Fetched::Unreadable(position, unreadable_because(&error)),
                });
            }
            Ok(fetched)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_from_line_has_a_time_and_a_year() {
        for line in [
            "From kari@legesenter.example Mon Jan  5 09:14:02 2026\n",
            "From - Tue Apr 26 10:00:00 2026\r\n",
            "From 1798@xxx Mon Jan 05 08:00:01 +0000 2026\n",
            "From MAILER-DAEMON Fri Jul  8 12:08 2026\n",
        ] {
            assert!(is_dated(line.as_bytes()), "{line:?}");
        }
        for line in [
            "From then on 2026 was better\n",
            "From 10:30 to 11:30\n",
            "From \n",
            "From 10:30:1999:aa in 2026\n",
        ] {
            assert!(!is_dated(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn one_level_of_quoting_is_taken_away() {
        let quoted = b">From a\n>>From b\n> From c\n>Fromage\r\nFrom d\n>>>From e";
        assert_eq!(
            unquote(quoted),
            b"From a\n>From b\n> From c\n>Fromage\r\nFrom d\n>>From e".to_vec()
        );
    }
}
