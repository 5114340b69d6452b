//! All SQL, written once and compiled for each database: the module that mounts this one names its `Database`, its
//! `Connection` and its dialect. Statements keep to what `SQLite` and `PostgreSQL` both understand; where they differ, the
//! dialect has the word: the macros `for_update!` and `skip_locked!`, and the functions `bounded`, `take_turns` and
//! `alone_with_content` of the module that mounts this one.
//!
//! Text from outside is bound by [`text`], and by [`key`] or [`folded`] where it is looked for.
//!
//! A method of the port is one transaction: [`read!`] and [`write!`] open and end it.

mod ahead;
mod cases;
mod group;
mod intake;
mod kept;
mod later;
mod likeness;
mod nodes;
mod opened;
mod outbox;
mod reports;
mod returned;
mod statement;
mod trouble;
mod upkeep;

use super::{Connection, Database, Transaction, bounded};
use crate::case::likeness::{Earlier, Sketch};
use crate::case::undeliverable::{DeadAddresses, RetryWord};
use crate::case::{Case, CaseField, CaseNumber, Change, Event};
use crate::failpoint::{self, Moment};
use crate::intake::{Cursor, Position};
use crate::message::extract::Extracted;
use crate::outbox::Delivery;
use crate::outbox::retry::Next;
use crate::rules::RuleFiles;
use crate::store::{
    Attempt, CaseFilter, Claimed, Compose, Correction, Counts, Group, Incoming, LeftAlone,
    LooseEnd, Meeting, MessageRow, NotDelivered, OutboxRow, Pending, Rearrangement, Reconciled,
    ReportDay, ReportMail, RetentionCounts, Retried, SourceAccount, SourceEvent, Store, StoreError,
    Stored, Unreadable, Watch,
};
use jiff::civil::Date;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Raw bytes lie in chunks of this size.
const CHUNK_BYTES: usize = 1 << 20;

/// Reads in one go: nothing is written.
macro_rules! read {
    ($database:expr, |$connection:ident| $work:expr) => {
        bounded(async {
            call()?;
            let mut reader = $database.reader().await?;
            let $connection: &mut Connection = &mut reader;
            $work.await
        })
        .await
    };
}

/// Writes in one transaction; an error undoes all of it. The name is that of the use case.
macro_rules! write {
    ($database:expr, $name:literal, |$connection:ident| $work:expr) => {
        bounded(async {
            call()?;
            let mut transaction = $database.begin().await?;
            let $connection: &mut Connection = &mut transaction;
            let done = $work.await?;
            commit(transaction, $name).await?;
            Result::<_, StoreError>::Ok(done)
        })
        .await
    };
}

/// Ends a transaction; the name is that of the use case.
async fn commit(transaction: Transaction, name: &'static str) -> Result<(), StoreError> {
    failpoint::commit(name, Moment::Before);
    call()?;
    transaction.commit().await?;
    failpoint::commit(name, Moment::After);
    may_fail("store.answer")
}

/// Here a test may have a call of the store fail, as when the database cannot take it now.
fn call() -> Result<(), StoreError> {
    may_fail("store.call")
}

/// The same for any point; behind a commit it stands for a connection that is lost before the database has answered.
fn may_fail(point: &'static str) -> Result<(), StoreError> {
    if failpoint::fails(point) {
        Err(sqlx::Error::Io(std::io::Error::other(point)).into())
    } else {
        Ok(())
    }
}

/// Longest text that is looked for by an index: `PostgreSQL` refuses entries of more than 2 700 bytes.
const KEY_BYTES_MAX: usize = 1_200;

/// Text from outside: `PostgreSQL` takes no NUL, and no message may fail for that.
fn text(value: &str) -> Cow<'_, str> {
    if value.contains('\0') {
        Cow::Owned(value.replace('\0', ""))
    } else {
        Cow::Borrowed(value)
    }
}

/// Text by which something is found. What is too long for an index goes by its beginning and its hash.
fn key(value: &str) -> Cow<'_, str> {
    let value = text(value);
    if value.len() <= KEY_BYTES_MAX {
        return value;
    }
    let beginning: String = value.chars().take(KEY_BYTES_MAX / 8).collect();
    let mut short = format!("{beginning}…sha256:");
    for byte in Sha256::digest(value.as_bytes()) {
        // Writing to a String cannot fail.
        std::write!(short, "{byte:02x}").ok();
    }
    Cow::Owned(short)
}

/// Text by which something is found whatever the case of its ASCII letters. Columns that keep the case are compared by
/// `lower()`, which folds the same letters in both databases.
fn folded(value: &str) -> String {
    key(&value.to_ascii_lowercase()).into_owned()
}

#[async_trait::async_trait]
impl Store for Database {
    fn node(&self) -> Option<&str> {
        self.shared_as()
    }

    async fn watch_source(&self, source: &str, lease_ms: i64) -> Result<Watch, StoreError> {
        let Some(node) = self.shared_as() else {
            return Ok(Watch::Granted);
        };
        write!(self, "watch-source", |connection| nodes::watch(
            connection, node, source, lease_ms
        ))
    }

    async fn leave_source(&self, source: &str) -> Result<(), StoreError> {
        let Some(node) = self.shared_as() else {
            return Ok(());
        };
        write!(self, "leave-source", |connection| nodes::leave(
            connection, node, source
        ))
    }

    async fn watchers(&self) -> Result<Vec<(String, String)>, StoreError> {
        read!(self, |connection| nodes::watchers(connection))
    }

    async fn meet(&self, ruleset: &str, since_ms: i64) -> Result<Option<Meeting>, StoreError> {
        let Some(node) = self.shared_as() else {
            return Ok(None);
        };
        let meeting = write!(self, "meet", |connection| nodes::meet(
            connection, node, ruleset, since_ms
        ))?;
        Ok(Some(meeting))
    }

    async fn part(&self) -> Result<(), StoreError> {
        let Some(node) = self.shared_as() else {
            return Ok(());
        };
        write!(self, "part", |connection| nodes::part(connection, node))
    }

    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        read!(self, |connection| upkeep::integrity(connection))
    }

    async fn nodes(&self) -> Result<Meeting, StoreError> {
        read!(self, |connection| nodes::living(connection))
    }

    async fn cursor(&self, source: &str) -> Result<Cursor, StoreError> {
        read!(self, |connection| intake::cursor(connection, source))
    }

    async fn unknown(&self, source: &str, positions: &[Position]) -> Result<Vec<bool>, StoreError> {
        read!(self, |connection| intake::unknown(
            connection, source, positions
        ))
    }

    async fn store_raw(
        &self,
        source: &str,
        batch: &[Incoming],
        now_ms: i64,
    ) -> Result<Vec<Stored>, StoreError> {
        write!(self, "store-raw", |connection| intake::store_raw(
            connection, source, batch, now_ms
        ))
    }

    async fn source_checked(
        &self,
        source: &str,
        cursor: &Cursor,
        gone: u32,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        write!(self, "source-checked", |connection| intake::source_checked(
            connection, source, cursor, gone, now_ms
        ))
    }

    async fn note_unreadable(
        &self,
        source: &str,
        found: &[(Position, String)],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        write!(self, "note-unreadable", |connection| trouble::note(
            connection, source, found, now_ms
        ))
    }

    async fn forget_unreadable(
        &self,
        source: &str,
        not_met_since_ms: i64,
    ) -> Result<(), StoreError> {
        if read!(self, |connection| trouble::has_older(
            connection,
            source,
            not_met_since_ms
        ))? {
            write!(self, "forget-unreadable", |connection| trouble::forget(
                connection,
                source,
                not_met_since_ms
            ))?;
        }
        Ok(())
    }

    async fn unreadable(&self) -> Result<Vec<Unreadable>, StoreError> {
        read!(self, |connection| trouble::all(connection))
    }

    async fn message_at(
        &self,
        source: &str,
        position: &Position,
    ) -> Result<Option<MessageRow>, StoreError> {
        read!(self, |connection| intake::message_at(
            connection, source, position
        ))
    }

    async fn mailbox(&self, message_id: i64) -> Result<String, StoreError> {
        read!(self, |connection| intake::mailbox(connection, message_id))
    }

    async fn keep_source_event(&self, event: &SourceEvent) -> Result<(), StoreError> {
        write!(self, "keep-source-event", |connection| trouble::keep_event(
            connection, event
        ))
    }

    async fn claim_undecided(
        &self,
        limit: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<Pending>, StoreError> {
        if read!(self, |connection| intake::has_undecided(connection, now_ms))? {
            return write!(self, "claim-undecided", |connection| {
                intake::claim_undecided(
                    connection,
                    self.shared_as().unwrap_or_default(),
                    limit,
                    lease_ms,
                    now_ms,
                )
            });
        }
        Ok(Vec::new())
    }

    async fn claimed(&self, now_ms: i64) -> Result<i64, StoreError> {
        read!(self, |connection| intake::claimed(connection, now_ms))
    }

    async fn release_claims(&self) -> Result<(), StoreError> {
        if self.shared_as().is_some() {
            return Ok(());
        }
        write!(self, "release-claims", |connection| intake::release_claims(
            connection
        ))
    }

    async fn group(&self, messages: &[i64]) -> Result<Box<dyn Group>, StoreError> {
        call()?;
        bounded(async {
            let group = group::OpenGroup::new(self.begin().await?, messages).await?;
            Ok(Box::new(group) as Box<dyn Group>)
        })
        .await
    }

    async fn taken_in(&self, message_id: i64) -> Result<Option<Pending>, StoreError> {
        read!(self, |connection| intake::taken_in(connection, message_id))
    }

    async fn give_back(&self, message_ids: &[i64], attempt: Attempt) -> Result<(), StoreError> {
        write!(self, "give-back", |connection| intake::give_back(
            connection,
            self.shared_as().unwrap_or_default(),
            message_ids,
            attempt
        ))
    }

    async fn raw(&self, message_id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        read!(self, |connection| intake::raw(connection, message_id))
    }

    async fn attachment_texts(
        &self,
        message_id: i64,
    ) -> Result<Vec<(usize, Extracted)>, StoreError> {
        read!(self, |connection| intake::texts(connection, message_id))
    }

    async fn acknowledgements_since(
        &self,
        address: &str,
        since_ms: i64,
    ) -> Result<u32, StoreError> {
        read!(self, |connection| outbox::acknowledgements_since(
            connection, address, since_ms
        ))
    }

    async fn untreated(&self, source: &str, limit: u32) -> Result<Vec<Position>, StoreError> {
        read!(self, |connection| intake::untreated(
            connection, source, limit
        ))
    }

    async fn mark_treated(&self, source: &str, positions: &[Position]) -> Result<(), StoreError> {
        write!(self, "mark-treated", |connection| intake::mark_treated(
            connection, source, positions
        ))
    }

    async fn messages(&self, left_alone: bool, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        read!(self, |connection| intake::messages(
            connection, left_alone, limit
        ))
    }

    async fn message(&self, id: i64) -> Result<Option<MessageRow>, StoreError> {
        read!(self, |connection| intake::message(connection, id))
    }

    async fn verdict(&self, message_id: i64) -> Result<Option<String>, StoreError> {
        read!(self, |connection| intake::verdict(connection, message_id))
    }

    async fn keep_ruleset(
        &self,
        hash: &str,
        engine_version: &str,
        files: &RuleFiles,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        write!(self, "keep-ruleset", |connection| kept::ruleset(
            connection,
            hash,
            engine_version,
            files,
            now_ms
        ))
    }

    async fn ruleset_files(&self, hash: &str) -> Result<Option<RuleFiles>, StoreError> {
        read!(self, |connection| kept::ruleset_files(connection, hash))
    }

    async fn case(&self, number: CaseNumber) -> Result<Option<Case>, StoreError> {
        read!(self, |connection| cases::by_number(connection, number))
    }

    async fn cases(&self, filter: &CaseFilter) -> Result<Vec<Case>, StoreError> {
        read!(self, |connection| cases::list(connection, filter))
    }

    async fn history(&self, case_id: i64) -> Result<Vec<Event>, StoreError> {
        read!(self, |connection| cases::history(connection, case_id))
    }

    async fn case_fields(&self, case_id: i64) -> Result<Vec<CaseField>, StoreError> {
        read!(self, |connection| cases::fields(connection, case_id))
    }

    async fn corrections(&self) -> Result<Vec<Correction>, StoreError> {
        read!(self, |connection| cases::corrections(connection))
    }

    async fn case_messages(&self, case_id: i64) -> Result<Vec<i64>, StoreError> {
        read!(self, |connection| cases::messages(connection, case_id))
    }

    async fn apply(&self, change: Change, composer: &dyn Compose) -> Result<Case, StoreError> {
        write!(self, "apply", |connection| cases::apply(
            connection, change, composer
        ))
    }

    async fn rearrange(
        &self,
        rearrangement: Rearrangement,
        composer: &dyn Compose,
        now_ms: i64,
    ) -> Result<(Case, Case), StoreError> {
        write!(self, "rearrange", |connection| cases::rearrange(
            connection,
            rearrangement,
            composer,
            now_ms
        ))
    }

    async fn earlier(
        &self,
        sketch: &Sketch,
        received_at_ms: i64,
    ) -> Result<Vec<Earlier>, StoreError> {
        read!(self, |connection| likeness::earlier(
            connection,
            sketch,
            received_at_ms
        ))
    }

    async fn report_done(&self, day: &ReportDay) -> Result<bool, StoreError> {
        read!(self, |connection| reports::is_done(connection, day))
    }

    async fn report_done_before(&self, day: &ReportDay) -> Result<Option<i64>, StoreError> {
        read!(self, |connection| reports::done_before(
            connection, day.kind, &day.party, day.day
        ))
    }

    async fn queue_report(
        &self,
        days: &[ReportDay],
        mail: Option<&ReportMail>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        write!(self, "queue-report", |connection| reports::queue(
            connection, days, mail, now_ms
        ))
    }

    async fn unacknowledged(&self, since_ms: i64) -> Result<Vec<Case>, StoreError> {
        read!(self, |connection| reports::unacknowledged(
            connection, since_ms
        ))
    }

    async fn not_delivered(&self, since_ms: i64) -> Result<Vec<NotDelivered>, StoreError> {
        read!(self, |connection| reports::not_delivered(
            connection, since_ms
        ))
    }

    async fn left_alone(
        &self,
        since_ms: i64,
        limit: u32,
    ) -> Result<(u64, Vec<LeftAlone>), StoreError> {
        read!(self, |connection| reports::left_alone(
            connection, since_ms, limit
        ))
    }

    async fn chaseable(
        &self,
        today: Date,
        answered_before_ms: i64,
    ) -> Result<Vec<Case>, StoreError> {
        read!(self, |connection| cases::chaseable(
            connection,
            today,
            answered_before_ms
        ))
    }

    async fn claim(
        &self,
        limit: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<Claimed>, StoreError> {
        write!(self, "claim", |connection| outbox::claim(
            connection, limit, lease_ms, now_ms
        ))
    }

    async fn recover_sending(&self, all: bool, now_ms: i64) -> Result<u64, StoreError> {
        let all = all && self.shared_as().is_none();
        write!(self, "recover-sending", |connection| {
            outbox::recover_sending(connection, all, now_ms)
        })
    }

    async fn record_delivery(
        &self,
        claimed: &Claimed,
        delivery: &Delivery,
        next: Next,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        write!(self, "record-delivery", |connection| {
            outbox::record_delivery(connection, claimed, delivery, next, now_ms)
        })
    }

    async fn outbox(&self, all: bool, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        read!(self, |connection| outbox::list(connection, all, limit))
    }

    async fn hold_mail(&self, id: i64) -> Result<bool, StoreError> {
        write!(self, "hold-mail", |connection| outbox::hold(connection, id))
    }

    async fn retry_mail(
        &self,
        id: i64,
        word: &RetryWord,
        now_ms: i64,
    ) -> Result<Retried, StoreError> {
        write!(self, "retry-mail", |connection| returned::retry(
            connection, id, word, now_ms
        ))
    }

    async fn dead_addresses(&self) -> Result<DeadAddresses, StoreError> {
        read!(self, |connection| returned::dead_addresses(connection))
    }

    async fn content_deleted_ms(&self, message_id: i64) -> Result<Option<i64>, StoreError> {
        read!(self, |connection| intake::content_deleted_ms(
            connection, message_id
        ))
    }

    async fn next_due_ms(&self) -> Result<Option<i64>, StoreError> {
        read!(self, |connection| outbox::next_due_ms(connection))
    }

    async fn oldest_unsent_ms(&self) -> Result<Option<i64>, StoreError> {
        read!(self, |connection| outbox::oldest_unsent_ms(connection))
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        read!(self, |connection| kept::setting(connection, name))
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        write!(self, "set-setting", |connection| kept::set_setting(
            connection, name, value
        ))
    }

    async fn setting_once(&self, name: &str, value: &str) -> Result<String, StoreError> {
        write!(self, "setting-once", |connection| kept::setting_once(
            connection, name, value
        ))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        read!(self, |connection| kept::counts(connection))
    }

    async fn checked_at_ms(&self, source: &str) -> Result<Option<i64>, StoreError> {
        read!(self, |connection| intake::checked_at_ms(connection, source))
    }

    async fn accounts(&self) -> Result<Vec<SourceAccount>, StoreError> {
        read!(self, |connection| upkeep::accounts(connection))
    }

    async fn loose_ends(&self, undecided_before_ms: i64) -> Result<Vec<LooseEnd>, StoreError> {
        read!(self, |connection| upkeep::loose_ends(
            connection,
            undecided_before_ms
        ))
    }

    async fn reconciliations(&self) -> Result<Vec<Reconciled>, StoreError> {
        read!(self, |connection| upkeep::reconciliations(connection))
    }

    async fn keep_reconciliation(&self, reconciled: &Reconciled) -> Result<(), StoreError> {
        write!(self, "keep-reconciliation", |connection| {
            upkeep::keep_reconciliation(connection, reconciled)
        })
    }

    async fn delete_left_alone_content(
        &self,
        settled_before_ms: i64,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        write!(self, "delete-left-alone-content", |connection| {
            upkeep::delete_left_alone(connection, settled_before_ms, now_ms)
        })
    }

    async fn delete_case_content(
        &self,
        after_case_id: i64,
        ended_before_ms: i64,
        now_ms: i64,
    ) -> Result<Option<(i64, CaseNumber)>, StoreError> {
        // Going through all cases takes its time, during which others may write.
        let due = read!(self, |connection| upkeep::next_case(
            connection,
            after_case_id,
            ended_before_ms
        ))?;
        let Some(id) = due else {
            return Ok(None);
        };
        write!(self, "delete-case-content", |connection| {
            upkeep::delete_case(connection, id.saturating_sub(1), ended_before_ms, now_ms)
        })
    }

    async fn retention_counts(
        &self,
        settled_before_ms: i64,
        ended_before_ms: Option<i64>,
    ) -> Result<RetentionCounts, StoreError> {
        read!(self, |connection| upkeep::retention_counts(
            connection,
            settled_before_ms,
            ended_before_ms
        ))
    }
}
