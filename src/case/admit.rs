//! A message arrives: it opens a case, joins one, or is left alone with a reason.

use super::record::{Acknowledgement, Actor, Case, Change, EventKind, Reminder};
use super::routing::{self, Placing};
use super::surroundings::{Surroundings, Thread};
use super::{CaseNumber, State, form, likeness, names, reply};
use crate::calendar;
use crate::message::{Defect, Message, Reading};
use crate::rules::{Verdict, WhyNot};
use serde_json::{Value, json};

/// What is known of a message when it is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Row id of the stored message.
    pub message_id: i64,
    /// When it was received, Unix milliseconds; see [`received_at_ms`].
    pub received_at_ms: i64,
    /// When it was taken in, Unix milliseconds: its age is judged once, there.
    pub first_seen_at_ms: i64,
    /// The message; `None` when it could not be parsed.
    pub message: Option<&'a Message>,
    /// What the rules say; `None` when it could not be parsed.
    pub verdict: Option<&'a Verdict>,
}

/// Who makes a case of a message, and why.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The worker, or the person who undoes a decision.
    pub actor: &'a Actor,
    /// Why, as the person wrote it.
    pub reason: &'a str,
    /// Reason for which the message was left alone until now; empty when it was not.
    pub adopted: &'a str,
    /// The case that it was split off from.
    pub split_from: Option<&'a Case>,
}

impl Entry<'_> {
    const WORKER: Entry<'static> = Entry {
        actor: &Actor::Worker,
        reason: "",
        adopted: "",
        split_from: None,
    };

    fn by_person(&self) -> bool {
        *self.actor != Actor::Worker
    }

    /// What the history of the new case says of its beginning.
    fn data(&self, mut data: Value) -> Value {
        if let Some(object) = data.as_object_mut() {
            if !self.adopted.is_empty() {
                object.insert("adopted".to_owned(), json!(self.adopted));
            }
            if let Some(case) = self.split_from {
                object.insert("split_from".to_owned(), json!(case.number.to_string()));
            }
        }
        data
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// A new case; number and id are set by the store.
    Opened(Box<Change>),
    /// It joins a case.
    Joined(Box<Change>),
    /// Not ours; the reason is one of the `why_not` ids.
    LeftAlone(String),
}

/// The moment of receipt (Unix milliseconds): INTERNALDATE, else the topmost Received, else Date if not later than first
/// seen, else first seen.
pub fn received_at_ms(
    internal_date_ms: Option<i64>,
    message: Option<&Message>,
    first_seen_ms: i64,
) -> i64 {
    internal_date_ms
        .or_else(|| message.and_then(|message| message.received_ms))
        .or_else(|| {
            message
                .and_then(|message| message.date_ms)
                .filter(|date| *date <= first_seen_ms)
        })
        .unwrap_or(first_seen_ms)
}

/// Decides what becomes of a message.
pub fn admit(
    arrival: &Arrival<'_>,
    thread: Option<Thread>,
    around: &Surroundings<'_>,
) -> Admission {
    let (Some(message), Some(verdict)) = (arrival.message, arrival.verdict) else {
        return Admission::Opened(Box::new(unreadable(arrival, &Entry::WORKER, around)));
    };
    if let Some(thread) = thread {
        if reply::joins(&thread, message, verdict, around) {
            return Admission::Joined(Box::new(reply::join(
                arrival.message_id,
                thread,
                message,
                verdict,
                around,
            )));
        }
        return Admission::Opened(Box::new(open(
            arrival,
            message,
            verdict,
            Some(&thread.case),
            &Entry::WORKER,
            around,
        )));
    }
    // What only we have fetched, nobody else would ever see.
    if message.forsendelse.is_none()
        && verdict.kind.certain
        && verdict.kind.value.as_deref() == Some("ikke-avvik")
    {
        let reason = verdict.why_not.unwrap_or(WhyNot::IkkeAvvik);
        return Admission::LeftAlone(reason.id().to_owned());
    }
    Admission::Opened(Box::new(open(
        arrival,
        message,
        verdict,
        None,
        &Entry::WORKER,
        around,
    )))
}

/// The case that a person makes of a message, whatever the rules say of it; where they are sure, they place it too.
pub fn by_person(arrival: &Arrival<'_>, entry: &Entry<'_>, around: &Surroundings<'_>) -> Change {
    let (Some(message), Some(verdict)) = (arrival.message, arrival.verdict) else {
        return unreadable(arrival, entry, around);
    };
    open(arrival, message, verdict, entry.split_from, entry, around)
}

fn too_old(arrival: &Arrival<'_>, around: &Surroundings<'_>) -> bool {
    arrival
        .first_seen_at_ms
        .saturating_sub(arrival.received_at_ms)
        > around.policy.acknowledge_max_age_ms
}

fn unreadable(arrival: &Arrival<'_>, entry: &Entry<'_>, around: &Surroundings<'_>) -> Change {
    let mut case = blank(arrival.received_at_ms, around.now_ms);
    case.message_id = arrival.message_id;
    case.acknowledgement = Acknowledgement::Not(WhyNot::Unreadable);
    case.attention = true;
    let mut change = Change::of(case);
    change.case.state = State::Triage;
    change.note(
        EventKind::Opened,
        around.now_ms,
        entry.actor,
        entry.reason,
        entry.data(json!({ "message": arrival.message_id, "unreadable": true })),
    );
    note_no_acknowledgement(&mut change, WhyNot::Unreadable, around.now_ms);
    change
}

/// An empty case, before anything is known of it.
pub(super) fn blank(received_at_ms: i64, now_ms: i64) -> Case {
    let received_day = calendar::oslo_day(received_at_ms);
    Case {
        id: 0,
        number: CaseNumber {
            year: calendar::oslo_day(now_ms).year(),
            count: 0,
        },
        version: 0,
        state: State::Received,
        kind: String::new(),
        direction: "ukjent".to_owned(),
        destination: String::new(),
        copies: Vec::new(),
        category: String::new(),
        severity: String::new(),
        reporter_address: String::new(),
        reporter_source: crate::rules::ReporterSource::None,
        reporter_party: String::new(),
        reporter_message_id: String::new(),
        language: crate::rules::Language::Bokmal,
        reference: String::new(),
        received_at_ms,
        received_day,
        due_day: Some(calendar::due_day(received_day)),
        created_at_ms: now_ms,
        sent_at_ms: None,
        answered_at_ms: None,
        closed_at_ms: None,
        acknowledgement: Acknowledgement::Not(WhyNot::UncertainType),
        told_party: String::new(),
        reminder: Reminder::Allowed,
        attention: false,
        message_id: 0,
        merged_into: None,
        duplicate_of: None,
    }
}

/// A forsendelse that could not be read at first goes on in the case that the notice of it opened. Where nobody has touched
/// that case it becomes what it would have been; else the forsendelse joins it and a person looks.
pub fn complete(arrival: &Arrival<'_>, case: Case, around: &Surroundings<'_>) -> Change {
    let untouched = case.version <= 1
        && case.state == State::Triage
        && case.acknowledgement == Acknowledgement::Not(WhyNot::Unreadable);
    if let (true, Some(message), Some(verdict)) = (untouched, arrival.message, arrival.verdict) {
        let base = Case {
            id: case.id,
            number: case.number,
            version: case.version,
            created_at_ms: case.created_at_ms,
            ..blank(arrival.received_at_ms, around.now_ms)
        };
        let data = json!({ "message": arrival.message_id, "role": "readable", "ruleset": verdict.ruleset });
        return fill(
            base,
            (EventKind::Joined, data),
            arrival,
            message,
            verdict,
            &Entry::WORKER,
            around,
        );
    }
    let mut change = Change::of(case);
    change.case.attention = true;
    change.case.message_id = arrival.message_id;
    if let Some(message) = arrival.message {
        change.fields = form::fields(message, arrival.message_id, change.case.received_day);
    }
    if let Some(verdict) = arrival.verdict
        && change.case.reporter_address.is_empty()
    {
        change
            .case
            .reporter_address
            .clone_from(&verdict.reporter.address);
        change.case.reporter_source = verdict.reporter.source;
        change.case.reporter_party = verdict.reporter.party.clone().unwrap_or_default();
    }
    change.record(
        EventKind::Joined,
        around.now_ms,
        json!({ "message": arrival.message_id, "role": "readable" }),
    );
    change
}

fn open(
    arrival: &Arrival<'_>,
    message: &Message,
    verdict: &Verdict,
    linked: Option<&Case>,
    entry: &Entry<'_>,
    around: &Surroundings<'_>,
) -> Change {
    let linked = linked.map(|case| case.number.to_string());
    let data = entry.data(json!({
        "message": arrival.message_id, "ruleset": verdict.ruleset, "linked": linked,
        "possible_duplicate_of": around.repeats.map(|(number, _)| number.to_string()),
        "alike": around.repeats.map(|(_, alike)| alike.id()), "unread": unread(message),
    }));
    fill(
        blank(arrival.received_at_ms, around.now_ms),
        (EventKind::Opened, data),
        arrival,
        message,
        verdict,
        entry,
        around,
    )
}

/// The case with what the rules say of the message.
fn judged(
    mut case: Case,
    arrival: &Arrival<'_>,
    message: &Message,
    verdict: &Verdict,
    entry: &Entry<'_>,
    around: &Surroundings<'_>,
) -> Case {
    let too_old = too_old(arrival, around);
    let value = |decision: &crate::rules::Decision| decision.value.clone().unwrap_or_default();
    case.message_id = arrival.message_id;
    case.kind = value(&verdict.kind);
    case.direction = verdict
        .direction
        .value
        .clone()
        .unwrap_or_else(|| "ukjent".to_owned());
    // `sak` and `postmottak` are places of the guide, not parties that could be asked.
    case.destination = verdict
        .destination
        .value
        .clone()
        .filter(|id| around.directory.party(id).is_some())
        .unwrap_or_default();
    case.copies.clone_from(&verdict.copies);
    case.category = value(&verdict.category);
    case.severity = value(&verdict.severity);
    case.reporter_address.clone_from(&verdict.reporter.address);
    case.reporter_source = verdict.reporter.source;
    case.reporter_party = verdict.reporter.party.clone().unwrap_or_default();
    case.reporter_message_id = message.message_id.clone().unwrap_or_default();
    case.language = verdict.language;
    case.reference = verdict.reference.clone().unwrap_or_default();
    if entry.by_person() && case.kind == "ikke-avvik" {
        // The person knows better; what it is then, they say when they place it.
        case.kind = String::new();
        case.reminder = if too_old {
            Reminder::Never
        } else {
            Reminder::Allowed
        };
    } else {
        if !names::expects_answer(&case.kind) {
            case.due_day = None;
        }
        case.reminder = routing::reminder_for(&case.kind, too_old);
    }
    case
}

/// Makes of an empty case what the message asks for.
fn fill(
    case: Case,
    (event, data): (EventKind, Value),
    arrival: &Arrival<'_>,
    message: &Message,
    verdict: &Verdict,
    entry: &Entry<'_>,
    around: &Surroundings<'_>,
) -> Change {
    let too_old = too_old(arrival, around);
    let (notice, damaged) = message
        .forsendelse
        .as_ref()
        .map_or((false, false), |forsendelse| {
            (forsendelse.unread, forsendelse.damaged)
        });
    let mut case = if notice {
        // The text is ours; what it is about nobody knows yet.
        Case {
            message_id: arrival.message_id,
            reporter_message_id: message.message_id.clone().unwrap_or_default(),
            reminder: routing::reminder_for("avvik", too_old),
            ..case
        }
    } else {
        judged(case, arrival, message, verdict, entry, around)
    };
    likeness::mark(&mut case, around);
    // The report may stand in what could not be read.
    case.attention |= message.defects.contains(&Defect::UnreadAttachment);
    let mut change = Change::of(case);
    if !notice {
        change.fields = form::fields(message, arrival.message_id, change.case.received_day);
    }
    change.note(event, around.now_ms, entry.actor, entry.reason, data);

    let addressed: Vec<String> = message
        .to
        .iter()
        .chain(&message.cc)
        .map(crate::message::Address::key)
        .collect();
    let placing = Placing {
        directory: around.directory,
        policy: around.policy,
        now_ms: around.now_ms,
        actor: &Actor::Worker,
        reason: "",
        approved: false,
        addressed: &addressed,
        dead: around.dead,
    };
    // A notice, or files that are not what they should be: a person looks, and only then somebody gets an answer.
    let doubtful = notice || damaged;
    change.case.attention |= doubtful;
    if doubtful
        || verdict.triage
        || change.case.destination.is_empty()
        || matches!(change.case.kind.as_str(), "" | "svar" | "ikke-avvik")
    {
        change.case.state = State::Triage;
    } else {
        routing::place(&mut change, &placing);
    }
    if !too_old {
        routing::alert_duty(&mut change, &placing);
    }
    let why_not = match verdict.why_not {
        _ if doubtful => Some(WhyNot::Unreadable),
        // A person says that it is a report: it waits for its place like one whose type is uncertain.
        Some(WhyNot::IkkeAvvik) if entry.by_person() => Some(WhyNot::UncertainType),
        why_not => why_not,
    };
    // What would be acknowledged once a person has placed it is not when it is too old.
    let why_not = match why_not {
        Some(WhyNot::Unreadable) if too_old && !notice => Some(WhyNot::TooOld),
        None | Some(WhyNot::UncertainType | WhyNot::Unauthenticated | WhyNot::Svar) if too_old => {
            Some(WhyNot::TooOld)
        }
        why_not => why_not,
    };
    if why_not.is_none() {
        let held = around.recent_acknowledgements >= around.policy.acknowledgements_per_hour;
        routing::tell_reporter(&mut change, &placing, true, held);
    }
    if change.case.acknowledgement != Acknowledgement::Queued {
        let why_not = why_not.unwrap_or(WhyNot::NoAddress);
        change.case.acknowledgement = Acknowledgement::Not(why_not);
        note_no_acknowledgement(&mut change, why_not, around.now_ms);
    }
    change
}

/// Why attachments could not be read, for the history: each reason once; images that stand beside a text are no reason.
pub(super) fn unread(message: &Message) -> Option<Vec<&'static str>> {
    let mut reasons: Vec<&'static str> = message
        .attachments
        .iter()
        .filter_map(|attachment| match attachment.reading {
            Reading::Unread(reason) => Some(reason.id()),
            Reading::Taken | Reading::Pending => None,
        })
        .collect();
    if reasons.is_empty() && message.defects.contains(&Defect::UnreadAttachment) {
        reasons.push("in-part");
    }
    reasons.sort_unstable();
    reasons.dedup();
    (!reasons.is_empty()).then_some(reasons)
}

fn note_no_acknowledgement(change: &mut Change, why_not: WhyNot, now_ms: i64) {
    change.note(
        EventKind::Acknowledgement,
        now_ms,
        &Actor::Worker,
        "",
        json!({ "why_not": why_not.id() }),
    );
}
