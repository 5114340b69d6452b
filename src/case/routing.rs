//! Giving a case to a party: which state follows and which mail it asks for.

use super::names;
use super::record::{Acknowledgement, Actor, Change, EventKind, MailOrder, Reminder};
use super::undeliverable::DeadAddresses;
use super::{Case, MailKind, State};
use crate::case::Policy;
use crate::rules::{Directory, Language, Party, PartyKind};
use serde_json::json;

/// The department itself; never gets mail from us and is never reminded.
pub const SAMHANDLING: &str = "samhandling";
/// Stands for the duty address where mail has a party.
const DUTY: &str = "vakt";
/// The severity that a person must look at first.
const SERIOUS: &str = "betydelig";

/// What decides, besides the party, how a case is given to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placing<'a> {
    pub directory: &'a Directory,
    pub policy: &'a Policy,
    pub now_ms: i64,
    pub actor: &'a Actor,
    pub reason: &'a str,
    /// A person has approved it, or placed it by hand.
    pub approved: bool,
    /// Addresses in To and Cc of the report, in lower case: who stands there has it already.
    pub addressed: &'a [String],
    /// Addresses to which nothing is sent.
    pub dead: &'a DeadAddresses,
}

/// Gives the case to `case.destination`: sets the state, asks for mail to the party and to those who get copies.
pub(super) fn place(change: &mut Change, placing: &Placing<'_>) {
    let case = &mut change.case;
    if placing.approved {
        // A person has looked: it is no duplicate.
        case.duplicate_of = None;
    }
    let destination = case.destination.clone();
    let information = !names::expects_answer(&case.kind);
    let party = placing.directory.party(&destination);
    let state = match party {
        None => State::Triage,
        Some(party) if !placing.approved && needs_approval(case, party, placing.policy) => {
            State::Approval
        }
        Some(_) if information => State::Registered,
        Some(party) if party.kind == PartyKind::Samhandling => State::Sent,
        Some(party) if party.send_to.is_empty() => State::Triage,
        // No mail reaches it. A person who places it there all the same takes it there in another way.
        Some(party) if placing.dead.cut_off(party) && placing.approved => State::SecureHandover,
        Some(party) if placing.dead.cut_off(party) => State::Triage,
        Some(party) if party.secure || stands_in(party, placing.addressed) => State::Sent,
        Some(_) => State::SecureHandover,
    };
    case.state = state;
    case.answered_at_ms = None;
    case.closed_at_ms = None;
    if matches!(state, State::Sent | State::SecureHandover) {
        case.sent_at_ms = (state == State::Sent).then_some(placing.now_ms);
    }
    change.note(
        EventKind::Placed,
        placing.now_ms,
        placing.actor,
        placing.reason,
        placed(&destination, party, placing),
    );
    if matches!(state, State::Triage | State::Approval) {
        return;
    }
    if let Some(party) = party.filter(|party| information || !placing.dead.cut_off(party)) {
        let kind = match (
            information,
            party.secure,
            stands_in(party, placing.addressed),
        ) {
            (false, _, true) => MailKind::Kort,
            (false, true, _) => MailKind::Sak,
            (false, false, _) => MailKind::Varsel,
            (true, true, _) => MailKind::Orientering,
            (true, false, _) => MailKind::Orienteringsvarsel,
        };
        order(change, party, kind, placing);
    }
    let copies: Vec<&Party> = change
        .case
        .copies
        .iter()
        .filter(|id| **id != destination)
        .filter_map(|id| placing.directory.party(id))
        .collect();
    for party in copies {
        let kind = if party.secure {
            MailKind::Orientering
        } else {
            MailKind::Orienteringsvarsel
        };
        order(change, party, kind, placing);
    }
}

/// What the history says of it.
fn placed(destination: &str, party: Option<&Party>, placing: &Placing<'_>) -> serde_json::Value {
    if party.is_some_and(|party| placing.dead.cut_off(party)) {
        json!({ "party": destination, "no_working_address": true })
    } else {
        json!({ "party": destination })
    }
}

fn order(change: &mut Change, party: &Party, kind: MailKind, placing: &Placing<'_>) {
    if party.kind == PartyKind::Samhandling || party.send_to.is_empty() {
        return;
    }
    change.mails.push(MailOrder {
        kind,
        party: party.id.clone(),
        to: placing.dead.reachable(party),
        language: party.language.unwrap_or(Language::Bokmal),
        seq: change.case.version.saturating_add(1),
        held: false,
    });
}

fn needs_approval(case: &Case, party: &Party, policy: &Policy) -> bool {
    case.duplicate_of.is_some()
        || party.approval
        || matches!(party.kind, PartyKind::AnnetSykehus | PartyKind::Fastlege)
        || (policy.serious_needs_approval && case.severity == SERIOUS)
}

/// Tells the duty address at once that a report seems to be about serious harm, by the number alone.
pub(super) fn alert_duty(change: &mut Change, placing: &Placing<'_>) {
    let Some(address) = &placing.policy.duty_address else {
        return;
    };
    if change.case.severity != SERIOUS {
        return;
    }
    change.mails.push(MailOrder {
        kind: MailKind::Vakt,
        party: DUTY.to_owned(),
        to: vec![address.clone()],
        language: Language::Bokmal,
        seq: 1,
        held: false,
    });
    change.note(
        EventKind::Alerted,
        placing.now_ms,
        &Actor::Worker,
        "",
        json!({ "severity": SERIOUS }),
    );
}

fn stands_in(party: &Party, addressed: &[String]) -> bool {
    addressed
        .iter()
        .any(|address| party.addresses.contains(address))
}

/// The mail to the reporter that the case asks for now: the acknowledgement if it is still to be given and may be, or a
/// status mail when the case went elsewhere than the reporter was told.
pub(super) fn tell_reporter(
    change: &mut Change,
    placing: &Placing<'_>,
    acknowledge_now: bool,
    held: bool,
) {
    // Who has it: the party once it has it, else the samhandlingsavdeling.
    let has_it = match change.case.state {
        State::Sent | State::SecureHandover | State::Answered | State::Registered
            if change.case.destination != SAMHANDLING =>
        {
            change.case.destination.clone()
        }
        _ => String::new(),
    };
    let (kind, seq) = match change.case.acknowledgement {
        Acknowledgement::Not(_) if acknowledge_now && !change.case.reporter_address.is_empty() => {
            (MailKind::Kvittering, 1)
        }
        Acknowledgement::Queued if change.case.told_party != has_it => {
            (MailKind::Status, change.case.version.saturating_add(1))
        }
        _ => return,
    };
    change.case.told_party = has_it;
    change.mails.push(MailOrder {
        kind,
        party: String::new(),
        to: vec![change.case.reporter_address.clone()],
        language: change.case.language,
        seq,
        held,
    });
    if kind == MailKind::Kvittering {
        change.case.acknowledgement = Acknowledgement::Queued;
        change.note(
            EventKind::Acknowledgement,
            placing.now_ms,
            placing.actor,
            "",
            json!({ "mail": kind.id(), "held": held }),
        );
    }
}

/// Whether the one reminder is possible for a case of this type.
pub(super) fn reminder_for(kind: &str, too_old: bool) -> Reminder {
    if too_old || !names::expects_answer(kind) {
        Reminder::Never
    } else {
        Reminder::Allowed
    }
}
