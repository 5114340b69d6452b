//! The tree of parts → [`Message`] and its files.

use super::parts::{Content, Entity, scan};
use super::transfer::TransferEncoding;
use super::zones::{self, Thread};
use super::{
    Address, Attachment, Defect, File, Forwarded, Limits, Mark, Message, ParseError, Zone,
    ZoneText, addresses, authentication, bounce, charset, content, fields, html, marks, names,
    parser, subject, text, words,
};
use std::collections::BTreeSet;

/// At most this many headers are kept, and this many bytes of each.
const HEADERS_MAX: usize = 500;
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// How much of a message beyond [`Limits::max_bytes`] is read.
const LEADING_BYTES: usize = 1024 * 1024;
/// At most this many attachments are listed.
const ATTACHMENTS_MAX: usize = 1_000;
/// At most this many headers stand in the header zone, and this many bytes of each.
const HEADER_ZONE_MAX: usize = 60;
const HEADER_ZONE_BYTES_MAX: usize = 1_000;

/// A message and the bytes of its attachments.
pub(super) fn build(raw: &[u8], limits: &Limits) -> Result<(Message, Vec<File>), ParseError> {
    let mut defects = BTreeSet::new();
    let raw = prepare(raw, limits, &mut defects);
    let root = scan(raw, limits, &mut defects)?;
    if root.fields.is_empty() {
        defects.insert(Defect::Malformed);
        let body = root.raw_body();
        let odd = body
            .iter()
            .filter(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t'))
            .count();
        if body.trim_ascii().is_empty() || odd.saturating_mul(20) > body.len() {
            return Err(ParseError::NotAMail);
        }
    }
    let mut message = Message {
        defects,
        ..Message::default()
    };
    read_headers(&root, &mut message);
    let thread = subject::thread(&message);
    let mut walk = Walk {
        limits,
        thread,
        body: Vec::new(),
        forwarded: Vec::new(),
        attachment_texts: Vec::new(),
        files: Vec::new(),
        names: Vec::new(),
        own_report: false,
        defects: std::mem::take(&mut message.defects),
    };
    let structure = marks::Structure::of(&root);
    message.marks = marks::find(&root, &message.from, &structure);
    walk.own_report = structure.has("message/delivery-status")
        || root.media_type == "multipart/report"
        || message.marks.contains(&Mark::MailerDaemon);
    walk.entity(&root, Place::Body);
    let Walk {
        body,
        forwarded,
        attachment_texts,
        files,
        names,
        defects,
        ..
    } = walk;
    message.defects = defects;
    let text: String = body
        .iter()
        .map(|(_, text)| text.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    message.bounce = bounce::find(&root, &message.marks, &message.subject, &text);
    if message.bounce.is_some() {
        message.marks.insert(Mark::Bounce);
    }
    message.authentication = root
        .text("Authentication-Results")
        .as_deref()
        .and_then(authentication::parse);
    message.forwarded = forwarded;
    message.attachments = files
        .iter()
        .map(|file| Attachment {
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            size: file.bytes.len(),
            sha256: content::sha256_hex(&file.bytes),
        })
        .collect();
    let mut zones = Zones {
        texts: Vec::new(),
        left: std::collections::BTreeMap::new(),
        max: limits.max_text_bytes,
        cut: false,
    };
    zones.push(Zone::Subject, "", &subject::bare(&message.subject));
    for (zone, text) in &body {
        zones.push(*zone, "", text);
    }
    for name in files.iter().map(|file| &file.name).chain(&names) {
        zones.push(Zone::AttachmentName, name, name);
    }
    for (name, text) in &attachment_texts {
        zones.push(Zone::Attachment, name, text);
    }
    let sources = body
        .iter()
        .filter(|(zone, _)| matches!(zone, Zone::New | Zone::Forwarded))
        .map(|(_, text)| text);
    for (name, value) in fields::find(sources.chain(attachment_texts.iter().map(|(_, text)| text)))
    {
        zones.push(Zone::Field, &name, &value);
    }
    for one in &message.from {
        zones.push(Zone::Sender, "", &shown(one));
    }
    for one in message.to.iter().chain(&message.cc) {
        zones.push(Zone::Recipient, "", &shown(one));
    }
    for (name, value) in message
        .headers
        .iter()
        .filter(|(name, _)| is_telling(name))
        .take(HEADER_ZONE_MAX)
    {
        let mut value = value.clone();
        text::truncate(&mut value, HEADER_ZONE_BYTES_MAX);
        zones.push(Zone::Header, name, &value);
    }
    if zones.cut {
        message.defects.insert(Defect::TextTruncated);
    }
    message.texts = zones.texts;
    Ok((message, files))
}

/// Line ends, byte order mark, mbox line, and the limit on size.
fn prepare(raw: &[u8], limits: &Limits, defects: &mut BTreeSet<Defect>) -> Vec<u8> {
    let mut rest = raw;
    if raw.len() > limits.max_bytes {
        defects.insert(Defect::Truncated);
        rest = raw
            .get(..LEADING_BYTES.min(limits.max_bytes))
            .unwrap_or(raw);
    }
    rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    loop {
        let before = rest.len();
        rest = rest.trim_ascii_start_lines();
        if rest.starts_with(b"From ") || rest.starts_with(b">From ") {
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b'\n' | b'\r'))
                .unwrap_or(rest.len());
            rest = rest.get(end..).unwrap_or_default();
        }
        if rest.len() == before {
            break;
        }
    }
    if !rest.contains(&b'\n') && rest.contains(&b'\r') {
        return rest
            .iter()
            .map(|&byte| if byte == b'\r' { b'\n' } else { byte })
            .collect();
    }
    rest.to_vec()
}

trait TrimLines {
    fn trim_ascii_start_lines(&self) -> &Self;
}

impl TrimLines for [u8] {
    /// Without the empty lines in front.
    fn trim_ascii_start_lines(&self) -> &Self {
        let skipped = self
            .iter()
            .take_while(|byte| matches!(byte, b'\n' | b'\r'))
            .count();
        self.get(skipped..).unwrap_or_default()
    }
}

/// Headers that may stand once (RFC 5322 section 3.6).
const SINGLE: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Content-Type",
];

fn read_headers(root: &Entity, message: &mut Message) {
    let mut defect = |condition: bool, defect: Defect| {
        if condition {
            message.defects.insert(defect);
        }
    };
    for name in SINGLE {
        defect(root.all(name).count() > 1, Defect::DuplicateHeader);
    }
    let mut list = |name: &str| {
        let mut all: Vec<Address> = Vec::new();
        for value in root.all(name) {
            let found = addresses::addresses(value);
            defect(found.bad, Defect::BadAddress);
            defect(found.repaired, Defect::Charset);
            all.extend(found.list);
        }
        all
    };
    message.from = list("From");
    message.reply_to = list("Reply-To");
    message.to = list("To");
    message.cc = list("Cc");
    if let Some(value) = root.first("Subject") {
        let (value, repaired) = words::decode_header(value);
        message.subject = text::one_line(&value);
        defect(repaired, Defect::Charset);
    }
    message.date_ms = root.text("Date").and_then(|value| parser::date_ms(&value));
    defect(message.date_ms.is_none(), Defect::NoDate);
    message.received_ms = root
        .text("Received")
        .and_then(|value| parser::received_ms(&value));
    message.message_id = root.first("Message-ID").and_then(addresses::message_id);
    defect(message.message_id.is_none(), Defect::NoMessageId);
    message.in_reply_to = root
        .all("In-Reply-To")
        .flat_map(addresses::message_ids)
        .collect();
    message.references = root
        .all("References")
        .flat_map(addresses::message_ids)
        .collect();
    message.headers = root
        .fields
        .iter()
        .take(HEADERS_MAX)
        .map(|field| {
            let mut value = text::one_line(&words::decode_header(&field.value).0);
            text::truncate(&mut value, HEADER_BYTES_MAX);
            (field.name.clone(), value)
        })
        .collect();
    defect(root.fields.len() > HEADERS_MAX, Defect::Malformed);
}

/// `Name <address>`. A name that is itself an address is left out: it is there to deceive.
fn shown(one: &Address) -> String {
    match (
        one.name.contains('@') && !one.address.is_empty(),
        one.name.is_empty(),
        one.address.is_empty(),
    ) {
        (true, ..) | (_, true, _) => one.address.clone(),
        (_, _, true) => one.name.clone(),
        _ => format!("{} <{}>", one.name, one.address),
    }
}

/// Headers in which a rule may look: the sender's own and those of his system, not the trace.
fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    const NOISE: [&str; 8] = [
        "x-ms-exchange-",
        "x-microsoft-",
        "x-forefront-",
        "x-google-",
        "x-gm-",
        "x-received",
        "x-spam-",
        "x-originatororg",
    ];
    matches!(
        name.as_str(),
        "sender"
            | "reply-to"
            | "organization"
            | "organisation"
            | "keywords"
            | "comments"
            | "thread-topic"
            | "importance"
            | "return-path"
    ) || (name.starts_with("x-") && !NOISE.iter().any(|noise| name.starts_with(noise)))
}

/// Collects texts within the limit of each zone.
struct Zones {
    texts: Vec<ZoneText>,
    left: std::collections::BTreeMap<Zone, usize>,
    max: usize,
    cut: bool,
}

impl Zones {
    fn push(&mut self, zone: Zone, label: &str, content: &str) {
        let left = self.left.entry(zone).or_insert(self.max);
        let mut content = content.trim_matches('\n').to_owned();
        if content.trim().is_empty() {
            return;
        }
        self.cut |= text::truncate(&mut content, *left);
        *left = left.saturating_sub(content.len());
        if !content.is_empty() {
            self.texts.push(ZoneText {
                zone,
                label: label.to_owned(),
                text: content,
            });
        }
    }
}

/// Where in the message a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the message itself.
    Body,
    /// In a mail that is attached.
    Inner,
}

struct Walk<'a> {
    limits: &'a Limits,
    thread: Thread,
    /// Texts in reading order.
    body: Vec<(Zone, String)>,
    forwarded: Vec<Forwarded>,
    attachment_texts: Vec<(String, String)>,
    files: Vec<File>,
    /// Names of files inside attached mails.
    names: Vec<String>,
    /// A report about our own mail: what it returns is quoted, not handed on.
    own_report: bool,
    defects: BTreeSet<Defect>,
}

impl Walk<'_> {
    fn entity(&mut self, entity: &Entity, place: Place) {
        match &entity.content {
            Content::Multipart(children) => self.multipart(entity, children, place),
            Content::Message(inner) => self.message(entity, inner, place),
            Content::Leaf => self.leaf(entity, place),
        }
    }

    fn multipart(&mut self, entity: &Entity, children: &[Entity], place: Place) {
        match entity.media_type.as_str() {
            "multipart/alternative" => self.alternative(children, place),
            "multipart/signed" => children
                .iter()
                .filter(|child| !is_signature(child))
                .for_each(|child| self.entity(child, place)),
            "multipart/encrypted" => {
                self.defects.insert(Defect::UnreadablePart);
                children.iter().for_each(|child| self.entity(child, place));
            }
            _ => children.iter().for_each(|child| self.entity(child, place)),
        }
    }

    /// Plain text unless it is empty or only says that one needs HTML.
    fn alternative(&mut self, children: &[Entity], place: Place) {
        let is_text = |child: &Entity, media_type: &str| {
            child.media_type == media_type
                && matches!(child.content, Content::Leaf)
                && !child.is_attachment()
        };
        let plain: String = children
            .iter()
            .filter(|child| is_text(child, "text/plain"))
            .map(|child| self.plain_text(child))
            .collect::<Vec<_>>()
            .join("\n");
        let rich = children
            .iter()
            .any(|child| is_text(child, "text/html") || child.media_type.starts_with("multipart/"));
        let use_plain = if plain.trim().is_empty() {
            false
        } else if rich && plain.trim().chars().count() < 200 {
            let others: usize = children
                .iter()
                .filter(|child| is_text(child, "text/html"))
                .map(|child| self.html_text(child).trim().chars().count())
                .sum();
            others <= plain.trim().chars().count().saturating_mul(10)
        } else {
            true
        };
        let mut taken = false;
        for child in children {
            if is_text(child, "text/plain") {
                if use_plain && !taken {
                    taken = true;
                    self.body_text(&plain, place);
                }
            } else if is_text(child, "text/html") {
                if !use_plain {
                    let text = self.html_text(child);
                    self.body_text(&text, place);
                }
            } else if child.media_type.starts_with("multipart/") {
                self.branch(child, place, use_plain);
            } else {
                self.entity(child, place);
            }
        }
    }

    /// A multipart inside an alternative: its files always, its text only when no plain text was taken.
    fn branch(&mut self, entity: &Entity, place: Place, text_taken: bool) {
        if !text_taken {
            return self.entity(entity, place);
        }
        for child in entity.children() {
            match &child.content {
                Content::Multipart(_) => self.branch(child, place, true),
                Content::Leaf
                    if matches!(child.media_type.as_str(), "text/plain" | "text/html")
                        && child.file_name().is_none() => {}
                _ => self.entity(child, place),
            }
        }
    }

    fn message(&mut self, entity: &Entity, inner: &Entity, place: Place) {
        if self.own_report {
            self.quoted_message(inner);
            return;
        }
        let subject = inner
            .text("Subject")
            .map(|value| text::one_line(&value))
            .unwrap_or_default();
        if place == Place::Body {
            let bytes = match entity.encoding {
                TransferEncoding::Identity => entity.raw_body().to_vec(),
                _ => entity.bytes().0,
            };
            let given = entity
                .file_name()
                .map(str::to_owned)
                .unwrap_or_else(|| subject.clone());
            let name = if given.to_lowercase().ends_with(".eml") || given.trim().is_empty() {
                given
            } else {
                format!("{given}.eml")
            };
            self.file(&name, "eml", "message/rfc822", bytes, entity.is_whole);
        }
        let from = inner
            .first("From")
            .map(addresses::addresses)
            .unwrap_or_default()
            .list;
        self.forwarded.push(Forwarded {
            from: from.into_iter().next().unwrap_or_default(),
            subject: subject.clone(),
        });
        self.body.push((Zone::Forwarded, subject::bare(&subject)));
        self.entity(inner, Place::Inner);
    }

    /// What a bounce returns: our own words.
    fn quoted_message(&mut self, inner: &Entity) {
        if let Some(subject) = inner.text("Subject") {
            self.body.push((Zone::Quoted, text::one_line(&subject)));
        }
        if let Some(text) = self.first_text(inner) {
            self.body.push((Zone::Quoted, text));
        }
    }

    fn first_text(&mut self, entity: &Entity) -> Option<String> {
        match (&entity.content, entity.media_type.as_str()) {
            (Content::Leaf, "text/plain") => Some(self.plain_text(entity)),
            (Content::Leaf, "text/html") => Some(self.html_text(entity)),
            (Content::Multipart(children), _) => {
                children.iter().find_map(|child| self.first_text(child))
            }
            _ => None,
        }
    }

    fn leaf(&mut self, entity: &Entity, place: Place) {
        let media_type = entity.media_type.as_str();
        match media_type {
            "message/delivery-status"
            | "message/disposition-notification"
            | "message/feedback-report"
            | "message/global-delivery-status" => return,
            "text/rfc822-headers" | "message/global-headers" => {
                let text = self.plain_text(entity);
                self.body.push((Zone::Quoted, text));
                return;
            }
            _ if is_unreadable(entity) => {
                self.defects.insert(Defect::UnreadablePart);
            }
            _ => {}
        }
        let is_text = media_type.starts_with("text/")
            && media_type != "text/calendar"
            && entity.encoding != TransferEncoding::Unknown;
        let is_body =
            matches!(media_type, "text/plain" | "text/html") && !entity.is_attachment() && is_text;
        let is_root_body = place == Place::Body && self.body.is_empty() && self.files.is_empty();
        if is_body
            && (entity.file_name().is_none()
                || is_root_body
                    && !entity.disposition.value.starts_with("attach")
                    && entity.disposition.get("filename").is_none())
        {
            let text = if media_type == "text/html" {
                self.html_text(entity)
            } else {
                self.plain_text(entity)
            };
            if has_uuencode(&text) {
                self.defects.insert(Defect::UnreadablePart);
            }
            return self.body_text(&text, place);
        }
        let (bytes, broken) = entity.bytes();
        if broken {
            self.defects.insert(Defect::Malformed);
        }
        let readable = is_text
            && matches!(
                media_type,
                "text/plain" | "text/html" | "text/csv" | "text/markdown"
            );
        let text = readable.then(|| {
            if media_type == "text/html" {
                self.html_text(entity)
            } else {
                self.plain_text(entity)
            }
        });
        let given = entity.file_name().unwrap_or_default().to_owned();
        let name = match place {
            Place::Body => self.file(
                &given,
                extension(media_type),
                media_type,
                bytes,
                entity.is_whole,
            ),
            Place::Inner => {
                let name = names::sanitise(&given);
                if !name.is_empty() && self.names.len() < ATTACHMENTS_MAX {
                    self.names.push(name.clone());
                }
                Some(name)
            }
        };
        let Some(text) = text else { return };
        if self.own_report {
            self.body.push((Zone::Quoted, text));
        } else if place == Place::Inner {
            self.body.push((Zone::Forwarded, text));
        } else if let Some(name) = name {
            self.attachment_texts.push((name, text));
        }
    }

    /// Adds a file; a part that the limit on size has cut is left out.
    fn file(
        &mut self,
        given: &str,
        extension: &str,
        media_type: &str,
        bytes: Vec<u8>,
        is_whole: bool,
    ) -> Option<String> {
        if (!is_whole && self.defects.contains(&Defect::Truncated))
            || self.files.len() >= ATTACHMENTS_MAX
        {
            return None;
        }
        if !is_whole {
            self.defects.insert(Defect::Malformed);
        }
        let mut name = names::sanitise(given);
        if name.is_empty() || name == ".eml" || name == "eml" {
            name = format!("vedlegg-{}", self.files.len().saturating_add(1));
            if !extension.is_empty() {
                name = format!("{name}.{extension}");
            }
        }
        self.files.push(File {
            name: name.clone(),
            media_type: media_type.to_owned(),
            bytes,
        });
        Some(name)
    }

    fn body_text(&mut self, text: &str, place: Place) {
        match place {
            Place::Body => {
                let split = zones::split(text, self.thread);
                self.forwarded.extend(split.forwarded);
                self.body.extend(split.texts);
            }
            Place::Inner => {
                let split = zones::split(text, Thread::Forward);
                self.forwarded.extend(split.forwarded);
                self.body.extend(
                    split
                        .texts
                        .into_iter()
                        .map(|(_, text)| (Zone::Forwarded, text)),
                );
            }
        }
    }

    /// The text of a text/plain part (or any text taken as such).
    fn plain_text(&mut self, entity: &Entity) -> String {
        let mut decoded = self.decoded(entity);
        if entity
            .content_type
            .get("format")
            .is_some_and(|format| format.eq_ignore_ascii_case("flowed"))
        {
            let delete_space = entity
                .content_type
                .get("delsp")
                .is_some_and(|value| value.eq_ignore_ascii_case("yes"));
            decoded = text::unflow(&decoded, delete_space);
        }
        text::clean(&decoded)
    }

    fn html_text(&mut self, entity: &Entity) -> String {
        let decoded = self.decoded(entity);
        let (converted, cut) = html::to_text(&decoded, self.limits.max_html);
        if cut {
            self.defects.insert(Defect::TextTruncated);
        }
        text::clean(&converted)
    }

    fn decoded(&mut self, entity: &Entity) -> String {
        let (mut bytes, broken) = entity.bytes();
        if broken {
            self.defects.insert(Defect::Malformed);
        }
        // Four times the limit: quotes, signatures and markup are cut away later.
        let limit = self
            .limits
            .max_text_bytes
            .max(self.limits.max_html)
            .saturating_mul(4);
        if bytes.len() > limit {
            bytes.truncate(limit);
            self.defects.insert(Defect::TextTruncated);
        }
        let decoded = charset::decode(&bytes, entity.content_type.get("charset"));
        if decoded.repaired {
            self.defects.insert(Defect::Charset);
        }
        decoded.text
    }
}

fn is_signature(entity: &Entity) -> bool {
    matches!(
        entity.media_type.as_str(),
        "application/pkcs7-signature"
            | "application/x-pkcs7-signature"
            | "application/pgp-signature"
    )
}

/// Encrypted, split over several mails, TNEF, elsewhere, or in an encoding we do not know.
fn is_unreadable(entity: &Entity) -> bool {
    entity.encoding == TransferEncoding::Unknown
        || matches!(
            entity.media_type.as_str(),
            "application/ms-tnef"
                | "application/vnd.ms-tnef"
                | "message/partial"
                | "message/external-body"
                | "application/pgp-encrypted"
        )
        || (matches!(
            entity.media_type.as_str(),
            "application/pkcs7-mime" | "application/x-pkcs7-mime"
        ))
        || entity
            .file_name()
            .is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat"))
}

/// An inline `begin 644 name` block, or yEnc.
fn has_uuencode(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| {
        line.starts_with("=ybegin ")
            || line.strip_prefix("begin ").is_some_and(|rest| {
                let mut words = rest.split(' ');
                words.next().is_some_and(|mode| {
                    matches!(mode.len(), 3 | 4) && mode.bytes().all(|b| b.is_ascii_digit())
                }) && words.next().is_some_and(|n| !n.is_empty())
            })
    })
}

fn extension(media_type: &str) -> &'static str {
    match media_type {
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        "text/html" => "html",
        "text/calendar" => "ics",
        "text/csv" => "csv",
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/tiff" => "tif",
        "message/rfc822" => "eml",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/rtf" | "text/rtf" => "rtf",
        "application/xml" | "text/xml" => "xml",
        _ => "",
    }
}
