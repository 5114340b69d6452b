//! What must stand in a text before a regular expression can match in it: short strings, in order, no further apart than
//! the expression lets them be. One pass over the text along one tree of them tells of hundreds of expressions that they cannot
//! match; only the few that are left are run.
//!
//! The strings are compared in a plainer alphabet, in which more is equal than in the text: digits are `0`, all that is no
//! ASCII letter, digit or `_` is a space, and a space stands before and after the text. So a trace may be there where the
//! expression does not match, never the other way round.

use std::ops::Range;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use crate::rules::trie::{self, Trie};

/// Strings that one step of a trace may be made of by combining parts that have several: «(a|b) (c|d)» has four.
const COMBINED_MAX: usize = 24;
/// Bytes that a class may have to be read as so many strings; a larger one may be anything.
const CLASS_MAX: usize = 8;
/// Times that a part may be repeated to be read as so many strings.
const REPEATED_MAX: u32 = 8;
/// Strings that one step may have in all.
const STRINGS_MAX: usize = 400;
/// Bytes of a string.
const STRING_BYTES_MAX: usize = 48;
/// Letters and digits that a string must have to be worth looking for.
const LETTERS_MIN: usize = 2;
/// Bytes by which two ends may be further apart than the expression says: spaces before and after a string that only
/// stand for a border of a word.
const SLACK: usize = 2;
/// Steps of one trace; those beyond say nothing.
const STEPS_MAX: usize = 8;
/// More than the bytes of a string with the spaces at its borders.
const RING: usize = 64;
const _: () = assert!(
    STRING_BYTES_MAX + SLACK < RING,
    "strings end within the ring"
);

/// A byte in the alphabet of the traces.
const fn plain(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'0',
        b'a'..=b'z' | b'_' => byte,
        b'A'..=b'Z' => byte.to_ascii_lowercase(),
        _ => b' ',
    }
}

/// The symbol of a byte in the alphabet of the traces, all of which the tree holds for common.
fn symbol(byte: u8) -> u8 {
    const SYMBOLS: [u8; 256] = symbols();
    SYMBOLS.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "worked out by the compiler, which stops at a fault"
)]
const fn symbols() -> [u8; 256] {
    let mut symbols = [0; 256];
    let mut byte = 0;
    while byte < symbols.len() {
        if let Some(symbol) = trie::common(plain(byte as u8)) {
            symbols[byte] = symbol;
        }
        byte += 1;
    }
    symbols
}

/// A string that a part of an expression matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Piece {
    text: Vec<u8>,
    /// A border of a word must be in front.
    front: bool,
    /// And behind.
    back: bool,
}

impl Piece {
    /// This one and the next; `None` when a border of a word between them cannot be.
    fn join(&self, next: &Self) -> Option<Self> {
        let border = self.back || next.front;
        if let (Some(last), Some(first)) = (self.text.last(), next.text.first())
            && border
            && (*last == b' ') == (*first == b' ')
        {
            return None;
        }
        Some(Self {
            text: [self.text.as_slice(), next.text.as_slice()].concat(),
            front: self.front || self.text.is_empty() && next.front,
            back: next.back || next.text.is_empty() && self.back,
        })
    }

    /// As it is looked for: a letter at the border of a word has a space beside it.
    fn string(&self) -> Vec<u8> {
        let is_letter = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b' ');
        let mut string = Vec::with_capacity(self.text.len().saturating_add(2));
        if self.front && is_letter(self.text.first()) {
            string.push(b' ');
        }
        string.extend_from_slice(&self.text);
        if self.back && is_letter(self.text.last()) {
            string.push(b' ');
        }
        string
    }
}

/// One of these strings must stand in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    strings: Vec<Vec<u8>>,
    /// Bytes that its end may lie behind the end of the step before, or behind the start of the match.
    reach: usize,
}

impl Step {
    /// What it is worth: the letters of its shortest string, then how few strings it has.
    fn worth(&self) -> (usize, usize) {
        let least = self.strings.iter().map(|string| letters(string)).min();
        let few = STRINGS_MAX.saturating_sub(self.strings.len());
        (least.unwrap_or_default(), few)
    }
}

fn letters(string: &[u8]) -> usize {
    string.iter().filter(|byte| **byte != b' ').count()
}

/// All strings that the part can match, in the plain alphabet; `None` when they are too many.
fn strings(hir: &Hir) -> Option<Vec<Piece>> {
    let mut pieces = match hir.kind() {
        HirKind::Empty => vec![Piece::default()],
        HirKind::Look(look) => {
            let border = *look == Look::WordAscii;
            vec![Piece {
                text: Vec::new(),
                front: border,
                back: border,
            }]
        }
        HirKind::Literal(literal) => vec![Piece {
            text: literal.0.iter().map(|byte| plain(*byte)).collect(),
            ..Piece::default()
        }],
        HirKind::Class(Class::Bytes(class)) => {
            let mut bytes: Vec<u8> = class
                .iter()
                .flat_map(|range| (range.start()..=range.end()).map(plain))
                .collect();
            bytes.sort_unstable();
            bytes.dedup();
            if bytes.len() > CLASS_MAX {
                return None;
            }
            let text = |byte: u8| Piece {
                text: vec![byte],
                ..Piece::default()
            };
            bytes.into_iter().map(text).collect()
        }
        HirKind::Class(Class::Unicode(_)) => return None,
        HirKind::Repetition(repetition) => repeated(repetition)?,
        HirKind::Capture(capture) => strings(&capture.sub)?,
        HirKind::Concat(parts) => {
            let mut whole = vec![Piece::default()];
            for part in parts {
                whole = product(&whole, &strings(part)?, STRINGS_MAX)?;
            }
            whole
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(strings(part)?);
                if all.len() > STRINGS_MAX {
                    return None;
                }
            }
            all
        }
    };
    pieces.sort_unstable();
    pieces.dedup();
    let short = pieces.iter().all(|one| one.text.len() <= STRING_BYTES_MAX);
    (short && pieces.len() <= STRINGS_MAX).then_some(pieces)
}

fn repeated(repetition: &Repetition) -> Option<Vec<Piece>> {
    let max = repetition.max.filter(|max| *max <= REPEATED_MAX)?;
    let one = strings(&repetition.sub)?;
    let mut all: Vec<Piece> = Vec::new();
    let mut whole = vec![Piece::default()];
    for count in 0..=max {
        if count >= repetition.min {
            all.extend(whole.iter().cloned());
        }
        if count < max {
            whole = product(&whole, &one, STRINGS_MAX)?;
        }
    }
    Some(all)
}

fn product(left: &[Piece], right: &[Piece], max: usize) -> Option<Vec<Piece>> {
    if left.len().saturating_mul(right.len()) > max {
        return None;
    }
    let mut pieces: Vec<Piece> = left
        .iter()
        .flat_map(|left| right.iter().filter_map(|right| left.join(right)))
        .collect();
    pieces.sort_unstable();
    pieces.dedup();
    let short = pieces.iter().all(|one| one.text.len() <= STRING_BYTES_MAX);
    short.then_some(pieces)
}

/// Reads an expression from left to right.
#[derive(Debug)]
struct Reader {
    steps: Vec<Step>,
    /// What stands right before the place that is read.
    run: Vec<Piece>,
    /// Bytes that may lie between the last step, or the start of the match, and the run.
    gap: usize,
}

impl Reader {
    fn new() -> Self {
        Self {
            steps: Vec::new(),
            run: vec![Piece::default()],
            gap: 0,
        }
    }

    fn read(&mut self, hir: &Hir) {
        if let Some(pieces) = strings(hir) {
            self.strings(&pieces);
            return;
        }
        let longest = hir.properties().maximum_len();
        match hir.kind() {
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.read(part)),
            HirKind::Capture(capture) => self.read(&capture.sub),
            HirKind::Repetition(repetition) if repetition.min > 0 => {
                self.read(&repetition.sub);
                self.open(longest);
            }
            HirKind::Alternation(parts) => self.alternatives(parts, longest),
            _ => self.open(longest),
        }
    }

    /// A part of which all strings are known.
    fn strings(&mut self, pieces: &[Piece]) {
        let max = if self.run.len().min(pieces.len()) > 1 {
            COMBINED_MAX
        } else {
            STRINGS_MAX
        };
        if let Some(run) = product(&self.run, pieces, max) {
            self.run = run;
            return;
        }
        let all = |pieces: &[Piece], space: fn(&Piece) -> bool| {
            !pieces.is_empty() && pieces.iter().all(space)
        };
        if all(pieces, |one| one.text.first() == Some(&b' ')) {
            for one in &mut self.run {
                one.back |= !one.text.is_empty();
            }
        }
        let parted = all(&self.run, |one| one.text.last() == Some(&b' '));
        self.flush();
        self.run = pieces.to_vec();
        if parted {
            for one in &mut self.run {
                one.front |= one.text.first().is_some_and(|first| *first != b' ');
            }
        }
    }

    /// Makes a step of the run, or lets it go.
    fn flush(&mut self) {
        let run = std::mem::replace(&mut self.run, vec![Piece::default()]);
        let longest = run.iter().map(|one| one.text.len()).max();
        let end = self.gap.saturating_add(longest.unwrap_or_default());
        let mut strings: Vec<Vec<u8>> = run.iter().map(Piece::string).collect();
        strings.sort_unstable();
        strings.dedup();
        let telling =
            |string: &Vec<u8>| string.len() > LETTERS_MIN && letters(string) >= LETTERS_MIN;
        if self.steps.len() < STEPS_MAX && strings.iter().all(telling) {
            self.steps.push(Step {
                strings,
                reach: end.saturating_add(SLACK),
            });
            self.gap = 0;
        } else {
            self.gap = end;
        }
    }

    /// Anything of at most so many bytes.
    fn open(&mut self, longest: Option<usize>) {
        self.flush();
        self.gap = self.gap.saturating_add(longest.unwrap_or(usize::MAX));
    }

    /// One of several: the best step of each.
    fn alternatives(&mut self, parts: &[Hir], longest: Option<usize>) {
        let mut strings: Vec<Vec<u8>> = Vec::new();
        for part in parts {
            let best = steps(part).0.into_iter().max_by_key(Step::worth);
            let Some(best) = best else {
                return self.open(longest);
            };
            strings.extend(best.strings);
        }
        self.flush();
        if self.steps.len() >= STEPS_MAX {
            return self.open(longest);
        }
        let longest = longest.unwrap_or(usize::MAX);
        self.steps.push(Step {
            strings,
            reach: self.gap.saturating_add(longest).saturating_add(SLACK),
        });
        self.gap = longest;
    }
}

/// The steps of an expression in their order, and the bytes that a match may have behind the end of the last one. None when
/// it may match without any string that could be looked for.
fn steps(hir: &Hir) -> (Vec<Step>, usize) {
    let mut reader = Reader::new();
    reader.read(hir);
    reader.flush();
    (reader.steps, reader.gap)
}

/// A step of one of the expressions. Narrow, so that all of them stay in the processor.
#[derive(Debug)]
struct Place {
    /// Which expression.
    pattern: u32,
    /// See [`Step::reach`].
    reach: u32,
    /// For the last step: bytes of the match before its end and after it, at most.
    last: Option<(u32, u32)>,
}

/// As a number of bytes of a text; what is more than any text has stands for no bound.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The traces of all expressions.
#[derive(Debug)]
pub(in crate::rules) struct Traces {
    strings: Trie,
    /// For each string, where the steps that it is one of begin in `users`; those of the next string follow.
    starts: Vec<u32>,
    users: Vec<User>,
    places: Vec<Place>,
    /// Expressions that leave no trace.
    traceless: Vec<usize>,
}

/// A step that a string is one of. Most of them come too early or too late, which is seen without the step itself.
#[derive(Debug, Clone, Copy)]
struct User {
    place: u32,
    is_first: bool,
}

/// Stands for an expression that need not be looked for any more.
const SETTLED: u32 = u32::MAX;

/// Room for [`Traces::find`], so that it is taken once for many texts.
#[derive(Debug, Default)]
pub(in crate::rules) struct Room {
    /// The text, as symbols of the tree of strings.
    symbols: Vec<u8>,
    /// The strings that end at each of the next [`RING`] bytes.
    due: Vec<Vec<u32>>,
    /// Where each step ended last; 0 when it has not been met. Of a last step, how many bytes its expression was looked for
    /// in, or [`SETTLED`].
    ends: Vec<u32>,
}

/// Collects the traces of expressions, each of which may be forgotten at once: read, they are the largest part of a rule set.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// All strings, end to end: tens of thousands of small pieces among what stays would leave holes behind.
    letters: Vec<u8>,
    /// Where each lies in there, and the step that it is one of.
    strings: Vec<(Range<usize>, User)>,
    places: Vec<Place>,
    traceless: Vec<usize>,
    patterns: usize,
}

impl Collector {
    /// Takes the next expression, in the order of their numbers.
    pub(super) fn add(&mut self, hir: &Hir) {
        let pattern = self.patterns;
        self.patterns = pattern.saturating_add(1);
        let (steps, rest) = steps(hir);
        let mut left = steps.len();
        if left == 0 {
            self.traceless.push(pattern);
        }
        let mut whole = 0_usize;
        for (at, step) in steps.into_iter().enumerate() {
            left = left.saturating_sub(1);
            whole = whole.saturating_add(step.reach);
            let user = User {
                place: narrow(self.places.len()),
                is_first: at == 0,
            };
            for string in step.strings {
                let start = self.letters.len();
                self.letters.extend_from_slice(&string);
                self.strings.push((start..self.letters.len(), user));
            }
            self.places.push(Place {
                pattern: narrow(pattern),
                reach: narrow(step.reach),
                last: (left == 0).then_some((narrow(whole), narrow(rest))),
            });
        }
    }

    /// All that were taken.
    pub(super) fn finish(mut self) -> Traces {
        let letters = self.letters;
        let string = |range: &Range<usize>| letters.get(range.clone()).unwrap_or_default();
        // Steps with the same string stay in their order.
        self.strings
            .sort_by(|(one, _), (other, _)| string(one).cmp(string(other)));
        let mut different = Vec::new();
        let mut users = Vec::with_capacity(self.strings.len());
        let mut starts = vec![0];
        for same in self
            .strings
            .chunk_by(|(one, _), (other, _)| string(one) == string(other))
        {
            different.extend(same.first().map(|(range, _)| string(range)));
            users.extend(same.iter().map(|(_, user)| *user));
            starts.push(narrow(users.len()));
        }
        starts.shrink_to_fit();
        self.places.shrink_to_fit();
        Traces {
            strings: Trie::new(different.into_iter()),
            starts,
            users,
            places: self.places,
            traceless: self.traceless,
        }
    }
}

impl Traces {
    /// Shows the places of a folded text at which an expression may match: its number, and a range that holds the match.
    /// Matches of the expression that are in none of the ranges shown before begin in this one or later; after a range
    /// that ends with the text, no more of that expression is shown.
    pub(in crate::rules) fn find(
        &self,
        folded: &str,
        room: &mut Room,
        mut show: impl FnMut(usize, Range<usize>),
    ) {
        for pattern in &self.traceless {
            show(*pattern, 0..folded.len());
        }
        room.symbols.clear();
        room.symbols.push(symbol(b' '));
        room.symbols.extend(folded.bytes().map(symbol));
        room.symbols.push(symbol(b' '));
        room.ends.clear();
        room.ends.resize(self.places.len(), 0);
        room.due.resize_with(RING, Vec::new);
        let Room { symbols, due, ends } = room;
        // A string is met where it begins and counts where it ends; of those that end together the longest comes first.
        let mut rest = symbols.as_slice();
        for at in 0..=symbols.len() {
            if let Some(strings) = due.get_mut(at % RING).filter(|due| !due.is_empty()) {
                for string in strings.drain(..) {
                    self.end(string, narrow(at), narrow(folded.len()), ends, &mut show);
                }
            }
            let mut place = trie::Place::default();
            for (symbol, end) in rest.iter().zip(at.saturating_add(1)..) {
                let Some(next) = self.strings.next(place, *symbol) else {
                    break;
                };
                place = next;
                if let Some(string) = self.strings.string(place)
                    && let Some(due) = due.get_mut(end % RING)
                {
                    due.push(string);
                }
            }
            rest = rest.get(1..).unwrap_or_default();
        }
    }

    /// The steps that a string is one of.
    fn users(&self, string: u32) -> &[User] {
        let at = wide(string);
        let start = self.starts.get(at).copied().unwrap_or_default();
        let end = self.starts.get(at.saturating_add(1)).copied();
        self.users
            .get(wide(start)..wide(end.unwrap_or(start)))
            .unwrap_or_default()
    }

    /// A string ends behind so many bytes of a plain text, which has a space more in front than the folded one.
    fn end(
        &self,
        string: u32,
        end: u32,
        length: u32,
        ends: &mut [u32],
        show: &mut impl FnMut(usize, Range<usize>),
    ) {
        for user in self.users(string) {
            let at = wide(user.place);
            let before = if user.is_first {
                0
            } else {
                let before = at.checked_sub(1).and_then(|before| ends.get(before));
                before.copied().unwrap_or_default()
            };
            if !user.is_first && before == 0 {
                continue;
            }
            let Some((place, slot)) = self.places.get(at).zip(ends.get_mut(at)) else {
                continue;
            };
            if !user.is_first && end.saturating_sub(before) > place.reach {
                continue;
            }
            let Some((whole, rest)) = place.last else {
                *slot = end;
                continue;
            };
            if *slot == SETTLED {
                continue;
            }
            let from = end.saturating_sub(whole);
            // The space in front of the text, and one byte behind the match to look at.
            let to = end.saturating_add(rest).saturating_add(narrow(SLACK));
            let to = to.min(length);
            // Looking here and there must not cost more than looking through the text once and again.
            let spent = slot.saturating_add(to.saturating_sub(from));
            let to = if spent > length { length } else { to };
            show(wide(place.pattern), wide(from)..wide(to));
            *slot = if to == length { SETTLED } else { spent };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str) -> Hir {
        let mut parser = regex_syntax::ParserBuilder::new();
        let parser = parser.unicode(false).utf8(false);
        parser.build().parse(pattern).unwrap()
    }

    fn trace(pattern: &str) -> Vec<String> {
        let (steps, _) = steps(&read(pattern));
        steps
            .into_iter()
            .map(|step| {
                let strings: Vec<String> = step
                    .strings
                    .into_iter()
                    .map(|string| String::from_utf8(string).unwrap())
                    .collect();
                strings.join("|")
            })
            .collect()
    }

    #[test]
    fn expressions_leave_traces() {
        for (pattern, steps) in [
            (r"\bmva\b", &[" mva "] as &[&str]),
            ("betal[a-z]* (ikke|ikkje)", &["betal", " ikke| ikkje"]),
            (
                r"\b(jeg|eg) (ble|blei)\b",
                &[" eg ble | eg blei | jeg ble | jeg blei "],
            ),
            (r"sak-20\d\d", &["sak 0000"]),
            (r"\bkid\b\W{0,1}\d{5,}", &[" kid 0"]),
            ("(faktura[a-z]*|krav)x", &["faktura|krav"]),
            ("[a-z]+", &[]),
            ("(mva)?", &[]),
            ("a|mva", &[]),
        ] {
            assert_eq!(trace(pattern), steps, "{pattern}");
        }
    }

    #[test]
    fn what_lies_too_far_apart_is_not_shown() {
        let hir = read("ikke[^.]{0,10}sendt");
        let mut traces = Collector::default();
        traces.add(&hir);
        let traces = traces.finish();
        for (text, expected) in [
            ("ikke var sendt", vec![(0, 0..14)]),
            ("sendt ikke", Vec::new()),
            ("ikke, som vi har sagt, sendt", Vec::new()),
        ] {
            let mut shown = Vec::new();
            traces.find(text, &mut Room::default(), |number, range| {
                shown.push((number, range));
            });
            assert_eq!(shown, expected, "{text}");
        }
    }
}
