//! ODT (ISO/IEC 26300): headers, body with tables, text boxes and notes, footers.

use super::Unread;
use super::packed::Package;
use super::table;
use super::wordprocessing::attribute;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// Elements that may be open at once.
const DEPTH_MAX: usize = 2_000;
/// Cells within cells.
const TABLES_MAX: usize = 20;
/// Blanks that one element may stand for.
const BLANKS_MAX: usize = 200;

/// The text of the document.
pub(super) fn read(package: &mut Package<'_>) -> Result<String, Unread> {
    if let Ok(manifest) = package.text("META-INF/manifest.xml")
        && manifest.contains("encryption-data")
    {
        return Err(Unread::Locked);
    }
    let content = package.text("content.xml")?;
    let body = part_text(&content, "body")?;
    let around = match package.text("styles.xml") {
        Ok(styles) => part_text(&styles, "master-styles").unwrap_or_default(),
        Err(_) => String::new(),
    };
    let mut texts = vec![body];
    if !around.trim().is_empty() {
        texts.push(around);
    }
    Ok(texts.join("\n\n"))
}

#[derive(Default)]
struct Flow {
    text: String,
    rows: Vec<Vec<String>>,
    row: Vec<String>,
}

fn part_text(xml: &str, root: &str) -> Result<String, Unread> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut flows = vec![Flow::default()];
    let (mut depth, mut root_depth, mut skipped, mut paragraphs) = (0_usize, 0_usize, 0_usize, 0);
    loop {
        let event = reader.read_event().map_err(|_| Unread::Damaged)?;
        match event {
            Event::Start(element) => {
                depth = depth.saturating_add(1);
                if depth > DEPTH_MAX {
                    return Err(Unread::TooMuch);
                }
                let name = element.local_name();
                let name = name.as_ref();
                if skipped > 0 {
                    skipped = skipped.saturating_add(1);
                } else if root_depth == 0 {
                    if name == root {
                        root_depth = depth;
                    }
                } else if matches!(
                    name,
                    "tracked-changes" | "annotation" | "note-citation" | "forms" | "script"
                ) {
                    skipped = 1;
                } else if matches!(name, "p" | "h") {
                    paragraphs = 1_usize.saturating_add(paragraphs);
                } else if name == "table-cell" && flows.len() <= TABLES_MAX {
                    flows.push(Flow::default());
                } else {
                    inline(&element, &mut flows);
                }
            }
            Event::Empty(element) if skipped == 0 && root_depth > 0 => {
                inline(&element, &mut flows);
            }
            Event::End(element) => {
                let name = element.local_name();
                if skipped > 0 {
                    skipped = skipped.saturating_sub(1);
                } else if root_depth > 0 {
                    if depth == root_depth {
                        root_depth = 0;
                    } else {
                        if matches!(name.as_ref(), "p" | "h") {
                            paragraphs = paragraphs.saturating_sub(1);
                        }
                        end(name.as_ref(), &mut flows);
                    }
                }
                depth = depth.saturating_sub(1);
            }
            Event::Text(text) if skipped == 0 && paragraphs > 0 && root_depth > 0 => {
                // White space counts once (section 6.1.2); <text:s> stands for more.
                push(&mut flows, &collapsed(&text));
            }
            Event::CData(text) if skipped == 0 && paragraphs > 0 && root_depth > 0 => {
                push(&mut flows, &text);
            }
            Event::GeneralRef(one) if skipped == 0 && paragraphs > 0 && root_depth > 0 => {
                if let Some(c) = reference(&one) {
                    push(&mut flows, c.encode_utf8(&mut [0; 4]));
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    while flows.len() > 1 {
        if let Some(inner) = flows.pop() {
            push(&mut flows, &inner.text);
        }
    }
    Ok(flows.pop().map(|flow| flow.text).unwrap_or_default())
}

fn push(flows: &mut [Flow], text: &str) {
    if let Some(flow) = flows.last_mut() {
        flow.text.push_str(text);
    }
}

fn collapsed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_whitespace() {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

fn inline(element: &BytesStart<'_>, flows: &mut [Flow]) {
    match element.local_name().as_ref() {
        "s" => {
            let count = attribute(element, "c")
                .and_then(|count| count.parse::<usize>().ok())
                .unwrap_or(1);
            push(flows, &" ".repeat(count.min(BLANKS_MAX)));
        }
        "tab" => push(flows, "\t"),
        "line-break" => push(flows, "\n"),
        "table-cell" => {
            // An empty cell; repeated ones are empty too.
            if let Some(flow) = flows.last_mut() {
                flow.row.push(String::new());
            }
        }
        "table-row" => {
            if let Some(flow) = flows.last_mut() {
                flow.row = Vec::new();
            }
        }
        _ => {}
    }
}

fn end(name: &str, flows: &mut Vec<Flow>) {
    match name {
        "p" | "h" => push(flows, "\n"),
        "table-cell" if flows.len() > 1 => {
            if let Some(cell) = flows.pop()
                && let Some(flow) = flows.last_mut()
            {
                flow.row.push(cell.text.trim().to_owned());
            }
        }
        "table-row" => {
            if let Some(flow) = flows.last_mut() {
                let row = std::mem::take(&mut flow.row);
                flow.rows.push(row);
            }
        }
        "table" => {
            if let Some(flow) = flows.last_mut() {
                let rows = std::mem::take(&mut flow.rows);
                let text = table::text(&rows);
                if !flow.text.is_empty() && !flow.text.ends_with('\n') {
                    flow.text.push('\n');
                }
                flow.text.push_str(&text);
                flow.text.push('\n');
            }
        }
        _ => {}
    }
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
