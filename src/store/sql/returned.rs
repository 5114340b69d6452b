//! Mail of ours that came back, the addresses that take none, and a person's word that they work again.

use super::{Connection, cases, folded, key, text};
use crate::case::CaseNumber;
use crate::case::undeliverable::{self, DeadAddresses, RetryWord, Returned, SentMail};
use crate::outbox::message_id::Verp;
use crate::store::rows;
use crate::store::{Retried, ReturnKeys, StoreError};

/// Mails whose Message-IDs begin alike: those of one kind in one case, to all its parties.
const ALIKE_MAX: i64 = 100;
/// Why a mail is held.
const DEAD_ADDRESS: &str = "dead-address";

pub(super) async fn dead_addresses(
    connection: &mut Connection,
) -> Result<DeadAddresses, StoreError> {
    let addresses: Vec<String> = sqlx::query_scalar("SELECT address FROM dead_address")
        .fetch_all(&mut *connection)
        .await?;
    Ok(DeadAddresses::new(addresses.iter().map(String::as_str)))
}

/// The mail that a delivery report is about, by what only its receiver can know.
pub(super) async fn sent_mail(
    connection: &mut Connection,
    keys: &ReturnKeys,
) -> Result<Option<(SentMail, Option<CaseNumber>)>, StoreError> {
    let Some(id) = find(connection, keys).await? else {
        return Ok(None);
    };
    let row: Option<(i64, String, String)> =
        sqlx::query_as("SELECT case_id, kind, party FROM outbox WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
    let Some((case_id, kind, party)) = row else {
        return Ok(None);
    };
    let recipients: Vec<(String, i64)> = sqlx::query_as(
        "SELECT address, CAST(CASE WHEN state IN ('waiting', 'accepted') THEN 1 ELSE 0 END AS BIGINT) FROM outbox_recipient \
         WHERE outbox_id = $1 ORDER BY position",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await?;
    let number: Option<(i64, i64)> = sqlx::query_as("SELECT year, count FROM cases WHERE id = $1")
        .bind(case_id)
        .fetch_optional(&mut *connection)
        .await?;
    let mail = SentMail {
        id,
        of_case: case_id != 0,
        kind: rows::mail_kind(&kind)?,
        party,
        recipients: recipients
            .into_iter()
            .map(|(address, expected)| (address, expected != 0))
            .collect(),
    };
    let number = number
        .map(|(year, count)| rows::number(year, count))
        .transpose()?;
    Ok(Some((mail, number)))
}

async fn find(connection: &mut Connection, keys: &ReturnKeys) -> Result<Option<i64>, StoreError> {
    for local in &keys.signed {
        // The domain is not signed, and may be another by now.
        let begins = format!("{}@", local.to_ascii_lowercase());
        if let Some((id, _)) = alike(connection, &begins).await?.into_iter().next() {
            return Ok(Some(id));
        }
    }
    for cited in &keys.cited {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM outbox WHERE replaced_message_id = $1 AND replaced_message_id <> '' LIMIT 1",
        )
        .bind(key(cited))
        .fetch_optional(&mut *connection)
        .await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    for verp in &keys.verps {
        if let Some(id) = of_return_path(connection, verp).await? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

async fn of_return_path(
    connection: &mut Connection,
    verp: &Verp,
) -> Result<Option<i64>, StoreError> {
    let found = alike(connection, &verp.begins).await?;
    Ok(found
        .into_iter()
        .find(|(_, message_id)| verp.is_of(message_id))
        .map(|(id, _)| id))
}

/// Mail whose Message-ID begins so. `~` stands behind all letters of our Message-IDs.
async fn alike(
    connection: &mut Connection,
    begins: &str,
) -> Result<Vec<(i64, String)>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT id, rfc_message_id FROM outbox WHERE rfc_message_id >= $1 AND rfc_message_id < $2 ORDER BY id LIMIT $3",
    )
    .bind(text(begins))
    .bind(text(&format!("{begins}~")))
    .bind(ALIKE_MAX)
    .fetch_all(connection)
    .await?)
}

/// Writes that a mail came back. What the case says of it is in the change that is stored with it.
pub(super) async fn keep(
    connection: &mut Connection,
    returned: &Returned,
    now_ms: i64,
) -> Result<(), StoreError> {
    for address in &returned.addresses {
        sqlx::query(
            "UPDATE outbox_recipient SET state = 'bounced', enhanced = $1, at_ms = $2 WHERE outbox_id = $3 AND lower(address) = $4",
        )
        .bind(text(&returned.status))
        .bind(now_ms)
        .bind(returned.mail)
        .bind(folded(address))
        .execute(&mut *connection)
        .await?;
        if returned.dead {
            sqlx::query(
                "INSERT INTO dead_address (address, at_ms, status, outbox_id) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (address) DO UPDATE SET at_ms = excluded.at_ms, status = excluded.status, outbox_id = excluded.outbox_id",
            )
            .bind(folded(address))
            .bind(now_ms)
            .bind(text(&returned.status))
            .bind(returned.mail)
            .execute(&mut *connection)
            .await?;
        }
    }
    // One that still waits for another address, or is held, stays so.
    sqlx::query(
        "UPDATE outbox SET state = 'bounced' WHERE id = $1 AND (state IN ('sent', 'failed') OR (state = 'queued' \
         AND NOT EXISTS (SELECT 1 FROM outbox_recipient r WHERE r.outbox_id = outbox.id AND r.state = 'waiting')))",
    )
    .bind(returned.mail)
    .execute(&mut *connection)
    .await?;
    hold_for_dead_addresses(connection, now_ms).await
}

/// Mail that waits for addresses which take none: nothing goes there. What then has no address left is held, and its case
/// says so; mail about many cases and the duty mail are tried all the same, since by them people hear of such things.
pub(super) async fn hold_for_dead_addresses(
    connection: &mut Connection,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut mails: Vec<i64> = sqlx::query_scalar(
        "UPDATE outbox_recipient SET state = 'bounced' WHERE state = 'waiting' AND lower(address) IN (SELECT address FROM dead_address) \
         AND outbox_id IN (SELECT id FROM outbox WHERE state = 'queued' AND case_id <> 0 AND kind <> 'vakt') RETURNING outbox_id",
    )
    .fetch_all(&mut *connection)
    .await?;
    mails.sort_unstable();
    mails.dedup();
    for id in mails {
        let (waiting, accepted): (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'accepted') FROM outbox_recipient \
             WHERE outbox_id = $1",
        )
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
        if waiting > 0 {
            continue;
        }
        let reached = accepted > 0;
        let (case_id, kind, party): (i64, String, String) = sqlx::query_as(
            "UPDATE outbox SET state = $1, hold_reason = $2 WHERE id = $3 RETURNING case_id, kind, party",
        )
        .bind(if reached { "bounced" } else { "held" })
        .bind(if reached { "" } else { DEAD_ADDRESS })
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
        let kind = rows::mail_kind(&kind)?;
        cases::amend(connection, case_id, |change| {
            if reached {
                change.case.attention = true;
            } else {
                undeliverable::note(change, kind, &party, "its address takes no mail", now_ms);
            }
        })
        .await?;
    }
    Ok(())
}

/// A person's word about a mail that did not go: it is tried again. Where mail came back from its addresses, only with the
/// word that they work; then also what was held for them goes.
pub(super) async fn retry(
    connection: &mut Connection,
    id: i64,
    word: &RetryWord,
    now_ms: i64,
) -> Result<Retried, StoreError> {
    if !waits(connection, id).await? {
        return Ok(Retried::NotWaiting);
    }
    let dead: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT d.address, d.at_ms, d.status FROM dead_address d JOIN outbox_recipient r ON lower(r.address) = d.address \
         WHERE r.outbox_id = $1 AND r.state <> 'accepted' ORDER BY d.at_ms DESC",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await?;
    if let Some((_, since_ms, status)) = dead.first().filter(|_| !word.address_works) {
        return Ok(Retried::DeadAddress {
            since_ms: *since_ms,
            status: status.clone(),
        });
    }
    queue_again(connection, id, word, now_ms).await?;
    let mut others = 0_u64;
    for (address, ..) in &dead {
        sqlx::query("DELETE FROM dead_address WHERE address = $1")
            .bind(address)
            .execute(&mut *connection)
            .await?;
        let held: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT o.id FROM outbox o JOIN outbox_recipient r ON r.outbox_id = o.id WHERE lower(r.address) = $1 \
             AND r.state = 'bounced' AND o.state = 'held' AND o.hold_reason = $2 ORDER BY o.id",
        )
        .bind(address)
        .bind(DEAD_ADDRESS)
        .fetch_all(&mut *connection)
        .await?;
        for id in held {
            if waits(connection, id).await? {
                queue_again(connection, id, word, now_ms).await?;
                others = others.saturating_add(1);
            }
        }
    }
    Ok(Retried::Queued { others })
}

/// Whether the mail is in a state in which it can be sent, and there is something to send.
async fn waits(connection: &mut Connection, id: i64) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT id FROM outbox WHERE id = $1 AND state IN ('queued', 'held', 'failed', 'bounced') \
         AND EXISTS (SELECT 1 FROM outbox_chunk k WHERE k.outbox_id = outbox.id)",
        for_update!()
    ))
    .bind(id)
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

async fn queue_again(
    connection: &mut Connection,
    id: i64,
    word: &RetryWord,
    now_ms: i64,
) -> Result<(), StoreError> {
    let (case_id, kind, party): (i64, String, String) = sqlx::query_as(
        "UPDATE outbox SET state = 'queued', hold_reason = '', next_attempt_at_ms = $1, unknown_outcomes = 0 WHERE id = $2 \
         RETURNING case_id, kind, party",
    )
    .bind(now_ms)
    .bind(id)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE outbox_recipient SET state = 'waiting' WHERE outbox_id = $1 AND state IN ('refused', 'bounced')",
    )
    .bind(id)
    .execute(&mut *connection)
    .await?;
    if case_id == 0 {
        return Ok(());
    }
    let kind = rows::mail_kind(&kind)?;
    cases::amend(connection, case_id, |change| {
        undeliverable::retried(change, kind, &party, word, now_ms);
    })
    .await
}
