//! The subject without what machines put there, and what its prefix says.

use super::Message;
use super::zones::{Thread, compile};
use regex::Regex;
use std::sync::LazyLock;

/// Our token and the prefixes of replies and forwards taken out.
pub(crate) fn bare(subject: &str) -> String {
    let without = TOKEN.replace_all(subject, " ");
    let mut rest = without.trim();
    while let Some(found) = PREFIX.find(rest) {
        rest = rest.get(found.end()..).unwrap_or_default().trim_start();
    }
    rest.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the message hands on, answers, or begins. The topmost prefix counts: «VS: SV: …» is a forward.
pub(crate) fn thread(message: &Message) -> Thread {
    let subject = TOKEN.replace_all(&message.subject, " ");
    let subject = subject.trim();
    if FORWARD.is_match(subject) {
        Thread::Forward
    } else if REPLY.is_match(subject)
        || !message.in_reply_to.is_empty()
        || !message.references.is_empty()
    {
        Thread::Reply
    } else {
        Thread::New
    }
}

static TOKEN: LazyLock<Regex> = LazyLock::new(|| compile(r"(?i)\[\s*SAK-\d{4}-\d{6,}\s*\]"));
static FORWARD: LazyLock<Regex> =
    LazyLock::new(|| compile(r"(?i)^(?:vs|vb|fwd?|wg|tr|videresendt|vidaresendt)(?:\[\d+\])?\s*:"));
static REPLY: LazyLock<Regex> =
    LazyLock::new(|| compile(r"(?i)^(?:sv|svar|re|aw|antw|odp)(?:\[\d+\]|\^\d+)?\s*:"));
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)^(?:vs|vb|fwd?|wg|tr|videresendt|vidaresendt|sv|svar|re|aw|antw|odp)(?:\[\d+\]|\^\d+)?\s*:",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let cases = [
            (
                "SV: [SAK-2026-000131] Samhandlingsavvik",
                "Samhandlingsavvik",
                Thread::Reply,
            ),
            ("[SAK-2026-000131] SV: VS: Avvik", "Avvik", Thread::Reply),
            ("Re[2]: RE: Avvik", "Avvik", Thread::Reply),
            ("VS: SV: Avvik", "Avvik", Thread::Forward),
            ("Fwd: FW: Avvik", "Avvik", Thread::Forward),
            ("Videresendt: Avvik", "Avvik", Thread::Forward),
            ("Avvik: resept", "Avvik: resept", Thread::New),
            (
                "Automatisk svar: Avvik",
                "Automatisk svar: Avvik",
                Thread::New,
            ),
            ("Vsop: nei", "Vsop: nei", Thread::New),
            ("", "", Thread::New),
        ];
        for (subject, expected, expected_thread) in cases {
            assert_eq!(bare(subject), expected, "{subject}");
            let message = Message {
                subject: subject.to_owned(),
                ..Message::default()
            };
            assert_eq!(thread(&message), expected_thread, "{subject}");
        }
        let message = Message {
            subject: "Avvik".into(),
            in_reply_to: vec!["a@x".into()],
            ..Message::default()
        };
        assert_eq!(thread(&message), Thread::Reply);
    }
}
