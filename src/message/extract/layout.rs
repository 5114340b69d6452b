//! Pieces of text with their place on a page → lines and rows of cells.
//!
//! Programs write a page in reading order, cell by cell; what they do not write are line ends, blanks and table borders.
//! Those come from the places: a piece further right on the same line goes on after a gap, one further down begins a line,
//! one that goes back up and to the right is the next cell of a row.

use super::table;

/// A piece of text. Places are in points, with y growing upwards, turned so that the text runs to the right.
#[derive(Debug, Clone)]
pub(super) struct Fragment {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) size: f32,
    pub(super) text: String,
    /// The value of a form field: it belongs to what stands left of it or above it, wherever the page was written.
    pub(super) is_value: bool,
}

impl Fragment {
    fn end(&self) -> f32 {
        self.x + self.width
    }
}

/// Lines of text in one column.
#[derive(Debug, Default)]
struct Cell {
    x: f32,
    end: f32,
    top: f32,
    bottom: f32,
    size: f32,
    /// End of the last piece of the last line.
    pen: f32,
    lines: Vec<String>,
    /// A larger gap stands between lines: a new paragraph.
    has_gap: bool,
}

impl Cell {
    fn of(fragment: &Fragment) -> Self {
        Self {
            x: fragment.x,
            end: fragment.end(),
            top: fragment.y,
            bottom: fragment.y,
            size: fragment.size,
            pen: fragment.end(),
            lines: vec![fragment.text.clone()],
            has_gap: false,
        }
    }

    fn push(&mut self, fragment: &Fragment, separator: &str) {
        if let Some(line) = self.lines.last_mut() {
            if !line.ends_with([' ', '\t']) && !fragment.text.starts_with(' ') {
                line.push_str(separator);
            }
            line.push_str(&fragment.text);
        }
        self.pen = fragment.end();
        self.end = self.end.max(fragment.end());
        self.size = self.size.max(fragment.size);
    }

    fn next_line(&mut self, fragment: &Fragment) {
        let gap = self.bottom - fragment.y;
        if gap > 1.9 * self.size.max(fragment.size) {
            self.has_gap = true;
            self.lines.push(String::new());
        }
        self.lines.push(fragment.text.clone());
        self.bottom = fragment.y;
        self.size = fragment.size;
        self.x = self.x.min(fragment.x);
        self.pen = fragment.end();
        self.end = self.end.max(fragment.end());
    }

    fn text(&self) -> String {
        self.lines
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The text of a page.
pub(super) fn text(fragments: &[Fragment]) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for fragment in fragments.iter().filter(|fragment| !fragment.is_value) {
        place(&mut rows, fragment);
    }
    for value in fragments.iter().filter(|fragment| fragment.is_value) {
        insert(&mut rows, value);
    }
    let mut out = String::new();
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut last_bottom: Option<(f32, f32)> = None;
    for row in &rows {
        let top = row.iter().map(|cell| cell.top).fold(f32::MIN, f32::max);
        let bottom = row.iter().map(|cell| cell.bottom).fold(f32::MAX, f32::min);
        let size = row.first().map_or(10.0, |cell| cell.size);
        if row.len() > 1 {
            table.push(row.iter().map(Cell::text).collect());
        } else if let Some(cell) = row.first() {
            flush(&mut out, &mut table);
            let is_apart = last_bottom.is_some_and(|(bottom, size)| {
                bottom - top > 1.9 * size.max(cell.size) || top > bottom
            });
            if is_apart && !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&cell.text());
            out.push('\n');
        }
        last_bottom = Some((bottom, size));
    }
    flush(&mut out, &mut table);
    out
}

fn flush(out: &mut String, table: &mut Vec<Vec<String>>) {
    if table.is_empty() {
        return;
    }
    out.push_str(&table::text(table));
    out.push('\n');
    table.clear();
}

fn place(rows: &mut Vec<Vec<Cell>>, fragment: &Fragment) {
    let Some(row) = rows.last_mut() else {
        rows.push(vec![Cell::of(fragment)]);
        return;
    };
    let row_top = row.iter().map(|cell| cell.top).fold(f32::MIN, f32::max);
    let is_single = row.len() == 1;
    let row_end = row.iter().map(|cell| cell.end).fold(f32::MIN, f32::max);
    let Some(cell) = row.last_mut() else { return };
    let size = cell.size.max(fragment.size).max(1.0);
    let down = cell.bottom - fragment.y;
    let right = fragment.x - cell.pen;
    if down.abs() <= 0.45 * size && right > -0.6 * size {
        // The same line.
        let is_first_line = cell.lines.len() == 1;
        if right > 1.6 * size && is_first_line {
            row.push(Cell::of(fragment));
        } else if right > 1.6 * size {
            cell.push(fragment, "  ");
        } else {
            cell.push(fragment, if right > 0.14 * size { " " } else { "" });
        }
        return;
    }
    if down.abs() <= 0.45 * size && fragment.x + fragment.width <= cell.x + 0.5 * size {
        // On the same line but to the left: written out of order.
        if is_single && cell.lines.len() == 1 {
            row.insert(0, Cell::of(fragment));
            return;
        }
    }
    if down < 0.0 {
        // Back up: the next cell of this row, or of the page something new.
        let is_beside = fragment.x >= row_end - 0.5 * size
            && fragment.y <= row_top + 2.5 * size
            && fragment.x > cell.x + size;
        if is_beside {
            row.push(Cell::of(fragment));
            return;
        }
        let beside = rows.iter_mut().rev().take(200).find(|row| {
            let top = row.iter().map(|cell| cell.top).fold(f32::MIN, f32::max);
            let end = row.iter().map(|cell| cell.end).fold(f32::MIN, f32::max);
            (top - fragment.y).abs() <= 0.45 * size && fragment.x >= end - 0.5 * size
        });
        match beside {
            Some(row) => row.push(Cell::of(fragment)),
            None => rows.push(vec![Cell::of(fragment)]),
        }
        return;
    }
    // Further down.
    let in_column = fragment.x >= cell.x - 0.7 * size && fragment.x <= cell.end + 0.7 * size;
    let is_near = down <= 1.9 * size;
    if is_single || (in_column && is_near) {
        if is_single && !is_near {
            rows.push(vec![Cell::of(fragment)]);
        } else {
            cell.next_line(fragment);
        }
        return;
    }
    rows.push(vec![Cell::of(fragment)]);
}

/// Puts the value of a form field beside the label on its line, or below the label above it.
fn insert(rows: &mut Vec<Vec<Cell>>, value: &Fragment) {
    let size = value.size.max(8.0);
    let left = |cell: &Cell| cell.end <= value.x + size && (cell.top - value.y).abs() <= size;
    if let Some(row) = rows.iter_mut().find(|row| row.iter().any(&left)) {
        let at = row
            .iter()
            .position(|cell| cell.x > value.x)
            .unwrap_or(row.len());
        row.insert(at, Cell::of(value));
        return;
    }
    // A line within a longer cell: the value goes behind it.
    for cell in rows.iter_mut().flatten() {
        if cell.lines.len() > 1 && cell.top >= value.y - size && cell.bottom <= value.y + size {
            let height = (cell.top - cell.bottom).max(1.0);
            let share = ((cell.top - value.y) / height).clamp(0.0, 1.0);
            let last = cell.lines.len().saturating_sub(1);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "between 0 and the number of lines of a page"
            )]
            let at = (share * last as f32).round() as usize;
            if let Some(line) = cell.lines.get_mut(at) {
                line.push(' ');
                line.push_str(&value.text);
                return;
            }
        }
    }
    let at = rows
        .iter()
        .position(|row| row.iter().all(|cell| cell.top < value.y))
        .unwrap_or(rows.len());
    rows.insert(at, vec![Cell::of(value)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(pieces: &[(f32, f32, &str)]) -> String {
        let fragments: Vec<Fragment> = pieces
            .iter()
            .map(|(x, y, text)| Fragment {
                x: *x,
                y: *y,
                #[expect(clippy::cast_precision_loss, reason = "short texts")]
                width: text.chars().count() as f32 * 5.0,
                size: 10.0,
                text: (*text).to_owned(),
                is_value: text.starts_with('='),
            })
            .collect();
        text(&fragments)
    }

    #[test]
    fn lines_words_and_paragraphs() {
        let got = page(&[
            (50.0, 700.0, "Pasienten"),
            (98.0, 700.0, "kom"),
            (113.2, 700.0, "mer"),
            (50.0, 688.0, "uten liste."),
            (50.0, 660.0, "Hilsen"),
        ]);
        assert_eq!(got, "Pasienten kommer\nuten liste.\n\nHilsen\n");
    }

    #[test]
    fn cells_of_a_form_stand_beside_each_other() {
        let got = page(&[
            (50.0, 700.0, "Melder:"),
            (200.0, 700.0, "Åse"),
            (50.0, 680.0, "Konsekvens for"),
            (50.0, 668.0, "pasienten"),
            (200.0, 680.0, "Ny innleggelse og"),
            (200.0, 668.0, "fall hjemme"),
            (50.0, 640.0, "Tiltak"),
            (200.0, 640.0, "Ingen"),
        ]);
        assert_eq!(
            got,
            "Melder: Åse\nKonsekvens for pasienten: Ny innleggelse og\nfall hjemme\nTiltak: Ingen\n"
        );
    }

    #[test]
    fn values_find_their_labels() {
        let got = page(&[
            (50.0, 700.0, "Melder"),
            (50.0, 600.0, "Konsekvens"),
            (120.0, 698.0, "=Åse"),
            (50.0, 585.0, "=Ny innleggelse"),
        ]);
        assert_eq!(got, "Melder: =Åse\n\nKonsekvens\n=Ny innleggelse\n");
    }
}
