//! Tables, dates and names for people at a terminal; plain when piped.

use crate::calendar;
use crate::case::Case;
use crate::case::chase::is_overdue;
use crate::clock::{Clock as _, SystemClock};
use anstyle::{AnsiColor, Style};
use jiff::civil::Date;
use serde_json::{Value, json};

const HEADING: Style = Style::new().bold();
/// Marks what a person should look at.
pub(super) const ALERT: Style = AnsiColor::Red.on_default().bold();
/// Marks what a person may want to look at.
const NOTICE: Style = AnsiColor::Yellow.on_default();
/// No column of a table gets narrower than this.
const COLUMN_MIN: usize = 8;
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

/// A table whose columns are as wide as their widest cell; the last one is not padded. At a terminal no line is wider than
/// it: the widest columns are cut.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) {
    print_table(heading, rows.iter().map(|row| (Style::new(), row)));
}

/// The same with a style for each row.
pub(super) fn styled_table(heading: &[&str], rows: &[(Style, Vec<String>)]) {
    print_table(heading, rows.iter().map(|(style, row)| (*style, row)));
}

fn print_table<'r>(heading: &[&str], rows: impl Iterator<Item = (Style, &'r Vec<String>)> + Clone) {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for (_, row) in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    if let Some((columns, _)) = terminal_size::terminal_size_of(std::io::stdout()) {
        fit(&mut widths, usize::from(columns.0));
    }
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    anstream::println!("{HEADING}{}{HEADING:#}", aligned(&heading, &widths));
    for (style, row) in rows {
        anstream::println!("{style}{}{style:#}", aligned(row, &widths));
    }
}

/// Cells side by side, each as wide as its column; what does not fit ends in «…».
fn aligned(cells: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| {
            let long = cell.chars().count() > *width;
            let kept: String = if long {
                let head = cell.chars().take(width.saturating_sub(1));
                head.chain(['…']).collect()
            } else {
                cell.clone()
            };
            let missing = width.saturating_sub(kept.chars().count());
            format!("{kept}{}", " ".repeat(missing))
        })
        .collect();
    padded.join("  ").trim_end().to_owned()
}

/// Narrows the widest column by one until the line fits, no column below [`COLUMN_MIN`].
fn fit(widths: &mut [usize], columns: usize) {
    let gaps = widths.len().saturating_sub(1).saturating_mul(2);
    while widths
        .iter()
        .fold(gaps, |sum, width| width.saturating_add(sum))
        > columns
    {
        // Of equally wide ones the last: it says the least.
        match widths.iter_mut().max_by_key(|width| **width) {
            Some(widest) if *widest > COLUMN_MIN => *widest = widest.saturating_sub(1),
            _ => return,
        }
    }
}

/// A case in a list.
pub(super) fn case_row(case: &Case, today: Date) -> Vec<String> {
    let mut marks = String::new();
    if is_overdue(case, today) {
        marks.push_str("over frist ");
    }
    if case.attention {
        marks.push_str("se på ");
    }
    if let Some(original) = case.duplicate_of {
        marks.push_str("mulig dublett av ");
        marks.push_str(&original.to_string());
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

/// How a case stands out in a list.
pub(super) fn case_style(case: &Case, today: Date) -> Style {
    if is_overdue(case, today) {
        ALERT
    } else if case.attention || case.duplicate_of.is_some() {
        NOTICE
    } else {
        Style::new()
    }
}

/// Cases as CSV (RFC 4180): ids and dates as in JSON, lists separated by blanks.
pub(super) fn csv(cases: &[Case], today: Date) -> String {
    let mut lines = String::new();
    for cells in std::iter::once(CSV_HEADING.map(str::to_owned).to_vec())
        .chain(cases.iter().map(|case| csv_row(case, today)))
    {
        let quoted: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        lines.push_str(&quoted.join(","));
        lines.push_str("\r\n");
    }
    lines
}

const CSV_HEADING: [&str; 14] = [
    "case",
    "state",
    "type",
    "direction",
    "destination",
    "copies",
    "category",
    "severity",
    "received",
    "due",
    "overdue",
    "reminder",
    "attention",
    "possible_duplicate_of",
];

fn csv_row(case: &Case, today: Date) -> Vec<String> {
    let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
    vec![
        case.number.to_string(),
        case.state.id().to_owned(),
        case.kind.clone(),
        case.direction.clone(),
        case.destination.clone(),
        case.copies.join(" "),
        case.category.clone(),
        case.severity.clone(),
        day(Some(case.received_day)),
        day(case.due_day),
        is_overdue(case, today).to_string(),
        case.reminder.id().to_owned(),
        case.attention.to_string(),
        case.duplicate_of
            .map(|number| number.to_string())
            .unwrap_or_default(),
    ]
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
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
        "possible_duplicate_of": case.duplicate_of.map(|number| number.to_string()),
        "merged_into": case.merged_into.map(|number| number.to_string()),
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
    calendar::oslo_day(SystemClock.now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_the_terminal() {
        let mut widths = vec![15, 40, 9, 60];
        fit(&mut widths, 80);
        assert_eq!(widths.iter().sum::<usize>() + 6, 80, "{widths:?}");
        assert_eq!((widths[0], widths[2]), (15, 9), "the narrow ones stay");
        let mut narrow = vec![10, 10];
        fit(&mut narrow, 5);
        assert_eq!(narrow, [8, 8]);
        let cells = [
            "SAK-2026-000001".to_owned(),
            "Klinikk for medisin".to_owned(),
        ];
        assert_eq!(aligned(&cells, &[15, 10]), "SAK-2026-000001  Klinikk f…");
        assert_eq!(
            aligned(&cells, &[17, 30]),
            "SAK-2026-000001    Klinikk for medisin"
        );
    }

    #[test]
    fn csv_cells_are_quoted_where_they_must_be() {
        assert_eq!(quoted("medisin"), "medisin");
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
    }
}
