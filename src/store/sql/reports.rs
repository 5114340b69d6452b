//! What the mails about many cases tell, and which days they are done for.
//!
//! «Since» includes the moment itself: what was written in the very millisecond of a digest is told twice rather than never.

use super::Connection;
use super::later::Later;
use super::outbox::NO_CASE;
use crate::case::Case;
use crate::store::rows::{self, CASE_COLUMNS, CaseRow};
use crate::store::{LeftAlone, NotDelivered, ReportDay, ReportMail, StoreError};
use jiff::civil::Date;
use sqlx::AssertSqlSafe;

/// When a report was last done for a day before this one, Unix milliseconds.
pub(super) async fn done_before(
    connection: &mut Connection,
    kind: &str,
    party: &str,
    day: Date,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT at_ms FROM report_day WHERE kind = $1 AND party = $2 AND day < $3 ORDER BY day DESC LIMIT 1",
    )
    .bind(kind)
    .bind(party)
    .bind(day.to_string())
    .fetch_optional(&mut *connection)
    .await?)
}

pub(super) async fn is_done(
    connection: &mut Connection,
    day: &ReportDay,
) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT at_ms FROM report_day WHERE kind = $1 AND party = $2 AND day = $3",
    )
    .bind(day.kind)
    .bind(&day.party)
    .bind(day.day.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    Ok(found.is_some())
}

/// Marks the days as done and queues the mail, all or nothing; `false` when the first of them was done already.
pub(super) async fn queue(
    connection: &mut Connection,
    days: &[ReportDay],
    mail: Option<&ReportMail>,
    now_ms: i64,
) -> Result<bool, StoreError> {
    for (at, day) in days.iter().enumerate() {
        let done = sqlx::query(
            "INSERT INTO report_day (kind, party, day, at_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(day.kind)
        .bind(&day.party)
        .bind(day.day.to_string())
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
        if at == 0 && done.rows_affected() == 0 {
            return Ok(false);
        }
    }
    if let Some(mail) = mail {
        let mut later = Later::default();
        later.mail(NO_CASE, mail.order.clone(), mail.mail.clone(), now_ms);
        later.write(connection).await?;
    }
    Ok(true)
}

/// Cases without an acknowledgement that were taken in since a moment, those of paper and telephone apart; and cases without
/// an address that were answered since.
pub(super) async fn unacknowledged(
    connection: &mut Connection,
    since_ms: i64,
) -> Result<Vec<Case>, StoreError> {
    let rows: Vec<CaseRow> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT {CASE_COLUMNS} FROM cases WHERE id IN (SELECT id FROM cases WHERE acknowledgement <> 'queued' AND created_at_ms >= $1 \
         UNION ALL SELECT id FROM cases WHERE acknowledgement = 'no-address' AND answered_at_ms >= $1) \
         AND message_id <> 0 AND state <> 'dismissed' ORDER BY +year, +count"
    )))
    .bind(since_ms)
    .fetch_all(&mut *connection)
    .await?;
    rows.into_iter().map(CaseRow::into_case).collect()
}

rows::row! {
    struct NotDeliveredRow {
        id: i64,
        year: i64,
        count: i64,
        kind: String,
        party: String,
        state: String,
        hold_reason: String,
    }
}

/// Mail that did not arrive, while a person has not looked at its case since; and mail that is held. A reminder that is held
/// because it is no longer needed waits for nobody.
pub(super) async fn not_delivered(
    connection: &mut Connection,
    since_ms: i64,
) -> Result<Vec<NotDelivered>, StoreError> {
    let rows: Vec<NotDeliveredRow> = sqlx::query_as(
        "SELECT o.id, coalesce(c.year, 0) AS year, coalesce(c.count, 0) AS count, o.kind, o.party, o.state, o.hold_reason \
         FROM outbox o LEFT JOIN cases c ON c.id = o.case_id \
         WHERE o.state IN ('failed', 'bounced', 'held') AND o.state NOT IN ('queued', 'sending', 'sent') \
         AND ((o.state <> 'held' AND (c.attention = 1 OR (c.id IS NULL AND o.claimed_at_ms >= $1))) \
         OR (o.state = 'held' AND c.state NOT IN ('closed', 'dismissed') \
         AND (o.kind <> 'purring' OR (c.state = 'sent' AND c.destination = o.party)))) ORDER BY +o.id",
    )
    .bind(since_ms)
    .fetch_all(&mut *connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(NotDelivered {
                id: row.id,
                case: if row.count == 0 {
                    None
                } else {
                    Some(rows::number(row.year, row.count)?)
                },
                kind: rows::mail_kind(&row.kind)?,
                party: row.party,
                held: row.state == "held",
                address: row.state == "bounced" || row.hold_reason == "dead-address",
            })
        })
        .collect()
}

/// Reasons for which a machine's mail is left alone, and those by which nothing was judged.
const NOT_TOLD: &str = "'auto-submitted', 'list', 'bounce', 'receipt', 'no-reply', 'own-address', 'observed', 'before-live'";

/// What was left alone since a moment and was not a robot's: how many, and the first of them.
pub(super) async fn left_alone(
    connection: &mut Connection,
    since_ms: i64,
    limit: u32,
) -> Result<(u64, Vec<LeftAlone>), StoreError> {
    let condition = format!(
        "FROM message WHERE id IN (SELECT id FROM message WHERE outcome = 'left-alone' AND content_deleted_at_ms = 0 \
         AND settled_at_ms >= $1 UNION ALL SELECT id FROM message WHERE outcome = 'left-alone' AND content_deleted_at_ms >= $1 \
         AND settled_at_ms >= $1) AND reason NOT IN ({NOT_TOLD})"
    );
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) {condition}")))
        .bind(since_ms)
        .fetch_one(&mut *connection)
        .await?;
    let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT id, received_at_ms, sender_domain, reason {condition} ORDER BY received_at_ms, id LIMIT $2"
    )))
    .bind(since_ms)
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let list = rows
        .into_iter()
        .map(
            |(message_id, received_at_ms, sender_domain, reason)| LeftAlone {
                message_id,
                received_at_ms,
                sender_domain,
                reason,
            },
        )
        .collect();
    Ok((u64::try_from(count).unwrap_or_default(), list))
}
