//! From a source into the store: list, fetch what is unknown, store raw bytes and positions, remember the cursor.

use super::{Engine, WorkError};
use crate::failpoint;
use crate::intake::{Candidate, Fetched, MailSource, Position};
use crate::message;
use crate::store::{Incoming, Stored};

/// Messages listed at a time.
const LIST_LIMIT: usize = 1000;
/// Messages fetched and committed at a time; bounds what a crash makes us fetch again.
const BATCH_MESSAGES: usize = 100;
/// Bytes fetched and committed at a time, unless one message alone is larger; bounds memory.
const BATCH_BYTES: u64 = 8 << 20;
/// Positions treated at a time.
const TREAT_LIMIT: u32 = 200;

/// What one check of a source came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Rows of the messages that are new and to be decided.
    pub new: Vec<i64>,
    /// Copies of stored messages.
    pub duplicates: usize,
    /// Listed and gone before they could be fetched.
    pub gone: usize,
    /// Could not be read at the source, or not be stored; tried again at the next check.
    pub unreadable: Vec<String>,
}

impl Engine {
    /// One check of a source: everything that is there and not stored yet is stored. Calls `progress` with the number of
    /// messages taken in after each commit.
    ///
    /// # Errors
    /// [`WorkError`]; what was committed before stays, the rest is taken in at the next check.
    pub async fn take_in(
        &self,
        source: &mut dyn MailSource,
        progress: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<TakenIn, WorkError> {
        let mut taken = TakenIn::default();
        let name = source.name().to_owned();
        let begun_ms = self.clock.now_ms();
        let mut cursor = self.store.cursor(&name).await?;
        // The stored cursor never passes a message that could not be read; the listing goes on behind it all the same.
        let mut safe_cursor = None;
        loop {
            failpoint::pass("source.list.before");
            let listing = source.list(&cursor, LIST_LIMIT).await?;
            failpoint::pass("source.list.after");
            let positions: Vec<Position> = listing
                .candidates
                .iter()
                .map(|candidate| candidate.position.clone())
                .collect();
            let unknown = self.store.unknown(&name, &positions).await?;
            let wanted: Vec<Candidate> = listing
                .candidates
                .into_iter()
                .zip(unknown)
                .filter_map(|(candidate, unknown)| unknown.then_some(candidate))
                .collect();
            let (gone_before, unreadable_before) = (taken.gone, taken.unreadable.len());
            for batch in batches(&wanted) {
                self.take_in_batch(source, &name, batch, &mut taken).await?;
                progress(batch.len());
            }
            let gone = u32::try_from(taken.gone.saturating_sub(gone_before)).unwrap_or(u32::MAX);
            if taken.unreadable.len() > unreadable_before && safe_cursor.is_none() {
                safe_cursor = Some(cursor);
            }
            let stored = safe_cursor.as_ref().unwrap_or(&listing.cursor);
            self.store
                .source_checked(&name, stored, gone, self.clock.now_ms())
                .await?;
            if !listing.more {
                self.store.forget_unreadable(&name, begun_ms).await?;
                return Ok(taken);
            }
            cursor = listing.cursor;
        }
    }

    async fn take_in_batch(
        &self,
        source: &mut dyn MailSource,
        name: &str,
        batch: &[Candidate],
        taken: &mut TakenIn,
    ) -> Result<(), WorkError> {
        let mut raw = Vec::with_capacity(batch.len());
        let mut unreadable = Vec::new();
        failpoint::pass("source.fetch.before");
        let fetched = source.fetch(batch).await?;
        failpoint::pass("source.fetch.after");
        for fetched in fetched {
            match fetched {
                Fetched::Message(message) => raw.push(message),
                Fetched::Gone(_) => taken.gone = taken.gone.saturating_add(1),
                Fetched::Unreadable(position, why) => {
                    taken.unreadable.push(why.clone());
                    unreadable.push((position, why));
                }
            }
        }
        if !unreadable.is_empty() {
            self.store
                .note_unreadable(name, &unreadable, self.clock.now_ms())
                .await?;
        }
        let incoming = tokio::task::spawn_blocking(move || {
            raw.into_iter()
                .map(|raw| {
                    let hash = message::content_hash(&raw.bytes);
                    Incoming { raw, hash }
                })
                .collect::<Vec<_>>()
        })
        .await
        .map_err(|_| WorkError::TaskLost)?;
        if incoming.is_empty() {
            return Ok(());
        }
        for stored in self
            .store
            .store_raw(name, &incoming, self.clock.now_ms())
            .await?
        {
            match stored {
                Stored::New(id) => taken.new.push(id),
                Stored::Duplicate(_) => taken.duplicates = taken.duplicates.saturating_add(1),
                Stored::Known => {}
                Stored::Refused(why) => taken.unreadable.push(why),
            }
        }
        Ok(())
    }

    /// Treats at the source what is ours, as the source is configured; only what has been committed. Nothing in observe mode.
    ///
    /// # Errors
    /// [`WorkError`]; it is tried again at the next check.
    pub async fn treat(&self, source: &mut dyn MailSource) -> Result<usize, WorkError> {
        if self.mode == crate::config::Mode::Observe {
            return Ok(0);
        }
        let name = source.name().to_owned();
        let mut treated = 0_usize;
        loop {
            let positions = self.store.untreated(&name, TREAT_LIMIT).await?;
            if positions.is_empty() {
                return Ok(treated);
            }
            failpoint::pass("source.treat.before");
            let done = source.treat(&positions).await?;
            failpoint::pass("source.treat.after");
            self.store.mark_treated(&name, &done).await?;
            treated = treated.saturating_add(done.len());
            if done.is_empty() {
                return Ok(treated);
            }
        }
    }
}

/// Splits what is to be fetched so that each piece is bounded in number and bytes.
fn batches(candidates: &[Candidate]) -> Vec<&[Candidate]> {
    let mut pieces = Vec::new();
    let mut rest = candidates;
    while !rest.is_empty() {
        let mut bytes = 0_u64;
        let fitting = rest
            .iter()
            .take(BATCH_MESSAGES)
            .take_while(|candidate| {
                bytes = bytes.saturating_add(candidate.size);
                bytes <= BATCH_BYTES
            })
            .count();
        let (piece, tail) = rest.split_at(fitting.clamp(1, rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_and_complete() {
        let candidate = |size| Candidate {
            position: Position {
                mailbox: String::new(),
                uid_validity: 0,
                key: String::new(),
            },
            size,
            internal_date_ms: None,
        };
        let mut candidates: Vec<Candidate> = vec![candidate(1); 250];
        candidates.push(candidate(60 << 20));
        candidates.push(candidate(1));
        let sizes: Vec<usize> = batches(&candidates)
            .iter()
            .map(|piece| piece.len())
            .collect();
        assert_eq!(sizes, [100, 100, 50, 1, 1]);
    }
}
