//! What of a message the rules read, and what is known of it without reading for meaning.
//!
//! A portal's notice is read as the person behind it wrote it: the name on the «Fra:» line is the sender, the title is a
//! subject, labels, boilerplate and footer are blanked (blanked, not cut, so that offsets stay those of the message's
//! text). A forsendelse that the archive hands on is read so by its cover page. In mail that was handed on, the sender is the inner one when that is known and not of our own organisation.
//! Of each text the part from a closing («Mvh», «Med vennlig hilsen») on is the signature.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::compile::{RuleSet, line_key};
use super::directory::Portal;
use super::fold::{fold_word, is_combining, is_invisible};
use super::raw::{SenderKind, Thread};
use super::{Directory, PartyKind, cover};
use crate::message::{Address, Attachment, FieldName, Mark, Message, Reading, Zone, ZoneText};

/// Bytes of text that are read of one message, all zones together. What comes after is left out and the verdict says so.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Lines at the beginning of a portal's notice in which its labels are looked for.
const PORTAL_LINES: usize = 25;

/// Words of a portal's notice, its own left out, below which it may say nothing but «log in»: where no word of it speaks
/// for a type either, its title alone does not.
const WORDS_MIN: usize = 8;

/// Lines that a signature may have; a closing further from the end of its text ends nothing.
const SIGNATURE_LINES_MAX: usize = 25;
/// Lines that may stand between two closings of one signature.
const CLOSING_GAP: usize = 6;
/// Bytes that a closing line may have.
const CLOSING_BYTES_MAX: usize = 120;

/// One text that is scanned.
#[derive(Debug, Clone)]
pub(super) struct View<'m> {
    pub(super) zone: Zone,
    /// The field of the form that it is.
    pub(super) field: Option<FieldName>,
    pub(super) text: Cow<'m, str>,
    /// Byte offset at which the signature begins; the length of the text when it has none.
    pub(super) signature: usize,
}

/// A text of a message as the rules read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadText {
    /// Its zone.
    pub zone: Zone,
    /// The field of the form that it is.
    pub field: Option<FieldName>,
    /// Which of the texts of that zone, from 0.
    pub piece: usize,
    /// The text; what a portal adds is blanked.
    pub text: String,
    /// Byte offset at which the signature begins; the length of the text when it has none.
    pub signature: usize,
}

impl RuleSet {
    /// The texts of a message as the rules read them, in their order.
    pub fn texts(&self, message: &Message) -> Vec<ReadText> {
        let (views, ..) = look(self, message);
        let pieces = pieces(&views);
        views
            .into_iter()
            .zip(pieces)
            .map(|(view, piece)| ReadText {
                zone: view.zone,
                field: view.field,
                piece,
                signature: view.signature,
                text: view.text.into_owned(),
            })
            .collect()
    }
}

/// For each text, how many of its zone stand before it.
pub(super) fn pieces(views: &[View<'_>]) -> Vec<usize> {
    let mut seen: BTreeMap<Zone, usize> = BTreeMap::new();
    views
        .iter()
        .map(|view| {
            let next = seen.entry(view.zone).or_default();
            let piece = *next;
            *next = piece.saturating_add(1);
            piece
        })
        .collect()
}

/// What is known of a message without its words.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent yes-or-no facts that rules ask for one by one"
)]
pub(super) struct Facts<'m> {
    /// The one author.
    pub(super) author: Option<&'m Address>,
    /// The portal that the message, or the message that was handed on, comes from.
    pub(super) portal: Option<usize>,
    /// The one who wrote what was handed on, when known and not of our own organisation.
    pub(super) inner: Option<&'m Address>,
    /// Parties that sender and forwarder belong to by address.
    pub(super) sender_parties: BTreeSet<usize>,
    /// What the sender is.
    pub(super) sender_kinds: BTreeSet<SenderKind>,
    /// The sender is of our own organisation.
    pub(super) own_sender: bool,
    pub(super) thread: Thread,
    /// The subject holds a case number of ours.
    pub(super) case_token: bool,
    /// In-Reply-To or References hold a Message-ID of our own.
    pub(super) cites_own: bool,
    /// Parties that stand in To or Cc with an address that is not ours.
    pub(super) recipients: Vec<usize>,
    pub(super) marks: &'m BTreeSet<Mark>,
    pub(super) attachments: bool,
    /// A portal's notice with hardly a word of content: perhaps a person must fetch that there.
    pub(super) says_little: bool,
}

impl Facts<'_> {
    /// Whether a kommune stands in To or Cc.
    pub(super) fn kommune_in_to(&self, directory: &Directory) -> bool {
        let mut parties = self
            .recipients
            .iter()
            .filter_map(|index| directory.parties.get(*index));
        parties.any(|party| party.kind == PartyKind::Kommune)
    }
}

/// Texts and facts of a message; the flag tells that text was left out.
pub(super) fn look<'m>(set: &RuleSet, message: &'m Message) -> (Vec<View<'m>>, Facts<'m>, bool) {
    let directory = set.directory();
    let author = message.author();
    let inner = message
        .forwarded
        .iter()
        .rev()
        .map(|forwarded| &forwarded.from)
        .find(|from| {
            !from.address.is_empty()
                && !directory.is_own_organisation(&from.address)
                && directory.portal_of(&from.address).is_none()
        });
    let portal = directory
        .portals
        .iter()
        .position(|portal| is_from(portal, author, message));
    let cover = cover::page(directory, message, author);
    let portal = portal.or(cover.map(|(portal, _)| portal));
    let is_cover = |piece: &ZoneText| cover.is_some_and(|(_, page)| std::ptr::eq(page, piece));
    let mut views: Vec<View<'m>> = Vec::new();
    let mut words = 0_usize;
    let mut portal_sender = String::new();
    let mut left = TEXT_BYTES_MAX;
    let mut truncated = false;
    for piece in &message.texts {
        let mut text = piece.text.as_str();
        if text.len() > left {
            text = text.get(..floor(text, left)).unwrap_or_default();
            truncated = true;
        }
        left = left.saturating_sub(text.len());
        let mut text = Cow::Borrowed(text);
        if let Some(portal) = portal.and_then(|index| directory.portals.get(index))
            && (matches!(piece.zone, Zone::New | Zone::Forwarded) || is_cover(piece))
        {
            let read = read_portal(portal, &text);
            if !read.sender.is_empty() && portal_sender.is_empty() {
                portal_sender = read.sender;
            }
            if !read.title.is_empty() && !message.subject.contains(&read.title) {
                views.push(View {
                    zone: Zone::Subject,
                    field: None,
                    signature: read.title.len(),
                    text: Cow::Owned(read.title),
                });
            }
            text = Cow::Owned(read.text);
        }
        if piece.zone == Zone::Sender && (portal.is_some() || inner.is_some()) {
            continue;
        }
        // Only of a portal's notice is it asked whether it says little.
        if portal.is_some()
            && matches!(piece.zone, Zone::New | Zone::Forwarded | Zone::Attachment)
            && !is_cover(piece)
        {
            words = words.saturating_add(count_words(&text));
        }
        let signature = match piece.zone {
            Zone::New | Zone::Forwarded | Zone::Quoted | Zone::Attachment => {
                signature(&text, &set.settings.closings)
            }
            _ => text.len(),
        };
        views.push(View {
            zone: piece.zone,
            field: (piece.zone == Zone::Field)
                .then(|| FieldName::of_label(&piece.label))
                .flatten(),
            text,
            signature,
        });
    }
    let behind = match inner {
        Some(inner) if portal_sender.is_empty() => format!("{} <{}>", inner.name, inner.address),
        _ => portal_sender,
    };
    if !behind.is_empty() {
        views.push(View {
            zone: Zone::Sender,
            field: None,
            signature: behind.len(),
            text: Cow::Owned(behind),
        });
    }
    let mut facts = facts(directory, message, author, inner, portal);
    // What was not tried to be read may hold the report.
    let is_read = |one: &Attachment| one.reading != Reading::Pending;
    facts.says_little =
        portal.is_some() && words < WORDS_MIN && message.attachments.iter().all(is_read);
    (views, facts, truncated)
}

fn facts<'m>(
    directory: &Directory,
    message: &'m Message,
    author: Option<&'m Address>,
    inner: Option<&'m Address>,
    portal: Option<usize>,
) -> Facts<'m> {
    let mut sender_kinds = BTreeSet::new();
    let mut sender_parties = BTreeSet::new();
    let outer = author.filter(|_| portal.is_none() || inner.is_some());
    for address in [outer, inner].into_iter().flatten() {
        sender_parties.extend(directory.index_of_address(&address.address));
    }
    let sender = if portal.is_some() {
        None
    } else {
        inner.or(author)
    };
    let own_sender = sender.is_some_and(|sender| directory.is_own_organisation(&sender.address));
    if let Some(sender) = sender {
        sender_kinds.extend(directory.kind_of_address(&sender.address).map(sender_kind));
    }
    if own_sender {
        sender_kinds.insert(SenderKind::Own);
    }
    if portal.is_some() {
        sender_kinds.insert(SenderKind::Portal);
    }
    if sender_kinds.is_empty() {
        sender_kinds.insert(SenderKind::Ukjent);
    }
    let mut recipients: Vec<usize> = Vec::new();
    for address in message.to.iter().chain(&message.cc) {
        if directory.is_own(&address.address) {
            continue;
        }
        if let Some(index) = directory.index_of_address(&address.address)
            && !recipients.contains(&index)
        {
            recipients.push(index);
        }
    }
    let cites = message.in_reply_to.iter().chain(&message.references);
    let prefix = prefix(&message.subject);
    let thread = if !message.forwarded.is_empty()
        || prefix == Some(Thread::Forward) && message.zone(Zone::Forwarded).next().is_some()
    {
        Thread::Forward
    } else if !message.in_reply_to.is_empty()
        || !message.references.is_empty()
        || prefix == Some(Thread::Reply)
    {
        Thread::Reply
    } else {
        Thread::None
    };
    Facts {
        author,
        portal,
        inner,
        sender_parties,
        sender_kinds,
        own_sender,
        thread,
        case_token: has_case_token(&message.subject),
        cites_own: cites.into_iter().any(|id| directory.is_own_message_id(id)),
        recipients,
        marks: &message.marks,
        attachments: !message.attachments.is_empty(),
        says_little: false,
    }
}

/// Words, without links.
fn count_words(text: &str) -> usize {
    text.split_whitespace()
        .filter(|word| !word.contains("://") && word.chars().any(char::is_alphabetic))
        .count()
}

pub(super) const fn sender_kind(kind: PartyKind) -> SenderKind {
    match kind {
        PartyKind::Klinikk => SenderKind::Klinikk,
        PartyKind::Samhandling => SenderKind::Samhandling,
        PartyKind::Kommune => SenderKind::Kommune,
        PartyKind::Fastlege => SenderKind::Fastlege,
        PartyKind::AnnetSykehus => SenderKind::AnnetSykehus,
    }
}

/// Whether the portal sent the message, or the innermost message that was handed on.
fn is_from(portal: &Portal, author: Option<&Address>, message: &Message) -> bool {
    let sent = |address: &Address| portal.sends_from(&address.address);
    author.is_some_and(sent)
        || message.forwarded.last().is_some_and(|inner| {
            sent(&inner.from)
                || inner.from.address.is_empty()
                    && !portal.name.is_empty()
                    && fold_word(&inner.from.name) == fold_word(&portal.name)
        })
}

/// How a subject begins: «Sv:», «Re:» or «Vs:», «Fwd:».
fn prefix(subject: &str) -> Option<Thread> {
    let (word, _) = subject.trim_start().split_once(':')?;
    match word.trim().to_lowercase().as_str() {
        "sv" | "re" | "svar" | "aw" | "antw" => Some(Thread::Reply),
        "vs" | "fwd" | "fw" | "videresendt" | "vidaresendt" | "wg" => Some(Thread::Forward),
        _ => None,
    }
}

/// Whether `SAK-2026-000123` stands in the subject; only its form is looked at.
fn has_case_token(subject: &str) -> bool {
    subject
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .any(|word| {
            let mut parts = word.split('-');
            let digits = |part: Option<&str>, least: usize, most: usize| {
                part.is_some_and(|part| {
                    (least..=most).contains(&part.len())
                        && part.bytes().all(|byte| byte.is_ascii_digit())
                })
            };
            parts
                .next()
                .is_some_and(|sak| sak.eq_ignore_ascii_case("sak"))
                && digits(parts.next(), 4, 4)
                && digits(parts.next(), 6, 12)
                && parts.next().is_none()
        })
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

struct PortalText {
    sender: String,
    title: String,
    text: String,
}

fn read_portal(portal: &Portal, text: &str) -> PortalText {
    let mut read = PortalText {
        sender: String::new(),
        title: String::new(),
        text: String::with_capacity(text.len()),
    };
    let mut ended = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let key = line_key(line);
        let begins = |list: &[String]| {
            list.iter()
                .any(|start| !start.is_empty() && key.starts_with(start.as_str()))
        };
        ended |= begins(&portal.footer);
        let mut blank = ended || begins(&portal.boilerplate);
        if number < PORTAL_LINES
            && let Some((label, value)) = line.split_once(':')
        {
            let label = line_key(label);
            let value = value.trim();
            if portal.sender_labels.contains(&label) {
                if !value.is_empty() && fold_word(value) != fold_word(&portal.name) {
                    value.clone_into(&mut read.sender);
                }
                blank = true;
            } else if portal.title_labels.contains(&label) {
                value.clone_into(&mut read.title);
                blank = true;
            } else if portal.drop_labels.contains(&label) {
                blank = true;
            }
        }
        if blank {
            read.text.extend(
                line.bytes()
                    .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
            );
        } else {
            read.text.push_str(line);
        }
    }
    read
}

/// Where the signature begins: at the last line that is a closing («Mvh»), or begins with one and goes on with little, or
/// is `--`; at an earlier one when that stands at most [`CLOSING_GAP`] lines above («Mvh Kari», then `--` and a footer).
fn signature(text: &str, closings: &[String]) -> usize {
    let mut start = text.len();
    let mut found_at: Option<usize> = None;
    for (above, line) in text.lines().rev().enumerate() {
        let far = match found_at {
            Some(found) => above.saturating_sub(found) > CLOSING_GAP,
            None => above > SIGNATURE_LINES_MAX,
        };
        if far {
            break;
        }
        if line.trim_end() == "--"
            || line.len() <= CLOSING_BYTES_MAX
                && may_close(line, closings)
                && closes(&line_key(line), closings)
        {
            start = line.as_ptr().addr().saturating_sub(text.as_ptr().addr());
            found_at = Some(above);
        }
    }
    start
}

/// Whether the first word of a line begins one of the closings; few lines do, and only those are read whole.
fn may_close(line: &str, closings: &[String]) -> bool {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || is_unseen(c)));
    let Some(first) = words.find(|word| !word.is_empty()) else {
        return false;
    };
    // Most lines are ruled out by their first letter.
    if let Some(letter) = first.chars().next().filter(char::is_ascii)
        && !closings
            .iter()
            .any(|closing| closing.starts_with(letter.to_ascii_lowercase()))
    {
        return false;
    }
    let first = fold_word(first);
    closings
        .iter()
        .any(|closing| closing.starts_with(first.as_str()))
}

/// What is no letter and yet parts no word.
fn is_unseen(c: char) -> bool {
    is_invisible(c) || is_combining(c)
}

/// Whether a folded line is a closing with at most a few words after it.
fn closes(key: &str, closings: &[String]) -> bool {
    closings
        .iter()
        .filter(|closing| !closing.is_empty())
        .any(|closing| {
            key.strip_prefix(closing.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(' ') && rest.split_whitespace().count() <= 8
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_begin_at_the_closing() {
        let closings = ["mvh".to_owned(), "med vennlig hilsen".to_owned()];
        for (text, expected) in [
            ("Hei\n\nEpikrise mangler.\n\nMvh Kari\nlege", Some("Mvh")),
            ("Hei\nMed vennlig hilsen,\nKari\n", Some("Med v")),
            ("Hei\n-- \nKari", Some("--")),
            (
                "Hei\n\nMvh N A Borge\n\n--\nDette er sendt fra en portal\n",
                Some("Mvh"),
            ),
            ("Ingen avslutning", None),
        ] {
            let at = signature(text, &closings);
            match expected {
                Some(start) => assert!(text[at..].starts_with(start), "{text}: {at}"),
                None => assert_eq!(at, text.len(), "{text}"),
            }
        }
    }

    #[test]
    fn case_tokens_by_form() {
        for (subject, found) in [
            ("SV: [SAK-2026-000131] Samhandlingsavvik", true),
            ("sv: sak-2026-000131", true),
            ("sak 24/1187", false),
            ("SAK-2026-131", false),
        ] {
            assert_eq!(has_case_token(subject), found, "{subject}");
        }
    }

    #[test]
    fn a_portal_notice_is_read_as_its_person_wrote_it() {
        let list = |words: &[&str]| words.iter().map(|word| line_key(word)).collect::<Vec<_>>();
        let portal = Portal {
            id: "edialog".to_owned(),
            name: "eDialog".to_owned(),
            addresses: Vec::new(),
            domains: Vec::new(),
            use_reply_to: false,
            sender_labels: list(&["Fra"]),
            title_labels: list(&["Tittel"]),
            drop_labels: list(&["Til", "Mottatt"]),
            boilerplate: list(&["Sykehuset Østfold HF har mottatt"]),
            footer: list(&["Dette er et automatisk varsel"]),
        };
        let text = "Sykehuset Østfold HF har mottatt en forsendelse.\nFra: Åsen legekontor v/ lege Liv Å\nTil: Avvik\nTittel: Epikrise\n\nHei, «se» her\nDette er et automatisk varsel\nsvar ikke\n";
        let read = read_portal(&portal, text);
        assert_eq!(read.sender, "Åsen legekontor v/ lege Liv Å");
        assert_eq!(read.title, "Epikrise");
        assert_eq!(read.text.trim(), "Hei, «se» her");
        assert_eq!(read.text.len(), text.len());
        assert_eq!(read.text.find("Hei"), text.find("Hei"));
    }
}
