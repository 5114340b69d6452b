//! Raw bytes → the tree of parts (RFC 2046), with its limits counted before anything is decoded.
//!
//! Delimiters count only as whole lines. A part ends at the delimiter of any enclosing multipart, so a missing closing
//! line costs nothing but a [`Defect::Malformed`]. Recursion is as deep as [`Limits::max_depth`] and no deeper; a
//! message in base64 counts as a level like any other.

use super::transfer::{self, TransferEncoding};
use super::words::{self, Parameters};
use super::{Defect, Limits, ParseError};
use memchr::memchr;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// One header field, as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Its name as written.
    pub(crate) name: String,
    /// Its value, unfolded and trimmed.
    pub(crate) value: Vec<u8>,
}

/// A message, a part or a part of a part.
#[derive(Debug)]
pub(crate) struct Entity {
    source: Arc<Vec<u8>>,
    pub(crate) fields: Vec<Field>,
    body: Range<usize>,
    /// Media type in lower case, for example `text/plain`.
    pub(crate) media_type: String,
    pub(crate) content_type: Parameters,
    pub(crate) disposition: Parameters,
    pub(crate) encoding: TransferEncoding,
    pub(crate) content: Content,
    /// Whether its end was found (false for a part that the end of the message cuts).
    pub(crate) is_whole: bool,
}

/// What an [`Entity`] holds.
#[derive(Debug)]
pub(crate) enum Content {
    Leaf,
    Multipart(Vec<Entity>),
    Message(Box<Entity>),
}

impl Entity {
    /// The body as it stands in the message, not decoded.
    pub(crate) fn raw_body(&self) -> &[u8] {
        self.source.get(self.body.clone()).unwrap_or_default()
    }

    /// The body, decoded from its transfer encoding; the flag tells that the encoding was broken.
    pub(crate) fn bytes(&self) -> (Vec<u8>, bool) {
        transfer::decode(self.raw_body(), self.encoding)
    }

    /// All values of the named field, topmost first.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.as_slice())
    }

    /// The topmost value of the named field.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.as_slice())
    }

    /// The topmost value of the named field as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.first(name)
            .map(|value| words::decode_header(value).0.into_owned())
    }

    /// The parts directly below.
    pub(crate) fn children(&self) -> &[Entity] {
        match &self.content {
            Content::Leaf => &[],
            Content::Multipart(children) => children,
            Content::Message(child) => std::slice::from_ref(child.as_ref()),
        }
    }

    /// The file name that the sender gave, not yet fit for use.
    pub(crate) fn file_name(&self) -> Option<&str> {
        self.disposition
            .get("filename")
            .or_else(|| self.content_type.get("name"))
            .filter(|name| !name.trim().is_empty())
    }

    /// `Content-Disposition: attachment`.
    pub(crate) fn is_attachment(&self) -> bool {
        self.disposition.value == "attachment"
    }
}

/// Splits a message into its parts.
///
/// # Errors
/// [`ParseError::TooComplex`] beyond the limits on levels and parts.
pub(crate) fn scan(
    raw: Vec<u8>,
    limits: &Limits,
    defects: &mut BTreeSet<Defect>,
) -> Result<Entity, ParseError> {
    let mut parts = 0;
    scan_at(raw, limits, defects, 1, &mut parts)
}

fn scan_at(
    raw: Vec<u8>,
    limits: &Limits,
    defects: &mut BTreeSet<Defect>,
    depth: usize,
    parts: &mut usize,
) -> Result<Entity, ParseError> {
    let source = Arc::new(raw);
    let mut scanner = Scanner {
        source: Arc::clone(&source),
        position: 0,
        boundaries: Vec::new(),
        hit: None,
        limits,
        defects,
        parts,
    };
    scanner.entity(depth, "text/plain")
}

/// A delimiter line that ended the part before it.
#[derive(Clone, Copy)]
struct Hit {
    level: usize,
    closing: bool,
}

struct Scanner<'a> {
    source: Arc<Vec<u8>>,
    position: usize,
    boundaries: Vec<Vec<u8>>,
    hit: Option<Hit>,
    limits: &'a Limits,
    defects: &'a mut BTreeSet<Defect>,
    parts: &'a mut usize,
}

/// At most this many header fields of one part are read.
const FIELDS_MAX: usize = 1_000;
/// At most this many bytes of one header field are read.
const FIELD_BYTES_MAX: usize = 64 * 1024;

impl Scanner<'_> {
    fn entity(&mut self, depth: usize, default_type: &str) -> Result<Entity, ParseError> {
        *self.parts = self.parts.saturating_add(1);
        if depth > self.limits.max_depth || *self.parts > self.limits.max_parts {
            return Err(ParseError::TooComplex {
                levels: depth,
                parts: *self.parts,
            });
        }
        let fields = self.fields();
        let first = |name: &str| {
            fields
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name))
        };
        let content_type = first("content-type")
            .map(|field| words::parameters(&field.value))
            .unwrap_or_default();
        let disposition = first("content-disposition")
            .map(|field| words::parameters(&field.value))
            .unwrap_or_default();
        let encoding = first("content-transfer-encoding")
            .map_or(TransferEncoding::Identity, |field| {
                TransferEncoding::from_header(&String::from_utf8_lossy(&field.value))
            });
        let media_type = media_type(&content_type.value, default_type);
        let mut entity = Entity {
            source: Arc::clone(&self.source),
            fields,
            body: self.position..self.position,
            media_type,
            content_type,
            disposition,
            encoding,
            content: Content::Leaf,
            is_whole: true,
        };
        if self.hit.is_some() {
            // The delimiter came before the empty line: a part without a body.
            return Ok(entity);
        }
        if entity.media_type.starts_with("multipart/") {
            let boundary = entity
                .content_type
                .get("boundary")
                .map(|b| b.trim_end().as_bytes().to_vec())
                .unwrap_or_default();
            if !boundary.is_empty() {
                return self.multipart(entity, boundary, depth);
            }
            self.defects.insert(Defect::Malformed);
            "text/plain".clone_into(&mut entity.media_type);
        }
        let is_message = matches!(
            entity.media_type.as_str(),
            "message/rfc822" | "message/global" | "message/news"
        );
        if is_message && entity.encoding == TransferEncoding::Identity {
            let start = self.position;
            let child = self.entity(depth.saturating_add(1), "text/plain")?;
            entity.body = start..child.end();
            entity.is_whole = child.is_whole;
            entity.content = Content::Message(Box::new(child));
            return Ok(entity);
        }
        entity.body = self.body();
        entity.is_whole = self.boundaries.is_empty() || self.hit.is_some();
        if is_message && entity.encoding != TransferEncoding::Unknown {
            let (bytes, broken) = entity.bytes();
            if broken {
                self.defects.insert(Defect::Malformed);
            }
            let child = scan_at(
                bytes,
                self.limits,
                self.defects,
                depth.saturating_add(1),
                self.parts,
            )?;
            entity.content = Content::Message(Box::new(child));
        }
        Ok(entity)
    }

    fn multipart(
        &mut self,
        mut entity: Entity,
        boundary: Vec<u8>,
        depth: usize,
    ) -> Result<Entity, ParseError> {
        let start = self.position;
        let level = self.boundaries.len();
        self.boundaries.push(boundary);
        let child_type = if entity.media_type == "multipart/digest" {
            "message/rfc822"
        } else {
            "text/plain"
        };
        let preamble = self.body();
        if !matches!(self.hit, Some(hit) if hit.level == level) {
            // Its delimiter never comes: what there is, is text.
            self.defects.insert(Defect::Malformed);
            self.boundaries.truncate(level);
            "text/plain".clone_into(&mut entity.media_type);
            entity.body = preamble;
            return Ok(entity);
        }
        let mut children = Vec::new();
        while matches!(self.hit, Some(Hit { level: hit, closing: false }) if hit == level) {
            self.hit = None;
            children.push(self.entity(depth.saturating_add(1), child_type)?);
        }
        match self.hit {
            Some(hit) if hit.level == level => {
                self.boundaries.truncate(level);
                self.hit = None;
                let epilogue = self.body();
                entity.body = start..epilogue.end;
            }
            _ => {
                self.defects.insert(Defect::Malformed);
                self.boundaries.truncate(level);
                entity.is_whole = self.hit.is_some();
                entity.body = start..children.last().map_or(start, Entity::end);
            }
        }
        entity.content = Content::Multipart(children);
        Ok(entity)
    }

    /// Takes lines up to the next delimiter; the line end before a delimiter belongs to the delimiter.
    fn body(&mut self) -> Range<usize> {
        let start = self.position;
        let mut end = start;
        while let Some(line) = self.line() {
            if let Some(hit) = self.delimiter(&line) {
                self.hit = Some(hit);
                return start..end;
            }
            end = line.text_end;
            if self.boundaries.is_empty() {
                self.position = self.source.len();
                break;
            }
        }
        start..self.position.min(self.source.len())
    }

    fn delimiter(&self, line: &Line) -> Option<Hit> {
        let text = self
            .source
            .get(line.start..line.text_end)?
            .strip_prefix(b"--")?
            .trim_ascii_end();
        self.boundaries
            .iter()
            .enumerate()
            .rev()
            .find_map(|(level, boundary)| {
                let rest = text.strip_prefix(boundary.as_slice())?;
                match rest {
                    b"" => Some(Hit {
                        level,
                        closing: false,
                    }),
                    b"--" => Some(Hit {
                        level,
                        closing: true,
                    }),
                    _ => None,
                }
            })
    }

    /// The line at the position, which moves behind it.
    fn line(&mut self) -> Option<Line> {
        let rest = self
            .source
            .get(self.position..)
            .filter(|rest| !rest.is_empty())?;
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        let start = self.position;
        let text = rest.get(..length).unwrap_or_default();
        let text_length = text.strip_suffix(b"\r").unwrap_or(text).len();
        self.position = start
            .saturating_add(length)
            .saturating_add(1)
            .min(self.source.len());
        Some(Line {
            start,
            text_end: start.saturating_add(text_length),
        })
    }

    /// Header fields up to the empty line, the next delimiter, or the first line that cannot be a header.
    fn fields(&mut self) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let source = Arc::clone(&self.source);
        loop {
            let before = self.position;
            let Some(line) = self.line() else { break };
            if let Some(hit) = self.delimiter(&line) {
                self.hit = Some(hit);
                break;
            }
            let text = source.get(line.start..line.text_end).unwrap_or_default();
            if text.is_empty() {
                break;
            }
            if text
                .first()
                .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
            {
                if let Some(last) = fields.last_mut() {
                    if last.value.len() < FIELD_BYTES_MAX {
                        last.value.extend_from_slice(text);
                    }
                    continue;
                }
                if text.trim_ascii().is_empty() {
                    break;
                }
            }
            match header_line(text.trim_ascii_start()) {
                Some((name, value)) if fields.len() < FIELDS_MAX => {
                    let value = value
                        .get(..value.len().min(FIELD_BYTES_MAX))
                        .unwrap_or(value);
                    fields.push(Field {
                        name,
                        value: value.to_vec(),
                    });
                }
                Some(_) => {
                    self.defects.insert(Defect::Malformed);
                }
                None => {
                    self.defects.insert(Defect::Malformed);
                    if !self.headers_go_on() {
                        // The empty line is missing: the body begins here.
                        self.position = before;
                        break;
                    }
                }
            }
        }
        for Field { value, .. } in &mut fields {
            value.truncate(value.trim_ascii_end().len());
            let blank = value.len().saturating_sub(value.trim_ascii_start().len());
            value.drain(..blank);
        }
        fields
    }

    /// Whether the next line is a header that mail really has, so that the line before it was only junk among headers.
    fn headers_go_on(&mut self) -> bool {
        let before = self.position;
        let next = self.line();
        self.position = before;
        let Some(line) = next else { return false };
        let text = self
            .source
            .get(line.start..line.text_end)
            .unwrap_or_default();
        header_line(text).is_some_and(|(name, _)| is_usual(&name))
    }
}

impl Entity {
    fn end(&self) -> usize {
        self.body.end
    }
}

#[derive(Clone, Copy)]
struct Line {
    start: usize,
    text_end: usize,
}

/// `Name: value` or `Name : value` (RFC 5322 section 4.5.8).
pub(crate) fn header_line(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    let is_name = !name.is_empty() && name.len() <= 100 && name.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
    Some((name.to_owned(), value.strip_prefix(b":").unwrap_or(value)))
}

fn is_usual(name: &str) -> bool {
    const USUAL: [&str; 14] = [
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "received",
        "reply-to",
        "sender",
        "in-reply-to",
        "references",
        "return-path",
    ];
    let name = name.to_ascii_lowercase();
    USUAL.contains(&name.as_str())
        || name.starts_with("content-")
        || name.starts_with("x-")
        || name.starts_with("list-")
}

/// The media type in lower case; `text` alone is text, and what is no type at all is taken for a file.
fn media_type(value: &str, default_type: &str) -> String {
    let value = value.trim();
    match value.split_once('/') {
        Some((kind, subtype)) if !kind.is_empty() && !subtype.trim().is_empty() => {
            // `text/plain charset=…` without its semicolon.
            let subtype = subtype
                .split([' ', '\t', ','])
                .find(|s| !s.is_empty())
                .unwrap_or_default();
            format!("{}/{subtype}", kind.trim())
        }
        _ if value.is_empty() => default_type.to_owned(),
        _ if matches!(
            value.trim_end_matches('/'),
            "text" | "plain" | "plaintext" | "mail" | "postscript"
        ) =>
        {
            "text/plain".to_owned()
        }
        _ if value == "html" => "text/html".to_owned(),
        _ => "application/octet-stream".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(raw: &[u8]) -> (Result<Entity, ParseError>, BTreeSet<Defect>) {
        let mut defects = BTreeSet::new();
        (
            scan(raw.to_vec(), &Limits::default(), &mut defects),
            defects,
        )
    }

    /// `media/type:length`, nested in brackets.
    fn shape(entity: &Entity) -> String {
        match &entity.content {
            Content::Leaf => format!("{}:{}", entity.media_type, entity.raw_body().len()),
            _ => format!(
                "{}[{}]",
                entity.media_type,
                entity
                    .children()
                    .iter()
                    .map(shape)
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
        }
    }

    #[test]
    fn trees() {
        let cases: [(&str, &str, bool); 10] = [
            ("Subject: a\n\nHei\n", "text/plain:4", false),
            (
                "Subject: a\nContent-Type: multipart/mixed; boundary=b\n\npre\n--b\n\nen\n--b\n\nto\n--b--\nepi\n",
                "multipart/mixed[text/plain:2 text/plain:2]",
                false,
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nen --b her\n--bc\n--b--\n",
                "multipart/mixed[text/plain:15]",
                false,
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b\n\ny\n",
                "multipart/mixed[multipart/mixed[text/plain:1] text/plain:2]",
                true,
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\n\nalt er tekst\n",
                "text/plain:13",
                true,
            ),
            (
                "Content-Type: multipart/mixed\n\nalt er tekst\n",
                "text/plain:13",
                true,
            ),
            (
                "Content-Type: message/rfc822\n\nSubject: x\n\nHei\n",
                "message/rfc822[text/plain:4]",
                false,
            ),
            (
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKSGVpCg==\n",
                "message/rfc822[text/plain:4]",
                false,
            ),
            (
                "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nHei\n--b--\n",
                "multipart/digest[message/rfc822[text/plain:3]]",
                false,
            ),
            (
                "Subject: a\nFrom: b@c.example\nHei, her mangler den tomme linjen\n",
                "text/plain:34",
                true,
            ),
        ];
        for (raw, expected, malformed) in cases {
            for raw in [raw.to_owned(), raw.replace('\n', "\r\n")] {
                let (entity, defects) = tree(raw.as_bytes());
                let got = shape(&entity.unwrap());
                if !raw.contains('\r') {
                    assert_eq!(got, expected, "{raw}");
                }
                assert_eq!(defects.contains(&Defect::Malformed), malformed, "{raw}");
            }
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let bomb = "Content-Type: message/rfc822\n\n".repeat(70_000);
        assert!(matches!(
            tree(bomb.as_bytes()).0,
            Err(ParseError::TooComplex { levels: 61, .. })
        ));
        let mut parts = String::from("Content-Type: multipart/mixed; boundary=b\n\n");
        parts.push_str(&"--b\n\nx\n".repeat(20_000));
        assert!(matches!(
            tree(parts.as_bytes()).0,
            Err(ParseError::TooComplex { parts: 10_001, .. })
        ));
    }

    #[test]
    fn media_types_are_guessed_once() {
        for (value, expected) in [
            ("text", "text/plain"),
            ("", "text/plain"),
            ("application/pdf", "application/pdf"),
            ("pdf", "application/octet-stream"),
            ("text/plain charset=utf-8", "text/plain"),
        ] {
            assert_eq!(media_type(value, "text/plain"), expected);
        }
    }
}
