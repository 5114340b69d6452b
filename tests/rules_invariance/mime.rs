//! Rewriting the text parts of a raw mail: other words, another charset, another transfer encoding, other line ends.

use std::fmt::Write as _;
use std::ops::Range;

use base64::Engine as _;
use mail_parser::{MessageParser, MimeHeaders, PartType};

/// A text part of a mail that is neither an attachment nor inside an attached mail.
pub struct Part {
    header: Range<usize>,
    body: Range<usize>,
    /// Its text.
    pub text: String,
    /// HTML rather than plain text.
    pub html: bool,
    /// `format=flowed`: its line breaks have a meaning of their own.
    pub flowed: bool,
    /// The mail has no other part.
    pub alone: bool,
}

/// How a text part is written into the mail.
#[derive(Clone, Copy)]
pub enum Encoding {
    EightBit,
    QuotedPrintable,
    Base64,
}

/// The charset that a text part is written in.
#[derive(Clone, Copy)]
pub enum Charset {
    Utf8,
    Windows1252,
}

/// The text parts, in the order of the mail.
pub fn parts(raw: &[u8]) -> Vec<Part> {
    let Some(message) = MessageParser::default().parse(raw) else {
        return Vec::new();
    };
    let alone = message.parts.len() == 1;
    let mut parts = Vec::new();
    for part in &message.parts {
        let (text, html) = match &part.body {
            PartType::Text(text) => (text, false),
            PartType::Html(text) => (text, true),
            _ => continue,
        };
        let attached = part
            .content_disposition()
            .is_some_and(mail_parser::ContentType::is_attachment)
            || part.attachment_name().is_some();
        if attached || part.is_encoding_problem {
            continue;
        }
        let flowed = part
            .content_type()
            .and_then(|kind| kind.attribute("format"))
            .is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
        parts.push(Part {
            header: part.offset_header as usize..part.offset_body as usize,
            body: part.offset_body as usize..part.offset_end as usize,
            text: text.replace("\r\n", "\n"),
            html,
            flowed,
            alone,
        });
    }
    parts
}

/// The mail with the text of each part replaced; `None` from `text` leaves a part as it is. `None` when nothing changed or
/// a text does not fit the charset.
pub fn rewrite(
    raw: &[u8],
    charset: Charset,
    encoding: Encoding,
    text: impl Fn(&Part) -> Option<String>,
) -> Option<Vec<u8>> {
    let mut out = raw.to_vec();
    let mut changed = false;
    for part in parts(raw).into_iter().rev() {
        let Some(text) = text(&part) else { continue };
        let body = encode(&text, charset, encoding)?;
        let header = header(&raw[part.header.clone()], part.html, charset, encoding);
        out.splice(part.body, body);
        out.splice(part.header, header);
        changed = true;
    }
    changed.then_some(out)
}

/// The header fields, each with its continuation lines and line end.
pub fn fields(block: &[u8]) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        match fields.last_mut() {
            Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                field.extend_from_slice(line);
            }
            _ => fields.push(line.to_vec()),
        }
    }
    fields
}

/// Whether a field has that name.
pub fn is_field(field: &[u8], name: &str) -> bool {
    field
        .get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        && field.get(name.len()) == Some(&b':')
}

fn header(block: &[u8], html: bool, charset: Charset, encoding: Encoding) -> Vec<u8> {
    let charset = match charset {
        Charset::Utf8 => "utf-8",
        Charset::Windows1252 => "windows-1252",
    };
    let encoding = match encoding {
        Encoding::EightBit => "8bit",
        Encoding::QuotedPrintable => "quoted-printable",
        Encoding::Base64 => "base64",
    };
    let end: &[u8] = if block.ends_with(b"\r\n") {
        b"\r\n"
    } else {
        b"\n"
    };
    let known = regex::bytes::Regex::new(r#"(?i)charset\s*=\s*("[^"]*"|[^;\s]+)"#).unwrap();
    let mut kind = format!(
        "Content-Type: text/{}; charset=\"{charset}\"",
        if html { "html" } else { "plain" }
    )
    .into_bytes();
    let mut out = Vec::new();
    for field in fields(block) {
        if is_field(&field, "Content-Type") {
            let field = field.trim_ascii_end();
            kind = if known.is_match(field) {
                known
                    .replace(field, format!("charset=\"{charset}\"").as_bytes())
                    .into_owned()
            } else {
                [field, format!("; charset=\"{charset}\"").as_bytes()].concat()
            };
        } else if !is_field(&field, "Content-Transfer-Encoding") && !field.trim_ascii().is_empty() {
            out.extend(field);
        }
    }
    out.extend(kind);
    out.extend(end);
    out.extend(format!("Content-Transfer-Encoding: {encoding}").into_bytes());
    out.extend(end);
    out.extend(end);
    out
}

fn encode(text: &str, charset: Charset, encoding: Encoding) -> Option<Vec<u8>> {
    let bytes = match charset {
        Charset::Utf8 => text.as_bytes().to_vec(),
        Charset::Windows1252 => {
            let (bytes, _, failed) = encoding_rs::WINDOWS_1252.encode(text);
            if failed {
                return None;
            }
            bytes.into_owned()
        }
    };
    Some(match encoding {
        Encoding::EightBit => bytes,
        Encoding::QuotedPrintable => quoted_printable(&bytes).into_bytes(),
        Encoding::Base64 => base64_lines(&bytes).into_bytes(),
    })
}

/// Base64 in lines of 76 characters (RFC 2045 section 6.8).
pub fn base64_lines(bytes: &[u8]) -> String {
    let whole = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut out = String::new();
    for line in whole.as_bytes().chunks(76) {
        out.push_str(std::str::from_utf8(line).unwrap());
        out.push('\n');
    }
    out
}

/// Quoted-printable (RFC 2045 section 6.7).
fn quoted_printable(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            out.push('\n');
            column = 0;
            continue;
        }
        let last = matches!(bytes.get(at + 1), None | Some(b'\n'));
        let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || *byte == b' ' && !last;
        let width = if plain { 1 } else { 3 };
        if column + width > 75 {
            out.push_str("=\n");
            column = 0;
        }
        if plain {
            out.push(char::from(*byte));
        } else {
            write!(out, "={byte:02X}").unwrap();
        }
        column += width;
    }
    out
}

/// An encoded-word field body (RFC 2047) for any text.
pub fn encoded_words(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > 42 {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let encode = |word: &String| {
        let word = base64::engine::general_purpose::STANDARD.encode(word);
        format!("=?utf-8?B?{word}?=")
    };
    words.iter().map(encode).collect::<Vec<_>>().join("\n ")
}

/// The mail with other line ends: those of odd and of even lines.
pub fn line_ends(raw: &[u8], odd: &[u8], even: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 20);
    let mut rest = raw;
    let (mut end, mut next) = (odd, even);
    while let Some((first, after)) = rest.split_first() {
        match (first, after.first()) {
            (b'\r', Some(b'\n')) => {}
            (b'\n', _) => {
                out.extend_from_slice(end);
                std::mem::swap(&mut end, &mut next);
            }
            _ => out.push(*first),
        }
        rest = after;
    }
    out
}
