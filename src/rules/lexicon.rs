//! All terms of all rules in one matcher: one tree of words, their forms and beginnings, one automaton for the few words
//! that are open in front, and one tree of word sequences. A text is scanned once; the cost grows with the text and with
//! what it matches, hardly with the number of terms.

use super::fold::{Words, fold_word, is_invisible};
use super::inflect::{EXACT_MAX, Key, collect_keys, keys, may_elide};
use super::trie::{Place, Trie};
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

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

/// Words of the rules. A message cannot add to it, so it needs no hash that withstands chosen keys.
pub(super) type WordSet<K> = HashSet<K, BuildHasherDefault<WordHasher>>;

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
    #[inline]
    fn finish(&self) -> u64 {
        // The upper bits are the good ones; the table looks at the lower ones first.
        self.0.rotate_left(26)
    }

    #[inline]
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

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }
}

/// How a string of the rules stands for a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sense {
    /// The word in the text is this string; with `true` only where it has a capital.
    Word(bool),
    /// The string is a key of the word in the text.
    Form,
    /// The word in the text begins with it.
    Beginning,
}

/// The compiled terms. What is looked at together lies together, in few large lists: they are read at other places for each
/// message, and to fetch them is what a message costs.
#[derive(Debug)]
pub(crate) struct Lexicon {
    strings: Trie,
    senses: Groups<(Sense, u32)>,
    /// Words that are open in front.
    open: Option<AhoCorasick>,
    open_patterns: Vec<u32>,
    any: Option<u32>,
    /// For each pattern, the sequence that begins with it.
    first: Vec<Option<u32>>,
    /// For each sequence of patterns, the terms that it is.
    terms: Groups<u32>,
    /// And the patterns with which it goes on, in order, with the sequence that it becomes.
    longer: Groups<(u32, u32)>,
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
        let mut strings: BTreeMap<String, Vec<(Sense, u32)>> = BTreeMap::new();
        let mut mean = |string: String, sense: Sense, pattern: u32| {
            strings.entry(string).or_default().push((sense, pattern));
        };
        let mut any = None;
        let mut needles: Vec<(String, u32)> = Vec::new();
        let patterns = self.patterns.len();
        for (word, pattern) in self.patterns {
            match word {
                Word::Exact(word) => mean(word, Sense::Word(false), pattern),
                Word::Name(word, capital) => {
                    if !word.ends_with('s') {
                        mean(format!("{word}s"), Sense::Word(capital), pattern);
                    }
                    mean(word, Sense::Word(capital), pattern);
                }
                Word::Forms(word) => {
                    for key in keys(&word) {
                        mean(key, Sense::Form, pattern);
                    }
                }
                Word::Prefix(word) => mean(word, Sense::Beginning, pattern),
                Word::Suffix(word) => needles.push((format!("{word} "), pattern)),
                Word::Inside(word) => needles.push((word, pattern)),
                Word::Any => any = Some(pattern),
            }
        }
        needles.sort();
        let (texts, open_patterns): (Vec<String>, Vec<u32>) = needles.into_iter().unzip();
        let open = if texts.is_empty() {
            None
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(&texts);
            Some(built.map_err(|_| BadTerm("for mange uttrykk med «*»".to_owned()))?)
        };
        let mut senses = Groups::default();
        for of_string in strings.values_mut() {
            of_string.sort_unstable();
            of_string.dedup();
            senses.push(of_string.drain(..));
        }
        let mut first = vec![None; patterns];
        let mut longer: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.ends.len()];
        for ((before, pattern), next) in self.trie {
            if before == 0 {
                if let Some(slot) = at_mut(&mut first, pattern) {
                    *slot = Some(next);
                }
            } else if let Some(list) = at_mut(&mut longer, before) {
                list.push((pattern, next));
            }
        }
        for list in &mut longer {
            list.sort_unstable();
        }
        Ok(Lexicon {
            strings: Trie::new(strings.keys().map(String::as_bytes)),
            senses,
            open,
            open_patterns,
            any,
            first,
            terms: self.ends.into_iter().collect(),
            longer: longer.into_iter().collect(),
        })
    }
}

fn at_mut<T>(list: &mut [T], number: u32) -> Option<&mut T> {
    list.get_mut(usize::try_from(number).ok()?)
}

/// Lists of lists in one list.
#[derive(Debug)]
struct Groups<T> {
    items: Vec<T>,
    /// Where each begins, and where the last one ends.
    starts: Vec<u32>,
}

impl<T> Default for Groups<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            starts: vec![0],
        }
    }
}

impl<T> Groups<T> {
    fn push(&mut self, group: impl Iterator<Item = T>) {
        self.items.extend(group);
        self.starts
            .push(u32::try_from(self.items.len()).unwrap_or(u32::MAX));
    }

    fn get(&self, number: u32) -> &[T] {
        let place = |at: usize| usize::try_from(*self.starts.get(at)?).ok();
        let range = || {
            let at = usize::try_from(number).ok()?;
            Some(place(at)?..place(at.saturating_add(1))?)
        };
        range()
            .and_then(|range| self.items.get(range))
            .unwrap_or_default()
    }
}

impl<T> FromIterator<Vec<T>> for Groups<T> {
    fn from_iter<I: IntoIterator<Item = Vec<T>>>(groups: I) -> Self {
        let mut all = Self::default();
        for group in groups {
            all.push(group.into_iter());
        }
        all
    }
}

/// How a text can be read.
#[derive(Debug, Default)]
struct Readings {
    /// How it goes on from each word.
    words: Vec<Reading>,
    /// The patterns of all readings.
    patterns: Vec<u32>,
}

/// How the text can be read from a word on.
#[derive(Debug, Default)]
struct Reading {
    /// The patterns that match the word.
    apart: Range<usize>,
    /// The patterns that match the word made of hyphenated parts, and the word after it.
    whole: Option<(Range<usize>, usize)>,
}

/// Room for [`Lexicon::patterns`], so that it is taken once for many words.
#[derive(Debug, Default)]
struct Room {
    /// Where the tree of strings was after each byte of the word.
    path: Vec<Place>,
    keys: Vec<Key>,
}

impl Lexicon {
    /// All places where terms stand, ordered by term and place.
    pub(crate) fn scan(&self, words: &Words) -> Vec<Hit> {
        let readings = self.readings(words);
        let mut hits: Vec<Hit> = Vec::new();
        let mut stack: Vec<(u32, usize)> = Vec::new();
        for (start, reading) in readings.words.iter().enumerate() {
            // Most words are none of the rules.
            if reading.apart.is_empty() && reading.whole.is_none() && self.any.is_none() {
                continue;
            }
            self.go_on(&readings, None, start, |sequence, next| {
                self.take(sequence, start, next, &mut hits, &mut stack);
            });
            while let Some((sequence, at)) = stack.pop() {
                self.go_on(&readings, Some(sequence), at, |sequence, next| {
                    self.take(sequence, start, next, &mut hits, &mut stack);
                });
            }
        }
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    /// Shows the sequences that go on from another one, or begin, with the word at that place, and the word after it.
    fn go_on(
        &self,
        readings: &Readings,
        from: Option<u32>,
        at: usize,
        mut show: impl FnMut(u32, usize),
    ) {
        let Some(reading) = readings.words.get(at) else {
            return;
        };
        let whole = reading.whole.as_ref();
        let ways = std::iter::once((&reading.apart, at.saturating_add(1)))
            .chain(whole.map(|(patterns, next)| (patterns, *next)));
        for (patterns, next) in ways {
            let patterns = readings.patterns.get(patterns.clone()).unwrap_or_default();
            for pattern in patterns.iter().chain(self.any.iter()) {
                let sequence = match from {
                    Some(from) => {
                        let longer = self.longer.get(from);
                        let found = longer.binary_search_by_key(pattern, |(with, _)| *with);
                        found
                            .ok()
                            .and_then(|found| longer.get(found))
                            .map(|(_, to)| *to)
                    }
                    None => usize::try_from(*pattern)
                        .ok()
                        .and_then(|pattern| self.first.get(pattern).copied().flatten()),
                };
                if let Some(sequence) = sequence {
                    show(sequence, next);
                }
            }
        }
    }

    /// Notes the terms that a sequence is, and the sequence itself where a longer one may follow.
    fn take(
        &self,
        number: u32,
        start: usize,
        end: usize,
        hits: &mut Vec<Hit>,
        stack: &mut Vec<(u32, usize)>,
    ) {
        hits.extend(self.terms.get(number).iter().map(|term| Hit {
            term: *term,
            start,
            end,
        }));
        if !self.longer.get(number).is_empty() {
            stack.push((number, end));
        }
    }

    fn readings(&self, words: &Words) -> Readings {
        let mut readings = Readings {
            words: Vec::with_capacity(words.tokens().len()),
            patterns: Vec::new(),
        };
        let open = self.open_in(words);
        let mut open = open.iter().peekable();
        let mut room = Room::default();
        for (at, token) in words.tokens().iter().enumerate() {
            let word = words.word(token);
            let start = readings.patterns.len();
            self.patterns(word, token.capital, &mut readings.patterns, &mut room);
            while let Some((_, pattern)) = open.next_if(|(word, _)| *word == at) {
                add(&mut readings.patterns, start, *pattern);
            }
            readings.words.push(Reading {
                apart: start..readings.patterns.len(),
                whole: None,
            });
        }
        for (number, (joined, word)) in words.joined().enumerate() {
            let number = words.tokens().len().saturating_add(number);
            let capital = words.get(joined.first).is_some_and(|token| token.capital);
            let start = readings.patterns.len();
            self.patterns(word, capital, &mut readings.patterns, &mut room);
            while let Some((_, pattern)) = open.next_if(|(word, _)| *word == number) {
                add(&mut readings.patterns, start, *pattern);
            }
            let end = joined.first.saturating_add(joined.parts);
            if let Some(reading) = readings.words.get_mut(joined.first) {
                reading.whole = Some((start..readings.patterns.len(), end));
            }
        }
        readings
    }

    /// The patterns of words that are open in front, with the number of the word that they match, in order.
    fn open_in(&self, words: &Words) -> Vec<(usize, u32)> {
        let Some(open) = &self.open else {
            return Vec::new();
        };
        open.find_overlapping_iter(words.line())
            .filter_map(|found| {
                let pattern = self.open_patterns.get(found.pattern().as_usize())?;
                Some((words.at(found.start()), *pattern))
            })
            .collect()
    }

    /// Appends the patterns that match a word.
    fn patterns(&self, word: &str, capital: bool, found: &mut Vec<u32>, room: &mut Room) {
        let start = found.len();
        room.path.clear();
        room.path.push(Place::default());
        let mut place = Place::default();
        let mut has_forms = false;
        for byte in word.bytes() {
            let Some(next) = self.strings.step(place, byte) else {
                break;
            };
            place = next;
            room.path.push(place);
            for (sense, pattern) in self.means(place) {
                match sense {
                    Sense::Beginning => add(found, start, *pattern),
                    Sense::Form => has_forms = true,
                    Sense::Word(_) => {}
                }
            }
        }
        if room.path.len() > word.len() {
            for (sense, pattern) in self.means(place) {
                if matches!(sense, Sense::Word(needs) if capital || !needs) {
                    add(found, start, *pattern);
                }
            }
        }
        // A key is what was read of the word, or that and one letter more; for many words none can be among the strings. The
        // letters that are left out of such a key stand right behind what it takes from the word.
        let near = word.bytes().take(room.path.len().saturating_add(2));
        if !has_forms && !may_elide(near) {
            return;
        }
        room.keys.clear();
        collect_keys(word, &mut room.keys);
        for key in &room.keys {
            let stem = room.path.get(key.length).copied();
            let place = match key.letter {
                Some(letter) => stem.and_then(|stem| self.strings.step(stem, letter)),
                None => stem,
            };
            for (sense, pattern) in place.into_iter().flat_map(|place| self.means(place)) {
                if *sense == Sense::Form {
                    add(found, start, *pattern);
                }
            }
        }
    }

    /// What the string that ends there means.
    fn means(&self, place: Place) -> &[(Sense, u32)] {
        self.strings
            .string(place)
            .map(|string| self.senses.get(string))
            .unwrap_or_default()
    }
}

/// Appends a pattern to those from `start` on, unless it is among them.
fn add(found: &mut Vec<u32>, start: usize, pattern: u32) {
    if !found.iter().skip(start).any(|known| *known == pattern) {
        found.push(pattern);
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
