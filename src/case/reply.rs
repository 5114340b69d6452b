//! A message that refers to a stored case: does it join the case, may it be trusted, what does it change?

use super::record::{Actor, Change, EventKind, MailOrder};
use super::surroundings::{Surroundings, Thread, ThreadBy};
use super::{MailKind, State, form, names, undeliverable};
use crate::message::{AuthenticationResults, Mark, Message};
use crate::rules::Verdict;
use serde_json::json;

/// Who a joining message comes from, seen from the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A machine: out-of-office, bounce, read receipt, another system's receipt. Never changes the state.
    Machine,
    /// Belongs to the responsible party and is trusted.
    TrustedAnswer,
    /// Says it is the responsible party, but nothing proves it.
    UntrustedAnswer,
    /// The reporter.
    Reporter,
    /// Somebody else.
    Other,
}

impl Role {
    const fn id(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::TrustedAnswer => "trusted-answer",
            Self::UntrustedAnswer => "untrusted-answer",
            Self::Reporter => "reporter",
            Self::Other => "other",
        }
    }
}

const MACHINE_MARKS: [Mark; 7] = [
    Mark::AutoReplied,
    Mark::PrecedenceAutoReply,
    Mark::Bounce,
    Mark::ReadReceipt,
    Mark::FeedbackReport,
    Mark::MailerDaemon,
    Mark::OwnLoop,
];

/// Whether the message belongs to the case; if not, it is a new report in an old thread and opens a case of its own.
pub(super) fn joins(
    thread: &Thread,
    message: &Message,
    verdict: &Verdict,
    around: &Surroundings<'_>,
) -> bool {
    let new_report = verdict.kind.certain
        && verdict
            .kind
            .value
            .as_deref()
            .is_some_and(names::expects_answer);
    match role(thread, message, verdict, around) {
        Role::Machine | Role::TrustedAnswer | Role::UntrustedAnswer => true,
        Role::Reporter | Role::Other => !new_report,
    }
}

fn role(thread: &Thread, message: &Message, verdict: &Verdict, around: &Surroundings<'_>) -> Role {
    if MACHINE_MARKS
        .iter()
        .any(|mark| message.marks.contains(mark))
        || verdict.robot.certain
    {
        return Role::Machine;
    }
    let Some(author) = message.author().map(crate::message::Address::key) else {
        return Role::Other;
    };
    // A report that a party wrote about itself does not occur; where reporter and party share a domain the address decides.
    if author == thread.case.reporter_address.to_lowercase() {
        return Role::Reporter;
    }
    if !thread.case.destination.is_empty()
        && around.directory.belongs(&author, &thread.case.destination)
    {
        return if trusted(thread.by, message, &author, around) {
            Role::TrustedAnswer
        } else {
            Role::UntrustedAnswer
        };
    }
    Role::Other
}

/// With a trusted mail server: an aligned DKIM or DMARC pass, and a signed Message-ID or the token. Without one: only our
/// signed Message-ID. A token alone never.
fn trusted(by: ThreadBy, message: &Message, author: &str, around: &Surroundings<'_>) -> bool {
    match &around.policy.authserv_id {
        None => by == ThreadBy::SignedId,
        Some(authserv_id) => {
            matches!(by, ThreadBy::SignedId | ThreadBy::Token)
                && message.authentication.as_ref().is_some_and(|results| {
                    results.authserv_id.eq_ignore_ascii_case(authserv_id)
                        && aligned_pass(results, author)
                })
        }
    }
}

/// A DMARC pass for the author's domain, or a DKIM pass whose signing domain is the author's domain or a parent of it
/// (RFC 7489 section 3.1, relaxed alignment without a public suffix list: the parent needs a dot of its own).
pub(crate) fn aligned_pass(results: &AuthenticationResults, author: &str) -> bool {
    let Some((_, domain)) = author.rsplit_once('@') else {
        return false;
    };
    let aligned = |signing: &str| {
        let signing = signing.trim_start_matches('@');
        signing == domain
            || (signing.contains('.')
                && domain
                    .strip_suffix(signing)
                    .is_some_and(|rest| rest.ends_with('.')))
    };
    results
        .results
        .iter()
        .filter(|result| result.result == "pass")
        .any(|result| {
            result
                .properties
                .iter()
                .any(|(name, value)| match result.method.as_str() {
                    "dkim" => name == "header.d" && aligned(value),
                    "dmarc" => name == "header.from" && aligned(value),
                    _ => false,
                })
        })
}

/// The change that the joining message makes.
pub(super) fn join(
    message_id: i64,
    thread: Thread,
    message: &Message,
    verdict: &Verdict,
    around: &Surroundings<'_>,
) -> Change {
    let role = role(&thread, message, verdict, around);
    let by = thread.by;
    let mut change = Change::of(thread.case);
    let kind = verdict
        .reply
        .value
        .as_deref()
        .filter(|_| verdict.reply.certain)
        .unwrap_or_default();
    match role {
        Role::Machine => machine(&mut change, message, around),
        Role::TrustedAnswer => answer(&mut change, kind, around),
        Role::Reporter => from_reporter(&mut change, kind),
        Role::UntrustedAnswer | Role::Other => change.case.attention = true,
    }
    if supplements(role, &change, message, around) {
        change.fields = form::fields(message, message_id, change.case.received_day);
    }
    change.case.attention |= message
        .defects
        .contains(&crate::message::Defect::UnreadAttachment);
    change.events.insert(
        0,
        super::Event {
            kind: EventKind::Joined,
            at_ms: around.now_ms,
            actor: Actor::Worker,
            reason: String::new(),
            state: change.case.state,
            data: joined(message_id, role, by, kind, message, verdict),
        },
    );
    change
}

/// What the history says of a message that joined: ids alone.
fn joined(
    message_id: i64,
    role: Role,
    by: ThreadBy,
    kind: &str,
    message: &Message,
    verdict: &Verdict,
) -> serde_json::Value {
    let mut data = json!({
        "message": message_id, "role": role.id(), "by": by.id(), "reply": kind, "ruleset": verdict.ruleset,
        "unread": super::admit::unread(message),
    });
    if let (Some(report), Some(object)) = (&message.bounce, data.as_object_mut()) {
        object.insert("delivery".to_owned(), json!(report.fate().id()));
    }
    data
}

/// Whether the message adds to the report: it comes from the reporter, or from a colleague at the same party. What an
/// answer says in its form is not what was reported.
fn supplements(role: Role, change: &Change, message: &Message, around: &Surroundings<'_>) -> bool {
    let colleague = || {
        let party = change.case.reporter_party.as_str();
        !party.is_empty()
            && message
                .author()
                .is_some_and(|author| around.directory.belongs(&author.key(), party))
    };
    role == Role::Reporter || role == Role::Other && colleague()
}

fn machine(change: &mut Change, message: &Message, around: &Surroundings<'_>) {
    // A bounce of ours tells a person; everything else a machine says is only kept.
    if let Some(report) = &message.bounce {
        undeliverable::reported(change, report, around.returned, around.now_ms);
    }
}

/// A trusted answer of the responsible party. What kind it is, the rules say; doubt goes to a person.
fn answer(change: &mut Change, kind: &str, around: &Surroundings<'_>) {
    match kind {
        "endelig" => {
            if matches!(change.case.state, State::Sent | State::SecureHandover) {
                change.case.state = State::Answered;
                change.case.answered_at_ms = Some(around.now_ms);
                change.note(
                    EventKind::Answered,
                    around.now_ms,
                    &Actor::Worker,
                    "",
                    json!({ "party": change.case.destination }),
                );
            }
            relay(change, around);
        }
        "forelopig" | "sporsmal" => relay(change, around),
        "feil-adressat" => {
            if change.case.state.is_open() {
                change.case.put_in_triage();
            }
            change.case.attention = true;
        }
        "takk" => {}
        _ => change.case.attention = true,
    }
}

/// The reporter writes again: a thank-you changes nothing, an objection to an answer reopens, all else a person sees.
fn from_reporter(change: &mut Change, kind: &str) {
    if kind == "takk" {
        return;
    }
    change.case.attention = true;
    if matches!(change.case.state, State::Answered | State::Closed) && kind != "purring" {
        change.case.put_in_triage();
    }
}

/// The answer on its way home: with its text to an address of a `secure` party, else a notice and a task for a person.
pub(super) fn relay(change: &mut Change, around: &Surroundings<'_>) {
    if change.case.reporter_address.is_empty() {
        change.case.attention = true;
        return;
    }
    let secure = around
        .directory
        .party(&change.case.reporter_party)
        .is_some_and(|party| party.secure);
    if !secure {
        change.case.attention = true;
        notify_answer(change);
        return;
    }
    to_reporter(change, MailKind::Svar);
}

/// Tells the reporter that an answer has come which a person brings home in another way.
pub(super) fn notify_answer(change: &mut Change) {
    to_reporter(change, MailKind::Svarvarsel);
}

fn to_reporter(change: &mut Change, kind: MailKind) {
    change.mails.push(MailOrder {
        kind,
        party: String::new(),
        to: vec![change.case.reporter_address.clone()],
        language: change.case.language,
        seq: change.case.version.saturating_add(1),
        held: false,
    });
}
