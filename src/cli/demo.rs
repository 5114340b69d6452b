//! `linjevei demo`: the whole job on the sample mailbox that the program carries, with a simulated clock. The parts are the
//! real ones: Maildir, rules, `SQLite`, templates; only the clock is moved and the mail goes into a folder.

mod account;

use super::{Failure, logging, rule_files, setup};
use crate::calendar::{self, Calendar};
use crate::case::person::Order;
use crate::case::{Actor, CaseNumber, Policy, Reports, State};
use crate::clock::ManualClock;
use crate::config::{DatabaseConfig, Identity, Mode};
use crate::extractor::Extractor;
use crate::intake::maildir::MaildirSource;
use crate::message::Limits;
use crate::outbox::maildir::MaildirTransport;
use crate::rules::RuleSet;
use crate::store::{CaseFilter, MessageRow, SharedStore};
use crate::template::Templates;
use crate::worker::{Engine, LiveSince, Rulebook};
use account::Account;
use include_dir::{Dir, include_dir};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The sample mailbox, a folder for each day.
static MAILBOX: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/demo/mailbox");
/// Day 0: a Monday.
const START: Date = date(2026, 3, 2);
/// Hour of the day at which the demo looks at the clock.
const HOUR: i8 = 8;
/// Days that the clock passes.
const DAYS: [i32; 5] = [0, 3, 12, 31, 46];
/// Where the digest goes: people read it, linjevei does not watch it.
const DEPARTMENT: &str = "avdelingen@so-hf.example";
/// Marks a folder as one that the demo made and may replace.
const MARKER: &str = ".linjevei-demo";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder for database, mailbox, sent mail and summary; what an earlier demo left there is replaced
    #[arg(long, value_name = "DIR", default_value = "linjevei-demo")]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Errors);
    prepare(&args.dir)?;
    setup::runtime()?.block_on(async {
        let mut demo = Demo::new(&args.dir).await?;
        for day in DAYS {
            demo.day(day).await?;
        }
        demo.finish(&args.dir).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Makes the folder anew; one that holds anything else is left alone.
fn prepare(dir: &Path) -> Result<(), Failure> {
    if dir.exists() {
        if !dir.join(MARKER).exists() {
            return Err(Failure::not_done(format!(
                "{} exists and is not from a demo; name another folder with --dir",
                dir.display()
            )));
        }
        std::fs::remove_dir_all(dir)?;
    }
    setup::data_folder(dir)?;
    std::fs::write(dir.join(MARKER), "")?;
    Ok(())
}

struct Demo {
    engine: Engine,
    clock: Arc<ManualClock>,
    inbox: PathBuf,
    /// Which case each sample mail led to.
    cases: HashMap<String, CaseNumber>,
    account: Account,
}

impl Demo {
    async fn new(dir: &Path) -> Result<Self, Failure> {
        let faulty = |faults: crate::diagnostic::Faults| {
            Failure::software(format!("the built-in files are faulty:\n{faults}"))
        };
        let files = rule_files::shipped();
        let rules = RuleSet::compile(&files).map_err(faulty)?;
        let templates = Templates::compile(&crate::template::shipped()).map_err(faulty)?;
        let data = dir.join("data");
        setup::data_folder(&data)?;
        let clock = Arc::new(ManualClock::new(calendar::oslo_at(START, HOUR)));
        let inbox = dir.join("innboks");
        for folder in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(inbox.join(folder))?;
        }
        let engine = Engine {
            store: crate::store::open(&DatabaseConfig::Sqlite(data.join("linjevei.db"))).await?,
            clock: Arc::<ManualClock>::clone(&clock),
            rulebook: Rulebook::new(rules, templates),
            identity: Arc::new(Identity {
                address: "samhandlingsavvik@so-hf.example".to_owned(),
                name: "Samhandlingsavdelingen, Sykehuset Østfold".to_owned(),
                bounce_address: "retur@so-hf.example".to_owned(),
                message_id_domain: "so-hf.example".to_owned(),
            }),
            keys: Arc::new(setup::keys(&data)?),
            policy: Arc::new(Policy {
                reports: Reports {
                    to: Some(DEPARTMENT.to_owned()),
                    ..Reports::default()
                },
                ..Policy::default()
            }),
            calendar: Arc::new(Calendar::default()),
            transport: Arc::new(MaildirTransport::new(dir.join("sendt"))),
            mode: Mode::Live,
            live_since: LiveSince::default(),
            limits: Limits::default(),
            extractor: Arc::new(Extractor::this_program()),
        };
        Ok(Self {
            engine,
            clock,
            inbox,
            cases: HashMap::new(),
            account: Account::default(),
        })
    }

    async fn day(&mut self, day: i32) -> Result<(), Failure> {
        let today = START
            .checked_add(day.days())
            .map_err(|error| Failure::software(error.to_string()))?;
        self.clock.set(calendar::oslo_at(today, HOUR));
        Account::day(day, today);
        // Answers that lie in the inbox are read before anybody is reminded, as the worker does too.
        let mut mails: Vec<_> = MAILBOX
            .get_dir(format!("dag-{day:02}"))
            .map(|folder| folder.files().collect())
            .unwrap_or_default();
        mails.sort_by_key(|file| file.path());
        for file in mails {
            let stem = file
                .path()
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            let bytes = self.fill_in(file.contents()).await?;
            std::fs::write(self.inbox.join("new").join(format!("{stem}.demo")), bytes)?;
            self.arrive(&stem).await?;
        }
        let changed = self.engine.chase().await?;
        Account::chased(&changed);
        self.send().await?;
        for report in self.engine.report().await? {
            self.account.digest(&report);
        }
        self.send().await?;
        self.person(day).await
    }

    /// What a person of the samhandlingsavdeling does in the demo: approves on day 3, hands over on day 12.
    async fn person(&mut self, day: i32) -> Result<(), Failure> {
        let (waiting, order) = match day {
            3 => (State::Approval, Order::Approve),
            12 => (
                State::SecureHandover,
                Order::HandedOver {
                    by: "svarut".to_owned(),
                },
            ),
            _ => return Ok(()),
        };
        let actor = Actor::Person {
            user: "demo".to_owned(),
            on_behalf_of: String::new(),
        };
        for case in self
            .engine
            .store
            .cases(&CaseFilter {
                state: Some(waiting),
                ..CaseFilter::default()
            })
            .await?
        {
            let case = self
                .engine
                .carry_out(case.number, &order, &actor, "demo")
                .await?;
            Account::person(&case, waiting);
        }
        self.send().await
    }

    /// Takes in the one mail that has arrived, as the worker would, and says what became of it.
    async fn arrive(&mut self, stem: &str) -> Result<(), Failure> {
        let mut source = MaildirSource::new("innboks", &self.inbox);
        let taken = self.engine.take_in(&mut source, &|_| ()).await?;
        let Some(id) = taken.new.first().copied() else {
            self.account.duplicate(stem);
            return Ok(());
        };
        self.engine.decide_pending().await?;
        let message = self.message(id).await?;
        let case = match message
            .case
            .as_ref()
            .and_then(|number| number.parse::<CaseNumber>().ok())
        {
            Some(number) => self.engine.store.case(number).await?,
            None => None,
        };
        if let Some(case) = &case {
            self.cases.insert(stem.to_owned(), case.number);
        }
        let verdict = self
            .engine
            .store
            .verdict(id)
            .await?
            .and_then(|json| serde_json::from_str(&json).ok());
        let rules = self.engine.rulebook.current().rules;
        self.account.message(
            stem,
            &message,
            case.as_ref(),
            verdict.as_ref(),
            rules.directory(),
        );
        self.send().await
    }

    async fn message(&self, id: i64) -> Result<MessageRow, Failure> {
        self.engine
            .store
            .message(id)
            .await?
            .ok_or_else(|| Failure::software(format!("message {id} is not in the database")))
    }

    async fn send(&mut self) -> Result<(), Failure> {
        self.engine.send_due(&|| false).await?;
        let rules = self.engine.rulebook.current().rules;
        self.account.sent(
            &self.engine.store.outbox(true, u32::MAX).await?,
            rules.directory(),
        );
        Ok(())
    }

    /// Replies in the sample mailbox answer mail that linjevei writes during the demo: `{{number:STEM}}` is the case of a
    /// sample mail, `{{message-id:KIND:STEM}}` the Message-ID of our mail of that kind in it.
    async fn fill_in(&self, sample: &[u8]) -> Result<Vec<u8>, Failure> {
        let Ok(text) = std::str::from_utf8(sample) else {
            return Ok(sample.to_vec());
        };
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, tail)) = after.split_once("}}") else {
                break;
            };
            filled.push_str(before);
            match self.placeholder(name, &self.engine.store).await? {
                Some(value) => filled.push_str(&value),
                None => {
                    return Err(Failure::software(format!(
                        "the sample mailbox refers to {name}, which the demo has not seen"
                    )));
                }
            }
            rest = tail;
        }
        filled.push_str(rest);
        Ok(filled.into_bytes())
    }

    async fn placeholder(
        &self,
        name: &str,
        store: &SharedStore,
    ) -> Result<Option<String>, Failure> {
        let parts: Vec<&str> = name.split(':').collect();
        Ok(match parts.as_slice() {
            ["number", stem] => self.cases.get(*stem).map(ToString::to_string),
            ["message-id", kind, stem] => {
                let case = self.cases.get(*stem).map(ToString::to_string);
                let rows = store.outbox(true, u32::MAX).await?;
                let row = rows
                    .iter()
                    .rev()
                    .find(|row| row.case == case && row.kind == *kind);
                row.map(|row| format!("<{}>", row.message_id))
            }
            _ => None,
        })
    }

    async fn finish(self, dir: &Path) -> Result<(), Failure> {
        let cases = self
            .engine
            .store
            .cases(&CaseFilter {
                all: true,
                ..CaseFilter::default()
            })
            .await?;
        let counts = self.engine.store.counts().await?;
        let today = calendar::oslo_day(self.engine.clock.now_ms());
        let rules = self.engine.rulebook.current().rules;
        let summary = self
            .account
            .finish(&cases, &counts, today, rules.directory());
        let path = dir.join("oppsummering.md");
        std::fs::write(&path, summary)?;
        println!(
            "\nAlt ligger i {}/: oppsummering.md, sendt/ (e-posten som gikk ut), innboks/ og data/linjevei.db.",
            dir.display()
        );
        Ok(())
    }
}
