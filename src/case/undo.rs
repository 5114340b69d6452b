//! A person undoes what a machine decided about which message belongs to which case: split, link, merge and their way back.
//! Numbers and histories stay; messages move.

use super::admit::Entry;
use super::person::OrderError;
use super::record::{Acknowledgement, Actor, Case, Change, Event, EventKind};
use super::routing;
use super::{CaseNumber, State};
use crate::rules::WhyNot;
use serde_json::{Value, json};

fn refuse(why: String) -> OrderError {
    OrderError::Refused(why)
}

fn not_merged(case: &Case) -> Result<(), OrderError> {
    match case.merged_into {
        Some(into) => Err(refuse(format!(
            "{} was merged into {into}; use that number, or take it out again with «cases reopen»",
            case.number
        ))),
        None => Ok(()),
    }
}

/// Says in one case's history that another has to do with it.
pub fn link(case: &Case, other: CaseNumber, actor: &Actor, reason: &str, now_ms: i64) -> Change {
    let mut change = Change::of(case.clone());
    change.note(
        EventKind::Linked,
        now_ms,
        actor,
        reason,
        json!({ "case": other.to_string() }),
    );
    change
}

/// Whether two cases can be linked.
///
/// # Errors
/// [`OrderError::Refused`] for a case and itself.
pub fn may_link(case: &Case, other: &Case) -> Result<(), OrderError> {
    if case.number == other.number {
        return Err(refuse("a case cannot be linked to itself".to_owned()));
    }
    Ok(())
}

/// Puts a case into another: its messages move there, the number stays as a dismissed double, and mail that names it finds
/// the other. Gives the changes of both.
///
/// # Errors
/// [`OrderError::Refused`] when one of them is merged or dismissed already, or when a reporter who was told the number would
/// never hear of the answer.
pub fn merge(
    from: &Case,
    into: &Case,
    messages: &[i64],
    actor: &Actor,
    reason: &str,
    now_ms: i64,
) -> Result<(Change, Change), OrderError> {
    if from.number == into.number {
        return Err(refuse("a case cannot be merged into itself".to_owned()));
    }
    not_merged(from)?;
    not_merged(into)?;
    if into.state == State::Dismissed {
        return Err(refuse(format!(
            "{} is dismissed; open it first with «cases reopen»",
            into.number
        )));
    }
    let same_reporter = from
        .reporter_address
        .eq_ignore_ascii_case(&into.reporter_address);
    if from.acknowledgement == Acknowledgement::Queued && !same_reporter {
        return Err(refuse(format!(
            "somebody else reported {} and waits for an answer to that number; use «cases link», so that both get theirs",
            from.number
        )));
    }
    let mut gone = Change::of(from.clone());
    gone.case.state = State::Dismissed;
    gone.case.closed_at_ms = Some(now_ms);
    gone.case.attention = false;
    gone.case.duplicate_of = None;
    gone.case.merged_into = Some(into.number);
    gone.note(
        EventKind::Dismissed,
        now_ms,
        actor,
        reason,
        json!({ "because": "dublett", "into": into.number.to_string(), "messages": messages }),
    );
    let mut kept = Change::of(into.clone());
    // An answer that a person has put here has not been acted on.
    if from.kind == "svar" || !into.state.is_open() {
        kept.case.attention = true;
    }
    if kept.case.duplicate_of == Some(from.number) {
        kept.case.duplicate_of = None;
    }
    kept.note(
        EventKind::Merged,
        now_ms,
        actor,
        reason,
        json!({ "from": from.number.to_string(), "messages": messages }),
    );
    Ok((gone, kept))
}

/// Messages that a merge moved away from a case, by its history.
pub fn moved_away(history: &[Event]) -> Vec<i64> {
    let merged = history
        .iter()
        .rev()
        .find(|event| event.kind == EventKind::Dismissed && event.data.get("into").is_some());
    let messages = merged.and_then(|event| event.data.get("messages"));
    messages
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .collect()
}

/// The case that others were merged into, after one of them was taken out again.
pub fn taken_out(
    into: &Case,
    from: CaseNumber,
    messages: &[i64],
    actor: &Actor,
    reason: &str,
    now_ms: i64,
) -> Change {
    let mut change = Change::of(into.clone());
    change.note(
        EventKind::Split,
        now_ms,
        actor,
        reason,
        json!({ "case": from.to_string(), "messages": messages }),
    );
    change
}

/// A second case for one report that is about two matters: same report, same day of receipt, a number of its own. A person
/// places it; the reporter gets its number then.
///
/// # Errors
/// [`OrderError::Refused`] when the case was merged into another.
pub fn second_case(case: &Case, entry: &Entry<'_>, now_ms: i64) -> Result<Change, OrderError> {
    not_merged(case)?;
    let mut new = super::admit::blank(case.received_at_ms, now_ms);
    new.state = State::Triage;
    new.kind.clone_from(&case.kind);
    new.direction.clone_from(&case.direction);
    new.destination.clone_from(&case.destination);
    new.category.clone_from(&case.category);
    new.severity.clone_from(&case.severity);
    new.reporter_address.clone_from(&case.reporter_address);
    new.reporter_source = case.reporter_source;
    new.reporter_party.clone_from(&case.reporter_party);
    new.reporter_message_id
        .clone_from(&case.reporter_message_id);
    new.language = case.language;
    new.reference.clone_from(&case.reference);
    new.message_id = case.message_id;
    new.due_day = case.due_day;
    new.acknowledgement = match case.acknowledgement {
        Acknowledgement::Queued => Acknowledgement::Not(WhyNot::UncertainType),
        not @ Acknowledgement::Not(_) => not,
    };
    let too_old = case.acknowledgement == Acknowledgement::Not(WhyNot::TooOld);
    new.reminder = routing::reminder_for(&new.kind, too_old);
    let mut change = Change::of(new);
    change.note(
        EventKind::Opened,
        now_ms,
        entry.actor,
        entry.reason,
        json!({ "split_from": case.number.to_string(), "linked": case.number.to_string() }),
    );
    Ok(change)
}

/// Whether a message of the case can become a case of its own.
///
/// # Errors
/// [`OrderError::Refused`] when it is not in the case, or opened it.
pub fn may_split(case: &Case, message_id: i64, messages: &[i64]) -> Result<(), OrderError> {
    not_merged(case)?;
    if !messages.contains(&message_id) {
        let ids: Vec<String> = messages.iter().map(ToString::to_string).collect();
        return Err(refuse(format!(
            "message {message_id} is not in {}; it has {}",
            case.number,
            ids.join(", ")
        )));
    }
    if case.message_id == message_id {
        return Err(refuse(format!(
            "message {message_id} opened {}; without --message the case gets a second number for the same report",
            case.number
        )));
    }
    Ok(())
}

/// The case that another was split off from. When the message that left had answered it, it is open again.
pub fn was_split(
    case: &Case,
    new: CaseNumber,
    message_id: Option<i64>,
    history: &[Event],
    actor: &Actor,
    reason: &str,
    now_ms: i64,
) -> Change {
    let mut change = Change::of(case.clone());
    if message_id.is_some_and(|id| answered_by(case, id, history)) {
        change.case.state = if case.sent_at_ms.is_some() {
            State::Sent
        } else {
            State::SecureHandover
        };
        change.case.answered_at_ms = None;
    }
    change.note(
        EventKind::Split,
        now_ms,
        actor,
        reason,
        json!({ "case": new.to_string(), "message": message_id }),
    );
    change
}

/// Whether the case stands as answered because of this message: the answer was noted in the same moment as its joining.
fn answered_by(case: &Case, message_id: i64, history: &[Event]) -> bool {
    let Some(answered) = case
        .answered_at_ms
        .filter(|_| case.state == State::Answered)
    else {
        return false;
    };
    let joined = history.iter().any(|event| {
        event.kind == EventKind::Joined
            && event.at_ms == answered
            && event.data.get("message").and_then(Value::as_i64) == Some(message_id)
            && event.data.get("reply").and_then(Value::as_str) == Some("endelig")
    });
    joined
        && history.iter().any(|event| {
            event.kind == EventKind::Answered
                && event.at_ms == answered
                && event.actor == Actor::Worker
        })
}

/// Numbers of the cases that the history speaks of, in order, each once.
pub fn related(history: &[Event]) -> Vec<String> {
    let mut numbers: Vec<String> = Vec::new();
    for event in history {
        for key in ["linked", "split_from", "case", "into", "from"] {
            let number = event.data.get(key).and_then(Value::as_str);
            if let Some(number) = number.filter(|text| text.parse::<CaseNumber>().is_ok())
                && !numbers.iter().any(|known| known == number)
            {
                numbers.push(number.to_owned());
            }
        }
    }
    numbers
}
