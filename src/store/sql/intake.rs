//! Raw messages and source positions.

use super::statement::{ROWS_MAX, Sql, insert_chunks, push_list};
use super::{Connection, key, text, trouble};
use crate::intake::{Cursor, Position};
use crate::message::ContentHash;
use crate::message::extract::Extracted;
use crate::store::rows;
use crate::store::turns::Turn;
use crate::store::{Attempt, Incoming, MessageRow, Pending, StoreError, Stored};
use sqlx::{Acquire, QueryBuilder};
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) async fn cursor(
    connection: &mut Connection,
    source: &str,
) -> Result<Cursor, StoreError> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT uid_validity, last_uid FROM source_cursor WHERE source = $1")
            .bind(text(source))
            .fetch_optional(&mut *connection)
            .await?;
    let Some((uid_validity, last_uid)) = row else {
        return Ok(Cursor::default());
    };
    Ok(Cursor {
        uid_validity: u32::try_from(uid_validity)
            .map_err(|_| rows::broken("uid_validity", uid_validity))?,
        last_uid: u32::try_from(last_uid).map_err(|_| rows::broken("last_uid", last_uid))?,
    })
}

pub(super) async fn unknown(
    connection: &mut Connection,
    source: &str,
    positions: &[Position],
) -> Result<Vec<bool>, StoreError> {
    let mut unknown = Vec::with_capacity(positions.len());
    // Almost always all of them lie in one folder.
    let in_a_folder = positions
        .chunk_by(|one, next| one.mailbox == next.mailbox && one.uid_validity == next.uid_validity);
    for positions in in_a_folder.flat_map(|positions| positions.chunks(ROWS_MAX)) {
        let Some(first) = positions.first() else {
            continue;
        };
        let mut statement =
            QueryBuilder::<Sql>::new("SELECT position_key FROM message WHERE source = ");
        statement
            .push_bind(text(source))
            .push(" AND mailbox = ")
            .push_bind(text(&first.mailbox))
            .push(" AND uid_validity = ")
            .push_bind(i64::from(first.uid_validity))
            .push(" AND position_key IN (");
        push_list(
            &mut statement,
            positions.iter().map(|position| key(&position.key)),
        );
        let known: Vec<String> = statement
            .build_query_scalar()
            .persistent(positions.len() == 1)
            .fetch_all(&mut *connection)
            .await?;
        let known: HashSet<&str> = known.iter().map(String::as_str).collect();
        let is_unknown = |position: &Position| !known.contains(&*key(&position.key));
        unknown.extend(positions.iter().map(is_unknown));
    }
    Ok(unknown)
}

pub(super) async fn store_raw(
    connection: &mut Connection,
    source: &str,
    batch: &[Incoming],
    now_ms: i64,
) -> Result<Vec<Stored>, StoreError> {
    super::super::alone_with_content(connection, batch.iter().map(|one| one.hash.0.as_str()))
        .await?;
    let mut savepoint = connection.begin().await?;
    let stored = match store_together(&mut savepoint, source, batch, now_ms).await {
        Ok(stored) => {
            savepoint.commit().await?;
            stored
        }
        Err(error) if error.is_temporary() => return Err(error),
        Err(_) => {
            savepoint.rollback().await?;
            store_singly(connection, source, batch, now_ms).await?
        }
    };
    count_seen(connection, source, &stored).await?;
    Ok(stored)
}

/// A savepoint a message: a message that cannot be stored undoes only itself; it is fetched again later.
async fn store_singly(
    connection: &mut Connection,
    source: &str,
    batch: &[Incoming],
    now_ms: i64,
) -> Result<Vec<Stored>, StoreError> {
    let mut stored = Vec::with_capacity(batch.len());
    for incoming in batch {
        let mut savepoint = connection.begin().await?;
        let one = std::slice::from_ref(incoming);
        match store_together(&mut savepoint, source, one, now_ms).await {
            Ok(outcome) => {
                savepoint.commit().await?;
                stored.extend(outcome);
            }
            Err(error) if error.is_temporary() => return Err(error),
            Err(error) => {
                savepoint.rollback().await?;
                stored.push(Stored::Refused(error.to_string()));
            }
        }
    }
    Ok(stored)
}

/// A statement a table. Content that the batch has twice is stored in two rounds, so that the second finds its original.
async fn store_together(
    connection: &mut Connection,
    source: &str,
    batch: &[Incoming],
    now_ms: i64,
) -> Result<Vec<Stored>, StoreError> {
    let mut stored = vec![Stored::Known; batch.len()];
    let mut rest: Vec<(&Incoming, &mut Stored)> = batch.iter().zip(&mut stored).collect();
    while !rest.is_empty() {
        let mut hashes = HashSet::new();
        let mut positions = HashSet::new();
        let (mut round, again): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(incoming, _)| {
            hashes.insert(&incoming.hash.0) && positions.insert(&incoming.raw.position)
        });
        for part in round.chunks_mut(ROWS_MAX) {
            store_round(connection, source, part, now_ms).await?;
        }
        rest = again;
    }
    Ok(stored)
}

async fn store_round(
    connection: &mut Connection,
    source: &str,
    round: &mut [(&Incoming, &mut Stored)],
    now_ms: i64,
) -> Result<(), StoreError> {
    let originals = originals(connection, round.iter().map(|(incoming, _)| &incoming.hash)).await?;
    let inserted = insert_messages(connection, source, round, &originals, now_ms).await?;
    let mends = trouble::has_any(connection, source).await?;
    let mut chunks = Vec::new();
    for (incoming, stored) in round {
        let Position {
            mailbox,
            uid_validity,
            key: position_key,
        } = &incoming.raw.position;
        let place = (
            text(mailbox).into_owned(),
            i64::from(*uid_validity),
            key(position_key).into_owned(),
        );
        let Some(id) = inserted.get(&place) else {
            continue;
        };
        if mends {
            trouble::mended(connection, source, &incoming.raw.position).await?;
        }
        **stored = if let Some(original) = originals.get(&incoming.hash.0) {
            Stored::Duplicate(*original)
        } else {
            chunks.push((*id, incoming.raw.bytes.as_slice()));
            Stored::New(*id)
        };
    }
    insert_chunks(
        connection,
        "INSERT INTO message_chunk (message_id, seq, bytes) ",
        &chunks,
    )
    .await
}

/// The stored messages that have one of the contents first.
async fn originals(
    connection: &mut Connection,
    hashes: impl ExactSizeIterator<Item = &ContentHash>,
) -> Result<HashMap<String, i64>, StoreError> {
    let is_one = hashes.len() == 1;
    let mut statement = QueryBuilder::<Sql>::new(
        "SELECT content_hash, id FROM message WHERE outcome <> 'duplicate' AND content_hash IN (",
    );
    push_list(&mut statement, hashes.map(|hash| &hash.0));
    let found: Vec<(String, i64)> = statement
        .build_query_as()
        .persistent(is_one)
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}

/// Where a message stands at its source: folder, UIDVALIDITY, key.
type Place = (String, i64, String);

/// The rows of the messages whose positions were not known.
async fn insert_messages(
    connection: &mut Connection,
    source: &str,
    round: &[(&Incoming, &mut Stored)],
    originals: &HashMap<String, i64>,
    now_ms: i64,
) -> Result<HashMap<Place, i64>, StoreError> {
    let mut statement = QueryBuilder::<Sql>::new(
        "INSERT INTO message (source, mailbox, uid_validity, position_key, content_hash, size_bytes, internal_date_ms, \
         first_seen_at_ms, outcome, duplicate_of, settled_at_ms) ",
    );
    statement.push_values(round, |mut row, (incoming, _)| {
        let raw = &incoming.raw;
        let original = originals.get(&incoming.hash.0);
        row.push_bind(text(source))
            .push_bind(text(&raw.position.mailbox))
            .push_bind(i64::from(raw.position.uid_validity))
            .push_bind(key(&raw.position.key))
            .push_bind(&incoming.hash.0)
            .push_bind(i64::try_from(raw.bytes.len()).unwrap_or(i64::MAX))
            .push_bind(raw.internal_date_ms.unwrap_or_default())
            .push_bind(now_ms)
            .push_bind(if original.is_some() {
                "duplicate"
            } else {
                "pending"
            })
            .push_bind(original.copied().unwrap_or_default())
            .push_bind(if original.is_some() { now_ms } else { 0 });
    });
    statement.push(
        " ON CONFLICT (source, mailbox, uid_validity, position_key) DO NOTHING \
         RETURNING id, mailbox, uid_validity, position_key",
    );
    let inserted: Vec<(i64, String, i64, String)> = statement
        .build_query_as()
        .persistent(round.len() == 1)
        .fetch_all(connection)
        .await?;
    let placed =
        |(id, mailbox, uid_validity, position_key)| ((mailbox, uid_validity, position_key), id);
    Ok(inserted.into_iter().map(placed).collect())
}

/// Counts what the source has shown, in the transaction that stores it: the number that the reconciliation starts from.
async fn count_seen(
    connection: &mut Connection,
    source: &str,
    stored: &[Stored],
) -> Result<(), StoreError> {
    let is_new = |stored: &&Stored| matches!(stored, Stored::New(_) | Stored::Duplicate(_));
    let new = stored.iter().filter(is_new).count();
    if new > 0 {
        sqlx::query(
            "INSERT INTO source_cursor (source, uid_validity, last_uid, checked_at_ms, seen) VALUES ($1, 0, 0, 0, $2) \
             ON CONFLICT (source) DO UPDATE SET seen = source_cursor.seen + excluded.seen",
        )
        .bind(text(source))
        .bind(i64::try_from(new).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn source_checked(
    connection: &mut Connection,
    source: &str,
    cursor: &Cursor,
    gone: u32,
    now_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO source_cursor (source, uid_validity, last_uid, checked_at_ms, gone) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (source) DO UPDATE SET uid_validity = excluded.uid_validity, last_uid = excluded.last_uid, \
         checked_at_ms = excluded.checked_at_ms, gone = source_cursor.gone + excluded.gone",
    )
    .bind(text(source))
    .bind(i64::from(cursor.uid_validity))
    .bind(i64::from(cursor.last_uid))
    .bind(now_ms)
    .bind(i64::from(gone))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

pub(super) async fn checked_at_ms(
    connection: &mut Connection,
    source: &str,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT checked_at_ms FROM source_cursor WHERE source = $1 AND checked_at_ms <> 0",
    )
    .bind(text(source))
    .fetch_optional(connection)
    .await?)
}

pub(super) async fn content_deleted_ms(
    connection: &mut Connection,
    message_id: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT content_deleted_at_ms FROM message WHERE id = $1 AND content_deleted_at_ms <> 0",
    )
    .bind(message_id)
    .fetch_optional(&mut *connection)
    .await?)
}

/// No message is claimed for longer: a claim that lasts beyond this was made before the clock was set back.
const CLAIM_MAX_MS: i64 = 3_600_000;

pub(super) async fn has_undecided(
    connection: &mut Connection,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM message WHERE outcome = 'pending' AND (claimed_until_ms <= $1 OR claimed_until_ms > $2) LIMIT 1",
    )
    .bind(now_ms)
    .bind(now_ms.saturating_add(CLAIM_MAX_MS))
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Messages that somebody has claimed and not decided yet.
pub(super) async fn claimed(connection: &mut Connection, now_ms: i64) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM message WHERE outcome = 'pending' AND claimed_until_ms > $1 AND claimed_until_ms <= $2",
    )
    .bind(now_ms)
    .bind(now_ms.saturating_add(CLAIM_MAX_MS))
    .fetch_one(connection)
    .await?)
}

rows::row! {
    struct PendingRow {
        id: i64,
        attempts: i64,
        source: String,
        mailbox: String,
        internal_date_ms: i64,
        first_seen_at_ms: i64,
        size_bytes: i64,
    }
}

impl PendingRow {
    fn into_pending(self) -> Pending {
        Pending {
            id: self.id,
            attempts: self.attempts,
            source: self.source,
            mailbox: self.mailbox,
            internal_date_ms: (self.internal_date_ms != 0).then_some(self.internal_date_ms),
            first_seen_at_ms: self.first_seen_at_ms,
            size_bytes: self.size_bytes,
        }
    }
}

pub(super) async fn claim_undecided(
    connection: &mut Connection,
    node: &str,
    limit: u32,
    lease_ms: i64,
    now_ms: i64,
) -> Result<Vec<Pending>, StoreError> {
    super::super::take_turns(connection, Turn::Claim).await?;
    let fresh = claim(connection, node, 0, limit, lease_ms, now_ms).await?;
    if !fresh.is_empty() {
        return Ok(fresh);
    }
    claim(connection, node, i64::MAX, 1, lease_ms, now_ms).await
}

/// Claims messages that were tried at most so often, those that were tried least first. While another worker decides mail of a
/// source, the rest of that source waits: an answer is never decided before what it answers.
async fn claim(
    connection: &mut Connection,
    node: &str,
    attempts_max: i64,
    limit: u32,
    lease_ms: i64,
    now_ms: i64,
) -> Result<Vec<Pending>, StoreError> {
    let mut rows: Vec<PendingRow> = sqlx::query_as(
        "WITH due AS MATERIALIZED (SELECT id FROM message WHERE outcome = 'pending' \
         AND (claimed_until_ms <= $2 OR claimed_until_ms > $6) AND attempts <= $3 \
         AND source NOT IN (SELECT o.source FROM message o WHERE o.outcome = 'pending' AND o.claimed_until_ms > $2 \
         AND o.claimed_until_ms <= $6 AND o.claimed_by <> $5) ORDER BY attempts, id LIMIT $4) \
         UPDATE message SET attempts = attempts + 1, claimed_until_ms = $1, claimed_by = $5 WHERE id IN (SELECT id FROM due) \
         RETURNING id, attempts, source, mailbox, internal_date_ms, first_seen_at_ms, size_bytes",
    )
    .bind(now_ms.saturating_add(lease_ms))
    .bind(now_ms)
    .bind(attempts_max)
    .bind(i64::from(limit))
    .bind(node)
    .bind(now_ms.saturating_add(CLAIM_MAX_MS))
    .fetch_all(connection)
    .await?;
    rows.sort_by_key(|row| row.id);
    Ok(rows.into_iter().map(PendingRow::into_pending).collect())
}

/// Nobody else decides now: what a worker that died had claimed is free.
pub(super) async fn release_claims(connection: &mut Connection) -> Result<(), StoreError> {
    sqlx::query("UPDATE message SET claimed_until_ms = 0 WHERE outcome = 'pending' AND claimed_until_ms <> 0")
        .execute(connection)
        .await?;
    Ok(())
}

/// Messages with their outcomes so far; nobody else settles one before the transaction ends.
pub(super) async fn hold(
    connection: &mut Connection,
    messages: &[i64],
) -> Result<BTreeMap<i64, String>, StoreError> {
    if messages.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut statement = QueryBuilder::new("SELECT id, outcome FROM message WHERE id IN (");
    push_list(&mut statement, messages.iter().copied());
    statement.push(concat!(" ORDER BY id", for_update!()));
    let held: Vec<(i64, String)> = statement
        .build_query_as()
        .persistent(messages.len() == 1)
        .fetch_all(connection)
        .await?;
    Ok(held.into_iter().collect())
}

pub(super) async fn taken_in(
    connection: &mut Connection,
    message_id: i64,
) -> Result<Option<Pending>, StoreError> {
    let row: Option<PendingRow> = sqlx::query_as(
        "SELECT id, attempts, source, mailbox, internal_date_ms, first_seen_at_ms, size_bytes FROM message WHERE id = $1",
    )
    .bind(message_id)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(PendingRow::into_pending))
}

pub(super) async fn give_back(
    connection: &mut Connection,
    node: &str,
    message_ids: &[i64],
    attempt: Attempt,
) -> Result<(), StoreError> {
    let taken_back = match attempt {
        Attempt::Counts => 0,
        Attempt::TakenBack => 1_i64,
    };
    for id in message_ids {
        sqlx::query(
            "UPDATE message SET attempts = attempts - $1, claimed_until_ms = 0 WHERE id = $2 AND outcome = 'pending' AND attempts >= $1 \
             AND claimed_by = $3",
        )
        .bind(taken_back)
        .bind(id)
        .bind(node)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn raw(
    connection: &mut Connection,
    message_id: i64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let chunks: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT k.bytes FROM message m JOIN message_chunk k \
         ON k.message_id = CASE m.duplicate_of WHEN 0 THEN m.id ELSE m.duplicate_of END WHERE m.id = $1 ORDER BY k.seq",
    )
    .bind(message_id)
    .fetch_all(&mut *connection)
    .await?;
    if !chunks.is_empty() {
        return Ok(Some(chunks.concat()));
    }
    // Without a byte from the start, or deleted?
    let empty: Option<i64> =
        sqlx::query_scalar("SELECT id FROM message WHERE id = $1 AND content_deleted_at_ms = 0")
            .bind(message_id)
            .fetch_optional(connection)
            .await?;
    Ok(empty.map(|_| Vec::new()))
}

/// Keeps what reading the attachments of a message gave.
pub(super) async fn keep_texts(
    connection: &mut Connection,
    message_id: i64,
    texts: &[(usize, Extracted)],
) -> Result<(), StoreError> {
    for (position, extracted) in texts {
        let json = serde_json::to_string(extracted)
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        sqlx::query(
            "INSERT INTO message_text (message_id, position, extracted) VALUES ($1, $2, $3) \
             ON CONFLICT (message_id, position) DO UPDATE SET extracted = excluded.extracted",
        )
        .bind(message_id)
        .bind(i64::try_from(*position).unwrap_or(i64::MAX))
        .bind(json)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn texts(
    connection: &mut Connection,
    message_id: i64,
) -> Result<Vec<(usize, Extracted)>, StoreError> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT position, extracted FROM message_text WHERE message_id = $1 ORDER BY position",
    )
    .bind(message_id)
    .fetch_all(&mut *connection)
    .await?;
    // What an older version wrote in another way is read anew.
    let known = rows.into_iter().filter_map(|(position, json)| {
        Some((
            usize::try_from(position).ok()?,
            serde_json::from_str(&json).ok()?,
        ))
    });
    Ok(known.collect())
}

pub(super) async fn untreated(
    connection: &mut Connection,
    source: &str,
    limit: u32,
) -> Result<Vec<Position>, StoreError> {
    // A duplicate is treated like its original, once that is decided. The outcomes are named as the index names them.
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT m.mailbox, m.uid_validity, m.position_key FROM message m LEFT JOIN message o ON o.id = m.duplicate_of \
         WHERE m.source = $1 AND m.treated = 0 AND m.outcome IN ('opened', 'joined', 'duplicate') \
         AND (m.outcome <> 'duplicate' OR o.outcome IN ('opened', 'joined')) ORDER BY m.id LIMIT $2",
    )
    .bind(text(source))
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    rows.into_iter()
        .map(|(mailbox, uid_validity, key)| {
            let uid_validity = u32::try_from(uid_validity)
                .map_err(|_| rows::broken("uid_validity", uid_validity))?;
            Ok(Position {
                mailbox,
                uid_validity,
                key,
            })
        })
        .collect()
}

pub(super) async fn mark_treated(
    connection: &mut Connection,
    source: &str,
    positions: &[Position],
) -> Result<(), StoreError> {
    for position in positions {
        sqlx::query(
            "UPDATE message SET treated = 1 WHERE source = $1 AND mailbox = $2 AND uid_validity = $3 AND position_key = $4",
        )
        .bind(text(source))
        .bind(text(&position.mailbox))
        .bind(i64::from(position.uid_validity))
        .bind(key(&position.key))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

rows::row! {
    struct ListedMessage {
        id: i64,
        source: String,
        outcome: String,
        reason: String,
        year: i64,
        count: i64,
        duplicate_of: i64,
        received_at_ms: i64,
        sender_domain: String,
        size_bytes: i64,
    }
}

/// `SELECT` of a listed message with a constant tail.
macro_rules! select_messages {
    ($tail:literal) => {
        concat!(
            "SELECT m.id, m.source, m.outcome, m.reason, coalesce(c.year, 0) AS year, coalesce(c.count, 0) AS count, \
             m.duplicate_of, m.received_at_ms, m.sender_domain, m.size_bytes FROM message m LEFT JOIN cases c ON c.id = m.case_id ",
            $tail
        )
    };
}

impl ListedMessage {
    fn into_row(self) -> Result<MessageRow, StoreError> {
        let case = if self.count == 0 {
            None
        } else {
            Some(rows::number(self.year, self.count)?.to_string())
        };
        Ok(MessageRow {
            id: self.id,
            source: self.source,
            outcome: self.outcome,
            reason: self.reason,
            case,
            duplicate_of: (self.duplicate_of != 0).then_some(self.duplicate_of),
            received_at_ms: self.received_at_ms,
            sender_domain: self.sender_domain,
            size_bytes: self.size_bytes,
        })
    }
}

pub(super) async fn messages(
    connection: &mut Connection,
    left_alone: bool,
    limit: u32,
) -> Result<Vec<MessageRow>, StoreError> {
    let rows: Vec<ListedMessage> = sqlx::query_as(select_messages!(
        "WHERE ($1 = 0 OR m.outcome = 'left-alone') ORDER BY m.id DESC LIMIT $2"
    ))
    .bind(i64::from(left_alone))
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    rows.into_iter()
        .rev()
        .map(ListedMessage::into_row)
        .collect()
}

pub(super) async fn message(
    connection: &mut Connection,
    id: i64,
) -> Result<Option<MessageRow>, StoreError> {
    let row: Option<ListedMessage> = sqlx::query_as(select_messages!("WHERE m.id = $1"))
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
    row.map(ListedMessage::into_row).transpose()
}

pub(super) async fn message_at(
    connection: &mut Connection,
    source: &str,
    position: &Position,
) -> Result<Option<MessageRow>, StoreError> {
    let row: Option<ListedMessage> = sqlx::query_as(select_messages!(
        "WHERE m.source = $1 AND m.mailbox = $2 AND m.uid_validity = $3 AND m.position_key = $4"
    ))
    .bind(text(source))
    .bind(text(&position.mailbox))
    .bind(i64::from(position.uid_validity))
    .bind(key(&position.key))
    .fetch_optional(&mut *connection)
    .await?;
    row.map(ListedMessage::into_row).transpose()
}

pub(super) async fn mailbox(
    connection: &mut Connection,
    message_id: i64,
) -> Result<String, StoreError> {
    let mailbox: Option<String> = sqlx::query_scalar("SELECT mailbox FROM message WHERE id = $1")
        .bind(message_id)
        .fetch_optional(&mut *connection)
        .await?;
    Ok(mailbox.unwrap_or_default())
}

pub(super) async fn verdict(
    connection: &mut Connection,
    message_id: i64,
) -> Result<Option<String>, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT verdict FROM verdict WHERE message_id = $1")
            .bind(message_id)
            .fetch_optional(&mut *connection)
            .await?,
    )
}
