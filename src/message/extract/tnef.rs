//! winmail.dat (MS-OXTNEF): the body that Outlook packed, and the attachments in it.

use super::super::{Limits, charset, html, names};
use super::{Extracted, Unread, rtf};

/// Attributes of a stream, and properties of a list.
const ATTRIBUTES_MAX: usize = 20_000;
/// Bytes that a compressed RTF body may unpack to.
const RTF_BYTES_MAX: usize = 16 * 1024 * 1024;

const ATT_BODY: u32 = 0x0002_800c;
const ATT_SUBJECT: u32 = 0x0001_8004;
const ATT_OEM_CODEPAGE: u32 = 0x0006_9007;
const ATT_MSG_PROPS: u32 = 0x0006_9003;
const ATT_ATTACH_RENDER: u32 = 0x0006_9002;
const ATT_ATTACH_TITLE: u32 = 0x0001_8010;
const ATT_ATTACH_DATA: u32 = 0x0006_800f;
const ATT_ATTACHMENT: u32 = 0x0006_9005;

#[derive(Default)]
struct Attached {
    name: String,
    data: Vec<u8>,
    /// A mail that is attached as another such stream.
    is_message: bool,
}

#[derive(Default)]
struct Mail {
    subject: String,
    plain: String,
    html: String,
    rtf: String,
    files: Vec<Attached>,
    is_whole: bool,
}

pub(super) fn read(bytes: &[u8], depth: usize) -> Extracted {
    let Some(mail) = decode(bytes) else {
        return Extracted::nothing(Unread::Damaged);
    };
    let body = [&mail.html, &mail.rtf, &mail.plain]
        .into_iter()
        .find(|text| !text.trim().is_empty())
        .cloned()
        .unwrap_or_default();
    let mut extracted = Extracted::default();
    let text = if body.contains(mail.subject.trim()) {
        body
    } else {
        format!("{}\n\n{body}", mail.subject)
    };
    if text.chars().any(char::is_alphanumeric) {
        extracted.push("", text);
    }
    for file in mail.files {
        let name = names::sanitise(&file.name);
        let media_type = if file.is_message {
            "application/ms-tnef"
        } else {
            ""
        };
        let inner = super::nested(
            &name,
            media_type,
            &file.data,
            false,
            depth.saturating_add(1),
        );
        extracted.add(&name, inner);
    }
    if !mail.is_whole {
        extracted.unread.push(Unread::Damaged);
    } else if extracted.pieces.is_empty() && extracted.unread.is_empty() {
        extracted.unread.push(Unread::NoText);
    }
    extracted
}

/// Little-endian numbers and slices; nothing beyond the end.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }
}

fn decode(bytes: &[u8]) -> Option<Mail> {
    let mut bytes = Bytes { rest: bytes };
    (bytes.u32()? == 0x223e_9f78).then_some(())?;
    bytes.u16()?;
    let mut mail = Mail::default();
    let mut page = String::from("windows-1252");
    for _ in 0..ATTRIBUTES_MAX {
        if bytes.rest.is_empty() {
            mail.is_whole = true;
            break;
        }
        let Some(data) = attribute(&mut bytes) else {
            break;
        };
        let (id, data) = data;
        match id {
            ATT_OEM_CODEPAGE => {
                if let Some(number) = (Bytes { rest: data }).u32() {
                    page = code_page(number);
                }
            }
            ATT_SUBJECT => mail.subject = string8(data, &page),
            ATT_BODY => mail.plain = string8(data, &page),
            ATT_MSG_PROPS => {
                for (property, value) in properties(data) {
                    message_property(&mut mail, property, value, &page);
                }
            }
            ATT_ATTACH_RENDER => mail.files.push(Attached::default()),
            ATT_ATTACH_TITLE | ATT_ATTACH_DATA | ATT_ATTACHMENT => {
                if mail.files.is_empty() {
                    mail.files.push(Attached::default());
                }
                if let Some(file) = mail.files.last_mut() {
                    attachment(file, id, data, &page);
                }
            }
            _ => {}
        }
    }
    Some(mail)
}

fn attribute<'a>(bytes: &mut Bytes<'a>) -> Option<(u32, &'a [u8])> {
    let _level = bytes.u8()?;
    let id = bytes.u32()?;
    let length = bytes.length()?;
    let data = bytes.take(length)?;
    // The sum is missing at the end of some files.
    if bytes.u16().is_none() {
        bytes.rest = &[];
    }
    Some((id, data))
}

fn attachment(file: &mut Attached, id: u32, data: &[u8], page: &str) {
    match id {
        ATT_ATTACH_TITLE if file.name.is_empty() => file.name = string8(data, page),
        ATT_ATTACH_DATA => file.data = data.to_vec(),
        ATT_ATTACHMENT => {
            for (property, value) in properties(data) {
                match (property, value) {
                    // PR_ATTACH_LONG_FILENAME, PR_ATTACH_FILENAME
                    (0x3707, value) => file.name = value.text(page),
                    (0x3704, value) if file.name.is_empty() => file.name = value.text(page),
                    // PR_ATTACH_DATA: bytes, or an object behind the id of its interface.
                    (0x3701, Value::Object(bytes)) => {
                        let inner = bytes.get(16..).unwrap_or_default();
                        file.is_message = inner.starts_with(&[0x78, 0x9f, 0x3e, 0x22]);
                        if file.is_message || file.data.is_empty() {
                            file.data = inner.to_vec();
                        }
                    }
                    (0x3701, Value::Binary(bytes)) => file.data = bytes.to_vec(),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn message_property(mail: &mut Mail, property: u16, value: Value<'_>, page: &str) {
    match property {
        // PR_SUBJECT
        0x0037 => mail.subject = value.text(page),
        // PR_BODY
        0x1000 => mail.plain = value.text(page),
        // PR_BODY_HTML
        0x1013 => {
            let source = match value {
                Value::Binary(bytes) | Value::Object(bytes) => {
                    charset::decode(bytes, None).text.into_owned()
                }
                other => other.text(page),
            };
            mail.html = html::to_text(&source, Limits::default().max_html).0;
        }
        // PR_RTF_COMPRESSED
        0x1009 => {
            if let Value::Binary(bytes) | Value::Object(bytes) = value
                && let Some(unpacked) = unpack(bytes)
                && let Ok(found) = rtf::read(&unpacked)
            {
                mail.rtf = found.text;
            }
        }
        _ => {}
    }
}

/// A property's value, as far as it is text or bytes.
#[derive(Clone, Copy)]
enum Value<'a> {
    String8(&'a [u8]),
    Unicode(&'a [u8]),
    Binary(&'a [u8]),
    Object(&'a [u8]),
}

impl Value<'_> {
    fn text(self, page: &str) -> String {
        match self {
            Self::String8(bytes) => string8(bytes, page),
            Self::Unicode(bytes) => {
                let text = encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0;
                text.trim_end_matches('\0').to_owned()
            }
            Self::Binary(_) | Self::Object(_) => String::new(),
        }
    }
}

fn string8(bytes: &[u8], page: &str) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    charset::decode(bytes.get(..end).unwrap_or_default(), Some(page))
        .text
        .into_owned()
}

fn code_page(number: u32) -> String {
    match number {
        437 | 850 | 858 | 865 => format!("cp{number}"),
        20_127 => "us-ascii".to_owned(),
        28_591 => "iso-8859-1".to_owned(),
        28_605 => "iso-8859-15".to_owned(),
        65_001 => "utf-8".to_owned(),
        1250..=1258 => format!("windows-{number}"),
        _ => "windows-1252".to_owned(),
    }
}

/// The properties of a list that are text or bytes, as far as the list can be followed.
fn properties(data: &[u8]) -> Vec<(u16, Value<'_>)> {
    let mut found = Vec::new();
    let mut bytes = Bytes { rest: data };
    let count = bytes.length().unwrap_or_default().min(ATTRIBUTES_MAX);
    for _ in 0..count {
        if property(&mut bytes, &mut found).is_none() {
            break;
        }
    }
    found
}

fn property<'a>(bytes: &mut Bytes<'a>, found: &mut Vec<(u16, Value<'a>)>) -> Option<()> {
    let kind = bytes.u16()?;
    let id = bytes.u16()?;
    if id >= 0x8000 {
        bytes.take(16)?;
        if bytes.u32()? == 0 {
            bytes.u32()?;
        } else {
            let length = bytes.length()?;
            bytes.take(padded(length))?;
        }
    }
    let is_many = kind & 0x1000 != 0;
    let kind = kind & 0x0fff;
    let is_variable = matches!(kind, 0x1e | 0x1f | 0x102 | 0x0d);
    let count = if is_many || is_variable {
        bytes.length()?
    } else {
        1
    };
    for _ in 0..count {
        let fixed = match kind {
            0x01 => 0,
            0x02 | 0x03 | 0x04 | 0x0a | 0x0b => 4,
            0x05 | 0x06 | 0x07 | 0x14 | 0x40 => 8,
            0x48 => 16,
            _ if is_variable => {
                let length = bytes.length()?;
                let value = bytes.rest.get(..length)?;
                // The last one is not always filled up.
                let whole = padded(length).min(bytes.rest.len());
                bytes.take(whole)?;
                let value = match kind {
                    0x1e => Value::String8(value),
                    0x1f => Value::Unicode(value),
                    0x102 => Value::Binary(value),
                    _ => Value::Object(value),
                };
                if !is_many && found.len() < ATTRIBUTES_MAX {
                    found.push((id, value));
                }
                continue;
            }
            _ => return None,
        };
        if fixed == 0 {
            return Some(());
        }
        bytes.take(fixed)?;
    }
    Some(())
}

const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// What the first bytes of every compressed RTF refer to (MS-OXRTFCP section 2.1.2.1).
const DICTIONARY: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

/// Compressed RTF (MS-OXRTFCP) → RTF.
fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    const WINDOW: usize = 4096;
    let mut bytes = Bytes { rest: packed };
    let _packed_length = bytes.length()?;
    let length = bytes.length()?;
    let kind = bytes.u32()?;
    bytes.u32()?;
    match kind {
        // «MELA»: not compressed.
        0x414c_454d => {
            return bytes
                .rest
                .get(..length.min(bytes.rest.len()))
                .map(<[u8]>::to_vec);
        }
        // «LZFu»
        0x7546_5a4c => {}
        _ => return None,
    }
    let limit = length.min(RTF_BYTES_MAX);
    let mut window = [b' '; WINDOW];
    let mut at = DICTIONARY.len();
    window.get_mut(..at)?.copy_from_slice(DICTIONARY.as_slice());
    let mut out = Vec::new();
    'runs: while let Some(flags) = bytes.u8() {
        for bit in 0..8 {
            let mut put = |byte: u8, at: &mut usize, out: &mut Vec<u8>| {
                if let Some(slot) = window.get_mut(*at) {
                    *slot = byte;
                }
                *at = at.saturating_add(1) % WINDOW;
                out.push(byte);
            };
            if flags & (1 << bit) == 0 {
                let Some(byte) = bytes.u8() else { break 'runs };
                put(byte, &mut at, &mut out);
            } else {
                let (Some(high), Some(low)) = (bytes.u8(), bytes.u8()) else {
                    break 'runs;
                };
                let mut from = (usize::from(high) << 4) | (usize::from(low) >> 4);
                let count = usize::from(low & 0x0f).saturating_add(2);
                if from == at {
                    break 'runs;
                }
                for _ in 0..count {
                    let byte = window.get(from).copied().unwrap_or(b' ');
                    if let Some(slot) = window.get_mut(at) {
                        *slot = byte;
                    }
                    at = at.saturating_add(1) % WINDOW;
                    out.push(byte);
                    from = from.saturating_add(1) % WINDOW;
                }
            }
            if out.len() >= limit {
                break 'runs;
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of MS-OXRTFCP section 4.1.
    #[test]
    fn compressed_rtf() {
        let packed = [
            0x2d, 0x00, 0x00, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5,
            0xc7, 0xa7, 0x03, 0x00, 0x0a, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42,
            0x32, 0x0a, 0xf3, 0x20, 0x68, 0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xb0,
            0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f, 0xa0,
        ];
        let rtf = unpack(&packed).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&rtf),
            "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
        );
    }
}
