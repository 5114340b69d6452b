//! A forsendelse → a mail of the same content (RFC 5322, MIME), so that everything behind it works as for mail. The same
//! forsendelse always gives the same bytes.
//!
//! The header tells what a mail from the portal tells; the one line of text names the sender, as such a mail does. The
//! files are attachments in their order. All that SvarInn said stands behind the last part, in base64: kept with the raw
//! bytes, read by no parser, shown nowhere; a fødselsnummer may stand there.

use super::forsendelse::Forsendelse;
use super::package::{File, Package};
use crate::message::sha256_hex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// Right-hand side of the Message-IDs; no mail can come from there (RFC 6761).
const DOMAIN: &str = "svarinn.invalid";
/// Bytes of text in one encoded word.
const WORD_BYTES: usize = 42;
/// Base64 letters in a line (RFC 2045 section 6.8).
const LINE_LETTERS: usize = 76;

/// Message-ID of a forsendelse.
pub fn message_id(id: &str) -> String {
    format!("{id}@{DOMAIN}")
}

/// Message-ID of the notice that it could not be read.
pub fn notice_id(id: &str) -> String {
    format!("{id}.ulest@{DOMAIN}")
}

/// The forsendelse as a mail from `sender`.
pub(super) fn build(id: &str, letter: &Forsendelse, package: &Package, sender: &str) -> Vec<u8> {
    let mut mail = head(&message_id(id), id, letter, sender);
    if let Some(earlier) = &letter.answers {
        let earlier = message_id(earlier);
        field(&mut mail, "In-Reply-To", &format!("<{earlier}>"));
        field(&mut mail, "References", &format!("<{earlier}>"));
    }
    if package.damaged > 0 {
        field(
            &mut mail,
            crate::message::forsendelse::DAMAGED,
            &package.damaged.to_string(),
        );
    }
    let boundary = format!("=_{}", sha256_hex(id.as_bytes()));
    let text = format!("Fra: {}\n", letter.sender);
    let mut mail = parts(mail, &boundary, &text);
    for file in &package.files {
        attachment(&mut mail, &boundary, file);
    }
    end(&mut mail, &boundary, letter);
    mail
}

/// What a person gets while the forsendelse cannot be read.
pub(super) fn notice(id: &str, letter: &Forsendelse, sender: &str, why: &str) -> Vec<u8> {
    let mut mail = head(&notice_id(id), id, letter, sender);
    field(&mut mail, crate::message::forsendelse::UNREAD, "1");
    let mut text = String::new();
    // Writing to a String cannot fail.
    write!(
        text,
        "Fra: {}\n\n\
         Forsendelsen ligger i SvarInn og kunne ikke leses. Den er ikke kvittert ut, og linjevei prøver igjen.\n\n\
         Tittel i SvarInn: {}\n\
         Forsendelse: {id}\n\
         Grunn: {why}\n\n\
         Blir den lesbar, kommer den inn i denne saken av seg selv. Haster det, kan den hentes i arkivsystemet eller etterlyses\n\
         hos avsenderen. «linjevei svarinn list» viser hva som venter.\n",
        letter.sender,
        letter.title,
    )
    .ok();
    let boundary = format!("=_{}", sha256_hex(id.as_bytes()));
    let mut mail = parts(mail, &boundary, &text);
    end(&mut mail, &boundary, letter);
    mail
}

fn head(message_id: &str, id: &str, letter: &Forsendelse, sender: &str) -> String {
    let mut mail = String::new();
    field(&mut mail, "Message-ID", &format!("<{message_id}>"));
    if let Some(date) = letter
        .date_ms
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .and_then(|moment| jiff::fmt::rfc2822::to_string(&moment.to_zoned(oslo())).ok())
    {
        field(&mut mail, "Date", &date);
    }
    field(&mut mail, "From", sender);
    if !letter.title.is_empty() {
        field(&mut mail, "Subject", &words(&letter.title));
    }
    field(&mut mail, crate::message::forsendelse::ID, id);
    mail
}

fn oslo() -> TimeZone {
    TimeZone::get("Europe/Oslo").unwrap_or(TimeZone::UTC)
}

fn field(mail: &mut String, name: &str, value: &str) {
    write!(mail, "{name}: {value}\r\n").ok();
}

fn parts(mut mail: String, boundary: &str, text: &str) -> Vec<u8> {
    field(&mut mail, "MIME-Version", "1.0");
    field(
        &mut mail,
        "Content-Type",
        &format!("multipart/mixed;\r\n boundary=\"{boundary}\""),
    );
    write!(
        mail,
        "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    .ok();
    let mut mail = mail.into_bytes();
    base64_lines(&mut mail, text.as_bytes());
    mail
}

fn attachment(mail: &mut Vec<u8>, boundary: &str, file: &File) {
    let charset = if !file.media_type.starts_with("text/") {
        ""
    } else if std::str::from_utf8(&file.bytes).is_ok() {
        "; charset=utf-8"
    } else {
        "; charset=windows-1252"
    };
    let name = if file.name.is_empty() {
        String::new()
    } else {
        format!(";\r\n filename*=utf-8''{}", percent(&file.name))
    };
    let head = format!(
        "--{boundary}\r\nContent-Type: {}{charset}\r\nContent-Disposition: attachment{name}\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n",
        file.media_type
    );
    mail.extend_from_slice(head.as_bytes());
    base64_lines(mail, &file.bytes);
}

fn end(mail: &mut Vec<u8>, boundary: &str, letter: &Forsendelse) {
    mail.extend_from_slice(format!("--{boundary}--\r\n\r\n").as_bytes());
    base64_lines(mail, letter.kept.as_bytes());
}

fn base64_lines(mail: &mut Vec<u8>, bytes: &[u8]) {
    let letters = STANDARD.encode(bytes);
    for line in letters.as_bytes().chunks(LINE_LETTERS) {
        mail.extend_from_slice(line);
        mail.extend_from_slice(b"\r\n");
    }
}

/// Encoded words (RFC 2047) where the text is not plain ASCII.
fn words(text: &str) -> String {
    if text.len() <= LINE_LETTERS
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !text.contains("=?")
    {
        return text.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for letter in text.chars() {
        if word.len().saturating_add(letter.len_utf8()) > WORD_BYTES {
            words.push(std::mem::take(&mut word));
        }
        word.push(letter);
    }
    words.push(word);
    words
        .iter()
        .map(|word| format!("=?utf-8?b?{}?=", STANDARD.encode(word)))
        .collect::<Vec<_>>()
        .join("\r\n ")
}

/// RFC 2231.
fn percent(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").ok();
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{self, Defect, Limits, Zone};
    use serde_json::json;
    use std::collections::BTreeSet;

    fn letter() -> Forsendelse {
        Forsendelse::of(&json!({
            "id": "a-1", "tittel": "Manglende epikrise etter innleggelse på lungeposten, og mye mer som gjør tittelen lang",
            "date": 1_772_435_520_000_i64, "svarPaForsendelse": "a-0",
            "svarSendesTil": { "navn": "Fjordgløtt legesenter", "fnr": "13097248022" },
        }))
    }

    #[test]
    fn it_reads_as_a_mail_from_the_portal() {
        let package = Package {
            files: vec![
                File {
                    name: "edialog framside.txt".to_owned(),
                    media_type: "text/plain".to_owned(),
                    bytes: "E-post: kari@fjordglott.example".into(),
                },
                File {
                    name: "blåbær «1».pdf".to_owned(),
                    media_type: "application/pdf".to_owned(),
                    bytes: b"%PDF-\r\n--\x00".to_vec(),
                },
            ],
            damaged: 1,
        };
        let letter = letter();
        let raw = build("a-1", &letter, &package, "varsling@edialog.example");
        assert_eq!(
            raw,
            build("a-1", &letter, &package, "varsling@edialog.example")
        );
        let mut message = message::parse(&raw, &Limits::default()).unwrap();
        assert_eq!(message.defects, BTreeSet::<Defect>::new());
        assert_eq!(message.subject, letter.title);
        assert_eq!(message.message_id.as_deref(), Some("a-1@svarinn.invalid"));
        assert_eq!(message.in_reply_to, ["a-0@svarinn.invalid"]);
        assert_eq!(message.date_ms, letter.date_ms);
        assert_eq!(
            message.author().unwrap().address,
            "varsling@edialog.example"
        );
        let text = |zone| {
            message
                .zone(zone)
                .map(|text| text.text.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(text(Zone::New), ["Fra: Fjordgløtt legesenter"]);
        assert_eq!(text(Zone::Attachment), ["E-post: kari@fjordglott.example"]);
        let files = message::files(&raw, &Limits::default());
        assert_eq!(files[1].name, "blåbær «1».pdf");
        assert_eq!(files[1].bytes, package.files[1].bytes);
        assert!(!format!("{message:?}").contains("13097248022"));
        let clear: Vec<u8> = raw
            .rsplit(|byte| *byte == b'-')
            .next()
            .unwrap()
            .iter()
            .filter(|byte| !byte.is_ascii_whitespace())
            .copied()
            .collect();
        assert_eq!(STANDARD.decode(clear).unwrap(), letter.kept.as_bytes());
        assert_eq!(message.forsendelse, None);
        message::forsendelse::vouch(&mut message);
        let forsendelse = message.forsendelse.unwrap();
        assert_eq!(
            (
                forsendelse.id.as_str(),
                forsendelse.unread,
                forsendelse.damaged
            ),
            ("a-1", false, true)
        );
    }

    #[test]
    fn a_notice_says_what_is_known() {
        let raw = notice(
            "a-1",
            &letter(),
            "varsling@edialog.example",
            "nøkkelen passer ikke",
        );
        let mut message = message::parse(&raw, &Limits::default()).unwrap();
        message::forsendelse::vouch(&mut message);
        assert!(message.forsendelse.as_ref().unwrap().unread);
        assert_eq!(
            message.message_id.as_deref(),
            Some("a-1.ulest@svarinn.invalid")
        );
        let text = &message.zone(Zone::New).next().unwrap().text;
        for known in [
            "Fjordgløtt",
            "Manglende epikrise",
            "a-1",
            "nøkkelen passer ikke",
        ] {
            assert!(text.contains(known), "{text}");
        }
        let empty = notice(
            "b",
            &Forsendelse::of(&json!({})),
            "varsling@edialog.example",
            "x",
        );
        message::parse(&empty, &Limits::default()).unwrap();
    }
}
