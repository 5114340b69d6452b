//! The bytes of an attachment → its text: PDF, DOCX, ODT, RTF, plain text, HTML, attached mail and winmail.dat.
//!
//! What a file is, its first bytes decide, then its type and name. A file that gives no text says why ([`Unread`]); it is
//! never empty text. All of it is bounded in size and depth by constants, but the libraries below are not: hostile files are
//! read in a process of their own, see [`crate::extractor`].

mod layout;
mod mail;
mod opendocument;
mod packed;
mod pdf;
mod pdf_font;
mod rtf;
mod table;
mod tnef;
mod wordprocessing;
mod xml;

use super::{Limits, charset, html, identity_numbers, text};
use serde::{Deserialize, Serialize};

/// Bytes of text that one attachment gives at most; the rest is left out.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;
/// Pieces that one attachment gives at most: what is in a winmail.dat or an attached mail.
const PIECES_MAX: usize = 50;
/// Containers within containers.
const DEPTH_MAX: usize = 4;

/// Why there is no text of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unread {
    /// An image.
    Image,
    /// A document whose pages are images.
    Scanned,
    /// It needs a password.
    Locked,
    /// Nothing in it is text, or it is empty.
    NoText,
    /// A format that is not read.
    Unknown,
    /// Not what it says, cut off, or broken.
    Damaged,
    /// It needs more time or memory than an attachment may have, or the message has more attachments than are read.
    TooMuch,
}

impl Unread {
    /// Stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Scanned => "scanned",
            Self::Locked => "locked",
            Self::NoText => "no-text",
            Self::Unknown => "unknown",
            Self::Damaged => "damaged",
            Self::TooMuch => "too-much",
        }
    }

    /// The reason with that id.
    pub fn from_id(id: &str) -> Option<Self> {
        [
            Self::Image,
            Self::Scanned,
            Self::Locked,
            Self::NoText,
            Self::Unknown,
            Self::Damaged,
            Self::TooMuch,
        ]
        .into_iter()
        .find(|reason| reason.id() == id)
    }

    /// Whether a person must look: the file may hold a report. Images and formats that hold none mostly are decoration.
    pub const fn may_hold_a_report(self) -> bool {
        !matches!(self, Self::Image)
    }

    /// Why, for people.
    pub const fn navn(self) -> &'static str {
        match self {
            Self::Image => "bilde",
            Self::Scanned => "bare bilder av sider",
            Self::Locked => "låst med passord",
            Self::NoText => "ingen tekst i filen",
            Self::Unknown => "filtypen leses ikke",
            Self::Damaged => "skadet, eller ikke det den gir seg ut for",
            Self::TooMuch => "for stor eller for krevende",
        }
    }
}

/// Text that was found, and in which file: the attachment itself, or one inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Name of a file inside the attachment; empty for the attachment itself.
    pub name: String,
    /// Its text; empty when only the name is known.
    pub text: String,
}

/// What an attachment gives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extracted {
    /// Texts in reading order.
    pub pieces: Vec<Piece>,
    /// What could not be read, of the attachment itself or inside it.
    pub unread: Vec<Unread>,
    /// Text beyond [`TEXT_BYTES_MAX`] was left out.
    pub truncated: bool,
}

impl Extracted {
    /// Nothing, for one reason.
    pub fn nothing(reason: Unread) -> Self {
        Self {
            unread: vec![reason],
            ..Self::default()
        }
    }

    fn of_text(text: &str) -> Self {
        if !text.chars().any(char::is_alphanumeric) {
            return Self::nothing(Unread::NoText);
        }
        Self {
            pieces: vec![Piece {
                name: String::new(),
                text: text.to_owned(),
            }],
            ..Self::default()
        }
    }

    /// Adds what a file inside gave, under its name.
    fn add(&mut self, name: &str, inner: Self) {
        self.unread.extend(inner.unread);
        self.truncated |= inner.truncated;
        if inner.pieces.is_empty() && !name.is_empty() {
            self.push(name, String::new());
        }
        for piece in inner.pieces {
            let name = if piece.name.is_empty() {
                name
            } else {
                piece.name.as_str()
            };
            self.push(name, piece.text);
        }
    }

    fn push(&mut self, name: &str, text: String) {
        if self.pieces.len() < PIECES_MAX {
            self.pieces.push(Piece {
                name: name.to_owned(),
                text,
            });
        } else {
            self.truncated = true;
        }
    }

    /// Clean text, identity numbers masked, within the limit of all pieces together.
    fn finished(mut self) -> Self {
        let mut left = TEXT_BYTES_MAX;
        for piece in &mut self.pieces {
            piece.text = tidy(&piece.text);
            self.truncated |= text::truncate(&mut piece.text, left);
            piece.text = identity_numbers::mask(&piece.text);
            left = left.saturating_sub(piece.text.len());
        }
        self.pieces
            .retain(|piece| !piece.text.is_empty() || !piece.name.is_empty());
        self.unread.sort_unstable();
        self.unread.dedup();
        if self.pieces.is_empty() && self.unread.is_empty() {
            self.unread.push(Unread::NoText);
        }
        self
    }
}

/// What a file is, as far as its text is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pdf,
    /// A zip; what is in it tells whether it is a document.
    Zip,
    Rtf,
    Tnef,
    Image,
    /// A container of older Office programs, or of an encrypted newer document.
    Ole,
    Html,
    Mail,
    Text,
    /// Something that holds no text for people.
    Other,
}

/// Reads an attachment; identity numbers in its text are masked. `body_is_read` of an attached mail tells that its own text was taken with the message around it.
pub fn extract(name: &str, media_type: &str, bytes: &[u8], body_is_read: bool) -> Extracted {
    nested(name, media_type, bytes, body_is_read, 0).finished()
}

/// Whether the bytes are what their text type says, or something else in disguise.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    by_magic(bytes).is_some_and(|kind| !matches!(kind, Kind::Html | Kind::Rtf))
}

fn nested(
    name: &str,
    media_type: &str,
    bytes: &[u8],
    body_is_read: bool,
    depth: usize,
) -> Extracted {
    if depth >= DEPTH_MAX {
        return Extracted::nothing(Unread::TooMuch);
    }
    if bytes.is_empty() {
        return Extracted::default();
    }
    let found = match kind(name, media_type, bytes) {
        Kind::Pdf => pdf::read(bytes),
        Kind::Zip => packed::read(bytes),
        Kind::Rtf => rtf::read(bytes),
        Kind::Tnef => return tnef::read(bytes, depth),
        Kind::Mail => return mail::read(bytes, body_is_read, depth),
        Kind::Image => return Extracted::nothing(Unread::Image),
        Kind::Ole if packed::is_encrypted_office(bytes) => {
            return Extracted::nothing(Unread::Locked);
        }
        Kind::Ole | Kind::Other => return Extracted::nothing(Unread::Unknown),
        Kind::Html => {
            let decoded = charset::decode(bytes, None).text;
            let (text, cut) = html::to_text(&decoded, Limits::default().max_html);
            return Extracted {
                truncated: cut,
                ..Extracted::of_text(&text)
            };
        }
        Kind::Text => Ok(Found::whole(charset::decode(bytes, None).text.into_owned())),
    };
    match found {
        Ok(found) => {
            let mut extracted = Extracted::of_text(&found.text);
            if let Some(reason) = found.but {
                // Why there is no text is better known than that there is none.
                if extracted.pieces.is_empty() {
                    extracted.unread.clear();
                }
                extracted.unread.push(reason);
            }
            extracted
        }
        Err(reason) => Extracted::nothing(reason),
    }
}

/// Text of a document, and why it is not all of it.
struct Found {
    text: String,
    but: Option<Unread>,
}

impl Found {
    const fn whole(text: String) -> Self {
        Self { text, but: None }
    }
}

/// The first bytes decide, then the type, then the name.
fn kind(name: &str, media_type: &str, bytes: &[u8]) -> Kind {
    if let Some(kind) = by_magic(bytes) {
        return kind;
    }
    let name = name.to_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_text = is_mostly_text(bytes);
    match (media_type, ending) {
        ("message/rfc822" | "message/global", _) | (_, "eml") if is_text => Kind::Mail,
        ("text/html" | "application/xhtml+xml", _) | (_, "html" | "htm" | "xhtml") if is_text => {
            Kind::Html
        }
        (media_type, _) if media_type.starts_with("image/") => Kind::Image,
        // Something may stand before the beginning of a PDF (Adobe reads the first 1024 bytes for it).
        ("application/pdf", _) | (_, "pdf")
            if bytes
                .get(..1024.min(bytes.len()))
                .is_some_and(|start| start.windows(5).any(|five| five == b"%PDF-")) =>
        {
            Kind::Pdf
        }
        // What calls itself a document and is none is damaged, also when its bytes are letters.
        (
            "application/pdf"
            | "application/vnd.oasis.opendocument.text"
            | "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            _,
        )
        | (_, "pdf" | "docx" | "odt") => Kind::Zip,
        (media_type, _) if is_text && media_type.starts_with("text/") => Kind::Text,
        (_, "" | "txt" | "text" | "csv" | "tsv" | "md" | "log" | "asc") if is_text => Kind::Text,
        _ => Kind::Other,
    }
}

fn by_magic(bytes: &[u8]) -> Option<Kind> {
    const IMAGES: [&[u8]; 10] = [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
        b"BM",
        b"\0\0\x01\0",
        b"\xd7\xcd\xc6\x9a",
        b"8BPS",
    ];
    let start = bytes.get(..1024.min(bytes.len())).unwrap_or_default();
    let is_binary = !is_mostly_text(bytes);
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Some(Kind::Zip);
    }
    if start.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Some(Kind::Ole);
    }
    if start.starts_with(&[0x78, 0x9f, 0x3e, 0x22]) {
        return Some(Kind::Tnef);
    }
    if is_binary
        && (IMAGES.iter().any(|magic| start.starts_with(magic))
            || start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP")
            || start.get(4..8) == Some(b"ftyp"))
    {
        return Some(Kind::Image);
    }
    let trimmed = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let trimmed = trimmed.trim_ascii_start();
    if trimmed.starts_with(b"%PDF-") {
        return Some(Kind::Pdf);
    }
    if trimmed.starts_with(b"{\\rtf") {
        return Some(Kind::Rtf);
    }
    let head = trimmed
        .get(..15.min(trimmed.len()))
        .unwrap_or_default()
        .to_ascii_lowercase();
    if head.starts_with(b"<!doctype html") || head.starts_with(b"<html") {
        return Some(Kind::Html);
    }
    None
}

/// Few control bytes, or the byte order mark of UTF-16.
fn is_mostly_text(bytes: &[u8]) -> bool {
    let start = bytes.get(..4096.min(bytes.len())).unwrap_or_default();
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return true;
    }
    let odd = start
        .iter()
        .filter(|byte| {
            byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t' | b'\x0c' | b'\x1b')
        })
        .count();
    odd.saturating_mul(50) <= start.len()
}

/// Ligatures of fonts as their letters, no private-use signs, no blanks at line ends, at most one empty line in a row, and
/// boxes that are not ticked left out with their option.
fn tidy(raw: &str) -> String {
    let mut spelled = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '\u{fb00}' => spelled.push_str("ff"),
            '\u{fb01}' => spelled.push_str("fi"),
            '\u{fb02}' => spelled.push_str("fl"),
            '\u{fb03}' => spelled.push_str("ffi"),
            '\u{fb04}' => spelled.push_str("ffl"),
            '\u{fb05}' | '\u{fb06}' => spelled.push_str("st"),
            // Symbol fonts put their bullets there.
            '\u{f0b7}' | '\u{f0a7}' | '\u{f076}' | '\u{f0d8}' => spelled.push('•'),
            '\u{f0fe}' | '\u{f078}' | '\u{f052}' | '\u{2611}' | '\u{2612}' | '\u{1f5f9}' => {
                spelled.push('☒');
            }
            '\u{f06f}' | '\u{f0a8}' | '\u{f0a3}' => spelled.push('☐'),
            '\u{e000}'..='\u{f8ff}' | '\u{fffd}' => {}
            other => spelled.push(other),
        }
    }
    let cleaned = text::clean(&spelled);
    let cleaned = table::with_colons(&cleaned);
    let mut out = String::with_capacity(cleaned.len());
    let mut empty = 0_usize;
    for line in cleaned.lines() {
        let line = table::chosen(line);
        let line = one_blank(line.trim());
        if line.is_empty() {
            empty = empty.saturating_add(1);
            continue;
        }
        if !out.is_empty() {
            out.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        out.push_str(&line);
    }
    out
}

/// Justified text and tables drawn with blanks have many between words.
fn one_blank(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}
