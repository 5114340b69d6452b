//! From the outbox to the transport.

use super::{Engine, WorkError};
use crate::failpoint;
use crate::outbox::retry::{self, Next};
use crate::outbox::{Delivery, RecipientOutcome};
use crate::store::{Claimed, StoreError};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

/// Mail claimed at a time: one, so that a lease only has to cover one attempt and a stop loses nothing.
const CLAIM: u32 = 1;
/// Longer than the longest attempt: every SMTP step has its own time limit, the final reply 10 minutes.
pub(super) const LEASE_MS: i64 = 25 * 60_000;
/// A result that cannot be stored is kept and tried to be stored for so long after the claim: shorter than the lease.
const RECORD_WITHIN: Duration = Duration::from_mins(24);
/// First pause between two such tries; doubles up to [`RECORD_PAUSE_MAX`].
const RECORD_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two such tries.
const RECORD_PAUSE_MAX: Duration = Duration::from_secs(15);

/// What a round of sending came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Mail accepted for all recipients.
    pub sent: usize,
    /// Mail that is tried again, or given to a person.
    pub not_sent: usize,
}

impl Engine {
    /// Sends everything that is due, until nothing is or `stop` says so between two mails.
    ///
    /// # Errors
    /// [`WorkError`] when the store fails.
    pub async fn send_due(
        &self,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<SendReport, WorkError> {
        let mut report = SendReport::default();
        self.store
            .recover_sending(false, self.clock.now_ms())
            .await?;
        let mut unreachable = false;
        // A server that cannot be reached for one mail is not asked for the others in the same round.
        while !stop() && !unreachable {
            let claimed = self
                .store
                .claim(CLAIM, LEASE_MS, self.clock.now_ms())
                .await?;
            if claimed.is_empty() {
                break;
            }
            for mail in claimed {
                let begun = Instant::now();
                failpoint::pass("send.claimed");
                let delivery = self.transport.send(&mail.envelope, &mail.bytes).await;
                failpoint::pass("send.delivered");
                let now_ms = self.clock.now_ms();
                let next =
                    retry::after_temporary(mail.attempts, mail.created_at_ms, now_ms, random());
                self.record(&mail, &delivery, next, begun, stop).await?;
                failpoint::pass("send.recorded");
                let accepted = delivery
                    .recipients
                    .iter()
                    .all(|outcome| matches!(outcome, RecipientOutcome::Accepted(_)));
                let refused = delivery
                    .recipients
                    .iter()
                    .any(|outcome| matches!(outcome, RecipientOutcome::Permanent(_)));
                let number = mail
                    .number
                    .map(|number| number.to_string())
                    .unwrap_or_default();
                if accepted {
                    report.sent = report.sent.saturating_add(1);
                    info!(
                        outbox.id = mail.id,
                        case.id = number,
                        mail.kind = mail.kind.id(),
                        outbox.attempt = mail.attempts,
                        "mail sent"
                    );
                } else {
                    report.not_sent = report.not_sent.saturating_add(1);
                    unreachable = delivery.recipients.iter().all(|outcome| matches!(outcome, RecipientOutcome::Temporary(reply) if reply.code == 0));
                    if refused || next == Next::Person {
                        error!(
                            outbox.id = mail.id,
                            case.id = number,
                            note = delivery.note,
                            "mail not accepted; see «linjevei outbox list»"
                        );
                    } else {
                        warn!(
                            outbox.id = mail.id,
                            case.id = number,
                            outbox.attempt = mail.attempts,
                            note = delivery.note,
                            "mail not sent yet"
                        );
                    }
                }
            }
        }
        Ok(report)
    }

    /// Stores the result of an attempt. Without it nobody would know whether the mail was taken, and it would go out a second
    /// time: a database that cannot take it now is asked again.
    async fn record(
        &self,
        mail: &Claimed,
        delivery: &Delivery,
        next: Next,
        begun: Instant,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), StoreError> {
        let mut pause = RECORD_PAUSE;
        loop {
            let now_ms = self.clock.now_ms();
            let recorded = self
                .store
                .record_delivery(mail, delivery, next, now_ms)
                .await;
            match recorded {
                Err(error) if error.is_temporary() && begun.elapsed() < RECORD_WITHIN => {
                    warn!(outbox.id = mail.id, %error, "the result of sending a mail could not be stored; trying again");
                    // A stop waits for this until the grace period is over; asking says that the loop gets on.
                    stop();
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(RECORD_PAUSE_MAX);
                }
                recorded => return recorded,
            }
        }
    }
}

/// A random byte, for jitter.
pub(super) fn random_byte() -> u8 {
    random().to_le_bytes()[0]
}

/// Randomness for the jitter; without any the delay is only less spread.
fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}
