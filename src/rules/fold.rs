//! Text → folded words with their place, sentence and clause.
//!
//! Folding makes spellings equal that people hold for equal: lower case, `æ`→`ae`, `ø`→`oe`, `å`→`aa` (composed or
//! decomposed), `ä`→`ae`, `ö`→`oe`, other accents dropped, soft hyphens and zero-width characters removed. A word is a run
//! of letters and digits. Words that only a hyphen parts («PLO-melding», «epi-\nkrise») are read both apart and as one.
//!
//! A sentence ends at `.`, `!`, `?`, an empty line and before a list item; a full stop after an abbreviation, between
//! digits or before a month ends none. A clause ends at those, at `;`, `:`, `|`, a dash between spaces, a comma where the
//! rules say so, and before a clause-breaking word of the rules. Letter case decides nothing of this.

use std::collections::BTreeSet;

/// Parts of one hyphenated word that are also read as one.
const HYPHEN_PARTS_MAX: usize = 4;

/// Bytes of a folded word that are kept; longer runs of letters are no words.
const WORD_BYTES_MAX: usize = 256;

/// Words after which a full stop ends no sentence, folded.
const ABBREVIATIONS: [&str; 58] = [
    "adr", "ang", "ansv", "apr", "aug", "avd", "beh", "bl", "ca", "des", "dr", "dvs", "eks",
    "ekskl", "ekskl", "epikr", "ev", "evt", "febr", "feb", "feks", "fom", "forb", "gr", "henv",
    "hhv", "hj", "iht", "inkl", "innl", "int", "jan", "jf", "jfr", "jnr", "kl", "lab", "maks",
    "max", "med", "mfl", "mht", "min", "mnd", "mrk", "mv", "nov", "nr", "obs", "okt", "osv", "pas",
    "pga", "pkt", "ref", "sept", "sign", "tlf",
];

/// Further ones; two lists only because the first is long enough.
const MORE_ABBREVIATIONS: [&str; 12] = [
    "pasj", "spl", "sykepl", "tom", "undert", "us", "utskr", "vedr", "vha", "vs", "op", "resp",
];

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
    /// The folded word.
    pub(crate) word: String,
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
    /// The word made of this and the following hyphenated parts, and how many parts that are.
    pub(crate) joined: Option<(String, usize)>,
}

/// Which words and signs end a clause besides the fixed ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClauseBreaks {
    /// Folded single words.
    pub(crate) words: BTreeSet<String>,
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
pub(crate) fn tokenise(text: &str, breaks: &ClauseBreaks) -> Vec<Token> {
    let mut tokens = split_words(text);
    number(text, breaks, &mut tokens);
    tokens
}

fn split_words(text: &str) -> Vec<Token> {
    // Room for words of the usual length, within reason.
    let mut tokens: Vec<Token> = Vec::with_capacity((text.len() / 6).min(10_000));
    let mut open: Option<Token> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((place, c)) = chars.next() {
        if is_invisible(c) {
            // A soft hyphen at the end of a line: the word goes on in the next line.
            if c == '\u{ad}'
                && open.is_some()
                && chars
                    .peek()
                    .is_some_and(|(_, next)| matches!(next, '\n' | '\r'))
            {
                while chars.peek().is_some_and(|(_, next)| next.is_whitespace()) {
                    chars.next();
                }
            }
            continue;
        }
        if is_combining(c) {
            if let Some(token) = open.as_mut() {
                push_mark(&mut token.word, c);
                token.end = place.saturating_add(c.len_utf8());
            }
            continue;
        }
        if !c.is_alphanumeric() {
            tokens.extend(open.take());
            continue;
        }
        let token = open.get_or_insert_with(|| Token {
            word: String::with_capacity(16),
            start: place,
            end: place,
            capital: c.is_uppercase(),
            sentence: 0,
            clause: 0,
            joined: None,
        });
        if token.word.len() < WORD_BYTES_MAX {
            push_folded(&mut token.word, c);
        }
        token.end = place.saturating_add(c.len_utf8());
    }
    tokens.extend(open);
    tokens
}

/// What stands between two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Nothing,
    Hyphen,
    Clause,
    Sentence,
}

fn number(text: &str, breaks: &ClauseBreaks, tokens: &mut [Token]) {
    let mut sentence = 0_u32;
    let mut clause = 0_u32;
    let mut previous: Option<&Token> = None;
    let mut hyphens: Vec<bool> = Vec::with_capacity(tokens.len());
    for token in tokens.iter_mut() {
        let gap = previous.map_or(Gap::Nothing, |before| {
            gap(
                &before.word,
                text.get(before.end..token.start).unwrap_or_default(),
                &token.word,
                breaks.comma,
            )
        });
        match gap {
            Gap::Sentence => {
                sentence = sentence.saturating_add(1);
                clause = clause.saturating_add(1);
            }
            Gap::Clause => clause = clause.saturating_add(1),
            Gap::Nothing if previous.is_some() && breaks.words.contains(&token.word) => {
                clause = clause.saturating_add(1);
            }
            Gap::Nothing | Gap::Hyphen => {}
        }
        hyphens.push(gap == Gap::Hyphen);
        token.sentence = sentence;
        token.clause = clause;
        previous = Some(token);
    }
    join_hyphens(tokens, &hyphens);
}

/// Gives the first part of each hyphenated word the word as a whole. `hyphens[i]`: a hyphen stands before token `i`.
fn join_hyphens(tokens: &mut [Token], hyphens: &[bool]) {
    let mut at = 0_usize;
    while at < tokens.len() {
        let parts = hyphens
            .iter()
            .skip(at.saturating_add(1))
            .take_while(|hyphen| **hyphen)
            .count()
            .saturating_add(1);
        if (2..=HYPHEN_PARTS_MAX).contains(&parts) {
            let whole: String = tokens
                .iter()
                .skip(at)
                .take(parts)
                .map(|token| token.word.as_str())
                .collect();
            if let Some(first) = tokens.get_mut(at) {
                first.joined = Some((whole, parts));
            }
        }
        at = at.saturating_add(parts);
    }
}

fn gap(before: &str, between: &str, after: &str, comma: bool) -> Gap {
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
    let digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    if between.contains(['!', '?']) || between.matches('\n').count() > 1 || is_list_item(between) {
        return Gap::Sentence;
    }
    let mut clause = false;
    if spaced && between.contains('.') {
        let abbreviation = before.len() == 1 && !digits(before)
            || ABBREVIATIONS.contains(&before)
            || MORE_ABBREVIATIONS.contains(&before);
        let date = digits(before) && (digits(after) || MONTHS.contains(&after));
        if !abbreviation && !date {
            return Gap::Sentence;
        }
    }
    clause |= between.contains([';', '|']);
    clause |= spaced && between.contains(':');
    clause |= comma && between.contains(',') && !(digits(before) && digits(after) && !spaced);
    clause |= between
        .split(char::is_whitespace)
        .any(|part| matches!(part, "-" | "–" | "—"))
        && spaced;
    if clause { Gap::Clause } else { Gap::Nothing }
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
            .into_iter()
            .map(|token| token.word)
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
        let tokens = tokenise(
            "en epi-\nkrise og PLO-melding, e-post - nei",
            &ClauseBreaks::default(),
        );
        let joined: Vec<_> = tokens
            .iter()
            .filter_map(|token| token.joined.clone())
            .collect();
        assert_eq!(
            joined,
            [
                ("epikrise".to_owned(), 2),
                ("plomelding".to_owned(), 2),
                ("epost".to_owned(), 2)
            ]
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
            let tokens = tokenise(text, &ClauseBreaks::default());
            assert_eq!(tokens.last().unwrap().sentence + 1, count, "{text}");
        }
    }

    #[test]
    fn clauses() {
        let breaks = ClauseBreaks {
            words: ["men".to_owned()].into(),
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
            let tokens = tokenise(text, &breaks);
            assert_eq!(tokens.last().unwrap().clause + 1, count, "{text}");
        }
    }

    #[test]
    fn endless_words_are_cut() {
        let tokens = tokenise(&"ø".repeat(10_000), &ClauseBreaks::default());
        assert_eq!(tokens.len(), 1);
        assert!(tokens[0].word.len() <= WORD_BYTES_MAX);
        assert_eq!(tokens[0].end, 20_000);
    }

    #[test]
    fn offsets_point_into_the_text() {
        let text = "Så «Ørje»\nkom";
        for token in tokenise(text, &ClauseBreaks::default()) {
            assert_eq!(fold_word(&text[token.start..token.end]), token.word);
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
