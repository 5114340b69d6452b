//! The life of a case as a model: random events in random order, and what must hold after each of them whatever came before.
//! Every change is decided by the program's own functions; the store is not part of it. `PROPTEST_CASES` says how many lives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use linjevei::calendar::{self, Calendar};
use linjevei::case::admit::{self, Admission, Arrival};
use linjevei::case::person::{self, DISMISS_REASONS, HANDOVER_WAYS, Order};
use linjevei::case::surroundings::{Surroundings, Thread, ThreadBy};
use linjevei::case::undeliverable::DeadAddresses;
use linjevei::case::{
    Acknowledgement, Actor, Case, CaseNumber, Change, Event, EventKind, MailKind, MailOrder,
    Policy, Reminder, SAMHANDLING, State, chase, names, undeliverable, undo,
};
use linjevei::message::{Limits, Message, parse};
use linjevei::rules::{ClassifyContext, RuleSet};
use proptest::prelude::*;
use proptest::sample::select;

const RULES: &str = r#"
[[parties]]
id = "samhandling"
name = "Samhandlingsavdelingen"
kind = "samhandling"

[[parties]]
id = "medisin"
name = "Klinikk for medisin"
kind = "klinikk"
secure = true
addresses = ["medisin@sykehus.example"]

[[parties]]
id = "kirurgi"
name = "Klinikk for kirurgi"
kind = "klinikk"
addresses = ["kirurgi@sykehus.example"]

[[parties]]
id = "taus"
name = "Klinikken uten adresse"
kind = "klinikk"

[[parties]]
id = "nabo"
name = "Nabosykehuset"
kind = "annet-sykehus"
secure = true
addresses = ["post@nabo.example"]

[[parties]]
id = "halden"
name = "Halden kommune"
kind = "kommune"
secure = true
domains = ["halden.example"]
addresses = ["post@halden.example"]

[[rules]]
id = "avvik"
give = { type = "avvik" }
decisive = true
any = ["avvik"]

[[rules]]
id = "orientering"
give = { type = "orientering" }
decisive = true
any = ["orientering"]

[[rules]]
id = "annen-post"
give = { type = "ikke-avvik" }
decisive = true
any = ["kantine"]

[[rules]]
id = "medisin"
give = { destination = "medisin" }
decisive = true
any = ["slag"]

[[rules]]
id = "kirurgi"
give = { destination = "kirurgi" }
decisive = true
any = ["galle"]

[[rules]]
id = "nabo"
give = { destination = "nabo" }
decisive = true
any = ["nabo"]

[[rules]]
id = "alvor"
give = { severity = "betydelig" }
decisive = true
any = ["død"]

[[rules]]
id = "svar"
give = { type = "svar" }
decisive = true
any = ["endelig", "foreløpig", "adressat", "takk"]

[[rules]]
id = "endelig"
give = { reply = "endelig" }
decisive = true
any = ["endelig"]

[[rules]]
id = "forelopig"
give = { reply = "forelopig" }
decisive = true
any = ["foreløpig"]

[[rules]]
id = "feil-adressat"
give = { reply = "feil-adressat" }
decisive = true
any = ["adressat"]

[[rules]]
id = "takk"
give = { reply = "takk" }
decisive = true
any = ["takk"]
"#;

static SET: LazyLock<RuleSet> = LazyLock::new(|| {
    let files = BTreeMap::from([("regler.toml".to_owned(), RULES.to_owned())]);
    RuleSet::compile(&files).unwrap_or_else(|faults| panic!("{faults}"))
});

const DAY_MS: i64 = 86_400_000;
/// 2026-01-05 09:00 UTC.
const START_MS: i64 = 1_767_603_600_000;
const PARTIES: [&str; 6] = [
    "samhandling",
    "medisin",
    "kirurgi",
    "taus",
    "nabo",
    "halden",
];
const TYPES: [&str; 5] = ["avvik", "forbedring", "faktura", "orientering", "ros"];

/// What can happen.
#[derive(Debug, Clone)]
enum Happening {
    Report {
        from: &'static str,
        about: &'static str,
        age_days: i64,
    },
    Mail {
        from: &'static str,
        says: &'static str,
        by: ThreadBy,
    },
    Order(Order),
    Days(i64),
    /// The last mail comes back, and nothing more goes to its addresses.
    Bounce,
    /// All addresses work again.
    Works,
    Merge,
    Split,
    Link,
}

fn happening() -> impl Strategy<Value = Happening> {
    let report = (
        select(vec![
            "post@halden.example",
            "noreply@halden.example",
            "lege@kontor.example",
        ]),
        select(vec![
            "Avvik om slag",
            "Avvik om galle",
            "Avvik hos nabo",
            "Avvik",
            "Avvik: død etter slag",
            "Til orientering om slag",
            "Kantine",
            "Noe annet",
        ]),
        select(vec![0_i64, 1, 20]),
    );
    let mail = (
        select(vec![
            "medisin@sykehus.example",
            "kirurgi@sykehus.example",
            "post@halden.example",
            "lege@kontor.example",
            "fremmed@annet.example",
        ]),
        select(vec![
            "Endelig svar",
            "Foreløpig svar",
            "Feil adressat",
            "Takk",
            "Hva nå?",
            "Avvik om galle",
        ]),
        select(vec![
            ThreadBy::SignedId,
            ThreadBy::Token,
            ThreadBy::EarlierMessage,
        ]),
    );
    let reroute = (
        proptest::option::of(select(PARTIES.to_vec())),
        proptest::option::of(select(TYPES.to_vec())),
    );
    prop_oneof![
        2 => report.prop_map(|(from, about, age_days)| Happening::Report { from, about, age_days }),
        4 => mail.prop_map(|(from, says, by)| Happening::Mail { from, says, by }),
        3 => reroute.prop_map(|(destination, kind)| Happening::Order(Order::Reroute {
            destination: destination.map(str::to_owned),
            kind: kind.map(str::to_owned),
            category: None,
            severity: None,
        })),
        2 => Just(Happening::Order(Order::Approve)),
        2 => select(HANDOVER_WAYS.to_vec()).prop_map(|by| Happening::Order(Order::HandedOver { by: by.to_owned() })),
        1 => Just(Happening::Order(Order::Answer)),
        1 => Just(Happening::Order(Order::Close)),
        1 => select(DISMISS_REASONS.to_vec()).prop_map(|because| Happening::Order(Order::Dismiss { because: because.to_owned() })),
        2 => Just(Happening::Order(Order::Reopen)),
        1 => Just(Happening::Order(Order::Note)),
        5 => select(vec![1_i64, 10, 30, 60]).prop_map(Happening::Days),
        1 => Just(Happening::Bounce),
        1 => Just(Happening::Works),
        1 => Just(Happening::Merge),
        1 => Just(Happening::Split),
        1 => Just(Happening::Link),
    ]
}

/// One case with all that has happened to it.
#[derive(Debug, Clone)]
struct Life {
    case: Case,
    events: Vec<Event>,
    mails: Vec<MailOrder>,
}

struct World {
    now_ms: i64,
    policy: Policy,
    calendar: Calendar,
    lives: Vec<Life>,
    messages: i64,
    dead: DeadAddresses,
}

fn message(from: &str, subject: &str, id: i64) -> Message {
    let raw = format!(
        "From: {from}\nTo: avvik@sykehus.example\nSubject: {subject}\nMessage-ID: <{id}@post.example>\n\n{subject}.\n"
    );
    parse(raw.as_bytes(), &Limits::default()).unwrap()
}

fn clerk() -> Actor {
    Actor::Person {
        user: "kari".to_owned(),
        on_behalf_of: String::new(),
    }
}

impl World {
    fn new() -> Self {
        Self {
            now_ms: START_MS,
            policy: Policy {
                duty_address: Some("vakt@sykehus.example".to_owned()),
                ..Policy::default()
            },
            calendar: Calendar::new(&[]).unwrap(),
            lives: Vec::new(),
            messages: 0,
            dead: DeadAddresses::default(),
        }
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            directory: SET.directory(),
            policy: &self.policy,
            now_ms: self.now_ms,
            recent_acknowledgements: 0,
            dead: &self.dead,
            returned: None,
            repeats: None,
        }
    }

    /// Stores a new case as the store does.
    fn store(&mut self, change: Change) {
        let Change {
            mut case,
            events,
            mails,
            ..
        } = change;
        let count = u32::try_from(self.lives.len()).unwrap() + 1;
        case.number = format!("SAK-2026-{count:06}")
            .parse::<CaseNumber>()
            .unwrap();
        case.id = i64::from(count);
        case.version = 1;
        let life = Life {
            case,
            events,
            mails,
        };
        holds(&life);
        self.lives.push(life);
    }

    /// Applies a change as the store does: the version that it was decided on is the stored one.
    fn apply(&mut self, at: usize, change: Change) {
        let life = &mut self.lives[at];
        let before = life.case.clone();
        assert_eq!(change.case.version, before.version);
        assert_eq!(change.case.number, before.number);
        if change.case.state != before.state {
            assert!(
                !change.events.is_empty(),
                "{} → {} without a word",
                before.state.id(),
                change.case.state.id()
            );
        }
        assert_eq!(
            change.case.received_day, before.received_day,
            "the day of receipt never moves"
        );
        if before.acknowledgement == Acknowledgement::Queued {
            let taken_back = change.case.acknowledgement != Acknowledgement::Queued;
            assert!(
                !taken_back,
                "an acknowledgement that was promised is not taken back"
            );
        }
        life.case = change.case;
        life.case.version += 1;
        life.events.extend(change.events);
        life.mails.extend(change.mails);
        holds(life);
    }

    fn happens(&mut self, happening: &Happening, at: usize) {
        match happening {
            Happening::Report {
                from,
                about,
                age_days,
            } => self.report(from, about, *age_days),
            Happening::Mail { from, says, by } => self.mail(at, from, says, *by),
            Happening::Order(order) => self.order(at, order),
            Happening::Days(days) => self.days(*days),
            Happening::Bounce => self.bounce(at),
            Happening::Works => self.dead = DeadAddresses::default(),
            Happening::Merge => self.merge(at),
            Happening::Split => self.split(at),
            Happening::Link => self.link(at),
        }
    }

    fn report(&mut self, from: &str, about: &str, age_days: i64) {
        self.messages += 1;
        let message = message(from, about, self.messages);
        let verdict = SET.classify(&message, &ClassifyContext::default());
        let arrival = Arrival {
            message_id: self.messages,
            received_at_ms: self.now_ms - age_days * DAY_MS,
            first_seen_at_ms: self.now_ms,
            message: Some(&message),
            verdict: Some(&verdict),
        };
        match admit::admit(&arrival, None, &self.around()) {
            Admission::Opened(change) => self.store(*change),
            Admission::LeftAlone(reason) => assert!(!reason.is_empty()),
            Admission::Joined(_) => panic!("there is nothing to join"),
        }
    }

    fn mail(&mut self, at: usize, from: &str, says: &str, by: ThreadBy) {
        let Some(life) = self.lives.get(at) else {
            return;
        };
        let thread = Thread {
            case: life.case.clone(),
            by,
        };
        self.messages += 1;
        let message = message(from, says, self.messages);
        let context = ClassifyContext::default();
        let verdict = SET.classify(&message, &context);
        let arrival = Arrival {
            message_id: self.messages,
            received_at_ms: self.now_ms,
            first_seen_at_ms: self.now_ms,
            message: Some(&message),
            verdict: Some(&verdict),
        };
        let before = life.case.clone();
        match admit::admit(&arrival, Some(thread), &self.around()) {
            Admission::Opened(change) => self.store(*change),
            Admission::Joined(change) => {
                let trusted =
                    by == ThreadBy::SignedId && SET.directory().belongs(from, &before.destination);
                if change.case.state == State::Answered && before.state != State::Answered {
                    assert!(trusted, "{from} answered by {by:?}");
                }
                self.apply(at, *change);
            }
            Admission::LeftAlone(_) => panic!("mail in a thread is never left alone"),
        }
    }

    fn order(&mut self, at: usize, order: &Order) {
        let Some(life) = self.lives.get(at) else {
            return;
        };
        let carried = person::carry_out(&life.case, order, &clerk(), "fordi", &[], &self.around());
        if let Ok(change) = carried {
            let by_person = |event: &Event| event.actor != Actor::Worker && event.reason == "fordi";
            assert!(
                change.events.iter().any(by_person),
                "{order:?} without name and reason"
            );
            self.apply(at, change);
        }
    }

    fn days(&mut self, days: i64) {
        // As the worker does: it looks every day, but may have been off for all of them.
        self.now_ms += days * DAY_MS;
        for at in 0..self.lives.len() {
            for _ in 0..3 {
                let case = &self.lives[at].case;
                let Some(change) = chase::due_change(
                    case,
                    &self.calendar,
                    SET.directory(),
                    &self.dead,
                    &self.policy,
                    self.now_ms,
                ) else {
                    break;
                };
                self.apply(at, change);
            }
            let case = &self.lives[at].case;
            let again = chase::due_change(
                case,
                &self.calendar,
                SET.directory(),
                &self.dead,
                &self.policy,
                self.now_ms,
            );
            assert_eq!(again, None, "what was due has been done");
        }
    }

    fn bounce(&mut self, at: usize) {
        let Some(life) = self.lives.get(at) else {
            return;
        };
        let Some(mail) = life.mails.last() else {
            return;
        };
        let mut change = Change::of(life.case.clone());
        self.dead = DeadAddresses::new(mail.to.iter().map(String::as_str));
        undeliverable::note(&mut change, mail.kind, &mail.party, "5.1.1", self.now_ms);
        assert!(change.case.attention, "a person must know");
        self.apply(at, change);
    }

    fn merge(&mut self, at: usize) {
        let other = (at + 1) % self.lives.len().max(1);
        let (Some(from), Some(into)) = (self.lives.get(at), self.lives.get(other)) else {
            return;
        };
        let merged = undo::merge(
            &from.case,
            &into.case,
            &[from.case.message_id],
            &clerk(),
            "samme sak",
            self.now_ms,
        );
        if let Ok((gone, kept)) = merged {
            self.apply(at, gone);
            self.apply(other, kept);
        }
    }

    fn split(&mut self, at: usize) {
        let Some(life) = self.lives.get(at) else {
            return;
        };
        let actor = clerk();
        let entry = admit::Entry {
            actor: &actor,
            reason: "to saker",
            adopted: "",
            split_from: Some(&life.case),
        };
        if let Ok(new) = undo::second_case(&life.case, &entry, self.now_ms) {
            self.store(new);
        }
    }

    fn link(&mut self, at: usize) {
        let Some(life) = self.lives.get(at) else {
            return;
        };
        let other = self.lives[(at + 1) % self.lives.len()].case.number;
        let change = undo::link(&life.case, other, &clerk(), "hører sammen", self.now_ms);
        self.apply(at, change);
    }
}

/// What holds of a case at any time.
fn holds(life: &Life) {
    let Life {
        case,
        events,
        mails,
    } = life;
    let count = |kind: MailKind| mails.iter().filter(|mail| mail.kind == kind).count();
    let acknowledged = case.acknowledgement == Acknowledgement::Queued;
    assert_eq!(
        count(MailKind::Kvittering),
        usize::from(acknowledged),
        "one acknowledgement decision: {life:#?}"
    );
    assert_eq!(
        count(MailKind::Purring),
        usize::from(case.reminder == Reminder::Queued),
        "one reminder: {life:#?}"
    );
    assert!(count(MailKind::Vakt) <= 1, "one alarm: {life:#?}");
    // Nothing that is expected is without a due date, and it is counted from the day of receipt.
    let due = names::expects_answer(&case.kind).then(|| calendar::due_day(case.received_day));
    if !case.kind.is_empty() && !matches!(case.kind.as_str(), "svar" | "ikke-avvik") {
        assert_eq!(case.due_day, due, "{life:#?}");
    }
    if case.due_day.is_none() {
        assert_ne!(case.reminder, Reminder::Allowed, "{life:#?}");
    }
    // Somebody has it.
    match case.state {
        State::Sent | State::SecureHandover | State::Approval => {
            assert!(
                SET.directory().party(&case.destination).is_some(),
                "without owner: {life:#?}"
            );
            assert_ne!(
                case.destination, "taus",
                "given to a party that cannot be reached: {life:#?}"
            );
        }
        State::Received => panic!("nobody has decided on it: {life:#?}"),
        _ => {}
    }
    assert_eq!(
        case.closed_at_ms.is_some(),
        matches!(case.state, State::Closed | State::Dismissed),
        "{life:#?}"
    );
    if case.state == State::Sent {
        assert!(case.sent_at_ms.is_some(), "{life:#?}");
    }
    match case.state {
        State::Answered => assert!(case.answered_at_ms.is_some(), "{life:#?}"),
        // Closed and dismissed cases keep the day of their answer, if there was one.
        State::Closed | State::Dismissed => {}
        _ => assert_eq!(case.answered_at_ms, None, "{life:#?}"),
    }
    if case.merged_into.is_some() {
        assert_eq!(case.state, State::Dismissed, "{life:#?}");
    }
    // No content by a way that is not secure, and none to the department itself.
    for mail in mails {
        assert!(
            !mail.to.is_empty() && mail.to.iter().all(|to| to.contains('@')),
            "{mail:?}"
        );
        let party = if mail.party.is_empty() {
            &case.reporter_party
        } else {
            &mail.party
        };
        if mail.kind.carries_content() {
            assert!(
                SET.directory()
                    .party(party)
                    .is_some_and(|party| party.secure),
                "{mail:?}"
            );
        }
        assert_ne!(mail.party, SAMHANDLING, "{mail:?}");
    }
    let mut rows: Vec<_> = mails
        .iter()
        .map(|mail| (mail.kind, mail.party.clone(), mail.seq))
        .collect();
    rows.sort();
    rows.dedup();
    assert_eq!(
        rows.len(),
        mails.len(),
        "two mails would be one row of the outbox: {life:#?}"
    );
    // The history tells the same.
    assert_eq!(
        events.first().map(|event| event.kind),
        Some(EventKind::Opened)
    );
    assert_eq!(replayed(events), case.state, "{life:#?}");
}

/// Where a case stands by its history alone.
fn replayed(events: &[Event]) -> State {
    events.last().map_or(State::Received, |event| event.state)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// No case without an owner, no two reminders, no lost due date, and a history that ends where the case stands.
    #[test]
    fn a_case_keeps_its_promises_whatever_happens(
        first in select(vec!["Avvik om slag", "Avvik om galle", "Avvik hos nabo", "Avvik", "Avvik: død etter slag"]),
        happenings in prop::collection::vec((happening(), 0_usize..3), 1..40),
    ) {
        let mut world = World::new();
        world.happens(&Happening::Report { from: "post@halden.example", about: first, age_days: 0 }, 0);
        for (happening, at) in &happenings {
            let count = world.lives.len();
            world.happens(happening, at % count);
        }
        prop_assert!(!world.lives.is_empty());
    }
}
