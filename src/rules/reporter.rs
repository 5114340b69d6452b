//! Who reports, as far as an answer can reach them.
//!
//! In order: behind a portal, its Reply-To where the directory says so, else the address in the text or cover page, else
//! the one directory entry whose name the portal gives, else nobody; in mail that was handed on, the inner sender when
//! known and not of our own organisation; else From. An address that takes no answer, our own addresses and the portal's
//! are never used.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::directory::{Directory, plain};
use super::fold::fold_word;
use super::view::Facts;
use super::{PartyKind, Reporter, ReporterSource, cover};
use crate::message::{Message, Zone, ZoneText};

/// Local parts of addresses that nobody reads, folded and without separators.
const DEAF: [&str; 10] = [
    "noreply",
    "donotreply",
    "ikkesvar",
    "ikkjesvar",
    "ikkebesvar",
    "svarikke",
    "mailerdaemon",
    "postmaster",
    "noresponse",
    "bounce",
];

/// All of them at once.
static DEAF_WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(DEAF).ok());

/// Whether the address says that it takes no answer.
pub(super) fn is_deaf(address: &str) -> bool {
    let local = address.split_once('@').map_or(address, |(local, _)| local);
    let mut local = fold_word(local);
    local.retain(|c| c.is_ascii_alphanumeric());
    DEAF_WORDS
        .as_ref()
        .is_some_and(|words| words.is_match(&local))
}

fn usable(directory: &Directory, address: &str) -> bool {
    !address.is_empty()
        && !is_deaf(address)
        && !directory.is_own(address)
        && directory.portal_of(address).is_none()
}

/// `names`: parties whose names stand in the sender's zone.
pub(super) fn find(
    directory: &Directory,
    message: &Message,
    facts: &Facts<'_>,
    names: &BTreeSet<usize>,
) -> Reporter {
    let made = |source, address: &str| Reporter {
        source,
        address: address.to_owned(),
        party: directory
            .party_of_address(address)
            .map(|party| party.id.clone()),
    };
    if let Some(portal) = facts.portal.and_then(|index| directory.portals.get(index)) {
        let office = named_outside(directory, names);
        let mut found = if portal.use_reply_to
            && let [one] = message.reply_to.as_slice()
            && usable(directory, &one.address)
        {
            made(ReporterSource::ReplyTo, &one.address)
        } else if let Some(address) = in_text(directory, message) {
            made(ReporterSource::CoverPage, &address)
        } else if let Some((_, address)) = office
            .as_ref()
            .filter(|(_, address)| usable(directory, address))
        {
            made(ReporterSource::Directory, address)
        } else {
            Reporter::default()
        };
        if found.party.is_none() {
            found.party = office.map(|(id, _)| id);
        }
        return found;
    }
    if let Some(inner) = facts
        .inner
        .filter(|inner| usable(directory, &inner.address))
    {
        return made(ReporterSource::Forwarded, &inner.address);
    }
    match facts.author {
        Some(author) if usable(directory, &author.address) => {
            made(ReporterSource::From, &author.address)
        }
        _ => Reporter::default(),
    }
}

/// The one named party outside the own hospital, with its first address (empty when it has none).
fn named_outside(directory: &Directory, names: &BTreeSet<usize>) -> Option<(String, String)> {
    let outside = |index: &usize| {
        let party = directory.parties.get(*index)?;
        (!matches!(party.kind, PartyKind::Klinikk | PartyKind::Samhandling)).then_some(party)
    };
    let parties: Vec<_> = names.iter().filter_map(outside).collect();
    match parties.as_slice() {
        [one] => Some((
            one.id.clone(),
            one.addresses.first().cloned().unwrap_or_default(),
        )),
        _ => None,
    }
}

/// The address that the cover page or text of a portal's notice gives: the first on a line that says «E-post», else the
/// only one there is. Those of our own organisation stand there as the receiver.
fn in_text(directory: &Directory, message: &Message) -> Option<String> {
    let own_words = |piece: &&ZoneText| {
        matches!(
            piece.zone,
            Zone::New | Zone::Forwarded | Zone::Attachment | Zone::Field
        )
    };
    let (covers, others): (Vec<&ZoneText>, Vec<&ZoneText>) = message
        .texts
        .iter()
        .filter(own_words)
        .partition(|piece| piece.zone == Zone::Attachment && cover::is_named(&piece.label));
    in_pieces(directory, &covers).or_else(|| in_pieces(directory, &others))
}

fn is_mail_label(text: &str) -> bool {
    let label = fold_word(text);
    matches!(
        label.trim(),
        "e-post" | "epost" | "e-postadresse" | "epostadresse" | "mail" | "e-mail" | "email"
    )
}

fn in_pieces(directory: &Directory, pieces: &[&ZoneText]) -> Option<String> {
    let mut all: Vec<Cow<'_, str>> = Vec::new();
    for piece in pieces {
        // Text taken from a PDF has the label and its value on two lines.
        let mut label_above = false;
        for line in piece.text.lines().filter(|line| !line.trim().is_empty()) {
            let label = line.split_once(':').map_or(line, |(label, _)| label);
            let labelled = line.contains(':') && is_mail_label(label) || label_above;
            label_above = is_mail_label(line.trim().trim_end_matches(':'));
            let usable = |address: &&str| {
                usable(directory, address) && !directory.is_own_organisation(address)
            };
            for address in addresses(line).filter(usable) {
                if labelled {
                    return Some(address.to_owned());
                }
                let address = plain(address);
                if !all.contains(&address) {
                    all.push(address);
                }
            }
        }
    }
    match all.as_slice() {
        [one] => Some(one.to_string()),
        _ => None,
    }
}

/// What looks like mail addresses in a line.
fn addresses(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '@' | '.' | '-' | '_' | '+')))
        .map(|word| word.trim_matches(['.', '-', '+']))
        .filter(|word| {
            word.split_once('@').is_some_and(|(local, domain)| {
                !local.is_empty()
                    && !domain.contains('@')
                    && domain.split('.').count() > 1
                    && domain.split('.').all(|part| !part.is_empty())
            })
        })
}
