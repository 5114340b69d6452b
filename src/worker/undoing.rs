//! A person undoes what was decided about messages: adopts one that was left alone, splits, links and merges cases.

use super::deciding::{CONFLICTS_MAX, PersonError, Read};
use super::{Engine, InForce, WorkError};
use crate::case::admit::{self, Arrival, Entry};
use crate::case::person::{self, Order};
use crate::case::surroundings::Surroundings;
use crate::case::undeliverable::DeadAddresses;
use crate::case::{Actor, Case, CaseNumber, Change, undo};
use crate::config::Mode;
use crate::store::{
    MessageMove, MessageRow, Outcome, Pending, Rearrangement, Settlement, StoreError,
};
use std::sync::Arc;
use tracing::info;

impl Engine {
    /// Makes a case of a message that was left alone, with its original day of receipt. Where the rules are sure now, they
    /// place it; else a person does.
    ///
    /// # Errors
    /// [`PersonError`] when there is no such message, or it is in a case already; nothing is changed then.
    pub async fn adopt(
        &self,
        message_id: i64,
        actor: &Actor,
        reason: &str,
    ) -> Result<Case, PersonError> {
        if self.mode == Mode::Observe {
            return Err(PersonError::Refused(
                "linjevei only observes and takes no case numbers; set mode = \"live\" first"
                    .to_owned(),
            ));
        }
        let row = self.message(message_id).await?;
        let adopted = adoptable(&row)?;
        self.refuse_deleted(message_id, &format!("message {message_id}"))
            .await?;
        let taken_in = self.taken_in(message_id).await?;
        let in_force = self.rulebook.current();
        let read = self.read(message_id, &in_force.rules).await?;
        let received_at_ms = admit::received_at_ms(
            taken_in.internal_date_ms,
            read.message.as_ref(),
            taken_in.first_seen_at_ms,
        );
        let now_ms = self.clock.now_ms();
        let sketch = self.sketch(&read);
        let dead = self.store.dead_addresses().await?;
        let around = Surroundings {
            repeats: self.repeats(sketch.as_ref(), received_at_ms).await?,
            ..self.person_around(&read, &in_force, &dead, now_ms).await?
        };
        let change = admit::by_person(
            &Arrival {
                message_id,
                received_at_ms,
                first_seen_at_ms: taken_in.first_seen_at_ms,
                message: read.message.as_ref(),
                verdict: read.verdict.as_ref(),
            },
            &Entry {
                actor,
                reason,
                adopted,
                split_from: None,
            },
            &around,
        );
        let settlement = Settlement {
            message_id,
            received_at_ms,
            sender_domain: read.sender_domain(),
            rfc_message_id: read.rfc_message_id(),
            own: read.own_reference(),
            verdict: read.verdict_json(),
            outcome: Outcome::Opened(Box::new(change)),
            sketch,
            returned: None,
            adopted: true,
            attachment_texts: read.extracted.clone(),
            at_ms: now_ms,
        };
        let composer = Arc::new(self.compositor(&in_force, Some(read.content()), now_ms));
        let mut group = self.store.group(&[message_id]).await?;
        let case = group.settle(settlement, composer).await?;
        let case = case.ok_or_else(|| {
            PersonError::Refused(format!(
                "message {message_id} was put into a case by somebody else at the same time"
            ))
        })?;
        group.commit().await?;
        info!(message.row = message_id, case.id = %case.number, case.state = case.state.id(), "a person adopted a message");
        Ok(case)
    }

    /// Makes a case of its own: of a message that joined the case, or, without one, a second case for the same report. Gives
    /// the new case.
    ///
    /// # Errors
    /// [`PersonError`] when there is no such case or message, or the message opened the case; nothing is changed then.
    pub async fn split(
        &self,
        number: CaseNumber,
        message_id: Option<i64>,
        actor: &Actor,
        reason: &str,
    ) -> Result<Case, PersonError> {
        for _ in 0..CONFLICTS_MAX {
            let case = self.find(number).await?;
            let history = self.store.history(case.id).await?;
            let now_ms = self.clock.now_ms();
            let in_force = self.rulebook.current();
            let entry = Entry {
                actor,
                reason,
                adopted: "",
                split_from: Some(&case),
            };
            let (first, read) = if let Some(message_id) = message_id {
                undo::may_split(&case, message_id, &self.store.case_messages(case.id).await?)?;
                self.refuse_deleted(message_id, &format!("message {message_id}"))
                    .await?;
                let read = self.read(message_id, &in_force.rules).await?;
                let change = self
                    .as_new(message_id, &read, &entry, &in_force, now_ms)
                    .await?;
                (change, Some(read))
            } else {
                (undo::second_case(&case, &entry, now_ms)?, None)
            };
            let moves = message_id.map(|message_id| MessageMove {
                message_id,
                to_first: true,
                opened: true,
            });
            let verdict = message_id
                .zip(read.as_ref().and_then(Read::verdict_json))
                .map(|(id, (ruleset, verdict))| (id, ruleset, verdict));
            let sketch = read.as_ref().and_then(|read| self.sketch(read));
            let then = {
                let (actor, reason) = (actor.clone(), reason.to_owned());
                Box::new(move |new: &Case| {
                    undo::was_split(
                        &case, new.number, message_id, &history, &actor, &reason, now_ms,
                    )
                })
            };
            let rearrangement = Rearrangement {
                first,
                then,
                moves: moves.into_iter().collect(),
                verdict,
                sketch,
            };
            let composer = self.compositor(&in_force, read.as_ref().map(Read::content), now_ms);
            match self.store.rearrange(rearrangement, &composer, now_ms).await {
                Err(StoreError::Conflict) => {}
                other => return Ok(other?.0),
            }
        }
        Err(conflict())
    }

    /// Says in the histories of two cases that they have to do with each other. Gives the first.
    ///
    /// # Errors
    /// [`PersonError`] when there is no such case; nothing is changed then.
    pub async fn link(
        &self,
        number: CaseNumber,
        other: CaseNumber,
        actor: &Actor,
        reason: &str,
    ) -> Result<Case, PersonError> {
        for _ in 0..CONFLICTS_MAX {
            let (case, other) = (self.find(number).await?, self.find(other).await?);
            undo::may_link(&case, &other)?;
            let now_ms = self.clock.now_ms();
            let first = undo::link(&case, other.number, actor, reason, now_ms);
            let second = undo::link(&other, case.number, actor, reason, now_ms);
            match self.rearrange(first, second, Vec::new(), now_ms).await {
                Err(StoreError::Conflict) => {}
                changed => return Ok(changed?),
            }
        }
        Err(conflict())
    }

    /// Puts a case into another: its messages move there, its number stays and leads there. Gives the case that was merged.
    ///
    /// # Errors
    /// [`PersonError`] when there is no such case, or they cannot be merged; nothing is changed then.
    pub async fn merge(
        &self,
        number: CaseNumber,
        into: CaseNumber,
        actor: &Actor,
        reason: &str,
    ) -> Result<Case, PersonError> {
        for _ in 0..CONFLICTS_MAX {
            let (from, into) = (self.find(number).await?, self.find(into).await?);
            let messages = self.store.case_messages(from.id).await?;
            let now_ms = self.clock.now_ms();
            let (gone, kept) = undo::merge(&from, &into, &messages, actor, reason, now_ms)?;
            let moves = messages
                .iter()
                .map(|id| MessageMove {
                    message_id: *id,
                    to_first: false,
                    opened: false,
                })
                .collect();
            match self.rearrange(gone, kept, moves, now_ms).await {
                Err(StoreError::Conflict) => {}
                changed => return Ok(changed?),
            }
        }
        Err(conflict())
    }

    /// Opens a merged case again: its messages come back.
    pub(super) async fn take_out(
        &self,
        case: &Case,
        actor: &Actor,
        reason: &str,
    ) -> Result<Case, PersonError> {
        let into = match case.merged_into {
            Some(into) => self.find(into).await?,
            None => return Err(PersonError::NoSuchCase(case.number)),
        };
        let there = self.store.case_messages(into.id).await?;
        let mut messages = undo::moved_away(&self.store.history(case.id).await?);
        // What was split off or merged on since then stays where it is.
        messages.retain(|id| there.contains(id));
        let now_ms = self.clock.now_ms();
        let in_force = self.rulebook.current();
        let dead = self.store.dead_addresses().await?;
        let around = self.surroundings(&in_force, &dead, now_ms, 0);
        let reopened = person::carry_out(case, &Order::Reopen, actor, reason, &[], &around)?;
        let left = undo::taken_out(&into, case.number, &messages, actor, reason, now_ms);
        let moves = messages
            .iter()
            .map(|id| MessageMove {
                message_id: *id,
                to_first: true,
                opened: *id == case.message_id,
            })
            .collect();
        Ok(self.rearrange(reopened, left, moves, now_ms).await?)
    }

    /// Stores two changes that ask for no mail.
    async fn rearrange(
        &self,
        first: Change,
        second: Change,
        moves: Vec<MessageMove>,
        now_ms: i64,
    ) -> Result<Case, StoreError> {
        let in_force = self.rulebook.current();
        let rearrangement = Rearrangement {
            first,
            then: Box::new(|_| second),
            moves,
            verdict: None,
            sketch: None,
        };
        let composer = self.compositor(&in_force, None, now_ms);
        let (first, _) = self
            .store
            .rearrange(rearrangement, &composer, now_ms)
            .await?;
        Ok(first)
    }

    /// What a message that joined a case would have been as a case of its own.
    async fn as_new(
        &self,
        message_id: i64,
        read: &Read,
        entry: &Entry<'_>,
        in_force: &InForce,
        now_ms: i64,
    ) -> Result<Change, PersonError> {
        let taken_in = self.taken_in(message_id).await?;
        let arrival = Arrival {
            message_id,
            received_at_ms: admit::received_at_ms(
                taken_in.internal_date_ms,
                read.message.as_ref(),
                taken_in.first_seen_at_ms,
            ),
            first_seen_at_ms: taken_in.first_seen_at_ms,
            message: read.message.as_ref(),
            verdict: read.verdict.as_ref(),
        };
        let dead = self.store.dead_addresses().await?;
        let around = self.person_around(read, in_force, &dead, now_ms).await?;
        Ok(admit::by_person(&arrival, entry, &around))
    }

    async fn person_around<'a>(
        &'a self,
        read: &Read,
        in_force: &'a InForce,
        dead: &'a DeadAddresses,
        now_ms: i64,
    ) -> Result<Surroundings<'a>, StoreError> {
        let address = read
            .verdict
            .as_ref()
            .map(|verdict| verdict.reporter.address.as_str())
            .unwrap_or_default();
        let recent = self.recent_acknowledgements(address, now_ms).await?;
        Ok(self.surroundings(in_force, dead, now_ms, recent))
    }

    async fn find(&self, number: CaseNumber) -> Result<Case, PersonError> {
        let case = self.store.case(number).await?;
        case.ok_or(PersonError::NoSuchCase(number))
    }

    async fn message(&self, id: i64) -> Result<MessageRow, PersonError> {
        let row = self.store.message(id).await?;
        row.ok_or(PersonError::NoSuchMessage(id))
    }

    async fn taken_in(&self, id: i64) -> Result<Pending, PersonError> {
        let taken_in = self.store.taken_in(id).await?;
        taken_in.ok_or(PersonError::NoSuchMessage(id))
    }
}

/// The reason for which the message was left alone.
fn adoptable(row: &MessageRow) -> Result<&str, PersonError> {
    let why = match (row.outcome.as_str(), &row.case, row.duplicate_of) {
        ("left-alone", ..) => return Ok(&row.reason),
        ("duplicate", _, Some(original)) => {
            format!("is a copy of message {original}; look at that one")
        }
        (_, Some(case), _) => format!("is in {case} already; see «cases split»"),
        _ => "is not decided yet; wait a moment".to_owned(),
    };
    Err(PersonError::Refused(format!("message {} {why}", row.id)))
}

const fn conflict() -> PersonError {
    PersonError::Work(WorkError::Store(StoreError::Conflict))
}
