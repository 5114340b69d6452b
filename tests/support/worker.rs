//! An installation of linjevei in a temporary folder, used as people use it: a settings file, the program as a child
//! process, its exit codes, its output, its log and its database.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test program uses a part of it"
)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow};
use tempfile::TempDir;

/// Longer than anything takes that is not an error, on a slow machine with other tests beside it.
pub const AT_MOST: Duration = Duration::from_mins(3);
/// Pause between two looks at the database by way of the program.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Our own address in all settings here; the rules of Østfold name it as own.
pub const ADDRESS: &str = "samhandlingsavvik@so-hf.example";

/// First part of the settings: live, with the rules and templates of the repository. Without the digest, which would go out
/// or not by the time of day.
pub fn settings() -> String {
    format!(
        "mode = \"live\"\ndata = \"data\"\nrules = \"{0}/rules/ostfold\"\ntemplates = \"{0}/templates\"\n\n\
         [identity]\naddress = \"{ADDRESS}\"\nname = \"Samhandlingsavdelingen\"\nbounce_address = \"retur@so-hf.example\"\n\
         message_id_domain = \"so-hf.example\"\n\n\
         [digest]\nsend = false\n\n\
         [limits]\nacknowledge_max_age_days = 365\nacknowledgements_per_hour = 10000\ngrace_secs = 20\n",
        repository().display()
    )
}

/// The installation.
#[derive(Debug)]
pub struct Installation {
    dir: TempDir,
}

impl Installation {
    /// One with these settings, whose relative paths start in its folder.
    pub fn new(settings: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("lv-inst-")
            .tempdir()
            .unwrap();
        fs::write(dir.path().join("linjevei.toml"), settings).unwrap();
        Self { dir }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the settings anew.
    pub fn set(&self, settings: &str) {
        fs::write(self.dir.path().join("linjevei.toml"), settings).unwrap();
    }

    /// Writes a file that only its owner may read, as passwords are kept; its path.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("data/linjevei.db")
    }

    /// The program with these arguments and the settings of this installation.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = program();
        command.args(args);
        command.env("LINJEVEI_CONFIG", self.dir.path().join("linjevei.toml"));
        command.current_dir(self.dir.path());
        command
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed; what it prints.
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must end with this code and say why; what it says.
    pub fn refused<S: AsRef<OsStr>>(&self, code: i32, args: impl IntoIterator<Item = S>) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a command that must succeed and print JSON lines.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Vec<Value> {
        json_lines(&self.ok(args))
    }

    /// All messages, as the program lists them.
    pub fn messages(&self) -> Vec<Value> {
        self.json(["messages", "list", "--json", "--limit", "100000"])
    }

    /// All cases, as the program lists them.
    pub fn cases(&self) -> Vec<Value> {
        self.json(["cases", "list", "--all", "--json"])
    }

    /// All mail, as the program lists it.
    pub fn outbox(&self) -> Vec<Value> {
        self.json(["outbox", "list", "--all", "--json", "--limit", "100000"])
    }

    /// Looks by way of the program until `done` says so, at most [`AT_MOST`]; fails with `what` otherwise.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + AT_MOST;
        while !done(self) {
            assert!(Instant::now() < end, "not within {AT_MOST:?}: {what}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until so many messages are stored, none is undecided and no mail waits that is due.
    pub fn until_worked_off(&self, messages: usize) {
        self.until("all messages decided and the outbox drained", |this| {
            let rows = this.messages();
            rows.len() >= messages
                && rows.iter().all(|row| row["outcome"] != "pending")
                && this
                    .outbox()
                    .iter()
                    .all(|row| row["state"] != "sending" && !is_due(row))
        });
    }

    /// Rows of the database, read beside everything else.
    pub fn rows<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let options = SqliteConnectOptions::new()
            .filename(self.database())
            .read_only(true)
            .busy_timeout(Duration::from_secs(10));
        runtime().block_on(async {
            let mut connection = options.connect().await.unwrap();
            let rows = sqlx::query_as(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
            rows
        })
    }

    /// Writes to the database while nobody else does.
    pub fn write(&self, statements: &[&str]) {
        let options = SqliteConnectOptions::new().filename(self.database());
        runtime().block_on(async {
            let mut connection = options.connect().await.unwrap();
            for sql in statements {
                sqlx::query(AssertSqlSafe((*sql).to_owned()))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            connection.close().await.unwrap();
        });
    }

    /// One number of the database.
    pub fn number(&self, sql: &'static str) -> i64 {
        self.rows::<(i64,)>(sql)[0].0
    }

    /// Starts the worker.
    pub fn start(&self) -> Worker {
        Self::spawn(self.command(["run"]))
    }

    /// Starts the worker with these environment variables.
    pub fn start_with(&self, variables: &[(&str, String)]) -> Worker {
        let mut run = self.command(["run"]);
        run.envs(variables.iter().map(|(name, value)| (name, value)));
        Self::spawn(run)
    }

    /// Leaves the folder where it is when the test ends; its path.
    pub fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    /// Starts the worker with these environment variables and, as a service manager does, with its own id in one more.
    pub fn start_as_service(&self, variables: &[(&str, &str)]) -> Worker {
        let run = self.command(["run"]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""])
            .arg(run.get_program())
            .args(run.get_args())
            .current_dir(self.dir.path());
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.envs(variables.iter().copied());
        Self::spawn(shell)
    }

    fn spawn(mut command: Command) -> Worker {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.read(stderr)
        });
        Worker {
            child: Some(child),
            log,
            reader: Some(reader),
        }
    }

    /// Starts the worker and waits until it works.
    pub fn start_and_wait(&self) -> Worker {
        let worker = self.start();
        worker.expect_line("linjevei is running", AT_MOST);
        worker
    }
}

/// The program under test, without any settings from outside.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linjevei"));
    command.env_remove("LINJEVEI_CONFIG");
    command.env_remove("LINJEVEI_LOG");
    command
}

/// Runs a command with this on its standard input.
pub fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// What a command printed, for failures.
pub fn said(output: &Output) -> String {
    format!(
        "{}\n--- out ---\n{}\n--- err ---\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// One JSON value a line.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Whether this row of the outbox is queued and its time has come.
pub fn is_due(row: &Value) -> bool {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    row["state"] == "queued" && row["next_attempt_at_ms"].as_i64().unwrap() <= now_ms
}

/// A runtime for one look at a database.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Lines that the worker has written so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Log {
    fn read(&self, stderr: impl std::io::BufRead) {
        for line in stderr.lines() {
            let Ok(line) = line else { break };
            self.lines.lock().unwrap().0.push(line);
            self.more.notify_all();
        }
        self.lines.lock().unwrap().1 = true;
        self.more.notify_all();
    }
}

/// The running worker; killed when dropped.
#[derive(Debug)]
pub struct Worker {
    child: Option<Child>,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Worker {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// Waits until a line of the log holds this text; `false` when it ends first or the time is up.
    pub fn wait_for_line(&self, text: &str, at_most: Duration) -> bool {
        let end = Instant::now() + at_most;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if lines.0.iter().any(|line| line.contains(text)) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.1 {
                return false;
            }
            lines = self.log.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits until a line of the log holds this text.
    pub fn expect_line(&self, text: &str, at_most: Duration) {
        let found = self.wait_for_line(text, at_most);
        assert!(found, "no «{text}» in the log:\n{}", self.log().join("\n"));
    }

    /// The most memory it has used so far, in kilobytes.
    pub fn peak_kb(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.as_ref().unwrap().id());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// SIGTERM, without waiting for what comes of it.
    pub fn ask_to_stop(&self) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), Signal::TERM).ok();
    }

    /// Waits until it has ended by itself, at most so long; how.
    pub fn ended_within(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + at_most;
        loop {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() || Instant::now() >= end {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it at once, as a power cut would; its log.
    pub fn kill(mut self) -> Vec<String> {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        self.log()
    }

    /// SIGTERM; how it ended, how long that took, its log.
    pub fn stop(mut self) -> (ExitStatus, Duration, Vec<String>) {
        let mut child = self.child.take().unwrap();
        let begun = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, begun.elapsed(), self.log())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
            if std::thread::panicking() {
                eprintln!("--- log of linjevei ---\n{}", self.log().join("\n"));
            }
        }
    }
}
