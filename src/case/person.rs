//! What a person of the samhandlingsavdeling does to a case. Every change has a reason and a name.

use super::admit::Surroundings;
use super::record::{Acknowledgement, Actor, Case, Change, EventKind};
use super::routing::{self, Placing};
use super::{State, names, reply};
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
    let now_ms = around.now_ms;
    let placing = Placing {
        directory: around.directory,
        policy: around.policy,
        now_ms,
        actor,
        reason,
        approved: true,
        addressed,
    };
    let refuse = |advice| OrderError::State {
        number: case.number.to_string(),
        state: case.state.navn(),
        advice,
    };
    match order {
        Order::Reroute {
            destination,
            kind,
            category,
            severity,
        } => {
            if matches!(case.state, State::Closed | State::Dismissed) {
                return Err(refuse("open it first with «cases reopen»"));
            }
            correct(
                &mut change,
                destination.as_deref(),
                kind.as_deref(),
                category.as_deref(),
                severity.as_deref(),
                around,
            )?;
            let corrected = json!({
                "destination": destination, "type": kind, "category": category, "severity": severity,
                "before": { "destination": case.destination, "type": case.kind, "category": case.category, "severity": case.severity },
            });
            change.note(EventKind::Corrected, now_ms, actor, reason, corrected);
            let moves =
                change.case.destination != case.destination || change.case.kind != case.kind;
            if moves || matches!(case.state, State::Received | State::Triage) {
                if change.case.destination.is_empty() {
                    return Err(OrderError::Unknown {
                        what: "party",
                        value: String::new(),
                        choices: parties(around),
                    });
                }
                // A party that needs approval has it from the person who places the case by hand, but a report that waits
                // for approval is not let through by correcting its category.
                routing::place(
                    &mut change,
                    &Placing {
                        approved: moves || case.state != State::Approval,
                        ..placing
                    },
                );
                reporter(&mut change, &placing, around);
            }
        }
        Order::Approve => {
            if case.state != State::Approval {
                return Err(refuse(
                    "only a case that waits for approval can be approved",
                ));
            }
            change.note(
                EventKind::Approved,
                now_ms,
                actor,
                reason,
                json!({ "party": case.destination }),
            );
            routing::place(&mut change, &placing);
            reporter(&mut change, &placing, around);
        }
        Order::HandedOver { by } => {
            if case.state != State::SecureHandover {
                return Err(refuse(
                    "only a case that must be sent securely can be handed over",
                ));
            }
            known("way of handing over", by, &HANDOVER_WAYS)?;
            change.case.state = State::Sent;
            change.case.sent_at_ms = Some(now_ms);
            change.note(
                EventKind::HandedOver,
                now_ms,
                actor,
                reason,
                json!({ "by": by, "party": case.destination }),
            );
        }
        Order::Answer => {
            if !matches!(
                case.state,
                State::Sent | State::SecureHandover | State::Triage | State::Approval
            ) {
                return Err(refuse("only an open case can be answered"));
            }
            change.case.state = State::Answered;
            change.case.answered_at_ms = Some(now_ms);
            change.note(
                EventKind::Answered,
                now_ms,
                actor,
                reason,
                json!({ "party": case.destination, "by_person": true }),
            );
            if !change.case.reporter_address.is_empty()
                && matches!(case.acknowledgement, Acknowledgement::Queued)
            {
                reply::notify_answer(&mut change);
            }
        }
        Order::Close => {
            if matches!(case.state, State::Closed | State::Dismissed) {
                return Err(refuse("it is closed already"));
            }
            change.case.state = State::Closed;
            change.case.closed_at_ms = Some(now_ms);
            change.note(EventKind::Closed, now_ms, actor, reason, json!({}));
        }
        Order::Dismiss { because } => {
            known("reason for dismissing", because, &DISMISS_REASONS)?;
            if case.state == State::Dismissed {
                return Err(refuse("it is dismissed already"));
            }
            change.case.state = State::Dismissed;
            change.case.closed_at_ms = Some(now_ms);
            change.note(
                EventKind::Dismissed,
                now_ms,
                actor,
                reason,
                json!({ "because": because }),
            );
        }
        Order::Reopen => {
            if !matches!(
                case.state,
                State::Answered | State::Closed | State::Dismissed | State::Registered
            ) {
                return Err(refuse("it is open"));
            }
            change.case.state = State::Triage;
            change.case.answered_at_ms = None;
            change.case.closed_at_ms = None;
            change.note(EventKind::Reopened, now_ms, actor, reason, json!({}));
        }
        Order::Note => change.note(EventKind::Note, now_ms, actor, reason, json!({})),
    }
    Ok(change)
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
    change.case.acknowledgement = Acknowledgement::Not(crate::rules::WhyNot::NoAddress);
    correct(
        &mut change,
        Some(destination),
        Some(kind),
        None,
        None,
        around,
    )?;
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
    destination: Option<&str>,
    kind: Option<&str>,
    category: Option<&str>,
    severity: Option<&str>,
    around: &Surroundings<'_>,
) -> Result<(), OrderError> {
    if let Some(destination) = destination {
        if around.directory.party(destination).is_none() {
            return Err(OrderError::Unknown {
                what: "party",
                value: destination.to_owned(),
                choices: parties(around),
            });
        }
        destination.clone_into(&mut change.case.destination);
    }
    if let Some(kind) = kind {
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
                change.case.acknowledgement == Acknowledgement::Not(crate::rules::WhyNot::TooOld);
            change.case.reminder = routing::reminder_for(kind, too_old && was_answerable);
        }
    }
    if let Some(category) = category {
        known("category", category, &names::CATEGORIES.map(|(id, _)| id))?;
        category.clone_into(&mut change.case.category);
    }
    if let Some(severity) = severity {
        known("severity", severity, &names::SEVERITIES.map(|(id, _)| id))?;
        severity.clone_into(&mut change.case.severity);
    }
    Ok(())
}

/// Once a person has placed it, the reporter gets the acknowledgement that waited for that, or word of the change.
fn reporter(change: &mut Change, placing: &Placing<'_>, around: &Surroundings<'_>) {
    use crate::rules::WhyNot;
    let waited = matches!(
        change.case.acknowledgement,
        Acknowledgement::Not(WhyNot::UncertainType | WhyNot::Unauthenticated | WhyNot::Svar)
    );
    let held = around.recent_acknowledgements >= around.policy.acknowledgements_per_hour;
    routing::tell_reporter(change, placing, waited, held);
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
