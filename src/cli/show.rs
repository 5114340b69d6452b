//! Tables, dates and names for people at a terminal; plain when piped.

use crate::calendar;
use crate::case::Case;
use crate::case::chase::is_overdue;
use anstyle::{AnsiColor, Style};
use jiff::civil::Date;
use serde_json::{Value, json};

const HEADING: Style = Style::new().bold();
/// Marks what a person should look at.
pub(super) const ALERT: Style = AnsiColor::Red.on_default().bold();
/// Marks what is in order.
pub(super) const FINE: Style = AnsiColor::Green.on_default();

/// A moment as people in Norway read it: `2026-03-02 08:00`.
pub(super) fn moment(ms: i64) -> String {
    let Ok(moment) = jiff::Timestamp::from_millisecond(ms) else {
        return "?".to_owned();
    };
    match moment.in_tz("Europe/Oslo") {
        Ok(zoned) => zoned.strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => moment.to_string(),
    }
}

/// A table whose columns are as wide as their widest cell; the last one is not padded.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(heading.get(column).map(|cell| cell.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                format!(
                    "{cell}{}",
                    " ".repeat(width.saturating_sub(cell.chars().count()))
                )
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    anstream::println!("{HEADING}{}{HEADING:#}", line(heading.to_vec()));
    for row in rows {
        anstream::println!("{}", line(row.iter().map(String::as_str).collect()));
    }
}

/// A case in a list.
pub(super) fn case_row(case: &Case, today: Date) -> Vec<String> {
    let mut marks = String::new();
    if is_overdue(case, today) {
        marks.push_str("over frist ");
    }
    if case.attention {
        marks.push_str("se på");
    }
    vec![
        case.number.to_string(),
        case.state.navn().to_owned(),
        or_dash(&case.destination),
        or_dash(&case.kind),
        case.received_day.to_string(),
        case.due_day
            .map_or_else(|| "–".to_owned(), |day| day.to_string()),
        marks.trim_end().to_owned(),
    ]
}

/// Heading for [`case_row`].
pub(super) const CASE_HEADING: [&str; 7] =
    ["Sak", "Status", "Part", "Type", "Mottatt", "Frist", ""];

/// A case as JSON; without the reporter's address.
pub(super) fn case_json(case: &Case, today: Date) -> Value {
    let acknowledgement = match case.acknowledgement {
        crate::case::Acknowledgement::Queued => json!("queued"),
        crate::case::Acknowledgement::Not(why_not) => json!({ "why_not": why_not.id() }),
    };
    json!({
        "case": case.number.to_string(),
        "state": case.state.id(),
        "type": text(&case.kind),
        "direction": text(&case.direction),
        "destination": text(&case.destination),
        "copies": case.copies,
        "category": text(&case.category),
        "severity": text(&case.severity),
        "received": case.received_day.to_string(),
        "due": case.due_day.map(|day| day.to_string()),
        "overdue": is_overdue(case, today),
        "sent": case.sent_at_ms.map(moment),
        "answered": case.answered_at_ms.map(moment),
        "closed": case.closed_at_ms.map(moment),
        "acknowledgement": acknowledgement,
        "reminder": case.reminder.id(),
        "reporter": case.reporter_source,
        "attention": case.attention,
        "message": (case.message_id != 0).then_some(case.message_id),
    })
}

fn text(value: &str) -> Option<&str> {
    (!value.is_empty()).then_some(value)
}

/// The value, or a dash when there is none.
pub(super) fn or_dash(value: &str) -> String {
    if value.is_empty() {
        "–".to_owned()
    } else {
        value.to_owned()
    }
}

/// A term of a rule for people: regular expressions may be longer than the screen is wide; JSON has them whole.
pub(super) fn term(term: &str) -> String {
    const CHARS_MAX: usize = 48;
    if term.chars().count() <= CHARS_MAX {
        return term.to_owned();
    }
    let beginning: String = term.chars().take(CHARS_MAX).collect();
    format!("{beginning}…")
}

/// Today in Europe/Oslo.
pub(super) fn today() -> Date {
    calendar::oslo_day(jiff::Timestamp::now().as_millisecond())
}
