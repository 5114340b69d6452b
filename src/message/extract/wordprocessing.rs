//! DOCX (ECMA-376): headers, body, footnotes and footers; paragraphs, tables, text boxes and form fields.

use super::Unread;
use super::packed::Package;
use super::xml::{DEPTH_MAX, Flows, attribute, reference};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The text of the document.
pub(super) fn read(package: &mut Package<'_>) -> Result<String, Unread> {
    let part = |folder: &'static str| {
        move |name: &str| {
            name.strip_prefix(folder).is_some_and(|rest| {
                rest.strip_suffix(".xml")
                    .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            })
        }
    };
    let bodies = package.names(part("word/document"));
    if bodies.is_empty() {
        return Err(Unread::Damaged);
    }
    let mut texts = Vec::new();
    for folder in [
        "word/header",
        "word/document",
        "word/footnotes",
        "word/endnotes",
        "word/footer",
    ] {
        for name in package.names(part(folder)) {
            let xml = match package.text(&name) {
                Ok(xml) => xml,
                // The body alone decides whether the document can be read.
                Err(_) if folder != "word/document" => continue,
                Err(reason) => return Err(reason),
            };
            let text = part_text(&xml)?;
            if !text.trim().is_empty() && !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    Ok(texts.join("\n\n"))
}

fn part_text(xml: &str) -> Result<String, Unread> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut body = Body {
        flows: Flows::new(),
        skipped: 0,
        in_text: false,
        boxes: Vec::new(),
        ticked: false,
        prompt: false,
    };
    let mut depth = 0_usize;
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                depth = depth.saturating_add(1);
                if depth > DEPTH_MAX {
                    return Err(Unread::TooMuch);
                }
                body.start(&element, false);
            }
            Ok(Event::Empty(element)) => {
                body.start(&element, true);
            }
            Ok(Event::End(element)) => {
                depth = depth.saturating_sub(1);
                body.end(element.local_name().as_ref());
            }
            Ok(Event::Text(text)) => body.push(&text),
            Ok(Event::CData(text)) => body.push(&text),
            Ok(Event::GeneralRef(one)) => {
                if let Some(c) = reference(&one) {
                    body.push(c.encode_utf8(&mut [0; 4]));
                }
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(_) => {
                // What stands before the fault is text all the same, but the document is not whole.
                return Err(Unread::Damaged);
            }
        }
    }
    Ok(body.finish())
}

struct Body {
    flows: Flows,
    /// Depth inside an element whose content is no text of the document.
    skipped: usize,
    in_text: bool,
    /// Text of boxes in the paragraph, which goes below it.
    boxes: Vec<String>,
    /// The box to tick, of the older kind, is ticked.
    ticked: bool,
    /// What the next content control shows is its prompt («click here»).
    prompt: bool,
}

impl Body {
    fn push(&mut self, text: &str) {
        if self.in_text {
            self.add(text);
        }
    }

    fn add(&mut self, text: &str) {
        if self.skipped == 0 {
            self.flows.push(text);
        }
    }

    fn start(&mut self, element: &BytesStart<'_>, is_empty: bool) {
        let name = element.local_name();
        let name = name.as_ref();
        if self.skipped > 0 {
            if !is_empty {
                self.skipped = self.skipped.saturating_add(1);
            }
            return;
        }
        match name {
            // The same text boxes once more for older programs; what was deleted or moved away.
            "Fallback" | "del" | "moveFrom" | "instrText" | "delText" | "delInstrText"
            | "pPrChange" | "rPrChange"
                if !is_empty =>
            {
                self.skipped = 1;
            }
            "t" if !is_empty => self.in_text = true,
            "tab" if element.attributes().next().is_none() => self.add("\t"),
            "br" | "cr" => self.add("\n"),
            "noBreakHyphen" => self.add("-"),
            "sym" => {
                let code = attribute(element, "char")
                    .and_then(|code| u32::from_str_radix(&code, 16).ok())
                    .and_then(char::from_u32);
                if let Some(c) = code {
                    self.add(c.encode_utf8(&mut [0; 4]));
                }
            }
            "tr" if !is_empty => self.flows.start_row(),
            "tc" | "txbxContent" if !is_empty => {
                self.flows.open();
            }
            "showingPlcHdr" => self.prompt = true,
            "sdtContent" if !is_empty && self.prompt => {
                self.prompt = false;
                self.skipped = 1;
            }
            // Form fields of the older kind: the default stands until «checked» says otherwise.
            "checkBox" => self.ticked = false,
            "checked" | "default" => {
                let value = attribute(element, "val");
                self.ticked = !matches!(value.as_deref(), Some("0" | "false" | "off"));
            }
            _ => {}
        }
        if is_empty {
            self.in_text = false;
        }
    }

    fn end(&mut self, name: &str) {
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_sub(1);
            return;
        }
        match name {
            "t" => self.in_text = false,
            "checkBox" => {
                let mark = if self.ticked { "☒ " } else { "☐ " };
                self.add(mark);
            }
            "p" => {
                self.add("\n");
                for text in std::mem::take(&mut self.boxes) {
                    self.flows.push(&text);
                    self.flows.push("\n");
                }
            }
            "tc" => {
                if let Some(text) = self.flows.close() {
                    self.flows.cell(text);
                }
            }
            "tr" => self.flows.end_row(),
            "tbl" => self.flows.end_table(),
            "txbxContent" => self.boxes.extend(self.flows.close()),
            _ => {}
        }
    }

    fn finish(self) -> String {
        let mut text = self.flows.finish();
        for one in self.boxes {
            text.push_str(&one);
            text.push('\n');
        }
        text
    }
}
