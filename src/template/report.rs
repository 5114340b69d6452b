//! Facts of the mails about many cases: the digest to the samhandlingsavdeling and the weekly status to a party. Numbers,
//! types, dates, names of parties, domains and reasons; never a word of a report.

use super::tidy;
use minijinja::Value;
use serde::Serialize;

/// Lines that one part of a mail shows; of more it says how many.
pub const LINES_MAX: usize = 100;

/// Names of the fields of [`ReportFacts`], as templates write them.
pub(super) const REPORT_NAMES: [&str; 5] = ["dag", "avsender", "part", "antall", "avsnitt"];

/// Ids of the parts of the digest, in its order; templates give each its heading.
pub const DIGEST_PARTS: [&str; 9] = [
    "vurdering",
    "godkjenning",
    "sikkert",
    "over-frist",
    "se-paa",
    "ikke-levert",
    "holdt",
    "uten-kvittering",
    "urort",
];

/// Id of the one part of a party's status.
pub const STATUS_PART: &str = "saker";

/// What the template of a report may say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ReportFacts {
    /// The day of the report, «3. mars 2026».
    pub dag: String,
    /// Who we are.
    pub avsender: String,
    /// Name of the party that it is for.
    pub part: String,
    /// Lines in all parts together, those not shown included.
    pub antall: usize,
    /// The parts that have something to say.
    pub avsnitt: Vec<Part>,
}

/// One part of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Part {
    /// One of [`DIGEST_PARTS`], or [`STATUS_PART`].
    pub id: String,
    /// How many there are.
    pub antall: usize,
    /// How many of them are not shown.
    pub flere: usize,
    /// The first of them.
    pub linjer: Vec<Line>,
}

impl Part {
    /// A part with these lines; more than [`LINES_MAX`] are counted and not shown. `None` without any.
    pub fn of(id: &str, lines: Vec<Line>) -> Option<Self> {
        let count = lines.len();
        Self::counted(id, lines, count)
    }

    /// A part with the first of `count` lines.
    pub fn counted(id: &str, mut lines: Vec<Line>, count: usize) -> Option<Self> {
        if lines.is_empty() {
            return None;
        }
        lines.truncate(LINES_MAX);
        Some(Self {
            id: id.to_owned(),
            antall: count,
            flere: count.saturating_sub(lines.len()),
            linjer: lines,
        })
    }
}

/// One line of a report; what does not apply is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Line {
    /// `SAK-2026-000123`.
    pub sak: String,
    /// Norwegian name of the type.
    pub type_navn: String,
    /// Name of the party.
    pub part: String,
    /// Day of receipt.
    pub mottatt: String,
    /// Day when an answer is due.
    pub frist: String,
    /// State, kind of mail, reason or advice, in Norwegian.
    pub merknad: String,
    /// Domain of a sender.
    pub domene: String,
}

impl Line {
    fn value(&self) -> Value {
        let text = |text: &str| Value::from(tidy(text));
        Value::from_pairs([
            ("sak", text(&self.sak)),
            ("type_navn", text(&self.type_navn)),
            ("part", text(&self.part)),
            ("mottatt", text(&self.mottatt)),
            ("frist", text(&self.frist)),
            ("merknad", text(&self.merknad)),
            ("domene", text(&self.domene)),
        ])
    }
}

impl Part {
    fn value(&self) -> Value {
        Value::from_pairs([
            ("id", Value::from(self.id.as_str())),
            ("antall", Value::from(self.antall)),
            ("flere", Value::from(self.flere)),
            (
                "linjer",
                Value::from(self.linjer.iter().map(Line::value).collect::<Vec<_>>()),
            ),
        ])
    }
}

impl ReportFacts {
    pub(super) fn value(&self) -> Value {
        Value::from_pairs([
            ("dag", Value::from(tidy(&self.dag))),
            ("avsender", Value::from(tidy(&self.avsender))),
            ("part", Value::from(tidy(&self.part))),
            ("antall", Value::from(self.antall)),
            (
                "avsnitt",
                Value::from(self.avsnitt.iter().map(Part::value).collect::<Vec<_>>()),
            ),
        ])
    }
}

/// Facts of every shape that the template of a report can meet, each with what the text must then hold.
pub(super) fn samples(ids: &[&str]) -> Vec<(ReportFacts, Vec<String>)> {
    let line = |at: usize, full: bool| {
        let text = |text: &str| if full { text.to_owned() } else { String::new() };
        Line {
            sak: format!("SAK-2026-{at:06}"),
            type_navn: text("Samhandlingsavvik"),
            part: text("Klinikk for medisin"),
            mottatt: text("3. mars 2026"),
            frist: text("2. april 2026"),
            merknad: text("purret"),
            domene: text("avsender.example"),
        }
    };
    let mut samples = Vec::new();
    for (lines, full) in [(1_usize, true), (1, false), (3, true)] {
        let mut facts = ReportFacts {
            dag: "3. mars 2026".to_owned(),
            avsender: "Samhandlingsavdelingen".to_owned(),
            part: "Moss kommune".to_owned(),
            ..ReportFacts::default()
        };
        let mut needed = Vec::new();
        for (place, id) in ids.iter().enumerate() {
            let first = place.saturating_mul(1000).saturating_add(1);
            let list: Vec<Line> = (0..lines)
                .map(|at| line(first.saturating_add(at), full))
                .collect();
            needed.extend(list.iter().map(|line| line.sak.clone()));
            let count = lines.saturating_add(usize::from(lines > 1).saturating_mul(7));
            facts.avsnitt.extend(Part::counted(id, list, count));
            facts.antall = facts.antall.saturating_add(count);
        }
        samples.push((facts, needed));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_the_fields() {
        let value = serde_json::to_value(ReportFacts::default()).unwrap();
        let fields: BTreeSet<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(fields, REPORT_NAMES.into_iter().collect());
    }

    #[test]
    fn a_full_digest_can_be_rendered() {
        let templates = crate::template::Templates::compile(&crate::template::shipped()).unwrap();
        let line = || Line {
            sak: "SAK-2026-000123".to_owned(),
            type_navn: "Samhandlingsavvik".to_owned(),
            merknad: "purret".to_owned(),
            ..Line::default()
        };
        let parts = DIGEST_PARTS.iter().filter_map(|id| {
            Part::of(
                id,
                (0..LINES_MAX.saturating_add(20)).map(|_| line()).collect(),
            )
        });
        let facts = ReportFacts {
            avsnitt: parts.collect(),
            ..ReportFacts::default()
        };
        for language in [
            crate::rules::Language::Bokmal,
            crate::rules::Language::Nynorsk,
        ] {
            let rendered = templates
                .render_report(crate::case::MailKind::Oversikt, language, &facts)
                .unwrap();
            let lines = rendered.text.matches("SAK-2026-000123").count();
            assert_eq!(lines, LINES_MAX * DIGEST_PARTS.len());
            assert_eq!(
                rendered.text.matches("og 20 til").count(),
                DIGEST_PARTS.len()
            );
        }
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let part = Part::of("vurdering", vec![Line::default(); 130]).unwrap();
        assert_eq!((part.linjer.len(), part.antall, part.flere), (100, 130, 30));
        assert_eq!(Part::of("vurdering", Vec::new()), None);
    }
}
