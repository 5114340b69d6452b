//! What DOCX and ODT have in common: places that collect text, cells of tables, references and attributes of XML.

use super::table;
use quick_xml::events::{BytesRef, BytesStart};

/// Elements that may be open at once.
pub(super) const DEPTH_MAX: usize = 2_000;
/// Cells within cells.
const TABLES_MAX: usize = 20;

/// A place that collects text: the document, a cell, a text box.
#[derive(Default)]
struct Flow {
    text: String,
    rows: Vec<Vec<String>>,
    row: Vec<String>,
}

/// The document and the cells and boxes within it that are open, innermost last.
pub(super) struct Flows(Vec<Flow>);

impl Flows {
    /// The document alone.
    pub(super) fn new() -> Self {
        Self(vec![Flow::default()])
    }

    pub(super) fn push(&mut self, text: &str) {
        if let Some(flow) = self.0.last_mut() {
            flow.text.push_str(text);
        }
    }

    /// Opens a cell or a box; not where too many are open already: its text stays with that around it.
    pub(super) fn open(&mut self) -> bool {
        let fits = self.0.len() <= TABLES_MAX;
        if fits {
            self.0.push(Flow::default());
        }
        fits
    }

    /// Closes the innermost cell or box and gives its text.
    pub(super) fn close(&mut self) -> Option<String> {
        let inner = if self.0.len() > 1 { self.0.pop() } else { None };
        inner.map(|flow| flow.text.trim().to_owned())
    }

    pub(super) fn start_row(&mut self) {
        if let Some(flow) = self.0.last_mut() {
            flow.row = Vec::new();
        }
    }

    /// Adds a cell to the row.
    pub(super) fn cell(&mut self, text: String) {
        if let Some(flow) = self.0.last_mut() {
            flow.row.push(text);
        }
    }

    pub(super) fn end_row(&mut self) {
        if let Some(flow) = self.0.last_mut() {
            let row = std::mem::take(&mut flow.row);
            flow.rows.push(row);
        }
    }

    /// Writes the rows of the table as lines.
    pub(super) fn end_table(&mut self) {
        if let Some(flow) = self.0.last_mut() {
            let rows = std::mem::take(&mut flow.rows);
            if !flow.text.is_empty() && !flow.text.ends_with('\n') {
                flow.text.push('\n');
            }
            flow.text.push_str(&table::text(&rows));
            flow.text.push('\n');
        }
    }

    /// The whole text, with that of cells and boxes that were never closed.
    pub(super) fn finish(mut self) -> String {
        while self.0.len() > 1 {
            if let Some(inner) = self.0.pop() {
                self.push(&inner.text);
            }
        }
        self.0.pop().map(|flow| flow.text).unwrap_or_default()
    }
}

/// The value of an attribute, whatever its prefix.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    element
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)
        .map(|attribute| attribute.value.to_string())
}

/// The character that a reference stands for: the five of XML and numbers. Entities that a document declares itself are
/// never followed: they make bombs.
pub(super) fn reference(reference: &BytesRef<'_>) -> Option<char> {
    match &**reference {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        other => {
            let number = other.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
