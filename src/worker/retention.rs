//! Keeps what it must and no more: deletes the content of mail that was left alone, and of cases that are done, when their time
//! is over. Each step is a short transaction, so that nobody waits for it.

use super::{Engine, WorkError};
use crate::store::{RetentionCounts, StoreError};
use tracing::info;

const DAY_MS: i64 = 86_400_000;

/// How long content is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Mail that was left alone: days after that was decided.
    pub left_alone_keep_days: u32,
    /// Cases that are done: days after the last thing that happened in them. `None`: until somebody decides how long.
    pub closed_cases_keep_days: Option<u32>,
}

impl Retention {
    /// What was left alone before this moment goes.
    pub fn left_alone_before_ms(&self, now_ms: i64) -> i64 {
        before(now_ms, self.left_alone_keep_days)
    }

    /// Cases in which nothing has happened since this moment go.
    pub fn ended_before_ms(&self, now_ms: i64) -> Option<i64> {
        self.closed_cases_keep_days.map(|days| before(now_ms, days))
    }
}

fn before(now_ms: i64, days: u32) -> i64 {
    now_ms.saturating_sub(i64::from(days).saturating_mul(DAY_MS))
}

/// What one run deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Messages that had been left alone.
    pub messages: u64,
    /// Cases.
    pub cases: u64,
}

impl Engine {
    /// Deletes all content whose time is over, until `stop` says so between two transactions.
    ///
    /// # Errors
    /// [`WorkError`] when the store fails; what was deleted stays deleted, the rest goes next time.
    pub async fn delete_expired(
        &self,
        retention: &Retention,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Deleted, WorkError> {
        let now_ms = self.clock.now_ms();
        let mut deleted = Deleted::default();
        let before_ms = retention.left_alone_before_ms(now_ms);
        while !stop() {
            let messages = self
                .store
                .delete_left_alone_content(before_ms, now_ms)
                .await?;
            if messages == 0 {
                break;
            }
            deleted.messages = deleted.messages.saturating_add(messages);
            tokio::task::yield_now().await;
        }
        if let Some(before_ms) = retention.ended_before_ms(now_ms) {
            let mut after = 0;
            while !stop() {
                match self
                    .store
                    .delete_case_content(after, before_ms, now_ms)
                    .await
                {
                    Ok(Some((id, number))) => {
                        info!(case.id = %number, "the content of a case was deleted; its time was over");
                        deleted.cases = deleted.cases.saturating_add(1);
                        after = id;
                    }
                    Ok(None) => break,
                    Err(error) => return Err(error.into()),
                }
                tokio::task::yield_now().await;
            }
        }
        if deleted != Deleted::default() {
            info!(
                messages = deleted.messages,
                cases = deleted.cases,
                "content was deleted; its time was over"
            );
        }
        Ok(deleted)
    }

    /// What has been deleted so far and what is due now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retention_counts(
        &self,
        retention: &Retention,
    ) -> Result<RetentionCounts, StoreError> {
        let now_ms = self.clock.now_ms();
        self.store
            .retention_counts(
                retention.left_alone_before_ms(now_ms),
                retention.ended_before_ms(now_ms),
            )
            .await
    }
}
