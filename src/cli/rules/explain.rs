//! `linjevei rules explain`: why a message is decided as it is, with the place of each word that counted.

use super::super::classify;
use super::super::{Failure, rule_files};
use crate::diagnostic::line_column;
use crate::extractor::Extractor;
use crate::message::identity_numbers::mask;
use crate::message::{FieldName, Limits, Zone};
use crate::rules::{
    ClassifyContext, Decision, Evidence, Facet, ReadText, ReporterSource, RuleSet, Verdict, WhyNot,
};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// Characters that are shown on each side of a hit.
const AROUND: usize = 32;

/// `rules explain --json`.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    ruleset: &'a str,
    triage: bool,
    why_not: Option<WhyNot>,
    reporter: ReporterSource,
    copies: &'a [String],
    truncated: bool,
    facets: Vec<FacetExplanation<'a>>,
}

#[derive(Debug, Serialize)]
struct FacetExplanation<'a> {
    facet: Facet,
    value: Option<&'a str>,
    certain: bool,
    sum: i64,
    /// Least sum, and least lead over the runner-up.
    min: i64,
    lead: i64,
    runner_up: Option<RunnerUp<'a>>,
    evidence: Vec<Spoken<'a>>,
}

#[derive(Debug, Serialize)]
struct RunnerUp<'a> {
    value: &'a str,
    sum: i64,
}

#[derive(Debug, Serialize)]
struct Spoken<'a> {
    value: &'a str,
    rule: &'a str,
    strength: i64,
    term: &'a str,
    zone: Zone,
    /// The field of the form, where the term stood in one.
    field: Option<FieldName>,
    place: Option<Spot>,
}

/// Where a hit stands in the text of its zone.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Spot {
    /// Which of the texts of the zone, from 1.
    text: usize,
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    before: String,
    hit: String,
    after: String,
}

pub(super) fn explain(folder: Option<&Path>, json: bool, path: &Path) -> Result<ExitCode, Failure> {
    let rules = rule_files::compile(folder)?;
    let bytes = classify::read(path).map_err(|error| rule_files::unreadable(path, &error))?;
    let opened = Extractor::this_program().open(&bytes, &Limits::default());
    let opened = opened.map_err(|error| {
        Failure::data(format!(
            "{}: meldingen kan ikke leses ({error})",
            path.display()
        ))
    })?;
    let message = &opened.message;
    let verdict = rules.classify(message, &ClassifyContext::default());
    let explanation = explanation(&rules, &verdict, &rules.texts(message));
    if json {
        let text = serde_json::to_string_pretty(&explanation)
            .map_err(|error| Failure::data(error.to_string()))?;
        anstream::println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    for facet in &explanation.facets {
        print_facet(&rules, facet, &verdict);
    }
    let person = if verdict.triage { "ja" } else { "nei" };
    anstream::println!("til vurdering: {person}");
    if verdict.truncated {
        anstream::println!("meldingen har mer tekst enn det som leses; resten er ikke vurdert");
    }
    Ok(ExitCode::SUCCESS)
}

fn explanation<'a>(
    rules: &'a RuleSet,
    verdict: &'a Verdict,
    texts: &[ReadText],
) -> Explanation<'a> {
    let facets = Facet::ORDER.into_iter().filter_map(|facet| {
        let decision = decision(verdict, facet);
        let evidence: Vec<Spoken<'a>> = verdict
            .because
            .iter()
            .filter(|evidence| evidence.facet == facet)
            .map(|evidence| Spoken {
                value: &evidence.value,
                rule: &evidence.rule,
                strength: evidence.strength,
                term: &evidence.term,
                zone: evidence.zone,
                field: evidence.field,
                place: spot(evidence, texts),
            })
            .collect();
        if decision.value.is_none() && evidence.is_empty() {
            return None;
        }
        let (min, lead) = rules.threshold(facet);
        Some(FacetExplanation {
            facet,
            value: decision.value.as_deref(),
            certain: decision.certain,
            sum: decision.score,
            min,
            lead,
            runner_up: decision.runner_up.as_ref().map(|(value, sum)| RunnerUp {
                value: value.as_str(),
                sum: *sum,
            }),
            evidence,
        })
    });
    Explanation {
        ruleset: rules.hash(),
        triage: verdict.triage,
        why_not: verdict.why_not,
        reporter: verdict.reporter.source,
        copies: &verdict.copies,
        truncated: verdict.truncated,
        facets: facets.collect(),
    }
}

fn print_facet(rules: &RuleSet, facet: &FacetExplanation<'_>, verdict: &Verdict) {
    let value = facet
        .value
        .map_or("–", |value| classify::name(value, rules.directory()));
    anstream::println!(
        "{}: {value} ({}; trengs {} og {} foran nummer to)",
        facet.facet.id(),
        sums(decision(verdict, facet.facet)),
        facet.min,
        facet.lead
    );
    let spoken = verdict
        .because
        .iter()
        .filter(|evidence| evidence.facet == facet.facet);
    let mut spoken: Vec<(&Evidence, &Spoken<'_>)> = spoken.zip(&facet.evidence).collect();
    // What was decided first, and of each value the strongest.
    spoken.sort_by(|(a, _), (b, _)| {
        let rank = |one: &Evidence| (Some(one.value.as_str()) != facet.value, one.strength);
        let ((a_other, a_strength), (b_other, b_strength)) = (rank(a), rank(b));
        (a_other, &a.value, b_strength).cmp(&(b_other, &b.value, a_strength))
    });
    for (evidence, with_place) in spoken {
        anstream::println!(
            "  {:>6} {}",
            classify::strength(evidence),
            classify::said(evidence)
        );
        if let Some(spot) = &with_place.place {
            let text = if spot.text > 1 && with_place.field.is_none() {
                format!("tekst {}, ", spot.text)
            } else {
                String::new()
            };
            anstream::println!(
                "           {text}{}:{}  {}›{}‹{}",
                spot.line,
                spot.column,
                spot.before,
                spot.hit,
                spot.after
            );
        }
    }
}

/// Where the hit stands; nothing for what is no word of the text.
fn spot(evidence: &Evidence, texts: &[ReadText]) -> Option<Spot> {
    if evidence.term.is_empty() || evidence.zone == Zone::Header {
        return None;
    }
    let text = texts
        .iter()
        .find(|text| text.zone == evidence.zone && text.piece == evidence.piece)?;
    let rest = text.text.get(evidence.offset..)?;
    let before = text.text.get(..evidence.offset)?;
    let (line, column) = line_column(&text.text, evidence.offset);
    let before = mask(before.rsplit('\n').next().unwrap_or_default());
    let mut shown: Vec<char> = before.chars().rev().take(AROUND).collect();
    shown.reverse();
    let cut = before.chars().count() > AROUND;
    let mut start: String = shown.into_iter().collect();
    if cut {
        start.insert(0, '…');
    }
    let rest = rest.lines().next().unwrap_or_default();
    let word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '\u{ad}');
    let end = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
    let (hit, after) = rest.split_at_checked(end)?;
    let after = mask(after);
    let mut end: String = after.chars().take(AROUND).collect();
    if after.chars().count() > AROUND {
        end.push('…');
    }
    Some(Spot {
        text: evidence.piece.saturating_add(1),
        line,
        column,
        before: start.trim_start().to_owned(),
        hit: mask(hit),
        after: end.trim_end().to_owned(),
    })
}

/// «sikkert, sum 9, nummer to kirurgi 3».
pub(super) fn sums(decision: &Decision) -> String {
    let certain = if decision.certain {
        "sikkert"
    } else {
        "usikkert"
    };
    let second = decision
        .runner_up
        .as_ref()
        .map(|(value, sum)| format!(", nummer to {value} {sum}"))
        .unwrap_or_default();
    format!("{certain}, sum {}{second}", decision.score)
}

pub(super) const fn decision(verdict: &Verdict, facet: Facet) -> &Decision {
    match facet {
        Facet::Type => &verdict.kind,
        Facet::Direction => &verdict.direction,
        Facet::Destination => &verdict.destination,
        Facet::Category => &verdict.category,
        Facet::Severity => &verdict.severity,
        Facet::Reply => &verdict.reply,
        Facet::Robot => &verdict.robot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_shown_with_its_place() {
        let texts = vec![
            ReadText {
                zone: Zone::New,
                field: None,
                piece: 0,
                text: "Hei".to_owned(),
                signature: 3,
            },
            ReadText {
                zone: Zone::New,
                field: None,
                piece: 1,
                text: "Hei.\nPåført pasienten: epikrisen mangler.\nMvh".to_owned(),
                signature: 0,
            },
        ];
        let evidence = |piece: usize, offset: usize| Evidence {
            facet: Facet::Type,
            value: "avvik".to_owned(),
            rule: "en".to_owned(),
            zone: Zone::New,
            field: None,
            piece,
            offset,
            term: "epikrise".to_owned(),
            strength: 4,
        };
        let offset = texts[1].text.find("epikrisen").unwrap();
        let found = spot(&evidence(1, offset), &texts).unwrap();
        assert_eq!(
            (found.text, found.line, found.column, found.hit.as_str()),
            (2, 2, 19, "epikrisen")
        );
        assert_eq!(
            (found.before.as_str(), found.after.as_str()),
            ("Påført pasienten: ", " mangler.")
        );
        assert_eq!(spot(&evidence(2, 0), &texts), None);
        assert_eq!(spot(&evidence(0, 99), &texts), None);
        assert_eq!(
            spot(&evidence(1, offset.saturating_sub(16)), &texts).map(|spot| spot.line),
            Some(2)
        );
    }
}
