//! Which words are forms of the same word: light suffix rules for bokmål and nynorsk, without a word list.
//!
//! Every word has a few *keys*; two words are forms of the same word when they share a key. The keys of a word, where no
//! key is shorter than three letters and words of up to three letters have no key but themselves:
//!
//! 1. the word itself, and without a final `-s` (genitive, passive) that follows another letter than `s`;
//! 2. each of these without one noun, adjective or verb ending: `-ene -ane -erne -en -et -er -ar -a -e -a(n)de -ende
//!    -te -dte -t`, where `-te` and `-t` go only after `d g k l m r v p` (in words of seven letters also `n s`) and
//!    `-ende -ande` only where four letters remain;
//! 3. without a vowel `-a` or `-e` that the ending leaves («skjemaet» → «skjema» → «skjem»);
//! 4. for `-el -er -le(r) …`: the stem that drops its `e` («mangel» → «mangl», «hjelpemiddel» → «hjelpemidl»).
//!
//! So «epikrise» = epikrisen, epikrisa, epikriser, epikrisene, epikrisar, epikrisane, epikrisens; «mangler» = mangle,
//! manglet, mangla, manglar, manglende, manglande; «sykepleier» = sykepleieren, sykepleiere, sykepleierne. Vowel changes
//! («bok», «bøker»; «skrive», «skrev») and compounds are not found: the rule lists them or uses `*`.

/// Fewest letters of a key that an ending was taken from.
const KEY_MIN: usize = 3;
/// Words up to this many letters are compared as they are.
pub(crate) const EXACT_MAX: usize = 3;
/// A key of a word: the beginning of it, some with another letter behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// Bytes of the word.
    pub(crate) length: usize,
    pub(crate) letter: Option<u8>,
}

/// The keys of a folded word; the first is the word itself.
pub(crate) fn keys(word: &str) -> Vec<String> {
    let mut found = Vec::with_capacity(8);
    collect_keys(word, &mut found);
    let text = |key: Key| {
        let letter = key.letter.map(char::from);
        word.get(..key.length)
            .unwrap_or_default()
            .chars()
            .chain(letter)
            .collect()
    };
    found.into_iter().map(text).collect()
}

/// Appends the keys of a folded word to an empty list; the first is the word itself.
pub(crate) fn collect_keys(word: &str, found: &mut Vec<Key>) {
    found.push(Key {
        length: word.len(),
        letter: None,
    });
    if !long_enough(word, EXACT_MAX.saturating_add(1))
        || word.bytes().any(|byte| byte.is_ascii_digit())
    {
        return;
    }
    let mut bases = [Some(word), None];
    if let Some(base) = word.strip_suffix('s')
        && !base.ends_with('s')
        && long_enough(base, 4)
    {
        bases = [Some(word), Some(base)];
    }
    for base in bases.into_iter().flatten() {
        add(found, base, None);
        elide(found, base);
        let last = base.bytes().next_back();
        for (ending, least) in ENDINGS {
            // Most endings are ruled out by their last letter.
            if ending.bytes().next_back() != last {
                continue;
            }
            let Some(rest) = base.strip_suffix(ending) else {
                continue;
            };
            if !long_enough(rest, least) {
                continue;
            }
            add(found, rest, None);
            elide(found, rest);
            if let Some(shorter) = rest.strip_suffix(['a', 'e'])
                && long_enough(shorter, KEY_MIN)
            {
                add(found, shorter, None);
            }
        }
        for ending in ["te", "t"] {
            let Some(rest) = base.strip_suffix(ending) else {
                continue;
            };
            let long = long_enough(word, 7);
            if long_enough(rest, KEY_MIN)
                && (rest.ends_with(['d', 'g', 'k', 'l', 'm', 'r', 'v', 'p'])
                    || long && rest.ends_with(['n', 's']))
            {
                add(found, rest, None);
            }
        }
    }
}

/// Endings with the fewest letters that must remain.
const ENDINGS: [(&str, usize); 11] = [
    ("ene", KEY_MIN),
    ("ane", KEY_MIN),
    ("ne", 4),
    ("en", KEY_MIN),
    ("et", KEY_MIN),
    ("er", KEY_MIN),
    ("ar", KEY_MIN),
    ("a", KEY_MIN),
    ("e", KEY_MIN),
    ("ende", 4),
    ("ande", 4),
];

fn long_enough(rest: &str, least: usize) -> bool {
    rest.chars().nth(least.saturating_sub(1)).is_some()
}

fn add(found: &mut Vec<Key>, stem: &str, letter: Option<u8>) {
    let key = Key {
        length: stem.len(),
        letter,
    };
    if !found.contains(&key) {
        found.push(key);
    }
}

/// Whether a key of the word that these bytes begin may be more than a beginning of it.
pub(crate) fn may_elide(mut word: impl Iterator<Item = u8>) -> bool {
    let mut before = 0;
    word.any(|byte| {
        let found = before == b'e' && matches!(byte, b'l' | b'r');
        before = byte;
        found
    })
}

/// «mangel» → «mangl», «middel» → «midl», «senter» → «sentr».
fn elide(found: &mut Vec<Key>, word: &str) {
    for (ending, letter) in [("el", b'l'), ("er", b'r')] {
        let Some(rest) = word.strip_suffix(ending) else {
            continue;
        };
        let mut last = rest.chars().rev();
        let (Some(a), b) = (last.next(), last.next()) else {
            continue;
        };
        if "aeiouy".contains(a) || !long_enough(rest, KEY_MIN) {
            continue;
        }
        let single = if b == Some(a) {
            rest.strip_suffix(a).unwrap_or(rest)
        } else {
            rest
        };
        add(found, single, Some(letter));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::fold_word;
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (fold_word(a), fold_word(b));
        let other = keys(&b);
        keys(&a).iter().any(|key| other.contains(key))
    }

    #[test]
    fn forms_of_the_same_word() {
        for (word, forms) in [
            (
                "epikrise",
                "epikrise epikrisen epikrisa epikriser epikrisene epikrisar epikrisane epikrisens Epikrisene",
            ),
            ("avvik", "avvik avviket avvika avvikene avvikets"),
            (
                "mangler",
                "mangle mangler manglet mangla manglar manglende manglande mangel",
            ),
            (
                "sykepleier",
                "sykepleier sykepleieren sykepleiere sykepleierne sykepleiers",
            ),
            (
                "hjelpemiddel",
                "hjelpemiddel hjelpemiddelet hjelpemidler hjelpemidlene hjelpemidla hjelpemidlar",
            ),
            (
                "kommune",
                "kommune kommunen kommuner kommunene kommunens kommunar kommunane",
            ),
            (
                "medisinliste",
                "medisinlista medisinlisten medisinlister medisinlistene medisinlistane",
            ),
            (
                "pasient",
                "pasienten pasienter pasientene pasientens pasientar pasientane",
            ),
            ("skjema", "skjemaet skjemaer skjemaene"),
            ("faktura", "fakturaen fakturaer fakturaene"),
            ("sende", "sender sendte sendt sendes"),
            ("ringe", "ringer ringte ringt"),
            ("sykehus", "sykehuset sykehusene sykehusa sykehusets"),
            ("lege", "legen leger legene legar legane legens"),
            ("rapportere", "rapporterer rapporterte rapportert"),
            ("senter", "senteret sentre sentrene sentra"),
            ("etterlyse", "etterlyser etterlyste etterlyst"),
        ] {
            for form in forms.split_whitespace() {
                assert!(
                    same(word, form),
                    "{word} = {form}: {:?} {:?}",
                    keys(&fold_word(word)),
                    keys(&fold_word(form))
                );
            }
        }
    }

    #[test]
    fn different_words() {
        for (a, b) in [
            ("lege", "legge"),
            ("post", "pose"),
            ("kontakt", "kontrakt"),
            ("seng", "sang"),
            ("avvik", "avvise"),
            ("epikrise", "krise"),
            ("kommune", "kommunikasjon"),
            ("melding", "melde"),
            ("pasient", "pasientreise"),
        ] {
            assert!(
                !same(a, b),
                "{a} ≠ {b}: {:?} {:?}",
                keys(&fold_word(a)),
                keys(&fold_word(b))
            );
        }
    }
}
