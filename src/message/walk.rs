//! The tree of parts → texts and files: every named or non-text part is a file, attached mail is handed on, the better
//! half of an alternative is read.

use super::parts::{Content, Entity};
use super::transfer::TransferEncoding;
use super::zones::{self, Thread};
use super::{
    Defect, File, Forwarded, Limits, Reading, Zone, addresses, charset, extract, html, names,
    subject, text,
};
use std::collections::BTreeSet;

/// At most this many attachments are listed.
const ATTACHMENTS_MAX: usize = 1_000;
/// Plain text shorter than this may only say that one needs HTML to read the mail.
const STAND_IN_LETTERS: usize = 200;

/// Where in the message a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the message itself.
    Body,
    /// In a mail that is attached.
    Inner,
}

/// What the parts of a message hold.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Texts in reading order.
    pub(crate) body: Vec<(Zone, String)>,
    /// The inner senders of forwarded mail.
    pub(crate) forwarded: Vec<Forwarded>,
    /// Names and texts of attachments that are text.
    pub(crate) attachment_texts: Vec<(String, String)>,
    /// The attachments.
    pub(crate) files: Vec<File>,
    /// Of each attachment, whether its text is known, and whether a mail's own text is.
    pub(crate) readings: Vec<(Reading, bool)>,
    /// Names of files inside attached mails.
    pub(crate) names: Vec<String>,
}

/// Walks the parts. With `is_report` the mail is a report about our own: what it returns is quoted, not handed on.
pub(crate) fn walk(
    root: &Entity,
    limits: &Limits,
    thread: Thread,
    is_report: bool,
    defects: &mut BTreeSet<Defect>,
) -> Walked {
    let mut walk = Walk {
        limits,
        thread,
        is_report,
        defects,
        found: Walked::default(),
        inner_files: 0,
    };
    walk.entity(root, Place::Body);
    walk.found
}

struct Walk<'a> {
    limits: &'a Limits,
    thread: Thread,
    is_report: bool,
    defects: &'a mut BTreeSet<Defect>,
    found: Walked,
    /// Files in attached mails whose text is not taken.
    inner_files: usize,
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
                for child in children {
                    self.entity(child, place);
                }
            }
            _ => {
                for child in children {
                    self.entity(child, place);
                }
            }
        }
    }

    /// Plain text unless it is empty or only says that one needs HTML.
    fn alternative(&mut self, children: &[Entity], place: Place) {
        let is_text = |child: &Entity, media_type: &str| {
            child.media_type == media_type
                && matches!(child.content, Content::Leaf)
                && !child.is_attachment()
        };
        let plain: Vec<String> = children
            .iter()
            .filter(|child| is_text(child, "text/plain"))
            .map(|child| self.plain_text(child))
            .collect();
        let plain = plain.join("\n");
        let letters = plain.trim().chars().count();
        // Converting HTML is dear: only where the plain text may be a stand-in.
        let rich = if letters < STAND_IN_LETTERS {
            children.iter().find_map(|child| self.find_html(child))
        } else {
            None
        };
        let rich_letters = rich.as_ref().map_or(0, |text| text.trim().chars().count());
        let use_plain = letters > 0 && rich_letters <= letters.saturating_mul(10);
        self.body_text(
            if use_plain {
                &plain
            } else {
                rich.as_deref().unwrap_or_default()
            },
            place,
        );
        for child in children
            .iter()
            .filter(|child| !is_text(child, "text/plain"))
        {
            self.branch(child, place);
        }
    }

    /// The first HTML body in the part.
    fn find_html(&mut self, entity: &Entity) -> Option<String> {
        match &entity.content {
            Content::Leaf if entity.media_type == "text/html" && !entity.is_attachment() => {
                Some(self.html_text(entity))
            }
            Content::Multipart(children) => children.iter().find_map(|child| self.find_html(child)),
            _ => None,
        }
    }

    /// The other branches of an alternative: their files, but not their text, which has been taken.
    fn branch(&mut self, entity: &Entity, place: Place) {
        match &entity.content {
            Content::Multipart(children) => {
                for child in children {
                    self.branch(child, place);
                }
            }
            Content::Leaf
                if entity.media_type.starts_with("text/")
                    && entity.media_type != "text/calendar"
                    && entity.file_name().is_none() => {}
            _ => self.entity(entity, place),
        }
    }

    fn message(&mut self, entity: &Entity, inner: &Entity, place: Place) {
        if self.is_report {
            self.quoted_message(inner);
            return;
        }
        let subject = inner
            .text("Subject")
            .map(|value| text::one_line(&value))
            .unwrap_or_default();
        let mut listed = false;
        if place == Place::Body {
            let bytes = match entity.encoding {
                TransferEncoding::Identity => entity.raw_body().to_vec(),
                _ => entity.bytes().0,
            };
            let given = entity
                .file_name()
                .map_or_else(|| subject.clone(), str::to_owned);
            let name = if given.to_lowercase().ends_with(".eml") || given.trim().is_empty() {
                given
            } else {
                format!("{given}.eml")
            };
            let name = self.file(&name, "eml", "message/rfc822", bytes, entity.is_whole);
            listed = name.is_some();
        }
        let from = inner
            .first("From")
            .map(addresses::addresses)
            .unwrap_or_default()
            .list;
        self.found.forwarded.push(Forwarded {
            from: from.into_iter().next().unwrap_or_default(),
            subject: subject.clone(),
        });
        self.found
            .body
            .push((Zone::Forwarded, subject::bare(&subject)));
        let (before, at) = (self.inner_files, self.found.readings.len());
        self.entity(inner, Place::Inner);
        let is_taken = self.inner_files == before;
        let at = at.saturating_sub(1);
        if listed && let Some(reading) = self.found.readings.get_mut(at) {
            let known = if is_taken {
                Reading::Taken
            } else {
                Reading::Pending
            };
            *reading = (known, true);
        }
    }

    /// What a bounce returns: our own words.
    fn quoted_message(&mut self, inner: &Entity) {
        if let Some(subject) = inner.text("Subject") {
            self.found
                .body
                .push((Zone::Quoted, text::one_line(&subject)));
        }
        if let Some(text) = self.first_text(inner) {
            self.found.body.push((Zone::Quoted, text));
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
                self.found.body.push((Zone::Quoted, text));
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
        let is_root_body =
            place == Place::Body && self.found.body.is_empty() && self.found.files.is_empty();
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
            && !extract::is_binary(&bytes)
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
        let is_wanted = text.is_none() && is_wanted(entity);
        let name = match place {
            Place::Body => self
                .file(
                    &given,
                    extension(media_type),
                    media_type,
                    bytes,
                    entity.is_whole,
                )
                .inspect(|_| {
                    if is_wanted && let Some(reading) = self.found.readings.last_mut() {
                        reading.0 = Reading::Pending;
                    }
                }),
            Place::Inner => {
                if is_wanted {
                    self.inner_files = self.inner_files.saturating_add(1);
                }
                let name = names::sanitise(&given);
                if !name.is_empty() && self.found.names.len() < ATTACHMENTS_MAX {
                    self.found.names.push(name.clone());
                }
                Some(name)
            }
        };
        let Some(text) = text else { return };
        if self.is_report {
            self.found.body.push((Zone::Quoted, text));
        } else if place == Place::Inner {
            self.found.body.push((Zone::Forwarded, text));
        } else if let Some(name) = name {
            self.found.attachment_texts.push((name, text));
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
            || self.found.files.len() >= ATTACHMENTS_MAX
        {
            return None;
        }
        if !is_whole {
            self.defects.insert(Defect::Malformed);
        }
        let mut name = names::sanitise(given);
        if name.is_empty() || name == ".eml" || name == "eml" {
            name = format!("vedlegg-{}", self.found.files.len().saturating_add(1));
            if !extension.is_empty() {
                name = format!("{name}.{extension}");
            }
        }
        self.found.files.push(File {
            name: name.clone(),
            media_type: media_type.to_owned(),
            bytes,
        });
        self.found.readings.push((Reading::Taken, false));
        Some(name)
    }

    fn body_text(&mut self, text: &str, place: Place) {
        match place {
            Place::Body => {
                let split = zones::split(text, self.thread);
                self.found.forwarded.extend(split.forwarded);
                self.found.body.extend(split.texts);
            }
            Place::Inner => {
                let split = zones::split(text, Thread::Forward);
                self.found.forwarded.extend(split.forwarded);
                self.found.body.extend(
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
        decoded.text.into_owned()
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

/// Encrypted, split over several mails, elsewhere, or in an encoding we do not know.
fn is_unreadable(entity: &Entity) -> bool {
    entity.encoding == TransferEncoding::Unknown
        || matches!(
            entity.media_type.as_str(),
            "message/partial" | "message/external-body" | "application/pgp-encrypted"
        )
        || (matches!(
            entity.media_type.as_str(),
            "application/pkcs7-mime" | "application/x-pkcs7-mime"
        ))
}

/// Not a signature, a calendar, a card or a part of something that is not here.
fn is_wanted(entity: &Entity) -> bool {
    let media_type = entity.media_type.as_str();
    !is_signature(entity)
        && !is_unreadable(entity)
        && !media_type.starts_with("message/")
        && !matches!(
            media_type,
            "text/calendar"
                | "application/ics"
                | "text/vcard"
                | "text/x-vcard"
                | "text/directory"
                | "application/pgp-keys"
                | "text/css"
        )
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
