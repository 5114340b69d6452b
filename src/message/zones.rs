//! Body text → what the sender wrote, what the mail quotes, what it hands on.
//!
//! Read line by line, as mail programs write them: header blocks («Fra: / Sendt: / Til: / Emne:», also English and
//! nynorsk, with or without a line of underscores above), attribution lines («Den … skrev …:»), marks of forwarding
//! («---------- Videresendt melding ----------»), and `>`. A header block alone does not tell a reply from a forward:
//! the subject's prefix does, or the mark above the block.

use super::{Address, Forwarded, Zone, addresses, noise};
use crate::expression::Expression;
use std::sync::LazyLock;

/// What the headers say about a mail that has an earlier one below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thread {
    /// The subject begins with VS, Fwd, Fw …
    Forward,
    /// The subject begins with Sv, Re …, or the mail cites another one.
    Reply,
    /// Neither.
    New,
}

/// The pieces of a body in reading order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) texts: Vec<(Zone, String)>,
    pub(crate) forwarded: Vec<Forwarded>,
}

/// At most this many levels of forwarding are recorded.
const FORWARDED_MAX: usize = 50;
/// Pieces beyond this number join the last one of their zone.
const PIECES_MAX: usize = 500;
/// A header block is at most so many lines long.
const BLOCK_LINES_MAX: usize = 30;
/// A label of a header block has at most so many bytes.
const LABEL_BYTES_MAX: usize = 40;
/// An attribution line is broken into at most so many lines.
const ATTRIBUTION_LINES_MAX: usize = 4;

/// Splits a body.
pub(crate) fn split(text: &str, thread: Thread) -> Split {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut reader = Reader {
        lines: &lines,
        thread,
        zone: Zone::New,
        pieces: Vec::new(),
        forwarded: Vec::new(),
        introduced: false,
        has_text: false,
        may_attribute: ATTRIBUTING.is_match(text) || text.contains("--"),
    };
    reader.read();
    let Reader {
        pieces, forwarded, ..
    } = reader;
    let mut texts: Vec<(Zone, String)> = Vec::new();
    let mut count = 0_usize;
    for (zone, lines) in pieces {
        let text = noise::remove(&lines);
        if text.is_empty() {
            continue;
        }
        // Quotes and answers that change places without end become one piece of each.
        let same = texts
            .iter_mut()
            .rev()
            .take(PIECES_MAX)
            .find(|(known, _)| *known == zone);
        match (count >= PIECES_MAX, same) {
            (true, Some((_, known))) => {
                known.push('\n');
                known.push_str(&text);
            }
            _ => texts.push((zone, text)),
        }
        count = count.saturating_add(1);
    }
    Split { texts, forwarded }
}

struct Reader<'a> {
    lines: &'a [&'a str],
    thread: Thread,
    zone: Zone,
    pieces: Vec<(Zone, Vec<&'a str>)>,
    forwarded: Vec<Forwarded>,
    /// A mark of forwarding stood above, and its header block has not come yet.
    introduced: bool,
    /// The sender has written something himself.
    has_text: bool,
    /// There may be an attribution line somewhere.
    may_attribute: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        let mut index = 0;
        while let Some(line) = self.lines.get(index).copied() {
            index = index.saturating_add(self.step(index, line).max(1));
        }
    }

    /// Handles the line and says how many lines it took.
    fn step(&mut self, index: usize, line: &'a str) -> usize {
        let (depth, bare) = unquote(line);
        if is_forward_mark(bare)
            && (self.zone != Zone::Quoted)
            && (depth == 0 || self.thread != Thread::Reply)
        {
            self.enter(Zone::Forwarded);
            self.introduced = true;
            return 1;
        }
        if is_neutral_mark(bare) || is_rule(bare) {
            let block_at = self.next_filled(index.saturating_add(1));
            let block = header_block(self.lines, block_at, is_neutral_mark(bare));
            if let Some(block) = block {
                // The block itself decides; the line above it is no text.
                return self
                    .block(&block)
                    .saturating_add(block_at.saturating_sub(index));
            }
            if is_neutral_mark(bare) {
                self.enter(self.earlier_zone());
                return 1;
            }
        }
        if let Some(block) = header_block(self.lines, index, self.introduced) {
            return self.block(&block);
        }
        if let Some(taken) = self.attribution(index) {
            return taken;
        }
        if depth > 0 && self.zone == Zone::New && !is_stray_sign(self.lines, index) {
            let zone = if self.thread == Thread::Forward && !self.has_text {
                Zone::Forwarded
            } else {
                Zone::Quoted
            };
            self.push(zone, bare);
            return 1;
        }
        self.introduced &= bare.trim().is_empty();
        let keep_signs = self.zone == Zone::New;
        self.push(self.zone, if keep_signs { line } else { bare });
        1
    }

    fn block(&mut self, block: &Block) -> usize {
        let is_form = self.zone == Zone::New
            && self.thread == Thread::New
            && !self.introduced
            && (!self.has_text || !block.has_to);
        if is_form {
            // «Fra: … Emne: …» on top of a mail that is neither reply nor forward is a form, not a header.
            for line in self.lines.iter().skip(block.start).take(block.length) {
                self.push(Zone::New, line);
            }
            return block.length;
        }
        let zone = if self.introduced {
            Zone::Forwarded
        } else {
            self.earlier_zone()
        };
        self.introduced = false;
        if zone == Zone::Forwarded {
            if self.forwarded.len() < FORWARDED_MAX {
                self.forwarded.push(Forwarded {
                    from: block.from.clone(),
                    subject: block.subject.clone(),
                });
            }
            self.zone = Zone::Forwarded;
            self.pieces.push((Zone::Forwarded, Vec::new()));
        } else {
            self.enter(zone);
        }
        block.length
    }

    /// The zone of an earlier mail that begins here.
    fn earlier_zone(&self) -> Zone {
        match (self.zone, self.thread) {
            (Zone::Forwarded, _) | (Zone::New, Thread::Forward | Thread::New) => Zone::Forwarded,
            _ => Zone::Quoted,
        }
    }

    /// «Den tir. 24. feb. 2026 kl. 22:17 skrev Kari <kari@…>:», in one to four lines.
    fn attribution(&mut self, index: usize) -> Option<usize> {
        if self.zone != Zone::New || !self.may_attribute {
            return None;
        }
        let (_, first) = unquote(self.lines.get(index)?);
        if !may_be_attribution(first.trim()) {
            return None;
        }
        let mut joined = String::new();
        for count in 1..=ATTRIBUTION_LINES_MAX {
            let (_, bare) = unquote(
                self.lines
                    .get(index.saturating_add(count).saturating_sub(1))?,
            );
            if joined.len() > 600 {
                return None;
            }
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(bare.trim());
            if joined.ends_with(':') || is_lotus(&joined) {
                let after = index.saturating_add(count);
                let quote_follows = self
                    .lines
                    .get(self.next_filled(after))
                    .is_some_and(|line| unquote(line).0 > 0);
                let sure = quote_follows
                    || self.thread == Thread::Reply
                    || joined.contains('<')
                    || joined.contains("mailto:");
                if !is_attribution(&joined) || !sure {
                    return None;
                }
                let zone = if self.thread == Thread::Forward {
                    Zone::Forwarded
                } else {
                    Zone::Quoted
                };
                if quote_follows {
                    // The sender may write below the quote: only the quoted lines are not his.
                    return Some(self.quoted_lines(after, zone).saturating_add(count));
                }
                self.enter(zone);
                return Some(count);
            }
        }
        None
    }

    /// Takes the `>` lines that follow, with the empty lines between them.
    fn quoted_lines(&mut self, start: usize, zone: Zone) -> usize {
        let mut taken = 0_usize;
        let mut index = start;
        self.pieces.push((zone, Vec::new()));
        while let Some(line) = self.lines.get(index) {
            let (depth, bare) = unquote(line);
            if depth == 0 {
                // Empty lines belong to the quote when it goes on below them.
                let next = self.next_filled(index);
                if next == index || self.lines.get(next).is_none_or(|line| unquote(line).0 == 0) {
                    break;
                }
                self.push(zone, "");
                taken = taken.saturating_add(next.saturating_sub(index));
                index = next;
                continue;
            }
            self.push(zone, bare);
            taken = taken.saturating_add(1);
            index = index.saturating_add(1);
        }
        taken
    }

    fn next_filled(&self, start: usize) -> usize {
        let empty = self
            .lines
            .iter()
            .skip(start)
            .take_while(|line| unquote(line).1.trim().is_empty())
            .count();
        start.saturating_add(empty)
    }

    fn enter(&mut self, zone: Zone) {
        self.zone = zone;
        self.pieces.push((zone, Vec::new()));
    }

    fn push(&mut self, zone: Zone, line: &'a str) {
        self.has_text |= zone == Zone::New && !line.trim().is_empty();
        match self.pieces.last_mut() {
            Some((last, lines)) if *last == zone => lines.push(line),
            _ => self.pieces.push((zone, vec![line])),
        }
    }
}

/// The number of quote signs in front and the line without them.
fn unquote(line: &str) -> (usize, &str) {
    let mut depth = 0_usize;
    let mut rest = line;
    while let Some(inner) = rest.trim_start().strip_prefix('>') {
        depth = depth.saturating_add(1);
        rest = inner;
    }
    if depth == 0 {
        (0, line)
    } else {
        (depth, rest.strip_prefix(' ').unwrap_or(rest))
    }
}

/// «>38 grader» in running text is no quote: a single line, the sign followed by a figure.
fn is_stray_sign(lines: &[&str], index: usize) -> bool {
    let is_figure = |line: &&&str| {
        line.trim_start()
            .strip_prefix('>')
            .is_some_and(|rest| rest.trim_start().starts_with(|c: char| c.is_ascii_digit()))
    };
    let neighbour = |other: Option<usize>| {
        other
            .and_then(|i| lines.get(i))
            .is_some_and(|line| unquote(line).0 > 0)
    };
    lines.get(index).as_ref().is_some_and(is_figure)
        && !neighbour(index.checked_sub(1))
        && !neighbour(index.checked_add(1))
}

/// A header block in the text.
struct Block {
    start: usize,
    length: usize,
    from: Address,
    subject: String,
    has_to: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    From,
    Date,
    To,
    Subject,
    Other,
}

/// `Label: value` of a header block, without stars (bold text in HTML) and quote signs.
fn label(line: &str) -> Option<(Label, &str)> {
    let (_, line) = unquote(line);
    let line = line.trim().trim_start_matches('*');
    let (name, value) = line.split_once(':')?;
    let name = name.trim().trim_end_matches('*').trim();
    // No label is longer, however its letters are written.
    if name.len() > LABEL_BYTES_MAX {
        return None;
    }
    let name = name.to_lowercase();
    let label = match name.as_str() {
        "fra" | "frå" | "from" | "från" | "von" => Label::From,
        "sendt" | "sent" | "dato" | "date" | "skickat" | "gesendet" | "datum" => Label::Date,
        "til" | "to" | "till" | "an" => Label::To,
        "emne" | "subject" | "ämne" | "betreff" | "tema" => Label::Subject,
        "kopi" | "cc" | "kopi til" | "blindkopi" | "bcc" | "svar til" | "reply-to"
        | "viktighet" | "importance" | "prioritet" | "vedlegg" | "attachments" | "kategorier"
        | "følsomhet" | "sensitivity" | "på vegne av" => Label::Other,
        _ => return None,
    };
    Some((
        label,
        value
            .trim()
            .trim_start_matches('*')
            .trim_end_matches('*')
            .trim(),
    ))
}

/// A header block that begins at the line: From first (any field below a mark, Thunderbird begins with the subject), then
/// the date or the subject, and one more of date, To and subject.
fn header_block(lines: &[&str], start: usize, below_mark: bool) -> Option<Block> {
    let (first, _) = label(lines.get(start)?)?;
    if first != Label::From && !below_mark {
        return None;
    }
    let mut block = Block {
        start,
        length: 0,
        from: Address::default(),
        subject: String::new(),
        has_to: false,
    };
    let mut from: Option<String> = None;
    let (mut has_date, mut has_subject) = (false, false);
    let mut last = Label::Other;
    let mut blank = false;
    for (offset, line) in lines.iter().skip(start).take(BLOCK_LINES_MAX).enumerate() {
        let bare = unquote(line).1.trim();
        if bare.is_empty() {
            // Some programs set an empty line between the fields, HTML does so with paragraphs.
            if (has_subject && from.is_some() && (has_date || block.has_to)) || blank {
                break;
            }
            blank = true;
            continue;
        }
        match label(line) {
            Some((Label::From, _)) if from.is_some() => break,
            Some((found, value)) => {
                match found {
                    Label::From => from = Some(value.to_owned()),
                    Label::Date => has_date = true,
                    Label::To => block.has_to = true,
                    Label::Subject => {
                        has_subject = true;
                        value.clone_into(&mut block.subject);
                    }
                    Label::Other => {}
                }
                last = found;
            }
            // A list of recipients goes on in the next line; after the subject the text begins.
            None if !blank && is_continuation(bare, last) => {
                if last == Label::From
                    && let Some(from) = &mut from
                {
                    from.push(' ');
                    from.push_str(bare);
                }
            }
            None => break,
        }
        blank = false;
        block.length = offset.saturating_add(1);
    }
    block.from = inner_address(&from?);
    let more = u8::from(has_date)
        .saturating_add(u8::from(has_subject))
        .saturating_add(u8::from(block.has_to));
    ((has_date || has_subject) && more >= 2).then_some(block)
}

fn is_continuation(line: &str, last: Label) -> bool {
    match last {
        Label::From => line.contains('@') || line.starts_with(['<', '[']),
        Label::To | Label::Other => line.contains(['@', ';', '<', '/']),
        _ => false,
    }
}

/// The From of a header block: «Kari Nordmann <kari@x>», «Kari [mailto:kari@x]», an address, or a name alone.
fn inner_address(value: &str) -> Address {
    let value = value
        .replace("[mailto:", "<")
        .replace("<mailto:", "<")
        .replace(']', ">")
        .replace('[', "<");
    let value = match value.matches('<').count() {
        // «kari@x <mailto:kari@x>» and «Kari <kari@x<mailto:kari@x>>»: Outlook's text form of a link.
        0 | 1 => value,
        _ => {
            let mut pieces = value.split('<');
            let name = pieces.next().unwrap_or_default();
            let address = pieces
                .next()
                .unwrap_or_default()
                .trim_end_matches(['>', ' ']);
            format!("{name}<{address}>")
        }
    };
    let mut found = addresses::addresses(value.as_bytes()).list;
    if found.len() == 1 {
        return found.remove(0);
    }
    // «Nordmann, Kari <kari@x>» without quotes, or several: the last one with an address, and the whole name.
    let address = found
        .iter()
        .rev()
        .find(|one| !one.address.is_empty())
        .map(|one| one.address.clone())
        .unwrap_or_default();
    let name = value
        .split('<')
        .next()
        .unwrap_or_default()
        .trim()
        .trim_matches('"')
        .to_owned();
    Address { name, address }
}

/// A line that can only introduce a mail that is handed on.
fn is_forward_mark(line: &str) -> bool {
    const BEGINNINGS: [&str; 9] = [
        "videresend",
        "vidaresend",
        "forwarded ",
        "vidarebefordrat",
        "weitergeleitete",
        "start på",
        "begynnelse på",
        "byrjing på",
        "begin forwarded",
    ];
    let line = line.trim();
    let is_ornament = |c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | '_' | '*');
    begins_as(line.trim_start_matches(is_ornament), &BEGINNINGS) && FORWARD_MARK.is_match(line)
}

/// Whether the text may begin as one of these, whatever the case of its letters. It rules out what an expression that
/// begins so cannot match, at a small part of its cost; letters beyond ASCII are left to the expression.
pub(crate) fn begins_as(text: &str, beginnings: &[&str]) -> bool {
    let may_be = |beginning: &&str| {
        let same = text
            .bytes()
            .zip(beginning.bytes())
            .take_while(|(letter, wanted)| letter.eq_ignore_ascii_case(wanted))
            .count();
        let next = text.as_bytes().get(same);
        same == beginning.len() || next.is_some_and(|letter| !letter.is_ascii())
    };
    beginnings.iter().any(may_be)
}

/// «-----Opprinnelig melding-----»: Outlook sets it in replies and forwards alike.
fn is_neutral_mark(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(['-', '–', '—', '_']) && NEUTRAL_MARK.is_match(line)
}

/// A line of underscores, hyphens or equal signs.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(['_', '-', '=', '─'])
        && line.chars().count() >= 5
        && (line.chars().all(|c| c == '_')
            || line.chars().all(|c| c == '-')
            || line.chars().all(|c| c == '=')
            || line.chars().all(|c| c == '─'))
}

static FORWARD_MARK: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)^(?:
            [-–—_*\s]{2,}\s*(?:videresendt\ (?:melding|e-?post|av\b.*)|vidaresendt?\ (?:melding|e-?post|av\b.*)|forwarded\ (?:message|by\b.*)|vidarebefordrat\ meddelande|weitergeleitete\ nachricht)\s*[-–—_*\s]*
            |(?:start\ på\ |begynnelse\ på\ |byrjing\ på\ )?(?:videresendt|vidaresendt?|videresend)\ (?:melding|e-?post)\s*:
            |(?:start|begynnelse|byrjing)\ på\ (?:videresendt|vidaresendt?)\ melding\s*:?
            |begin\ forwarded\ message\s*:?
        )$",
    )
});

static NEUTRAL_MARK: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?i)^[-–—_]{2,}\s*(?:opprinnelig(?:e)? (?:melding|e-?post)|opphavleg melding|original(?:\s?melding| message| e-?mail| appointment)|originalmelding|oprindelig meddelelse|ursprungligt meddelande|avtale|reply message|ursprüngliche nachricht)\s*[-–—_]{2,}$",
    )
});

static ATTRIBUTION: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)^(?:>\s*)*(?:
            (?:den\b|på\b|on\b|le\b|am\b|\d|man|tir|ons|tor|tys|fre|lør|lau|søn|sun|mon|tue|wed|thu|fri|sat)
            .{0,250}\b(?:skrev|skreiv|wrote|schrieb|écrit|ha\ scritto)\b.{0,250}:
            |.{2,120}\b(?:skrev|skreiv|wrote)\b.{0,60}\d{4}.{0,40}:
        )$",
    )
});

/// A day with its year, or a clock: what every mail program writes in its attribution.
static STAMP: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?i)(?:\b\d{1,2}[./-]\s?(?:\d{1,2}|[a-zæøå]{3,9}\.?)[./-]?\s?\d{2,4}\b|\b[a-z]{3,9}\.? \d{1,2},? \d{4}\b|\b\d{4}-\d{2}-\d{2}\b)",
    )
});

/// One of its verbs must stand in a text that holds an attribution line, if not the two hyphens of [`LOTUS`].
static ATTRIBUTING: LazyLock<Expression> =
    LazyLock::new(|| Expression::constant(r"(?i)skrev|skreiv|wrote|schrieb|écrit|scritto"));

/// The verb of an attribution line. The sign for Kelvin is a capital k, too.
static WROTE: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(r"[sS][kK\x{212a}][rR][eE][iI]?[vV]|[wW][rR][oO][tT][eE]")
});

/// Lotus Notes: «Kari Nordmann ---24.02.2026 10:20:30---Hei».
static LOTUS: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"^.{2,80}\s-{2,3}\d{1,2}[./]\d{1,2}[./]\d{2,4}\s\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?: [AP]M)?-{2,3}",
    )
});

fn may_be_attribution(line: &str) -> bool {
    const STARTS: [&str; 19] = [
        "den ", "på ", "on ", "man", "tir", "tys", "ons", "tor", "fre", "lør", "lau", "søn", "mon",
        "tue", "wed", "thu", "fri", "sat", "sun",
    ];
    // Without regard to case; none of them is changed by it in length.
    let starts = |known: &&str| {
        let start = line.chars().flat_map(char::to_lowercase);
        start.take(known.chars().count()).eq(known.chars())
    };
    line.starts_with(|c: char| c.is_ascii_digit())
        || begins_as(line, &STARTS) && STARTS.iter().any(starts)
        || WROTE.is_match(line)
        || is_lotus(line)
}

fn is_attribution(joined: &str) -> bool {
    (ATTRIBUTION.is_match(joined) && STAMP.is_match(joined)) || is_lotus(joined)
}

fn is_lotus(line: &str) -> bool {
    line.contains("--") && LOTUS.is_match(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `N:` new, `Q:` quoted, `F:` forwarded; pieces joined by `|`, lines by `/`; then the inner senders.
    fn shape(text: &str, thread: Thread) -> String {
        let split = split(text, thread);
        let mut all: Vec<String> = split
            .texts
            .iter()
            .map(|(zone, text)| {
                let letter = match zone {
                    Zone::New => 'N',
                    Zone::Quoted => 'Q',
                    _ => 'F',
                };
                format!("{letter}:{}", text.replace('\n', "/"))
            })
            .collect();
        all.extend(
            split
                .forwarded
                .iter()
                .map(|f| format!("[{},{},{}]", f.from.name, f.from.address, f.subject)),
        );
        all.join("|")
    }

    #[test]
    fn marks_of_forwarding() {
        for line in [
            "---------- Videresendt melding ---------",
            "-- videresendt av Kari",
            "_____ Vidaresend e-post",
            "— — Forwarded message —",
            "**Forwarded by Kari",
            "----- Vidarebefordrat meddelande -----",
            "----- Weitergeleitete Nachricht -----",
            "Start på videresendt melding:",
            "Begynnelse på vidaresendt e-post:",
            "BYRJING PÅ VIDARESENDT MELDING",
            "Videresendt melding:",
            "\u{17f}tart på videresendt melding:",
            "Begin forwarded message:",
        ] {
            assert!(is_forward_mark(line), "{line}");
        }
        for line in [
            "Start på dagen",
            "-----",
            "Forwarded message",
            "Sendt av Kari",
            "",
        ] {
            assert!(!is_forward_mark(line), "{line}");
        }
    }

    #[test]
    fn replies_of_many_programs() {
        let cases = [
            // Outlook, bokmål, nynorsk and English, with and without the line of underscores.
            (
                "Svar\n\n________________________________\nFra: A B <a@x.example>\nSendt: mandag 2. mars 2026 10:00\nTil: C\nEmne: E\n\nGammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\nFrå: A B\nSendt: mandag 2. mars 2026 10:00\nTil: C\nEmne: E\n\nGammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\nFrom: A B <a@x.example>\nSent: Monday, March 2, 2026 10:00 AM\nTo: C\nCc: D\nSubject: E\n\nGammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\n-----Opprinnelig melding-----\nFra: A\nSendt: 2.3.2026\nTil: C\nEmne: E\n\nGammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\n-----Original Message-----\nGammelt uten hode",
                "N:Svar|Q:Gammelt uten hode",
            ),
            // A wrapped list of receivers, stars from bold text, empty lines between the fields.
            (
                "Svar\n\n*Fra:* A B\n*Sendt:* 2. mars 2026\n*Til:* C <c@x.example>;\nD <d@x.example>\n*Emne:* E\n\nGammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\nFra: A B\n\nSendt: 2. mars 2026\n\nTil: C\n\nEmne: E\n\nGammelt",
                "N:Svar|Q:Gammelt",
            ),
            // Gmail, old and new, broken over lines.
            (
                "Svar\n\nDen tir. 24. feb. 2026 kl. 22:17 skrev Kari N <k@x.example>:\n\n> Gammelt\n> mer",
                "N:Svar|Q:Gammelt/mer",
            ),
            (
                "Svar\n\ntir. 24. feb. 2026 kl. 22:17 skrev Kari Nordmann-Hansen <\nkari.nordmann-hansen@x.example>:\n\n> Gammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\nOn Tue, Feb 24, 2026 at 10:17 PM Kari N <k@x.example> wrote:\n\n> Gammelt",
                "N:Svar|Q:Gammelt",
            ),
            // iPhone, Thunderbird, Lotus Notes.
            (
                "Svar\n\nSendt fra min iPhone\n\n> 24. feb. 2026 kl. 22:17 skrev Kari N <k@x.example>:\n> \n> Gammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\n24. feb. 2026 kl. 22:17 skrev Kari N <k@x.example>:\n\n\u{feff}Gammelt",
                "N:Svar|Q:\u{feff}Gammelt",
            ),
            (
                "Svar\n\nDen 24.02.2026 22:17, skreiv Kari:\n> Gammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\nKari N skrev 2026-02-24 22:17:\n> Gammelt",
                "N:Svar|Q:Gammelt",
            ),
            (
                "Svar\n\nKari Nordmann ---24.02.2026 10:20:30---Gammelt start\n\nFra: Kari Nordmann/HSO\nTil: Ola/HSO\nDato: 24.02.2026 10:20\nEmne: E\n\nGammelt",
                "N:Svar|Q:Gammelt",
            ),
            // Answers between and below the quotes.
            (
                "Den 24.02.2026 22:17, skrev Kari:\n> Spørsmål en\n\nSvar en\n\n> Spørsmål to\n\nSvar to",
                "Q:Spørsmål en|N:Svar en|Q:Spørsmål to|N:Svar to",
            ),
            ("> Fra: A\n> Til: B\n> Emne: C\n> Gammelt", "Q:Gammelt"),
            // A reply below which an older forward stands is quoted to the end.
            (
                "Svar\n\nFra: A\nSendt: 2.3.2026\nTil: C\nEmne: VS: E\n\nGammelt\n\n---------- Videresendt melding ----------\nFra: D\nDato: 1.3.2026\nEmne: E\n\nEldst",
                "N:Svar|Q:Gammelt//---------- Videresendt melding ----------|Q:Eldst",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text, Thread::Reply), expected, "{text}");
        }
    }

    #[test]
    fn forwards_of_many_programs() {
        let cases = [
            (
                "Se under\n\n________________________________\nFra: A B <a@x.example>\nSendt: mandag 2. mars 2026 10:00\nTil: C\nEmne: E\n\nRapport",
                "N:Se under|F:Rapport|[A B,a@x.example,E]",
            ),
            (
                "Fra: A B\nSendt: 2. mars 2026\nTil: C\nEmne: E\n\nRapport",
                "F:Rapport|[A B,,E]",
            ),
            (
                "---------- Forwarded message ---------\nFrom: A B <a@x.example>\nDate: Tue, Feb 24, 2026 at 10:17 PM\nSubject: E\nTo: <c@x.example>\n\nRapport",
                "F:Rapport|[A B,a@x.example,E]",
            ),
            (
                "Hei\n\nStart på videresendt melding:\n\n> Fra: A B <a@x.example>\n> Emne: E\n> Dato: 24. februar 2026 kl. 10:00:00 CET\n> Til: c@x.example\n> \n> Rapport\n> to",
                "N:Hei|F:Rapport/to|[A B,a@x.example,E]",
            ),
            (
                "Videresendt melding:\n\nFra: a@x.example\nDato: 24. februar 2026\nTil: c@x.example\nEmne: E\n\nRapport",
                "F:Rapport|[,a@x.example,E]",
            ),
            (
                "----- Videresendt av Kari Nordmann/HSO den 24.02.2026 10:20 -----\n\nFra: A B/HSO\nTil: Kari\nDato: 24.02.2026 10:19\nEmne: E\n\nRapport",
                "F:Rapport|[A B/HSO,,E]",
            ),
            (
                "-------- Videresendt melding --------\nEmne: E\nDato: 24. feb. 2026\nFra: A B <a@x.example>\nTil: c@x.example\n\nRapport",
                "F:Rapport|[A B,a@x.example,E]",
            ),
            (
                "Se her\n\nFra: A [mailto:a@x.example]\nSendt: 2.3.2026\nTil: C\nEmne: VS: E\n\nOgså her\n\nFra: D <d@y.example>\nSendt: 1.3.2026\nTil: A\nEmne: E\n\nRapport",
                "N:Se her|F:Også her|F:Rapport|[A,a@x.example,VS: E]|[D,d@y.example,E]",
            ),
            (
                "Fra: Nordmann, Kari <k@x.example>\nSendt: 2.3.2026\nTil: C\nEmne: E\n\nRapport",
                "F:Rapport|[Nordmann, Kari,k@x.example,E]",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text, Thread::Forward), expected, "{text}");
        }
        // The mark tells, whatever the subject says.
        for thread in [Thread::New, Thread::Reply] {
            assert_eq!(
                shape(
                    "Se under\n\n---------- Videresendt melding ----------\nFra: a@x.example\nDato: 24.2.2026\nEmne: E\n\nRapport",
                    thread
                ),
                "N:Se under|F:Rapport|[,a@x.example,E]"
            );
        }
        // An edited subject: own text above a header block.
        assert_eq!(
            shape(
                "Se under\n\nFra: A <a@x.example>\nSendt: 2.3.2026\nTil: C\nEmne: E\n\nRapport",
                Thread::New
            ),
            "N:Se under|F:Rapport|[A,a@x.example,E]"
        );
    }

    #[test]
    fn text_that_only_looks_like_it() {
        for text in [
            "Fra: Legekontoret v/ lege A\nTil: Samhandlingsavvik\nTittel: Epikrise\nMottatt: 05.02.2026 12:32\n\nTekst",
            "Fra: Kari\nDato: 1.1.2026\nEmne: Epikrise\nMelding: Tekst",
            "Temp >38 og CRP\n>100 ved innkomst",
            "Den 3.2. skrev legen i journalen:\npasienten kan reise",
            "Den 03.02.2026 skrev sykepleier i rapporten:\nFalt på badet",
            "Fra mandag til fredag:\nIngen svarte",
            "Til: alle\nHei",
            "Forløp:\n- innlagt\n- utskrevet\n----\nslutt",
        ] {
            assert_eq!(
                shape(text, Thread::New),
                format!("N:{}", text.replace('\n', "/")),
                "{text}"
            );
        }
    }
}
