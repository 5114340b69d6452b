//! The way in for text that is taken from attachments (PDF, DOCX, ODT, RTF, winmail.dat).
//!
//! Reading those formats needs a child process with a limit on time and memory, which is I/O; so this module does not call
//! an extractor, the caller does (see [`crate::extractor`]) and adds the text here before the message is classified.
//! Attachments whose text is already there (text/plain, HTML, CSV) need nothing.

use super::extract::Extracted;
use super::{Defect, Limits, Message, Reading, Zone, ZoneText, fields, text};

/// Adds what was extracted from the attachment with that index in [`Message::attachments`]: its text, the names and texts of
/// files in it, and what could not be read ([`Reading::Unread`], [`Defect::UnreadAttachment`]).
pub fn add_extracted(
    message: &mut Message,
    attachment: usize,
    extracted: &Extracted,
    limits: &Limits,
) {
    let Some(name) = message
        .attachments
        .get(attachment)
        .map(|one| one.name.clone())
    else {
        return;
    };
    let mut has_text = false;
    for piece in &extracted.pieces {
        let label = if piece.name.is_empty() {
            &name
        } else {
            &piece.name
        };
        if !piece.name.is_empty() {
            message.texts.push(ZoneText {
                zone: Zone::AttachmentName,
                label: label.clone(),
                text: label.clone(),
            });
        }
        has_text |= add(message, label, &piece.text, limits);
    }
    if extracted.truncated {
        message.defects.insert(Defect::TextTruncated);
    }
    if extracted
        .unread
        .iter()
        .any(|reason| reason.may_hold_a_report())
    {
        message.defects.insert(Defect::UnreadAttachment);
    }
    if let Some(one) = message.attachments.get_mut(attachment) {
        one.reading = match extracted.unread.first() {
            Some(reason) if !has_text => Reading::Unread(*reason),
            _ => Reading::Taken,
        };
    }
}

/// Adds the text of the attachment with that index in [`Message::attachments`], and the form fields in it. Beyond
/// [`Limits::max_text_bytes`] for all attachments together it is cut and [`Defect::TextTruncated`] set. Returns false, and
/// changes nothing, when there is no such attachment or the text is blank.
pub fn add_attachment_text(
    message: &mut Message,
    attachment: usize,
    extracted: &str,
    limits: &Limits,
) -> bool {
    let Some(name) = message
        .attachments
        .get(attachment)
        .map(|one| one.name.clone())
    else {
        return false;
    };
    let added = add(message, &name, extracted, limits);
    if added && let Some(one) = message.attachments.get_mut(attachment) {
        one.reading = Reading::Taken;
    }
    added
}

fn add(message: &mut Message, name: &str, extracted: &str, limits: &Limits) -> bool {
    let mut cleaned = text::clean(extracted).trim_matches('\n').to_owned();
    if cleaned.trim().is_empty() {
        return false;
    }
    let used: usize = message
        .zone(Zone::Attachment)
        .map(|one| one.text.len())
        .sum();
    if text::truncate(&mut cleaned, limits.max_text_bytes.saturating_sub(used)) {
        message.defects.insert(Defect::TextTruncated);
    }
    for (label, text) in fields::find(std::iter::once(&cleaned)) {
        message.texts.push(ZoneText {
            zone: Zone::Field,
            label,
            text,
        });
    }
    if !cleaned.is_empty() {
        message.texts.push(ZoneText {
            zone: Zone::Attachment,
            label: name.to_owned(),
            text: cleaned,
        });
    }
    true
}
