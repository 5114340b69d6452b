//! The crash campaign: mail arrives at a real Dovecot, an SMTP server answers well and badly, time passes, and the worker is
//! killed with SIGKILL, at random moments and at every named step, round after round on the same database. After each kill, and
//! after everything was worked off, database and servers are looked at without linjevei's own code.
//!
//! A short one with a fixed seed runs with the other tests. A long one:
//! `LINJEVEI_CAMPAIGN_SEED=7 LINJEVEI_CAMPAIGN_SECS=900 cargo test --test crash_campaign -- --nocapture`
//! (or `LINJEVEI_CAMPAIGN_ROUNDS=1000`). The seed decides what is done; the moments of random kills are the machine's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    reason = "a campaign is one story"
)]

#[path = "support/campaign/mod.rs"]
mod campaign;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/smtp.rs"]
mod smtp;
mod support;
#[path = "support/worker.rs"]
mod worker;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use campaign::Dice;
use campaign::checks::{Ledger, is_worked_off};
use campaign::database::{Case, Database, Place};
use campaign::mail::{CLINICS, Got, Kind, Writer, copy, returns};
use campaign::scene::{Scene, USERS};
use linjevei::calendar::{oslo_at, oslo_day};
use linjevei::failpoint;
use postgres::Postgres;
use smtp::{Act, Script};
use support::net::wait_until;
use support::{net, packages};
use worker::{AT_MOST, Worker};

/// Rounds of the short campaign.
const ROUNDS: usize = 40;
/// The same with two nodes.
const ROUNDS_OF_TWO: usize = 15;
/// Rounds between two times at which everything is worked off.
const REST_EVERY: usize = 20;
/// Longest wait for a failpoint to be reached.
const REACHED_WITHIN: Duration = Duration::from_millis(1500);
/// Longest life of a worker before a random kill, in milliseconds.
const LIFE_MS: i64 = 900;
/// As `kill -l` has them.
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// Exit code of a program that could not do its work now.
const TEMPORARY: i32 = 75;
/// Exit code of a program that found a fault of its own.
const SOFTWARE: i32 = 70;
/// Steps that only commands take.
const OF_COMMANDS: [&str; 3] = ["hold-mail", "retry-mail", "rearrange"];
/// Steps that commands take too.
const OF_BOTH: [&str; 3] = ["apply", "group", "keep-ruleset"];
/// A step that nothing here takes: a person's word about a forsendelse. `tests/svarinn.rs` kills there.
const NOT_HERE: [&str; 1] = ["keep-source-event"];
/// Steps of nodes that share a database.
const OF_SEVERAL: [&str; 4] = ["meet", "watch-source", "leave-source", "part"];
/// Steps of a node that has its database to itself.
const OF_ONE: [&str; 1] = ["release-claims"];

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Up to here mail may also come over LMTP, which knows the machine's clock only; later it would be too old for an answer.
const LMTP_UNTIL_MS: i64 = 200 * DAY_MS;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number")),
    )
}

struct Campaign<'s> {
    /// The server that the nodes share.
    server: Option<&'s Postgres>,
    seed: u64,
    dice: Dice,
    scene: Scene,
    writer: Writer,
    ledger: Ledger,
    /// Texts of what was delivered, to be delivered again.
    written: Vec<(String, Kind)>,
    round: usize,
    random_kills: usize,
    /// All named steps, and how often the worker was killed at each.
    kills: BTreeMap<String, usize>,
    /// How often each was ordered.
    orders: BTreeMap<String, usize>,
    /// How often a node stopped when it was asked to, before it was killed.
    stops: usize,
    commands: usize,
    failures: usize,
    /// Reports that can be added to: by which their sender is known, their content, and when they came (Unix milliseconds).
    reports: Vec<(Got, String, i64)>,
    /// What the IMAP server cannot read for now.
    unreadable: Vec<(usize, String)>,
    /// What it never can, and what somebody will take away.
    locked: Vec<(usize, String)>,
}

impl Campaign<'_> {
    /// What is wrong ends the campaign, with what it takes to have it again.
    fn stop_if_wrong(&mut self) {
        if self.ledger.violations.is_empty() {
            return;
        }
        let nodes = self.scene.nodes.iter_mut().map(worker::Installation::keep);
        let kept: Vec<_> = nodes.chain(self.server.map(Postgres::keep)).collect();
        let first: Vec<&String> = self.ledger.violations.iter().take(20).collect();
        panic!(
            "seed {}, round {}: {} violations, kept in {kept:?}\n{first:#?}",
            self.seed,
            self.round,
            self.ledger.violations.len()
        );
    }

    fn pass_time(&mut self) {
        let dice = &mut self.dice;
        let ms = match dice.below(100) {
            0..60 => dice.between(0, 10 * MINUTE_MS),
            60..84 => dice.between(10 * MINUTE_MS, 5 * HOUR_MS),
            84..95 => dice.between(DAY_MS, 3 * DAY_MS),
            95..97 => dice.between(10 * DAY_MS, 40 * DAY_MS),
            // The clock is set back.
            _ => -dice.between(0, 3 * HOUR_MS),
        };
        // Never before the first start: what came before it is left alone.
        self.scene.offset_ms = (self.scene.offset_ms + ms).max(1000);
    }

    /// How the SMTP server behaves from now on.
    fn mood(&mut self) -> Script {
        let dice = &mut self.dice;
        let mut script = Script {
            end: Act::Slow(Duration::from_millis(dice.next() % 30)),
            ..Script::default()
        };
        match dice.below(100) {
            0..55 => {}
            55..65 => script.end = Act::Close,
            65..70 => script.end = Act::say("451 4.3.0 later"),
            70..74 => script.end = Act::say("554 5.6.0 not this"),
            74..80 => {
                let clinic = dice.below(CLINICS);
                let act = *dice.one(&["450 4.2.1 later", "550 5.1.1 no such user"]);
                script.rcpt = vec![
                    (format!("@klinikk-{clinic:02}."), Act::say(act)),
                    ("leder@".to_owned(), Act::say("451 4.2.1 later")),
                ];
            }
            80..84 => script.greeting = Act::Close,
            84..87 => script.greeting = Act::say("421 4.3.2 not now"),
            87..90 => script.mail = Act::say("451 4.3.0 later"),
            90..93 => script.data = Act::Close,
            93..96 => script.close_in_body = Some(200),
            _ => script.end = Act::Slow(Duration::from_millis(300)),
        }
        script
    }

    /// Some mail arrives.
    fn mail_arrives(&mut self, at_most: usize) {
        for _ in 0..self.dice.below(at_most + 1) {
            let again = !self.written.is_empty() && self.dice.percent(12);
            let (text, kind) = if again {
                let old = self.written.len().saturating_sub(1 + self.dice.below(30));
                self.written[old].clone()
            } else {
                self.write()
            };
            // The same mail to two of our mailboxes.
            let copies = if self.dice.percent(10) { 2 } else { 1 };
            for _ in 0..copies {
                let user = self.dice.below(USERS.len());
                let mail = copy(&text, self.ledger.delivered.len(), user, kind);
                let over_lmtp = self.scene.offset_ms < LMTP_UNTIL_MS && self.dice.percent(30);
                let file = self.scene.deliver(&mail, over_lmtp);
                if let Some(file) = file
                    && self.dice.percent(2)
                {
                    self.scene.let_read(user, &file, false);
                    self.unreadable.push((user, file));
                }
                if kind == Kind::Report && !again {
                    let report = (self.writer.last(), mail.hash.clone(), self.scene.now_ms());
                    self.reports.push(report);
                }
                self.ledger.delivered.push(mail);
            }
            if !again {
                self.written.push((text, kind));
            }
        }
    }

    fn write(&mut self) -> (String, Kind) {
        let clinics = |ledger: &Ledger| -> Vec<_> {
            let recent = ledger.got.iter().rev().take(60);
            recent
                .filter(|got| got.by.contains("klinikk-") && got.message_id.starts_with("sak-"))
                .cloned()
                .collect()
        };
        let decided: Vec<Got> = self
            .reports
            .iter()
            .rev()
            .take(30)
            // What came long ago may be deleted before the addition is read.
            .filter(|(_, _, came_ms)| self.scene.now_ms() - came_ms < 30 * DAY_MS)
            .filter(|(_, hash, _)| {
                self.ledger.is_ours(hash) && !self.ledger.by_order.contains(hash)
            })
            .map(|(report, ..)| report.clone())
            .collect();
        let (kind, to) = match self.dice.below(100) {
            0..52 => (Kind::Report, None),
            52..64 => (Kind::Other, None),
            64..75 if !decided.is_empty() => {
                (Kind::Addition, Some(self.dice.one(&decided).clone()))
            }
            roll => {
                let got = clinics(&self.ledger);
                let returned: Vec<_> = got.iter().filter(|got| returns(&got.by)).cloned().collect();
                if roll >= 97 && !returned.is_empty() {
                    (Kind::Returned, Some(self.dice.one(&returned).clone()))
                } else if got.is_empty() {
                    (Kind::Report, None)
                } else {
                    (Kind::Answer, Some(self.dice.one(&got).clone()))
                }
            }
        };
        let date = self.scene.date();
        (
            self.writer.write(kind, to.as_ref(), &date, &mut self.dice),
            kind,
        )
    }

    /// A step at which to be killed: half of the time one that was reached least so far.
    fn point(&mut self, of_command: bool) -> String {
        let shared = self.scene.is_shared();
        let fits = |point: &str| {
            is_one(point, &OF_BOTH)
                || is_here(point, shared) && is_one(point, &OF_COMMANDS) == of_command
        };
        let seldom = self.dice.percent(50);
        // What was ordered often and in vain is left to other rounds.
        let hope = |point: &String, kills: usize| {
            self.orders.get(point).copied().unwrap_or_default() <= 8 * (kills + 1)
        };
        let hopeful = self
            .kills
            .iter()
            .filter(|(point, kills)| fits(point) && hope(point, **kills));
        let least = hopeful.map(|(_, kills)| *kills).min().unwrap_or_default();
        let points: Vec<&String> = self
            .kills
            .iter()
            .filter(|(point, kills)| {
                fits(point) && (!seldom || **kills == least && hope(point, **kills))
            })
            .map(|(point, _)| point)
            .collect();
        let point = (*self.dice.one(&points)).clone();
        *self.orders.entry(point.clone()).or_default() += 1;
        point
    }

    /// Where a node is to be killed, if not at a random moment, and what else is to go wrong for it; no node runs yet.
    fn order(&mut self) -> (Option<String>, String) {
        let point = self.dice.percent(70).then(|| self.point(false));
        let pass = *self.dice.one(&[1, 1, 1, 1, 2, 2, 3, 5]);
        let mut order = point
            .as_ref()
            .map_or_else(String::new, |point| format!("{point}=kill@{pass}"));
        if order.contains("queue-report") {
            // A new day, after the hour of the digest.
            let tomorrow = oslo_day(self.scene.now_ms() + DAY_MS);
            self.scene.offset_ms += oslo_at(tomorrow, 10) - self.scene.now_ms();
        }
        if order.contains("forget-unreadable") {
            self.locked_go();
        }
        if order.contains("unreadable") {
            self.locked_comes();
        }
        if order.contains("give-back") {
            // What is given back only after a failure is given back after many.
            for call in (12..120).step_by(9) {
                order = format!("{order};store.call=error@{call}");
                self.failures += 1;
                self.ledger.lost_answers += 1;
            }
        } else if self.dice.percent(15) {
            let call = self.dice.between(1, 60);
            let kind = *self.dice.one(&["call", "answer"]);
            order = format!("{order};store.{kind}=error@{call}");
            self.failures += 1;
            self.ledger.lost_answers += 1;
        }
        (point, order)
    }

    /// One round: mail arrives, the nodes work and are killed, and what they leave behind is looked at.
    fn round(&mut self) {
        self.pass_time();
        let mood = self.mood();
        self.scene.smtp.set(mood);
        self.mail_arrives(4);
        if self.dice.percent(10) {
            self.locked_comes();
        }
        let orders: Vec<_> = (0..self.scene.nodes.len()).map(|_| self.order()).collect();
        let mut running: Vec<(Worker, Option<String>)> = Vec::new();
        for (node, (point, order)) in orders.into_iter().enumerate() {
            running.push((self.scene.start(node, &order), point));
        }
        let early = u64::try_from(self.dice.between(0, 250)).unwrap();
        sleep(Duration::from_millis(early));
        self.mail_arrives(2);
        if self.dice.percent(30) {
            let mood = self.mood();
            self.scene.smtp.set(mood);
        }
        if self.round > 5 && self.dice.percent(25) {
            self.command();
        }
        let nodes = running.len();
        for (mut worker, point) in running {
            let life = u64::try_from(self.dice.between(0, LIFE_MS)).unwrap();
            let at_most = if point.is_some() {
                REACHED_WITHIN
            } else {
                Duration::from_millis(life)
            };
            // Some are asked to stop, and killed when they do not at once.
            let at_stop = point
                .as_ref()
                .is_some_and(|point| point.contains("leave-source") || point.contains(".part."));
            let asked = at_stop || self.dice.percent(8);
            let mut ended = None;
            if asked {
                ended = worker.ended_within(at_most / 3);
                worker.ask_to_stop();
            }
            if ended.is_none() {
                ended = worker.ended_within(at_most);
            }
            let log = worker.kill();
            match (ended, point) {
                // Asked before it listens to that, it ends as any program does.
                (Some(status), _)
                    if asked && (status.success() || status.signal() == Some(SIGTERM)) =>
                {
                    self.stops += 1;
                }
                (None, _) => self.random_kills += 1,
                (Some(status), Some(point)) if status.signal() == Some(SIGKILL) => {
                    *self.kills.entry(point).or_default() += 1;
                }
                (Some(status), _)
                    if status.code() == Some(TEMPORARY) && self.ledger.lost_answers > 0 => {}
                (Some(status), _) => {
                    let last = log.len().saturating_sub(20);
                    self.ledger.violations.push(format!(
                        "the worker ended by itself, {status}: {:#?}",
                        &log[last..]
                    ));
                }
            }
        }
        if self.scene.is_shared() {
            // A claim outlives the node that made it.
            self.ledger.lost_answers += nodes;
            self.scene.database.let_leases_run_out();
        }
        self.ledger.after_kill(&self.scene, self.round, nodes);
        self.stop_if_wrong();
    }

    /// A person does something beside the worker, and may be cut off too.
    fn command(&mut self) {
        let mails: Vec<_> = self.ledger.last.mails.clone().into_iter().collect();
        let cases: Vec<_> = self.ledger.last.cases.clone().into_iter().collect();
        if cases.len() < 2 {
            return;
        }
        let number = |case: &Case| format!("SAK-{:04}-{:06}", case.year, case.count);
        let (row, one) = self.dice.one(&cases).clone();
        let (other_row, other) = self.dice.one(&cases).clone();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let point = self.dice.percent(60).then(|| self.point(true));
        let fitting = |name: &str| point.as_ref().is_some_and(|point| point.contains(name));
        let kind = match () {
            () if fitting("retry-mail") => 0,
            () if fitting("hold-mail") => 3,
            () if fitting("rearrange") => 7,
            () => self.dice.below(10),
        };
        let mut words: Vec<String> = match kind {
            0..3 => {
                let again: Vec<_> = mails
                    .iter()
                    .filter(|(_, mail)| {
                        let stopped = matches!(mail.state.as_str(), "failed" | "held" | "bounced");
                        // Whoever is in doubt asks whether it arrived.
                        let no_doubt =
                            mail.unknown == 0 || !self.ledger.was_received(&mail.message_id);
                        stopped && no_doubt && mail.recipients.iter().all(|(to, _)| !to.is_empty())
                    })
                    .collect();
                if again.is_empty() {
                    return;
                }
                let (row, mail) = (*self.dice.one(&again)).clone();
                // What was held for the same address goes too.
                for (_, other) in &mails {
                    let shared = other
                        .recipients
                        .iter()
                        .any(|(to, _)| mail.recipients.iter().any(|(one, _)| one == to));
                    if shared && other.state == "held" || *other == mail {
                        self.ledger.begins_anew(other);
                    }
                }
                words(&["outbox", "retry", &row.to_string(), "--address-works"])
            }
            3 => {
                let queued = mails.iter().filter(|(_, mail)| mail.state == "queued");
                let queued: Vec<i64> = queued.map(|(row, _)| *row).collect();
                if queued.is_empty() {
                    return;
                }
                words(&["outbox", "hold", &self.dice.one(&queued).to_string()])
            }
            4 => words(&["cases", "close", &number(&one)]),
            5 => {
                let to = format!("klinikk-{:02}", self.dice.below(CLINICS));
                words(&["cases", "reroute", &number(&one), "--to", &to])
            }
            6 => {
                let left = self.ledger.last.messages.iter();
                let left: Vec<i64> = left
                    .filter(|(_, message)| message.outcome == "left-alone")
                    .map(|(row, _)| *row)
                    .collect();
                if left.is_empty() {
                    return;
                }
                let row = *self.dice.one(&left);
                self.ledger.may_change(|id, _| id == row);
                words(&["messages", "adopt", &row.to_string()])
            }
            7 if self.dice.percent(50) => words(&["cases", "link", &number(&one), &number(&other)]),
            7 => {
                let both = [row, other_row];
                self.ledger
                    .may_change(|_, message| both.contains(&message.case_id));
                words(&["cases", "merge", &number(&one), "--into", &number(&other)])
            }
            _ => words(&["cases", "note", &number(&one)]),
        };
        if words[1] != "hold" {
            words.extend(["--reason".to_owned(), "slik er det".to_owned()]);
        }
        let order = point
            .as_ref()
            .map_or_else(String::new, |point| format!("{point}=kill"));
        let mut command = self.scene.nodes[0].command(&words);
        command.envs(self.scene.variables(&order));
        let output = command.output().unwrap();
        self.commands += 1;
        match (output.status.code(), point) {
            (None, Some(point)) => *self.kills.entry(point).or_default() += 1,
            (Some(code), _) if code != SOFTWARE && code < 100 => {}
            _ => self
                .ledger
                .violations
                .push(format!("{words:?}: {}", worker::said(&output))),
        }
    }

    /// Mail comes that the server may not read, while no node runs.
    fn locked_comes(&mut self) {
        let user = self.dice.below(USERS.len());
        self.locked.push((user, self.scene.deliver_locked(user)));
    }

    /// Somebody takes away what the server may not read.
    fn locked_go(&mut self) {
        for (user, name) in std::mem::take(&mut self.locked) {
            self.scene.take_away(user, &name);
        }
    }

    /// Everything is worked off, and all is looked at.
    fn rest(&mut self) {
        self.locked_go();
        for (user, file) in std::mem::take(&mut self.unreadable) {
            self.scene.let_read(user, &file, true);
        }
        self.scene.smtp.set(Script::default());
        if self.scene.is_shared() {
            // What a node that was killed had in hand is free when its claim is over; the clock may have been set back since.
            let now_ms = self.scene.now_ms();
            let claimed_until_ms = self.scene.database.left(now_ms).claimed_until_ms;
            self.scene.offset_ms += (claimed_until_ms - now_ms).max(0) + MINUTE_MS;
        }
        self.work_off();
        // What could not be read for a while did not add up; an hour later it is counted again.
        let adds_up = |database: &Database| {
            let snapshot = database.snapshot([i64::MAX; 4]);
            snapshot.differences.values().all(|count| *count == 0)
        };
        if !adds_up(&self.scene.database) {
            self.scene.offset_ms += HOUR_MS + MINUTE_MS;
            let worker = self.scene.start(0, "");
            wait_until(Duration::from_secs(30), || adds_up(&self.scene.database));
            worker.stop();
            // In that hour more mail may have fallen due.
            self.work_off();
        }
        self.ledger.at_rest(&self.scene, self.round);
        self.stop_if_wrong();
        self.people_flag();
        let figures = &self.ledger.figures;
        eprintln!(
            "round {}: at rest, {figures:?}, {} kills",
            self.round,
            self.random_kills + self.kills.values().sum::<usize>()
        );
    }

    /// Workers run, and the clock goes on, until nothing is left to do.
    fn work_off(&mut self) {
        for _ in 0..20 {
            let before = self.scene.database.left(self.scene.now_ms());
            let workers: Vec<Worker> = (0..self.scene.nodes.len())
                .map(|node| self.scene.start(node, ""))
                .collect();
            let done = wait_until(AT_MOST, || {
                let now_ms = self.scene.now_ms();
                is_worked_off(&self.scene.database.left(now_ms), &before, now_ms)
            });
            let left = self.scene.database.left(self.scene.now_ms());
            for worker in workers {
                let (status, _, log) = worker.stop();
                if !done || status.code() != Some(0) {
                    let last = log.len().saturating_sub(40);
                    self.ledger.violations.push(format!(
                        "not worked off ({left:?}), or not stopped: {status}, {:#?}",
                        &log[last..]
                    ));
                    self.stop_if_wrong();
                }
            }
            let snapshot = self.scene.database.snapshot([i64::MAX; 4]);
            let queued = snapshot
                .mails
                .values()
                .filter(|mail| mail.state == "queued");
            let Some(next) = queued.map(|mail| mail.next_attempt_at_ms).max() else {
                break;
            };
            self.scene.offset_ms += (next - self.scene.now_ms()).max(0) + 1000;
        }
    }

    /// People read and mark mail in the mailboxes that are theirs.
    fn people_flag(&mut self) {
        for _ in 0..3 {
            let user = self.dice.below(USERS.len());
            let lies = self.scene.lies(user, "INBOX");
            let all: Vec<_> = lies.iter().collect();
            if all.is_empty() {
                continue;
            }
            let (serial, lie) = *self.dice.one(&all);
            let flag = *self.dice.one(&["\\Seen", "\\Flagged", "Privat"]);
            let mut client = self.scene.dovecot.client(USERS[user].0);
            client.ok("SELECT INBOX");
            client.ok(&format!("UID STORE {} +FLAGS ({flag})", lie[0].uid));
            self.ledger
                .by_people
                .entry(*serial)
                .or_default()
                .insert(flag.to_owned());
        }
    }

    fn tell(&self, begun: Instant) {
        let figures = &self.ledger.figures;
        let at_points: usize = self.kills.values().sum();
        eprintln!(
            "seed {}, {} node(s): {} rounds in {:.0} s; {} kills ({} at random moments, {at_points} at named steps), {} stops; {} deliveries, {} messages stored, \
             {} cases, {} reminders, {} mails, {} received by the mail server; lost 0, doubled {} with a doubt as allowed, 0 without; \
             {} mails left to a person after two doubts, {} messages given up unread, {} copied twice at the source; {} commands, {} calls of the store made to fail",
            self.seed,
            self.scene.nodes.len(),
            self.round,
            begun.elapsed().as_secs_f64(),
            self.random_kills + at_points,
            self.random_kills,
            self.stops,
            self.ledger.delivered.len(),
            figures.messages,
            figures.cases,
            figures.reminders,
            figures.mails,
            figures.received,
            figures.doubled_allowed,
            figures.for_a_person,
            figures.given_up,
            figures.copied_twice,
            self.commands,
            self.failures,
        );
        for (point, kills) in &self.kills {
            eprintln!("  {kills:5} {point}");
        }
        let shared = self.scene.is_shared();
        let missed = self.kills.iter().filter(|(_, kills)| **kills == 0);
        let missed: Vec<_> = missed
            .map(|(point, _)| point)
            .filter(|point| is_here(point, shared))
            .collect();
        if !missed.is_empty() {
            eprintln!("  never killed at {missed:?}");
        }
    }
}

/// Whether the point is a side of one of these commits.
fn is_one(point: &str, commits: &[&str]) -> bool {
    commits
        .iter()
        .any(|name| point.contains(&format!(".{name}.")))
}

/// Whether a campaign with one node, or with several, can come to the point.
fn is_here(point: &str, shared: bool) -> bool {
    let elsewhere: &[&str] = if shared { &OF_ONE } else { &OF_SEVERAL };
    !is_one(point, &NOT_HERE) && !is_one(point, elsewhere)
}

fn run(server: Option<&Postgres>, short: usize) {
    let seed = number("LINJEVEI_CAMPAIGN_SEED").unwrap_or(2026);
    let seconds = number("LINJEVEI_CAMPAIGN_SECS");
    let rounds = number("LINJEVEI_CAMPAIGN_ROUNDS").map(|rounds| usize::try_from(rounds).unwrap());
    let Some(scene) = Scene::new(server) else {
        return;
    };
    eprintln!("LINJEVEI_CAMPAIGN_SEED={seed}");
    let begun = Instant::now();
    let goes_on = |round: usize| match (rounds, seconds) {
        (Some(rounds), _) => round < rounds,
        (None, Some(seconds)) => begun.elapsed() < Duration::from_secs(seconds),
        (None, None) => round < short,
    };
    let mut campaign = Campaign {
        server,
        seed,
        dice: Dice(seed),
        scene,
        writer: Writer::default(),
        ledger: Ledger::default(),
        written: Vec::new(),
        round: 0,
        random_kills: 0,
        kills: failpoint::points()
            .into_iter()
            .map(|point| (point, 0))
            .collect(),
        orders: BTreeMap::new(),
        stops: 0,
        commands: 0,
        failures: 0,
        reports: Vec::new(),
        unreadable: Vec::new(),
        locked: Vec::new(),
    };
    // Killed while it starts for the first time, and at last not: what comes from here on counts.
    for _ in 0..5 {
        let mut worker = campaign.scene.start(0, "start.opened=kill");
        let life = u64::try_from(campaign.dice.between(0, 300)).unwrap();
        worker.ended_within(Duration::from_millis(life));
        worker.kill();
        campaign.random_kills += 1;
    }
    campaign.scene.database.let_leases_run_out();
    let worker = campaign.scene.start(0, "");
    worker.expect_line("linjevei is running", AT_MOST);
    worker.stop();
    campaign.scene.share_the_key();
    while goes_on(campaign.round) {
        campaign.round += 1;
        campaign.round();
        if campaign.round.is_multiple_of(REST_EVERY) {
            campaign.rest();
        }
    }
    campaign.rest();
    campaign.tell(begun);
}

#[test]
fn killed_at_every_step_nothing_is_lost_and_nothing_done_twice() {
    run(None, ROUNDS);
}

#[test]
fn two_workers_share_a_database_and_are_killed_and_nothing_is_done_twice() {
    let Some(server) = Postgres::start() else {
        return;
    };
    run(Some(&server), ROUNDS_OF_TWO);
}

/// The campaign reads either database by the same statements.
#[test]
fn what_is_looked_at_can_be_looked_at_on_postgresql() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = worker::runtime().block_on(server.database());
    let database = Database::new(Place::Postgres(url));
    assert!(database.exists());
    let snapshot = database.snapshot([0; 4]);
    assert!(snapshot.messages.is_empty() && snapshot.cases.is_empty() && snapshot.mails.is_empty());
    assert!(database.numbers().is_empty());
    let left = database.left(i64::MAX);
    assert_eq!((left.messages, left.mails), (0, 0));
}
