//! Text → folded words with their place, sentence and clause.
//!
//! Folding makes spellings equal that people hold for equal: lower case, `æ`→`ae`, `ø`→`oe`, `å`→`aa` (composed or
//! decomposed), `ä`→`ae`, `ö`→`oe`, other accents dropped, soft hyphens and zero-width characters removed. A word is a run
//! of letters and digits. Words that only a hyphen parts («PLO-melding», «epi-\nkrise») are read both apart and as one.
//!
//! A sentence ends at `.`, `!`, `?`, an empty line and before a list item; a full stop after an abbreviation, between
//! digits or before a month ends none. A clause ends at those, at `;`, `:`, `|`, a dash between spaces, a comma where the
//! rules say so, and before a clause-breaking word of the rules. Letter case decides nothing of this.

use super::lexicon::WordSet;
use std::ops::Range;

/// Parts of one hyphenated word that are also read as one.
const HYPHEN_PARTS_MAX: usize = 4;

/// Bytes of a folded word that are kept; longer runs of letters are no words.
const WORD_BYTES_MAX: usize = 256;

/// Words after which a full stop ends no sentence, folded.
const ABBREVIATIONS: [&str; 70] = [
    "adr", "ang", "ansv", "apr", "aug", "avd", "beh", "bl", "ca", "des", "dr", "dvs", "eks",
    "ekskl", "ekskl", "epikr", "ev", "evt", "febr", "feb", "feks", "fom", "forb", "gr", "henv",
    "hhv", "hj", "iht", "inkl", "innl", "int", "jan", "jf", "jfr", "jnr", "kl", "lab", "maks",
    "max", "med", "mfl", "mht", "min", "mnd", "mrk", "mv", "nov", "nr", "obs", "okt", "osv", "pas",
    "pga", "pkt", "ref", "sept", "sign", "tlf", "pasj", "spl", "sykepl", "tom", "undert", "us",
    "utskr", "vedr", "vha", "vs", "op", "resp",
];

/// None of them has more bytes.
const ABBREVIATION_BYTES_MAX: usize = 6;

/// Words before which «14.» is a date and no end of a sentence, folded.
const MONTHS: [&str; 16] = [
    "januar",
    "februar",
    "mars",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "desember",
    "jan",
    "feb",
    "okt",
    "des",
];

/// A word with the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Where its folded form stands in the line of its [`Words`].
    folded: Range<usize>,
    /// Byte offset of its first character in the text.
    pub(crate) start: usize,
    /// Byte offset after its last character.
    pub(crate) end: usize,
    /// Whether its first letter is a capital.
    pub(crate) capital: bool,
    /// Sentence number within the text.
    pub(crate) sentence: u32,
    /// Clause number within the text.
    pub(crate) clause: u32,
}

/// A word made of hyphenated parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Its first part.
    pub(crate) first: usize,
    /// How many parts it has.
    pub(crate) parts: usize,
    folded: Range<usize>,
}

/// The words of a text, in order. One string holds them all: to set aside memory for each would cost more than the rest.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The folded words, then the joined ones; a space before and after each.
    line: String,
    tokens: Vec<Token>,
    joined: Vec<Joined>,
}

impl Words {
    /// The words with their places.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The word of that number.
    pub(crate) fn get(&self, number: usize) -> Option<&Token> {
        self.tokens.get(number)
    }

    /// The folded form of a word of this text.
    pub(crate) fn word(&self, token: &Token) -> &str {
        self.line.get(token.folded.clone()).unwrap_or_default()
    }

    /// The folded words.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| self.word(token))
    }

    /// The words made of hyphenated parts, with their folded forms.
    pub(crate) fn joined(&self) -> impl Iterator<Item = (&Joined, &str)> {
        self.joined.iter().map(|joined| {
            (
                joined,
                self.line.get(joined.folded.clone()).unwrap_or_default(),
            )
        })
    }

    /// All words and joined words, between spaces.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Which of the words, or of the joined words counted on from them, stands at that place of the line.
    pub(crate) fn at(&self, place: usize) -> usize {
        let is_before = |folded: &Range<usize>| folded.end <= place;
        let word = self
            .tokens
            .partition_point(|token| is_before(&token.folded));
        if word < self.tokens.len() {
            return word;
        }
        word.saturating_add(
            self.joined
                .partition_point(|joined| is_before(&joined.folded)),
        )
    }

    /// Reads one more hyphenated word of so many parts both ways.
    fn join(&mut self, first: usize, parts: usize) {
        let mut tokens = self.tokens.iter().skip(first).take(parts);
        let Some((from, to)) = tokens.next().map(|one| {
            (
                one.folded.start,
                tokens.next_back().unwrap_or(one).folded.end,
            )
        }) else {
            return;
        };
        let start = self.line.len();
        self.line.extend_from_within(from..to);
        // The spaces between the parts.
        let mut whole = self.line.split_off(start);
        whole.retain(|c| c != ' ');
        self.line.push_str(&whole);
        self.joined.push(Joined {
            first,
            parts,
            folded: start..self.line.len(),
        });
        self.line.push(' ');
    }
}

/// Which words and signs end a clause besides the fixed ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClauseBreaks {
    /// Folded single words.
    pub(crate) words: WordSet<String>,
    /// Whether a comma ends a clause.
    pub(crate) comma: bool,
}

/// Characters that are not seen and part nothing.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'
    )
}

const fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}')
}

/// Marks that belong to the letter before them.
pub(crate) const fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// For each byte the letter or digit that it is, small; 0 where it is none of ASCII.
const LETTERS: [u8; 256] = letters();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "worked out by the compiler, which stops at a fault"
)]
const fn letters() -> [u8; 256] {
    let mut letters = [0; 256];
    let mut byte = 0;
    while byte < letters.len() {
        if (byte as u8).is_ascii_alphanumeric() {
            letters[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    letters
}

/// The small form of a letter or digit of ASCII.
#[inline]
fn letter(byte: u8) -> Option<u8> {
    let letter = LETTERS.get(usize::from(byte)).copied();
    letter.filter(|letter| *letter != 0)
}

/// Appends the folded form of `c`.
fn push_folded(out: &mut Vec<u8>, c: char) {
    if let (true, Ok(byte)) = (c.is_ascii(), u8::try_from(c)) {
        out.push(byte.to_ascii_lowercase());
        return;
    }
    for lower in c.to_lowercase() {
        match lower {
            'æ' | 'ä' | 'ǽ' => out.extend(b"ae"),
            'ø' | 'ö' | 'ǿ' => out.extend(b"oe"),
            'å' => out.extend(b"aa"),
            'à'..='ã' => out.push(b'a'),
            'è'..='ë' => out.push(b'e'),
            'ì'..='ï' => out.push(b'i'),
            'ñ' => out.push(b'n'),
            'ò'..='õ' => out.push(b'o'),
            'ù'..='ü' => out.push(b'u'),
            'ç' => out.push(b'c'),
            'ý' | 'ÿ' => out.push(b'y'),
            'ß' => out.extend(b"ss"),
            mark if is_combining(mark) => push_mark(out, mark),
            other => out.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

/// A combining mark after a folded letter: the ring and the diaeresis change it, other marks do not.
fn push_mark(out: &mut Vec<u8>, mark: char) {
    match (mark, out.last()) {
        ('\u{30a}', Some(b'a')) => out.push(b'a'),
        ('\u{308}', Some(b'a' | b'o')) => out.push(b'e'),
        _ => {}
    }
}

/// Folded letters as text: whole ones were appended.
fn text_of(folded: Vec<u8>) -> String {
    debug_assert!(std::str::from_utf8(&folded).is_ok(), "whole letters");
    String::from_utf8(folded).unwrap_or_default()
}

/// The folded form of a whole text, punctuation kept: for regular expressions. White space becomes one space, or one line
/// feed where it holds any. The second result tells for each byte of the first where it comes from in `text`.
pub(crate) fn fold_text(text: &str) -> (String, Vec<u32>) {
    let mut out = Vec::with_capacity(text.len());
    let mut places: Vec<u32> = Vec::with_capacity(text.len());
    let mut space: Option<(u8, u32)> = None;
    for (place, c) in text.char_indices() {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        if is_invisible(c) {
            continue;
        }
        if c.is_whitespace() {
            let kind = if c == '\n' { b'\n' } else { b' ' };
            space = match space {
                Some((b'\n', at)) => Some((b'\n', at)),
                Some((_, at)) => Some((kind, at)),
                None => Some((kind, place)),
            };
            continue;
        }
        if let Some((kind, at)) = space.take() {
            out.push(kind);
            places.push(at);
        }
        push_folded(&mut out, c);
        while places.len() < out.len() {
            places.push(place);
        }
    }
    (text_of(out), places)
}

/// The folded form of one word or name.
pub(crate) fn fold_word(word: &str) -> String {
    let mut out = Vec::with_capacity(word.len());
    for c in word.chars().filter(|c| !is_invisible(*c)) {
        push_folded(&mut out, c);
    }
    text_of(out)
}

/// The words of `text`, in order.
pub(crate) fn tokenise(text: &str, breaks: &ClauseBreaks) -> Words {
    let mut words = split_words(text);
    number(text, breaks, &mut words);
    words
}

/// Reads a text from left to right and keeps its words.
struct Splitter<'a> {
    text: &'a str,
    /// As [`Words`] has it, in bytes.
    line: Vec<u8>,
    tokens: Vec<Token>,
    /// The word that is read.
    open: Option<Token>,
}

fn split_words(text: &str) -> Words {
    // Room for words of the usual length, within reason.
    let mut splitter = Splitter {
        text,
        line: Vec::with_capacity(text.len().saturating_add(text.len() / 8)),
        tokens: Vec::with_capacity((text.len() / 6).min(10_000)),
        open: None,
    };
    splitter.line.push(b' ');
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at).copied() {
        at = if byte.is_ascii() {
            splitter.ascii(at, byte)
        } else {
            splitter.other(at)
        };
    }
    splitter.close();
    Words {
        line: text_of(splitter.line),
        tokens: splitter.tokens,
        joined: Vec::new(),
    }
}

impl Splitter<'_> {
    /// Takes the letters of ASCII that stand side by side, or a sign, and says where it goes on.
    fn ascii(&mut self, at: usize, first: u8) -> usize {
        let next = at.saturating_add(1);
        let Some(small) = letter(first) else {
            self.close();
            return next;
        };
        let start = self.line.len();
        self.line.push(small);
        let rest = self.text.as_bytes().get(next..).unwrap_or_default();
        for byte in rest {
            let Some(small) = letter(*byte) else { break };
            self.line.push(small);
        }
        let end = at.saturating_add(self.line.len().saturating_sub(start));
        let token = self
            .open
            .get_or_insert_with(|| begin(start, at, first.is_ascii_uppercase()));
        token.end = end;
        let room = token.folded.start.saturating_add(WORD_BYTES_MAX);
        self.line.truncate(room.max(start));
        end
    }

    /// Takes a letter or sign beyond ASCII and says where it goes on.
    fn other(&mut self, at: usize) -> usize {
        let Some(c) = self.text.get(at..).and_then(|rest| rest.chars().next()) else {
            return self.text.len();
        };
        let end = at.saturating_add(c.len_utf8());
        if is_invisible(c) {
            // A soft hyphen at the end of a line: the word goes on in the next line.
            let rest = self.text.get(end..).unwrap_or_default();
            if c == '\u{ad}' && self.open.is_some() && rest.starts_with(['\n', '\r']) {
                return self.text.len().saturating_sub(rest.trim_start().len());
            }
        } else if is_combining(c) {
            if let Some(token) = self.open.as_mut() {
                push_mark(&mut self.line, c);
                token.end = end;
            }
        } else if c.is_alphanumeric() {
            let start = self.line.len();
            let token = self
                .open
                .get_or_insert_with(|| begin(start, at, c.is_uppercase()));
            if start.saturating_sub(token.folded.start) < WORD_BYTES_MAX {
                push_folded(&mut self.line, c);
            }
            token.end = end;
        } else {
            self.close();
        }
        end
    }

    /// Ends the word that is read, if one is.
    fn close(&mut self) {
        if let Some(mut token) = self.open.take() {
            token.folded.end = self.line.len();
            self.line.push(b' ');
            self.tokens.push(token);
        }
    }
}

/// A word that begins at these places of the line and of the text.
const fn begin(line: usize, text: usize, capital: bool) -> Token {
    Token {
        folded: line..line,
        start: text,
        end: text,
        capital,
        sentence: 0,
        clause: 0,
    }
}

/// What stands between two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Nothing,
    Hyphen,
    Clause,
    Sentence,
}

fn number(text: &str, breaks: &ClauseBreaks, words: &mut Words) {
    let mut sentence = 0_u32;
    let mut clause = 0_u32;
    let mut previous: Option<&Token> = None;
    let Words { line, tokens, .. } = words;
    let word = |token: &Token| line.get(token.folded.clone()).unwrap_or_default();
    // First part and number of parts of what only hyphens part.
    let mut hyphenated: Vec<(usize, usize)> = Vec::new();
    for (at, token) in tokens.iter_mut().enumerate() {
        let gap = previous.map_or(Gap::Nothing, |before| {
            match text.get(before.end..token.start).unwrap_or_default() {
                // Between most words.
                " " | "\n" => Gap::Nothing,
                between => gap(word(before), between, word(token), breaks.comma),
            }
        });
        match gap {
            Gap::Sentence => {
                sentence = sentence.saturating_add(1);
                clause = clause.saturating_add(1);
            }
            Gap::Clause => clause = clause.saturating_add(1),
            Gap::Nothing if previous.is_some() && breaks.words.contains(word(token)) => {
                clause = clause.saturating_add(1);
            }
            Gap::Hyphen => match hyphenated.last_mut() {
                Some((first, parts)) if first.saturating_add(*parts) == at => {
                    *parts = parts.saturating_add(1);
                }
                _ => hyphenated.push((at.saturating_sub(1), 2)),
            },
            Gap::Nothing => {}
        }
        token.sentence = sentence;
        token.clause = clause;
        previous = Some(token);
    }
    for (first, parts) in hyphenated {
        if parts <= HYPHEN_PARTS_MAX {
            words.join(first, parts);
        }
    }
}

fn gap(before: &str, between: &str, after: &str, comma: bool) -> Gap {
    match between {
        ", " | ",\n" if comma => Gap::Clause,
        ". " | ".\n" if is_stop(before, after) => Gap::Sentence,
        ", " | ",\n" | ". " | ".\n" => Gap::Nothing,
        "\n\n" | ".\n\n" => Gap::Sentence,
        _ => rare_gap(before, between, after, comma),
    }
}

/// Any gap, also one that [`gap`] knows at a glance.
fn rare_gap(before: &str, between: &str, after: &str, comma: bool) -> Gap {
    let mut signs = between.chars().filter(|c| !is_invisible(*c));
    match (signs.next(), signs.next()) {
        (None, _) | (Some(' ' | '\n'), None) => return Gap::Nothing,
        (Some(hyphen), None) if is_hyphen(hyphen) => return Gap::Hyphen,
        (Some(hyphen), Some('\n' | '\r'))
            if is_hyphen(hyphen) && signs.all(char::is_whitespace) =>
        {
            return if between.matches('\n').count() > 1 {
                Gap::Sentence
            } else {
                Gap::Hyphen
            };
        }
        _ => {}
    }
    let spaced = between.chars().any(char::is_whitespace);
    if between.contains(['!', '?']) || between.matches('\n').count() > 1 || is_list_item(between) {
        return Gap::Sentence;
    }
    if spaced && between.contains('.') && is_stop(before, after) {
        return Gap::Sentence;
    }
    let mut clause = between.contains([';', '|']);
    clause |= spaced && between.contains(':');
    clause |= comma && between.contains(',') && !(is_number(before) && is_number(after) && !spaced);
    clause |= between
        .split(char::is_whitespace)
        .any(|part| matches!(part, "-" | "–" | "—"))
        && spaced;
    if clause { Gap::Clause } else { Gap::Nothing }
}

/// Whether a full stop between these words, with a space behind it, ends a sentence.
fn is_stop(before: &str, after: &str) -> bool {
    if is_number(before) {
        return !is_number(after) && !MONTHS.contains(&after);
    }
    let is_short = before.len() <= ABBREVIATION_BYTES_MAX;
    before.len() != 1 && !(is_short && ABBREVIATIONS.contains(&before))
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a new line begins with a bullet.
fn is_list_item(between: &str) -> bool {
    between
        .rsplit_once('\n')
        .is_some_and(|(_, line)| line.trim_start().starts_with(['-', '*', '•', '–', '·']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokenise(text, &ClauseBreaks::default())
            .iter()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn spellings_that_are_the_same() {
        for text in [
            "Rådgiver på øyepost",
            "RÅDGIVER PÅ ØYEPOST",
            "Ra\u{30a}dgiver pa\u{30a} øye\u{ad}post",
            "Raadgiver paa oeyepost",
        ] {
            assert_eq!(words(text), ["raadgiver", "paa", "oeyepost"], "{text}");
        }
        assert_eq!(
            words("Müller, idé, Häkkinen, Ho\u{308}st"),
            ["muller", "ide", "haekkinen", "hoest"]
        );
    }

    #[test]
    fn hyphens_read_both_ways() {
        let words_of = tokenise(
            "en epi-\nkrise og PLO-melding, e-post - nei, for-a-lang-og-stor",
            &ClauseBreaks::default(),
        );
        let joined: Vec<_> = words_of
            .joined()
            .map(|(joined, word)| (joined.first, joined.parts, word))
            .collect();
        assert_eq!(
            joined,
            [(1, 2, "epikrise"), (4, 2, "plomelding"), (6, 2, "epost")]
        );
        assert_eq!(words("epi\u{ad}\nkrise"), ["epikrise"]);
    }

    #[test]
    fn sentences() {
        for (text, count) in [
            ("Pas. kom 14. januar kl. 16.30. Han ventet", 2),
            ("PAS. KOM 14. JANUAR KL. 16.30. HAN VENTET", 2),
            ("Mangler svar!\nHvorfor? Vet ikke", 3),
            ("en linje\nsom går videre", 1),
            ("avsnitt\n\nnytt avsnitt", 2),
            ("- epikrise\n- medisinliste", 2),
            ("skriv til post@so-hf.example i dag", 1),
        ] {
            let words = tokenise(text, &ClauseBreaks::default());
            let last = words.tokens().last().unwrap();
            assert_eq!(last.sentence + 1, count, "{text}");
        }
    }

    #[test]
    fn clauses() {
        let breaks = ClauseBreaks {
            words: ["men".to_owned()].into_iter().collect(),
            comma: true,
        };
        for (text, count) in [
            ("epikrisen kom i tide, men lista manglet", 2),
            ("epikrisen kom i tide men lista manglet", 2),
            ("Kalium 3,9 og fin", 1),
            ("Konsekvens: ingen", 2),
            ("kl 16:30 i dag", 1),
            ("epikrise – lungepost", 2),
        ] {
            let words = tokenise(text, &breaks);
            assert_eq!(words.tokens().last().unwrap().clause + 1, count, "{text}");
        }
    }

    #[test]
    fn endless_words_are_cut() {
        for letter in ["ø", "o"] {
            let text = letter.repeat(10_000);
            let words = tokenise(&text, &ClauseBreaks::default());
            let [token] = words.tokens() else {
                panic!("{letter}")
            };
            assert_eq!(words.word(token).len(), WORD_BYTES_MAX);
            assert_eq!(token.end, text.len());
        }
    }

    #[test]
    fn offsets_point_into_the_text() {
        let text = "Så «Ørje»\nkom";
        let words = tokenise(text, &ClauseBreaks::default());
        for token in words.tokens() {
            assert_eq!(fold_word(&text[token.start..token.end]), words.word(token));
        }
        let (folded, places) = fold_text("På\n \u{ad}Ørje  nå");
        assert_eq!(folded, "paa\noerje naa");
        assert_eq!(places.len(), folded.len());
        assert_eq!(
            places[folded.find("naa").unwrap()],
            u32::try_from("På\n \u{ad}Ørje  ".len()).unwrap()
        );
    }
}
