//! The way in for text that others take from attachments (PDF, DOCX, ODT).
//!
//! Reading those formats needs a child process with a limit on time and memory, which is I/O; so this module does not call
//! an extractor, the caller does: take the bytes from [`super::files`], have the text extracted, and add it here before the
//! message is classified. Attachments whose text is already there (text/plain, HTML, CSV) need nothing.

use super::{Defect, Limits, Message, Zone, ZoneText, fields, text};

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
            label: name,
            text: cleaned,
        });
    }
    true
}
