//! Several settlements in one transaction.

use super::super::bounded;
use super::later::Later;
use super::{Connection, Transaction, call, cases, commit, intake, likeness, outbox, returned};
use crate::case::likeness::{Earlier, Sketch};
use crate::case::surroundings::Thread;
use crate::case::undeliverable::{DeadAddresses, SentMail};
use crate::case::{Case, CaseNumber};
use crate::store::{Compose, Group, ReturnKeys, Settlement, StoreError, ThreadKeys};
use std::collections::BTreeMap;

/// A group under way; dropping it undoes all of it.
pub(super) struct OpenGroup {
    transaction: Transaction,
    /// The messages that it is about and that nobody has settled, each with its outcome so far.
    open: BTreeMap<i64, String>,
    later: Later,
    /// As they were when somebody asked first.
    dead_addresses: Option<DeadAddresses>,
    /// Sketches that are too old were forgotten.
    swept: bool,
}

impl OpenGroup {
    pub(super) async fn new(
        mut transaction: Transaction,
        messages: &[i64],
    ) -> Result<Self, StoreError> {
        let open = intake::hold(&mut transaction, messages).await?;
        Ok(Self {
            transaction,
            open,
            later: Later::default(),
            dead_addresses: None,
            swept: false,
        })
    }

    /// The connection, once what waits is written if it may be what is looked for.
    async fn seeing(
        &mut self,
        it: impl FnOnce(&Later) -> bool + Send,
    ) -> Result<&mut Connection, StoreError> {
        if it(&self.later) {
            self.later.write(&mut self.transaction).await?;
        }
        Ok(&mut self.transaction)
    }
}

#[async_trait::async_trait]
impl Group for OpenGroup {
    async fn find_thread(&mut self, keys: &ThreadKeys) -> Result<Option<Thread>, StoreError> {
        call()?;
        bounded(async {
            let connection = self.seeing(|later| later.has_thread(keys)).await?;
            cases::find_thread(connection, keys).await
        })
        .await
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
        bounded(async {
            let connection = self
                .seeing(|later| later.has_acknowledgement_to(address))
                .await?;
            outbox::acknowledgements_since(connection, address, since_ms).await
        })
        .await
    }

    async fn earlier(
        &mut self,
        sketch: &Sketch,
        received_at_ms: i64,
    ) -> Result<Vec<Earlier>, StoreError> {
        call()?;
        bounded(async {
            let connection = self.seeing(|later| later.has_alike(sketch)).await?;
            likeness::earlier(connection, sketch, received_at_ms).await
        })
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
        let expected = if settlement.adopted {
            "left-alone"
        } else {
            "pending"
        };
        let outcome = self.open.remove(&settlement.message_id);
        if outcome.as_deref() != Some(expected) {
            return Ok(None);
        }
        bounded(async {
            self.seeing(Later::is_much).await?;
            cases::settle(&mut self.transaction, &mut self.later, settlement, composer).await
        })
        .await
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        bounded(async {
            self.later.write(&mut self.transaction).await?;
            commit(self.transaction, "group").await
        })
        .await
    }
}
