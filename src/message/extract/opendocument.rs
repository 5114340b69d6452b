//! ODT (ISO/IEC 26300): headers, body with tables, text boxes and notes, footers.

use super::Unread;
use super::packed::Package;
use super::xml::{DEPTH_MAX, Flows, attribute, reference};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

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

fn part_text(xml: &str, root: &str) -> Result<String, Unread> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut flows = Flows::new();
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
                } else if name != "table-cell" || !flows.open() {
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
                flows.push(&collapsed(&text));
            }
            Event::CData(text) if skipped == 0 && paragraphs > 0 && root_depth > 0 => {
                flows.push(&text);
            }
            Event::GeneralRef(one) if skipped == 0 && paragraphs > 0 && root_depth > 0 => {
                if let Some(c) = reference(&one) {
                    flows.push(c.encode_utf8(&mut [0; 4]));
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    Ok(flows.finish())
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

fn inline(element: &BytesStart<'_>, flows: &mut Flows) {
    match element.local_name().as_ref() {
        "s" => {
            let count = attribute(element, "c")
                .and_then(|count| count.parse::<usize>().ok())
                .unwrap_or(1);
            flows.push(&" ".repeat(count.min(BLANKS_MAX)));
        }
        "tab" => flows.push("\t"),
        "line-break" => flows.push("\n"),
        // An empty cell; repeated ones are empty too.
        "table-cell" => flows.cell(String::new()),
        "table-row" => flows.start_row(),
        _ => {}
    }
}

fn end(name: &str, flows: &mut Flows) {
    match name {
        "p" | "h" => flows.push("\n"),
        "table-cell" => {
            if let Some(text) = flows.close() {
                flows.cell(text);
            }
        }
        "table-row" => flows.end_row(),
        "table" => flows.end_table(),
        _ => {}
    }
}
