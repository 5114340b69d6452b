//! A mail of ours that cannot be written, or that a server refuses for good: a person must know, and a case whose party
//! cannot be reached is placed anew.

use super::record::{Acknowledgement, Actor, Change, EventKind};
use super::{MailKind, State};
use crate::rules::WhyNot;
use serde_json::json;

/// Notes in the change that a mail of the given kind and party will not arrive.
pub fn note(change: &mut Change, kind: MailKind, party: &str, why: &str, now_ms: i64) {
    change.case.attention = true;
    match kind {
        MailKind::Kvittering => change.case.told_party = String::new(),
        MailKind::Sak | MailKind::Varsel | MailKind::Kort | MailKind::Purring
            if party == change.case.destination
                && matches!(change.case.state, State::Sent | State::SecureHandover) =>
        {
            change.case.to_triage();
        }
        _ => {}
    }
    change.note(
        EventKind::MailFailed,
        now_ms,
        &Actor::Worker,
        "",
        json!({ "mail": kind.id(), "party": party, "why": why }),
    );
}

/// The same for a mail that could not even be written; an acknowledgement then has a reason instead of a row.
pub fn note_unwritten(change: &mut Change, kind: MailKind, party: &str, why: &str, now_ms: i64) {
    if kind == MailKind::Kvittering {
        change.case.acknowledgement = Acknowledgement::Not(WhyNot::NoAddress);
    }
    note(change, kind, party, why, now_ms);
}
