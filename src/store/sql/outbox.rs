//! The outbox: rows written with the change they belong to, claimed by lease, results per recipient.

use super::statement::{ROWS_MAX, asking};
use super::{Connection, cases, folded, key, returned};
use crate::case::{EventKind, MailKind, undeliverable};
use crate::outbox::retry::{FURTHEST_MS, Next, UNKNOWN_PAUSE_MS};
use crate::outbox::{Delivery, Envelope, RecipientOutcome, Reply};
use crate::store::rows;
use crate::store::{Claimed, OutboxRow, StoreError};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Times further ahead than this were written before the clock was set back; several nodes are never so far apart.
const CLOCK_SLACK_MS: i64 = 2 * 3_600_000;
/// `case_id` of mail about many cases.
pub(super) const NO_CASE: i64 = 0;

/// The Message-ID of our last mail to the same party in the case.
pub(super) async fn last_message_id(
    connection: &mut Connection,
    case_id: i64,
    party: &str,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT rfc_message_id FROM outbox WHERE case_id = $1 AND party = $2 ORDER BY id DESC LIMIT 1")
        .bind(case_id)
        .bind(party)
        .fetch_optional(connection)
        .await?)
}

pub(super) async fn acknowledgements_since(
    connection: &mut Connection,
    address: &str,
    since_ms: i64,
) -> Result<u32, StoreError> {
    let counted = acknowledgements(connection, BTreeSet::from([folded(address)]), since_ms).await?;
    Ok(counted.into_values().next().unwrap_or_default())
}

/// How many acknowledgements each of these addresses got since then, all folded.
pub(super) async fn acknowledgements(
    connection: &mut Connection,
    addresses: BTreeSet<String>,
    since_ms: i64,
) -> Result<BTreeMap<String, u32>, StoreError> {
    let addresses: Vec<String> = addresses.into_iter().collect();
    let mut counted = BTreeMap::new();
    for addresses in addresses.chunks(ROWS_MAX) {
        let mut statement = asking(addresses);
        statement
            .push(
                "SELECT name, (SELECT count(*) FROM outbox_recipient r JOIN outbox o ON o.id = r.outbox_id \
                 WHERE lower(r.address) = asked.name AND o.kind = 'kvittering' AND o.created_at_ms > ",
            )
            .push_bind(since_ms)
            .push(" AND o.created_at_ms <= ")
            .push_bind(since_ms.saturating_add(CLOCK_SLACK_MS))
            .push(") FROM asked");
        let rows: Vec<(String, i64)> = statement
            .build_query_as()
            .persistent(addresses.len() == 1)
            .fetch_all(&mut *connection)
            .await?;
        counted.extend(
            rows.into_iter()
                .map(|(address, count)| (address, u32::try_from(count).unwrap_or(u32::MAX))),
        );
    }
    Ok(counted)
}

rows::row! {
    struct ClaimedRow {
        id: i64,
        case_id: i64,
        kind: String,
        attempts: i64,
        created_at_ms: i64,
        envelope_from: String,
    }
}

pub(super) async fn claim(
    connection: &mut Connection,
    limit: u32,
    lease_ms: i64,
    now_ms: i64,
) -> Result<Vec<Claimed>, StoreError> {
    heed_clock_set_back(connection, now_ms).await?;
    hold_needless_reminders(connection, now_ms).await?;
    returned::hold_for_dead_addresses(connection, now_ms).await?;
    let rows: Vec<ClaimedRow> = sqlx::query_as(concat!(
        "WITH due AS MATERIALIZED (SELECT id FROM outbox WHERE state = 'queued' AND next_attempt_at_ms <= $1 \
         ORDER BY kind <> 'kvittering', next_attempt_at_ms, id LIMIT $3",
        skip_locked!(),
        ") UPDATE outbox SET state = 'sending', attempts = attempts + 1, claimed_at_ms = $1, lease_until_ms = $2 \
         WHERE id IN (SELECT id FROM due) RETURNING id, case_id, kind, attempts, created_at_ms, envelope_from",
    ))
    .bind(now_ms)
    .bind(now_ms.saturating_add(lease_ms))
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let to: Vec<String> =
            sqlx::query_scalar("SELECT address FROM outbox_recipient WHERE outbox_id = $1 AND state = 'waiting' ORDER BY position")
                .bind(row.id)
                .fetch_all(&mut *connection)
                .await?;
        let chunks: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT bytes FROM outbox_chunk WHERE outbox_id = $1 ORDER BY seq")
                .bind(row.id)
                .fetch_all(&mut *connection)
                .await?;
        let number: Option<(i64, i64)> =
            sqlx::query_as("SELECT year, count FROM cases WHERE id = $1")
                .bind(row.case_id)
                .fetch_optional(&mut *connection)
                .await?;
        claimed.push(Claimed {
            id: row.id,
            number: number
                .map(|(year, count)| rows::number(year, count))
                .transpose()?,
            kind: rows::mail_kind(&row.kind)?,
            attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
            created_at_ms: row.created_at_ms,
            envelope: Envelope {
                from: (!row.envelope_from.is_empty()).then_some(row.envelope_from),
                to,
            },
            bytes: chunks.concat(),
        });
    }
    claimed.sort_by_key(|mail| mail.id);
    Ok(claimed)
}

/// What was put off when the clock was ahead would wait until it is right again: it is put off from now.
async fn heed_clock_set_back(connection: &mut Connection, now_ms: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE outbox SET next_attempt_at_ms = $1 WHERE state = 'queued' AND next_attempt_at_ms > $2")
        .bind(now_ms.saturating_add(UNKNOWN_PAUSE_MS))
        .bind(now_ms.saturating_add(FURTHEST_MS))
        .execute(connection)
        .await?;
    Ok(())
}

/// A reminder can wait for days while the server is down. One whose case was answered, or went to another party, meanwhile
/// would say what is no longer true: it is held, and the history says why.
async fn hold_needless_reminders(
    connection: &mut Connection,
    now_ms: i64,
) -> Result<(), StoreError> {
    let cases: Vec<i64> = sqlx::query_scalar(
        "UPDATE outbox SET state = 'held' WHERE kind = 'purring' AND state = 'queued' AND NOT EXISTS \
         (SELECT 1 FROM cases c WHERE c.id = case_id AND c.state = 'sent' AND c.destination = outbox.party) RETURNING case_id",
    )
    .fetch_all(&mut *connection)
    .await?;
    for case_id in cases {
        cases::amend(connection, case_id, |change| {
            let held = json!({ "mail": MailKind::Purring.id(), "held": true });
            change.record(EventKind::Note, now_ms, held);
        })
        .await?;
    }
    Ok(())
}

/// Rows whose sender died: the outcome is unknown. One more attempt half an hour after the claim, then a person.
pub(super) async fn recover_sending(
    connection: &mut Connection,
    all: bool,
    now_ms: i64,
) -> Result<u64, StoreError> {
    // That the lease is not negative and the order is of no column lets the index of these be taken, not the whole table.
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(concat!(
        "SELECT id, unknown_outcomes, claimed_at_ms FROM outbox WHERE state = 'sending' AND lease_until_ms >= 0 \
         AND ($1 = 1 OR lease_until_ms <= $2 OR claimed_at_ms > $3) ORDER BY +id",
        skip_locked!()
    ))
    .bind(i64::from(all))
    .bind(now_ms)
    .bind(now_ms.saturating_add(CLOCK_SLACK_MS))
    .fetch_all(&mut *connection)
    .await?;
    for (id, unknown, claimed_at_ms) in &rows {
        outcome_unknown(connection, *id, *unknown, *claimed_at_ms, now_ms).await?;
    }
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

async fn outcome_unknown(
    connection: &mut Connection,
    id: i64,
    unknown_before: i64,
    since_ms: i64,
    now_ms: i64,
) -> Result<(), StoreError> {
    let again = unknown_before == 0;
    sqlx::query(
        "UPDATE outbox SET state = $1, unknown_outcomes = unknown_outcomes + 1, next_attempt_at_ms = $2, lease_until_ms = 0 WHERE id = $3",
    )
    .bind(if again { "queued" } else { "failed" })
    .bind(since_ms.saturating_add(UNKNOWN_PAUSE_MS))
    .bind(id)
    .execute(&mut *connection)
    .await?;
    if !again {
        failed(connection, id, "unknown outcome", now_ms).await?;
    }
    Ok(())
}

/// A person must know that the row will not be tried again.
async fn failed(
    connection: &mut Connection,
    id: i64,
    why: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let (case_id, kind, party): (i64, String, String) =
        sqlx::query_as("SELECT case_id, kind, party FROM outbox WHERE id = $1")
            .bind(id)
            .fetch_one(&mut *connection)
            .await?;
    let kind = rows::mail_kind(&kind)?;
    if case_id == NO_CASE {
        return Ok(());
    }
    cases::amend(connection, case_id, |change| {
        undeliverable::note(change, kind, &party, why, now_ms);
    })
    .await
}

pub(super) async fn record_delivery(
    connection: &mut Connection,
    claimed: &Claimed,
    delivery: &Delivery,
    next: Next,
    now_ms: i64,
) -> Result<(), StoreError> {
    let row: Option<(i64, i64, String)> =
        sqlx::query_as(concat!(
            "SELECT case_id, unknown_outcomes, party FROM outbox WHERE id = $1 AND state = 'sending' AND attempts = $2",
            for_update!()
        ))
            .bind(claimed.id)
            .bind(i64::from(claimed.attempts))
            .fetch_optional(&mut *connection)
            .await?;
    // Somebody else took the row over when our lease ran out; that attempt's result counts.
    let Some((case_id, unknown_before, party)) = row else {
        return Ok(());
    };

    let (mut unknown, mut temporary) = (false, false);
    for (address, outcome) in claimed.envelope.to.iter().zip(&delivery.recipients) {
        let (state, reply) = match outcome {
            RecipientOutcome::Accepted(reply) => ("accepted", *reply),
            RecipientOutcome::Permanent(reply) => ("refused", *reply),
            RecipientOutcome::Temporary(reply) => {
                temporary = true;
                ("waiting", *reply)
            }
            RecipientOutcome::Unknown => {
                unknown = true;
                ("waiting", Reply::default())
            }
        };
        let (class, subject, detail) = reply.enhanced;
        sqlx::query(
            "UPDATE outbox_recipient SET state = $1, code = $2, enhanced = $3, at_ms = $4 \
             WHERE outbox_id = $5 AND lower(address) = $6 AND state = 'waiting'",
        )
        .bind(state)
        .bind(i64::from(reply.code))
        .bind(if class == 0 {
            String::new()
        } else {
            format!("{class}.{subject}.{detail}")
        })
        .bind(now_ms)
        .bind(claimed.id)
        .bind(folded(address))
        .execute(&mut *connection)
        .await?;
    }
    if let Some(replaced) = &delivery.replaced_message_id {
        sqlx::query("UPDATE outbox SET replaced_message_id = $1 WHERE id = $2")
            .bind(key(replaced))
            .bind(claimed.id)
            .execute(&mut *connection)
            .await?;
    }
    if unknown {
        outcome_unknown(connection, claimed.id, unknown_before, now_ms, now_ms).await?;
        return Ok(());
    }
    let (refused, bounced): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE state = 'refused'), count(*) FILTER (WHERE state = 'bounced') FROM outbox_recipient \
         WHERE outbox_id = $1",
    )
    .bind(claimed.id)
    .fetch_one(&mut *connection)
    .await?;
    let (state, next_attempt_at_ms, why) = match next {
        Next::At(at) if temporary => ("queued", at, ""),
        Next::Person if temporary => ("failed", 0, "not accepted within the time that is tried"),
        _ if refused > 0 => ("failed", 0, "refused by the server"),
        // It came back from one address while it was still on the way to another.
        _ if bounced > 0 => ("bounced", 0, ""),
        _ => ("sent", 0, ""),
    };
    sqlx::query("UPDATE outbox SET state = $1, next_attempt_at_ms = $2, sent_at_ms = $3, lease_until_ms = 0 WHERE id = $4")
        .bind(state)
        .bind(next_attempt_at_ms)
        .bind(if matches!(state, "sent" | "bounced") {
            now_ms
        } else {
            0
        })
        .bind(claimed.id)
        .execute(&mut *connection)
        .await?;
    match state {
        "failed" => failed(connection, claimed.id, why, now_ms).await?,
        "sent" | "bounced" if case_id != NO_CASE => {
            let kind = claimed.kind;
            cases::amend(connection, case_id, |change| {
                change.record(
                    EventKind::MailSent,
                    now_ms,
                    json!({ "mail": kind.id(), "party": party }),
                );
            })
            .await?;
        }
        _ => {}
    }
    Ok(())
}

rows::row! {
    struct ListedRow {
        id: i64,
        year: i64,
        count: i64,
        kind: String,
        party: String,
        state: String,
        hold_reason: String,
        attempts: i64,
        unknown_outcomes: i64,
        next_attempt_at_ms: i64,
        sent_at_ms: i64,
        rfc_message_id: String,
    }
}

pub(super) async fn list(
    connection: &mut Connection,
    all: bool,
    limit: u32,
) -> Result<Vec<OutboxRow>, StoreError> {
    let rows: Vec<ListedRow> = sqlx::query_as(
        "SELECT o.id, coalesce(c.year, 0) AS year, coalesce(c.count, 0) AS count, o.kind, o.party, o.state, o.hold_reason, o.attempts, o.unknown_outcomes, o.next_attempt_at_ms, o.sent_at_ms, \
         o.rfc_message_id FROM outbox o LEFT JOIN cases c ON c.id = o.case_id WHERE ($1 = 1 OR o.state <> 'sent') ORDER BY o.id DESC LIMIT $2",
    )
    .bind(i64::from(all))
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in rows.into_iter().rev() {
        let codes = sqlx::query_scalar(
            "SELECT code FROM outbox_recipient WHERE outbox_id = $1 ORDER BY position",
        )
        .bind(row.id)
        .fetch_all(&mut *connection)
        .await?;
        listed.push(OutboxRow {
            id: row.id,
            case: if row.count == 0 {
                None
            } else {
                Some(rows::number(row.year, row.count)?.to_string())
            },
            kind: row.kind,
            party: row.party,
            state: row.state,
            hold_reason: row.hold_reason,
            attempts: row.attempts,
            unknown_outcomes: row.unknown_outcomes,
            next_attempt_at_ms: row.next_attempt_at_ms,
            sent_at_ms: row.sent_at_ms,
            codes,
            message_id: row.rfc_message_id,
        });
    }
    Ok(listed)
}

pub(super) async fn next_due_ms(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT min(next_attempt_at_ms) FROM outbox WHERE state = 'queued'")
            .fetch_one(connection)
            .await?,
    )
}

pub(super) async fn oldest_unsent_ms(
    connection: &mut Connection,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT min(created_at_ms) FROM (SELECT created_at_ms FROM outbox WHERE state = 'queued' \
         UNION ALL SELECT created_at_ms FROM outbox WHERE state = 'sending') AS waiting",
    )
    .fetch_one(connection)
    .await?)
}

pub(super) async fn hold(connection: &mut Connection, id: i64) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE outbox SET state = 'held', hold_reason = '' WHERE id = $1 AND state IN ('queued', 'failed', 'bounced')",
    )
    .bind(id)
    .execute(&mut *connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
