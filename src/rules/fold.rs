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

/// Appends the folded form of `c`.
fn push_folded(out: &mut String, c: char) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    for lower in c.to_lowercase() {
        match lower {
            'æ' | 'ä' | 'ǽ' => out.push_str("ae"),
            'ø' | 'ö' | 'ǿ' => out.push_str("oe"),
            'å' => out.push_str("aa"),
            'à'..='ã' => out.push('a'),
            'è'..='ë' => out.push('e'),
            'ì'..='ï' => out.push('i'),
            'ñ' => out.push('n'),
            'ò'..='õ' => out.push('o'),
            'ù'..='ü' => out.push('u'),
            'ç' => out.push('c'),
            'ý' | 'ÿ' => out.push('y'),
            'ß' => out.push_str("ss"),
            mark if is_combining(mark) => push_mark(out, mark),
            other => out.push(other),
        }
    }
}

/// A combining mark after a folded letter: the ring and the diaeresis change it, other marks do not.
fn push_mark(out: &mut String, mark: char) {
    match (mark, out.chars().next_back()) {
        ('\u{30a}', Some('a')) => out.push('a'),
        ('\u{308}', Some('a' | 'o')) => out.push('e'),
        _ => {}
    }
}

/// The folded form of a whole text, punctuation kept: for regular expressions. White space becomes one space, or one line
/// feed where it holds any. The second result tells for each byte of the first where it comes from in `text`.
pub(crate) fn fold_text(text: &str) -> (String, Vec<u32>) {
    let mut out = String::with_capacity(text.len());
    let mut places: Vec<u32> = Vec::with_capacity(text.len());
    let mut space: Option<(char, usize)> = None;
    for (place, c) in text.char_indices() {
        if is_invisible(c) {
            continue;
        }
        if c.is_whitespace() {
            let kind = if c == '\n' { '\n' } else { ' ' };
            space = match space {
                Some(('\n', at)) => Some(('\n', at)),
                Some((_, at)) => Some((kind, at)),
                None => Some((kind, place)),
            };
            continue;
        }
        if let Some((kind, at)) = space.take() {
            out.push(kind);
            places.resize(out.len(), u32::try_from(at).unwrap_or(u32::MAX));
        }
        push_folded(&mut out, c);
        places.resize(out.len(), u32::try_from(place).unwrap_or(u32::MAX));
    }
    (out, places)
}

/// The folded form of one word or name.
pub(crate) fn fold_word(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars().filter(|c| !is_invisible(*c)) {
        push_folded(&mut out, c);
    }
    out
}

/// The words of `text`, in order.
pub(crate) fn tokenise(text: &str, breaks: &ClauseBreaks) -> Words {
    let mut words = split_words(text);
    number(text, breaks, &mut words);
    words
}

fn split_words(text: &str) -> Words {
    // Room for words of the usual length, within reason.
    let mut words = Words {
        line: String::with_capacity(text.len().saturating_add(text.len() / 8)),
        tokens: Vec::with_capacity((text.len() / 6).min(10_000)),
        joined: Vec::new(),
    };
    words.line.push(' ');
    let mut open: Option<Token> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let place = text.len().saturating_sub(rest.len());
        if c.is_ascii() {
            // Most text: as many letters, or other signs, as stand side by side.
            let is_word = c.is_ascii_alphanumeric();
            let run = rest
                .bytes()
                .take_while(|byte| byte.is_ascii() && byte.is_ascii_alphanumeric() == is_word)
                .count();
            let Some((run, after)) = rest.split_at_checked(run) else {
                break;
            };
            rest = after;
            if !is_word {
                close(&mut open, &mut words);
                continue;
            }
            let token = open.get_or_insert_with(|| begin(&words.line, place, c));
            let start = words.line.len();
            let room = WORD_BYTES_MAX.saturating_sub(start.saturating_sub(token.folded.start));
            words.line.push_str(run.get(..room).unwrap_or(run));
            if let Some(folded) = words.line.get_mut(start..) {
                folded.make_ascii_lowercase();
            }
            token.end = place.saturating_add(run.len());
            continue;
        }
        let end = place.saturating_add(c.len_utf8());
        rest = text.get(end..).unwrap_or_default();
        if is_invisible(c) {
            // A soft hyphen at the end of a line: the word goes on in the next line.
            if c == '\u{ad}' && open.is_some() && rest.starts_with(['\n', '\r']) {
                rest = rest.trim_start();
            }
        } else if is_combining(c) {
            if let Some(token) = open.as_mut() {
                push_mark(&mut words.line, c);
                token.end = end;
            }
        } else if c.is_alphanumeric() {
            let token = open.get_or_insert_with(|| begin(&words.line, place, c));
            if words.line.len().saturating_sub(token.folded.start) < WORD_BYTES_MAX {
                push_folded(&mut words.line, c);
            }
            token.end = end;
        } else {
            close(&mut open, &mut words);
        }
    }
    close(&mut open, &mut words);
    words
}

/// A word that begins with that character.
fn begin(line: &str, place: usize, first: char) -> Token {
    Token {
        folded: line.len()..line.len(),
        start: place,
        end: place,
        capital: first.is_uppercase(),
        sentence: 0,
        clause: 0,
    }
}

/// Ends the word that is read, if one is.
fn close(open: &mut Option<Token>, words: &mut Words) {
    if let Some(mut token) = open.take() {
        token.folded.end = words.line.len();
        words.line.push(' ');
        words.tokens.push(token);
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
        ", " | ",\n" => Gap::Nothing,
        ". " | ".\n" if is_stop(before, after) => Gap::Sentence,
        ". " | ".\n" => Gap::Nothing,
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
