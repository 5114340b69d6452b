//! What a person of the samhandlingsavdeling does to a case. Every change has a reason and a name.

use super::record::{Acknowledgement, Actor, Case, Change, EventKind};
use super::routing::{self, Placing};
use super::surroundings::Surroundings;
use super::{State, names, reply};
use crate::rules::WhyNot;
use serde_json::json;

/// A person's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Give it to another party, or correct facets; sends it on.
    Reroute {
        /// New party; `None` leaves it.
        destination: Option<String>,
        /// New type.
        kind: Option<String>,
        /// New category.
        category: Option<String>,
        /// New severity.
        severity: Option<String>,
    },
    /// Send what waits for approval.
    Approve,
    /// It reached the party outside mail.
    HandedOver {
        /// `edialog`, `svarut`, `telefon`, `annet`.
        by: String,
    },
    /// An answer came outside mail (or a person accepts one that could not be trusted).
    Answer,
    /// Nothing more to do.
    Close,
    /// It does not belong here.
    Dismiss {
        /// `annen-post`, `dublett`, `melde-no`, `annet-sted`.
        because: String,
    },
    /// Open it again: a person places it.
    Reopen,
    /// Only words.
    Note,
}

/// Ways in which a case can be handed over outside mail.
pub const HANDOVER_WAYS: [&str; 4] = ["edialog", "svarut", "telefon", "annet"];
/// Reasons for dismissing a case.
pub const DISMISS_REASONS: [&str; 4] = ["annen-post", "dublett", "melde-no", "annet-sted"];

/// The order does not fit the case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The state does not allow it.
    #[error("{number} is «{state}»: {advice}")]
    State {
        /// The case.
        number: String,
        /// Norwegian name of its state.
        state: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// It cannot be done; the text says why and what to do instead.
    #[error("{0}")]
    Refused(String),
    /// A value that the vocabulary or the directory does not have.
    #[error("«{value}» is no {what}; use one of: {choices}")]
    Unknown {
        /// What was asked for.
        what: &'static str,
        /// What was given.
        value: String,
        /// What there is.
        choices: String,
    },
}

/// Carries out a person's order on a case.
///
/// # Errors
/// [`OrderError`] when the order does not fit the case; nothing is changed.
pub fn carry_out(
    case: &Case,
    order: &Order,
    actor: &Actor,
    reason: &str,
    addressed: &[String],
    around: &Surroundings<'_>,
) -> Result<Change, OrderError> {
    let mut change = Change::of(case.clone());
    change.case.attention = false;
    let mut desk = Desk {
        case,
        change,
        around,
        placing: Placing {
            directory: around.directory,
            policy: around.policy,
            now_ms: around.now_ms,
            actor,
            reason,
            approved: true,
            addressed,
            dead: around.dead,
        },
    };
    match order {
        Order::Reroute {
            destination,
            kind,
            category,
            severity,
        } => {
            let wanted = Facets {
                destination: destination.as_deref(),
                kind: kind.as_deref(),
                category: category.as_deref(),
                severity: severity.as_deref(),
            };
            desk.reroute(&wanted)?;
        }
        Order::Approve => desk.approve()?,
        Order::HandedOver { by } => desk.handed_over(by)?,
        Order::Answer => desk.answer()?,
        Order::Close => desk.close()?,
        Order::Dismiss { because } => desk.dismiss(because)?,
        Order::Reopen => desk.reopen()?,
        Order::Note => desk.note(EventKind::Note, json!({})),
    }
    Ok(desk.change)
}

/// What a person wants a case's facets to be; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
struct Facets<'a> {
    destination: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    category: Option<&'a str>,
    severity: Option<&'a str>,
}

/// A case on a person's desk: as it was, and as it becomes.
struct Desk<'a> {
    case: &'a Case,
    change: Change,
    around: &'a Surroundings<'a>,
    placing: Placing<'a>,
}

impl Desk<'_> {
    fn refuse(&self, advice: &'static str) -> OrderError {
        OrderError::State {
            number: self.case.number.to_string(),
            state: self.case.state.navn(),
            advice,
        }
    }

    fn note(&mut self, kind: EventKind, data: serde_json::Value) {
        self.change.note(
            kind,
            self.placing.now_ms,
            self.placing.actor,
            self.placing.reason,
            data,
        );
    }

    fn reroute(&mut self, wanted: &Facets<'_>) -> Result<(), OrderError> {
        let case = self.case;
        if matches!(case.state, State::Closed | State::Dismissed) {
            return Err(self.refuse("open it first with «cases reopen»"));
        }
        correct(&mut self.change, wanted, self.around)?;
        let before = Facets {
            destination: Some(&case.destination),
            kind: Some(&case.kind),
            category: Some(&case.category),
            severity: Some(&case.severity),
        };
        self.note(
            EventKind::Corrected,
            json!({ "to": wanted, "before": before }),
        );
        let after = &self.change.case;
        let moves = after.destination != case.destination || after.kind != case.kind;
        if !moves && !matches!(case.state, State::Received | State::Triage) {
            return Ok(());
        }
        if after.destination.is_empty() {
            return Err(OrderError::Unknown {
                what: "party",
                value: String::new(),
                choices: parties(self.around),
            });
        }
        routing::place(&mut self.change, &self.placing);
        self.tell_reporter();
        Ok(())
    }

    fn approve(&mut self) -> Result<(), OrderError> {
        if self.case.state != State::Approval {
            return Err(self.refuse("only a case that waits for approval can be approved"));
        }
        self.note(
            EventKind::Approved,
            json!({ "party": self.case.destination }),
        );
        routing::place(&mut self.change, &self.placing);
        self.tell_reporter();
        Ok(())
    }

    fn handed_over(&mut self, by: &str) -> Result<(), OrderError> {
        if self.case.state != State::SecureHandover {
            return Err(self.refuse("only a case that must be sent securely can be handed over"));
        }
        known("way of handing over", by, &HANDOVER_WAYS)?;
        self.change.case.state = State::Sent;
        self.change.case.sent_at_ms = Some(self.placing.now_ms);
        self.note(
            EventKind::HandedOver,
            json!({ "by": by, "party": self.case.destination }),
        );
        Ok(())
    }

    fn answer(&mut self) -> Result<(), OrderError> {
        if !matches!(
            self.case.state,
            State::Sent | State::SecureHandover | State::Triage | State::Approval
        ) {
            return Err(self.refuse("only an open case can be answered"));
        }
        self.change.case.state = State::Answered;
        self.change.case.answered_at_ms = Some(self.placing.now_ms);
        self.note(
            EventKind::Answered,
            json!({ "party": self.case.destination, "by_person": true }),
        );
        if !self.case.reporter_address.is_empty()
            && self.case.acknowledgement == Acknowledgement::Queued
        {
            reply::notify_answer(&mut self.change);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), OrderError> {
        if matches!(self.case.state, State::Closed | State::Dismissed) {
            return Err(self.refuse("it is closed already"));
        }
        self.end(State::Closed, EventKind::Closed, json!({}));
        Ok(())
    }

    fn dismiss(&mut self, because: &str) -> Result<(), OrderError> {
        known("reason for dismissing", because, &DISMISS_REASONS)?;
        if self.case.state == State::Dismissed {
            return Err(self.refuse("it is dismissed already"));
        }
        self.end(
            State::Dismissed,
            EventKind::Dismissed,
            json!({ "because": because }),
        );
        Ok(())
    }

    fn end(&mut self, state: State, kind: EventKind, data: serde_json::Value) {
        self.change.case.state = state;
        self.change.case.closed_at_ms = Some(self.placing.now_ms);
        self.note(kind, data);
    }

    fn reopen(&mut self) -> Result<(), OrderError> {
        if self.case.state.is_open() && self.case.state != State::Answered {
            return Err(self.refuse("it is open"));
        }
        self.change.case.put_in_triage();
        self.change.case.merged_into = None;
        self.note(EventKind::Reopened, json!({}));
        Ok(())
    }

    /// Once a person has placed it, the reporter gets the acknowledgement that waited for that, or word of the change.
    fn tell_reporter(&mut self) {
        let waited = matches!(
            self.change.case.acknowledgement,
            Acknowledgement::Not(
                WhyNot::UncertainType | WhyNot::Unauthenticated | WhyNot::Unreadable | WhyNot::Svar
            )
        );
        let around = self.around;
        let held = around.recent_acknowledgements >= around.policy.acknowledgements_per_hour;
        routing::tell_reporter(&mut self.change, &self.placing, waited, held);
    }
}

/// A case that came by paper or telephone.
///
/// # Errors
/// [`OrderError::Unknown`] for a type or party that does not exist.
pub fn new_case(
    kind: &str,
    destination: &str,
    actor: &Actor,
    reason: &str,
    received_at_ms: i64,
    around: &Surroundings<'_>,
) -> Result<Change, OrderError> {
    let mut change = Change::of(super::admit::blank(received_at_ms, around.now_ms));
    change.case.acknowledgement = Acknowledgement::Not(WhyNot::NoAddress);
    let wanted = Facets {
        destination: Some(destination),
        kind: Some(kind),
        ..Facets::default()
    };
    correct(&mut change, &wanted, around)?;
    change.case.reminder = routing::reminder_for(kind, false);
    change.note(
        EventKind::Opened,
        around.now_ms,
        actor,
        reason,
        json!({ "by_person": true }),
    );
    let placing = Placing {
        directory: around.directory,
        policy: around.policy,
        now_ms: around.now_ms,
        actor,
        reason,
        approved: true,
        addressed: &[],
        dead: around.dead,
    };
    routing::place(&mut change, &placing);
    if change.case.state == State::Sent && destination != routing::SAMHANDLING {
        // There is no message whose text could be sent along: the party has a notice, a person hands the paper over.
        change.case.state = State::SecureHandover;
        change.case.sent_at_ms = None;
        for mail in change
            .mails
            .iter_mut()
            .filter(|mail| mail.kind.carries_content())
        {
            mail.kind = super::MailKind::Varsel;
        }
    }
    Ok(change)
}

fn correct(
    change: &mut Change,
    wanted: &Facets<'_>,
    around: &Surroundings<'_>,
) -> Result<(), OrderError> {
    if let Some(destination) = wanted.destination {
        if around.directory.party(destination).is_none() {
            return Err(OrderError::Unknown {
                what: "party",
                value: destination.to_owned(),
                choices: parties(around),
            });
        }
        destination.clone_into(&mut change.case.destination);
    }
    if let Some(kind) = wanted.kind {
        let choices: Vec<&str> = names::TYPES
            .iter()
            .map(|(id, ..)| *id)
            .filter(|id| !matches!(*id, "svar" | "ikke-avvik"))
            .collect();
        known("type", kind, &choices)?;
        kind.clone_into(&mut change.case.kind);
        change.case.due_day = if names::expects_answer(kind) {
            Some(crate::calendar::due_day(change.case.received_day))
        } else {
            None
        };
        if change.case.reminder != super::record::Reminder::Queued {
            let too_old = change.case.reminder == super::record::Reminder::Never
                && change.case.due_day.is_some();
            let was_answerable =
                change.case.acknowledgement == Acknowledgement::Not(WhyNot::TooOld);
            change.case.reminder = routing::reminder_for(kind, too_old && was_answerable);
        }
    }
    if let Some(category) = wanted.category {
        known("category", category, &names::CATEGORIES.map(|(id, _)| id))?;
        category.clone_into(&mut change.case.category);
    }
    if let Some(severity) = wanted.severity {
        known("severity", severity, &names::SEVERITIES.map(|(id, _)| id))?;
        severity.clone_into(&mut change.case.severity);
    }
    Ok(())
}

fn known(what: &'static str, value: &str, choices: &[&str]) -> Result<(), OrderError> {
    if choices.contains(&value) {
        return Ok(());
    }
    Err(OrderError::Unknown {
        what,
        value: value.to_owned(),
        choices: choices.join(", "),
    })
}

fn parties(around: &Surroundings<'_>) -> String {
    around
        .directory
        .parties()
        .map(|party| party.id.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
