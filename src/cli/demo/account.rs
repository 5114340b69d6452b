//! What the demo tells: a line a message and a line a mail, then the cases in a table.

use crate::case::{Acknowledgement, Case, MailKind, Reminder, State, names};
use crate::cli::show;
use crate::rules::{Directory, Facet, Verdict};
use crate::store::{Counts, MessageRow, OutboxRow};
use crate::worker::Report;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Pieces of evidence named for each message.
const REASONS: usize = 3;

#[derive(Default)]
pub(super) struct Account {
    seen: usize,
    last_mail: i64,
    reasons: BTreeMap<String, usize>,
    digest_shown: bool,
}

impl Account {
    pub(super) fn day(day: i32, today: Date) {
        let heading = anstyle::Style::new().bold();
        anstream::println!(
            "\n{heading}Dag {day}: {}{heading:#}",
            crate::calendar::day_in_words(today)
        );
    }

    pub(super) fn duplicate(&mut self, stem: &str) {
        self.seen = self.seen.saturating_add(1);
        anstream::println!("  {stem:<34} kopi av en melding som er lagret fra før");
    }

    pub(super) fn message(
        &mut self,
        stem: &str,
        message: &MessageRow,
        case: Option<&Case>,
        verdict: Option<&Verdict>,
        directory: &Directory,
    ) {
        self.seen = self.seen.saturating_add(1);
        let what = match (message.outcome.as_str(), case) {
            ("opened", Some(case)) => {
                let style = show::FINE;
                format!(
                    "{style}{}{style:#} {}, {}: {}",
                    case.number,
                    kind(case),
                    party(case, directory),
                    case.state.navn()
                )
            }
            ("joined", Some(case)) => format!("lagt i {}: {}", case.number, case.state.navn()),
            _ => {
                let count = self.reasons.entry(message.reason.clone()).or_default();
                *count = count.saturating_add(1);
                format!("ligger urørt i postkassen ({})", message.reason)
            }
        };
        anstream::println!("  {stem:<34} {what}");
        if let Some(Acknowledgement::Not(why_not)) = case
            .filter(|_| message.outcome == "opened")
            .map(|case| case.acknowledgement)
        {
            anstream::println!("  {:<34} ingen kvittering ({})", "", why_not.id());
        }
        if let Some(verdict) = verdict.filter(|_| message.outcome != "joined") {
            let because = because(verdict);
            if !because.is_empty() {
                let dim = anstyle::Style::new().dimmed();
                anstream::println!("  {:<34} {dim}fordi: {because}{dim:#}", "");
            }
        }
    }

    pub(super) fn person(case: &Case, was: State) {
        let what = if was == State::Approval {
            "godkjennes av samhandlingsavdelingen"
        } else {
            "overleveres sikkert av samhandlingsavdelingen"
        };
        anstream::println!(
            "  {:<34} {what}: {}",
            case.number.to_string(),
            case.state.navn()
        );
    }

    pub(super) fn chased(changed: &[Case]) {
        for case in changed {
            let what = if case.reminder == Reminder::Queued && case.state.is_open() {
                "svarfristen er ute uten svar: purres, én gang"
            } else {
                "ingen innvendinger på 30 dager"
            };
            anstream::println!(
                "  {:<34} {what}: {}",
                case.number.to_string(),
                case.state.navn()
            );
        }
    }

    /// Mail that was not told of yet.
    pub(super) fn sent(&mut self, rows: &[OutboxRow], directory: &Directory) {
        for row in rows.iter().filter(|row| row.id > self.last_mail) {
            // The digest is told of by itself.
            if row.case.is_none() {
                continue;
            }
            let to = if row.party.is_empty() {
                "melder"
            } else {
                directory
                    .party(&row.party)
                    .map_or(row.party.as_str(), |party| party.name.as_str())
            };
            let what = MailKind::from_id(&row.kind).map_or("e-post", MailKind::navn);
            let held = if row.state == "held" {
                " (holdes: adressen tar ikke imot e-post)"
            } else {
                ""
            };
            anstream::println!("  {:<34}   ✉ {what} til {to}{held}", "");
        }
        self.last_mail = rows
            .iter()
            .map(|row| row.id)
            .max()
            .unwrap_or_default()
            .max(self.last_mail);
    }

    /// The mail to the samhandlingsavdeling: the first one whole, of the others how much they hold.
    pub(super) fn digest(&mut self, report: &Report) {
        anstream::println!(
            "  {:<34} venter på samhandlingsavdelingen, står i dagens oversikt: {} linjer",
            "",
            report.lines
        );
        if !std::mem::replace(&mut self.digest_shown, true) {
            let dim = anstyle::Style::new().dimmed();
            for line in report.text.lines() {
                anstream::println!("  {dim}│ {line}{dim:#}");
            }
        }
    }

    /// Prints the closing table and gives the same as Markdown.
    pub(super) fn finish(
        &self,
        cases: &[Case],
        counts: &Counts,
        today: Date,
        directory: &Directory,
    ) -> String {
        let count = |rows: &[(String, i64)], id: &str| {
            rows.iter()
                .find(|(key, _)| key == id)
                .map_or(0, |(_, count)| *count)
        };
        let sums = format!(
            "{} meldinger: {} ble saker, {} ble lagt i en sak, {} var kopier, {} ble liggende urørt. {} e-poster gikk ut.",
            self.seen,
            count(&counts.messages, "opened"),
            count(&counts.messages, "joined"),
            count(&counts.messages, "duplicate"),
            count(&counts.messages, "left-alone"),
            count(&counts.outbox, "sent"),
        );
        let heading = [
            "Sak", "Status", "Part", "Type", "Mottatt", "Frist", "Purret",
        ];
        let rows: Vec<Vec<String>> = cases
            .iter()
            .map(|case| {
                vec![
                    case.number.to_string(),
                    case.state.navn().to_owned(),
                    party(case, directory).to_owned(),
                    kind(case).to_owned(),
                    case.received_day.to_string(),
                    case.due_day
                        .map_or_else(|| "–".to_owned(), |day| day.to_string()),
                    if case.reminder == Reminder::Queued {
                        "ja"
                    } else {
                        ""
                    }
                    .to_owned(),
                ]
            })
            .collect();
        anstream::println!("\nSakene {}", crate::calendar::day_in_words(today));
        show::table(&heading, &rows);
        anstream::println!("\n{sums}");
        self.markdown(&sums, &heading, &rows)
    }

    fn markdown(&self, sums: &str, heading: &[&str], rows: &[Vec<String>]) -> String {
        let mut summary = format!(
            "# Oppsummering av demoen\n\n{sums}\n\n| {} |\n|{}\n",
            heading.join(" | "),
            " --- |".repeat(heading.len())
        );
        // Writing to a String cannot fail.
        for row in rows {
            let _infallible = writeln!(summary, "| {} |", row.join(" | "));
        }
        summary.push_str("\n## Urørt i postkassen\n\n");
        for (reason, count) in &self.reasons {
            let _infallible = writeln!(summary, "- {reason}: {count}");
        }
        summary
    }
}

fn kind(case: &Case) -> &str {
    if case.kind.is_empty() {
        "uten sikker type"
    } else {
        names::type_name(&case.kind)
    }
}

fn party<'a>(case: &'a Case, directory: &'a Directory) -> &'a str {
    if case.destination.is_empty() {
        return "uten part";
    }
    directory
        .party(&case.destination)
        .map_or(case.destination.as_str(), |party| party.name.as_str())
}

/// The strongest evidence for what decides where it went: the term as it stands in the rule, and the rule.
fn because(verdict: &Verdict) -> String {
    let decides = |facet: Facet, value: &str| match facet {
        Facet::Type => verdict.kind.value.as_deref() == Some(value),
        Facet::Destination => verdict.destination.value.as_deref() == Some(value),
        Facet::Robot => verdict.robot.value.as_deref() == Some(value),
        _ => false,
    };
    let mut evidence: Vec<_> = verdict
        .because
        .iter()
        .filter(|evidence| evidence.strength > 0 && decides(evidence.facet, &evidence.value))
        .collect();
    evidence.sort_by_key(|evidence| std::cmp::Reverse(evidence.strength));
    let mut told: Vec<String> = Vec::new();
    for piece in evidence {
        // A regular expression or an empty term says nothing to a reader; the rule's name does.
        let plain = !piece.term.is_empty()
            && piece
                .term
                .chars()
                .all(|c| c.is_alphanumeric() || " *-".contains(c));
        let line = if plain {
            format!("«{}» ({})", piece.term, piece.rule)
        } else {
            piece.rule.clone()
        };
        if told.len() < REASONS && !told.contains(&line) {
            told.push(line);
        }
    }
    told.join(", ")
}
