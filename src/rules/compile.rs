//! Rule files → [`RuleSet`], or all faults at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::directory::{Directory, PUBLIC_DOMAINS, Portal, plain};
use super::fold::{ClauseBreaks, fold_word, tokenise};
use super::lexicon::{Builder, Lexicon, Style};
use super::raw::{self, Text};
use super::{DECISIVE, Facet, Party, PartyKind};
use crate::diagnostic::{Fault, Faults, parse_toml, quoted, suggest};
use crate::message::{Mark, Zone};

/// The files of a rule set: relative path → text.
pub type RuleFiles = BTreeMap<String, String>;

/// Bytes a rule file may have.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes all rule files may have together.
pub const SET_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Different terms a rule set may have.
pub const TERMS_MAX: u32 = 200_000;
/// Bytes that one compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Bytes that all compiled regular expressions may take together.
const REGEX_SET_BYTES_MAX: usize = 64 << 20;
/// Greatest strength of a rule that is not decisive.
const STRENGTH_MAX: i64 = 20;
/// Words that `near` looks across when the rule does not say.
const WITHIN_DEFAULT: usize = 6;
/// Most words that `within` may say.
const WITHIN_MAX: i64 = 50;

/// Least sum and least lead over the runner-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Threshold {
    pub(super) min: i64,
    pub(super) lead: i64,
}

/// A set of zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Zones(u16);

impl Zones {
    pub(super) fn of(zones: &[Zone]) -> Self {
        Self(zones.iter().fold(0, |set, zone| set | bit(*zone)))
    }

    pub(super) fn has(self, zone: Zone) -> bool {
        self.0 & bit(zone) != 0
    }
}

const fn bit(zone: Zone) -> u16 {
    match zone {
        Zone::Subject => 1,
        Zone::New => 1 << 1,
        Zone::Quoted => 1 << 2,
        Zone::Forwarded => 1 << 3,
        Zone::Attachment => 1 << 4,
        Zone::AttachmentName => 1 << 5,
        Zone::Field => 1 << 6,
        Zone::Sender => 1 << 7,
        Zone::Recipient => 1 << 8,
        Zone::Header => 1 << 9,
    }
}

/// Zones of a rule that names none.
pub(super) const ZONES_DEFAULT: [Zone; 6] = [
    Zone::Subject,
    Zone::New,
    Zone::Forwarded,
    Zone::Attachment,
    Zone::AttachmentName,
    Zone::Field,
];

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Aliases,
    Units,
    Words,
    Places,
    Postcodes,
}

impl Entry {
    /// As in the rule files and in `part:<party>:<what>`.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Aliases => "aliases",
            Self::Units => "units",
            Self::Words => "words",
            Self::Places => "places",
            Self::Postcodes => "postcodes",
        }
    }
}

/// Who uses a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Rule(usize),
    Party(usize, Entry),
    Cue,
    Ignore,
}

/// A term with its users.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub(super) raw: String,
    pub(super) has_cue: bool,
    pub(super) uses: Vec<Use>,
}

/// A regular expression with the rules that use it.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) raw: String,
    pub(super) regex: Regex,
    pub(super) rules: Vec<usize>,
}

/// What must be known already.
#[derive(Debug, Clone, Default)]
pub(super) struct When {
    pub(super) values: Vec<(Facet, Vec<String>)>,
    pub(super) destination_kind: Option<Vec<PartyKind>>,
    pub(super) sender: Option<Vec<raw::SenderKind>>,
    pub(super) thread: Option<raw::Thread>,
    pub(super) case_token: Option<bool>,
    pub(super) cites_own: Option<bool>,
    pub(super) marks: Option<Vec<Mark>>,
    pub(super) party_in_to: Option<bool>,
    pub(super) attachments: Option<bool>,
}

/// A checked rule; terms and regular expressions by number.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) facet: Facet,
    pub(super) value: String,
    pub(super) strength: i64,
    pub(super) any: Vec<u32>,
    pub(super) all: Vec<u32>,
    pub(super) near: Vec<u32>,
    pub(super) within: usize,
    pub(super) none: Vec<u32>,
    pub(super) regex: Vec<usize>,
    pub(super) zones: Zones,
    pub(super) zones_named: bool,
    pub(super) when: When,
    pub(super) negatable: bool,
    pub(super) once: bool,
}

/// What the settings tables say.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) thresholds: BTreeMap<Facet, Threshold>,
    pub(super) defaults: BTreeMap<Facet, String>,
    pub(super) zone_factors: BTreeMap<Zone, i64>,
    pub(super) domain_strength: i64,
    pub(super) recipient_strength: i64,
    pub(super) bias: BTreeMap<String, BTreeMap<PartyKind, i64>>,
    pub(super) breaks: ClauseBreaks,
    pub(super) closings: Vec<String>,
}

impl Settings {
    pub(super) fn factor(&self, zone: Zone) -> i64 {
        self.zone_factors.get(&zone).copied().unwrap_or(100)
    }

    pub(super) fn threshold(&self, facet: Facet) -> Threshold {
        self.thresholds.get(&facet).copied().unwrap_or(Threshold { min: 1, lead: 1 })
    }
}

impl Default for Settings {
    fn default() -> Self {
        let thresholds = [
            (Facet::Type, 6, 3),
            (Facet::Direction, 4, 2),
            (Facet::Destination, 6, 3),
            (Facet::Category, 3, 1),
            (Facet::Severity, 3, 1),
            (Facet::Reply, 4, 2),
            (Facet::Robot, 6, 2),
        ];
        Self {
            thresholds: thresholds.into_iter().map(|(facet, min, lead)| (facet, Threshold { min, lead })).collect(),
            defaults: BTreeMap::new(),
            zone_factors: [(Zone::Subject, 150), (Zone::Quoted, 20), (Zone::Sender, 30)].into(),
            domain_strength: 6,
            recipient_strength: 8,
            bias: BTreeMap::new(),
            breaks: ClauseBreaks::default(),
            closings: CLOSINGS.iter().map(|closing| (*closing).to_owned()).collect(),
        }
    }
}

/// Beginnings of the line that opens a signature, folded; replaced by `[cues] closings`.
const CLOSINGS: [&str; 13] = [
    "mvh",
    "hilsen",
    "hilsener",
    "hilsing",
    "helsing",
    "vennlig hilsen",
    "venleg helsing",
    "venlig hilsen",
    "med vennlig hilsen",
    "med venleg helsing",
    "med hilsen",
    "med helsing",
    "beste hilsen",
];

/// Compiled rules and directory.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) hash: String,
    pub(super) directory: Directory,
    pub(super) settings: Settings,
    pub(super) rules: Vec<Rule>,
    pub(super) terms: Vec<Term>,
    pub(super) lexicon: Lexicon,
    pub(super) patterns: Vec<Pattern>,
    pub(super) pattern_set: RegexSet,
    /// Rules without words: always looked at.
    pub(super) wordless: Vec<usize>,
    /// What a directory entry of each party is worth.
    pub(super) strengths: Vec<BTreeMap<Entry, i64>>,
}

impl RuleSet {
    /// Reads, checks and compiles the files as a whole.
    ///
    /// # Errors
    /// All faults that were found; then nothing of the set is usable.
    pub fn compile(files: &RuleFiles) -> Result<Self, Faults> {
        let mut compiler = Compiler::default();
        let texts = compiler.bounded(files);
        for (name, text) in &texts {
            match parse_toml::<raw::File>(name, text) {
                Ok(file) => compiler.files.push((name.clone(), file)),
                Err(faults) => compiler.faults.extend(faults),
            }
        }
        let readable = compiler.faults.is_empty();
        match compiler.finish(hash(&texts), readable) {
            Ok(set) => Ok(set),
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

    /// How many rules there are, without those that the directory implies.
    pub const fn rule_count(&self) -> usize {
        self.rules.len()
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
    hasher.finalize().iter().fold(String::from("sha256:"), |mut out, byte| {
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
    patterns: Vec<Pattern>,
    pattern_numbers: BTreeMap<String, usize>,
}

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
                let help = format!("en fil kan ha {} MB og alle til sammen {} MB", FILE_BYTES_MAX >> 20, SET_BYTES_MAX >> 20);
                self.faults.push(Fault::whole(name.as_str(), "fila er for stor", help));
                continue;
            }
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            texts.insert(name.clone(), text.replace("\r\n", "\n"));
        }
        texts
    }

    fn fault(&mut self, file: &str, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::at(file, span, message, help));
    }

    /// `readable`: all files could be read, so that what is missing is really missing.
    fn finish(mut self, hash: String, readable: bool) -> Result<RuleSet, Vec<Fault>> {
        let files = std::mem::take(&mut self.files);
        self.settings(&files);
        self.cues(&files);
        self.parties(&files);
        self.portals(&files);
        self.defaults(&files, readable);
        self.rules(&files, readable);
        if self.directory.parties.is_empty() && readable {
            self.faults.push(Fault::whole(
                files.first().map_or("innstillinger.toml", |(name, _)| name.as_str()),
                "regelsettet har ingen parter",
                "skriv minst én [[parties]]",
            ));
        }
        let mut regexes = RegexSetBuilder::new(self.patterns.iter().map(|pattern| pattern.raw.as_str()));
        let pattern_set = regexes.case_insensitive(true).unicode(false).size_limit(REGEX_SET_BYTES_MAX).build();
        let pattern_set = pattern_set.unwrap_or_else(|_| {
            let name = files.first().map_or("", |(name, _)| name.as_str());
            self.faults.push(Fault::whole(name, "de regulære uttrykkene er for store til sammen", "bruk vanlige ord der det går"));
            RegexSet::empty()
        });
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let lexicon = match self.builder.build() {
            Ok(lexicon) => lexicon,
            Err(bad) => return Err(vec![Fault::whole("", bad.0, "")]),
        };
        mark_cues(&mut self.terms, &lexicon);
        let mut rules = self.rules;
        for rule in &mut rules {
            // A rule whose fixed words hold a cue says itself what is missing.
            let terms = rule.all.iter().chain(&rule.near);
            if terms.filter_map(|term| term_at(&self.terms, *term)).any(|term| term.has_cue) {
                rule.negatable = false;
            }
        }
        let wordless = rules.iter().enumerate().filter(|(_, rule)| {
            rule.any.is_empty() && rule.all.is_empty() && rule.near.is_empty() && rule.regex.is_empty()
        });
        let wordless = wordless.map(|(index, _)| index).collect();
        Ok(RuleSet {
            hash,
            directory: self.directory,
            settings: self.settings,
            rules,
            terms: self.terms,
            lexicon,
            patterns: self.patterns,
            pattern_set,
            wordless,
            strengths: self.strengths,
        })
    }

    /// The number of a term, used by `user`; a fault and `None` when it cannot be used.
    fn term(&mut self, file: &str, text: &Text, style: Style, user: Use) -> Option<u32> {
        if self.builder.len() >= TERMS_MAX {
            if !self.too_many_terms {
                self.too_many_terms = true;
                self.fault(file, text.span(), format!("regelsettet har flere enn {TERMS_MAX} uttrykk"), "");
            }
            return None;
        }
        match self.builder.add(text.get_ref(), style) {
            Ok(number) => {
                let at = usize::try_from(number).unwrap_or(usize::MAX);
                if at == self.terms.len() {
                    self.terms.push(Term { raw: text.get_ref().clone(), has_cue: false, uses: Vec::new() });
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
            for text in cues.negating.iter().chain(&cues.soothing) {
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
                    self.fault(file, text.span(), format!("«{word}» er ikke ett ord"), "skriv ett ord, eller \",\"");
                } else {
                    self.settings.breaks.words.insert(fold_word(word));
                }
            }
            if let Some(closings) = &cues.closings {
                let fold = |text: &Text| tokenise(text.get_ref(), &ClauseBreaks::default());
                let line = |text: &Text| fold(text).into_iter().map(|token| token.word).collect::<Vec<_>>().join(" ");
                self.settings.closings = closings.iter().map(line).collect();
            }
        }
    }

    /// Whether a table that may stand once stands a second time.
    fn again(&mut self, file: &str, span: Range<usize>, name: &str, first: &mut Option<Place>) -> bool {
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

    fn ranged(&mut self, file: &str, number: &Spanned<i64>, range: std::ops::RangeInclusive<i64>, what: &str) -> i64 {
        let value = *number.get_ref();
        if !range.contains(&value) {
            let message = format!("{what} er {value}");
            self.fault(file, number.span(), message, format!("skriv et tall fra {} til {}", range.start(), range.end()));
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
                    self.settings.domain_strength = self.ranged(file, number, 0..=STRENGTH_MAX, "styrken");
                }
                if let Some(number) = &table.recipient {
                    self.settings.recipient_strength = self.ranged(file, number, 0..=STRENGTH_MAX, "styrken");
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
                        bias.insert(*kind, self.ranged(file, number, -STRENGTH_MAX..=STRENGTH_MAX, "styrken"));
                    }
                    self.settings.bias.insert(direction.get_ref().clone(), bias);
                }
            }
        }
    }

    fn own(&mut self, file: &str, own: &raw::Own) {
        for text in &own.addresses {
            if self.address(file, text) {
                self.directory.own_addresses.insert(plain(text.get_ref()));
            }
        }
        for text in &own.domains {
            self.directory.own_domains.insert(text.get_ref().to_lowercase());
        }
        let ids = if own.message_id_domains.is_empty() { &own.domains } else { &own.message_id_domains };
        self.directory.message_id_domains = ids.iter().map(|text| text.get_ref().to_lowercase()).collect();
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
                self.settings.thresholds.insert(facet, Threshold { min, lead });
            }
        }
    }

    fn defaults(&mut self, files: &[(String, raw::File)], readable: bool) {
        let mut first: Option<Place> = None;
        for (file, content) in files {
            let Some(table) = &content.defaults else { continue };
            if self.again(file, table.span(), "defaults", &mut first) {
                continue;
            }
            for (facet, value) in facets(table.get_ref()) {
                if facet == Facet::Destination && !readable || self.known(file, value, facet) {
                    self.settings.defaults.insert(facet, value.get_ref().clone());
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
            parties = self.directory.by_id.keys().cloned().collect();
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
                && !address.chars().any(|c| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';'))
        });
        if !good {
            self.fault(file, text.span(), format!("«{address}» er ingen e-postadresse"), "skriv navn@domene");
        }
        good
    }

    fn id(&mut self, file: &str, id: &Text, what: &str, known: &mut BTreeMap<String, Place>) -> bool {
        let word = id.get_ref();
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            let help = "bruk a–z, 0–9 og bindestrek; skriv ae, oe, aa for æ, ø, å";
            self.fault(file, id.span(), format!("«{word}» kan ikke være id"), help);
        }
        if let Some((other, _)) = known.get(word) {
            let help = format!("den står også i {other}; gi en av dem et annet navn");
            self.fault(file, id.span(), format!("{what} «{word}» finnes to ganger"), help);
            return false;
        }
        known.insert(word.clone(), (file.to_owned(), id.span()));
        true
    }

    fn parties(&mut self, files: &[(String, raw::File)]) {
        let general = files.iter().find_map(|(_, content)| content.directory_strengths.as_ref());
        let mut defaults: BTreeMap<Entry, i64> =
            [(Entry::Aliases, 6), (Entry::Units, 6), (Entry::Words, 2), (Entry::Places, 3), (Entry::Postcodes, 2)].into();
        if let Some(table) = general {
            let file = files.first().map_or("", |(name, _)| name.as_str()).to_owned();
            self.override_strengths(&file, table.get_ref(), &mut defaults);
        }
        let mut ids = BTreeMap::new();
        let mut claimed: BTreeMap<String, String> = BTreeMap::new();
        for (file, content) in files {
            for party in &content.parties {
                if self.id(file, &party.id, "parten", &mut ids) {
                    self.party(file, party, &defaults, &mut claimed);
                }
            }
        }
    }

    fn override_strengths(&mut self, file: &str, table: &raw::DirectoryStrengths, into: &mut BTreeMap<Entry, i64>) {
        let all = [
            (Entry::Aliases, &table.aliases),
            (Entry::Units, &table.units),
            (Entry::Words, &table.words),
            (Entry::Places, &table.places),
            (Entry::Postcodes, &table.postcodes),
        ];
        for (entry, number) in all {
            if let Some(number) = number {
                into.insert(entry, self.ranged(file, number, 0..=STRENGTH_MAX, "styrken"));
            }
        }
    }

    fn party(
        &mut self,
        file: &str,
        party: &raw::Party,
        defaults: &BTreeMap<Entry, i64>,
        claimed: &mut BTreeMap<String, String>,
    ) {
        let index = self.directory.parties.len();
        let id = party.id.get_ref().clone();
        let mut strengths = defaults.clone();
        self.override_strengths(file, &party.strengths, &mut strengths);
        let mut addresses: Vec<String> = Vec::new();
        for text in party.send_to.iter().chain(&party.addresses) {
            if !self.address(file, text) {
                continue;
            }
            let address = plain(text.get_ref());
            if addresses.contains(&address) {
                continue;
            }
            if let Some(other) = claimed.get(&address) {
                let help = format!("den står også hos «{other}»; en adresse kan bare høre til én part");
                self.fault(file, text.span(), format!("«{}» er brukt av to parter", text.get_ref()), help);
                continue;
            }
            if self.directory.own_addresses.contains(&address) && party.kind != PartyKind::Samhandling {
                let help = "sakene ville gått i ring; skriv partens egen adresse";
                self.fault(file, text.span(), format!("«{}» er en av våre egne adresser i [own]", text.get_ref()), help);
                continue;
            }
            claimed.insert(address.clone(), id.clone());
            self.directory.by_address.insert(address.clone(), index);
            addresses.push(address);
        }
        let mut domains: Vec<String> = Vec::new();
        for text in &party.domains {
            let domain = text.get_ref().trim().to_lowercase();
            if domain.is_empty() || domain.contains(['@', ' ', '*']) || domain.starts_with('.') {
                self.fault(file, text.span(), format!("«{domain}» er ikke noe domene"), "skriv det som står etter @");
            } else if PUBLIC_DOMAINS.contains(&domain.as_str()) {
                self.fault(file, text.span(), format!("«{domain}» er et åpent domene"), "skriv hele adressen under addresses");
            } else if domains.contains(&domain) {
                self.fault(file, text.span(), format!("domenet «{domain}» står to ganger"), "behold én");
            } else {
                self.directory.by_domain.entry(domain.clone()).or_default().insert(index);
                domains.push(domain);
            }
        }
        self.term(file, &party.name, Style::Name, Use::Party(index, Entry::Aliases));
        for (entry, texts, style) in [
            (Entry::Aliases, &party.aliases, Style::Name),
            (Entry::Units, &party.units, Style::Name),
            (Entry::Words, &party.words, Style::Rule),
            (Entry::Places, &party.places, Style::Name),
            (Entry::Postcodes, &party.postcodes, Style::Name),
        ] {
            for text in texts {
                self.term(file, text, style, Use::Party(index, entry));
            }
        }
        self.strengths.push(strengths);
        self.directory.by_id.insert(id.clone(), index);
        self.directory.parties.push(Party {
            id,
            name: party.name.get_ref().clone(),
            kind: party.kind,
            send_to: party.send_to.iter().map(|text| text.get_ref().clone()).collect(),
            addresses,
            domains,
            secure: party.secure,
            approval: party.approval,
            language: party.language,
        });
    }

    fn portals(&mut self, files: &[(String, raw::File)]) {
        let mut ids = BTreeMap::new();
        for (file, content) in files {
            for portal in &content.portals {
                self.id(file, &portal.id, "portalen", &mut ids);
                let mut addresses = Vec::new();
                for text in &portal.addresses {
                    if self.address(file, text) {
                        addresses.push(plain(text.get_ref()));
                    }
                }
                let fold = |texts: &[String]| texts.iter().map(|text| line_key(text)).collect::<Vec<_>>();
                let drop: Vec<String> = DROP_LABELS.iter().map(|label| (*label).to_owned()).collect();
                self.directory.portals.push(Portal {
                    id: portal.id.get_ref().clone(),
                    name: portal.name.clone(),
                    addresses,
                    use_reply_to: portal.use_reply_to,
                    sender_labels: fold(&portal.sender_labels),
                    title_labels: fold(&portal.title_labels),
                    drop_labels: fold(portal.drop_labels.as_deref().unwrap_or(&drop)),
                    boilerplate: fold(&portal.boilerplate),
                    footer: fold(&portal.footer),
                });
            }
        }
    }

    fn rules(&mut self, files: &[(String, raw::File)], readable: bool) {
        let mut ids = BTreeMap::new();
        for (file, content) in files {
            for rule in &content.rules {
                let fresh = self.id(file, &rule.id, "regelen", &mut ids);
                let before = self.faults.len();
                let checked = self.rule(file, rule, readable);
                if let Some(checked) = checked
                    && fresh
                    && self.faults.len() == before
                {
                    self.rules.push(checked);
                }
            }
        }
    }

    fn rule(&mut self, file: &str, rule: &raw::Rule, readable: bool) -> Option<Rule> {
        let index = self.rules.len();
        let given = facets(rule.give.get_ref());
        let [(facet, value)] = given.as_slice() else {
            self.fault(file, rule.give.span(), "give må ha akkurat én avgjørelse", "for eksempel give = { type = \"avvik\" }");
            return None;
        };
        let (facet, value) = (*facet, *value);
        // Without all parties known, an unknown one may stand in the file that could not be read.
        if facet != Facet::Destination || readable {
            self.known(file, value, facet);
        }
        let strength = self.strength(file, rule);
        let any = self.terms(file, "any", rule.any.as_ref(), index);
        let all = self.terms(file, "all", rule.all.as_ref(), index);
        let near = self.terms(file, "near", rule.near.as_ref(), index);
        let none = self.terms(file, "none", rule.none.as_ref(), index);
        let regex = self.regexes(file, rule.regex.as_ref(), index);
        let has = |list: &Option<Spanned<Vec<Text>>>| list.is_some();
        if !(has(&rule.any) || has(&rule.all) || has(&rule.near) || has(&rule.regex) || rule.when.is_some() || rule.marks.is_some()) {
            let help = "skriv minst én av any, all, near, regex, marks eller when";
            self.fault(file, rule.id.span(), format!("regelen «{}» har ingen vilkår", rule.id.get_ref()), help);
        }
        if let Some(list) = &rule.near
            && list.get_ref().len() == 1
        {
            self.fault(file, list.span(), "near trenger minst to uttrykk", "bruk any når det er ett");
        }
        let within = match (&rule.within, &rule.near) {
            (Some(number), None) => {
                self.fault(file, number.span(), "within gjelder bare sammen med near", "ta det bort, eller bruk near");
                WITHIN_DEFAULT
            }
            (Some(number), Some(_)) => {
                let number = self.ranged(file, number, 1..=WITHIN_MAX, "within");
                usize::try_from(number).unwrap_or(WITHIN_DEFAULT)
            }
            (None, _) => WITHIN_DEFAULT,
        };
        let mut when = rule.when.as_ref().map(|when| self.when(file, when, facet, readable)).unwrap_or_default();
        if let Some(list) = &rule.marks {
            if when.marks.is_some() || list.get_ref().is_empty() {
                self.fault(file, list.span(), "marks er tom eller står både her og i when", "skriv merkene ett sted");
            }
            when.marks = Some(list.get_ref().clone());
        }
        let zones = rule.zones.as_ref().map(|zones| zones.get_ref().as_slice());
        if zones.is_some_and(<[Zone]>::is_empty)
            && let Some(list) = &rule.zones
        {
            self.fault(file, list.span(), "zones er tom", "ta den bort, eller nevn minst én sone");
        }
        Some(Rule {
            id: rule.id.get_ref().clone(),
            facet,
            value: value.get_ref().clone(),
            strength,
            any,
            all,
            near,
            within,
            none,
            regex,
            zones: Zones::of(zones.unwrap_or(&ZONES_DEFAULT)),
            zones_named: zones.is_some(),
            when,
            negatable: rule
                .negatable
                .unwrap_or(matches!(facet, Facet::Type | Facet::Category | Facet::Severity)),
            once: rule.once.unwrap_or(true),
        })
    }

    fn strength(&mut self, file: &str, rule: &raw::Rule) -> i64 {
        match (&rule.strength, rule.decisive) {
            (None, true) => DECISIVE,
            (Some(number), true) => {
                self.fault(file, number.span(), "decisive og strength utelukker hverandre", "behold én av dem");
                DECISIVE
            }
            (None, false) => {
                let help = "skriv strength = 1 til 20, eller decisive = true";
                self.fault(file, rule.id.span(), format!("regelen «{}» har ingen styrke", rule.id.get_ref()), help);
                0
            }
            (Some(number), false) => {
                let value = *number.get_ref();
                if value == 0 || value.abs() > STRENGTH_MAX {
                    let help = "skriv et tall fra 1 til 20, eller fra -20 til -1 for det motsatte";
                    self.fault(file, number.span(), format!("styrken er {value}"), help);
                }
                value
            }
        }
    }

    fn terms(&mut self, file: &str, key: &str, list: Option<&Spanned<Vec<Text>>>, rule: usize) -> Vec<u32> {
        let Some(list) = list else { return Vec::new() };
        if list.get_ref().is_empty() {
            self.fault(file, list.span(), format!("{key} er tom"), "ta den bort, eller skriv minst ett uttrykk");
        }
        let mut numbers = Vec::new();
        for text in list.get_ref() {
            if let Some(number) = self.term(file, text, Style::Rule, Use::Rule(rule))
                && !numbers.contains(&number)
            {
                numbers.push(number);
            }
        }
        numbers
    }

    fn regexes(&mut self, file: &str, list: Option<&Spanned<Vec<Text>>>, rule: usize) -> Vec<usize> {
        let mut numbers = Vec::new();
        for text in list.into_iter().flat_map(Spanned::get_ref) {
            let raw = text.get_ref();
            if raw.chars().any(|c| matches!(c, 'æ' | 'ø' | 'å' | 'Æ' | 'Ø' | 'Å')) {
                let help = "regulære uttrykk leser foldet tekst: skriv ae, oe og aa";
                self.fault(file, text.span(), "æ, ø og å treffer aldri her", help);
                continue;
            }
            let known = self.pattern_numbers.get(raw).copied();
            let number = match known {
                Some(number) => number,
                None => match RegexBuilder::new(raw).case_insensitive(true).unicode(false).size_limit(REGEX_BYTES_MAX).build() {
                    Ok(regex) if regex.is_match(b"") => {
                        self.fault(file, text.span(), "uttrykket treffer tom tekst", "da treffer det alltid; krev minst ett tegn");
                        continue;
                    }
                    Ok(regex) => {
                        let number = self.patterns.len();
                        self.patterns.push(Pattern { raw: raw.clone(), regex, rules: Vec::new() });
                        self.pattern_numbers.insert(raw.clone(), number);
                        number
                    }
                    Err(regex::Error::CompiledTooBig(_)) => {
                        self.fault(file, text.span(), "det regulære uttrykket er for stort", "bruk færre eller mindre gjentakelser");
                        continue;
                    }
                    Err(error) => {
                        let reason = error.to_string();
                        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                        self.fault(file, text.span(), "ugyldig regulært uttrykk", regex_advice(reason));
                        continue;
                    }
                },
            };
            if let Some(pattern) = self.patterns.get_mut(number)
                && pattern.rules.last() != Some(&rule)
            {
                pattern.rules.push(rule);
            }
            numbers.push(number);
        }
        numbers
    }

    fn when(&mut self, file: &str, when: &Spanned<raw::When>, given: Facet, readable: bool) -> When {
        let table = when.get_ref();
        let lists = [
            (Facet::Robot, &table.robot),
            (Facet::Type, &table.r#type),
            (Facet::Direction, &table.direction),
            (Facet::Destination, &table.destination),
            (Facet::Category, &table.category),
            (Facet::Severity, &table.severity),
        ];
        let order = |facet: Facet| Facet::ORDER.iter().position(|known| *known == facet);
        let mut values = Vec::new();
        for (facet, list) in lists {
            let Some(list) = list else { continue };
            if order(facet) >= order(given) {
                let message = format!("{} er ikke avgjort ennå når {} skal avgjøres", facet.id(), given.id());
                let names: Vec<&str> = Facet::ORDER.iter().map(|facet| facet.id()).collect();
                self.fault(file, when.span(), message, format!("rekkefølgen er {}", names.join(", ")));
            }
            for value in list {
                if facet != Facet::Destination || readable {
                    self.known(file, value, facet);
                }
            }
            values.push((facet, list.iter().map(|value| value.get_ref().clone()).collect()));
        }
        if table.destination_kind.is_some() && order(Facet::Destination) >= order(given) {
            let message = format!("destination er ikke avgjort ennå når {} skal avgjøres", given.id());
            self.fault(file, when.span(), message, "");
        }
        let nothing = values.is_empty()
            && table.destination_kind.is_none()
            && table.sender.is_none()
            && table.thread.is_none()
            && table.case_token.is_none()
            && table.cites_own.is_none()
            && table.marks.is_none()
            && table.party_in_to.is_none()
            && table.attachments.is_none();
        if nothing {
            self.fault(file, when.span(), "when er tom", "ta den bort, eller skriv et vilkår");
        }
        When {
            values,
            destination_kind: table.destination_kind.clone(),
            sender: table.sender.clone(),
            thread: table.thread,
            case_token: table.case_token,
            cites_own: table.cites_own,
            marks: table.marks.clone(),
            party_in_to: table.party_in_to,
            attachments: table.attachments,
        }
    }
}

/// Lines of a portal that say how, not what; replaced by `drop_labels`.
const DROP_LABELS: [&str; 4] = ["Til", "Mottatt", "Antall vedlegg", "Melding"];

/// A line or label as portals' lines are compared: its folded words between spaces.
pub(super) fn line_key(text: &str) -> String {
    let words: Vec<String> = tokenise(text, &ClauseBreaks::default()).into_iter().map(|token| token.word).collect();
    words.join(" ")
}

pub(super) fn term_at(terms: &[Term], number: u32) -> Option<&Term> {
    usize::try_from(number).ok().and_then(|number| terms.get(number))
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
    all.into_iter().filter_map(|(facet, value)| value.as_ref().map(|value| (facet, value))).collect()
}

/// What to write instead, for the faults that people make; the words of the regex engine for the others.
fn regex_advice(reason: &str) -> String {
    let advice = match reason {
        "unclosed group" => "det mangler en «)»; skriv \\( for et vanlig parentestegn",
        "unopened group" => "det står en «)» for mye; skriv \\) for et vanlig parentestegn",
        "unclosed character class" => "det mangler en «]»; skriv \\[ for et vanlig klammetegn",
        "repetition operator missing expression" => "«*», «+», «?» og «{» må stå etter noe; skriv \\ foran for tegnet selv",
        "unclosed counted repetition" => "det mangler en «}»; skriv \\{ for et vanlig krølltegn",
        "unrecognized escape sequence" => "«\\» må stå foran et tegn som har en egen mening, for eksempel \\. eller \\(",
        "incomplete escape sequence, reached end of pattern prematurely" => "det mangler et tegn etter «\\» på slutten",
        "look-around, including look-ahead and look-behind, is not supported" => "«(?=», «(?!» og «(?<» finnes ikke her; bruk «none» i regelen",
        "backreferences are not supported" => "tilbakevisninger som \\1 finnes ikke her",
        other => return other.to_owned(),
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_regular_expressions_are_explained_in_norwegian() {
        for pattern in ["faktura(nr", "nr)", "[a-z", "*nr", "a{2", r"\q", "nr\\", "(?=nr)", r"(a)\1"] {
            let error = RegexBuilder::new(pattern).build().unwrap_err().to_string();
            let reason = error.lines().last().unwrap().trim_start_matches("error: ").to_owned();
            assert_ne!(regex_advice(&reason), reason, "{pattern}");
        }
    }
}
