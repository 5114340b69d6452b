//! `linjevei rules test`: the `[[tests]]` of the rule files.

use super::super::classify::{self, Line};
use super::super::{Failure, rule_files};
use super::explain;
use crate::extractor::Extractor;
use crate::message::Limits;
use crate::rules::{ClassifyContext, Example, ExampleMail, Facet, RuleSet, Verdict};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn test(folder: Option<&Path>) -> Result<ExitCode, Failure> {
    let rules = rule_files::compile(folder)?;
    let examples = rules.examples();
    if examples.is_empty() {
        return Err(Failure::not_done(
            "ingen prøver ([[tests]]) står i reglene; docs/regler.md viser hvordan de skrives",
        ));
    }
    let mut failed = 0_usize;
    for example in examples {
        let lines = run(&rules, folder, example);
        if lines.is_empty() {
            continue;
        }
        failed = failed.saturating_add(1);
        anstream::println!("{}:{}  {}", example.file, example.line, example.name);
        for line in lines {
            anstream::println!("  {line}");
        }
        anstream::println!();
    }
    let all = examples.len();
    if failed > 0 {
        return Err(Failure::not_done(format!(
            "{failed} av {all} prøver ga et annet svar enn ventet"
        )));
    }
    let word = if all == 1 { "prøve" } else { "prøver" };
    anstream::println!("{all} {word}, alle som ventet");
    Ok(ExitCode::SUCCESS)
}

/// What is not as expected; nothing when all is.
fn run(rules: &RuleSet, folder: Option<&Path>, example: &Example) -> Vec<String> {
    let bytes = match (&example.mail, example.bytes(rules.directory())) {
        (_, Some(bytes)) => bytes,
        (ExampleMail::File(path), None) => match rule_files::message(folder, path) {
            Ok(bytes) => bytes,
            Err(error) => {
                return vec![
                    rule_files::unreadable(Path::new(path), &error)
                        .text()
                        .to_owned(),
                ];
            }
        },
        (ExampleMail::Text { .. }, None) => Vec::new(),
    };
    let verdict = match Extractor::this_program().open(&bytes, &Limits::default()) {
        Ok(opened) => rules.classify(&opened.message, &ClassifyContext::default()),
        Err(error) => return vec![format!("meldingen kan ikke leses: {error}")],
    };
    compare(rules, example, &verdict)
}

fn compare(rules: &RuleSet, example: &Example, verdict: &Verdict) -> Vec<String> {
    let line = Line::new("", rules.hash(), Some(verdict));
    let mut lines = Vec::new();
    for (facet, wanted) in &example.expect {
        let certain = |decision: &'_ crate::rules::Decision| {
            decision.certain.then(|| decision.as_str().to_owned())
        };
        let given = match facet {
            Facet::Type => line.r#type.map(str::to_owned),
            Facet::Direction => line.direction.map(str::to_owned),
            Facet::Destination => line.destination.map(str::to_owned),
            Facet::Category => line.category.map(str::to_owned),
            Facet::Severity => line.severity.map(str::to_owned),
            Facet::Reply => certain(&verdict.reply),
            Facet::Robot => certain(&verdict.robot),
        };
        if given.as_deref() == Some(wanted.as_str()) {
            continue;
        }
        let decision = explain::decision(verdict, *facet);
        lines.push(format!(
            "{}: ventet «{wanted}», fikk «{}» ({})",
            facet.id(),
            given.as_deref().unwrap_or("–"),
            explain::sums(decision)
        ));
        let evidence = verdict
            .because
            .iter()
            .filter(|evidence| evidence.facet == *facet);
        lines.extend(evidence.map(|evidence| format!("  {}", classify::spoken(evidence))));
    }
    if let Some(wanted) = example.triage
        && wanted != verdict.triage
    {
        let word = |triage: bool| if triage { "ja" } else { "nei" };
        lines.push(format!(
            "til vurdering: ventet {}, fikk {} (type {}, destination {})",
            word(wanted),
            word(verdict.triage),
            explain::sums(&verdict.kind),
            explain::sums(&verdict.destination)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_examples_are_as_expected() {
        let files = rule_files::shipped();
        let rules = RuleSet::compile(&files).unwrap();
        assert!(!rules.examples().is_empty(), "rules/ostfold has tests");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/ostfold");
        for example in rules.examples() {
            let lines = run(&rules, Some(&shipped), example);
            assert!(lines.is_empty(), "{}: {}", example.name, lines.join("\n"));
        }
    }
}
