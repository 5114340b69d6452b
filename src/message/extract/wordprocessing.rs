//! DOCX (ECMA-376): headers, body, footnotes and footers; paragraphs, tables, text boxes and form fields.

use super::Unread;
use super::packed::Package;
use super::table;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Elements that may be open at once.
const DEPTH_MAX: usize = 2_000;
/// Cells within cells.
const TABLES_MAX: usize = 20;

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

/// A place that collects text: the document, a cell, a text box.
#[derive(Default)]
struct Flow {
    text: String,
    rows: Vec<Vec<String>>,
    row: Vec<String>,
}

fn part_text(xml: &str) -> Result<String, Unread> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut body = Body {
        flows: vec![Flow::default()],
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
            Ok(Event::GeneralRef(reference)) => {
                if let Some(c) = super::opendocument::reference(&reference) {
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
    flows: Vec<Flow>,
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
    fn flow(&mut self) -> Option<&mut Flow> {
        self.flows.last_mut()
    }

    fn push(&mut self, text: &str) {
        if self.in_text
            && self.skipped == 0
            && let Some(flow) = self.flow()
        {
            flow.text.push_str(text);
        }
    }

    fn add(&mut self, text: &str) {
        if self.skipped == 0
            && let Some(flow) = self.flow()
        {
            flow.text.push_str(text);
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
            "tr" if !is_empty => {
                if let Some(flow) = self.flow() {
                    flow.row = Vec::new();
                }
            }
            "tc" | "txbxContent" if !is_empty && self.flows.len() <= TABLES_MAX => {
                self.flows.push(Flow::default());
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
                let boxes = std::mem::take(&mut self.boxes);
                if let Some(flow) = self.flow() {
                    for text in boxes {
                        flow.text.push_str(&text);
                        flow.text.push('\n');
                    }
                }
            }
            "tc" if self.flows.len() > 1 => {
                if let Some(cell) = self.flows.pop()
                    && let Some(flow) = self.flow()
                {
                    flow.row.push(cell.text.trim().to_owned());
                }
            }
            "tr" => {
                if let Some(flow) = self.flow() {
                    let row = std::mem::take(&mut flow.row);
                    flow.rows.push(row);
                }
            }
            "tbl" => {
                if let Some(flow) = self.flow() {
                    let rows = std::mem::take(&mut flow.rows);
                    let text = table::text(&rows);
                    if !flow.text.is_empty() && !flow.text.ends_with('\n') {
                        flow.text.push('\n');
                    }
                    flow.text.push_str(&text);
                    flow.text.push('\n');
                }
            }
            "txbxContent" if self.flows.len() > 1 => {
                if let Some(text) = self.flows.pop() {
                    self.boxes.push(text.text.trim().to_owned());
                }
            }
            _ => {}
        }
    }

    fn finish(mut self) -> String {
        while self.flows.len() > 1 {
            if let Some(inner) = self.flows.pop()
                && let Some(flow) = self.flows.last_mut()
            {
                flow.text.push_str(&inner.text);
            }
        }
        let mut text = self.flows.pop().map(|flow| flow.text).unwrap_or_default();
        for one in self.boxes {
            text.push_str(&one);
            text.push('\n');
        }
        text
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
