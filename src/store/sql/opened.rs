//! New cases that wait to be written. A case's mail carries its number, so it is composed when the case has one: that of many
//! cases at the same time, on all cores.

use crate::case::{Change, MailOrder, undeliverable};
use crate::outbox::compose::Composed;
use crate::store::{Compose, StoreError};
use std::iter::repeat;
use std::sync::Arc;

/// Cases whose mail is composed in one go.
const SHARE: usize = 8;

/// A new case with its numbers; its mail is ordered.
pub(super) struct Opened {
    pub change: Change,
    pub composer: Arc<dyn Compose>,
    pub now_ms: i64,
}

/// The same with its mail. What could not be written stands in the history.
pub(super) struct Written {
    pub change: Change,
    pub mails: Vec<(MailOrder, Composed)>,
    pub now_ms: i64,
}

impl Opened {
    /// Bytes that its mail will take, about.
    pub(super) fn mail_bytes(&self) -> usize {
        let carriers = self
            .change
            .mails
            .iter()
            .filter(|order| order.kind.carries_content());
        self.composer
            .content_bytes()
            .saturating_mul(carriers.count())
    }

    fn compose(self) -> Written {
        let Self {
            mut change,
            composer,
            now_ms,
        } = self;
        let mails = compose(&mut change, &*composer, &[], now_ms);
        Written {
            change,
            mails,
            now_ms,
        }
    }
}

/// Composes the mail that a change orders; `previous` is the last Message-ID to the party of each, where there was any mail.
/// What could not be written is noted in the history.
pub(super) fn compose(
    change: &mut Change,
    composer: &dyn Compose,
    previous: &[Option<String>],
    now_ms: i64,
) -> Vec<(MailOrder, Composed)> {
    let orders = std::mem::take(&mut change.mails);
    let previous = previous.iter().map(Option::as_deref);
    let mut mails = Vec::with_capacity(orders.len());
    for (order, previous) in orders.into_iter().zip(previous.chain(repeat(None))) {
        match composer.compose(&change.case, &order, previous) {
            Ok(mail) => mails.push((order, mail)),
            Err(why) => {
                undeliverable::note_unwritten(change, order.kind, &order.party, &why, now_ms);
            }
        }
    }
    mails
}

pub(super) async fn compose_all(opened: Vec<Opened>) -> Result<Vec<Written>, StoreError> {
    if opened.len() <= SHARE {
        return Ok(opened.into_iter().map(Opened::compose).collect());
    }
    let mut all = Vec::with_capacity(opened.len());
    let mut shares = Vec::with_capacity(opened.len().div_ceil(SHARE));
    let mut opened = opened.into_iter();
    while opened.len() > 0 {
        let share: Vec<Opened> = opened.by_ref().take(SHARE).collect();
        shares.push(tokio::task::spawn_blocking(move || {
            share
                .into_iter()
                .map(Opened::compose)
                .collect::<Vec<Written>>()
        }));
    }
    for share in shares {
        let written = share
            .await
            .map_err(|_| StoreError::Broken("the mail of a new case".to_owned()))?;
        all.extend(written);
    }
    Ok(all)
}
