//! Several settlements in one transaction.

use super::super::bounded;
use super::ahead::Known;
use super::later::Later;
use super::{Connection, Transaction, call, cases, commit, intake, likeness, outbox, returned};
use crate::case::likeness::{Earlier, Sketch};
use crate::case::surroundings::Thread;
use crate::case::undeliverable::{DeadAddresses, SentMail};
use crate::case::{Case, CaseNumber};
use crate::store::turns::Turn;
use crate::store::{Ahead, Compose, Group, ReturnKeys, Settlement, StoreError, ThreadKeys};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A group under way; dropping it undoes all of it.
pub(super) struct OpenGroup {
    transaction: Transaction,
    /// The messages that it is about and that nobody has settled, each with its outcome so far.
    open: BTreeMap<i64, String>,
    /// What was looked up for all of them.
    known: Option<Known>,
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
        super::super::take_turns(&mut transaction, Turn::Group).await?;
        let open = intake::hold(&mut transaction, messages).await?;
        Ok(Self {
            transaction,
            later: Later::of_cases(open.len()),
            open,
            known: None,
            dead_addresses: None,
            swept: false,
        })
    }

    /// What was looked up, as long as the database holds no more than then.
    fn known(&self) -> Option<&Known> {
        self.known.as_ref().filter(|_| !self.later.is_written())
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
    async fn look_ahead(&mut self, ahead: &Ahead<'_>) -> Result<(), StoreError> {
        call()?;
        self.known = Some(bounded(Known::new(&mut self.transaction, ahead)).await?);
        Ok(())
    }

    async fn find_thread(&mut self, keys: &ThreadKeys) -> Result<Option<Thread>, StoreError> {
        call()?;
        let lacks = |known: &Known| known.lacks_thread(keys) && !self.later.has_thread(keys);
        if self.known().is_some_and(lacks) {
            return Ok(None);
        }
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
        if let Some(known) = self.known()
            && let Some(count) = known.acknowledgements_to(address)
            && !self.later.has_acknowledgement_to(address)
        {
            return Ok(count);
        }
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
        let lacks = |known: &Known| known.lacks_alike(sketch) && !self.later.has_alike(sketch);
        if self.known().is_some_and(lacks) {
            return Ok(Vec::new());
        }
        bounded(async {
            let connection = self.seeing(|later| later.has_alike(sketch)).await?;
            likeness::earlier(connection, sketch, received_at_ms).await
        })
        .await
    }

    async fn settle(
        &mut self,
        settlement: Settlement,
        composer: Arc<dyn Compose>,
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
