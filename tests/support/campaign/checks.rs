//! What has to be true, after every kill and after everything was worked off.

use std::collections::{BTreeMap, BTreeSet};

use linjevei::calendar::{Calendar, oslo_at, oslo_day};
use linjevei::message::{self, Limits};

use super::database::{Left, Mail, Message, Snapshot};
use super::mail::{Delivered, Got};
use super::scene::{KEYWORD, Ours, Scene, TARGET, USERS};
use crate::smtp::Received;

/// Attempts after which a message goes to a person unread, because it might be the one that kills.
const GIVEN_UP: i64 = 10;
/// Deliveries of one mail to one address, at most.
const DELIVERIES_MAX: usize = 2;

/// One time that the SMTP server got a mail whole.
#[derive(Debug, Clone)]
struct Arrival {
    round: usize,
    to: Vec<String>,
    /// Code of the reply; `None`: none.
    answered: Option<u16>,
}

impl Arrival {
    /// Whether the recipient may have it.
    fn delivers(&self) -> bool {
        self.answered.is_none_or(|code| code < 400)
    }
}

/// What is known of one mail of ours.
#[derive(Debug, Default)]
struct Known {
    bytes: Vec<u8>,
    arrivals: Vec<Arrival>,
}

/// Sums for the end.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    pub messages: usize,
    pub cases: usize,
    pub mails: usize,
    pub received: usize,
    pub reminders: usize,
    pub given_up: usize,
    pub for_a_person: usize,
    pub doubled_allowed: usize,
    pub copied_twice: usize,
}

/// What is remembered from round to round, and what was found wrong.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Everything that was ever delivered.
    pub delivered: Vec<Delivered>,
    /// Mail of ours that has arrived, for answers to it.
    pub got: Vec<Got>,
    /// Flags that people have set, by the number of the message.
    pub by_people: BTreeMap<usize, BTreeSet<String>>,
    /// What is wrong.
    pub violations: Vec<String>,
    /// Calls of the store that were made to fail since everything was at rest.
    pub lost_answers: usize,
    /// What the database held after the last kill.
    pub last: Snapshot,
    /// Content whose outcome people have changed.
    pub by_order: BTreeSet<String>,
    pub figures: Figures,
    /// What was decided, by row.
    decided: BTreeMap<i64, (String, String, i64, i64)>,
    /// The row that is no copy, by content.
    originals: BTreeMap<String, i64>,
    /// Its outcome, once it is decided.
    fates: BTreeMap<String, String>,
    /// By Message-ID.
    known: BTreeMap<String, Known>,
    /// Message-ID and address of what is recorded as accepted.
    recorded: BTreeSet<(String, String)>,
    /// Rows up to these have been looked at as a whole and are at rest.
    at_rest: [i64; 4],
    /// How many mails of the SMTP server were looked at.
    taken: usize,
}

impl Ledger {
    fn wrong(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Right after the nodes were killed; so many of them.
    pub fn after_kill(&mut self, scene: &Scene, round: usize, nodes: usize) {
        if !scene.database.exists() {
            return;
        }
        let snapshot = scene.database.snapshot(self.at_rest);
        let sending = snapshot
            .mails
            .values()
            .filter(|mail| mail.state == "sending");
        let sending = sending.count();
        // What was claimed and not told stays so until the claim is over.
        if sending > nodes + self.lost_answers {
            self.wrong(format!("{sending} mails are in the air"));
        }
        self.messages(&snapshot);
        self.numbers(scene, &snapshot);
        self.cases(&snapshot);
        self.mails(scene, &snapshot, round);
        if round.is_multiple_of(4) {
            for serial in (0..USERS.len()).flat_map(|user| scene.moved(user)) {
                let hash = self.delivered[serial].hash.clone();
                if !self.is_ours(&hash) {
                    self.wrong(format!("message {serial} was moved before it was decided"));
                }
            }
        }
        self.last = snapshot;
    }

    /// Whether the message is in a case.
    pub fn is_ours(&self, hash: &str) -> bool {
        self.fates
            .get(hash)
            .is_some_and(|outcome| outcome == "opened" || outcome == "joined")
    }

    fn messages(&mut self, snapshot: &Snapshot) {
        for (id, message) in &snapshot.messages {
            let Message {
                outcome,
                reason,
                case_id,
                duplicate_of,
                hash,
                ..
            } = message;
            let sound = match outcome.as_str() {
                "pending" => reason.is_empty() && *case_id == 0 && *duplicate_of == 0,
                "opened" | "joined" => {
                    let there = *case_id <= self.at_rest[1] || snapshot.cases.contains_key(case_id);
                    *case_id > 0 && there && reason.is_empty() && *duplicate_of == 0
                }
                "left-alone" => !reason.is_empty() && *case_id == 0 && *duplicate_of == 0,
                "duplicate" => *duplicate_of > 0 && *case_id == 0,
                _ => false,
            };
            if !sound {
                self.wrong(format!("message row {id} is not one thing: {message:?}"));
            }
            if outcome == "duplicate" {
                let original = self.originals.get(hash).copied();
                if original != Some(*duplicate_of) {
                    self.wrong(format!(
                        "message row {id} is a copy of {duplicate_of}, not of {original:?}"
                    ));
                }
            } else {
                let original = *self.originals.entry(hash.clone()).or_insert(*id);
                if original != *id {
                    self.wrong(format!(
                        "message rows {original} and {id} are the same message"
                    ));
                }
                if outcome != "pending" {
                    self.fates.insert(hash.clone(), outcome.clone());
                }
            }
            let (outcome, reason, case_id, duplicate_of) = message.decision();
            let now = (outcome.to_owned(), reason.to_owned(), case_id, duplicate_of);
            match self.decided.get(id) {
                Some(before) if *before != now => {
                    let what = format!("message row {id} was {before:?} and is {now:?}");
                    self.wrong(what);
                }
                None if outcome != "pending" => {
                    self.decided.insert(*id, now);
                }
                _ => {}
            }
        }
        let behind = self.at_rest[0] + 1;
        let vanished: Vec<i64> = self
            .decided
            .range(behind..)
            .map(|(id, _)| *id)
            .filter(|id| !snapshot.messages.contains_key(id))
            .collect();
        if !vanished.is_empty() {
            self.wrong(format!("message rows {vanished:?} have vanished"));
        }
    }

    fn numbers(&mut self, scene: &Scene, snapshot: &Snapshot) {
        for (year, numbers) in scene.database.numbers() {
            let last = i64::try_from(numbers.len()).unwrap();
            if !numbers.iter().copied().eq(1..=last) {
                self.wrong(format!("the numbers of {year} have a gap among {last}"));
            }
            let counter = snapshot.counters.get(&year).copied();
            if counter != Some(last) {
                self.wrong(format!(
                    "{last} cases in {year}, and the counter says {counter:?}"
                ));
            }
        }
    }

    fn cases(&mut self, snapshot: &Snapshot) {
        let mut rows: BTreeMap<(i64, &str), Vec<&Mail>> = BTreeMap::new();
        for mail in snapshot.mails.values() {
            rows.entry((mail.case_id, mail.kind.as_str()))
                .or_default()
                .push(mail);
        }
        let of = |id: i64, kind: &'static str| rows.get(&(id, kind)).map_or(0, Vec::len);
        for (id, case) in &snapshot.cases {
            let acknowledgements = of(*id, "kvittering");
            let decided = match case.acknowledgement.as_str() {
                "queued" => acknowledgements == 1,
                "" => false,
                _ => acknowledgements == 0,
            };
            if !decided {
                self.wrong(format!(
                    "case row {id} has {acknowledgements} acknowledgements: {case:?}"
                ));
            }
            if of(*id, "purring") > 1 {
                self.wrong(format!(
                    "case row {id} has {} reminders",
                    of(*id, "purring")
                ));
            }
            for reminder in rows.get(&(*id, "purring")).into_iter().flatten() {
                let due = oslo_at(case.due_day.parse().unwrap(), 0);
                if reminder.created_at_ms < due || case.reminder != "queued" {
                    self.wrong(format!(
                        "case row {id} was reminded before it was due: {case:?}"
                    ));
                }
            }
        }
    }

    fn mails(&mut self, scene: &Scene, snapshot: &Snapshot, round: usize) {
        let by_id: BTreeMap<&str, &Mail> = snapshot
            .mails
            .values()
            .map(|mail| (mail.message_id.as_str(), mail))
            .collect();
        let new: Vec<Received> = scene.smtp.received_after(self.taken);
        self.taken += new.len();
        for received in new {
            let id = message::parse(&received.bytes, &Limits::default())
                .unwrap()
                .message_id
                .unwrap_or_default();
            let arrival = Arrival {
                round,
                to: received.to.clone(),
                answered: received.answered,
            };
            let mail = by_id.get(id.as_str()).copied();
            self.arrived(&id, arrival, received.bytes, mail);
        }
        // Everything that is recorded as accepted was accepted, and is never sent again.
        for mail in snapshot.mails.values() {
            for (address, state) in &mail.recipients {
                let place = (mail.message_id.clone(), address.clone());
                // Retention takes addresses away when the time of a case is over.
                if state != "accepted" || address.is_empty() || self.recorded.contains(&place) {
                    continue;
                }
                let accepted = self.known.get(&mail.message_id).is_some_and(|known| {
                    known.arrivals.iter().any(|arrival| {
                        arrival.answered.is_some_and(|code| code < 300)
                            && arrival.to.contains(address)
                    })
                });
                if !accepted {
                    self.wrong(format!(
                        "recorded as accepted, and the server never accepted it: {mail:?}"
                    ));
                }
                self.recorded.insert(place);
            }
        }
    }

    /// A mail came to the server, in this round.
    fn arrived(&mut self, id: &str, arrival: Arrival, bytes: Vec<u8>, mail: Option<&Mail>) {
        let Some(mail) = mail else {
            let why = if self.known.contains_key(id) {
                "was at rest"
            } else {
                "belongs to no row"
            };
            self.wrong(format!("the server got a mail that {why}: {id}"));
            return;
        };
        let known = self.known.entry(id.to_owned()).or_default();
        let mut wrong = Vec::new();
        if known.arrivals.is_empty() {
            known.bytes = bytes;
        } else if known.bytes != bytes {
            wrong.push(format!("sent again with other bytes: {mail:?}"));
        }
        if mail.attempts == 0 {
            wrong.push(format!(
                "sent, and its row says that it was never tried: {mail:?}"
            ));
        }
        let cleared = mail
            .recipients
            .iter()
            .any(|(address, _)| address.is_empty());
        if arrival.delivers() && !cleared {
            for address in &arrival.to {
                let Some((_, state)) = mail.recipients.iter().find(|(one, _)| one == address)
                else {
                    wrong.push(format!("sent to somebody else: {mail:?}"));
                    continue;
                };
                if self.recorded.contains(&(id.to_owned(), address.clone())) {
                    wrong.push(format!(
                        "sent again after it was recorded as sent: {mail:?}"
                    ));
                }
                let before = known
                    .arrivals
                    .iter()
                    .filter(|one| one.delivers() && one.to.contains(address))
                    .count();
                if before > 0 {
                    self.figures.doubled_allowed += 1;
                    if mail.unknown == 0 && mail.state != "sending" {
                        wrong.push(format!(
                            "sent twice without a doubt: {mail:?}, {:?}",
                            known.arrivals
                        ));
                    }
                }
                if before >= DELIVERIES_MAX {
                    wrong.push(format!(
                        "sent {} times: {mail:?}, {:?}",
                        before + 1,
                        known.arrivals
                    ));
                }
                let in_doubt = mail.state == "sending" || mail.unknown > 0;
                match arrival.answered {
                    Some(_) if state != "accepted" && state != "bounced" && !in_doubt => {
                        wrong.push(format!(
                            "accepted, and its row knows nothing of it: {mail:?}"
                        ));
                    }
                    None if state == "accepted" && mail.unknown == 0 => {
                        wrong.push(format!("recorded as accepted without an answer: {mail:?}"));
                    }
                    _ => {}
                }
                if arrival.answered.is_some() {
                    self.got.push(Got {
                        message_id: id.to_owned(),
                        by: address.clone(),
                    });
                }
            }
        }
        known.arrivals.push(arrival);
        self.figures.received += 1;
        self.violations.extend(wrong);
    }

    /// After everything was worked off and the nodes were stopped in good order.
    pub fn at_rest(&mut self, scene: &Scene, round: usize) {
        self.at_rest = [0; 4];
        let snapshot = scene.database.snapshot(self.at_rest);
        self.messages(&snapshot);
        self.numbers(scene, &snapshot);
        self.cases(&snapshot);
        self.mails(scene, &snapshot, round);
        self.everything_is_stored(&snapshot);
        for mail in snapshot.mails.values() {
            if mail.state == "sending" || mail.state == "queued" {
                self.wrong(format!(
                    "not sent, though everything was worked off: {mail:?}"
                ));
            }
        }
        for (source, differences) in &snapshot.differences {
            if *differences != 0 {
                self.wrong(format!("{source}: {differences} do not add up"));
            }
        }
        self.figures.copied_twice = 0;
        self.lost_answers = 0;
        for user in 0..USERS.len() {
            self.mailbox(scene, user, &snapshot);
        }
        self.figures.messages = snapshot.messages.len();
        self.figures.cases = snapshot.cases.len();
        self.figures.mails = snapshot.mails.len();
        let of = |test: &dyn Fn(&&Mail) -> bool| {
            snapshot.mails.values().filter(|mail| test(mail)).count()
        };
        self.figures.reminders = of(&|mail| mail.kind == "purring");
        self.figures.for_a_person = of(&|mail| mail.state == "failed" && mail.unknown > 1);
        let last = |rows: Option<&i64>| rows.copied().unwrap_or_default();
        self.at_rest = [
            last(snapshot.messages.keys().next_back()),
            last(snapshot.cases.keys().next_back()),
            last(snapshot.mails.keys().next_back()),
            // The clock may be set back by some hours.
            scene.now_ms() - 86_400_000,
        ];
        self.last = snapshot;
    }

    /// Each delivery is one row, and each message has the outcome that its kind has.
    fn everything_is_stored(&mut self, snapshot: &Snapshot) {
        let mut missing: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for mail in &self.delivered {
            *missing.entry((USERS[mail.user].0, &mail.hash)).or_default() += 1;
        }
        for message in snapshot.messages.values() {
            *missing.entry((&message.source, &message.hash)).or_default() -= 1;
        }
        let mut wrong: Vec<String> = missing
            .into_iter()
            .filter(|(_, count)| *count != 0)
            .map(|((source, hash), count)| {
                format!("{source}: {count} of {hash} are missing (or too many)")
            })
            .collect();
        let kinds: BTreeMap<&str, _> = self
            .delivered
            .iter()
            .map(|mail| (mail.hash.as_str(), mail.kind))
            .collect();
        let mut given_up = 0;
        for (id, message) in &snapshot.messages {
            if message.outcome == "duplicate" {
                continue;
            }
            let Some(kind) = kinds.get(message.hash.as_str()) else {
                wrong.push(format!("message row {id} was never delivered"));
                continue;
            };
            if message.attempts > GIVEN_UP {
                given_up += 1;
            } else if message.outcome != kind.outcome() && !self.by_order.contains(&message.hash) {
                wrong.push(format!(
                    "message row {id} is a {kind:?} and {}",
                    message.outcome
                ));
            }
        }
        self.figures.given_up = given_up;
        self.violations.extend(wrong);
    }

    /// Ours are where they belong, and nothing else was touched.
    fn mailbox(&mut self, scene: &Scene, user: usize, snapshot: &Snapshot) {
        let (name, ours) = USERS[user];
        let inbox = scene.lies(user, "INBOX");
        let moves = matches!(ours, Ours::Moved | Ours::Copied);
        let target = if moves {
            scene.lies(user, TARGET)
        } else {
            BTreeMap::new()
        };
        let on_disk = scene.bytes(user);
        let keys: BTreeMap<(&str, &str), &str> = snapshot
            .messages
            .values()
            .map(|message| {
                (
                    (message.source.as_str(), message.key.as_str()),
                    message.hash.as_str(),
                )
            })
            .collect();
        let mut wrong = Vec::new();
        let mut copied_twice = 0;
        for mail in self.delivered.iter().filter(|mail| mail.user == user) {
            let serial = mail.serial;
            let is_ours = self.is_ours(&mail.hash);
            let (here, there) = (inbox.get(&serial), target.get(&serial));
            let (lies, elsewhere) = if is_ours && moves {
                (there, here)
            } else {
                (here, there)
            };
            let copies = lies.map_or(0, Vec::len);
            // Killed between COPY and EXPUNGE, it is copied again: nobody can tell whether the first copy was made.
            let twice = copies > 1 && is_ours && ours == Ours::Copied;
            if twice {
                copied_twice += 1;
            }
            if (copies != 1 && !twice) || elsewhere.is_some() {
                wrong.push(format!(
                    "{name}: message {serial} ({is_ours}) lies here {here:?} and there {there:?}"
                ));
                continue;
            }
            let lies = &lies.unwrap()[0];
            let mut flags = self.by_people.get(&serial).cloned().unwrap_or_default();
            if is_ours && ours == Ours::Flagged {
                flags.insert(KEYWORD.to_owned());
            }
            if !lies.flags.iter().eq(&flags) {
                wrong.push(format!(
                    "{name}: message {serial} has {:?} instead of {flags:?}",
                    lies.flags
                ));
            }
            if elsewhere.is_none() && here.is_some() {
                let stored = keys.get(&(name, lies.uid.to_string().as_str())).copied();
                if stored != Some(mail.hash.as_str()) {
                    wrong.push(format!("{name}: UID {} is stored as {stored:?}", lies.uid));
                }
            }
            let whole = on_disk.get(&serial).is_some_and(|found| {
                let wanted = without_cr(&mail.bytes);
                found.len() == copies
                    && found
                        .iter()
                        .all(|bytes| without_cr(bytes).ends_with(&wanted))
            });
            if !whole {
                wrong.push(format!(
                    "{name}: the bytes of message {serial} have changed"
                ));
            }
        }
        let expected = self
            .delivered
            .iter()
            .filter(|mail| mail.user == user)
            .count();
        if on_disk.len() != expected {
            wrong.push(format!(
                "{name}: {} messages on the disk, {expected} delivered",
                on_disk.len()
            ));
        }
        self.figures.copied_twice += copied_twice;
        self.violations.extend(wrong);
    }

    /// Whether the server ever got a mail.
    pub fn was_received(&self, message_id: &str) -> bool {
        self.known
            .get(message_id)
            .is_some_and(|known| !known.arrivals.is_empty())
    }

    /// A person gives messages another outcome: those of a case, or this row.
    pub fn may_change(&mut self, which: impl Fn(i64, &Message) -> bool) {
        for (row, message) in &self.last.messages {
            if which(*row, message) {
                self.decided.remove(row);
                self.by_order.insert(message.hash.clone());
                // It is at rest no more.
                self.at_rest[0] = self.at_rest[0].min(row - 1);
            }
        }
    }

    /// A person has a mail sent again, in spite of what became of it.
    pub fn begins_anew(&mut self, mail: &Mail) {
        if let Some(known) = self.known.get_mut(&mail.message_id) {
            known.arrivals.clear();
        }
        for (address, state) in &mail.recipients {
            if state != "accepted" {
                self.recorded
                    .remove(&(mail.message_id.clone(), address.clone()));
            }
        }
    }
}

/// Whether nothing is left to do at a moment, once every source was checked after `before`.
pub fn is_worked_off(left: &Left, before: &Left, now_ms: i64) -> bool {
    let checked = USERS.iter().all(|(source, _)| {
        let (then, now) = (before.checked.get(*source), left.checked.get(*source));
        now.is_some() && now != then
    });
    let calendar = Calendar::default();
    let reminders = left.to_remind.iter().any(|(due, sent_at_ms)| {
        calendar.reminder_at(due.parse().unwrap(), oslo_day(*sent_at_ms), 8) <= now_ms
    });
    checked && left.messages == 0 && left.mails == 0 && !reminders
}

fn without_cr(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .copied()
        .filter(|byte| *byte != b'\r')
        .collect()
}
