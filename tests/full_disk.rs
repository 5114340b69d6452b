//! A disk that is really full: the data folder is a small tmpfs in a mount namespace of its own, filled to the last byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/checks.rs"]
mod checks;
#[path = "support/worker.rs"]
mod worker;

use std::fs;
use std::process::Command;

use checks::{
    count, each_case_has_one_acknowledgement_decision, each_message_has_one_outcome,
    numbers_have_no_gap,
};
use worker::{Installation, said, settings};

const MESSAGES: usize = 40;

/// What an operator lives through. Each step leaves its exit code and what it said in a file beside the data folder.
const STORY: &str = r#"
mount -t tmpfs -o size=8m,mode=700 none data || exit 99
step() { name=$1; shift; "$@" >"$name.out" 2>"$name.err"; echo $? >"$name.code"; }
running() { "$LINJEVEI" run 2>>run.err & worker=$!; }
said() { tries=600; until grep -q "$1" run.err; do tries=$((tries - 1)); [ $tries -gt 0 ] || exit 98; sleep 0.1; done; }
sentmail() { tries=600; until [ "$(grep -c 'mail sent' run.err)" -ge $1 ]; do tries=$((tries - 1)); [ $tries -gt 0 ] || exit 97; sleep 0.1; done; }
ended() { kill -TERM $worker; wait $worker; echo $? >"$1.code"; }

# A first message, and its two mails are sent; then not a byte is left, while the worker runs.
step first "$LINJEVEI" ingest erste.eml
running
said 'linjevei is running'
sentmail 2
dd if=/dev/zero of=data/filler bs=64k 2>/dev/null
dd if=/dev/zero bs=1 count=65536 2>/dev/null >>data/filler
cp -r rest/. inn/new
ls inn/new inn/cur | sort >inn.before
said 'disk is full'
step ingest "$LINJEVEI" ingest hand
step piped "$LINJEVEI" ingest - <hand/1.eml
ls inn/new inn/cur | sort >inn.after
ls sendt/new 2>/dev/null | wc -l >sent.full

# Somebody makes room; nothing else is needed.
rm data/filler
step again "$LINJEVEI" ingest hand
tries=600
until [ "$(ls sendt/new 2>/dev/null | wc -l)" -ge "$WANTED" ]; do tries=$((tries - 1)); [ $tries -gt 0 ] || break; sleep 0.2; done
ended stopped
cp -a data/. kept/
"#;

fn report(number: usize) -> Vec<u8> {
    // Without Received, the header says when it came: after the worker began.
    let now = jiff::Zoned::now() + jiff::SignedDuration::from_mins(1);
    let date = jiff::fmt::rfc2822::to_string(&now).unwrap();
    let padding = "Vi har ringt flere ganger uten å få svar.\r\n".repeat(300);
    format!(
        "From: Lege Kari Testesen <kari.testesen@fjordgloett-legesenter.example>\r\nTo: samhandlingsavvik@so-hf.example\r\n\
         Subject: Avviksmelding: manglende epikrise\r\nDate: {date}\r\n\
         Message-ID: <{number}.full@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Hei,\r\nvi melder et samhandlingsavvik. Pasienten ble utskrevet fra lungeposten uten epikrise, nummer {number}.\r\n\
         Vi ber om svar.\r\n{padding}\r\nKari Testesen, fastlege\r\n"
    )
    .into_bytes()
}

/// `unshare` with the right to mount: root has it, others have it in a user namespace where the kernel allows that.
fn with_own_mounts() -> Option<Command> {
    let root = rustix::process::geteuid().is_root();
    let user: &[&str] = if root {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    let mut unshare = Command::new("unshare");
    unshare.args(user).arg("--mount");
    let probe = Command::new("unshare")
        .args(user)
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/tmp"])
        .output();
    probe
        .is_ok_and(|output| output.status.success())
        .then_some(unshare)
}

#[test]
fn a_full_disk_acknowledges_nothing_touches_nothing_and_loses_nothing() {
    let Some(mut unshare) = with_own_mounts() else {
        let left_out =
            "LEFT OUT: no right to mount a small tmpfs, so the full disk is not tested here";
        assert!(
            std::env::var_os("LINJEVEI_TESTS_REQUIRE_ALL").is_none(),
            "{left_out}"
        );
        eprintln!("{left_out}");
        return;
    };
    let installation = Installation::new(&format!(
        "{}\n[[maildir]]\nname = \"inn\"\npath = \"inn\"\npoll_secs = 1\n\n[send_maildir]\npath = \"sendt\"\n",
        settings()
    ));
    let folder = installation.path();
    for name in [
        "data", "kept", "rest", "hand", "inn/new", "inn/cur", "inn/tmp",
    ] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    fs::write(folder.join("erste.eml"), report(0)).unwrap();
    for number in 1..MESSAGES {
        fs::write(folder.join(format!("rest/{number:02}.eml")), report(number)).unwrap();
    }
    fs::write(folder.join("hand/1.eml"), report(MESSAGES)).unwrap();

    // Each of them is acknowledged and goes to one party.
    let wanted = 2 * (MESSAGES + 1);
    let output = unshare
        .args(["sh", "-c", STORY])
        .current_dir(folder)
        .env("LINJEVEI", env!("CARGO_BIN_EXE_linjevei"))
        .env("LINJEVEI_CONFIG", folder.join("linjevei.toml"))
        .env("LINJEVEI_LOG", "info")
        .env("WANTED", wanted.to_string())
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let log = read("run.err");
    assert!(
        output.status.success(),
        "{}\n--- log ---\n{log}",
        said(&output)
    );
    let code = |step: &str| read(&format!("{step}.code")).trim().to_owned();

    assert_eq!(code("first"), "0", "{}", read("first.err"));
    for step in ["ingest", "piped"] {
        assert_eq!(code(step), "75", "{step}: {}", read(&format!("{step}.err")));
        let told = read(&format!("{step}.err"));
        assert!(
            told.contains("full") && told.contains("try again"),
            "{told}"
        );
    }
    assert_eq!(
        read("inn.before"),
        read("inn.after"),
        "the source is as it was"
    );
    assert_eq!(
        read("sent.full").trim(),
        "2",
        "only what came before was acknowledged"
    );
    assert_eq!(code("again"), "0", "{}", read("again.err"));
    assert_eq!(code("stopped"), "0", "{log}");

    fs::remove_dir_all(folder.join("data")).unwrap();
    fs::rename(folder.join("kept"), folder.join("data")).unwrap();
    let (messages, cases, outbox) = (
        installation.messages(),
        installation.cases(),
        installation.outbox(),
    );
    each_message_has_one_outcome(&messages);
    numbers_have_no_gap(&cases, &messages);
    each_case_has_one_acknowledgement_decision(&cases, &outbox);
    assert_eq!(count(&messages, "opened"), MESSAGES + 1, "{log}");
    assert_eq!(
        fs::read_dir(folder.join("sendt/new")).unwrap().count(),
        wanted
    );
    assert!(outbox.iter().all(|row| row["state"] == "sent"));
}
