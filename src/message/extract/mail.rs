//! An attached mail: its text where the message around it has not taken it, and the attachments in it.

use super::super::{Defect, Limits, Zone, build, report_text};
use super::{Extracted, Unread};

pub(super) fn read(bytes: &[u8], body_is_read: bool, depth: usize) -> Extracted {
    let limits = Limits::default();
    let Ok((message, files)) = build::build(bytes, &limits) else {
        return Extracted::nothing(Unread::Damaged);
    };
    let mut extracted = if body_is_read {
        Extracted::default()
    } else {
        let text = format!("{}\n\n{}", message.subject, report_text(&message));
        Extracted::of_text(&text)
    };
    extracted.truncated |= message.defects.contains(&Defect::TextTruncated);
    for text in message.zone(Zone::Attachment).filter(|_| !body_is_read) {
        extracted.push(&text.label, text.text.clone());
    }
    for (file, attachment) in files.iter().zip(&message.attachments) {
        if attachment.reading != super::super::Reading::Pending {
            continue;
        }
        let inner = super::nested(
            &file.name,
            &file.media_type,
            &file.bytes,
            attachment.body_is_read,
            depth.saturating_add(1),
        );
        extracted.add(&file.name, inner);
    }
    extracted
}
