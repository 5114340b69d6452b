//! A whole linjevei in a temporary folder: real store, rules, templates and Maildirs; only the clock is moved by hand.
//!
//! The store is `SQLite` in that folder. With `LINJEVEI_TEST_DATABASE=postgres` every house has a new database of a real
//! `PostgreSQL` instead, which ends with the test program.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::duplicate_mod,
    reason = "each test program uses a part of it"
)]

#[path = "net.rs"]
mod net;
#[path = "packages.rs"]
mod packages;
#[path = "postgres.rs"]
mod postgres;

use linjevei::calendar::{Calendar, oslo_at};
use linjevei::case::{Actor, Case, CaseNumber, Event, Policy};
use linjevei::clock::{Clock, ManualClock};
use linjevei::config::{DatabaseConfig, Identity, Mode};
use linjevei::extractor::Extractor;
use linjevei::intake::maildir::MaildirSource;
use linjevei::message::{self, Limits, Message};
use linjevei::outbox::maildir::MaildirTransport;
use linjevei::outbox::message_id::SigningKey;
use linjevei::rules::RuleSet;
use linjevei::store::{CaseFilter, MessageRow, SharedStore};
use linjevei::template::{Templates, shipped};
use linjevei::worker::{Engine, LiveSince, Rulebook};
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow, PgConnection, SqliteConnection,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// Rules that leave no doubt, so that the tests are about cases and not about words.
pub const RULES: &str = r#"
[own]
addresses = ["samhandlingsavvik@so-hf.example"]
domains = ["so-hf.example"]

[[portals]]
id = "edialog"
name = "eDialog"
addresses = ["varsling@edialog.example"]

[[parties]]
id = "medisin"
name = "Klinikk for medisin"
kind = "klinikk"
send_to = ["samhandling.medisin@so-hf.example"]
secure = true

[[parties]]
id = "kirurgi"
name = "Klinikk for kirurgi"
kind = "klinikk"
send_to = ["samhandling.kirurgi@so-hf.example"]
secure = true

[[parties]]
id = "moss"
name = "Moss kommune"
kind = "kommune"
send_to = ["avvik@moss.kommune.example"]
addresses = ["moss.avvik@gmail.com"]
domains = ["moss.kommune.example", "felles.example"]

[[parties]]
id = "psykisk"
name = "Klinikk for psykisk helsevern"
kind = "klinikk"
send_to = ["samhandling.psykisk@so-hf.example", "leder.psykisk@so-hf.example"]
secure = true

[[parties]]
id = "annet-sykehus"
name = "Annet sykehus"
kind = "annet-sykehus"
send_to = ["kvalitet@annet-sykehus.example"]
domains = ["felles.example"]
secure = true

[[parties]]
id = "samhandling"
name = "Samhandlingsavdelingen"
kind = "samhandling"

[[rules]]
id = "type-avvik"
give = { type = "avvik" }
decisive = true
any = ["avviksmelding"]

[[rules]]
id = "type-orientering"
give = { type = "orientering" }
decisive = true
any = ["orienteringsmelding"]

[[rules]]
id = "type-ikke-avvik"
give = { type = "ikke-avvik" }
decisive = true
any = ["nyhetsbrev"]

[[rules]]
id = "til-medisin"
give = { destination = "medisin" }
decisive = true
any = ["medisinsak"]

[[rules]]
id = "til-kirurgi"
give = { destination = "kirurgi" }
decisive = true
any = ["kirurgisak"]

[[rules]]
id = "til-psykisk"
give = { destination = "psykisk" }
decisive = true
any = ["psykisksak"]

[[rules]]
id = "til-moss"
give = { destination = "moss" }
decisive = true
any = ["mossesak"]

[[rules]]
id = "til-annet-sykehus"
give = { destination = "annet-sykehus" }
decisive = true
any = ["fjernsak"]

[[rules]]
id = "alvorlig"
give = { severity = "betydelig" }
decisive = true
any = ["alvorlig skade"]

[[rules]]
id = "svar-endelig"
give = { reply = "endelig" }
decisive = true
any = ["endelig svar"]

[[rules]]
id = "svar-forelopig"
give = { reply = "forelopig" }
decisive = true
any = ["foreløpig svar"]

[[rules]]
id = "svar-feil-adressat"
give = { reply = "feil-adressat" }
decisive = true
any = ["feil adressat"]

[[rules]]
id = "svar-takk"
give = { reply = "takk" }
decisive = true
any = ["tusen takk"]
"#;

/// A fastlege who reports.
pub const FASTLEGE: &str = "lege@fjordgloett-legesenter.example";
/// The clinic's address.
pub const MEDISIN: &str = "samhandling.medisin@so-hf.example";

/// 09:00 on a day in Europe/Oslo, Unix milliseconds.
pub fn morning(day: &str) -> i64 {
    oslo_at(day.parse().unwrap(), 9)
}

fn rulebook(files: &BTreeMap<String, String>) -> Rulebook {
    let rules = RuleSet::compile(files).unwrap();
    Rulebook::new(rules, Templates::compile(&shipped()).unwrap())
}

pub struct House {
    pub engine: Engine,
    pub clock: Arc<ManualClock>,
    pub dir: TempDir,
    pub database: DatabaseConfig,
    arrived: u32,
}

/// Whether houses have `PostgreSQL`.
pub fn on_postgres() -> bool {
    std::env::var("LINJEVEI_TEST_DATABASE").as_deref() == Ok("postgres")
}

/// A database for one house.
async fn database(dir: &TempDir) -> DatabaseConfig {
    if on_postgres() {
        let server = postgres::Postgres::shared().await;
        let server = server.expect("LINJEVEI_TEST_DATABASE=postgres needs PostgreSQL");
        return DatabaseConfig::Postgres {
            url: server.database().await,
            password: None,
        };
    }
    DatabaseConfig::Sqlite(dir.path().join("linjevei.db"))
}

impl House {
    /// A house on a morning, live, without a trusted mail server.
    pub async fn on(day: &str) -> Self {
        Self::with(day, Policy::default()).await
    }

    pub async fn with(day: &str, policy: Policy) -> Self {
        let files = BTreeMap::from([("regler.toml".to_owned(), RULES.to_owned())]);
        Self::with_rulebook(day, policy, rulebook(&files)).await
    }

    /// One of many with the same rules, which are compiled once a program and not to be replaced.
    pub async fn alike(day: &str, policy: Policy) -> Self {
        static COMPILED: OnceLock<Rulebook> = OnceLock::new();
        let compiled = COMPILED.get_or_init(|| {
            let files = BTreeMap::from([("regler.toml".to_owned(), RULES.to_owned())]);
            rulebook(&files)
        });
        // In memory: many of them would wait for the disk most of the time.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_folder(dir.unwrap(), day, policy, compiled.clone()).await
    }

    /// One with the rules of Østfold, as they are shipped; they are compiled once a program, and not to be replaced.
    pub async fn of_ostfold(day: &str) -> Self {
        static OSTFOLD: OnceLock<Rulebook> = OnceLock::new();
        let compiled = OSTFOLD.get_or_init(|| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/ostfold");
            let files = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "toml")
                })
                .map(|path| {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    (name, std::fs::read_to_string(&path).unwrap())
                });
            rulebook(&files.collect())
        });
        Self::with_rulebook(day, Policy::default(), compiled.clone()).await
    }

    async fn with_rulebook(day: &str, policy: Policy, rulebook: Rulebook) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), day, policy, rulebook).await
    }

    async fn in_folder(dir: TempDir, day: &str, policy: Policy, rulebook: Rulebook) -> Self {
        for folder in ["inn/new", "inn/cur", "inn/tmp"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let clock = Arc::new(ManualClock::new(morning(day)));
        let database = database(&dir).await;
        let engine = Engine {
            store: linjevei::store::open(&database).await.unwrap(),
            clock: Arc::<ManualClock>::clone(&clock),
            rulebook,
            identity: Arc::new(Identity {
                address: "samhandlingsavvik@so-hf.example".to_owned(),
                name: "Samhandlingsavdelingen".to_owned(),
                bounce_address: "retur@so-hf.example".to_owned(),
                message_id_domain: "so-hf.example".to_owned(),
            }),
            keys: Arc::new(vec![SigningKey::new([7; 32])]),
            policy: Arc::new(policy),
            calendar: Arc::new(Calendar::default()),
            transport: Arc::new(MaildirTransport::new(dir.path().join("ut"))),
            mode: Mode::Live,
            live_since: LiveSince::default(),
            limits: Limits::default(),
            extractor: Arc::new(Extractor::of(env!("CARGO_BIN_EXE_linjevei").into())),
        };
        Self {
            engine,
            clock,
            dir,
            database,
            arrived: 0,
        }
    }

    /// The store once more, as another process would have it.
    pub async fn open_again(&self) -> SharedStore {
        linjevei::store::open(&self.database).await.unwrap()
    }

    /// Carries out a statement behind the store's back; what the database says against it.
    pub async fn raw(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.database {
            DatabaseConfig::Sqlite(path) => {
                let mut connection = sqlite(path).await;
                let done = sqlx::raw_sql(sql).execute(&mut connection).await;
                connection.close().await.unwrap();
                done.map(|_| ())
            }
            DatabaseConfig::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let done = sqlx::raw_sql(sql).execute(&mut connection).await;
                connection.close().await.unwrap();
                done.map(|_| ())
            }
        }
    }

    /// The same, and what refers to what is not checked.
    pub async fn tamper(&self, sql: &str) {
        let off = match self.database {
            DatabaseConfig::Sqlite(_) => "PRAGMA foreign_keys = OFF",
            DatabaseConfig::Postgres { .. } => "SET session_replication_role = replica",
        };
        self.raw(&format!("{off}; {sql}")).await.unwrap();
    }

    /// The one row that a statement gives.
    pub async fn row<T>(&self, sql: &'static str) -> T
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        match &self.database {
            DatabaseConfig::Sqlite(path) => {
                let mut connection = sqlite(path).await;
                sqlx::query_as(sql)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
            DatabaseConfig::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query_as(sql)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
        }
    }

    /// Moves the clock to 09:00 on a day.
    pub fn go_to(&self, day: &str) {
        self.clock.set(morning(day));
    }

    /// A report as a mail: sender, recipients, subject, words.
    pub fn mail(&self, from: &str, subject: &str, more_headers: &str, text: &str) -> String {
        let date = jiff::Timestamp::from_millisecond(self.clock.now_ms()).unwrap();
        let date = jiff::fmt::rfc2822::to_string(&date.in_tz("Europe/Oslo").unwrap()).unwrap();
        let serial = self.arrived;
        format!(
            "From: <{from}>\r\nTo: samhandlingsavvik@so-hf.example\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{serial}.test@avsender.example>\r\n{more_headers}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        )
    }

    /// Drops bytes into the watched Maildir, takes them in and decides them; the newest message.
    pub async fn receive(&mut self, mail: &[u8]) -> MessageRow {
        self.arrived += 1;
        std::fs::write(
            self.dir
                .path()
                .join(format!("inn/new/{:06}.test", self.arrived)),
            mail,
        )
        .unwrap();
        self.check().await;
        self.engine
            .store
            .messages(false, 1)
            .await
            .unwrap()
            .pop()
            .unwrap()
    }

    /// One check of the Maildir.
    pub async fn check(&self) {
        let mut source = MaildirSource::new("inn", self.dir.path().join("inn"));
        self.engine.take_in(&mut source, &|_| ()).await.unwrap();
        self.engine.decide_pending().await.unwrap();
    }

    /// A report that goes to a party, taken in and sent on; the case.
    pub async fn report(&mut self, words: &str) -> Case {
        let mail = self.mail(FASTLEGE, "Melding", "", words);
        let row = self.receive(mail.as_bytes()).await;
        self.send().await;
        self.case(&row.case.unwrap()).await
    }

    pub async fn send(&self) {
        self.engine.send_due(&|| false).await.unwrap();
    }

    pub async fn chase(&self) -> Vec<Case> {
        let changed = self.engine.chase().await.unwrap();
        self.send().await;
        changed
    }

    pub async fn case(&self, number: &str) -> Case {
        self.engine
            .store
            .case(number.parse().unwrap())
            .await
            .unwrap()
            .unwrap()
    }

    pub async fn cases(&self) -> Vec<Case> {
        self.engine
            .store
            .cases(&CaseFilter {
                all: true,
                ..CaseFilter::default()
            })
            .await
            .unwrap()
    }

    pub async fn history(&self, case: &Case) -> Vec<Event> {
        self.engine.store.history(case.id).await.unwrap()
    }

    pub async fn order(&self, number: CaseNumber, order: linjevei::case::person::Order) -> Case {
        self.engine
            .carry_out(number, &order, &person(), "fordi")
            .await
            .unwrap()
    }

    /// Mail in the outbox as `kind→party` («melder» for the reporter), with its state, in the order in which it was queued.
    pub async fn outbox(&self) -> Vec<String> {
        let rows = self.engine.store.outbox(true, u32::MAX).await.unwrap();
        rows.iter()
            .map(|row| {
                format!(
                    "{}→{} {}",
                    row.kind,
                    if row.party.is_empty() {
                        "melder"
                    } else {
                        &row.party
                    },
                    row.state
                )
            })
            .collect()
    }

    /// How many mails of a kind there are.
    pub async fn count(&self, kind: &str) -> usize {
        self.outbox()
            .await
            .iter()
            .filter(|line| line.starts_with(&format!("{kind}→")))
            .count()
    }

    /// Our Message-ID of the newest mail of a kind.
    pub async fn message_id(&self, kind: &str) -> String {
        let rows = self.engine.store.outbox(true, u32::MAX).await.unwrap();
        rows.iter()
            .rev()
            .find(|row| row.kind == kind)
            .unwrap()
            .message_id
            .clone()
    }

    /// What went out, parsed, oldest first.
    pub fn sent(&self) -> Vec<Message> {
        self.sent_raw()
            .iter()
            .map(|bytes| message::parse(bytes, &Limits::default()).unwrap())
            .collect()
    }

    pub fn sent_raw(&self) -> Vec<Vec<u8>> {
        let folder = self.dir.path().join("ut/new");
        let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        files.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
        files
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect()
    }
}

async fn sqlite(path: &std::path::Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

/// A person of the samhandlingsavdeling.
pub fn person() -> Actor {
    Actor::Person {
        user: "kari".to_owned(),
        on_behalf_of: String::new(),
    }
}
