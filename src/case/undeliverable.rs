//! A mail of ours that cannot be written, that a server refuses for good, that comes back, or that has no address left to go
//! to: a person must know, and a case whose party cannot be reached is placed anew.

use super::record::{Acknowledgement, Actor, Change, EventKind};
use super::{MailKind, State};
use crate::message::{BounceReport, Fate};
use crate::rules::{Party, WhyNot};
use serde_json::json;
use std::collections::BTreeSet;

/// Addresses from which mail came back because they take none, until a person says that they work again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadAddresses(BTreeSet<String>);

impl DeadAddresses {
    /// These addresses, in any letter case.
    pub fn new<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Self {
        Self(addresses.into_iter().map(str::to_lowercase).collect())
    }

    /// Whether mail may be sent there.
    pub fn works(&self, address: &str) -> bool {
        !self.0.contains(&address.to_lowercase())
    }

    /// Whether the party has addresses and none of them works.
    pub fn cut_off(&self, party: &Party) -> bool {
        !party.send_to.is_empty() && !party.send_to.iter().any(|address| self.works(address))
    }

    /// The party's addresses that work; all of them where none does, so that its mail is written and held.
    pub fn reachable(&self, party: &Party) -> Vec<String> {
        let working: Vec<String> = party
            .send_to
            .iter()
            .filter(|address| self.works(address))
            .cloned()
            .collect();
        if working.is_empty() {
            party.send_to.clone()
        } else {
            working
        }
    }
}

/// A mail of ours, as it stands in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMail {
    /// Its row.
    pub id: i64,
    /// Whether it belongs to a case; else it is about many.
    pub of_case: bool,
    /// Which text.
    pub kind: MailKind,
    /// Party id; empty for the reporter.
    pub party: String,
    /// Its addresses and whether something is still expected of them: not refused, not come back.
    pub recipients: Vec<(String, bool)>,
}

/// What is to be written about a mail that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Its row in the outbox.
    pub mail: i64,
    /// Those of its addresses that it did not reach.
    pub addresses: Vec<String>,
    /// Nothing more is sent to them.
    pub dead: bool,
    /// Enhanced status code; empty when unknown.
    pub status: String,
}

/// What a delivery report says of one of our mails; `None` when nothing is lost, or it cannot be told for whom.
pub fn returned(report: &BounceReport, mail: &SentMail) -> Option<Returned> {
    let fate = report.fate();
    if !matches!(fate, Fate::MailFailed | Fate::AddressFailed) {
        return None;
    }
    let mut addresses: Vec<String> = mail
        .recipients
        .iter()
        .map(|(address, _)| address)
        .filter(|address| {
            let named = |named: &String| named.eq_ignore_ascii_case(address);
            report.recipients.iter().any(named)
        })
        .cloned()
        .collect();
    // An address that was rewritten on the way is not known here; of a mail to one address it is clear all the same.
    if addresses.is_empty()
        && let [(only, _)] = mail.recipients.as_slice()
    {
        addresses.push(only.clone());
    }
    addresses.retain(|address| !address.is_empty());
    (!addresses.is_empty()).then(|| Returned {
        mail: mail.id,
        addresses,
        // The digest and the duty mail are how people hear of such things: they are tried every time.
        dead: fate == Fate::AddressFailed && mail.of_case && mail.kind != MailKind::Vakt,
        status: report.status.clone(),
    })
}

/// Notes in the change what a delivery report says. `mail` is only known when the report proves which mail it is about: a
/// report that proves nothing is shown to a person and marks nothing.
pub(super) fn reported(
    change: &mut Change,
    report: &BounceReport,
    mail: Option<&SentMail>,
    now_ms: i64,
) {
    let failed = matches!(report.fate(), Fate::MailFailed | Fate::AddressFailed);
    let Some((mail, returned)) = mail.and_then(|mail| Some((mail, returned(report, mail)?))) else {
        change.case.attention |= failed;
        return;
    };
    let why = format!("came back {}", returned.status);
    let nobody_left = mail
        .recipients
        .iter()
        .all(|(address, expected)| !expected || returned.addresses.contains(address));
    if nobody_left {
        note(change, mail.kind, &mail.party, why.trim_end(), now_ms);
    } else {
        change.case.attention = true;
        change.record(
            EventKind::MailFailed,
            now_ms,
            json!({ "mail": mail.kind.id(), "party": mail.party, "why": why.trim_end(), "others_reached": true }),
        );
    }
}

/// Notes in the change that a mail of the given kind and party will not arrive.
pub fn note(change: &mut Change, kind: MailKind, party: &str, why: &str, now_ms: i64) {
    change.case.attention = true;
    match kind {
        MailKind::Kvittering => change.case.told_party = String::new(),
        MailKind::Sak | MailKind::Varsel | MailKind::Kort | MailKind::Purring
            if party == change.case.destination
                && matches!(change.case.state, State::Sent | State::SecureHandover) =>
        {
            change.case.put_in_triage();
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

/// A person lets a mail go once more. A case that came back to triage because its party could not be reached is with the
/// party again.
pub fn retried(change: &mut Change, kind: MailKind, party: &str, word: &RetryWord, now_ms: i64) {
    if change.case.state == State::Triage && party == change.case.destination {
        let state = match kind {
            MailKind::Sak | MailKind::Kort => State::Sent,
            MailKind::Varsel => State::SecureHandover,
            _ => State::Triage,
        };
        if state != State::Triage {
            change.case.state = state;
            change.case.sent_at_ms = (state == State::Sent).then_some(now_ms);
            change.case.attention = false;
        }
    }
    change.note(
        EventKind::Retried,
        now_ms,
        &word.actor,
        &word.reason,
        json!({ "mail": kind.id(), "party": party, "address_works": word.address_works }),
    );
}

/// A person's word about a mail that did not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryWord {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: String,
    /// Its addresses work again, whatever came back from them.
    pub address_works: bool,
}
