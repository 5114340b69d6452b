//! Other words of the same shape: line breaks, names, dates.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Captures, Regex};

/// A line of more letters than this goes on in the next one.
const LONG: usize = 60;

const WOMEN: &str = "Anne Inger Kari Marit Ingrid Randi Solveig Bjørg Astrid Berit Hilde Nina Silje Camilla Ida Hanne Heidi \
    Trine Elin Karin Ragnhild Tone Tove Wenche Turid Eli Kristin Marianne Camilla Monica Bente Julie Emma Nora Sara Thea Maria \
    Linda Mona Lene Kirsten Ellen Grethe Rita Sissel Unni Aud Gerd Åse Ruth Sigrun Siri Guro Torill Ingunn Grete Line Mette";
const MEN: &str = "Ole Bjørn Kjell Arne Svein Knut Hans Tor Geir Terje Morten Thomas Rune Trond Erik Lars Nils Anders Andreas \
    Magnus Kristian Martin Daniel Espen Øyvind Harald Einar Sverre Olav Arvid Steinar Roar Vidar Jonas Henrik Sindre Håkon Eirik \
    Petter Kåre Gunnar Torbjørn Leif Reidar Sigurd Eivind Jostein Asbjørn Torstein Ragnar Egil Frode Stian Håvard Jens Johan";
const SURNAMES: &str = "Hansen Johansen Olsen Larsen Andersen Pedersen Nilsen Kristiansen Jensen Karlsen Johnsen Pettersen \
    Eriksen Berg Haugen Hagen Johannessen Andreassen Jacobsen Dahl Jørgensen Henriksen Lund Halvorsen Sørensen Jakobsen Moen \
    Gundersen Iversen Strand Solberg Svendsen Eide Knutsen Martinsen Paulsen Bakken Kristoffersen Mathisen Lie Amundsen Nguyen \
    Rasmussen Lunde Solheim Berge Moe Nygård Bakke Kristensen Fredriksen Holm Lien Hauge Christensen Andresen Nielsen Knudsen \
    Evensen Sæther Aas Myhre Hanssen Haugland Thomassen Sivertsen Simonsen Danielsen Berntsen Sandvik Rønning Arnesen Antonsen \
    Næss Vik Haug Ellingsen Edvardsen Thorsen Gulbrandsen Birkeland Isaksen Strøm Aasen Ødegård Jenssen Tangen Eliassen Aamodt \
    Myklebust Bøe Mikkelsen Tveit Abrahamsen Engen Brekke Nordmann Helgesen Borge Sundby Ruud Lindberg Skaug Holte Wold Bråten";

/// Replaces names by others of the same shape; words that the rules mention stay.
#[derive(Clone)]
pub struct Names {
    known: BTreeSet<String>,
    spare: Vec<&'static str>,
    others: BTreeMap<String, String>,
    word: Regex,
    signed: Regex,
}

impl Names {
    /// The names of three lists; `rules` is the text of the rules, whose words are no mere names.
    pub fn new(rules: &str) -> Self {
        let known: BTreeSet<String> = rules
            .to_lowercase()
            .split(|c: char| !c.is_alphabetic())
            .map(str::to_owned)
            .collect();
        let mut others = BTreeMap::new();
        let mut spare = Vec::new();
        for list in [WOMEN, MEN, SURNAMES] {
            let mut names: Vec<&'static str> = list.split_whitespace().collect();
            names.sort_unstable();
            names.dedup();
            names.retain(|name| !known.contains(&name.to_lowercase()));
            for (at, name) in names.iter().enumerate() {
                let other = names[(at + 7) % names.len()];
                others.insert((*name).to_owned(), other.to_owned());
            }
            spare = names;
        }
        let signed = r"(?i:mvh|hilsen|helsing|v/ ?lege|fastlege|sykepleier|dr\.),?\s+(\p{Lu}\p{Ll}+)[ \t]+(?:\p{Lu}\.? )?(\p{Lu}\p{Ll}+)";
        Self {
            known,
            spare,
            others,
            word: Regex::new(r"\p{Lu}\p{Ll}+").unwrap(),
            signed: Regex::new(signed).unwrap(),
        }
    }

    /// And those of one message: the words of the display names, and who signs.
    pub fn with<'a>(
        &self,
        display_names: impl Iterator<Item = &'a str>,
        texts: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut found: Vec<&str> = Vec::new();
        for name in display_names {
            let words: Vec<&str> = self
                .word
                .find_iter(name)
                .map(|word| word.as_str())
                .collect();
            // «Kari Moen», «Moen, Kari», not the name of an office.
            if words.len() == 2 && words.iter().all(|word| self.is_unknown(word)) {
                found.extend(words);
            }
        }
        for text in texts {
            for names in self.signed.captures_iter(text) {
                found.extend([1, 2].map(|at| names.get(at).unwrap().as_str()));
            }
        }
        let mut names = self.clone();
        for (at, name) in found.into_iter().enumerate() {
            if self.is_unknown(name) && !names.others.contains_key(name) {
                let other = self.spare[(at * 5 + name.len()) % self.spare.len()];
                names.others.insert(name.to_owned(), other.to_owned());
            }
        }
        names
    }

    fn is_unknown(&self, word: &str) -> bool {
        !self.known.contains(&word.to_lowercase())
    }

    /// The text with other names.
    pub fn replace(&self, text: &str) -> String {
        let other = |name: &str| self.others.get(name);
        let replaced = self.word.replace_all(text, |found: &Captures<'_>| {
            let name = &found[0];
            let genitive = || Some(format!("{}s", other(name.strip_suffix('s')?)?));
            other(name)
                .cloned()
                .or_else(genitive)
                .unwrap_or_else(|| name.to_owned())
        });
        replaced.into_owned()
    }
}

const MONTHS: [&str; 12] = [
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
];

/// The text with other dates of the same form.
pub fn dates(text: &str) -> String {
    let day = |day: &str| {
        let number: usize = day.parse().unwrap();
        // As many digits as before, so that the shape stays.
        match day.len() {
            1 => format!("{}", number % 9 + 1),
            _ => format!("{:02}", (number % 18) + 10),
        }
    };
    let numbers = Regex::new(
        r"\b(0?[1-9]|[12][0-9]|3[01])\.( ?)(0?[1-9]|1[0-2])(\.(?: ?(?:19|20)?\d\d)?)([^\d]|$)",
    )
    .unwrap();
    let text = numbers.replace_all(text, |found: &Captures<'_>| {
        let month: usize = found[3].parse().unwrap();
        let month = match found[3].len() {
            1 => month % 9 + 1,
            _ if month > 9 => 10 + (month - 9) % 3,
            _ => month % 9 + 1,
        };
        let width = found[3].len();
        format!(
            "{}.{}{month:0width$}{}{}",
            day(&found[1]),
            &found[2],
            &found[4],
            &found[5]
        )
    });
    let named = Regex::new(&format!(
        r"(?i)\b([1-9]|[12][0-9]|3[01])(\. ?)({})\b",
        MONTHS.join("|")
    ))
    .unwrap();
    let text = named.replace_all(&text, |found: &Captures<'_>| {
        let at = MONTHS
            .iter()
            .position(|month| *month == found[3].to_lowercase())
            .unwrap();
        format!("{}{}{}", day(&found[1]), &found[2], MONTHS[(at + 5) % 12])
    });
    let iso = Regex::new(r"\b(20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b").unwrap();
    let text = iso.replace_all(&text, |found: &Captures<'_>| {
        format!("{}-{}-{}", &found[1], &found[2], day(&found[3]))
    });
    text.into_owned()
}

/// Lines that a mail program would not touch: header blocks, quotes, lists, tables, form fields.
fn is_structure(line: &str) -> bool {
    let bare = line.trim_start();
    bare.is_empty()
        || bare.len() < line.len()
        || line.contains('\t')
        || line.contains("  ")
        || bare.starts_with(['>', '-', '*', '•', '–', '·', '_', '=', '|', '<'])
        || bare
            .split_once(':')
            .is_some_and(|(label, _)| label.split_whitespace().count() <= 4)
        || bare.split_once(['.', ')']).is_some_and(|(number, _)| {
            number.len() < 3 && number.bytes().all(|b| b.is_ascii_digit())
        })
}

/// Paragraphs of running text on one line each: a line of more than [`LONG`] letters goes on in the next one.
pub fn joined(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut long = false;
    for line in text.split('\n') {
        let prose = !is_structure(line);
        match out.last_mut() {
            Some(last) if long && prose => {
                last.push(' ');
                last.push_str(line);
            }
            _ => out.push(line.to_owned()),
        }
        long = prose && line.chars().count() > LONG;
    }
    out.join("\n")
}

/// Running text broken at a column; never before a sign that would make a list, a quote or a number of the line.
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in joined(text).split('\n') {
        if is_structure(line) {
            out.push(line.to_owned());
            continue;
        }
        let mut current = String::new();
        for word in line.split(' ') {
            let full = current.chars().count() + 1 + word.chars().count() > columns;
            let breakable = word.starts_with(char::is_alphabetic) && !word.ends_with(':');
            if full && breakable && !current.is_empty() {
                out.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        out.push(current);
    }
    out.join("\n")
}
