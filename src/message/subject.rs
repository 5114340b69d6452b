//! The subject without what machines put there, and what its prefix says.

use super::Message;
use super::zones::Thread;
use crate::expression::{Expression, with_groups};
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Our token and the prefixes of replies and forwards taken out.
pub(crate) fn bare(subject: &str) -> String {
    let without = without_token(subject);
    let mut rest = without.trim();
    while let Some(end) = prefix(&PREFIX, rest) {
        rest = rest.get(end..).unwrap_or_default().trim_start();
    }
    rest.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the message hands on, answers, or begins. The topmost prefix counts: «VS: SV: …» is a forward.
pub(crate) fn thread(message: &Message) -> Thread {
    let subject = without_token(&message.subject);
    let subject = subject.trim();
    if prefix(&FORWARD, subject).is_some() {
        Thread::Forward
    } else if prefix(&REPLY, subject).is_some()
        || !message.in_reply_to.is_empty()
        || !message.references.is_empty()
    {
        Thread::Reply
    } else {
        Thread::New
    }
}

/// The subject with a space for each token of ours, which begins with a bracket as few subjects do.
fn without_token(subject: &str) -> Cow<'_, str> {
    if subject.contains('[') {
        TOKEN.replace_all(subject, " ")
    } else {
        Cow::Borrowed(subject)
    }
}

/// Where a prefix of the subject ends; all of them end with a colon.
fn prefix(expression: &Expression, subject: &str) -> Option<usize> {
    let found = subject.contains(':').then(|| expression.find(subject))?;
    found.map(|found| found.end)
}

static TOKEN: LazyLock<Regex> = LazyLock::new(|| with_groups(r"(?i)\[\s*SAK-\d{4}-\d{6,}\s*\]"));
static FORWARD: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(r"(?i)^(?:vs|vb|fwd?|wg|tr|videresendt|vidaresendt)(?:\[\d+\])?\s*:")
});
static REPLY: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(r"(?i)^(?:sv|svar|re|aw|antw|odp)(?:\[\d+\]|\^\d+)?\s*:")
});
static PREFIX: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
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
