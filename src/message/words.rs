//! Encoded words (RFC 2047) and header parameters (RFC 2045, RFC 2231), repaired before they are read.
//!
//! Adjacent encoded words are joined as bytes before the charset is applied: senders split the two bytes of an «ø»
//! over two words, which the standard forbids and Outlook shows all the same.

use super::charset;
use super::transfer::{lenient_base64, lenient_quoted_printable};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::borrow::Cow;

/// A header value as text: raw 8-bit bytes and encoded words decoded. The flag tells that the charset was a lie.
pub(crate) fn decode_header(raw: &[u8]) -> (Cow<'_, str>, bool) {
    let value = charset::decode_unlabelled(raw);
    let mut repaired = value.repaired;
    if !value.text.contains(WORD_START) {
        return (value.text, repaired);
    }
    let text = replace_words(&value.text, &mut repaired, str::to_owned);
    (Cow::Owned(text), repaired)
}

/// A header value in which each run of encoded words has become one word in UTF-8, for a parser of structure.
pub(crate) fn normalise_header(raw: &[u8]) -> (Cow<'_, str>, bool) {
    let value = charset::decode_unlabelled(raw);
    let mut repaired = value.repaired;
    if !value.text.contains(WORD_START) {
        return (value.text, repaired);
    }
    let text = replace_words(&value.text, &mut repaired, |decoded| {
        format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(decoded))
    });
    (Cow::Owned(text), repaired)
}

/// Decodes encoded words in text.
pub(crate) fn decode_words(text: &str) -> Cow<'_, str> {
    if text.contains(WORD_START) {
        Cow::Owned(replace_words(text, &mut false, str::to_owned))
    } else {
        Cow::Borrowed(text)
    }
}

struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
    rest: &'a str,
}

/// How an encoded word begins.
const WORD_START: &str = "=?";
/// The standard allows 75; some senders put a whole subject into one word.
const WORD_BYTES_MAX: usize = 4_096;

/// Reads `=?charset?B?text?=` at the start of the text.
fn word(text: &str) -> Option<Word<'_>> {
    let (charset, rest) = text.strip_prefix(WORD_START)?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let window = rest.get(..rest.floor_char_boundary(WORD_BYTES_MAX))?;
    let (content, _) = window.split_once("?=")?;
    let rest = rest.strip_prefix(content)?.strip_prefix("?=")?;
    if charset.is_empty() || charset.len() > 40 || !charset.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => lenient_base64(content.as_bytes()),
        "Q" | "q" => lenient_quoted_printable(content.replace('_', " ").as_bytes()),
        _ => return None,
    };
    let charset = charset.split('*').next().unwrap_or(charset);
    Some(Word {
        charset,
        bytes,
        rest,
    })
}

fn replace_words(text: &str, repaired: &mut bool, write: impl Fn(&str) -> String) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, _)) = rest.split_once(WORD_START) {
        let candidate = rest.strip_prefix(before).unwrap_or_default();
        let Some(first) = word(candidate) else {
            result.push_str(before);
            result.push_str(WORD_START);
            rest = candidate.strip_prefix(WORD_START).unwrap_or_default();
            continue;
        };
        result.push_str(before);
        let mut decoded = String::new();
        let mut run = first;
        loop {
            let next = word(run.rest.trim_start_matches([' ', '\t', '\r', '\n']));
            match next {
                Some(next) if next.charset.eq_ignore_ascii_case(run.charset) => {
                    run.bytes.extend(next.bytes);
                    run.rest = next.rest;
                }
                next => {
                    let part = charset::decode(&run.bytes, Some(run.charset));
                    *repaired |= part.repaired;
                    decoded.push_str(&part.text);
                    match next {
                        Some(next) => run = next,
                        None => break,
                    }
                }
            }
        }
        let clean: String = decoded.chars().filter(|c| !c.is_control()).collect();
        result.push_str(&write(&clean));
        rest = run.rest;
    }
    result.push_str(rest);
    result
}

/// A header with parameters, such as Content-Type or Content-Disposition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parameters {
    /// What stands before the first semicolon, in lower case.
    pub(crate) value: String,
    /// Names in lower case → decoded values; continuations are joined.
    pub(crate) list: Vec<(String, String)>,
    /// Whether a charset had to be overruled.
    pub(crate) repaired: bool,
}

impl Parameters {
    /// The first parameter of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.list
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// At most this many parameters are read.
const PARAMETERS_MAX: usize = 64;

/// Reads `value; name=value; name*0*=utf-8''…`, also with missing quotes, raw 8-bit letters and encoded words.
pub(crate) fn parameters(raw: &[u8]) -> Parameters {
    let decoded = charset::decode_unlabelled(raw);
    let text: String = decoded
        .text
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n' | '\0'))
        .collect();
    let mut pieces = split_outside_quotes(&text);
    let value = strip_comments(pieces.next().unwrap_or_default())
        .trim()
        .to_ascii_lowercase();
    let mut found: Vec<Piece> = Vec::new();
    for piece in pieces.take(PARAMETERS_MAX) {
        let Some((name, value)) = piece.split_once('=') else {
            continue;
        };
        let mut name = name.trim().to_ascii_lowercase();
        let extended = name.ends_with('*');
        if extended {
            name.pop();
        }
        let (base, index) = match name.split_once('*') {
            Some((base, index)) => (base.to_owned(), index.parse().unwrap_or(0_u32)),
            None => (name, 0),
        };
        found.push(Piece {
            base,
            index,
            extended,
            value: unquote(value.trim()),
        });
    }
    found.sort_by_key(|piece| piece.index);
    let mut repaired = decoded.repaired;
    let mut list: Vec<(String, String)> = Vec::new();
    // Extended forms (RFC 2231) win over plain ones of the same name, whichever comes first.
    let mut names: Vec<&str> = found.iter().map(|piece| piece.base.as_str()).collect();
    names.dedup();
    for name in names {
        if list.iter().any(|(key, _)| key == name) {
            continue;
        }
        let pieces: Vec<&Piece> = found.iter().filter(|piece| piece.base == name).collect();
        let any_extended = pieces.iter().any(|piece| piece.extended);
        let (joined, lie) = if any_extended {
            join_extended(&pieces)
        } else {
            join_plain(&pieces)
        };
        repaired |= lie;
        list.push((name.to_owned(), joined));
    }
    Parameters {
        value,
        list,
        repaired,
    }
}

struct Piece {
    base: String,
    index: u32,
    extended: bool,
    value: String,
}

fn join_plain(pieces: &[&Piece]) -> (String, bool) {
    let mut last = None;
    let mut joined = String::new();
    for piece in pieces {
        // The same name twice without numbers: the first one counts.
        if last == Some(piece.index) {
            continue;
        }
        last = Some(piece.index);
        joined.push_str(&piece.value);
    }
    let mut repaired = false;
    let text = replace_words(&joined, &mut repaired, str::to_owned);
    (text, repaired)
}

fn join_extended(pieces: &[&Piece]) -> (String, bool) {
    let mut bytes = Vec::new();
    let mut label = String::new();
    let mut last = None;
    for piece in pieces
        .iter()
        .filter(|piece| piece.extended || pieces.len() > 1)
    {
        if last == Some(piece.index)
            || (!piece.extended
                && piece.index == 0
                && pieces.iter().any(|p| p.extended && p.index == 0))
        {
            continue;
        }
        last = Some(piece.index);
        let mut value = piece.value.as_str();
        if piece.extended
            && label.is_empty()
            && bytes.is_empty()
            && value.matches('\'').count() >= 2
        {
            let mut parts = value.splitn(3, '\'');
            parts.next().unwrap_or_default().clone_into(&mut label);
            value = parts.nth(1).unwrap_or_default();
        }
        if piece.extended {
            bytes.extend(percent_decode(value));
        } else {
            bytes.extend(value.bytes());
        }
    }
    let decoded = charset::decode(&bytes, (!label.is_empty()).then_some(label.as_str()));
    (decoded.text.into_owned(), decoded.repaired)
}

fn percent_decode(value: &str) -> Vec<u8> {
    // `%41` and `=41` differ in one letter only.
    let swapped: Vec<u8> = value
        .bytes()
        .flat_map(|byte| match byte {
            b'=' => b"=3D".to_vec(),
            b'%' => b"=".to_vec(),
            other => vec![other],
        })
        .collect();
    lenient_quoted_printable(&swapped)
}

/// Splits at semicolons outside quoted strings.
fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c: char| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => return true,
            _ => {}
        }
        false
    })
}

/// Removes the quotes of a quoted string; other text is returned without trailing comment.
fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' => break,
            // Windows senders write `C:\temp\fil.pdf` without doubling: only `\"` and `\\` are escapes.
            '\\' if matches!(letters.peek(), Some('"' | '\\')) => text.extend(letters.next()),
            other => text.push(other),
        }
    }
    text
}

/// Removes `(comments)`, nested ones too, outside quoted strings.
pub(crate) fn strip_comments(text: &str) -> String {
    let mut depth = 0_u32;
    let mut quoted = false;
    let mut escaped = false;
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        if escaped {
            escaped = false;
            if depth == 0 {
                kept.push(c);
            }
            continue;
        }
        match c {
            '\\' if quoted || depth > 0 => {
                escaped = true;
                if depth == 0 {
                    kept.push(c);
                }
            }
            '"' if depth == 0 => {
                quoted = !quoted;
                kept.push(c);
            }
            '(' if !quoted => depth = depth.saturating_add(1),
            ')' if !quoted && depth > 0 => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_before_they_are_decoded() {
        let cases: [(&[u8], &str); 10] = [
            (b"=?utf-8?B?SMO?= =?utf-8?B?uHJpbmc=?=", "Høring"),
            (b"=?utf-8?q?H=C3?=\r\n =?utf-8?q?=B8ring?=", "Høring"),
            (
                b"=?iso-8859-1?Q?R=E5bra_jobba?= fra =?utf-8?q?m=C3=B8te?=",
                "Råbra jobba fra møte",
            ),
            (
                b"Samhandlingsavvik =?utf-8?b?4oCT?= sykeseng",
                "Samhandlingsavvik – sykeseng",
            ),
            (b"=?utf-8?q?a?= =?iso-8859-1?q?=F8?=", "aø"),
            (b"=?iso-8859-1?q?S=C3=B8k?=", "Søk"),
            (b"raw \xf8 og =? ikke ord ?=", "raw ø og =? ikke ord ?="),
            ("rå utf-8".as_bytes(), "rå utf-8"),
            (b"=?utf-8*nb?Q?d=C3=A5rlig?=", "dårlig"),
            (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ];
        for (raw, expected) in cases {
            assert_eq!(decode_header(raw).0, expected);
        }
    }

    #[test]
    fn parameters_in_all_their_forms() {
        let cases: [(&[u8], &str, Option<&str>); 12] = [
            (
                b"attachment; filename=\"a b.pdf\"",
                "filename",
                Some("a b.pdf"),
            ),
            (b"attachment; filename=a b.pdf", "filename", Some("a b.pdf")),
            (
                b"attachment; filename=\"a;b.pdf\"",
                "filename",
                Some("a;b.pdf"),
            ),
            (
                b"attachment; filename*=utf-8''s%C3%B8knad.pdf",
                "filename",
                Some("søknad.pdf"),
            ),
            (
                b"attachment; filename*0*=utf-8''s%C3; filename*1*=%B8knad.pdf",
                "filename",
                Some("søknad.pdf"),
            ),
            (
                b"attachment; filename*1*=%B8knad.pdf; filename*0*=utf-8''s%C3",
                "filename",
                Some("søknad.pdf"),
            ),
            (
                b"attachment; filename*0=\"lang \"; filename*1=\"fil.pdf\"",
                "filename",
                Some("lang fil.pdf"),
            ),
            (
                b"attachment; filename=\"=?utf-8?B?SMO?= =?utf-8?B?uHJpbmc=?=.pdf\"",
                "filename",
                Some("Høring.pdf"),
            ),
            (
                b"attachment; filename=\"h\xf8ring.pdf\"",
                "filename",
                Some("høring.pdf"),
            ),
            (
                b"attachment; filename=\"dum.pdf\"; filename*=iso-8859-1''h%F8ring.pdf",
                "filename",
                Some("høring.pdf"),
            ),
            (
                b"text/plain (kommentar); charset=utf-8",
                "charset",
                Some("utf-8"),
            ),
            (b"text/plain; =; ;", "charset", None),
        ];
        for (raw, name, expected) in cases {
            assert_eq!(
                parameters(raw).get(name),
                expected,
                "{}",
                String::from_utf8_lossy(raw)
            );
        }
        assert_eq!(
            parameters(b"Text/Plain (x); charset=utf-8").value,
            "text/plain"
        );
    }
}
