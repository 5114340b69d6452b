//! The values a facet can have (spec/LABELS.md).

use super::{Decision, Facet};

impl Facet {
    /// All facets in the order in which they are decided; a rule's `when` can use the earlier ones.
    pub const ORDER: [Self; 7] = [
        Self::Robot,
        Self::Type,
        Self::Direction,
        Self::Destination,
        Self::Category,
        Self::Severity,
        Self::Reply,
    ];

    /// The name in rule files and in JSON.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Direction => "direction",
            Self::Destination => "destination",
            Self::Category => "category",
            Self::Severity => "severity",
            Self::Reply => "reply",
            Self::Robot => "robot",
        }
    }

    /// The values that stand fast; `None` for destinations, which the directory names.
    pub(super) const fn values(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Type => Some(&[
                "avvik",
                "forbedring",
                "faktura",
                "orientering",
                "ros",
                "svar",
                "ikke-avvik",
            ]),
            Self::Direction => Some(&["fra-fastlege", "fra-kommune", "fra-sykehus", "ukjent"]),
            Self::Destination => None,
            Self::Category => Some(&[
                "meldingsutveksling",
                "informasjon",
                "utstyr-legemidler",
                "dialog-innleggelse",
                "manglende-tilbud",
                "utskrivningsklar",
                "transport",
                "feilsending",
                "annet",
            ]),
            Self::Severity => Some(&["betydelig", "moderat", "mindre", "ukjent"]),
            Self::Reply => Some(&[
                "endelig",
                "forelopig",
                "sporsmal",
                "feil-adressat",
                "takk",
                "purring",
            ]),
            Self::Robot => Some(&["fravaer", "kvittering"]),
        }
    }
}

/// Types that have a category in the annual report.
pub(super) fn has_category(kind: &str) -> bool {
    matches!(kind, "avvik" | "forbedring" | "orientering")
}

/// Types whose consequence for the patient is judged.
pub(super) fn has_severity(kind: &str) -> bool {
    matches!(kind, "avvik" | "orientering")
}

/// Types that become a case with a party to answer or to be told.
pub(super) fn has_destination(kind: &str) -> bool {
    matches!(
        kind,
        "avvik" | "forbedring" | "faktura" | "orientering" | "ros"
    )
}

impl Decision {
    /// The value, or `""`.
    pub fn as_str(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}
