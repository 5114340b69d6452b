//! `linjevei rules explain`: why a message is decided as it is.

use super::super::classify;
use super::super::{Failure, rule_files};
use crate::message::{Limits, parse};
use crate::rules::{ClassifyContext, Decision, Facet, RuleSet, Verdict};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn explain(folder: Option<&Path>, json: bool, path: &Path) -> Result<ExitCode, Failure> {
    let rules = rule_files::compile(folder)?;
    let bytes = classify::read(path)
        .map_err(|error| Failure::io(format!("{}: {error}", path.display())))?;
    let message = parse(&bytes, &Limits::default())
        .map_err(|error| Failure::data(format!("{}: {error}", path.display())))?;
    let verdict = rules.classify(&message, &ClassifyContext::default());
    if json {
        let text = serde_json::to_string_pretty(&verdict)
            .map_err(|error| Failure::data(error.to_string()))?;
        anstream::println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    for facet in Facet::ORDER {
        explain_facet(&rules, &verdict, facet);
    }
    let person = if verdict.triage { "ja" } else { "nei" };
    anstream::println!("til vurdering: {person}");
    if verdict.truncated {
        anstream::println!("meldingen har mer tekst enn det som leses; resten er ikke vurdert");
    }
    Ok(ExitCode::SUCCESS)
}

fn explain_facet(rules: &RuleSet, verdict: &Verdict, facet: Facet) {
    let decision = decision(verdict, facet);
    let evidence: Vec<_> = verdict
        .because
        .iter()
        .filter(|evidence| evidence.facet == facet)
        .collect();
    if decision.value.is_none() && evidence.is_empty() {
        return;
    }
    let value = decision
        .value
        .as_deref()
        .map_or("–", |value| classify::name(value, rules.directory()));
    anstream::println!("{}: {value} ({})", facet.id(), sums(decision));
    for evidence in evidence {
        anstream::println!(
            "  {} (tegn {})",
            classify::spoken(evidence),
            evidence.offset
        );
    }
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
