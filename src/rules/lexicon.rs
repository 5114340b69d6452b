//! All terms of all rules in one matcher: hash tables of words and word forms, one automaton for open-ended words, and one
//! trie of word sequences. A text is scanned once; the cost grows with the text and with what it matches, hardly with the
//! number of terms.

use super::fold::{Token, fold_word, is_invisible};
use super::inflect::{EXACT_MAX, collect_keys, keys};
use aho_corasick::{AhoCorasick, MatchKind};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Letters a term may have.
pub(crate) const TERM_CHARS_MAX: usize = 200;
/// Words a term may have.
pub(crate) const TERM_WORDS_MAX: usize = 12;
/// Hits of one term that are looked at in one text; further ones say nothing new.
pub(crate) const HITS_PER_TERM_MAX: usize = 200;

/// How a term's capitals are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Style {
    /// A term of a rule: inflected unless short, in CAPITALS, or with a digit.
    Rule,
    /// A name of the directory: words with a capital are found as they are or with a genitive `-s`.
    Name,
    /// A negating cue: words as they are, for «ingen» must not find «Inger», nor «verken» «verket».
    Exact,
}

/// What one word of a term matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Word {
    /// This word only.
    Exact(String),
    /// This word, or with `-s`; with `true` only where the text has a capital.
    Name(String, bool),
    /// All forms of this word.
    Forms(String),
    Prefix(String),
    Suffix(String),
    Inside(String),
    /// Any one word.
    Any,
}

/// Why a term cannot be used; Norwegian, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadTerm(pub(crate) String);

/// A term as sequences of words, each of which is one way of reading it.
fn parse(raw: &str, style: Style) -> Result<Vec<Vec<Word>>, BadTerm> {
    let bad = |why: &str| Err(BadTerm(why.to_owned()));
    if raw.chars().count() > TERM_CHARS_MAX {
        return Err(BadTerm(format!(
            "uttrykket er lengre enn {TERM_CHARS_MAX} tegn"
        )));
    }
    let mut apart: Vec<Word> = Vec::new();
    let mut whole: Vec<Word> = Vec::new();
    for piece in raw.split_whitespace() {
        let (exact, piece) = piece
            .strip_prefix('=')
            .map_or((false, piece), |rest| (true, rest));
        if piece == "*" {
            apart.push(Word::Any);
            whole.push(Word::Any);
            continue;
        }
        let (open_start, piece) = piece
            .strip_prefix('*')
            .map_or((false, piece), |rest| (true, rest));
        let (open_end, piece) = piece
            .strip_suffix('*')
            .map_or((false, piece), |rest| (true, rest));
        if piece.contains('*') {
            return bad("«*» kan bare stå først eller sist i et ord");
        }
        if exact && (open_start || open_end) {
            return bad("«=» og «*» kan ikke stå i samme ord");
        }
        let parts: Vec<&str> = piece
            .split(|c: char| {
                !(c.is_alphanumeric() || is_invisible(c) || matches!(c, '\u{300}'..='\u{36f}'))
            })
            .filter(|part| !part.is_empty())
            .collect();
        let last = parts.len().saturating_sub(1);
        for (at, part) in parts.iter().enumerate() {
            apart.push(word(
                part,
                style,
                exact,
                open_start && at == 0,
                open_end && at == last,
            )?);
        }
        if parts.len() > 1 && piece.contains(['-', '\u{2010}', '\u{2011}']) {
            whole.push(word(&parts.concat(), style, exact, open_start, open_end)?);
        } else {
            whole.extend(
                apart
                    .iter()
                    .skip(apart.len().saturating_sub(parts.len()))
                    .cloned(),
            );
        }
    }
    if apart.is_empty() || apart.iter().all(|word| *word == Word::Any) {
        return bad("uttrykket har ingen bokstaver eller tall");
    }
    if apart.len() > TERM_WORDS_MAX {
        return Err(BadTerm(format!(
            "uttrykket har flere enn {TERM_WORDS_MAX} ord"
        )));
    }
    if let [Word::Exact(one) | Word::Forms(one) | Word::Name(one, _)] = apart.as_slice()
        && one.chars().count() < 2
    {
        return bad("ett tegn alene treffer for mye; skriv et lengre ord");
    }
    if whole == apart {
        Ok(vec![apart])
    } else {
        Ok(vec![apart, whole])
    }
}

fn word(
    part: &str,
    style: Style,
    exact: bool,
    open_start: bool,
    open_end: bool,
) -> Result<Word, BadTerm> {
    let folded = fold_word(part);
    let length = folded.chars().count();
    let capital = part.chars().next().is_some_and(char::is_uppercase);
    let capitals = length > 1 && part.chars().all(|c| !c.is_lowercase());
    match (open_start, open_end) {
        (true, true) if length < 3 => Err(BadTerm("«*…*» trenger minst tre tegn".to_owned())),
        (true, true) => Ok(Word::Inside(folded)),
        (false, true) | (true, false) if length < 2 => Err(BadTerm(
            "«*» trenger minst to tegn ved siden av seg".to_owned(),
        )),
        (false, true) => Ok(Word::Prefix(folded)),
        (true, false) => Ok(Word::Suffix(folded)),
        (false, false) if exact => Ok(Word::Name(folded, capital)),
        (false, false)
            if style == Style::Exact
                || length <= EXACT_MAX
                || capitals
                || part.chars().any(char::is_numeric) =>
        {
            Ok(Word::Exact(folded))
        }
        (false, false) if style == Style::Name && capital => Ok(Word::Name(folded, false)),
        (false, false) => Ok(Word::Forms(folded)),
    }
}

/// A place where a term stands: tokens `start..end` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    pub(crate) term: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Collects terms, then becomes a [`Lexicon`].
#[derive(Debug, Default)]
pub(crate) struct Builder {
    terms: HashMap<(String, Style), u32>,
    count: u32,
    patterns: HashMap<Word, u32>,
    trie: HashMap<(u32, u32), u32>,
    ends: Vec<Vec<u32>>,
}

/// How an open-ended word touches the borders of the word in the text.
#[derive(Debug, Clone, Copy)]
struct Open {
    pattern: u32,
    leading: bool,
}

/// Words of the rules. A message cannot add to it, so it needs no hash that withstands chosen keys.
pub(super) type WordMap<K, T> = HashMap<K, T, BuildHasherDefault<WordHasher>>;

/// A hash that is quick for short words: eight bytes at a time, each added and multiplied by an odd number.
#[derive(Debug, Default)]
pub(super) struct WordHasher(u64);

impl WordHasher {
    const fn add(&mut self, word: u64) {
        self.0 = self
            .0
            .wrapping_add(word)
            .wrapping_mul(0xf135_7aea_2e62_a9c5);
    }
}

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        // The upper bits are the good ones; the table looks at the lower ones first.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            self.add(u64::from_le_bytes(*eight));
        }
        let mut last = [0_u8; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.add(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }
}

/// The compiled terms.
#[derive(Debug)]
pub(crate) struct Lexicon {
    words: WordMap<String, Vec<(u32, bool)>>,
    forms: WordMap<String, Vec<u32>>,
    open: Option<AhoCorasick>,
    open_patterns: Vec<Open>,
    any: Option<u32>,
    trie: WordMap<(u32, u32), u32>,
    ends: Vec<Vec<u32>>,
}

impl Builder {
    /// The number of the term, the same for the same text and style.
    pub(crate) fn add(&mut self, raw: &str, style: Style) -> Result<u32, BadTerm> {
        if let Some(term) = self.terms.get(&(raw.to_owned(), style)) {
            return Ok(*term);
        }
        let readings = parse(raw, style)?;
        let term = self.count;
        self.count = self.count.saturating_add(1);
        self.terms.insert((raw.to_owned(), style), term);
        if self.ends.is_empty() {
            self.ends.push(Vec::new());
        }
        for reading in readings {
            let mut node = 0_u32;
            for word in reading {
                let fresh = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
                let pattern = *self.patterns.entry(word).or_insert(fresh);
                let next = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
                let entry = self.trie.entry((node, pattern)).or_insert(next);
                if *entry == next {
                    self.ends.push(Vec::new());
                }
                node = *entry;
            }
            if let Some(ends) = usize::try_from(node)
                .ok()
                .and_then(|node| self.ends.get_mut(node))
            {
                ends.push(term);
            }
        }
        Ok(term)
    }

    /// How many different terms there are.
    pub(crate) const fn len(&self) -> u32 {
        self.count
    }

    /// Compiles.
    ///
    /// # Errors
    /// When the automaton for open-ended words would be too large.
    pub(crate) fn build(self) -> Result<Lexicon, BadTerm> {
        let mut words: WordMap<String, Vec<(u32, bool)>> = WordMap::default();
        let mut forms: WordMap<String, Vec<u32>> = WordMap::default();
        let mut any = None;
        let mut needles: Vec<(String, Open)> = Vec::new();
        for (word, pattern) in self.patterns {
            match word {
                Word::Exact(word) => words.entry(word).or_default().push((pattern, false)),
                Word::Name(word, capital) => {
                    if !word.ends_with('s') {
                        words
                            .entry(format!("{word}s"))
                            .or_default()
                            .push((pattern, capital));
                    }
                    words.entry(word).or_default().push((pattern, capital));
                }
                Word::Forms(word) => {
                    for key in keys(&word) {
                        forms.entry(key.into_owned()).or_default().push(pattern);
                    }
                }
                Word::Prefix(word) => needles.push((
                    format!(" {word}"),
                    Open {
                        pattern,
                        leading: true,
                    },
                )),
                Word::Suffix(word) => needles.push((
                    format!("{word} "),
                    Open {
                        pattern,
                        leading: false,
                    },
                )),
                Word::Inside(word) => needles.push((
                    word,
                    Open {
                        pattern,
                        leading: false,
                    },
                )),
                Word::Any => any = Some(pattern),
            }
        }
        needles.sort_by(|a, b| a.0.cmp(&b.0));
        let (texts, open_patterns): (Vec<String>, Vec<Open>) = needles.into_iter().unzip();
        let open = if texts.is_empty() {
            None
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(&texts);
            Some(built.map_err(|_| BadTerm("for mange uttrykk med «*»".to_owned()))?)
        };
        Ok(Lexicon {
            words,
            forms,
            open,
            open_patterns,
            any,
            trie: self.trie.into_iter().collect(),
            ends: self.ends,
        })
    }
}

/// How the text can be read from a token on.
#[derive(Debug, Default)]
struct Reading {
    /// The patterns that match the word.
    apart: Vec<u32>,
    /// The patterns that match the word made of hyphenated parts, and the token after it.
    whole: Option<(Vec<u32>, usize)>,
}

impl Lexicon {
    /// All places where terms stand, ordered by term and place.
    pub(crate) fn scan(&self, tokens: &[Token]) -> Vec<Hit> {
        let readings = self.readings(tokens);
        let mut hits: Vec<Hit> = Vec::new();
        let mut stack: Vec<(u32, usize)> = Vec::new();
        for (start, first) in readings.iter().enumerate() {
            // Most words are none of the rules.
            if first.apart.is_empty() && first.whole.is_none() && self.any.is_none() {
                continue;
            }
            stack.push((0, start));
            while let Some((node, at)) = stack.pop() {
                let Some(reading) = readings.get(at) else {
                    continue;
                };
                let whole = reading.whole.as_ref();
                let ways = std::iter::once((&reading.apart, at.saturating_add(1)))
                    .chain(whole.map(|(patterns, next)| (patterns, *next)));
                for (patterns, next) in ways {
                    for pattern in patterns.iter().chain(self.any.iter()) {
                        let Some(child) = self.trie.get(&(node, *pattern)) else {
                            continue;
                        };
                        let ends = usize::try_from(*child)
                            .ok()
                            .and_then(|child| self.ends.get(child));
                        hits.extend(ends.into_iter().flatten().map(|term| Hit {
                            term: *term,
                            start,
                            end: next,
                        }));
                        stack.push((*child, next));
                    }
                }
            }
        }
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    fn readings(&self, tokens: &[Token]) -> Vec<Reading> {
        let mut readings: Vec<Reading> = Vec::with_capacity(tokens.len());
        // The words one after the other between spaces, for the automaton, and where each of them ends there.
        let room = if self.open.is_some() { tokens.len() } else { 0 };
        let mut line = String::with_capacity(room.saturating_mul(8));
        line.push(' ');
        let mut owners: Vec<(usize, usize, bool)> = Vec::with_capacity(room);
        let mut note = |word: &str, at: usize, is_whole: bool| {
            if self.open.is_some() {
                line.push_str(word);
                owners.push((line.len(), at, is_whole));
                line.push(' ');
            }
        };
        let mut keys: Vec<Cow<'_, str>> = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let mut reading = Reading {
                apart: self.patterns(&token.word, token.capital, &mut keys),
                whole: None,
            };
            note(&token.word, at, false);
            if let Some((whole, parts)) = &token.joined {
                reading.whole = Some((
                    self.patterns(whole, token.capital, &mut keys),
                    at.saturating_add(*parts),
                ));
                note(whole, at, true);
            }
            readings.push(reading);
        }
        if let Some(open) = &self.open {
            for found in open.find_overlapping_iter(&line) {
                let Some(needle) = self.open_patterns.get(found.pattern().as_usize()) else {
                    continue;
                };
                // A byte that surely lies inside the word.
                let inside = if needle.leading {
                    found.start().saturating_add(1)
                } else {
                    found.start()
                };
                let from = owners.partition_point(|(end, ..)| *end <= inside);
                if let Some((_, at, is_whole)) = owners.get(from) {
                    let patterns = readings.get_mut(*at).and_then(|reading| {
                        if *is_whole {
                            reading.whole.as_mut().map(|(patterns, _)| patterns)
                        } else {
                            Some(&mut reading.apart)
                        }
                    });
                    if let Some(patterns) = patterns
                        && !patterns.contains(&needle.pattern)
                    {
                        patterns.push(needle.pattern);
                    }
                }
            }
        }
        readings
    }

    /// The patterns that match a word; `keys` is room for its keys.
    fn patterns<'t>(&self, word: &'t str, capital: bool, keys: &mut Vec<Cow<'t, str>>) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::new();
        if let Some(patterns) = self.words.get(word) {
            found.extend(
                patterns
                    .iter()
                    .filter(|(_, needs)| capital || !needs)
                    .map(|(pattern, _)| *pattern),
            );
        }
        if !self.forms.is_empty() {
            keys.clear();
            collect_keys(word, keys);
            for key in keys {
                for pattern in self.forms.get(key.as_ref()).into_iter().flatten() {
                    if !found.contains(pattern) {
                        found.push(*pattern);
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::{ClauseBreaks, tokenise};
    use super::*;

    fn finds(term: &str, text: &str) -> bool {
        finds_as(term, Style::Rule, text)
    }

    fn finds_as(term: &str, style: Style, text: &str) -> bool {
        let mut builder = Builder::default();
        builder.add(term, style).unwrap();
        let lexicon = builder.build().unwrap();
        !lexicon
            .scan(&tokenise(text, &ClauseBreaks::default()))
            .is_empty()
    }

    #[test]
    fn terms_find() {
        for (term, text) in [
            ("epikrise", "Epikrisene er ikke kommet"),
            ("epikrise*", "epikrisetid"),
            ("*sengepost", "Kirurgisk ortopedisengepost."),
            ("*post*", "sengeposten"),
            ("ikke mottatt", "vi har ikke\nmottatt noe"),
            ("ikke mottatt epikrise", "IKKE MOTTATT, EPIKRISEN"),
            ("epikrise", "epi-\nkrisen mangler"),
            ("epikrise", "epi\u{ad}krisen mangler"),
            ("PLO-melding", "plo melding"),
            ("PLO-melding", "PLOmelding"),
            ("PLO-melding", "PLO-meldingen"),
            ("akuttmottak", "akutt-mottaket"),
            ("råde", "Ra\u{30a}de"),
            ("råde", "raade"),
            ("ikke * mottatt", "ikke enda mottatt"),
            ("KOLS", "kols grad 3"),
            ("dag", "en dag"),
            ("=Marker", "bor i Marker kommune"),
            ("=Marker", "MARKERS hjemmetjeneste"),
        ] {
            assert!(finds(term, text), "{term}: {text}");
        }
    }

    #[test]
    fn terms_do_not_find() {
        for (term, text) in [
            ("epikrise", "epikrisetid"),
            ("*sengepost", "sengepostleder"),
            ("epikrise*", "delepikrise"),
            ("ikke mottatt", "mottatt ikke"),
            ("KOLS", "kolsen"),
            ("dag", "dager"),
            ("=Marker", "vi marker dette"),
            ("ikke * mottatt", "ikke mottatt"),
        ] {
            assert!(!finds(term, text), "{term}: {text}");
        }
        assert!(finds_as("Halden", Style::Name, "Haldens sykehjem"));
        assert!(finds_as("Halden", Style::Name, "halden"));
        assert!(!finds_as(
            "Halden",
            Style::Name,
            "vi kan ikkje halde fristen"
        ));
        assert!(finds_as(
            "Klinikk for medisin",
            Style::Name,
            "KLINIKK FOR MEDISIN"
        ));
    }

    #[test]
    fn silly_terms_are_refused() {
        let long = "a".repeat(TERM_CHARS_MAX + 1);
        let many = "to ord ".repeat(TERM_WORDS_MAX);
        for term in [
            "",
            "x",
            "*",
            "a*",
            "*ab*",
            "epi*krise",
            "…",
            "=ab*",
            long.as_str(),
            many.as_str(),
        ] {
            assert!(Builder::default().add(term, Style::Rule).is_err(), "{term}");
        }
    }

    #[test]
    fn hits_tell_where() {
        let mut builder = Builder::default();
        let one = builder.add("epikrise", Style::Rule).unwrap();
        let two = builder.add("epikrise mangler", Style::Rule).unwrap();
        assert_eq!(builder.add("epikrise", Style::Rule).unwrap(), one);
        let lexicon = builder.build().unwrap();
        let tokens = tokenise("at epikrisen mangler, epikrisen!", &ClauseBreaks::default());
        assert_eq!(
            lexicon.scan(&tokens),
            [
                Hit {
                    term: one,
                    start: 1,
                    end: 2
                },
                Hit {
                    term: one,
                    start: 3,
                    end: 4
                },
                Hit {
                    term: two,
                    start: 1,
                    end: 3
                }
            ]
        );
    }
}
