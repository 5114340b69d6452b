//! `[[tests]]` in rule files: a message and what the rules must say of it. They take no part in any decision.

use std::collections::BTreeMap;

use super::{Directory, Facet};

/// A message beside the rules with the decisions that are expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The rule file that it stands in.
    pub file: String,
    /// Line of its name, from 1.
    pub line: usize,
    /// What it is about.
    pub name: String,
    /// The message.
    pub mail: ExampleMail,
    /// Expected decisions, as `classify --json` gives them.
    pub expect: BTreeMap<Facet, String>,
    /// Whether a person must look at it.
    pub triage: Option<bool>,
    /// Byte offset of the name in its file.
    pub(super) offset: usize,
}

/// Where the message of an [`Example`] comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExampleMail {
    /// An `.eml` file, by its path below the rule folder.
    File(String),
    /// Written in the rule file.
    Text {
        /// Sender; one that no party knows when empty.
        from: String,
        /// Recipients between commas; the first own address when empty.
        to: String,
        /// Subject.
        subject: String,
        /// Text.
        text: String,
    },
}

impl Example {
    /// The message as bytes (RFC 5322), where it is written in the rule file.
    pub fn bytes(&self, directory: &Directory) -> Option<Vec<u8>> {
        let ExampleMail::Text {
            from,
            to,
            subject,
            text,
        } = &self.mail
        else {
            return None;
        };
        let one_line = |value: &str, default: &str| {
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            if value.is_empty() {
                default.to_owned()
            } else {
                value
            }
        };
        let own = directory.own_addresses.first().map(String::as_str);
        let head = [
            format!("From: {}", one_line(from, "avsender@ukjent.example")),
            format!(
                "To: {}",
                one_line(to, own.unwrap_or("mottak@linjevei.example"))
            ),
            format!("Subject: {}", one_line(subject, "")),
            "Date: Mon, 05 Jan 2026 09:00:00 +0100".to_owned(),
            "Message-ID: <prove@linjevei.example>".to_owned(),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            "Content-Transfer-Encoding: 8bit".to_owned(),
        ];
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        Some(format!("{}\r\n\r\n{text}\r\n", head.join("\r\n")).into_bytes())
    }
}
