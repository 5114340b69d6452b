//! Rule files → [`RuleSet`], or all faults at once.

mod doubts;
mod parties;
mod regexes;
mod rules;
mod traces;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::Facet;
use super::directory::{Directory, plain};
use super::examples::{Example, ExampleMail};
use super::fold::{ClauseBreaks, fold_word, tokenise};
use super::lexicon::{Builder, Lexicon, Style};
use super::model::{
    Entry, Rule, Settings, Term, TermKind, Threshold, Use, ZONES_OF_NAMES, Zones, term_at,
};
use super::raw::{self, Text};
use crate::diagnostic::{Fault, Faults, line_column, parse_toml_partial, quoted, suggest};

pub(super) use regexes::Pattern;
use regexes::Patterns;
pub(super) use traces::Room;
use traces::Traces;

/// The files of a rule set: relative path → text.
pub type RuleFiles = BTreeMap<String, String>;

/// Bytes a rule file may have.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes all rule files may have together.
pub const SET_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Different terms a rule set may have.
pub const TERMS_MAX: u32 = 200_000;
/// Greatest strength of a rule that is not decisive.
const STRENGTH_MAX: i64 = 20;

/// Compiled rules and directory.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) hash: String,
    pub(super) directory: Directory,
    pub(super) settings: Settings,
    pub(super) rules: Vec<Rule>,
    pub(super) terms: Vec<Term>,
    /// Of each term.
    pub(super) kinds: Vec<TermKind>,
    pub(super) lexicon: Lexicon,
    pub(super) patterns: Vec<Pattern>,
    pub(super) traces: Traces,
    /// Zones in which anything is looked for.
    pub(super) zones: Zones,
    /// Zones in which regular expressions are looked for.
    pub(super) pattern_zones: Zones,
    /// Rules without words: always looked at.
    pub(super) wordless: Vec<usize>,
    /// What a directory entry of each party is worth.
    pub(super) strengths: Vec<BTreeMap<Entry, i64>>,
    examples: Vec<Example>,
}

/// What of a rule set is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// What makes it unusable.
    Compile,
    /// Also what works and is surely not meant.
    Check,
}

impl RuleSet {
    /// Reads, checks and compiles the files as a whole.
    ///
    /// # Errors
    /// All faults that were found; then nothing of the set is usable.
    pub fn compile(files: &RuleFiles) -> Result<Self, Faults> {
        Self::build(files, Care::Compile)
    }

    /// Like [`RuleSet::compile`], and finds fault also with what works and is surely not meant: values that no message can
    /// reach, rules that can never speak.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn check(files: &RuleFiles) -> Result<Self, Faults> {
        Self::build(files, Care::Check)
    }

    fn build(files: &RuleFiles, care: Care) -> Result<Self, Faults> {
        let mut compiler = Compiler::default();
        let texts = compiler.bounded(files);
        for (name, text) in &texts {
            let partial = parse_toml_partial::<raw::File>(name, text);
            compiler.misshape(name, text, partial.faults);
            if let Some(file) = partial.value {
                compiler.files.push((name.clone(), file));
            }
        }
        match compiler.finish(hash(&texts), care) {
            Ok(mut set) => {
                for example in &mut set.examples {
                    let text = texts.get(&example.file).map_or("", String::as_str);
                    example.line = line_column(text, example.offset).0;
                }
                Ok(set)
            }
            Err(faults) => Err(Faults::new(faults, texts)),
        }
    }

    /// `sha256:…` over names and contents of the files.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The parties, the own addresses and the portals.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What is asked of a term for each hit.
    pub(super) fn kind(&self, term: u32) -> TermKind {
        let at = usize::try_from(term).unwrap_or(usize::MAX);
        self.kinds.get(at).copied().unwrap_or_default()
    }

    /// How many rules there are, without those that the directory implies.
    pub const fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The least sum of a facet, and the least lead over the runner-up.
    pub fn threshold(&self, facet: Facet) -> (i64, i64) {
        let threshold = self.settings.threshold(facet);
        (threshold.min, threshold.lead)
    }

    /// The `[[tests]]` of the files.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }
}

/// Over name and content of each file with their lengths; line ends and byte order marks do not count.
fn hash(texts: &RuleFiles) -> String {
    let mut hasher = Sha256::new();
    for (name, text) in texts {
        for part in [name, text] {
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher
        .finalize()
        .iter()
        .fold(String::from("sha256:"), |mut out, byte| {
            // Writing to a String cannot fail.
            let _never = write!(out, "{byte:02x}");
            out
        })
}

#[derive(Default)]
struct Compiler {
    faults: Vec<Fault>,
    files: Vec<(String, raw::File)>,
    builder: Builder,
    terms: Vec<Term>,
    too_many_terms: bool,
    settings: Settings,
    directory: Directory,
    strengths: Vec<BTreeMap<Entry, i64>>,
    rules: Vec<Rule>,
    /// Where the id of each rule stands.
    places: Vec<Place>,
    examples: Vec<Example>,
    patterns: Patterns,
    /// A file was left out whole.
    left_out: bool,
    /// Where faults of form stand, by file.
    scars: BTreeMap<String, Vec<usize>>,
    /// What stands in files with such faults and may be the id of a party that could not be read.
    hinted: BTreeSet<String>,
    /// The table that is looked at has a fault of form: what it lacks may be what is misspelt.
    misshapen: bool,
    /// Values that rules with faults would have spoken for; without one, any of the facet.
    unread: BTreeSet<(Facet, Option<String>)>,
}

/// The texts of a file that stand alone behind a key: ids are among them.
static VALUES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?m)^[ \t]*[A-Za-z_]+[ \t]*=[ \t]*["']([^"'\n]*)["']"#).ok());

/// Where something was written first: file and span.
type Place = (String, Range<usize>);

impl Compiler {
    /// Texts with `\n` line ends; oversized files are faults and left out.
    fn bounded(&mut self, files: &RuleFiles) -> RuleFiles {
        let mut total = 0_usize;
        let mut texts = RuleFiles::new();
        for (name, text) in files {
            total = total.saturating_add(text.len());
            if text.len() > FILE_BYTES_MAX || total > SET_BYTES_MAX {
                let help = format!(
                    "en fil kan ha {} MB og alle til sammen {} MB",
                    FILE_BYTES_MAX >> 20,
                    SET_BYTES_MAX >> 20
                );
                self.faults
                    .push(Fault::whole(name.as_str(), "fila er for stor", help));
                self.left_out = true;
                continue;
            }
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            texts.insert(name.clone(), text.replace("\r\n", "\n"));
        }
        texts
    }

    fn fault(
        &mut self,
        file: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.faults.push(Fault::at(file, span, message, help));
    }

    /// A fault of what is missing in a table.
    fn lack(
        &mut self,
        file: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if !self.misshapen {
            self.fault(file, span, message, help);
        }
    }

    /// Remembers the faults of form of a file, so that nothing is said of what only follows from them.
    fn misshape(&mut self, file: &str, text: &str, faults: Vec<Fault>) {
        if faults.is_empty() {
            return;
        }
        let values = VALUES.iter().flat_map(|values| values.captures_iter(text));
        self.hinted.extend(
            values
                .filter_map(|found| found.get(1))
                .map(|value| value.as_str().to_owned()),
        );
        let places = faults.iter().map(|fault| fault.span.start).collect();
        self.scars.insert(file.to_owned(), places);
        self.faults.extend(faults);
    }

    /// Begins to look at one of the tables of a list; it ends where the next one begins.
    fn enter<T>(&mut self, file: &str, list: &[Spanned<T>], at: usize) {
        let start_of = |at: usize| list.get(at).map(|table| table.span().start);
        let start = start_of(at).unwrap_or_default();
        let end = start_of(at.saturating_add(1)).unwrap_or(usize::MAX);
        self.misshapen = self
            .scars
            .get(file)
            .is_some_and(|places| places.iter().any(|place| (start..end).contains(place)));
    }

    fn finish(mut self, hash: String, care: Care) -> Result<RuleSet, Vec<Fault>> {
        let files = std::mem::take(&mut self.files);
        self.settings(&files);
        self.cues(&files);
        self.parties(&files);
        self.portals(&files);
        self.defaults(&files);
        let sound = self.faults.is_empty();
        self.rules(&files);
        self.examples(&files);
        self.contradictions();
        if care == Care::Check {
            self.silences();
            // Thresholds, parties and rules that could not be read may be what is missing.
            if sound {
                self.unreached();
            }
        }
        if self.directory.parties.is_empty() && sound {
            self.faults.push(Fault::whole(
                files
                    .first()
                    .map_or("innstillinger.toml", |(name, _)| name.as_str()),
                "regelsettet har ingen parter",
                "skriv minst én [[parties]]",
            ));
        }
        if self.patterns.too_large() {
            let name = files.first().map_or("", |(name, _)| name.as_str());
            self.faults.push(Fault::whole(
                name,
                "de regulære uttrykkene er for store til sammen",
                "bruk vanlige ord der det går",
            ));
        }
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        // What was read is not needed any more, and what follows finds room there.
        drop(files);
        let (mut patterns, traces) = self.patterns.finish();
        let lexicon = match self.builder.build() {
            Ok(lexicon) => lexicon,
            Err(bad) => return Err(vec![Fault::whole("", bad.0, "")]),
        };
        mark_cues(&mut self.terms, &lexicon);
        let mut rules = self.rules;
        for rule in &mut rules {
            // A rule whose fixed words hold a cue says itself what is missing.
            let terms = rule.all.iter().chain(&rule.near);
            if terms
                .filter_map(|term| term_at(&self.terms, *term))
                .any(|term| term.has_cue)
            {
                rule.negatable = false;
            }
        }
        let mut pattern_zones = Zones::default();
        for pattern in &mut patterns {
            for rule in &pattern.rules {
                if let Some(rule) = rules.get(*rule) {
                    pattern.zones = pattern.zones.with(rule.zones);
                }
            }
            pattern_zones = pattern_zones.with(pattern.zones);
        }
        let zones = rules.iter().fold(Zones::of(ZONES_OF_NAMES), |zones, rule| {
            zones.with(rule.zones)
        });
        let wordless = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.none_of_text());
        let wordless = wordless.map(|(index, _)| index).collect();
        Ok(RuleSet {
            hash,
            directory: self.directory,
            settings: self.settings,
            rules,
            kinds: self.terms.iter().map(Term::kind).collect(),
            terms: self.terms,
            lexicon,
            patterns,
            traces,
            zones,
            pattern_zones,
            wordless,
            strengths: self.strengths,
            examples: self.examples,
        })
    }

    fn examples(&mut self, files: &[(String, raw::File)]) {
        for (file, content) in files {
            for (at, example) in content.tests.iter().enumerate() {
                self.enter(file, &content.tests, at);
                self.example(file, example.get_ref());
            }
        }
        self.misshapen = false;
    }

    fn example(&mut self, file: &str, example: &raw::Example) {
        let mut expect = BTreeMap::new();
        let table = example.expect.get_ref();
        for (facet, value) in table.facets() {
            let word = value.get_ref().as_str();
            let fixed = facet == Facet::Destination && matches!(word, "sak" | "postmottak");
            if !fixed {
                self.known(file, value, facet);
            }
            expect.insert(facet, word.to_owned());
        }
        if expect.is_empty() && table.triage.is_none() {
            self.lack(
                file,
                example.expect.span(),
                "expect er tom",
                "skriv hva reglene skal svare, for eksempel expect = { type = \"avvik\" }",
            );
        }
        let mail = match (&example.text, &example.eml) {
            (None, Some(path)) => {
                let inside = std::path::Path::new(path.get_ref())
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
                if !inside || path.get_ref().is_empty() {
                    self.fault(
                        file,
                        path.span(),
                        "eml må ligge i regelmappen",
                        "skriv stien fra regelmappen, uten / først og uten ..",
                    );
                }
                ExampleMail::File(path.get_ref().clone())
            }
            (text, None) if text.is_some() || !example.subject.is_empty() => ExampleMail::Text {
                from: example.from.clone(),
                to: example.to.clone(),
                subject: example.subject.clone(),
                text: text
                    .as_ref()
                    .map(|text| text.get_ref().clone())
                    .unwrap_or_default(),
            },
            _ => {
                self.lack(
                    file,
                    example.name.span(),
                    "prøven må ha enten text (eller subject), eller eml",
                    "skriv text = \"…\", eller eml = \"proever/en.eml\"",
                );
                return;
            }
        };
        self.examples.push(Example {
            file: file.to_owned(),
            line: 0,
            name: example.name.get_ref().clone(),
            mail,
            expect,
            triage: table.triage,
            offset: example.name.span().start,
        });
    }

    /// The number of a term, used by `user`; a fault and `None` when it cannot be used.
    fn term(&mut self, file: &str, text: &Text, style: Style, user: Use) -> Option<u32> {
        if self.builder.len() >= TERMS_MAX {
            if !self.too_many_terms {
                self.too_many_terms = true;
                self.fault(
                    file,
                    text.span(),
                    format!("regelsettet har flere enn {TERMS_MAX} uttrykk"),
                    "",
                );
            }
            return None;
        }
        match self.builder.add(text.get_ref(), style) {
            Ok(number) => {
                let at = usize::try_from(number).unwrap_or(usize::MAX);
                if at == self.terms.len() {
                    self.terms.push(Term {
                        raw: text.get_ref().clone(),
                        has_cue: false,
                        // Most have one.
                        uses: Vec::with_capacity(1),
                    });
                }
                if let Some(term) = self.terms.get_mut(at)
                    && term.uses.last() != Some(&user)
                {
                    term.uses.push(user);
                }
                Some(number)
            }
            Err(bad) => {
                self.fault(file, text.span(), bad.0, "");
                None
            }
        }
    }

    fn cues(&mut self, files: &[(String, raw::File)]) {
        let mut first: Option<Place> = None;
        for (file, content) in files {
            let Some(table) = &content.cues else { continue };
            if self.again(file, table.span(), "cues", &mut first) {
                continue;
            }
            let cues = table.get_ref();
            for text in &cues.negating {
                self.term(file, text, Style::Exact, Use::Cue);
            }
            for text in &cues.soothing {
                self.term(file, text, Style::Rule, Use::Cue);
            }
            for text in &cues.ignore {
                self.term(file, text, Style::Name, Use::Ignore);
            }
            for text in &cues.clause_breaks {
                let word = text.get_ref().trim();
                if word == "," {
                    self.settings.breaks.comma = true;
                } else if word.is_empty() || word.chars().any(|c| !c.is_alphanumeric()) {
                    self.fault(
                        file,
                        text.span(),
                        format!("«{word}» er ikke ett ord"),
                        "skriv ett ord, eller \",\"",
                    );
                } else {
                    self.settings.breaks.words.insert(fold_word(word));
                }
            }
            if let Some(closings) = &cues.closings {
                self.settings.closings = closings
                    .iter()
                    .map(|text| line_key(text.get_ref()))
                    .collect();
            }
        }
    }

    /// Whether a table that may stand once stands a second time.
    fn again(
        &mut self,
        file: &str,
        span: Range<usize>,
        name: &str,
        first: &mut Option<Place>,
    ) -> bool {
        match first {
            None => {
                *first = Some((file.to_owned(), span));
                false
            }
            Some((other, _)) => {
                let help = format!("den står også i {other}; behold én");
                self.fault(file, span, format!("[{name}] står to ganger"), help);
                true
            }
        }
    }

    fn ranged(
        &mut self,
        file: &str,
        number: &Spanned<i64>,
        range: std::ops::RangeInclusive<i64>,
        what: &str,
    ) -> i64 {
        let value = *number.get_ref();
        if !range.contains(&value) {
            let message = format!("{what} er {value}");
            self.fault(
                file,
                number.span(),
                message,
                format!("skriv et tall fra {} til {}", range.start(), range.end()),
            );
        }
        value
    }

    fn settings(&mut self, files: &[(String, raw::File)]) {
        let mut first: [Option<Place>; 5] = Default::default();
        let [own, thresholds, strengths, factors, biases] = &mut first;
        for (file, content) in files {
            if let Some(table) = &content.own
                && !self.again(file, table.span(), "own", own)
            {
                self.own(file, table.get_ref());
            }
            if let Some(table) = &content.thresholds
                && !self.again(file, table.span(), "thresholds", thresholds)
            {
                self.thresholds(file, table.get_ref());
            }
            if let Some(table) = &content.directory_strengths
                && !self.again(file, table.span(), "directory_strengths", strengths)
            {
                let table = table.get_ref();
                if let Some(number) = &table.domain {
                    self.settings.domain_strength =
                        self.ranged(file, number, 0..=STRENGTH_MAX, "styrken");
                }
                if let Some(number) = &table.recipient {
                    self.settings.recipient_strength =
                        self.ranged(file, number, 0..=STRENGTH_MAX, "styrken");
                }
            }
            if let Some(table) = &content.zone_factors
                && !self.again(file, table.span(), "zone_factors", factors)
            {
                for (zone, number) in table.get_ref() {
                    let factor = self.ranged(file, number, 0..=500, "prosenten");
                    self.settings.zone_factors.insert(*zone, factor);
                }
            }
            if let Some(table) = &content.direction_bias
                && !self.again(file, table.span(), "direction_bias", biases)
            {
                for (direction, kinds) in table.get_ref() {
                    self.known(file, direction, Facet::Direction);
                    let mut bias = BTreeMap::new();
                    for (kind, number) in kinds {
                        bias.insert(
                            *kind,
                            self.ranged(file, number, -STRENGTH_MAX..=STRENGTH_MAX, "styrken"),
                        );
                    }
                    self.settings.bias.insert(direction.get_ref().clone(), bias);
                }
            }
        }
    }

    fn own(&mut self, file: &str, own: &raw::Own) {
        for text in &own.addresses {
            if self.address(file, text) {
                self.directory
                    .own_addresses
                    .insert(plain(text.get_ref()).into_owned());
            }
        }
        for text in &own.domains {
            self.directory
                .own_domains
                .insert(text.get_ref().to_lowercase());
        }
        let ids = if own.message_id_domains.is_empty() {
            &own.domains
        } else {
            &own.message_id_domains
        };
        self.directory.message_id_domains = ids
            .iter()
            .map(|text| text.get_ref().to_lowercase())
            .collect();
    }

    fn thresholds(&mut self, file: &str, table: &raw::Thresholds) {
        let all = [
            (Facet::Type, &table.r#type),
            (Facet::Direction, &table.direction),
            (Facet::Destination, &table.destination),
            (Facet::Category, &table.category),
            (Facet::Severity, &table.severity),
            (Facet::Reply, &table.reply),
            (Facet::Robot, &table.robot),
        ];
        for (facet, threshold) in all {
            if let Some(threshold) = threshold {
                let min = self.ranged(file, &threshold.min, 1..=1000, "terskelen");
                let lead = self.ranged(file, &threshold.lead, 0..=1000, "forspranget");
                let first = threshold.first.as_ref().map_or(0, |number| {
                    self.ranged(file, number, 0..=1000, "tillegget for den første")
                });
                self.settings
                    .thresholds
                    .insert(facet, Threshold { min, lead, first });
            }
        }
    }

    fn defaults(&mut self, files: &[(String, raw::File)]) {
        let mut first: Option<Place> = None;
        for (file, content) in files {
            let Some(table) = &content.defaults else {
                continue;
            };
            if self.again(file, table.span(), "defaults", &mut first) {
                continue;
            }
            for (facet, value) in facets(table.get_ref()) {
                if self.known(file, value, facet) {
                    self.settings
                        .defaults
                        .insert(facet, value.get_ref().clone());
                }
            }
        }
    }

    /// Whether the value is one of the facet's; a fault when not.
    fn known(&mut self, file: &str, value: &Text, facet: Facet) -> bool {
        let word = value.get_ref().as_str();
        let parties: Vec<String>;
        let candidates: Vec<&str> = if let Some(values) = facet.values() {
            values.to_vec()
        } else {
            // A party that is not known may stand where a file could not be read.
            if self.left_out || self.hinted.contains(word) {
                return true;
            }
            let known = self.directory.by_id.keys();
            parties = known.chain(&self.hinted).cloned().collect();
            parties.iter().map(String::as_str).collect()
        };
        if candidates.contains(&word) {
            return true;
        }
        let help = match suggest(word, candidates.iter().copied()) {
            Some(near) => format!("mente du «{near}»?"),
            None if facet.values().is_some() => format!("bruk en av {}", quoted(&candidates)),
            None => "parten må stå i en [[parties]]".to_owned(),
        };
        let message = if facet == Facet::Destination {
            format!("ukjent part «{word}»")
        } else {
            format!("ukjent verdi «{word}» for {}", facet.id())
        };
        self.fault(file, value.span(), message, help);
        false
    }

    fn address(&mut self, file: &str, text: &Text) -> bool {
        let address = text.get_ref();
        let good = address.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !address
                    .chars()
                    .any(|c| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';'))
        });
        if !good {
            self.fault(
                file,
                text.span(),
                format!("«{address}» er ingen e-postadresse"),
                "skriv navn@domene",
            );
        }
        good
    }

    fn id(
        &mut self,
        file: &str,
        id: &Text,
        what: &str,
        known: &mut BTreeMap<String, Place>,
    ) -> bool {
        let word = id.get_ref();
        if word.is_empty()
            || !word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        {
            let help = "bruk a–z, 0–9 og bindestrek; skriv ae, oe, aa for æ, ø, å";
            self.fault(file, id.span(), format!("«{word}» kan ikke være id"), help);
        }
        if let Some((other, _)) = known.get(word) {
            let help = format!("den står også i {other}; gi en av dem et annet navn");
            self.fault(
                file,
                id.span(),
                format!("{what} «{word}» finnes to ganger"),
                help,
            );
            return false;
        }
        known.insert(word.clone(), (file.to_owned(), id.span()));
        true
    }
}

/// A line or label as portals' lines are compared: its folded words between spaces.
pub(super) fn line_key(text: &str) -> String {
    let words = tokenise(text, &ClauseBreaks::default());
    words.iter().collect::<Vec<_>>().join(" ")
}

fn mark_cues(terms: &mut [Term], lexicon: &Lexicon) {
    let cues: BTreeSet<u32> = (0_u32..)
        .zip(terms.iter())
        .filter(|(_, term)| term.uses.contains(&Use::Cue))
        .map(|(number, _)| number)
        .collect();
    if cues.is_empty() {
        return;
    }
    for term in terms {
        let text = term.raw.replace(['*', '='], "");
        let hits = lexicon.scan(&tokenise(&text, &ClauseBreaks::default()));
        term.has_cue = hits.iter().any(|hit| cues.contains(&hit.term));
    }
}

impl raw::Expect {
    fn facets(&self) -> Vec<(Facet, &Text)> {
        let all = [
            (Facet::Type, &self.r#type),
            (Facet::Direction, &self.direction),
            (Facet::Destination, &self.destination),
            (Facet::Category, &self.category),
            (Facet::Severity, &self.severity),
            (Facet::Reply, &self.reply),
            (Facet::Robot, &self.robot),
        ];
        all.into_iter()
            .filter_map(|(facet, value)| value.as_ref().map(|value| (facet, value)))
            .collect()
    }
}

fn facets(table: &raw::Facets) -> Vec<(Facet, &Text)> {
    let all = [
        (Facet::Type, &table.r#type),
        (Facet::Direction, &table.direction),
        (Facet::Destination, &table.destination),
        (Facet::Category, &table.category),
        (Facet::Severity, &table.severity),
        (Facet::Reply, &table.reply),
        (Facet::Robot, &table.robot),
    ];
    all.into_iter()
        .filter_map(|(facet, value)| value.as_ref().map(|value| (facet, value)))
        .collect()
}
