//! A folder on an IMAP server (RFC 3501).
//!
//! The folder belongs to people: it is opened with EXAMINE and read with `BODY.PEEK[]`, so nothing there changes, `\Seen`
//! included. SELECT is used only while messages that are ours are flagged or moved. Messages are known by UIDVALIDITY and
//! UID; when UIDVALIDITY changes, everything is listed again under new positions and the store tells by content what it
//! knows. A connection on which anything failed, timed out or was cancelled is dropped; the next call opens a new one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_imap::imap_proto::{AttributeValue, MailboxDatum, NameAttribute, Response};
use async_trait::async_trait;
use tokio::time::Instant;

use super::{Candidate, Cursor, Fetched, Listing, MailSource, Position, RawMessage, SourceError};
use crate::config::{Ours, Proof, Server, SourceConfig};
use crate::failpoint;
use crate::oauth::Tokens;
use connection::{Connection, Limit, Timeouts};
use wire::{
    Folder, body_of, can_set, internal_date_ms, is_keyword, note_folder, quoted, same_folder,
    uid_set,
};

pub mod connection;
mod counted;
#[cfg(test)]
mod scripted;
mod tls;
pub mod utf7;
mod wire;

/// IDLE is ended and begun anew after this time: RFC 2177 allows 29 minutes, but routers forget silent connections sooner,
/// and only then is a dead one noticed.
pub const IDLE_MAX: Duration = Duration::from_mins(5);
/// Messages above this size are fetched in slices, since a response is held in memory whole.
pub const SLICE_ABOVE_BYTES: u64 = 2 * 1024 * 1024;
/// Size of a slice.
pub const SLICE_BYTES: usize = 1024 * 1024;
/// Largest message that is taken; servers rarely accept more than 150 MB.
pub const MESSAGE_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Messages fetched by one command, at most.
const BATCH_MESSAGES: usize = 50;
/// Bytes fetched by one command, as the server tells the sizes, at most (or one message).
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// One call for messages takes no longer than this, by much: who waits for it must not take a slow line for a dead program.
const FETCH_MAX: Duration = Duration::from_mins(20);
/// A folder that is open is opened anew after this time even when the server tells of new mail again and again.
const OPEN_MAX: Duration = Duration::from_mins(5);
/// UIDs in one command; keeps the line short.
const UIDS_PER_COMMAND: usize = 200;

/// What a look at the server found, for `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapReport {
    /// Host and port.
    pub server: String,
    /// The folder as people write it.
    pub folder: String,
    /// Messages in the folder.
    pub messages: u32,
    /// UIDVALIDITY of the folder.
    pub uid_validity: u32,
    /// The server tells about new mail by itself (IDLE).
    pub idle: bool,
    /// The server can move messages (MOVE).
    pub can_move: bool,
    /// The server can remove single messages (UIDPLUS), which replaces MOVE.
    pub uidplus: bool,
    /// New keywords may be set here; `None` where ours get no keyword, since only SELECT would tell.
    pub keywords: Option<bool>,
    /// The folder for ours exists; `None` where ours are not moved.
    pub target_exists: Option<bool>,
}

impl ImapReport {
    /// Why ours cannot be treated as configured; `None` when they can.
    pub fn obstacle(&self) -> Option<&'static str> {
        match (self.keywords, self.target_exists) {
            (Some(false), _) => Some(NO_KEYWORDS_ADVICE),
            (_, Some(false)) => Some("create the folder for ours, or name another"),
            (_, Some(true)) if !self.can_move && !self.uidplus => Some(NO_MOVE_ADVICE),
            _ => None,
        }
    }
}

const NO_KEYWORDS_ADVICE: &str =
    "the server keeps no keywords here; move ours to a folder, or leave them";
const NO_MOVE_ADVICE: &str =
    "the server has neither MOVE nor UIDPLUS; use a keyword, or leave ours";

/// How the folder is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// EXAMINE.
    Read,
    /// SELECT.
    Write,
}

/// The folder as it is open on the connection.
#[derive(Debug)]
struct Open {
    access: Access,
    uid_validity: u32,
    since: Instant,
}

/// UIDs found by the last search and not listed yet.
#[derive(Debug)]
struct Rest {
    after: Cursor,
    uids: VecDeque<u32>,
}

/// Text of one message as it came.
enum Body {
    Bytes(Vec<u8>),
    /// The server knows the message and does not give its text.
    Refused(&'static str),
    /// It gave no answer for this UID.
    Missing,
}

/// A folder on an IMAP server as a source.
#[derive(Debug)]
pub struct ImapSource {
    name: String,
    server: Server,
    /// Where tokens come from, if the server wants them.
    tokens: Option<Tokens>,
    folder: String,
    ours: Ours,
    idle: bool,
    poll: Duration,
    timeouts: Timeouts,
    connection: Option<Connection>,
    open: Option<Open>,
    rest: Option<Rest>,
    /// UIDNEXT when the folder was last searched.
    searched_at: Option<u32>,
    /// It has been said once that ours cannot be treated as configured.
    refused_once: bool,
}

impl ImapSource {
    /// Takes the settings; connects at the first call.
    ///
    /// # Errors
    /// [`SourceError::NeedsPerson`] for settings that cannot work: another kind of source, a flag that is no keyword, ours
    /// moved to where they are.
    pub fn new(config: &SourceConfig) -> Result<Self, SourceError> {
        let SourceConfig::Imap {
            name,
            server,
            folder,
            ours,
            idle,
            poll,
            timeout,
        } = config
        else {
            return Err(SourceError::needs_person(
                format!("the source {} is no IMAP folder", config.name()),
                "set its kind to imap",
            ));
        };
        match ours {
            Ours::Flag(flag) if !is_keyword(flag) => {
                return Err(SourceError::needs_person(
                    format!("«{flag}» is no keyword"),
                    "use ASCII letters, digits, `$`, `-` and `_`, as in Linjevei",
                ));
            }
            Ours::Move(target) if same_folder(target, folder) => {
                return Err(SourceError::needs_person(
                    format!("ours would be moved to «{target}», the folder that is watched"),
                    "name another folder",
                ));
            }
            _ => {}
        }
        Ok(Self {
            name: name.clone(),
            server: server.clone(),
            tokens: server.login.as_ref().and_then(|login| match &login.proof {
                Proof::OAuth(oauth) => Some(Tokens::new(std::sync::Arc::clone(oauth))),
                Proof::Password(_) => None,
            }),
            folder: folder.clone(),
            ours: ours.clone(),
            idle: *idle,
            poll: *poll,
            timeouts: Timeouts::with(*timeout),
            connection: None,
            open: None,
            rest: None,
            searched_at: None,
            refused_once: false,
        })
    }

    /// Looks at server and folder without changing anything, for `doctor`.
    ///
    /// # Errors
    /// [`SourceError`] as every other call.
    pub async fn check(&mut self) -> Result<ImapReport, SourceError> {
        let result = self.try_check().await;
        self.drop_after_error(&result);
        result
    }

    async fn try_check(&mut self) -> Result<ImapReport, SourceError> {
        let mut folder = self.open_folder(Access::Read).await?;
        let mut keywords = None;
        let mut target_exists = None;
        match self.ours.clone() {
            Ours::Leave => {}
            Ours::Flag(flag) => {
                // With EXAMINE servers tell that no flag may be set.
                folder = self.open_folder(Access::Write).await?;
                keywords = Some(can_set(&folder, &flag));
                self.open_folder(Access::Read).await?;
            }
            Ours::Move(target) => target_exists = Some(self.folder_exists(&target).await?),
        }
        let server = format!("{}:{}", self.server.host, self.server.port);
        let connection = self.connection().await?;
        Ok(ImapReport {
            server,
            messages: folder.exists,
            uid_validity: folder.uid_validity,
            idle: connection.has("IDLE"),
            can_move: connection.has("MOVE"),
            uidplus: connection.has("UIDPLUS"),
            keywords,
            target_exists,
            folder: self.folder.clone(),
        })
    }

    /// The connection, opened if need be.
    async fn connection(&mut self) -> Result<&mut Connection, SourceError> {
        if self.connection.as_ref().is_none_or(Connection::is_broken) {
            self.hang_up();
            let opening = Connection::open(&self.server, self.tokens.as_ref(), self.timeouts);
            self.connection = Some(opening.await?);
        }
        self.connection.as_mut().ok_or_else(|| {
            SourceError::temporary("the connection vanished while it was opened", None)
        })
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.open = None;
    }

    fn drop_after_error<T>(&mut self, result: &Result<T, SourceError>) {
        if result.is_err() {
            self.hang_up();
        }
    }

    /// Opens the folder anew, so that UIDVALIDITY is of now.
    async fn open_folder(&mut self, access: Access) -> Result<Folder, SourceError> {
        let verb = match access {
            Access::Read => "EXAMINE",
            Access::Write => "SELECT",
        };
        let command = format!("{verb} {}", quoted(&self.folder));
        let what = format!("the folder «{}»", self.folder);
        let limit = self.timeouts.command;
        self.connection().await?;
        self.open = None;
        let connection = self.connection().await?;
        let mut folder = Folder::default();
        let answer = connection
            .exchange("opening the folder", &command, limit, |response| {
                note_folder(response, &mut folder);
            })
            .await?;
        if !answer.ok {
            let absent = answer.is(&["NONEXISTENT", "TRYCREATE"])
                || (answer.code.is_none()
                    && !answer.bad
                    && !self.folder_exists(&self.folder.clone()).await?);
            if absent {
                return Err(SourceError::needs_person(
                    format!("{what} does not exist on {}", self.server.host),
                    "correct the name of the folder, as your mail program shows it",
                ));
            }
            let connection = self.connection().await?;
            return Err(connection.refused(
                "opening the folder",
                &answer,
                "give the user access to the folder",
            ));
        }
        if folder.uid_validity == 0 {
            return Err(SourceError::needs_person(
                format!("{what} has no lasting message numbers (UIDVALIDITY)"),
                "watch a folder of another kind",
            ));
        }
        // The answer tells the number of messages in any case; news is what arrived since the last search.
        let searched_at = self.searched_at;
        let connection = self.connection().await?;
        connection.set_news(folder.uid_next.is_none() || folder.uid_next != searched_at);
        self.open = Some(Open {
            access,
            uid_validity: folder.uid_validity,
            since: Instant::now(),
        });
        Ok(folder)
    }

    /// Opens the folder unless it is open in this way.
    async fn ensure_open(&mut self, access: Access) -> Result<u32, SourceError> {
        self.connection().await?;
        if let Some(open) = &self.open
            && open.access == access
        {
            return Ok(open.uid_validity);
        }
        Ok(self.open_folder(access).await?.uid_validity)
    }

    async fn folder_exists(&mut self, folder: &str) -> Result<bool, SourceError> {
        let doing = "looking for a folder";
        // `%` and `*` would match anything; a folder with such a name is not looked for.
        if folder.contains(['%', '*']) {
            return Ok(true);
        }
        let command = format!("LIST \"\" {}", quoted(folder));
        let limit = self.timeouts.command;
        let connection = self.connection().await?;
        let mut found = false;
        let answer = connection
            .exchange(doing, &command, limit, |response| {
                if let Response::MailboxData(MailboxDatum::List(list)) = response {
                    found |= !list.name_attributes.contains(&NameAttribute::NoSelect);
                }
            })
            .await?;
        if answer.ok {
            Ok(found)
        } else {
            Err(connection.refused(doing, &answer, "ask the administrator of the mail server"))
        }
    }

    /// UIDs that match, ascending.
    async fn search(&mut self, criteria: &str) -> Result<Vec<u32>, SourceError> {
        let doing = "looking for messages";
        let limit = self.timeouts.folder;
        let connection = self.connection().await?;
        let mut uids = Vec::new();
        let answer = connection
            .exchange(
                doing,
                &format!("UID SEARCH {criteria}"),
                limit,
                |response| {
                    if let Response::MailboxData(MailboxDatum::Search(found)) = response {
                        uids.extend_from_slice(found);
                    }
                },
            )
            .await?;
        if !answer.ok {
            return Err(connection.refused(doing, &answer, "give the user access to the folder"));
        }
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    async fn try_list(&mut self, cursor: &Cursor, limit: usize) -> Result<Listing, SourceError> {
        let reused = self.connection.as_ref().is_some_and(|c| !c.is_broken());
        if let Some(uid_validity) = self.still_open(cursor) {
            match self.list_open(cursor, limit, uid_validity, None).await {
                // The server may have closed the connection, or taken the folder away.
                Err(error) if error.is_temporary() => self.hang_up(),
                other => return other,
            }
        }
        let folder = match self.open_folder(Access::Read).await {
            // The server may have closed a connection that lay idle.
            Err(error) if reused && error.is_temporary() => {
                self.hang_up();
                self.open_folder(Access::Read).await?
            }
            other => other?,
        };
        self.list_open(cursor, limit, folder.uid_validity, Some(&folder))
            .await
    }

    /// UIDVALIDITY of the folder where it need not be opened anew for this listing: the server has told of new mail in it, or
    /// the rest of the last search is asked for.
    fn still_open(&self, cursor: &Cursor) -> Option<u32> {
        let (connection, open) = (self.connection.as_ref()?, self.open.as_ref()?);
        let goes_on = self.rest.as_ref().is_some_and(|rest| rest.after == *cursor);
        let usable = !connection.is_broken()
            && open.access == Access::Read
            && open.uid_validity == cursor.uid_validity
            && open.since.elapsed() < OPEN_MAX;
        (usable && (goes_on || connection.has_news())).then_some(open.uid_validity)
    }

    /// Lists what is behind the cursor in the open folder; `opened` where it was opened for this.
    async fn list_open(
        &mut self,
        cursor: &Cursor,
        limit: usize,
        uid_validity: u32,
        opened: Option<&Folder>,
    ) -> Result<Listing, SourceError> {
        let mut cursor = Cursor {
            uid_validity,
            last_uid: if cursor.uid_validity == uid_validity {
                cursor.last_uid
            } else {
                0
            },
        };
        let mut uids = match self.rest.take() {
            Some(rest) if rest.after == cursor => rest.uids,
            _ => {
                self.connection().await?.set_news(false);
                let found = if opened.is_some_and(|folder| folder.exists == 0) {
                    Vec::new()
                } else {
                    let from = cursor.last_uid.saturating_add(1);
                    let mut found = self.search(&format!("UID {from}:*")).await?;
                    // `*` is the last message, even when its UID is lower (RFC 3501 section 6.4.8).
                    found.retain(|uid| *uid > cursor.last_uid);
                    found
                };
                match (opened, found.last()) {
                    (Some(folder), _) => self.searched_at = folder.uid_next,
                    (None, Some(last)) => self.searched_at = Some(last.saturating_add(1)),
                    (None, None) => {}
                }
                found.into()
            }
        };
        let page: Vec<u32> = uids.drain(..limit.max(1).min(uids.len())).collect();
        let mut candidates = Vec::with_capacity(page.len());
        for chunk in page.chunks(UIDS_PER_COMMAND) {
            self.describe_all(chunk, uid_validity, &mut candidates)
                .await?;
        }
        if let Some(last) = page.last() {
            cursor.last_uid = *last;
        }
        let more = !uids.is_empty();
        self.rest = more.then(|| Rest {
            after: cursor.clone(),
            uids,
        });
        Ok(Listing {
            candidates,
            cursor,
            more,
        })
    }

    /// Whether the last command failed because the server hung up. Dovecot does so over a message that it cannot read.
    fn was_hung_up_on(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(Connection::has_hung_up)
    }

    /// Connects again in the middle of a job; the folder must still be the same.
    async fn reopen(&mut self, uid_validity: u32) -> Result<(), SourceError> {
        self.hang_up();
        let folder = self.open_folder(Access::Read).await?;
        if folder.uid_validity == uid_validity {
            Ok(())
        } else {
            Err(SourceError::temporary(
                "the folder was replaced while it was read",
                None,
            ))
        }
    }

    /// Sizes and dates of these messages. One over which the server hangs up is listed without, so that it blocks no other.
    async fn describe_all(
        &mut self,
        uids: &[u32],
        uid_validity: u32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), SourceError> {
        match self.describe(uids, uid_validity, candidates).await {
            Err(_) if self.was_hung_up_on() => self.reopen(uid_validity).await?,
            other => return other,
        }
        for uid in uids {
            match self.describe(&[*uid], uid_validity, candidates).await {
                Err(_) if self.was_hung_up_on() => {
                    self.reopen(uid_validity).await?;
                    candidates.push(self.candidate(*uid, uid_validity, 0, None));
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn candidate(
        &self,
        uid: u32,
        uid_validity: u32,
        size: u32,
        internal_date_ms: Option<i64>,
    ) -> Candidate {
        Candidate {
            position: Position {
                mailbox: self.folder.clone(),
                uid_validity,
                key: uid.to_string(),
            },
            size: u64::from(size),
            internal_date_ms,
        }
    }

    /// Sizes and dates of these messages.
    async fn describe(
        &mut self,
        uids: &[u32],
        uid_validity: u32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), SourceError> {
        let doing = "reading sizes and dates";
        let limit = self.timeouts.folder;
        let connection = self.connection().await?;
        let mut found: HashMap<u32, (u32, Option<i64>)> = HashMap::new();
        let command = format!("UID FETCH {} (UID RFC822.SIZE INTERNALDATE)", uid_set(uids));
        let answer = connection
            .exchange(doing, &command, limit, |response| {
                let Response::Fetch(_, attributes) = response else {
                    return;
                };
                let (mut uid, mut size, mut date) = (None, None, None);
                for attribute in attributes {
                    match attribute {
                        AttributeValue::Uid(value) => uid = Some(*value),
                        AttributeValue::Rfc822Size(value) => size = Some(*value),
                        AttributeValue::InternalDate(value) => date = internal_date_ms(value),
                        _ => {}
                    }
                }
                // Without a size it is news about flags that somebody changed meanwhile.
                if let (Some(uid), Some(size)) = (uid, size) {
                    found.insert(uid, (size, date));
                }
            })
            .await?;
        if answer.bad {
            return Err(connection.refused(
                doing,
                &answer,
                "ask the administrator of the mail server",
            ));
        }
        for uid in uids {
            let (size, internal_date_ms) = match found.get(uid) {
                Some(described) => *described,
                // Expunged since the search.
                None if answer.ok => continue,
                // A message that the server cannot describe is listed all the same, so that it is not lost.
                None => (0, None),
            };
            candidates.push(self.candidate(*uid, uid_validity, size, internal_date_ms));
        }
        Ok(())
    }

    async fn try_fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError> {
        let end = Instant::now().checked_add(FETCH_MAX);
        let uid_validity = self.ensure_open(Access::Read).await?;
        let uid_of = |candidate: &Candidate| {
            let position = &candidate.position;
            (position.uid_validity == uid_validity && position.mailbox == self.folder)
                .then(|| position.key.parse::<u32>().ok())
                .flatten()
        };
        let wanted: Vec<(Option<u32>, &Candidate)> =
            candidates.iter().map(|c| (uid_of(c), c)).collect();

        let mut bodies: HashMap<u32, Body> = HashMap::new();
        let mut batch: Vec<u32> = Vec::new();
        let mut batch_bytes: u64 = 0;
        for (uid, candidate) in &wanted {
            let Some(uid) = uid else { continue };
            // A size of 0 is not to be trusted.
            if candidate.size == 0 || candidate.size > SLICE_ABOVE_BYTES {
                continue;
            }
            let bytes = batch_bytes.saturating_add(candidate.size);
            if batch.len() >= BATCH_MESSAGES || (bytes > BATCH_BYTES && !batch.is_empty()) {
                self.fetch_batch(&batch, uid_validity, end, &mut bodies)
                    .await?;
                batch.clear();
                batch_bytes = 0;
            }
            batch.push(*uid);
            batch_bytes = batch_bytes.saturating_add(candidate.size);
        }
        if !batch.is_empty() {
            self.fetch_batch(&batch, uid_validity, end, &mut bodies)
                .await?;
        }

        let mut fetched = Vec::with_capacity(wanted.len());
        for (uid, candidate) in wanted {
            let position = candidate.position.clone();
            let Some(uid) = uid else {
                fetched.push(Fetched::Gone(position));
                continue;
            };
            let body = if let Some(body) = bodies.remove(&uid) {
                body
            } else {
                self.fetch_one(uid, uid_validity, candidate.size, end)
                    .await?
            };
            fetched.push(match body {
                Body::Bytes(bytes) => Fetched::Message(RawMessage {
                    position,
                    internal_date_ms: candidate.internal_date_ms,
                    bytes,
                }),
                Body::Refused(why) => Fetched::Unreadable(position, why.to_owned()),
                // Only a message that the server no longer knows is gone.
                Body::Missing if self.search(&format!("UID {uid}")).await?.contains(&uid) => {
                    Fetched::Unreadable(position, "the server does not give its text".to_owned())
                }
                Body::Missing => Fetched::Gone(position),
            });
        }
        Ok(fetched)
    }

    /// Fetches small messages by one command. Those without an answer are left for [`Self::fetch_one`].
    async fn fetch_batch(
        &mut self,
        uids: &[u32],
        uid_validity: u32,
        end: Option<Instant>,
        bodies: &mut HashMap<u32, Body>,
    ) -> Result<(), SourceError> {
        let doing = "reading messages";
        if is_over(end) {
            return Err(SourceError::temporary(
                "reading messages takes too long; the line is too slow",
                None,
            ));
        }
        let command = format!("UID FETCH {} (UID BODY.PEEK[])", uid_set(uids));
        let limit = Limit::silence(self.timeouts.body);
        let connection = self.connection().await?;
        let result = connection
            .exchange(doing, &command, limit, |response| {
                if let Some((uid, Some(bytes))) = body_of(response) {
                    bodies.insert(uid, Body::Bytes(bytes.to_vec()));
                }
            })
            .await;
        match result {
            Ok(answer) if answer.bad => {
                Err(connection.refused(doing, &answer, "ask the administrator of the mail server"))
            }
            Ok(_) => Ok(()),
            Err(_) if self.was_hung_up_on() => self.reopen(uid_validity).await,
            Err(error) => Err(error),
        }
    }

    /// Fetches one message, in slices: what has come is kept when the connection is lost. When the server hangs up over it twice
    /// without giving anything, it counts as unreadable, so that it blocks no other.
    async fn fetch_one(
        &mut self,
        uid: u32,
        uid_validity: u32,
        size: u64,
        end: Option<Instant>,
    ) -> Result<Body, SourceError> {
        let size = usize::try_from(size).unwrap_or(MESSAGE_MAX_BYTES);
        // Growing by doubling would take up to twice the memory.
        let mut bytes = Vec::with_capacity(size.min(MESSAGE_MAX_BYTES));
        let mut in_vain = 0_u8;
        while in_vain < 2 {
            let before = bytes.len();
            match self.fetch_sliced(uid, &mut bytes, end).await {
                Err(_) if self.was_hung_up_on() => self.reopen(uid_validity).await?,
                other => return other,
            }
            in_vain = if bytes.len() > before {
                0
            } else {
                in_vain.saturating_add(1)
            };
        }
        Ok(Body::Refused("the server hangs up when asked for it"))
    }

    /// Fetches what is missing of one message in slices, whatever size the server told: it ends with the first slice that is
    /// not full.
    async fn fetch_sliced(
        &mut self,
        uid: u32,
        bytes: &mut Vec<u8>,
        end: Option<Instant>,
    ) -> Result<Body, SourceError> {
        let doing = "reading a message";
        let limit = Limit::silence(self.timeouts.body);
        let connection = self.connection().await?;
        loop {
            if is_over(end) {
                return Ok(Body::Refused("reading it takes too long"));
            }
            let command = format!(
                "UID FETCH {uid} (UID BODY.PEEK[]<{}.{SLICE_BYTES}>)",
                bytes.len()
            );
            let mut slice: Option<Option<usize>> = None;
            let answer = connection
                .exchange(doing, &command, limit, |response| match body_of(response) {
                    Some((of, Some(part))) if of == uid => {
                        bytes.extend_from_slice(part);
                        slice = Some(Some(part.len()));
                    }
                    Some((of, None)) if of == uid => slice = Some(slice.flatten()),
                    _ => {}
                })
                .await?;
            match slice {
                _ if answer.bad => {
                    return Err(connection.refused(
                        doing,
                        &answer,
                        "ask the administrator of the mail server",
                    ));
                }
                _ if !answer.ok && answer.is(&["EXPUNGEISSUED", "NONEXISTENT"]) => {
                    return Ok(Body::Missing);
                }
                _ if !answer.ok => return Ok(Body::Refused("the server refuses to give its text")),
                None => return Ok(Body::Missing),
                Some(None) => return Ok(Body::Refused("the server has no text for it")),
                Some(Some(length)) if length < SLICE_BYTES => {
                    return Ok(Body::Bytes(std::mem::take(bytes)));
                }
                Some(Some(_)) if bytes.len() > MESSAGE_MAX_BYTES => {
                    return Ok(Body::Refused("it is larger than 256 MB"));
                }
                Some(Some(_)) => {}
            }
        }
    }

    async fn try_treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError> {
        let folder = self.open_folder(Access::Write).await?;
        let ways = match self.ours.clone() {
            Ours::Leave => return Ok(ours.to_vec()),
            Ours::Flag(flag) if can_set(&folder, &flag) => {
                vec![format!("UID STORE {{uids}} +FLAGS.SILENT ({flag})")]
            }
            Ours::Flag(flag) => {
                return self.refuse_once(
                    format!("the keyword «{flag}» cannot be set"),
                    NO_KEYWORDS_ADVICE,
                );
            }
            Ours::Move(target) => {
                let target_wire = quoted(&target);
                let connection = self.connection().await?;
                if connection.has("MOVE") {
                    vec![format!("UID MOVE {{uids}} {target_wire}")]
                } else if connection.has("UIDPLUS") {
                    // EXPUNGE alone would also remove what others have marked as deleted.
                    vec![
                        format!("UID COPY {{uids}} {target_wire}"),
                        "UID STORE {uids} +FLAGS.SILENT (\\Deleted)".to_owned(),
                        "UID EXPUNGE {uids}".to_owned(),
                    ]
                } else {
                    return self.refuse_once(
                        format!("ours cannot be moved to «{target}»"),
                        NO_MOVE_ADVICE,
                    );
                }
            }
        };
        let mut uids: Vec<u32> = ours
            .iter()
            // Positions of an earlier UIDVALIDITY or another folder name messages that are not here any more.
            .filter(|position| {
                position.uid_validity == folder.uid_validity && position.mailbox == self.folder
            })
            .filter_map(|position| position.key.parse().ok())
            .collect();
        uids.sort_unstable();
        uids.dedup();
        let limit = self.timeouts.folder;
        for chunk in uids.chunks(UIDS_PER_COMMAND) {
            for way in &ways {
                let command = way.replace("{uids}", &uid_set(chunk));
                let doing = "treating messages that are ours";
                let connection = self.connection().await?;
                let answer = connection.exchange(doing, &command, limit, |_| ()).await?;
                failpoint::pass("imap.treat.command");
                if !answer.ok {
                    let refused = connection.refused(
                        doing,
                        &answer,
                        "give the user the right to flag and move messages",
                    );
                    return Err(match &self.ours {
                        Ours::Move(target) if answer.is(&["TRYCREATE", "NONEXISTENT"]) => {
                            SourceError::needs_person(
                                format!(
                                    "the folder «{target}» for ours does not exist on {}",
                                    self.server.host
                                ),
                                "create it, or name another",
                            )
                        }
                        _ => refused,
                    });
                }
            }
        }
        Ok(ours.to_vec())
    }

    /// Says once that ours cannot be treated; after that nothing is done, silently.
    fn refuse_once(&mut self, what: String, advice: &str) -> Result<Vec<Position>, SourceError> {
        if self.refused_once {
            return Ok(Vec::new());
        }
        self.refused_once = true;
        Err(SourceError::needs_person(what, advice))
    }

    async fn try_wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        if self.idle && self.connection().await?.has("IDLE") {
            self.ensure_open(Access::Read).await?;
            let connection = self.connection().await?;
            if connection.has_news() {
                return Ok(());
            }
            if connection.begin_idle().await? {
                connection.idle(at_most.min(IDLE_MAX)).await?;
                return connection.end_idle().await;
            }
        }
        tokio::time::sleep(at_most.min(self.poll)).await;
        Ok(())
    }
}

/// Whether this time has come.
fn is_over(end: Option<Instant>) -> bool {
    end.is_some_and(|end| Instant::now() >= end)
}

#[async_trait]
impl MailSource for ImapSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&mut self, cursor: &Cursor, limit: usize) -> Result<Listing, SourceError> {
        let result = self.try_list(cursor, limit).await;
        self.drop_after_error(&result);
        result
    }

    async fn fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError> {
        let result = self.try_fetch(candidates).await;
        self.drop_after_error(&result);
        result
    }

    async fn treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError> {
        if ours.is_empty() || self.ours == Ours::Leave {
            return Ok(ours.to_vec());
        }
        let result = self.try_treat(ours).await;
        self.drop_after_error(&result);
        result
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        let result = self.try_wait(at_most).await;
        self.drop_after_error(&result);
        result
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        self.hang_up();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::scripted::{Then, conversation};
    use super::*;
    use crate::config::Tls;

    const EXAMINE: (&str, &str) = (
        "EXAMINE \"INBOX\"",
        "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n* OK [UIDNEXT 31] .\r\n{tag} OK [READ-ONLY] .\r\n",
    );

    /// A source at a server that follows this script after the log-in.
    async fn source(
        ours: Ours,
        script: &[(&'static str, &'static str)],
    ) -> (ImapSource, JoinHandle<()>) {
        let (connection, server) = conversation(script, Then::HangUp).await;
        let mut source = ImapSource::new(&SourceConfig::Imap {
            name: "post".to_owned(),
            server: Server {
                host: "imap.example".to_owned(),
                port: 993,
                tls: Tls::Implicit,
                ca_file: None,
                pin_sha256: None,
                login: None,
            },
            folder: "INBOX".to_owned(),
            ours,
            idle: true,
            poll: Duration::from_secs(1),
            timeout: Duration::from_mins(1),
        })
        .unwrap();
        source.connection = Some(connection);
        (source, server)
    }

    fn position(uid: u32) -> Position {
        Position {
            mailbox: "INBOX".to_owned(),
            uid_validity: 7,
            key: uid.to_string(),
        }
    }

    #[tokio::test]
    async fn only_what_is_new_and_described_is_listed() {
        let script = [
            EXAMINE,
            // `*` is the last message, even below the range.
            (
                "UID SEARCH UID 21:*",
                "* SEARCH 30 20 25 24\r\n{tag} OK\r\n",
            ),
            (
                "UID FETCH 24:25,30 (UID RFC822.SIZE INTERNALDATE)",
                "* 1 FETCH (UID 20 FLAGS (\\Seen))\r\n\
                 * 3 FETCH (UID 30 RFC822.SIZE 300 INTERNALDATE \" 5-Jan-2026 09:00:00 +0100\")\r\n\
                 * 2 FETCH (UID 24 RFC822.SIZE 240 INTERNALDATE \"nonsense\")\r\n{tag} OK\r\n",
            ),
        ];
        let (mut source, server) = source(Ours::Leave, &script).await;
        let cursor = Cursor {
            uid_validity: 7,
            last_uid: 20,
        };
        let listing = source.list(&cursor, 10).await.unwrap();
        let found: Vec<_> = listing
            .candidates
            .iter()
            .map(|c| (c.position.key.as_str(), c.size, c.internal_date_ms))
            .collect();
        // 25 was expunged between the two commands; the cursor passes it.
        assert_eq!(
            found,
            [("24", 240, None), ("30", 300, Some(1_767_600_000_000))]
        );
        assert_eq!(listing.cursor.last_uid, 30);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_message_without_text_is_unreadable_and_not_gone() {
        let script = [
            EXAMINE,
            (
                "UID FETCH 24:25 (UID BODY.PEEK[])",
                "* 2 FETCH (UID 25 BODY[] {2}\r\nhi)\r\n{tag} NO partly\r\n",
            ),
            (
                "UID FETCH 24 (UID BODY.PEEK[]<0.1048576>)",
                "* 1 FETCH (UID 24 BODY[] NIL)\r\n{tag} OK\r\n",
            ),
            ("UID FETCH 30 (UID BODY.PEEK[]<0.1048576>)", "{tag} OK\r\n"),
            ("UID SEARCH UID 30", "* SEARCH 30\r\n{tag} OK\r\n"),
        ];
        let (mut source, server) = source(Ours::Leave, &script).await;
        let candidates: Vec<Candidate> = [(24, 10), (25, 2), (30, 0)]
            .map(|(uid, size)| source.candidate(uid, 7, size, None))
            .into();
        let fetched = source.fetch(&candidates).await.unwrap();
        assert!(
            matches!(&fetched[0], Fetched::Unreadable(p, _) if *p == position(24)),
            "{fetched:?}"
        );
        assert!(
            matches!(&fetched[1], Fetched::Message(m) if m.bytes == b"hi"),
            "{fetched:?}"
        );
        assert!(
            matches!(&fetched[2], Fetched::Unreadable(p, _) if *p == position(30)),
            "{fetched:?}"
        );
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_server_without_new_keywords_is_told_once_and_nothing_is_stored() {
        let select = (
            "SELECT \"INBOX\"",
            "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n* OK [PERMANENTFLAGS (\\Seen \\Deleted)] .\r\n{tag} OK\r\n",
        );
        let (mut one, server) = source(Ours::Flag("Linjevei".to_owned()), &[select]).await;
        let error = one.treat(&[position(24)]).await.unwrap_err();
        assert!(
            !error.is_temporary() && error.to_string().contains("move ours to a folder"),
            "{error}"
        );
        server.await.unwrap();
        let (connection, server) = conversation(&[select], Then::HangUp).await;
        one.connection = Some(connection);
        assert_eq!(one.treat(&[position(24)]).await.unwrap(), []);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_opened_is_judged_by_code_then_by_list() {
        let list = "LIST \"\" \"INBOX\"";
        for (answer, listed, temporary) in [
            ("{tag} NO [INUSE] later\r\n", None, true),
            ("{tag} NO [NONEXISTENT] no\r\n", None, false),
            ("{tag} NO [NOPERM] no\r\n", None, false),
            (
                "{tag} NO it does not exist\r\n",
                Some("{tag} OK\r\n"),
                false,
            ),
            (
                "{tag} NO for no reason\r\n",
                Some("* LIST () \"/\" INBOX\r\n{tag} OK\r\n"),
                true,
            ),
        ] {
            let mut script = vec![(EXAMINE.0, answer)];
            script.extend(listed.map(|answer| (list, answer)));
            let (mut source, server) = source(Ours::Leave, &script).await;
            let error = source.open_folder(Access::Read).await.unwrap_err();
            assert_eq!(error.is_temporary(), temporary, "{answer}");
            server.await.unwrap();
        }
    }
}
