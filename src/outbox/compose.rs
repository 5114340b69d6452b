//! A draft → the mail to its last byte, its envelope and its Message-ID. Pure: the same draft gives the same bytes.
//!
//! The mail is 7-bit safe and has CRLF line ends throughout. Nothing in a draft can add a header: addresses are checked,
//! ids that are no ids are left out, names of files and our own name are encoded.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lettre::Address;
use lettre::message::header::{
    self, ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue,
};
use lettre::message::{Body, Mailbox, Mailboxes, MultiPart, SinglePart};
use sha2::{Digest, Sha256};

use crate::case::{CaseNumber, MailKind};
use crate::config::Identity;
use crate::message::File;
use crate::outbox::Envelope;
use crate::outbox::message_id::{self, SigningKey};
use crate::template::Rendered;

/// Recipients that one mail may have.
pub const RECIPIENTS_MAX: usize = 50;

/// Message-IDs in References; of longer lists the first and the newest stay (RFC 5322 section 3.6.4 sets no bound).
const REFERENCES_MAX: usize = 30;

/// Longest Message-ID that is cited.
const ID_MAX_BYTES: usize = 250;

/// Longest local part of an address (RFC 5321 section 4.5.3.1.1).
const LOCAL_MAX_BYTES: usize = 64;

/// Characters of a file name that are kept.
const FILE_NAME_MAX_CHARS: usize = 120;

/// The zone of the Date header.
const ZONE: &str = "Europe/Oslo";

/// `Auto-Submitted` (RFC 3834 section 5) of a mail of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoSubmitted {
    /// An automatic answer to a message.
    Replied,
    /// Written by us on our own account.
    Generated,
}

/// Everything that makes a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The case.
    pub number: CaseNumber,
    /// The kind of mail.
    pub kind: MailKind,
    /// Counts mails of this kind to this party in this case, from 1.
    pub seq: u32,
    /// Id of the party, or any other stable word for the recipient; goes into the Message-ID as a keyed tag.
    pub party: String,
    /// Addresses, at least one.
    pub to: Vec<String>,
    /// An acknowledgement: null return path (RFC 3834 section 3.3) and a plea for no out-of-office answer.
    pub null_return_path: bool,
    /// Subject, text and HTML.
    pub rendered: Rendered,
    /// Files to attach.
    pub files: Vec<File>,
    /// The Message-ID that this mail answers, without angle brackets.
    pub in_reply_to: Option<String>,
    /// Message-IDs of the thread, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// The Date, in Unix milliseconds.
    pub date_ms: i64,
    /// What kind of automatic mail it is.
    pub auto_submitted: AutoSubmitted,
}

/// A mail that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Message-ID without angle brackets.
    pub message_id: String,
    /// Envelope.
    pub envelope: Envelope,
    /// The mail, ASCII with CRLF line ends.
    pub bytes: Vec<u8>,
}

/// A draft that cannot become a mail. Says which recipient by its place, never its address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// No recipient at all.
    #[error("the mail has no recipient")]
    NoRecipient,
    /// More than [`RECIPIENTS_MAX`].
    #[error("the mail has more than {RECIPIENTS_MAX} recipients")]
    TooManyRecipients,
    /// Not a mail address that can be used in SMTP without extensions.
    #[error(
        "recipient number {0} is not a valid mail address; write an international domain in its xn-- form"
    )]
    BadRecipient(usize),
    /// An address of our own in the settings is none.
    #[error("the setting identity.{0} cannot be used in mail")]
    BadIdentity(&'static str),
    /// The date is outside the calendar.
    #[error("the date of the mail is impossible")]
    BadDate,
    /// The mail could not be put together.
    #[error("the mail cannot be put together: {0}")]
    Build(String),
}

/// Composes the mail.
///
/// # Errors
/// See [`ComposeError`]. Nothing but recipients, our own settings and the date can be wrong; what comes from a report
/// (file names, media types, Message-IDs) is repaired or left out.
pub fn compose(
    identity: &Identity,
    key: &SigningKey,
    draft: &Draft,
) -> Result<Composed, ComposeError> {
    if !is_domain(&identity.message_id_domain) {
        return Err(ComposeError::BadIdentity("message_id_domain"));
    }
    let message_id = message_id::make(
        key,
        draft.number,
        draft.kind,
        draft.seq,
        &draft.party,
        &identity.message_id_domain,
    );
    let envelope_from = if draft.null_return_path {
        None
    } else {
        let number = draft.number.to_string().to_ascii_lowercase();
        Some(return_path(
            identity,
            &number,
            draft.kind,
            i64::from(draft.seq),
            &message_id,
        )?)
    };
    let subject = format!("[{}] {}", draft.number, one_line(&draft.rendered.subject));
    write(
        identity,
        Letter {
            message_id,
            envelope_from,
            subject,
            draft,
        },
    )
}

/// A mail about many cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportDraft {
    /// The kind of mail.
    pub kind: MailKind,
    /// Id of the party that it is for.
    pub party: String,
    /// The day it is for, as yyyymmdd.
    pub day: i64,
    /// Addresses, at least one.
    pub to: Vec<String>,
    /// Subject, text and HTML.
    pub rendered: Rendered,
    /// The Date, in Unix milliseconds.
    pub date_ms: i64,
}

/// Composes a mail about many cases. Its subject has no case number, its Message-ID names no case.
///
/// # Errors
/// See [`ComposeError`].
pub fn compose_report(
    identity: &Identity,
    key: &SigningKey,
    report: &ReportDraft,
) -> Result<Composed, ComposeError> {
    if !is_domain(&identity.message_id_domain) {
        return Err(ComposeError::BadIdentity("message_id_domain"));
    }
    let message_id = message_id::make_report(
        key,
        report.kind,
        report.day,
        &report.party,
        &identity.message_id_domain,
    );
    let draft = Draft {
        number: CaseNumber { year: 0, count: 0 },
        kind: report.kind,
        seq: 1,
        party: report.party.clone(),
        to: report.to.clone(),
        null_return_path: false,
        rendered: report.rendered.clone(),
        files: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        date_ms: report.date_ms,
        auto_submitted: AutoSubmitted::Generated,
    };
    let letter = Letter {
        envelope_from: Some(return_path(
            identity,
            "alle",
            report.kind,
            report.day,
            &message_id,
        )?),
        subject: one_line(&report.rendered.subject),
        message_id,
        draft: &draft,
    };
    write(identity, letter)
}

/// A mail with what identifies it.
struct Letter<'a> {
    message_id: String,
    envelope_from: Option<String>,
    subject: String,
    draft: &'a Draft,
}

fn write(identity: &Identity, letter: Letter<'_>) -> Result<Composed, ComposeError> {
    let Letter {
        message_id,
        envelope_from,
        subject,
        draft,
    } = letter;
    let from = address(&identity.address).ok_or(ComposeError::BadIdentity("address"))?;
    let to = recipients(&draft.to)?;
    let name = one_line(&identity.name);
    let sender = Mailbox::new((!name.is_empty()).then_some(name), from.clone());
    let recipients = to.iter().map(|address| Mailbox::new(None, address.clone()));
    let envelope = lettre::address::Envelope::new(Some(from.clone()), to.clone())
        .map_err(|error| ComposeError::Build(error.to_string()))?;
    // Given whole: the builder would read back what it has written to add to it, and to find the envelope.
    let mut builder = lettre::Message::builder()
        .header(header::From::from(Mailboxes::from(sender)))
        .header(header::To::from(recipients.collect::<Mailboxes>()))
        .envelope(envelope)
        .subject(subject)
        .message_id(Some(format!("<{message_id}>")));
    if let Some(id) = draft.in_reply_to.as_deref().and_then(citable) {
        builder = builder.in_reply_to(id);
    }
    let references = references(&draft.references, draft.in_reply_to.as_deref());
    if !references.is_empty() {
        builder = builder.references(references);
    }
    let auto_submitted = match draft.auto_submitted {
        AutoSubmitted::Replied => "auto-replied",
        AutoSubmitted::Generated => "auto-generated",
    };
    builder = builder
        .raw_header(plain("Auto-Submitted", auto_submitted.to_owned()))
        .raw_header(plain(
            "X-Linjevei-Id",
            message_id::local_part(&message_id).to_owned(),
        ))
        .raw_header(plain("X-Loop", from.to_string()));
    if draft.null_return_path {
        builder = builder.raw_header(plain(
            "X-Auto-Response-Suppress",
            "OOF, AutoReply".to_owned(),
        ));
    }
    let mut message = builder
        .multipart(body(&message_id, draft))
        .map_err(|error| ComposeError::Build(error.to_string()))?;
    // The builder knows dates in UTC only, and would replace one that it cannot read.
    message
        .headers_mut()
        .insert_raw(plain("Date", date(draft.date_ms)?));
    let envelope = Envelope {
        from: envelope_from,
        to: to.iter().map(ToString::to_string).collect(),
    };
    let bytes = message.formatted();
    debug_assert!(bytes.is_ascii(), "a mail of ours is 7-bit safe");
    Ok(Composed {
        message_id,
        envelope,
        bytes,
    })
}

/// text and HTML as alternatives, and around them the files when there are some.
fn body(message_id: &str, draft: &Draft) -> MultiPart {
    let alternative = MultiPart::alternative()
        .boundary(boundary(message_id, "alternative"))
        .singlepart(text_part(ContentType::TEXT_PLAIN, &draft.rendered.text))
        .singlepart(text_part(ContentType::TEXT_HTML, &draft.rendered.html));
    if draft.files.is_empty() {
        return alternative;
    }
    let mixed = MultiPart::mixed()
        .boundary(boundary(message_id, "mixed"))
        .multipart(alternative);
    draft
        .files
        .iter()
        .enumerate()
        .fold(mixed, |mixed, (at, file)| {
            mixed.singlepart(file_part(at, file))
        })
}

fn text_part(content_type: ContentType, text: &str) -> SinglePart {
    let text = text
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\n', "\r\n");
    SinglePart::builder().header(content_type).body(encoded(
        text.into_bytes(),
        ContentTransferEncoding::QuotedPrintable,
    ))
}

fn file_part(at: usize, file: &File) -> SinglePart {
    let content_type = media_type(file);
    SinglePart::builder()
        .header(content_type)
        .header(ContentDisposition::attachment(&file_name(at, &file.name)))
        .body(encoded(file.bytes.clone(), ContentTransferEncoding::Base64))
}

fn encoded(bytes: Vec<u8>, encoding: ContentTransferEncoding) -> Body {
    // Quoted-printable and base64 can hold any bytes, so the other branch is never taken; it would still be a sound mail.
    Body::new_with_encoding(bytes, encoding).unwrap_or_else(Body::new)
}

/// `=_` stands in no quoted-printable or base64 text, so no body can hold the boundary.
fn boundary(message_id: &str, level: &str) -> String {
    let digest = Sha256::digest(format!("{level}\0{message_id}").as_bytes());
    let tag = message_id::hex(digest.get(..12).unwrap_or_default());
    format!("=_linjevei_{tag}")
}

/// The file's own type when it is one that may be sent as base64; a mail as such is never sent (RFC 2046 section 5.2.1).
fn media_type(file: &File) -> ContentType {
    let octets =
        || ContentType::parse("application/octet-stream").unwrap_or(ContentType::TEXT_PLAIN);
    let wanted = file.media_type.trim().to_ascii_lowercase();
    let token = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_'))
    };
    let Some((kind, subtype)) = wanted
        .split_once('/')
        .filter(|(kind, subtype)| token(kind) && token(subtype))
    else {
        return octets();
    };
    match kind {
        "text" if std::str::from_utf8(&file.bytes).is_ok() => {
            ContentType::parse(&format!("text/{subtype}; charset=utf-8"))
                .unwrap_or_else(|_| octets())
        }
        "application" | "image" | "text" | "audio" | "video" => {
            ContentType::parse(&wanted).unwrap_or_else(|_| octets())
        }
        _ => octets(),
    }
}

/// A file name without path, control and direction characters, never empty.
fn file_name(at: usize, name: &str) -> String {
    let hidden = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let shown: String = name
        .chars()
        .filter(|c| !hidden(c))
        .map(|c| if "/\\:*?\"<>|".contains(c) { '_' } else { c })
        .collect();
    let shown = shown.trim().trim_start_matches('.').trim();
    let length = shown.chars().count();
    if length == 0 {
        return format!("vedlegg-{}", at.saturating_add(1));
    }
    if length <= FILE_NAME_MAX_CHARS {
        return shown.to_owned();
    }
    // The extension stays, so that the file still opens.
    let extension = shown
        .rsplit_once('.')
        .map(|(_, extension)| extension)
        .filter(|extension| extension.chars().count() <= 10);
    let keep = FILE_NAME_MAX_CHARS.saturating_sub(
        extension.map_or(0, |extension| extension.chars().count().saturating_add(1)),
    );
    let stem: String = shown.chars().take(keep).collect();
    extension.map_or_else(|| stem.clone(), |extension| format!("{stem}.{extension}"))
}

fn recipients(to: &[String]) -> Result<Vec<Address>, ComposeError> {
    if to.is_empty() {
        return Err(ComposeError::NoRecipient);
    }
    if to.len() > RECIPIENTS_MAX {
        return Err(ComposeError::TooManyRecipients);
    }
    let mut recipients: Vec<Address> = Vec::new();
    for (at, text) in to.iter().enumerate() {
        let address =
            address(text).ok_or_else(|| ComposeError::BadRecipient(at.saturating_add(1)))?;
        if !recipients
            .iter()
            .any(|known| AsRef::<str>::as_ref(known).eq_ignore_ascii_case(address.as_ref()))
        {
            recipients.push(address);
        }
    }
    Ok(recipients)
}

/// An address that every SMTP server can take: ASCII, within the limits of RFC 5321 section 4.5.3.1.
fn address(text: &str) -> Option<Address> {
    let text = text.trim();
    let printable = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"<>,;()[]\"\\".contains(&byte));
    if !printable || text.len() > 254 {
        return None;
    }
    let address: Address = text.parse().ok()?;
    (address.user().len() <= 64 && is_domain(address.domain())).then_some(address)
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    domain.len() <= 253 && domain.split('.').all(label)
}

/// `bounce+sak-2026-000123.purring.1.<beginning of the MAC>@…`: what comes back to it says which mail it was although it
/// brings no header home, and nobody can make one up ([`message_id::Verp`]). Where our address is so long that the MAC has no
/// room (RFC 5321 section 4.5.3.1.1), it is left out.
fn return_path(
    identity: &Identity,
    about: &str,
    kind: MailKind,
    seq: i64,
    message_id: &str,
) -> Result<String, ComposeError> {
    let bad = || ComposeError::BadIdentity("bounce_address");
    let (local, domain) = identity
        .bounce_address
        .trim()
        .rsplit_once('@')
        .ok_or_else(bad)?;
    let plain = format!("{local}+{about}.{}.{seq}", kind.id());
    let signed = format!("{plain}.{}", message_id::verp_tag(message_id));
    let local = if signed.len() <= LOCAL_MAX_BYTES {
        signed
    } else {
        plain
    };
    address(&format!("{local}@{domain}"))
        .map(|address| address.to_string())
        .ok_or_else(bad)
}

/// The id in angle brackets, when it is one that may stand in a header.
fn citable(id: &str) -> Option<String> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let sound = !id.is_empty()
        && id.len() <= ID_MAX_BYTES
        && id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>');
    sound.then(|| format!("<{id}>"))
}

/// References as RFC 5322 section 3.6.4 wants them: the thread, then the message that is answered, each once.
fn references(thread: &[String], in_reply_to: Option<&str>) -> String {
    let mut ids: Vec<String> = Vec::new();
    for id in thread
        .iter()
        .map(String::as_str)
        .chain(in_reply_to)
        .filter_map(citable)
    {
        ids.retain(|known| *known != id);
        ids.push(id);
    }
    let skip = ids.len().saturating_sub(REFERENCES_MAX);
    if skip > 0 {
        let newest = ids.split_off(skip.saturating_add(1));
        ids.truncate(1);
        ids.extend(newest);
    }
    ids.join(" ")
}

/// RFC 5322 section 3.3, with the offset of Norwegian time on that day.
fn date(date_ms: i64) -> Result<String, ComposeError> {
    let timestamp = Timestamp::from_millisecond(date_ms).map_err(|_| ComposeError::BadDate)?;
    let zone = TimeZone::get(ZONE).map_err(|_| ComposeError::BadDate)?;
    jiff::fmt::rfc2822::to_string(&timestamp.to_zoned(zone)).map_err(|_| ComposeError::BadDate)
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A header whose value is ASCII already.
fn plain(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}
