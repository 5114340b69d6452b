//! The tree of parts → [`Message`] and its files.

use super::parts::{Content, Entity, scan};
use super::walk::{self, Walked};
use super::{
    Address, Attachment, Defect, File, Limits, Mark, Message, ParseError, Reading, Zone, ZoneText,
    addresses, authentication, bounce, content, fields, marks, parser, subject, text, words,
};
use std::collections::{BTreeMap, BTreeSet};

/// At most this many headers are kept, and this many bytes of each.
const HEADERS_MAX: usize = 500;
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// How much of a message beyond [`Limits::max_bytes`] is read.
const LEADING_BYTES: usize = 1024 * 1024;
/// At most this many headers stand in the header zone, and this many bytes of each.
const HEADER_ZONE_MAX: usize = 60;
const HEADER_ZONE_BYTES_MAX: usize = 1_000;

/// A message and the bytes of its attachments.
pub(super) fn build(raw: &[u8], limits: &Limits) -> Result<(Message, Vec<File>), ParseError> {
    let mut defects = BTreeSet::new();
    let raw = prepare(raw, limits, &mut defects);
    let mut root = scan(raw, limits, &mut defects)?;
    if root.fields.is_empty() {
        defects.insert(Defect::Malformed);
        if is_no_text(root.raw_body()) {
            return Err(ParseError::NotAMail);
        }
    }
    if defects.contains(&Defect::Truncated) && !matches!(root.content, Content::Multipart(_)) {
        root.is_whole = false;
    }
    let mut message = Message {
        defects,
        ..Message::default()
    };
    read_headers(&root, &mut message);
    let structure = marks::Structure::of(&root);
    message.marks = marks::find(&root, &message.from, &structure);
    let is_report = structure.has("message/delivery-status")
        || root.media_type == "multipart/report"
        || message.marks.contains(&Mark::MailerDaemon);
    let parts = walk::walk(
        &root,
        limits,
        subject::thread(&message),
        is_report,
        &mut message.defects,
    );
    message.bounce = bounce::find(&root, &message.marks, &message.subject, &parts.body);
    if message.bounce.is_some() {
        message.marks.insert(Mark::Bounce);
    }
    // A read receipt belongs to the mail it names, whether or not it also cites it.
    if let Some(id) = bounce::receipt_of(&root)
        && !message.in_reply_to.contains(&id)
    {
        message.in_reply_to.push(id);
    }
    message.authentication = root
        .text("Authentication-Results")
        .as_deref()
        .and_then(authentication::parse);
    let (texts, cut) = texts(&message, &parts, limits);
    message.texts = texts;
    if cut {
        message.defects.insert(Defect::TextTruncated);
    }
    message.attachments = parts
        .files
        .iter()
        .zip(&parts.readings)
        .map(|(file, (reading, body_is_read))| Attachment {
            reading: if is_report { Reading::Taken } else { *reading },
            body_is_read: *body_is_read,
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            size: file.bytes.len(),
            sha256: content::sha256_hex(&file.bytes),
        })
        .collect();
    message.forwarded = parts.forwarded;
    Ok((message, parts.files))
}

/// Blank, or full of control bytes: not the text of a mail that lost its header.
fn is_no_text(body: &[u8]) -> bool {
    let is_odd = |byte: &&u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t');
    let odd = body.iter().filter(is_odd).count();
    body.trim_ascii().is_empty() || odd.saturating_mul(20) > body.len()
}

/// All text by zone; the flag tells that something was left out.
fn texts(message: &Message, parts: &Walked, limits: &Limits) -> (Vec<ZoneText>, bool) {
    let mut zones = Zones {
        texts: Vec::new(),
        left: BTreeMap::new(),
        max: limits.max_text_bytes,
        cut: false,
    };
    zones.push(Zone::Subject, "", &subject::bare(&message.subject));
    for (zone, text) in &parts.body {
        zones.push(*zone, "", text);
    }
    for name in parts
        .files
        .iter()
        .map(|file| &file.name)
        .chain(&parts.names)
    {
        zones.push(Zone::AttachmentName, name, name);
    }
    for (name, text) in &parts.attachment_texts {
        zones.push(Zone::Attachment, name, text);
    }
    let written = parts
        .body
        .iter()
        .filter(|(zone, _)| matches!(zone, Zone::New | Zone::Forwarded))
        .map(|(_, text)| text);
    let attached = parts.attachment_texts.iter().map(|(_, text)| text);
    for (name, value) in fields::find(written.chain(attached)) {
        zones.push(Zone::Field, &name, &value);
    }
    for one in &message.from {
        zones.push(Zone::Sender, "", &shown(one));
    }
    for one in message.to.iter().chain(&message.cc) {
        zones.push(Zone::Recipient, "", &shown(one));
    }
    let telling = message.headers.iter().filter(|(name, _)| is_telling(name));
    for (name, value) in telling.take(HEADER_ZONE_MAX) {
        let mut value = value.clone();
        text::truncate(&mut value, HEADER_ZONE_BYTES_MAX);
        zones.push(Zone::Header, name, &value);
    }
    (zones.texts, zones.cut)
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
    let name = name.to_ascii_lowercase();
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
    left: BTreeMap<Zone, usize>,
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
