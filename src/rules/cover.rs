//! The cover page that a portal puts before the documents of a forsendelse («edialog framside»), when the archive hands the
//! forsendelse on as a mail: who is behind it stands there, and nowhere else.

use super::Directory;
use super::fold::fold_word;
use super::reporter::is_deaf;
use crate::message::{Address, Message, Zone, ZoneText};

/// Words in the name of a cover page, folded.
const NAMES: [&str; 6] = [
    "framside",
    "fremside",
    "forside",
    "foersteside",
    "omslag",
    "cover",
];
/// Lines of the text in which the portal's name is looked for.
const LINES: usize = 15;

/// Whether a file's name says that it is a cover page.
pub(super) fn is_named(file: &str) -> bool {
    let name = fold_word(file);
    NAMES.iter().any(|word| name.contains(word))
}

/// The cover page and the portal that made it. Only in mail from our own organisation, from the portal or from an address
/// that takes no answer: what others attach is their own.
pub(super) fn page<'m>(
    directory: &Directory,
    message: &'m Message,
    author: Option<&Address>,
) -> Option<(usize, &'m ZoneText)> {
    let author = author.map(|author| author.address.as_str())?;
    let may_hand_on = directory.is_own_organisation(author)
        || directory.portal_of(author).is_some()
        || is_deaf(author);
    if !may_hand_on {
        return None;
    }
    message.zone(Zone::Attachment).find_map(|text| {
        if !is_named(&text.label) {
            return None;
        }
        let name = fold_word(&text.label);
        let portal = directory.portals.iter().position(|portal| {
            let known = fold_word(&portal.name);
            !known.is_empty()
                && (name.contains(&known)
                    || text
                        .text
                        .lines()
                        .take(LINES)
                        .any(|line| fold_word(line).contains(&known)))
        })?;
        Some((portal, text))
    })
}
