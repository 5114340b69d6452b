//! Mail as it comes: every `.eml` in `tests/fixtures/message/{real,malformed,robots}`, read with LF and with CRLF line
//! ends, against the summary beside it (`.txt`). Then mail that nobody would write: mutated, nested, endless.
//!
//! `LINJEVEI_WRITE_FIXTURES=1 cargo test --test message_fixtures` writes the summaries anew; read the difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use linjevei::message::{
    Defect, Limits, Mark, ParseError, Zone, add_attachment_text, content_hash, files, parse,
    report_text,
};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/message");
    let mut found = Vec::new();
    for origin in ["real", "malformed", "robots"] {
        let before = found.len();
        for entry in std::fs::read_dir(root.join(origin)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                found.push(path);
            }
        }
        assert!(found.len() > before, "no fixtures in {origin}");
    }
    found.sort();
    found
}

fn summary(raw: &[u8]) -> String {
    let message = match parse(raw, &Limits::default()) {
        Ok(message) => message,
        Err(error) => return format!("error: {error}\n"),
    };
    let mut text = String::new();
    let mut line =
        |name: &str, value: &dyn std::fmt::Debug| writeln!(text, "{name}: {value:?}").unwrap();
    line(
        "from",
        &message
            .from
            .iter()
            .map(|a| (&a.name, &a.address))
            .collect::<Vec<_>>(),
    );
    line("subject", &message.subject);
    line("date_ms", &message.date_ms);
    line("message_id", &message.message_id);
    if !message.in_reply_to.is_empty() || !message.references.is_empty() {
        line("thread", &(&message.in_reply_to, &message.references));
    }
    line("marks", &message.marks);
    line("defects", &message.defects);
    for one in &message.forwarded {
        line(
            "forwarded",
            &(&one.from.name, &one.from.address, &one.subject),
        );
    }
    for one in &message.attachments {
        line("attachment", &(&one.name, &one.media_type));
    }
    if let Some(bounce) = &message.bounce {
        line("bounce", bounce);
    }
    if let Some(authentication) = &message.authentication {
        line("authentication", authentication);
    }
    for one in &message.texts {
        let zone = serde_json::to_string(&one.zone).unwrap();
        write!(
            text,
            "--- {} {}\n{}\n",
            zone.trim_matches('"'),
            one.label,
            one.text
        )
        .unwrap();
    }
    text
}

#[test]
fn every_fixture_is_read_as_written_beside_it() {
    let write = std::env::var_os("LINJEVEI_WRITE_FIXTURES").is_some();
    for path in fixtures() {
        let raw = std::fs::read(&path).unwrap();
        let crlf: Vec<u8> = raw
            .iter()
            .flat_map(|&b| {
                if b == b'\n' {
                    vec![b'\r', b'\n']
                } else {
                    vec![b]
                }
            })
            .collect();
        assert!(
            !raw.windows(2).any(|pair| pair == b"\r\n"),
            "fixtures are stored with LF: {}",
            path.display()
        );
        let expected_path = path.with_extension("txt");
        if write {
            std::fs::write(&expected_path, summary(&raw)).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_path)
            .unwrap_or_else(|_| panic!("no summary beside {}", path.display()));
        assert_eq!(summary(&raw), expected, "{} with LF", path.display());
        assert_eq!(summary(&crlf), expected, "{} with CRLF", path.display());
        assert_eq!(
            content_hash(&raw),
            content_hash(&crlf),
            "{}",
            path.display()
        );
    }
}

#[test]
fn files_stand_in_the_order_of_the_attachments_with_the_bytes_that_were_hashed() {
    let mut seen = 0;
    for path in fixtures() {
        let raw = std::fs::read(&path).unwrap();
        let message = parse(&raw, &Limits::default()).unwrap();
        let files = files(&raw, &Limits::default());
        assert_eq!(files.len(), message.attachments.len());
        for (file, attachment) in files.iter().zip(&message.attachments) {
            assert_eq!(
                (&file.name, &file.media_type, file.bytes.len()),
                (&attachment.name, &attachment.media_type, attachment.size)
            );
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn the_report_is_handed_on_without_what_it_quotes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/message/real");
    let text = |name: &str| {
        let raw = std::fs::read(root.join(name)).unwrap();
        report_text(&parse(&raw, &Limits::default()).unwrap())
    };
    assert_eq!(
        text("outlook-videresendt-to-ganger.eml"),
        "Til dere.\n\nSe under fra sykehjemmet.\n\nBruker kom hjem uten blå resept."
    );
    assert_eq!(text("gmail-svar.eml"), "Takk, det stemmer.");
}

#[test]
fn a_disclaimer_below_changes_no_text() {
    for path in fixtures() {
        let raw = std::fs::read(&path).unwrap();
        let message = parse(&raw, &Limits::default()).unwrap();
        // A footer can only be appended where the message is one plain text.
        if message.header("Content-Type").is_some_and(|value| {
            value.contains("multipart") || value.contains("html") || value.contains("pdf")
        }) {
            continue;
        }
        let mut longer = raw.clone();
        let line_end = if raw.contains(&b'\n') { "\n" } else { "\r" };
        let footer = "\n\nDenne e-posten er kun ment for adressaten. Dersom du har mottatt den ved en feil, ber vi deg slette den.\n";
        longer.extend(footer.replace('\n', line_end).bytes());
        let again = parse(&longer, &Limits::default()).unwrap();
        assert_eq!(again.texts, message.texts, "{}", path.display());
    }
}

#[test]
fn text_from_elsewhere_becomes_a_zone() {
    let raw = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/message/real/rot-er-pdf.eml"),
    )
    .unwrap();
    let mut message = parse(&raw, &Limits::default()).unwrap();
    assert!(add_attachment_text(
        &mut message,
        0,
        "Konsekvens: Ekstra smerte\r\nMer\0 tekst",
        &Limits::default()
    ));
    assert!(!add_attachment_text(
        &mut message,
        1,
        "ingen slik fil",
        &Limits::default()
    ));
    assert!(!add_attachment_text(
        &mut message,
        0,
        " \n",
        &Limits::default()
    ));
    let got: Vec<(Zone, &str, &str)> = message
        .texts
        .iter()
        .filter(|one| matches!(one.zone, Zone::Attachment | Zone::Field))
        .map(|one| (one.zone, one.label.as_str(), one.text.as_str()))
        .collect();
    assert_eq!(
        got,
        [
            (Zone::Field, "Konsekvens", "Ekstra smerte\nMer tekst"),
            (
                Zone::Attachment,
                "skann.pdf",
                "Konsekvens: Ekstra smerte\nMer tekst"
            )
        ]
    );
}

#[test]
fn nested_mail_of_two_megabytes_is_refused_and_kills_nothing() {
    let plain = "Content-Type: message/rfc822\n\n".repeat(70_000);
    let spaced = "Content-Type : message/rfc822\r\n\r\n".repeat(70_000);
    let mut digest = String::new();
    for level in 0..40_000 {
        write!(
            digest,
            "Content-Type: multipart/digest; boundary=b{level}\n\n--b{level}\n\n"
        )
        .unwrap();
    }
    for bomb in [plain, spaced, digest] {
        assert!(bomb.len() > 1_900_000);
        let started = Instant::now();
        assert!(matches!(
            parse(bomb.as_bytes(), &Limits::default()),
            Err(ParseError::TooComplex { .. })
        ));
        assert!(files(bomb.as_bytes(), &Limits::default()).is_empty());
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn encoded_nesting_counts_too() {
    use base64::Engine;
    let inner = "Content-Type: message/rfc822\n\n".repeat(50_000);
    let encoded = base64::prelude::BASE64_STANDARD.encode(inner);
    let bomb =
        format!("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{encoded}\n");
    assert!(matches!(
        parse(bomb.as_bytes(), &Limits::default()),
        Err(ParseError::TooComplex { .. })
    ));
}

#[test]
fn nothing_at_all_is_not_a_mail() {
    for raw in [
        &b""[..],
        b"\r\n\r\n",
        b"\x00\x01\x02\x03\x04\x05\x06",
        b"\xef\xbb\xbf",
    ] {
        assert_eq!(parse(raw, &Limits::default()), Err(ParseError::NotAMail));
    }
    let message = parse("Bare tekst uten hode.\n".as_bytes(), &Limits::default()).unwrap();
    assert!(message.marks.contains(&Mark::NoFrom));
    assert_eq!(report_text(&message), "Bare tekst uten hode.");
}

#[test]
fn a_message_beyond_the_limit_gives_its_header_and_leading_text() {
    let limits = Limits {
        max_bytes: 200_000,
        ..Limits::default()
    };
    let mut raw = String::from(
        "From: a@b.example\nSubject: Stor\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nTeksten.\n--b\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n",
    );
    raw.push_str(&"QUFB\n".repeat(60_000));
    raw.push_str("--b--\n");
    let message = parse(raw.as_bytes(), &limits).unwrap();
    assert_eq!(
        (message.subject.as_str(), report_text(&message).as_str()),
        ("Stor", "Teksten.")
    );
    assert!(message.defects.contains(&Defect::Truncated));
    assert!(message.attachments.is_empty(), "half a file is no file");
    let whole = parse(raw.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(
        (whole.attachments.len(), whole.attachments[0].size),
        (1, 180_000)
    );
    assert!(!whole.defects.contains(&Defect::Truncated));
}

#[test]
fn text_beyond_the_limit_is_left_out_and_said_so() {
    let limits = Limits {
        max_text_bytes: 1_000,
        ..Limits::default()
    };
    let raw = format!(
        "From: a@b.example\nSubject: x\n\n{}\n",
        "æøå ".repeat(2_000)
    );
    let message = parse(raw.as_bytes(), &limits).unwrap();
    let length: usize = message.zone(Zone::New).map(|one| one.text.len()).sum();
    assert!(length <= 1_000 && length > 990);
    assert!(message.defects.contains(&Defect::TextTruncated));
}

/// Shapes that have made parsers quadratic, or a part of each. Each has its own way of being long.
fn long_shapes(part: usize) -> Vec<String> {
    let head = "From: a@b.example\nSubject: SV: x\nIn-Reply-To: <a@b>\n";
    vec![
        format!("{head}\n{}", "> \n".repeat(300_000 / part)),
        format!("{head}\n{}", "\n".repeat(900_000 / part)),
        format!("{head}\n{}", "Fra: a\n".repeat(100_000 / part)),
        format!(
            "{head}\n{}",
            "________________________________\n\n\n\n".repeat(25_000 / part)
        ),
        format!("{head}\n{}", "Den 1.1.2026 skrev a\n".repeat(50_000 / part)),
        format!(
            "{head}\n{}",
            "Denne e-posten er konfidensiell\n".repeat(30_000 / part)
        ),
        format!("{head}\n{}", "a".repeat(1_000_000 / part)),
        format!(
            "{head}Content-Type: text/html\n\n{}",
            "<table><tr><td>".repeat(60_000 / part)
        ),
        format!(
            "{head}Content-Type: text/html\n\n{}",
            "<p>a".repeat(200_000 / part)
        ),
        format!(
            "{head}Content-Type: text/html\n\n{}x",
            "<table><tr><td>".repeat(240 / part)
        ),
        format!(
            "{head}Content-Type: text/html\n\n{}",
            "<b>".repeat(240 / part) + &"<p>a".repeat(4_000 / part)
        ),
        format!(
            "{head}Content-Type: text/html\n\n{}",
            "<table><tr><td>a</td></tr></table>".repeat(25_000 / part)
        ),
        format!(
            "{head}Content-Type: text/html\n\n<style>{}</style>{}",
            ".a{color:red} ".repeat(20_000 / part),
            "<i class=a>b</i>".repeat(30_000 / part)
        ),
        format!(
            "{head}\nDen 24.02.2026 22:17, skrev Kari:\n>a\n{}",
            "\n".repeat(900_000 / part)
        ),
        format!("{head}\n{}", "\n> a\nb\n".repeat(100_000 / part)),
        format!(
            "{head}References: {}\n\nHei\n",
            "<a@b>".repeat(13_000 / part)
        ),
        format!("{head}To: {}\n\nHei\n", "a@b.example,".repeat(5_000 / part)),
        format!("{head}To: {}\n\nHei\n", "(".repeat(60_000 / part)),
        format!("{head}X-A: {}\n\nHei\n", "=?utf-8?q?a".repeat(6_000 / part)),
        format!("{head}{}\nHei\n", "X-A: b\n".repeat(100_000 / part)),
        format!(
            "{head}Content-Type: multipart/mixed; {}\n\nHei\n",
            "a=b;".repeat(15_000 / part)
        ),
    ]
}

/// A quarter of the length takes no less than a tenth of the time. A machine that does other things too gets three tries.
#[test]
fn long_mail_takes_linear_time() {
    let take = |raw: &String| {
        let started = Instant::now();
        parse(raw.as_bytes(), &Limits::default()).unwrap();
        started.elapsed()
    };
    for (index, (whole, quarter)) in long_shapes(1).iter().zip(long_shapes(4)).enumerate() {
        let mut tries = Vec::new();
        let linear = (0..3).any(|_| {
            let (short, long) = (take(&quarter), take(whole));
            tries.push((short, long));
            long < Duration::from_millis(100) || long < short * 10
        });
        println!("shape {index}: {tries:?}");
        assert!(linear, "shape {index}: {tries:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any mail with bytes changed, cut out, doubled: an answer, the same answer each time, and clean text.
    #[test]
    fn mutated_mail_never_panics(which in 0_usize..1_000, edits in prop::collection::vec((any::<u16>(), any::<u8>(), 0_u8..4), 1..20)) {
        let all = fixtures();
        let mut raw = std::fs::read(&all[which % all.len()]).unwrap();
        for (position, byte, kind) in edits {
            if raw.is_empty() {
                break;
            }
            let at = usize::from(position) % raw.len();
            match kind {
                0 => raw[at] = byte,
                1 => { raw.remove(at); }
                2 => raw.insert(at, byte),
                _ => {
                    let end = (at + usize::from(byte)).min(raw.len());
                    let piece = raw[at..end].to_vec();
                    raw.splice(at..at, piece);
                }
            }
        }
        let first = parse(&raw, &Limits::default());
        prop_assert_ne!(&first, &Err(ParseError::ParserFailed));
        prop_assert_eq!(&first, &parse(&raw, &Limits::default()));
        prop_assert_eq!(content_hash(&raw).0.len(), 64);
        if let Ok(message) = first {
            for one in &message.texts {
                prop_assert!(!one.text.contains(['\0', '\r']) && !one.text.is_empty());
            }
            for one in &message.attachments {
                prop_assert!(!one.name.is_empty() && !one.name.contains(['/', '\\', '\0', '\n']));
            }
            for one in message.from.iter().chain(&message.to) {
                prop_assert!(one.address.is_empty() || one.address.contains('@'));
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(raw in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert_ne!(parse(&raw, &Limits::default()), Err(ParseError::ParserFailed));
    }

    #[test]
    fn masking_touches_digits_only(text in "[0-9 .\\-a-zæøå]{0,200}") {
        let masked = linjevei::message::identity_numbers::mask(&text);
        prop_assert_eq!(linjevei::message::identity_numbers::mask(&masked), masked);
    }
}
