//! Daily upkeep: does everything add up, and deleting content whose time is over.

use super::{Connection, cases};
use crate::case::{CaseNumber, EventKind};
use crate::store::rows;
use crate::store::turns::Turn;
use crate::store::{LooseEnd, Reconciled, RetentionCounts, SourceAccount, StoreError};
use serde_json::json;

/// Messages whose content one transaction deletes, at most.
const DELETE_MESSAGES: i64 = 100;
/// Bytes that one transaction deletes, unless one message alone is larger: deleted pages are overwritten, which takes time
/// during which nobody else writes.
const DELETE_BYTES: i64 = 16 << 20;

rows::row! {
    struct AccountRow {
        source: String,
        seen: i64,
        gone: i64,
        checked_at_ms: i64,
        opened: i64,
        joined: i64,
        duplicate: i64,
        left_alone: i64,
        pending: i64,
    }
}

pub(super) async fn accounts(
    connection: &mut Connection,
) -> Result<Vec<SourceAccount>, StoreError> {
    let rows: Vec<AccountRow> = sqlx::query_as(
        "SELECT s.source, max(s.seen) AS seen, max(s.gone) AS gone, max(s.checked_at_ms) AS checked_at_ms, \
         CAST(sum(s.opened) AS BIGINT) AS opened, CAST(sum(s.joined) AS BIGINT) AS joined, \
         CAST(sum(s.duplicate) AS BIGINT) AS duplicate, CAST(sum(s.left_alone) AS BIGINT) AS left_alone, \
         CAST(sum(s.pending) AS BIGINT) AS pending FROM ( \
           SELECT source, 0 AS seen, 0 AS gone, 0 AS checked_at_ms, count(*) FILTER (WHERE outcome = 'opened') AS opened, \
             count(*) FILTER (WHERE outcome = 'joined') AS joined, count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate, \
             count(*) FILTER (WHERE outcome = 'left-alone') AS left_alone, count(*) FILTER (WHERE outcome = 'pending') AS pending \
             FROM message GROUP BY source \
           UNION ALL SELECT source, seen, gone, checked_at_ms, 0, 0, 0, 0, 0 FROM source_cursor) s \
         GROUP BY s.source ORDER BY s.source",
    )
    .fetch_all(&mut *connection)
    .await?;
    let account = |row: AccountRow| SourceAccount {
        source: row.source,
        seen: row.seen,
        opened: row.opened,
        joined: row.joined,
        duplicate: row.duplicate,
        left_alone: row.left_alone,
        pending: row.pending,
        gone: row.gone,
        checked_at_ms: row.checked_at_ms,
    };
    Ok(rows.into_iter().map(account).collect())
}

pub(super) async fn loose_ends(
    connection: &mut Connection,
    undecided_before_ms: i64,
) -> Result<Vec<LooseEnd>, StoreError> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT source, kind, count FROM ( \
         SELECT m.source AS source, 'without-case' AS kind, count(*) AS count FROM message m LEFT JOIN cases c ON c.id = m.case_id \
           WHERE m.outcome IN ('opened', 'joined') AND c.id IS NULL GROUP BY m.source \
         UNION ALL SELECT m.source, 'without-original', count(*) FROM message m LEFT JOIN message o ON o.id = m.duplicate_of \
           WHERE m.outcome = 'duplicate' AND (o.id IS NULL OR o.outcome = 'duplicate') GROUP BY m.source \
         UNION ALL SELECT source, 'without-reason', count(*) FROM message WHERE outcome = 'left-alone' AND reason = '' GROUP BY source \
         UNION ALL SELECT m.source, 'without-content', count(*) FROM message m WHERE m.outcome <> 'duplicate' \
           AND m.content_deleted_at_ms = 0 AND m.size_bytes > 0 \
           AND NOT EXISTS (SELECT 1 FROM message_chunk k WHERE k.message_id = m.id AND k.seq = 0) GROUP BY m.source \
         UNION ALL SELECT source, 'undecided', count(*) FROM message \
           WHERE outcome = 'pending' AND first_seen_at_ms < $1 GROUP BY source \
         UNION ALL SELECT '', 'without-acknowledgement', count(*) FROM cases c WHERE c.acknowledgement = 'queued' \
           AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.case_id = c.id AND o.kind = 'kvittering') \
         UNION ALL SELECT '', 'without-message', count(*) FROM cases c WHERE c.message_id <> 0 \
           AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = c.message_id) \
         ) AS found WHERE count > 0 ORDER BY source, kind",
    )
    .bind(undecided_before_ms)
    .fetch_all(&mut *connection)
    .await?;
    let loose_end = |(source, kind, count)| LooseEnd {
        source,
        kind,
        count,
    };
    Ok(rows.into_iter().map(loose_end).collect())
}

/// What the database says of itself, and what the tables have to agree on.
pub(super) async fn integrity(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let mut found = super::super::own_check(connection).await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT what, count FROM ( \
         SELECT 'mails of cases that are not there' AS what, count(*) AS count FROM outbox o \
           WHERE o.case_id <> 0 AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.id = o.case_id) \
         UNION ALL SELECT 'mails without a recipient', count(*) FROM outbox o \
           WHERE NOT EXISTS (SELECT 1 FROM outbox_recipient r WHERE r.outbox_id = o.id) \
         UNION ALL SELECT 'cases without a history', count(*) FROM cases c \
           WHERE NOT EXISTS (SELECT 1 FROM case_event e WHERE e.case_id = c.id) \
         UNION ALL SELECT 'cases whose history ends in another state', count(*) FROM cases c WHERE c.state <> \
           (SELECT e.state FROM case_event e WHERE e.case_id = c.id ORDER BY e.id DESC LIMIT 1) \
         UNION ALL SELECT 'years whose case numbers have gaps', count(*) FROM case_counter k WHERE k.last <> \
           (SELECT count(*) FROM cases c WHERE c.year = k.year AND c.count BETWEEN 1 AND k.last) \
         UNION ALL SELECT 'cases numbered beyond the counter', count(*) FROM cases c \
           WHERE NOT EXISTS (SELECT 1 FROM case_counter k WHERE k.year = c.year AND k.last >= c.count) \
         ) AS looked WHERE count > 0 ORDER BY what",
    )
    .fetch_all(connection)
    .await?;
    found.extend(
        rows.into_iter()
            .map(|(what, count)| format!("{count} {what}")),
    );
    Ok(found)
}

pub(super) async fn reconciliations(
    connection: &mut Connection,
) -> Result<Vec<Reconciled>, StoreError> {
    let rows: Vec<(String, i64, i64, String)> = sqlx::query_as(
        "SELECT source, at_ms, differences, report FROM reconciliation ORDER BY source",
    )
    .fetch_all(&mut *connection)
    .await?;
    let reconciled = |(source, at_ms, differences, report)| Reconciled {
        source,
        at_ms,
        differences,
        report,
    };
    Ok(rows.into_iter().map(reconciled).collect())
}

pub(super) async fn keep_reconciliation(
    connection: &mut Connection,
    reconciled: &Reconciled,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO reconciliation (source, at_ms, differences, report) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (source) DO UPDATE SET at_ms = excluded.at_ms, differences = excluded.differences, report = excluded.report",
    )
    .bind(&reconciled.source)
    .bind(reconciled.at_ms)
    .bind(reconciled.differences)
    .bind(&reconciled.report)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// What a verdict holds besides rule ids and terms: whom an answer would reach, and the reporter's own case number.
async fn forget_reporter(connection: &mut Connection, message_id: i64) -> Result<(), StoreError> {
    let stored: Option<String> =
        sqlx::query_scalar("SELECT verdict FROM verdict WHERE message_id = $1")
            .bind(message_id)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(stored) = stored else { return Ok(()) };
    let mut verdict: serde_json::Value =
        serde_json::from_str(&stored).map_err(|_| rows::broken("verdict", "not JSON"))?;
    if let Some(address) = verdict.pointer_mut("/reporter/address") {
        *address = json!("");
    }
    if let Some(whole) = verdict.as_object_mut() {
        whole.insert("reference".to_owned(), serde_json::Value::Null);
    }
    sqlx::query("UPDATE verdict SET verdict = $1 WHERE message_id = $2")
        .bind(verdict.to_string())
        .bind(message_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Position, hash and reason stay.
pub(super) async fn delete_left_alone(
    connection: &mut Connection,
    settled_before_ms: i64,
    now_ms: i64,
) -> Result<u64, StoreError> {
    super::super::take_turns(connection, Turn::Delete).await?;
    let due: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT id, size_bytes FROM message WHERE outcome = 'left-alone' AND content_deleted_at_ms = 0 AND settled_at_ms <= $1 \
         ORDER BY settled_at_ms, id LIMIT $2",
    )
    .bind(settled_before_ms)
    .bind(DELETE_MESSAGES)
    .fetch_all(&mut *connection)
    .await?;
    let mut deleted = 0_u64;
    let mut bytes = 0_i64;
    for (id, size_bytes) in due {
        bytes = bytes.saturating_add(size_bytes);
        if deleted > 0 && bytes > DELETE_BYTES {
            break;
        }
        delete_message(connection, id, now_ms).await?;
        deleted = deleted.saturating_add(1);
    }
    Ok(deleted)
}

/// Deletes the bytes of a message and what its row and verdict tell of its sender; the copies of it say so too.
async fn delete_message(
    connection: &mut Connection,
    id: i64,
    now_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM message_chunk WHERE message_id = $1")
        .bind(id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM message_text WHERE message_id = $1")
        .bind(id)
        .execute(&mut *connection)
        .await?;
    forget_reporter(connection, id).await?;
    sqlx::query(
        "UPDATE message SET content_deleted_at_ms = $1, sender_domain = '' WHERE id = $2 OR (duplicate_of = $2 AND duplicate_of <> 0)",
    )
    .bind(now_ms)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Cases that are done, all of whose content was not deleted since the last thing that happened, which is before $2. What was
/// shown to a person does not count, nor does a case whose last mail still waits.
macro_rules! cases_due {
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM (SELECT c.id AS id, c.year AS year, c.count AS count, c.content_deleted_at_ms AS deleted, \
             (SELECT max(e.at_ms) FROM case_event e WHERE e.case_id = c.id AND e.kind NOT IN ('shown', 'content-deleted')) AS last \
             FROM cases c WHERE c.id > $1 AND c.state IN ('closed', 'registered', 'dismissed') \
             AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.case_id = c.id AND o.state IN ('queued', 'sending'))) AS done \
             WHERE last > deleted AND last <= $2 ",
            $tail
        )
    };
}

/// The next case after that row whose content is to be deleted.
pub(super) async fn next_case(
    connection: &mut Connection,
    after_case_id: i64,
    ended_before_ms: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(
        sqlx::query_scalar(cases_due!("SELECT id", "ORDER BY id LIMIT 1"))
            .bind(after_case_id)
            .bind(ended_before_ms)
            .fetch_optional(connection)
            .await?,
    )
}

/// Number, history and all facets stay.
pub(super) async fn delete_case(
    connection: &mut Connection,
    after_case_id: i64,
    ended_before_ms: i64,
    now_ms: i64,
) -> Result<Option<(i64, CaseNumber)>, StoreError> {
    super::super::take_turns(connection, Turn::Delete).await?;
    let due: Option<(i64, i64, i64)> =
        sqlx::query_as(cases_due!("SELECT id, year, count", "ORDER BY id LIMIT 1"))
            .bind(after_case_id)
            .bind(ended_before_ms)
            .fetch_optional(&mut *connection)
            .await?;
    let Some((case_id, year, count)) = due else {
        return Ok(None);
    };
    let messages: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM message WHERE case_id = $1 AND case_id <> 0 AND content_deleted_at_ms = 0",
    )
    .bind(case_id)
    .fetch_all(&mut *connection)
    .await?;
    for id in &messages {
        delete_message(connection, *id, now_ms).await?;
    }
    for sql in [
        "DELETE FROM thread_id WHERE case_id = $1",
        "DELETE FROM case_reference WHERE case_id = $1",
        "DELETE FROM case_field WHERE case_id = $1 AND name <> 'hendelsesdag'",
        "DELETE FROM case_likeness WHERE case_id = $1",
        "DELETE FROM case_file WHERE case_id = $1",
        // A reporter's address goes with the case; a party's is no person's.
        "DELETE FROM dead_address WHERE outbox_id IN (SELECT id FROM outbox WHERE case_id = $1 AND party = '')",
        "DELETE FROM outbox_chunk WHERE outbox_id IN (SELECT id FROM outbox WHERE case_id = $1)",
        "UPDATE outbox_recipient SET address = '' WHERE outbox_id IN (SELECT id FROM outbox WHERE case_id = $1)",
    ] {
        sqlx::query(sql)
            .bind(case_id)
            .execute(&mut *connection)
            .await?;
    }
    cases::amend(connection, case_id, |change| {
        let data = json!({ "messages": messages.len() });
        change.record(EventKind::ContentDeleted, now_ms, data);
    })
    .await?;
    sqlx::query(
        "UPDATE cases SET content_deleted_at_ms = $1, reporter_address = '', reporter_message_id = '', reference = '' WHERE id = $2",
    )
    .bind(now_ms)
    .bind(case_id)
    .execute(&mut *connection)
    .await?;
    Ok(Some((case_id, rows::number(year, count)?)))
}

pub(super) async fn retention_counts(
    connection: &mut Connection,
    settled_before_ms: i64,
    ended_before_ms: Option<i64>,
) -> Result<RetentionCounts, StoreError> {
    let (messages_deleted, left_alone_due, cases_deleted): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM message WHERE content_deleted_at_ms <> 0), \
         (SELECT count(*) FROM message WHERE outcome = 'left-alone' AND content_deleted_at_ms = 0 AND settled_at_ms <= $1), \
         (SELECT count(*) FROM cases WHERE content_deleted_at_ms <> 0)",
    )
    .bind(settled_before_ms)
    .fetch_one(&mut *connection)
    .await?;
    let cases_due = match ended_before_ms {
        None => 0,
        Some(ended_before_ms) => {
            sqlx::query_scalar(cases_due!("SELECT count(*)", ""))
                .bind(0_i64)
                .bind(ended_before_ms)
                .fetch_one(&mut *connection)
                .await?
        }
    };
    Ok(RetentionCounts {
        messages_deleted,
        left_alone_due,
        cases_deleted,
        cases_due,
    })
}
