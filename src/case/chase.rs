//! What the passing of time does to a case: the one reminder, and closing after silence.

use super::record::{Actor, Case, Change, EventKind, MailOrder, Reminder};
use super::routing::SAMHANDLING;
use super::undeliverable::DeadAddresses;
use super::{MailKind, Policy, State};
use crate::calendar::{self, Calendar};
use crate::rules::{Directory, Language};
use jiff::civil::Date;
use serde_json::json;

/// When the case's reminder goes out (Unix milliseconds), as things stand; `None` when there is none to come.
pub fn reminder_at_ms(case: &Case, calendar: &Calendar, policy: &Policy) -> Option<i64> {
    if case.state != State::Sent
        || case.reminder != Reminder::Allowed
        || case.destination == SAMHANDLING
    {
        return None;
    }
    let due = case.due_day?;
    let sent = calendar::oslo_day(case.sent_at_ms?);
    Some(calendar.reminder_at(due, sent, policy.reminder_hour))
}

/// The change that is due for the case at `now_ms`, if any.
pub fn due_change(
    case: &Case,
    calendar: &Calendar,
    directory: &Directory,
    dead: &DeadAddresses,
    policy: &Policy,
    now_ms: i64,
) -> Option<Change> {
    if reminder_at_ms(case, calendar, policy).is_some_and(|at| at <= now_ms) {
        let party = directory
            .party(&case.destination)
            .filter(|party| !party.send_to.is_empty() && !dead.cut_off(party));
        let mut change = Change::of(case.clone());
        let Some(party) = party else {
            // Nobody to remind: a person must place it anew; the reminder is still to come then.
            change.case.put_in_triage();
            change.case.attention = true;
            change.note(
                EventKind::Placed,
                now_ms,
                &Actor::Worker,
                "",
                json!({ "party": null, "no_address": case.destination }),
            );
            return Some(change);
        };
        change.case.reminder = Reminder::Queued;
        change.mails.push(MailOrder {
            kind: MailKind::Purring,
            party: party.id.clone(),
            to: dead.reachable(party),
            language: party.language.unwrap_or(Language::Bokmal),
            seq: 1,
            held: false,
        });
        change.note(
            EventKind::Reminded,
            now_ms,
            &Actor::Worker,
            "",
            json!({ "party": party.id }),
        );
        return Some(change);
    }
    let answered = case
        .answered_at_ms
        .filter(|_| case.state == State::Answered)?;
    let silence = calendar::days_between(calendar::oslo_day(answered), calendar::oslo_day(now_ms));
    if silence < i64::from(policy.close_after_days) {
        return None;
    }
    let mut change = Change::of(case.clone());
    change.case.state = State::Closed;
    change.case.closed_at_ms = Some(now_ms);
    change.note(
        EventKind::Closed,
        now_ms,
        &Actor::Worker,
        "",
        json!({ "silent_days": silence }),
    );
    Some(change)
}

/// Whether the answer is overdue on `today`: past the due date and not answered, wherever the case stands.
pub fn is_overdue(case: &Case, today: Date) -> bool {
    matches!(
        case.state,
        State::Received | State::Triage | State::Approval | State::SecureHandover | State::Sent
    ) && case.due_day.is_some_and(|due| due < today)
}
