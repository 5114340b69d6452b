//! Reads attachments in child processes of this same program, so that a hostile file costs that one attachment. [I/O]
//!
//! The child gets one file on standard input, without its name on the command line, with an empty environment and no file
//! that it could open; it answers with one JSON object on standard output. It is bounded in time, memory and output; what
//! goes beyond, panics or is killed leaves [`Unread`], the same for the same file each time: memory is a fixed number of
//! bytes and the time far more than any real document takes. As many children run at once as there are cores.

use crate::message::extract::{Extracted, Unread, extract};
use crate::message::{self, File, Limits, Message, ParseError, Reading};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// The subcommand that reads one attachment; it is not listed.
pub const SUBCOMMAND: &str = "read-attachment";
/// Address space of a child. A PDF of 500 pages takes a tenth.
pub const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Seconds of processor time of a child. The largest real documents take one.
pub const CPU_SECS_MAX: u64 = 20;
/// How long a child may take by the clock: far more than its processor time, so that a busy machine changes no verdict.
const WALL: Duration = Duration::from_mins(10);
/// Bytes of a child's answer: text in JSON, each byte of it at most six.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of an attachment that are handed to a child; the limit on messages is below it.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Attachments of one message that are read.
const ATTACHMENTS_MAX: usize = 40;
/// Attachments of one message that may run into a limit; later ones are not tried.
const FAILURES_MAX: usize = 3;
/// Stack of the thread that reads: HTML and mail within mail need it.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// How often a child that could not be started is tried again, and after how long: the machine is busy, the file is not bad.
const START_ATTEMPTS: u32 = 5;
const START_PAUSE: Duration = Duration::from_millis(200);

/// A child could not be started or spoken with: not the attachment's fault, so try again later.
#[derive(Debug, thiserror::Error)]
pub enum ExtractorError {
    /// The operating system did not start it.
    #[error("the process that reads attachments could not be started")]
    Start(#[source] std::io::Error),
    /// It started, but could not limit itself.
    #[error("the process that reads attachments could not set its limits")]
    Limits,
}

/// A message could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be parsed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Its attachments could not be read now.
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
}

/// A message with the text of its attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The message.
    pub message: Message,
    /// Its attachments with their bytes.
    pub files: Vec<File>,
    /// What reading them gave, by their place in [`Message::attachments`].
    pub extracted: Vec<(usize, Extracted)>,
}

/// Starts the children.
#[derive(Debug)]
pub struct Extractor {
    program: PathBuf,
    /// How many children may still be started.
    free: Mutex<usize>,
    freed: Condvar,
    cores: usize,
}

/// What a child is told before the bytes, on one line.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    name: String,
    media_type: String,
    body_is_read: bool,
}

/// What a child answers.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    extracted: Extracted,
    /// Most memory that it held at any time; 0 when not known.
    peak_kib: u64,
}

/// What one child did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Text, or why there is none.
    pub extracted: Extracted,
    /// Most memory that the child held at any time, in KiB; `None` when it did not live to tell.
    pub peak_kib: Option<u64>,
}

impl Extractor {
    /// Children of the running program. Its file may have been replaced meanwhile: Linux keeps the one that runs.
    pub fn this_program() -> Self {
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() {
            running
        } else {
            std::env::current_exe().unwrap_or(running)
        };
        Self::of(program)
    }

    /// Children of that program.
    pub fn of(program: PathBuf) -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            program,
            free: Mutex::new(cores),
            freed: Condvar::new(),
            cores,
        }
    }

    /// Parses a message and reads its attachments.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be parsed, or its attachments cannot be read now.
    pub fn open(&self, raw: &[u8], limits: &Limits) -> Result<Opened, OpenError> {
        self.open_again(raw, limits, &[])
    }

    /// The same; what `known` says of an attachment is not read again.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_again(
        &self,
        raw: &[u8],
        limits: &Limits,
        known: &[(usize, Extracted)],
    ) -> Result<Opened, OpenError> {
        let (mut message, files) = message::parse_with_files(raw, limits)?;
        let mut wanted = Vec::new();
        let mut extracted = Vec::new();
        for (place, (attachment, file)) in message.attachments.iter().zip(&files).enumerate() {
            if attachment.reading != Reading::Pending {
                continue;
            }
            if let Some((_, before)) = known.iter().find(|(known, _)| *known == place) {
                extracted.push((place, before.clone()));
            } else if wanted.len() < ATTACHMENTS_MAX {
                let request = Request {
                    name: file.name.clone(),
                    media_type: file.media_type.clone(),
                    body_is_read: attachment.body_is_read,
                };
                wanted.push((place, request, file.bytes.as_slice()));
            } else {
                extracted.push((place, Extracted::nothing(Unread::TooMuch)));
            }
        }
        extracted.extend(self.read_all(&wanted)?);
        extracted.sort_by_key(|(place, _)| *place);
        for (place, one) in &extracted {
            message::add_extracted(&mut message, *place, one, limits);
        }
        Ok(Opened {
            message,
            files,
            extracted,
        })
    }

    /// Reads them side by side; the result does not depend on which is done first.
    fn read_all(
        &self,
        wanted: &[(usize, Request, &[u8])],
    ) -> Result<Vec<(usize, Extracted)>, ExtractorError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let next = AtomicUsize::new(0);
        let failures = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, Result<Extracted, ExtractorError>)>> =
            Mutex::new(Vec::new());
        let work = || {
            while let Some((place, request, bytes)) =
                wanted.get(next.fetch_add(1, Ordering::SeqCst))
            {
                if failures.load(Ordering::SeqCst) >= FAILURES_MAX.saturating_mul(2) {
                    return;
                }
                let result = self.read(request, bytes).map(|outcome| outcome.extracted);
                if matches!(&result, Ok(extracted) if ran_into_limit(extracted)) {
                    failures.fetch_add(1, Ordering::SeqCst);
                }
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                results.push((*place, result));
            }
        };
        thread::scope(|scope| {
            let helpers = self.cores.min(wanted.len()).saturating_sub(1);
            for _ in 0..helpers {
                // Without a helper it takes longer, no more.
                thread::Builder::new().spawn_scoped(scope, work).ok();
            }
            work();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(place, _)| *place);
        // Which ones were begun when the last failure came depends on the machine; which ones count does not.
        let mut found = Vec::new();
        let mut failures = 0_usize;
        let mut results = results.into_iter().peekable();
        for (place, _, _) in wanted {
            let result = results.next_if(|(known, _)| known == place);
            if failures >= FAILURES_MAX {
                found.push((*place, Extracted::nothing(Unread::TooMuch)));
                continue;
            }
            let extracted = match result {
                Some((_, result)) => result?,
                None => Extracted::nothing(Unread::TooMuch),
            };
            if ran_into_limit(&extracted) {
                failures = failures.saturating_add(1);
            }
            found.push((*place, extracted));
        }
        Ok(found)
    }

    /// Reads one file in a child.
    ///
    /// # Errors
    /// [`ExtractorError`] when no child could be started.
    pub fn read_file(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Outcome, ExtractorError> {
        let request = Request {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            body_is_read: false,
        };
        self.read(&request, bytes)
    }

    fn read(&self, request: &Request, bytes: &[u8]) -> Result<Outcome, ExtractorError> {
        let _slot = self.slot();
        let mut head = serde_json::to_vec(request).unwrap_or_default();
        head.push(b'\n');
        let child = self.start()?;
        let ended = converse(child, &head, bytes).map_err(ExtractorError::Start)?;
        let nothing = |reason| Outcome {
            extracted: Extracted::nothing(reason),
            peak_kib: None,
        };
        match ended {
            Ended::Late => Ok(nothing(Unread::TooMuch)),
            Ended::Answered(status, _) if status.code() == Some(EXIT_NO_LIMITS) => {
                Err(ExtractorError::Limits)
            }
            Ended::Answered(status, answer) if status.success() => {
                let answer: Result<Answer, _> = serde_json::from_slice(&answer);
                Ok(answer.map_or_else(
                    |_| nothing(Unread::Damaged),
                    |answer| Outcome {
                        extracted: answer.extracted,
                        peak_kib: (answer.peak_kib > 0).then_some(answer.peak_kib),
                    },
                ))
            }
            // Stopped by a limit: memory (abort), time, output. A panic ends with a code instead.
            Ended::Answered(status, _) if status.signal().is_some() => Ok(nothing(Unread::TooMuch)),
            Ended::Answered(..) => Ok(nothing(Unread::Damaged)),
        }
    }

    fn start(&self) -> Result<Child, ExtractorError> {
        let mut attempts = 0;
        loop {
            attempts = u32::saturating_add(attempts, 1);
            let started = Command::new(&self.program)
                .arg(SUBCOMMAND)
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            match started {
                Ok(child) => return Ok(child),
                Err(error) if attempts >= START_ATTEMPTS => {
                    return Err(ExtractorError::Start(error));
                }
                Err(_) => thread::sleep(START_PAUSE),
            }
        }
    }

    fn slot(&self) -> Slot<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free = free.saturating_sub(1);
        Slot { extractor: self }
    }
}

/// The right to have a child.
struct Slot<'a> {
    extractor: &'a Extractor,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut free = self
            .extractor
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *free = free.saturating_add(1);
        self.extractor.freed.notify_one();
    }
}

fn ran_into_limit(extracted: &Extracted) -> bool {
    extracted.pieces.is_empty() && extracted.unread == [Unread::TooMuch]
}

/// How a child ended.
enum Ended {
    Answered(std::process::ExitStatus, Vec<u8>),
    Late,
}

fn converse(mut child: Child, head: &[u8], bytes: &[u8]) -> std::io::Result<Ended> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let writer = thread::Builder::new().spawn_scoped(scope, move || {
            if let Some(mut stdin) = stdin {
                // A child that has seen enough closes its end.
                stdin
                    .write_all(head)
                    .and_then(|()| stdin.write_all(bytes))
                    .ok();
            }
        });
        let reader = thread::Builder::new().spawn_scoped(scope, move || {
            let mut answer = Vec::new();
            let read = stdout.map_or(Ok(0), |stdout| {
                stdout
                    .take(ANSWER_BYTES_MAX.saturating_add(1))
                    .read_to_end(&mut answer)
            });
            sender.send(read.map(|_| answer)).ok();
        });
        if let Err(error) = writer.and(reader) {
            child.kill().ok();
            child.wait().ok();
            return Err(error);
        }
        let answer = receiver.recv_timeout(WALL);
        let is_whole = matches!(&answer, Ok(Ok(answer)) if u64::try_from(answer.len()).is_ok_and(|length| length <= ANSWER_BYTES_MAX));
        if !is_whole {
            child.kill().ok();
        }
        let status = child.wait()?;
        Ok(match answer {
            Ok(Ok(answer)) if is_whole => Ended::Answered(status, answer),
            _ => Ended::Late,
        })
    })
}

/// The child could not limit itself, and so did not read.
const EXIT_NO_LIMITS: i32 = 71;

/// The child's side: one request on standard input, one answer on standard output.
pub fn serve() -> ExitCode {
    let status = std::fs::File::open("/proc/self/status").ok();
    if limit_this_process().is_err() {
        return ExitCode::from(u8::try_from(EXIT_NO_LIMITS).unwrap_or(1));
    }
    let mut input = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX)
        .read_to_end(&mut input);
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return ExitCode::FAILURE;
    };
    let (head, rest) = input.split_at(end);
    let bytes = rest.get(1..).unwrap_or_default();
    let request: Request = match (read, serde_json::from_slice(head)) {
        (Ok(_), Ok(request)) => request,
        _ => return ExitCode::FAILURE,
    };
    let extracted = thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                extract(
                    &request.name,
                    &request.media_type,
                    bytes,
                    request.body_is_read,
                )
            })
            .ok()
            .and_then(|thread| thread.join().ok())
    });
    let extracted = extracted.unwrap_or_else(|| Extracted::nothing(Unread::Damaged));
    let answer = Answer {
        extracted,
        peak_kib: status.and_then(peak_kib).unwrap_or_default(),
    };
    let written = serde_json::to_vec(&answer)
        .map_err(std::io::Error::other)
        .and_then(|answer| std::io::stdout().lock().write_all(&answer));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Memory, processor time, no file that could be opened or written.
fn limit_this_process() -> rustix::io::Result<()> {
    let at = |limit: u64| Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    setrlimit(Resource::Core, at(0))?;
    setrlimit(Resource::Fsize, at(0))?;
    setrlimit(Resource::As, at(MEMORY_BYTES_MAX))?;
    setrlimit(Resource::Cpu, at(CPU_SECS_MAX))?;
    setrlimit(Resource::Nofile, at(0))
}

/// The most memory that this process held, as Linux counts it.
fn peak_kib(mut status: std::fs::File) -> Option<u64> {
    let mut text = String::new();
    status.read_to_string(&mut text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
