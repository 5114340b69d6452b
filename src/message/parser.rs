//! The one file that knows `mail-parser` (0.11): dates, addresses, transfer encodings, rare charsets and the fallback
//! for HTML. A move to its 1.x is a change here.
//!
//! Where parts begin and end is decided in [`super::parts`]: limits must be counted before anything is parsed, and
//! mail-parser cuts a body where the boundary stands inside a line and overflows the stack on nested mail.

use mail_parser::decoders::{base64, charsets::map::charset_decoder, html, quoted_printable};
use mail_parser::parsers::MessageStream;
use mail_parser::{DateTime, HeaderValue};

/// Display name and address of a single mailbox, as the parser sees them; neither is checked.
pub(crate) fn mailbox(value: &str) -> (Option<String>, Option<String>) {
    let line = format!("{value}\n");
    match MessageStream::new(line.as_bytes()).parse_address() {
        HeaderValue::Address(list) => list
            .first()
            .map(|one| {
                (
                    one.name.as_ref().map(ToString::to_string),
                    one.address.as_ref().map(ToString::to_string),
                )
            })
            .unwrap_or_default(),
        _ => (None, None),
    }
}

/// Unix milliseconds of a Date value (RFC 5322 section 3.3, and the forms of RFC 850); none when it is impossible.
pub(crate) fn date_ms(value: &str) -> Option<i64> {
    let read = |text: &str| match MessageStream::new(format!("{text}\n").as_bytes()).parse_date() {
        HeaderValue::DateTime(date) if is_real(&date) => date.to_timestamp().checked_mul(1000),
        _ => None,
    };
    read(value).or_else(|| {
        let (head, tail) = value.split_once(',').unwrap_or(("", value));
        let date: String = tail
            .chars()
            .take(12)
            .map(|c| if c == '-' { ' ' } else { c })
            .collect();
        let rest: String = tail.chars().skip(12).collect();
        (head.len() > 3 || tail != format!("{date}{rest}"))
            .then(|| read(&format!("{date}{rest}")))
            .flatten()
    })
}

/// The date at the end of a Received header (RFC 5321 section 4.4).
pub(crate) fn received_ms(value: &str) -> Option<i64> {
    value
        .rsplit_once(';')
        .and_then(|(_, date)| date_ms(date.trim()))
}

fn is_real(date: &DateTime) -> bool {
    let month_days = match date.month {
        4 | 6 | 9 | 11 => 30,
        2 if date.year.is_multiple_of(4)
            && (!date.year.is_multiple_of(100) || date.year.is_multiple_of(400)) =>
        {
            29
        }
        2 => 28,
        _ => 31,
    };
    date.is_valid()
        && (1990..=2200).contains(&date.year)
        && date.day <= month_days
        && date.tz_hour <= 14
        && date.second <= 60
}

/// Base64 as the parser reads it; none when it gives up.
pub(crate) fn base64(bytes: &[u8]) -> Option<Vec<u8>> {
    base64::base64_decode(bytes)
}

/// Quoted-printable as the parser reads it; none when it gives up.
pub(crate) fn quoted_printable(bytes: &[u8]) -> Option<Vec<u8>> {
    quoted_printable::quoted_printable_decode(bytes)
}

/// Charsets that `encoding_rs` has no name for (UTF-7 among them).
pub(crate) fn rare_charset(label: &str, bytes: &[u8]) -> Option<String> {
    let label = label.strip_prefix("unicode-1-1-").unwrap_or(label);
    charset_decoder(label.as_bytes()).map(|decoder| decoder(bytes))
}

/// HTML → text without layout, when the better converter gives nothing.
pub(crate) fn plain_html(text: &str) -> String {
    html::html_to_text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_real_or_none() {
        let cases = [
            ("Thu, 05 Feb 2026 12:32:00 +0100", Some(1_770_291_120_000)),
            ("5 Feb 2026 12:32 +0100", Some(1_770_291_120_000)),
            ("Thu, 05 Feb 2026 12:59:61 +0100", None),
            ("Thu, 05 Feb 2026 12:72:00 +0100", None),
            ("Mon, 30 Feb 2026 12:00:00 +0100", None),
            ("Thu, 05 Feb 1726 12:00:00 +0100", None),
            (
                "Wednesday, 11-Feb-1998 08:09:10 +0000",
                Some(887_184_550_000),
            ),
            ("i går", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(date_ms(value), expected, "{value}");
        }
    }
}
