//! The identity of a message by content.

use super::ContentHash;
use super::parts::header_line;
use memchr::memchr2;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Identity of a message by content, in time linear in its length; it never fails.
///
/// The digest covers, in this order:
/// 1. the name of this scheme;
/// 2. for Message-ID, From, Date and Subject: whether the header is there, and the raw bytes of its topmost field —
///    unfolded (line ends taken out, the white space after them kept), trimmed, not decoded — preceded by their number;
/// 3. every byte of the body, with CRLF, LF and a lone CR all counted as one line end, trailing empty lines left out.
///
/// Everything else in the header (Received, Return-Path, Delivered-To, Authentication-Results, X-…, To, Content-Type)
/// has no influence, nor have a byte order mark, empty lines and an mbox `From ` line before the header.
pub fn content_hash(raw: &[u8]) -> ContentHash {
    const NAMES: [&str; 4] = ["message-id", "from", "date", "subject"];
    let mut found: [Option<Vec<u8>>; 4] = [None, None, None, None];
    let mut current: Option<usize> = None;
    let mut rest = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    let mut in_preamble = true;
    while let Some((line, tail)) = next_line(rest) {
        rest = tail;
        if in_preamble
            && (line.is_empty() || line.starts_with(b"From ") || line.starts_with(b">From "))
        {
            continue;
        }
        in_preamble = false;
        if line.is_empty() {
            break;
        }
        if line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
        {
            if let Some(value) = current
                .and_then(|index| found.get_mut(index))
                .and_then(Option::as_mut)
            {
                value.extend_from_slice(line);
            }
            continue;
        }
        current = None;
        if let Some((name, value)) = header_line(line)
            && let Some(index) = NAMES
                .iter()
                .position(|known| name.eq_ignore_ascii_case(known))
            && let Some(slot) = found.get_mut(index)
            && slot.is_none()
        {
            *slot = Some(value.to_vec());
            current = Some(index);
        }
    }
    let mut digest = Sha256::new();
    digest.update(b"linjevei message 1\n");
    for value in &found {
        match value {
            Some(value) => {
                let value = value.trim_ascii();
                digest.update([1]);
                digest.update(u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
                digest.update(value);
            }
            None => digest.update([0]),
        }
    }
    let mut pending = 0_u64;
    while let Some((line, tail)) = next_line(rest) {
        rest = tail;
        if line.is_empty() {
            pending = pending.saturating_add(1);
            continue;
        }
        for _ in 0..pending {
            digest.update(b"\n");
        }
        digest.update(line);
        pending = 1;
    }
    ContentHash(hex(&digest.finalize()))
}

/// The line in front, without its end, and the rest.
fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let Some(end) = memchr2(b'\n', b'\r', bytes) else {
        return Some((bytes, &[]));
    };
    let (line, rest) = bytes.split_at_checked(end)?;
    let rest = rest
        .strip_prefix(b"\r\n")
        .or_else(|| rest.split_first().map(|(_, tail)| tail))
        .unwrap_or_default();
    Some((line, rest))
}

/// SHA-256 of bytes, in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").ok();
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "Received: from a\r\nMessage-ID: <a@x>\r\nFrom: b@x.example\r\nDate: Thu, 05 Feb 2026 12:32:00 +0100\r\nSubject: lang\r\n linje\r\nTo: c@x.example\r\n\r\nHei\r\n\r\ndere\r\n";

    #[test]
    fn the_way_here_has_no_influence() {
        let expected = content_hash(MAIL.as_bytes());
        let same = [
            MAIL.replace("\r\n", "\n"),
            MAIL.replace("\r\n", "\r"),
            format!("\u{feff}{MAIL}"),
            format!("From b@x.example Thu Feb  5 12:32:00 2026\r\n{MAIL}"),
            format!(
                "Return-Path: <b@x.example>\r\nDelivered-To: d@x.example\r\nX-Spam: no\r\n{MAIL}"
            ),
            format!("{MAIL}\r\n\r\n"),
            MAIL.trim_end().to_owned(),
            MAIL.replace("Message-ID: ", "message-id:"),
            MAIL.replace("To: c@", "To: e@"),
        ];
        for mail in same {
            assert_eq!(content_hash(mail.as_bytes()), expected, "{mail}");
        }
    }

    #[test]
    fn content_has() {
        let expected = content_hash(MAIL.as_bytes());
        let other = [
            MAIL.replace("<a@x>", "<b@x>"),
            MAIL.replace("b@x.example", "d@x.example"),
            MAIL.replace("12:32", "12:33"),
            MAIL.replace(" linje", " linja"),
            MAIL.replace("Hei\r\n\r\n", "Hei\r\n"),
            MAIL.replace("Hei", "hei"),
            MAIL.replace("Subject: lang\r\n linje\r\n", ""),
            MAIL.replace("Subject: ", "Subject: ny\r\nSubject: "),
        ];
        for mail in other {
            assert_ne!(content_hash(mail.as_bytes()), expected, "{mail}");
        }
        assert_eq!(content_hash(b"").0.len(), 64);
    }
}
