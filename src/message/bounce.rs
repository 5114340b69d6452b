//! Mail that came back: delivery status notifications (RFC 3464) and bounces that only their text gives away.

use super::parts::{Content, Entity, header_line};
use super::zones::compile;
use super::{BounceReport, Mark, addresses, marks};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// At most this many bytes of a report are read.
const REPORT_BYTES_MAX: usize = 256 * 1024;
/// At most this many failed addresses are kept.
const RECIPIENTS_MAX: usize = 100;

/// What a message says about one that did not arrive; none when it is no bounce.
pub(crate) fn find(
    root: &Entity,
    known: &BTreeSet<Mark>,
    subject: &str,
    text: &str,
) -> Option<BounceReport> {
    let parts = Parts::of(root);
    let is_report = !parts.status.is_empty() || marks::report_type(root) == "delivery-status";
    let failed_header: Vec<String> = root
        .all("X-Failed-Recipients")
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    let from_system = known.contains(&Mark::MailerDaemon)
        || known.contains(&Mark::NullReturnPath)
        || known.contains(&Mark::NoFrom);
    let is_system_class = root
        .text("Content-Class")
        .is_some_and(|value| value.to_lowercase().contains("content-classes:dsn"));
    let looks_like = SUBJECT.is_match(subject) || TEXT.is_match(text);
    let is_bounce =
        is_report || !failed_header.is_empty() || is_system_class || (from_system && looks_like);
    if !is_bounce {
        return None;
    }
    let mut report = BounceReport::default();
    let status = if parts.status.is_empty() {
        text.to_owned()
    } else {
        parts.status
    };
    for line in status.lines() {
        let Some((name, value)) = header_line(line.trim().as_bytes()) else {
            continue;
        };
        let value = String::from_utf8_lossy(value).trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "final-recipient" => add(
                &mut report.recipients,
                value.rsplit(';').next().unwrap_or_default(),
            ),
            "action" if report.action.is_empty() => report.action = action(&value),
            "status" if report.status.is_empty() => {
                report.status = STATUS
                    .find(&value)
                    .map(|found| found.as_str().to_owned())
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
    for value in &failed_header {
        value
            .split([',', ' '])
            .for_each(|one| add(&mut report.recipients, one));
    }
    if report.recipients.is_empty() {
        RECIPIENT
            .captures_iter(text)
            .filter_map(|found| found.get(1))
            .for_each(|one| add(&mut report.recipients, one.as_str()));
    }
    if report.status.is_empty() {
        report.status = STATUS_IN_TEXT
            .captures(text)
            .and_then(|found| found.get(1))
            .map(|one| one.as_str().to_owned())
            .unwrap_or_default();
    }
    if report.action.is_empty() {
        let delayed =
            DELAYED.is_match(subject) || DELAYED.is_match(text) || report.status.starts_with('4');
        let action = match (delayed, is_report) {
            (true, _) => "delayed",
            (false, true) => "",
            (false, false) => "failed",
        };
        action.clone_into(&mut report.action);
    }
    report.original_message_id = parts
        .returned
        .iter()
        .find_map(|headers| original_id(headers))
        .or_else(|| original_id(text))
        .or_else(|| {
            root.first("X-Original-Message-ID")
                .and_then(addresses::message_id)
        })
        // Exchange and Gmail cite the message that came back.
        .or_else(|| {
            root.first("In-Reply-To")
                .and_then(|value| addresses::message_ids(value).into_iter().next())
        });
    Some(report)
}

/// Message-ID of the mail that a read receipt (RFC 8098 section 3.2.5) is about.
pub(crate) fn receipt_of(entity: &Entity) -> Option<String> {
    if entity.media_type == "message/disposition-notification" {
        let (bytes, _) = entity.bytes();
        let read = bytes
            .get(..bytes.len().min(REPORT_BYTES_MAX))
            .unwrap_or_default();
        return original_id(&String::from_utf8_lossy(read));
    }
    match &entity.content {
        Content::Multipart(children) => children.iter().find_map(receipt_of),
        _ => None,
    }
}

/// The word of RFC 3464 section 2.3.3; empty for anything else.
fn action(value: &str) -> String {
    let word = value
        .split([' ', ';', '('])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if matches!(
        word.as_str(),
        "failed" | "delayed" | "delivered" | "relayed" | "expanded"
    ) {
        word
    } else {
        String::new()
    }
}

fn add(list: &mut Vec<String>, address: &str) {
    let address = address
        .trim()
        .trim_matches(['<', '>', '"', ' '])
        .to_lowercase();
    if addresses::is_addr_spec(&address) && !list.contains(&address) && list.len() < RECIPIENTS_MAX
    {
        list.push(address);
    }
}

/// Message-ID among returned headers, quoted or not.
fn original_id(headers: &str) -> Option<String> {
    headers.lines().find_map(|line| {
        let line = line.trim_start_matches(['>', ' ', '\t']);
        let (name, value) = header_line(line.as_bytes())?;
        matches!(
            name.to_ascii_lowercase().as_str(),
            "message-id"
                | "original-message-id"
                | "x-original-message-id"
                | "melding-id"
                | "meldings-id"
        )
        .then(|| addresses::message_id(value.trim_ascii()))
        .flatten()
    })
}

/// The machine-readable pieces of a report.
#[derive(Default)]
struct Parts {
    status: String,
    returned: Vec<String>,
}

impl Parts {
    fn of(root: &Entity) -> Self {
        let mut found = Self::default();
        found.visit(root, 0);
        found
    }

    fn visit(&mut self, entity: &Entity, depth: u8) {
        let read = |entity: &Entity| {
            let (bytes, _) = entity.bytes();
            String::from_utf8_lossy(
                bytes
                    .get(..bytes.len().min(REPORT_BYTES_MAX))
                    .unwrap_or_default(),
            )
            .into_owned()
        };
        match entity.media_type.as_str() {
            "message/delivery-status" | "message/global-delivery-status" => {
                self.status.push_str(&read(entity));
            }
            "text/rfc822-headers" | "message/rfc822-headers" | "message/global-headers" => {
                self.returned.push(read(entity));
            }
            "message/rfc822" | "message/global" => {
                for child in entity.children() {
                    let ids = child
                        .all("Message-ID")
                        .map(|value| format!("Message-ID: {}", String::from_utf8_lossy(value)));
                    self.returned.extend(ids);
                }
                // What stands inside the returned message is not about this one.
                return;
            }
            // Postfix through other systems: the returned headers as a text file.
            "text/plain" if depth > 0 && entity.file_name().is_some() => {
                self.returned.push(read(entity));
            }
            _ => {}
        }
        for child in entity.children() {
            self.visit(child, depth.saturating_add(1));
        }
    }
}

static SUBJECT: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?ix)^\s*(?:
            undeliver(?:able|ed) | mail\ delivery\ (?:failed|failure|subsystem|system) | delivery\ (?:status\ notification|failure|has\ failed|delayed)
            | returned\ mail | failure\ notice | mail\ (?:could\ not|not)\ be\ delivered | non-?delivery | message\ not\ delivered | mail\ system\ error
            | kan\ ikke\ leveres | kunne\ ikke\ leveres | ikke\ levert | leveringsfeil | levering\ mislyktes | kan\ ikkje\ leverast | forsinket\ levering
            | melding(?:en)?\ (?:kunne|kan|ble)\ ikke\ lever\w+ | feil\ ved\ levering | delivery\ incomplete | warning:\ (?:could\ not\ send|message)
        )",
    )
});

static TEXT: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?ix)(?:
            could\ not\ be\ delivered | delivery\ to\ the\ following\ recipients?\ (?:has\ )?(?:been\ delayed|failed) | was\ unable\ to\ deliver | your\ message\ (?:wasn't|was\ not|couldn't\ be|to\ .{1,120}\ couldn't\ be)\ delivered
            | permanent\ (?:fatal\ )?errors? | the\ following\ address(?:es)?\ (?:failed|had) | undelivered\ mail | diagnostic\ information\ for\ administrators
            | kunne\ ikke\ leveres | kan\ ikke\ leveres | ble\ ikke\ levert | blei\ ikkje\ levert | levering\ til\ (?:disse|følgende)\ mottaker\w*
            | diagnoseinformasjon\ for\ administratorer | adressen\ (?:finnes|ble)\ ikke\ (?:funnet)?
        )",
    )
});

static DELAYED: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)\b(?:delayed|delivery incomplete|not yet been delivered|forsinket levering|ikke levert ennå|will continue to (?:try|attempt))",
    )
});
static STATUS: LazyLock<Regex> = LazyLock::new(|| compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b"));
/// `550 5.1.1 …` and `#5.1.1 smtp;550`: the enhanced code beside a reply code, so that no date or section is taken for one.
static STATUS_IN_TEXT: LazyLock<Regex> =
    LazyLock::new(|| compile(r"(?:\b[245]\d\d[ -]|#<?\s?|#)([245]\.\d{1,3}\.\d{1,3})\b"));
/// An address alone on its line, as `<a@b>:`, or behind `To:` of a report.
static RECIPIENT: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?m)^\s*(?:(?:to|til|mottaker|recipient|e-?post(?:adresse)?)\s*:\s*)?<?([^\s<>()\[\],;:]+@[^\s<>()\[\],;:]+\.[^\s<>()\[\],;:]+?)>?\s*(?::|\(|$|\r$)",
    )
});

#[cfg(test)]
mod tests {
    use super::super::{Limits, Message, parse};
    use super::*;

    fn read(mail: &str) -> Message {
        parse(mail.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn text_bounces_of_several_systems() {
        let cases = [
            (
                "From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail Returned to Sender\n\n<a@x.example>: host mx.x.example said: 550 5.1.1 User unknown\n",
                ("a@x.example", "failed", "5.1.1"),
            ),
            (
                "From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\nHi. This is the qmail-send program.\nI'm afraid I wasn't able to deliver your message.\nThis is a permanent error; I've given up.\n\n<b@x.example>:\n10.0.0.1 does not like recipient.\n",
                ("b@x.example", "failed", ""),
            ),
            (
                "From: postmaster@x.example\nSubject: Kan ikke leveres: Samhandlingsavvik\n\nMeldingen kunne ikke leveres til:\n\nc@x.example\n\nDiagnoseinformasjon for administratorer:\n#550 5.4.1 Recipient address rejected\n",
                ("c@x.example", "failed", "5.4.1"),
            ),
            (
                "From: mailer-daemon@googlemail.example\nX-Failed-Recipients: d@x.example\nSubject: Delivery Status Notification (Failure)\n\nAddress not found\n",
                ("d@x.example", "failed", ""),
            ),
            (
                "From: MAILER-DAEMON@mx.example\nSubject: Warning: could not send message for past 4 hours\n\nThe following address had delayed delivery\n<e@x.example>\n",
                ("e@x.example", "delayed", ""),
            ),
        ];
        for (mail, (recipient, action, status)) in cases {
            let message = read(mail);
            assert!(message.marks.contains(&Mark::Bounce), "{mail}");
            let bounce = message.bounce.unwrap();
            assert_eq!(
                (
                    bounce.recipients.as_slice(),
                    bounce.action.as_str(),
                    bounce.status.as_str()
                ),
                ([recipient.to_owned()].as_slice(), action, status),
                "{mail}"
            );
        }
    }

    #[test]
    fn people_who_write_about_delivery_are_no_bounce() {
        for mail in [
            "From: kari@x.example\nSubject: Kan ikke leveres: medisiner\n\nMultidosen kunne ikke leveres.\n",
            "From: kari@x.example\nSubject: VS: Undeliverable: epikrise\n\nDenne fikk vi i retur.\n",
        ] {
            assert_eq!(read(mail).bounce, None);
        }
    }

    #[test]
    fn the_id_of_what_came_back() {
        let mail = "From: MAILER-DAEMON@mx.example\nSubject: Undelivered\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nFeil\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; A@X.example\nAction: failed\nStatus: 5.1.1 (bad)\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID:  <sak-1@so-hf.example>\nSubject: [SAK-2026-000001] x\n--b--\n";
        let bounce = read(mail).bounce.unwrap();
        assert_eq!(
            bounce,
            BounceReport {
                recipients: vec!["a@x.example".into()],
                action: "failed".into(),
                status: "5.1.1".into(),
                original_message_id: Some("sak-1@so-hf.example".into())
            }
        );
    }
}
