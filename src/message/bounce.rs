//! Mail that came back: delivery status notifications (RFC 3464) and bounces that only their text gives away.

use super::parts::{Content, Entity, header_line};
use super::{BounceReport, Mark, Zone, addresses, marks};
use crate::expression::with_groups;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// At most this many bytes of a report are read.
const REPORT_BYTES_MAX: usize = 256 * 1024;
/// At most this many failed addresses are kept.
const RECIPIENTS_MAX: usize = 100;
/// RFC 5322 section 2.1.1: no line is longer.
const ID_BYTES_MAX: usize = 998;

/// What a message says about one that did not arrive; none when it is no bounce.
pub(crate) fn find(
    root: &Entity,
    known: &BTreeSet<Mark>,
    subject: &str,
    body: &[(Zone, String)],
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
    let is_surely = is_report || !failed_header.is_empty() || is_system_class;
    if !is_surely && !from_system {
        return None;
    }
    let text: Vec<&str> = body.iter().map(|(_, text)| text.as_str()).collect();
    let text = text.join("\n");
    let text = text.as_str();
    if !is_surely && !SUBJECT.is_match(subject) && !TEXT.is_match(text) {
        return None;
    }
    let mut report = BounceReport::default();
    let status = if parts.status.is_empty() {
        text.to_owned()
    } else {
        parts.status
    };
    let (action, status, recipients) = worst(&status);
    report.action = action;
    report.status = status;
    for recipient in &recipients {
        add(&mut report.recipients, recipient);
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
    report.linjevei_id = parts
        .returned
        .iter()
        .map(String::as_str)
        .chain(std::iter::once(text))
        .find_map(|headers| returned_field(headers, &["x-linjevei-id"]))
        .filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
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

/// Of the recipients of a report (RFC 3464 section 2.3: a group of fields each) those that fared worst: action, status and
/// addresses, as they arrived and as they were given to us. A report may tell of one that failed and one that was reached.
fn worst(status: &str) -> (String, String, Vec<String>) {
    #[derive(Default)]
    struct Group {
        action: String,
        status: String,
        recipients: Vec<String>,
    }
    let mut groups = vec![Group::default()];
    for line in status.lines() {
        let Some((name, value)) = header_line(line.trim().as_bytes()) else {
            // Only what follows a recipient begins a new group: the first empty line ends the fields of the whole report.
            if line.trim().is_empty()
                && groups
                    .last()
                    .is_some_and(|group| !group.recipients.is_empty())
            {
                groups.push(Group::default());
            }
            continue;
        };
        let Some(group) = groups.last_mut() else {
            break;
        };
        let value = String::from_utf8_lossy(value).trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "final-recipient" | "original-recipient" => group
                .recipients
                .push(value.rsplit(';').next().unwrap_or_default().to_owned()),
            "action" if group.action.is_empty() => group.action = action(&value),
            "status" if group.status.is_empty() => {
                group.status = STATUS
                    .find(&value)
                    .map(|found| found.as_str().to_owned())
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
    let rank = |group: &Group| match group.action.as_str() {
        "failed" => 3,
        "delayed" => 2,
        "" => 1,
        _ => 0_u8,
    };
    groups.retain(|group| {
        !group.recipients.is_empty() || !group.action.is_empty() || !group.status.is_empty()
    });
    let Some(most) = groups.iter().map(rank).max() else {
        return (String::new(), String::new(), Vec::new());
    };
    let mut found = (String::new(), String::new(), Vec::new());
    for group in groups.into_iter().filter(|group| rank(group) == most) {
        if found.0.is_empty() {
            found.0 = group.action;
        }
        if found.1.is_empty() {
            found.1 = group.status;
        }
        found.2.extend(group.recipients);
    }
    found
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
    const NAMES: [&str; 5] = [
        "message-id",
        "original-message-id",
        "x-original-message-id",
        "melding-id",
        "meldings-id",
    ];
    headers.lines().find_map(|line| {
        returned_field(line, &NAMES).and_then(|value| addresses::message_id(value.as_bytes()))
    })
}

/// The first of these fields among returned headers, quoted or not.
fn returned_field(headers: &str, names: &[&str]) -> Option<String> {
    headers.lines().find_map(|line| {
        let line = line.trim_start_matches(['>', ' ', '\t']);
        let (name, value) = header_line(line.as_bytes())?;
        names
            .iter()
            .any(|wanted| name.eq_ignore_ascii_case(wanted))
            .then(|| String::from_utf8_lossy(value).trim().to_owned())
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
                    for name in ["Message-ID", "X-Linjevei-Id"] {
                        let ids = child
                            .all(name)
                            .map(|value| format!("{name}: {}", String::from_utf8_lossy(value)));
                        self.returned.extend(ids);
                    }
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
    with_groups(
        r"(?ix)^\s*(?:
            undeliver(?:able|ed) | mail\ delivery\ (?:failed|failure|subsystem|system) | delivery\ (?:status\ notification|failure|has\ failed|delayed)
            | returned\ mail | failure\ notice | mail\ (?:could\ not|not)\ be\ delivered | non-?delivery | message\ not\ delivered | mail\ system\ error
            | kan\ ikke\ leveres | kunne\ ikke\ leveres | ikke\ levert | leveringsfeil | levering(?:en)?\ (?:mislyktes|mislykket|feilet) | uleverbar | kan\ ikkje\ leverast | forsinket\ levering
            | melding(?:en)?\ (?:kunne|kan|ble)\ ikke\ lever\w+ | feil\ ved\ levering | delivery\ incomplete | warning:\ (?:could\ not\ send|message)
        )",
    )
});

static TEXT: LazyLock<Regex> = LazyLock::new(|| {
    with_groups(
        r"(?ix)(?:
            could\ not\ be\ delivered | delivery\ to\ the\ following\ recipients?\ (?:has\ )?(?:been\ delayed|failed) | was\ unable\ to\ deliver | your\ message\ (?:wasn't|was\ not|couldn't\ be|to\ .{1,120}\ couldn't\ be)\ delivered
            | permanent\ (?:fatal\ )?errors? | the\ following\ address(?:es)?\ (?:failed|had) | undelivered\ mail | diagnostic\ information\ for\ administrators
            | kunne\ ikke\ leveres | kan\ ikke\ leveres | ble\ ikke\ levert | blei\ ikkje\ levert | levering\ til\ (?:disse|følgende)\ mottaker\w*
            | diagnoseinformasjon\ for\ administratorer | adressen\ (?:finnes|ble)\ ikke\ (?:funnet)?
            | your\ message\ (?:has\ )?could\ not\ be\ delivered | wasn't\ able\ to\ deliver | not\ listed\ in\ (?:domino|public)
            | recipient\ address\ rejected | levering\ til\ .{1,120}\ mislyktes | delivery\ to\ .{1,120}\ failed
        )",
    )
});

static DELAYED: LazyLock<Regex> = LazyLock::new(|| {
    with_groups(
        r"(?i)\b(?:delayed|delivery incomplete|not yet been delivered|forsinket levering|leveringen? er forsinket|forsinket:|ikke levert ennå|ennå ikke (?:blitt )?levert|temporary problem delivering|midlertidig problem|will continue to (?:try|attempt))",
    )
});
static STATUS: LazyLock<Regex> = LazyLock::new(|| with_groups(r"\b[245]\.\d{1,3}\.\d{1,3}\b"));
/// `550 5.1.1 …` and `#5.1.1 smtp;550`: the enhanced code beside a reply code, so that no date or section is taken for one.
static STATUS_IN_TEXT: LazyLock<Regex> =
    LazyLock::new(|| with_groups(r"(?:\b[245]\d\d[ -]|#<?\s?|#)([245]\.\d{1,3}\.\d{1,3})\b"));
/// An address alone on its line, as `<a@b>:`, or behind `To:` of a report.
static RECIPIENT: LazyLock<Regex> = LazyLock::new(|| {
    with_groups(
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
    fn of_several_recipients_those_that_failed() {
        let mail = "From: MAILER-DAEMON@mx.example\nSubject: x\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nFeil\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@x.example\nAction: relayed\nStatus: 2.0.0\n\nOriginal-Recipient: rfc822;b@x.example\nFinal-Recipient: rfc822;b@intern.x.example\nAction: failed\nStatus: 5.2.2\n\nFinal-Recipient: rfc822; c@x.example\nAction: delayed\nStatus: 4.4.1\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <other@exchange.example>\nX-Linjevei-Id: sak-2026-000001.sak.1.x\n\nHei\n--b--\n";
        let bounce = read(mail).bounce.unwrap();
        assert_eq!(
            bounce,
            BounceReport {
                recipients: vec!["b@x.example".into(), "b@intern.x.example".into()],
                action: "failed".into(),
                status: "5.2.2".into(),
                original_message_id: Some("other@exchange.example".into()),
                linjevei_id: Some("sak-2026-000001.sak.1.x".into()),
            }
        );
    }

    #[test]
    fn what_a_report_says_of_the_mail_and_of_the_address() {
        use super::super::Fate;
        let cases = [
            ("failed", "5.1.1", Fate::AddressFailed),
            ("failed", "5.2.2", Fate::AddressFailed),
            ("failed", "", Fate::AddressFailed),
            ("", "5.1.10", Fate::AddressFailed),
            // Too large, or not to be read: another mail may arrive.
            ("failed", "5.3.4", Fate::MailFailed),
            ("failed", "5.2.3", Fate::MailFailed),
            ("failed", "5.6.1", Fate::MailFailed),
            // Given up after days of temporary failures.
            ("failed", "4.4.7", Fate::MailFailed),
            ("delayed", "4.4.1", Fate::Delayed),
            ("delayed", "", Fate::Delayed),
            ("", "4.2.1", Fate::Delayed),
            ("delivered", "2.0.0", Fate::Arrived),
            ("relayed", "", Fate::Arrived),
            ("", "2.1.5", Fate::Arrived),
            ("", "", Fate::MailFailed),
        ];
        for (action, status, fate) in cases {
            let report = BounceReport {
                action: action.into(),
                status: status.into(),
                ..BounceReport::default()
            };
            assert_eq!(report.fate(), fate, "{action} {status}");
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
                original_message_id: Some("sak-1@so-hf.example".into()),
                linjevei_id: None,
            }
        );
    }
}
