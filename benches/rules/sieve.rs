//! The same keyword rules as a Sieve script (RFC 5228), run by Pigeonhole's `sieve-filter` on the same messages.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs of `sieve-filter`; the fastest one counts.
const RUNS: usize = 5;

/// The processor time of the fastest run over all messages, compiling the script not included.
pub(crate) fn fastest(terms: &[String]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = folder.path().join("mail");
    for name in ["cur", "new", "tmp"] {
        fs::create_dir_all(mailbox.join(name)).unwrap();
    }
    for (number, file) in crate::files().iter().enumerate() {
        fs::copy(file, mailbox.join(format!("cur/{number}.eml:2,"))).unwrap();
    }
    let (uid, gid) = owner(folder.path());
    let config = folder.path().join("dovecot.conf");
    let settings = format!(
        "mail_location = maildir:{}\nlog_path = {}\nmail_uid = {uid}\nmail_gid = {gid}\nfirst_valid_uid = 1\nssl = no\nnamespace inbox {{\n  inbox = yes\n}}\n\
         plugin {{\n  sieve_max_cpu_time = 0\n  sieve_max_actions = 0\n}}\n",
        mailbox.display(),
        folder.path().join("log").display()
    );
    fs::write(&config, settings).unwrap();
    let script = folder.path().join("regler.sieve");
    fs::write(&script, sieve(terms)).unwrap();
    run(Command::new("sievec").arg("-c").arg(&config).arg(&script));
    hand_over(folder.path(), uid, gid);
    let mut best = Duration::MAX;
    // The first run writes the mailbox index.
    for round in 0..=RUNS {
        let start = of_children();
        let said = run(&mut filter(&config, &script));
        // The first rule hits: the script was really run on the text.
        assert!(said.contains("r0"), "no message hit");
        if round > 0 {
            best = best.min(of_children().saturating_sub(start));
        }
    }
    best
}

/// Who owns the mailbox: Dovecot reads no mail as root, so for root it is nobody.
fn owner(folder: &Path) -> (u32, u32) {
    let metadata = fs::metadata(folder).unwrap();
    match metadata.uid() {
        0 => (65_534, 65_534),
        own => (own, metadata.gid()),
    }
}

fn hand_over(path: &Path, uid: u32, gid: u32) {
    chown(path, Some(uid), Some(gid)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            hand_over(&entry.unwrap().path(), uid, gid);
        }
    }
}

/// Processor time of all processes that were started here and have ended, in steps of 10 ms (`proc_pid_stat(5)`).
fn of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // Fields 16 and 17, cutime and cstime; the first after the name is field 3.
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn filter(config: &Path, script: &Path) -> Command {
    let mut command = Command::new("sieve-filter");
    command.arg("-c").arg(config).arg(script).arg("INBOX");
    command
}

/// A keyword is looked for where a rule of ours looks for it: in the subject and in the text. A flag is set where it stands.
fn sieve(terms: &[String]) -> String {
    let mut text = String::from("require [\"body\", \"imap4flags\"];\n");
    for (number, term) in terms.iter().enumerate() {
        let word = term.trim_end_matches('*');
        writeln!(
            text,
            "if anyof (header :contains \"Subject\" \"{word}\", body :text :contains \"{word}\") {{ addflag \"r{number}\"; }}"
        )
        .unwrap();
    }
    text
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{} failed: {}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
