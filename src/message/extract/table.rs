//! Cells of a table → lines that read like a form: «Label: value», columns parted by ` | `.

use super::super::FieldName;

/// Letters of a cell that may be the label of the one beside it.
const LABEL_CHARS_MAX: usize = 80;

/// The rows of a table as text.
pub(super) fn text(rows: &[Vec<String>]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut heading: Option<&[String]> = None;
    let mut label_above: Option<usize> = None;
    for (at, row) in rows.iter().enumerate() {
        let filled = filled(row);
        if row.len() > 1
            && matches!(filled.as_slice(), [one] if is_label(one))
            && !rows
                .get(at.saturating_add(1))
                .is_some_and(|next| is_value(next))
        {
            // A field that was not filled in says nothing, least of all what stands in the next.
            continue;
        }
        if let (Some(names), true) = (heading, filled.len() > 1)
            && names.len() == row.len()
        {
            // Labels stood above the columns.
            lines.extend(names.iter().zip(row).map(|(name, cell)| pair(name, cell)));
            heading = None;
            continue;
        }
        heading = None;
        if row.len() > 1 && filled.len() == row.len() && row.iter().all(|cell| is_label(cell)) {
            heading = Some(row);
            lines.push(columns(row));
            continue;
        }
        match filled.as_slice() {
            [] => {}
            [one] => {
                let is_label = is_label(one);
                if let (Some(at), false) = (label_above, is_label)
                    && let Some(line) = lines.get_mut(at)
                    && !line.trim_end().ends_with([':', '?'])
                {
                    line.push(':');
                }
                lines.push(one.trim().to_owned());
                label_above = is_label.then(|| lines.len().saturating_sub(1));
                continue;
            }
            cells if is_pairs(cells) => {
                let mut rest = cells.iter();
                while let (Some(name), value) = (rest.next(), rest.next()) {
                    lines.push(
                        value.map_or_else(|| name.trim().to_owned(), |value| pair(name, value)),
                    );
                }
            }
            _ => lines.push(columns(row)),
        }
        label_above = None;
    }
    lines.join("\n")
}

fn filled(row: &[String]) -> Vec<&String> {
    row.iter().filter(|cell| !cell.trim().is_empty()).collect()
}

/// Whether the row is the value of the label above it.
fn is_value(row: &[String]) -> bool {
    matches!(filled(row).as_slice(), [one] if !is_label(one))
}

/// A label and its value.
fn pair(name: &str, value: &str) -> String {
    let name = flat(name);
    let value = value.trim();
    if name.is_empty() || value.is_empty() {
        return format!("{name}{value}");
    }
    let colon = if name.ends_with([':', '?']) { "" } else { ":" };
    format!("{name}{colon} {value}")
}

/// Two cells of which the first is short, or known labels in every second cell.
fn is_pairs(cells: &[&String]) -> bool {
    match cells {
        [name, value] => {
            let name = name.trim();
            name.chars().count() <= LABEL_CHARS_MAX
                && (name.ends_with([':', '?'])
                    || name.chars().any(char::is_alphabetic)
                        && !(is_label(name) && is_label(value)))
        }
        _ => {
            cells.len().is_multiple_of(2)
                && cells.iter().step_by(2).all(|name| {
                    is_label(name)
                        || name.trim_end().ends_with(':') && name.chars().count() < LABEL_CHARS_MAX
                })
        }
    }
}

/// Whether the cell holds the label of a report form and no more.
pub(super) fn is_label(cell: &str) -> bool {
    let cell = cell.trim().trim_end_matches([':', '?']).trim();
    let cell = cell
        .strip_suffix(')')
        .and_then(|cell| cell.rsplit_once('('))
        .map_or(cell, |(before, _)| before.trim_end());
    cell.len() <= LABEL_CHARS_MAX && !cell.contains('\n') && FieldName::of_label(cell).is_some()
}

/// Headings of a form without a colon get one, so that what stands below is their value. One or two such lines may be chance.
pub(super) fn with_colons(text: &str) -> String {
    const HEADINGS_MIN: usize = 3;
    let lines: Vec<&str> = text.lines().collect();
    let is_heading = |line: &str| is_label(line) && !line.trim_end().ends_with([':', '?']);
    let headings = lines.iter().filter(|line| is_heading(line)).count();
    if headings < HEADINGS_MIN {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().saturating_add(headings));
    for (at, line) in lines.iter().enumerate() {
        out.push_str(line.trim_end());
        let below = lines
            .iter()
            .skip(at.saturating_add(1))
            .find(|line| !line.trim().is_empty());
        if is_heading(line) && below.is_some_and(|line| !is_label(line)) {
            out.push(':');
        }
        out.push('\n');
    }
    out
}

fn columns(row: &[String]) -> String {
    let cells: Vec<String> = row.iter().map(|cell| flat(cell)).collect();
    cells.join(" | ").trim_matches([' ', '|']).to_owned()
}

fn flat(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line with options to tick: only the ticked ones, where there are both kinds. «☐ betydelig ☒ moderat» → «moderat».
pub(super) fn chosen(line: &str) -> String {
    const TICKED: [&str; 4] = ["☒", "[x]", "[X]", "(x)"];
    const EMPTY: [&str; 4] = ["☐", "[ ]", "[]", "( )"];
    let has = |marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
    if !has(&EMPTY) {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut is_in = true;
    while !rest.is_empty() {
        if let Some(tail) = EMPTY.iter().find_map(|mark| rest.strip_prefix(mark)) {
            is_in = false;
            rest = tail;
        } else if let Some(tail) = TICKED.iter().find_map(|mark| rest.strip_prefix(mark)) {
            is_in = true;
            rest = tail;
            if !out.ends_with([' ', ':']) && !out.is_empty() {
                out.push(' ');
            }
        } else if let Some(tail) = rest.strip_prefix(" | ") {
            // The next cell of the row.
            is_in = true;
            rest = tail;
            out.push_str(" | ");
        } else {
            let mut letters = rest.chars();
            if let (Some(c), true) = (letters.next(), is_in) {
                out.push(c);
            }
            rest = letters.as_str();
        }
    }
    let words: Vec<&str> = out.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").trim_end_matches([' ', '|']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> String {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .collect();
        text(&rows)
    }

    #[test]
    fn cells_read_like_a_form() {
        assert_eq!(
            rows(&[
                &["Melder", "Åse Ærlig"],
                &["Konsekvens:", "Ny innleggelse"],
                &["Hva skjedde?", "Kom uten liste.\nIngen ringte."],
                &["Dato", "1.2.26", "Sted", "Kalnes"],
                &["Alvorlighetsgrad:", ""],
                &["Tiltak", ""],
                &["Ringte posten."],
            ]),
            "Melder: Åse Ærlig\nKonsekvens: Ny innleggelse\nHva skjedde? Kom uten liste.\nIngen ringte.\nDato: 1.2.26\nSted: Kalnes\nTiltak:\nRingte posten."
        );
        assert_eq!(
            rows(&[&["Dato", "Sted"], &["1.2.26", "Kalnes"], &["a", "b", "c"]]),
            "Dato | Sted\nDato: 1.2.26\nSted: Kalnes\na | b | c"
        );
        assert_eq!(rows(&[&["", ""], &[]]), "");
    }

    #[test]
    fn only_what_is_ticked_is_said() {
        let cases = [
            (
                "Alvorlighetsgrad: [ ] betydelig  [x] moderat  [ ] mindre",
                "Alvorlighetsgrad: moderat",
            ),
            ("☐ Ja ☒ Nei", "Nei"),
            ("Alvor: ☐ høy ☐ lav", "Alvor:"),
            ("☐ ja | Dato", "| Dato"),
            ("ingen bokser (x)", "ingen bokser (x)"),
        ];
        for (line, expected) in cases {
            assert_eq!(chosen(line), expected, "{line}");
        }
    }
}
