//! Several settlements in one transaction.

use super::super::bounded;
use super::{Transaction, cases, commit, likeness, outbox, returned};
use crate::case::likeness::{Earlier, Sketch};
use crate::case::surroundings::Thread;
use crate::case::undeliverable::{DeadAddresses, SentMail};
use crate::case::{Case, CaseNumber};
use crate::store::{Compose, Group, ReturnKeys, Settlement, StoreError, ThreadKeys};
use sqlx::Acquire;

/// A group under way; dropping it undoes all of it.
pub(super) struct OpenGroup {
    transaction: Transaction,
}

impl OpenGroup {
    pub(super) const fn new(transaction: Transaction) -> Self {
        Self { transaction }
    }
}

#[async_trait::async_trait]
impl Group for OpenGroup {
    async fn find_thread(&mut self, keys: &ThreadKeys) -> Result<Option<Thread>, StoreError> {
        bounded(cases::find_thread(&mut self.transaction, keys)).await
    }

    async fn sent_mail(
        &mut self,
        keys: &ReturnKeys,
    ) -> Result<Option<(SentMail, Option<CaseNumber>)>, StoreError> {
        bounded(returned::sent_mail(&mut self.transaction, keys)).await
    }

    async fn dead_addresses(&mut self) -> Result<DeadAddresses, StoreError> {
        bounded(returned::dead_addresses(&mut self.transaction)).await
    }

    async fn acknowledgements_since(
        &mut self,
        address: &str,
        since_ms: i64,
    ) -> Result<u32, StoreError> {
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
