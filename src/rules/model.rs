//! The compiled form of rules and settings.

use std::collections::BTreeMap;

use super::fold::ClauseBreaks;
use super::{Facet, PartyKind, raw};
use crate::message::{FieldName, Mark, Zone};

/// Least sum and least lead over the runner-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Threshold {
    pub(super) min: i64,
    pub(super) lead: i64,
    /// What the value whose evidence stands first gets, when the lead is missed.
    pub(super) first: i64,
}

/// A set of zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Zones(u16);

impl Zones {
    pub(super) fn of(zones: &[Zone]) -> Self {
        Self(zones.iter().fold(0, |set, zone| set | bit(*zone)))
    }

    /// These and those.
    pub(super) const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
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

/// Fields of forms that a rule reads; none means that it asks for no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fields(u32);

impl Fields {
    pub(super) fn of(names: &[FieldName]) -> Self {
        let bit = |name: &FieldName| FieldName::ALL.iter().position(|known| known == name);
        Self(names.iter().filter_map(bit).fold(0, |set, at| {
            set | u32::try_from(at)
                .ok()
                .and_then(|at| 1_u32.checked_shl(at))
                .unwrap_or_default()
        }))
    }

    /// Whether a rule with these fields reads a text of that field, or of none.
    pub(super) fn admit(self, field: Option<FieldName>) -> bool {
        self == Self::default() || field.is_some_and(|name| self.0 & Self::of(&[name]).0 != 0)
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

/// All zones; that of the headers stands last.
pub(super) const ZONES: [Zone; 10] = [
    Zone::Subject,
    Zone::New,
    Zone::Quoted,
    Zone::Forwarded,
    Zone::Attachment,
    Zone::AttachmentName,
    Zone::Field,
    Zone::Sender,
    Zone::Recipient,
    Zone::Header,
];

/// Zones in which names of the directory count: all but that of the headers.
pub(super) const ZONES_OF_NAMES: &[Zone] = ZONES.split_at(9).0;

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

/// What of a [`Term`] is asked for each of its hits, apart from what is asked for few of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TermKind {
    /// A negating or soothing cue.
    pub(super) is_cue: bool,
    /// A name of the directory, or a phrase to ignore: what lies inside it says nothing of the directory.
    pub(super) covers: bool,
    /// A name of the directory.
    pub(super) is_name: bool,
}

impl Term {
    pub(super) fn kind(&self) -> TermKind {
        let is_name = |user: &Use| matches!(user, Use::Party(..));
        TermKind {
            is_cue: self.uses.contains(&Use::Cue),
            covers: self
                .uses
                .iter()
                .any(|user| is_name(user) || *user == Use::Ignore),
            is_name: self.uses.iter().any(is_name),
        }
    }
}

/// What must be known already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Only decisions that are certain count.
    pub(super) certain: bool,
}

/// A checked rule; terms and regular expressions by number, each list in order.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the yes-or-no keys of a rule file"
)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) facet: Facet,
    pub(super) value: String,
    pub(super) strength: i64,
    pub(super) any: Vec<u32>,
    pub(super) all: Vec<u32>,
    pub(super) near: Vec<u32>,
    /// Of each list one term, in the same window as `near`.
    pub(super) near_any: Vec<Vec<u32>>,
    pub(super) within: usize,
    pub(super) none: Vec<u32>,
    pub(super) regex: Vec<usize>,
    pub(super) zones: Zones,
    pub(super) zones_named: bool,
    pub(super) fields: Fields,
    pub(super) when: When,
    pub(super) negatable: bool,
    pub(super) once: bool,
    pub(super) fallback: bool,
}

impl Rule {
    /// Whether the rule asks nothing of the text.
    pub(super) fn none_of_text(&self) -> bool {
        self.any.is_empty()
            && self.all.is_empty()
            && self.near.is_empty()
            && self.near_any.is_empty()
            && self.regex.is_empty()
    }
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
        self.thresholds.get(&facet).copied().unwrap_or(Threshold {
            min: 1,
            lead: 1,
            first: 0,
        })
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
            thresholds: thresholds
                .into_iter()
                .map(|(facet, min, lead)| {
                    let first = 0;
                    (facet, Threshold { min, lead, first })
                })
                .collect(),
            defaults: BTreeMap::new(),
            zone_factors: [(Zone::Subject, 150), (Zone::Quoted, 20), (Zone::Sender, 30)].into(),
            domain_strength: 6,
            recipient_strength: 8,
            bias: BTreeMap::new(),
            breaks: ClauseBreaks::default(),
            closings: CLOSINGS
                .iter()
                .map(|closing| (*closing).to_owned())
                .collect(),
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

/// The term of that number.
pub(super) fn term_at(terms: &[Term], number: u32) -> Option<&Term> {
    usize::try_from(number)
        .ok()
        .and_then(|number| terms.get(number))
}
