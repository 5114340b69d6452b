//! Several settlements in one transaction.

use super::super::bounded;
use super::{Transaction, call, cases, commit, likeness, outbox, returned};
use crate::case::likeness::{Earlier, Sketch};
use crate::case::surroundings::Thread;
use crate::case::undeliverable::{DeadAddresses, SentMail};
use crate::case::{Case, CaseNumber};
use crate::store::{Compose, Group, ReturnKeys, Settlement, StoreError, ThreadKeys};
use sqlx::Acquire;

/// A group under way; dropping it undoes all of it.
pub(super) struct OpenGroup {
    transaction: Transaction,
    /// As they were when somebody asked first.
    dead_addresses: Option<DeadAddresses>,
    /// Sketches that are too old were forgotten.
    swept: bool,
}

impl OpenGroup {
    pub(super) const fn new(transaction: Transaction) -> Self {
        Self {
            transaction,
            dead_addresses: None,
            swept: false,
        }
    }
}

#[async_trait::async_trait]
impl Group for OpenGroup {
    async fn find_thread(&mut self, keys: &ThreadKeys) -> Result<Option<Thread>, StoreError> {
        call()?;
        bounded(cases::find_thread(&mut self.transaction, keys)).await
    }

    async fn sent_mail(
        &mut self,
        keys: &ReturnKeys,
    ) -> Result<Option<(SentMail, Option<CaseNumber>)>, StoreError> {
        call()?;
        bounded(returned::sent_mail(&mut self.transaction, keys)).await
    }

    async fn dead_addresses(&mut self) -> Result<DeadAddresses, StoreError> {
        call()?;
        if let Some(known) = &self.dead_addresses {
            return Ok(known.clone());
        }
        let found = bounded(returned::dead_addresses(&mut self.transaction)).await?;
        self.dead_addresses = Some(found.clone());
        Ok(found)
    }

    async fn acknowledgements_since(
        &mut self,
        address: &str,
        since_ms: i64,
    ) -> Result<u32, StoreError> {
        call()?;
        bounded(outbox::acknowledgements_since(
            &mut self.transaction,
            address,
            since_ms,
        ))
        .await
    }

    async fn earlier(
        &mut self,
        sketch: &Sketch,
        received_at_ms: i64,
    ) -> Result<Vec<Earlier>, StoreError> {
        call()?;
        bounded(likeness::earlier(
            &mut self.transaction,
            sketch,
            received_at_ms,
        ))
        .await
    }

    async fn settle(
        &mut self,
        settlement: Settlement,
        composer: &dyn Compose,
    ) -> Result<Option<Case>, StoreError> {
        call()?;
        if settlement.sketch.is_some() && !self.swept {
            bounded(likeness::sweep(&mut self.transaction, settlement.at_ms)).await?;
            self.swept = true;
        }
        if settlement.returned.is_some() {
            self.dead_addresses = None;
        }
        // Where it fails, dropping the savepoint undoes this message alone.
        bounded(async {
            let mut savepoint = self.transaction.begin().await?;
            let case = cases::settle(&mut savepoint, settlement, composer).await?;
            savepoint.commit().await?;
            Ok(case)
        })
        .await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        bounded(commit(self.transaction, "group")).await
    }
}
