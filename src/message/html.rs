//! HTML → text: tables and lists readable, `display:none` left out, quotes marked with `>`.

use super::parser;
use crate::expression::with_groups;
use html2text::config;
use html2text::render::TextDecorator;
use regex::Regex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Columns: wide enough that no sentence is broken.
const WIDTH: usize = 2_000;
/// Elements that may be open at once; deeper HTML is not mail, and costs the converter its stack.
const DEPTH_MAX: usize = 250;
/// Elements times the elements they stand in; the largest newsletters have a tenth of it.
const WORK_MAX: usize = 1_000_000;

/// Style rules times elements, each tried on each; beyond it styles are not read. Large newsletters have a fifth of it.
const STYLE_WORK_MAX: usize = 10_000_000;

/// The text of an HTML body. Input beyond `max_bytes` is not read; the flag tells so.
pub(crate) fn to_text(html: &str, max_bytes: usize) -> (String, bool) {
    let end = html.floor_char_boundary(max_bytes);
    let cut = end < html.len();
    let input = html.get(..end).unwrap_or_default();
    let input: String = input.chars().filter(|c| *c != '\0').collect();
    // The converter passes over rules, and Outlook parts an answer from the mail below it by one.
    let input = RULE
        .replace_all(&input, "<div>________________________________</div>")
        .into_owned();
    let rendered = if is_bomb(&input) {
        None
    } else {
        on_large_stack(|| render(&input))
    };
    let text = match rendered {
        Some(text) if !text.trim().is_empty() => text,
        Some(_) if has_hidden_parts(&input) => String::new(),
        _ => parser::plain_html(&input),
    };
    (tidy(&text), cut)
}

static RULE: LazyLock<Regex> = LazyLock::new(|| with_groups(r"(?i)<hr\b[^<>]{0,500}>"));

/// Stack of the converter, which goes into itself for each element within an element.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs the work on a thread of its own. Its panic, and that there is no thread to be had, go on as panics: who reads a
/// message catches them.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("html".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Box::new(error) as Box<dyn std::any::Any + Send>)?
            .join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn render(html: &str) -> Option<String> {
    let rules = html.bytes().filter(|byte| *byte == b'{').count();
    let elements = html.bytes().filter(|byte| *byte == b'<').count();
    let mut plain = config::with_decorator(MailText);
    if rules.saturating_mul(elements) <= STYLE_WORK_MAX {
        plain = plain.use_doc_css();
    }
    let plain = plain
        .raw_mode(true)
        .allow_width_overflow()
        .link_footnotes(false)
        .no_link_wrapping();
    plain.string_from_read(html.as_bytes(), WIDTH).ok()
}

/// Elements open at once, and summed over all elements: what the converter's stack and time grow with. Errs on the high
/// side: an opening tag counts wherever it stands, a closing one only where no reading of the HTML could see it as part
/// of a comment, of an attribute or of a script.
fn is_bomb(html: &str) -> bool {
    let bytes = html.as_bytes();
    let mut open: HashMap<String, usize> = HashMap::new();
    let (mut depth, mut work, mut position, mut sure_from) = (0_usize, 0_usize, 0_usize, 0_usize);
    while let Some(found) = bytes
        .get(position..)
        .and_then(|rest| rest.iter().position(|&byte| byte == b'<'))
    {
        let start = position.saturating_add(found);
        position = start.saturating_add(1);
        let tag = bytes.get(position..).unwrap_or_default();
        let is_sure = start >= sure_from;
        if let Some(closing) = tag.strip_prefix(b"/") {
            if let Some(count) = open
                .get_mut(&tag_name(closing))
                .filter(|count| is_sure && **count > 0)
            {
                *count = count.saturating_sub(1);
                depth = depth.saturating_sub(1);
            }
        } else if is_sure && tag.starts_with(b"!--") {
            sure_from = end_of(bytes, start, b"-->");
        } else if tag.first().is_some_and(u8::is_ascii_alphabetic) {
            let name = tag_name(tag);
            if is_sure {
                sure_from = match name.as_str() {
                    "script" | "style" | "title" | "textarea" | "xmp" | "iframe" | "noscript"
                    | "noembed" | "noframes" => {
                        end_of(bytes, start, format!("</{name}").as_bytes())
                    }
                    _ => end_of_tag(bytes, start),
                };
            }
            if !CLOSED_BY_THEMSELVES.contains(&name.as_str()) {
                depth = depth.saturating_add(1);
                let count = open.entry(name).or_default();
                *count = count.saturating_add(1);
            }
            work = work.saturating_add(depth).saturating_add(1);
            if depth > DEPTH_MAX || work > WORK_MAX {
                return true;
            }
        }
    }
    false
}

/// Elements without content, and those that end where the next of their kind begins.
const CLOSED_BY_THEMSELVES: [&str; 16] = [
    "br", "img", "hr", "meta", "link", "input", "col", "area", "base", "wbr", "p", "li", "td",
    "tr", "th", "source",
];

/// The name at the start, in lower case.
fn tag_name(tag: &[u8]) -> String {
    let name = tag
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .take(20);
    name.map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// Where the tag ends when quoted attributes may hold `>`.
fn end_of_tag(bytes: &[u8], start: usize) -> usize {
    let mut quote = None;
    for (index, &byte) in bytes.iter().enumerate().skip(start) {
        match (quote, byte) {
            (None, b'>') => return index,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    bytes.len()
}

fn end_of(bytes: &[u8], start: usize, end: &[u8]) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    rest.windows(end.len())
        .position(|window| window.eq_ignore_ascii_case(end))
        .map_or(bytes.len(), |found| start.saturating_add(found))
}

/// Whether the emptiness may be meant: then the fallback, which knows no styles, would show what is hidden.
fn has_hidden_parts(html: &str) -> bool {
    let lower = html.to_ascii_lowercase();
    lower.contains("display:none") || lower.contains("display: none")
}

/// Trims lines, shortens rules of box-drawing letters, keeps at most one empty line in a row.
fn tidy(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut empty = 0_u32;
    for line in text.split('\n') {
        let line = line.trim_end();
        let is_rule = line.chars().count() > 10
            && line
                .trim_start_matches(['>', ' '])
                .chars()
                .all(|c| matches!(c, '─' | '-' | '_' | '━'));
        let line = if is_rule {
            "________________________________"
        } else {
            line
        };
        if line.is_empty() {
            empty = empty.saturating_add(1);
            if empty > 1 {
                continue;
            }
        } else {
            empty = 0;
        }
        result.push_str(line);
        result.push('\n');
    }
    result.trim_matches('\n').to_owned()
}

/// Text alone: no brackets around links, no stars, no heading signs; quotes get `> ` as in plain text.
#[derive(Clone)]
struct MailText;

impl TextDecorator for MailText {
    type Annotation = ();

    fn decorate_link_start(&mut self, _url: &str) -> (String, ()) {
        (String::new(), ())
    }
    fn decorate_link_end(&mut self) -> String {
        String::new()
    }
    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }
    fn decorate_em_end(&self) -> String {
        String::new()
    }
    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }
    fn decorate_strong_end(&self) -> String {
        String::new()
    }
    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }
    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }
    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }
    fn decorate_code_end(&self) -> String {
        String::new()
    }
    fn decorate_preformat_first(&self) {}
    fn decorate_preformat_cont(&self) {}
    fn decorate_image(&mut self, _src: &str, title: &str) -> (String, ()) {
        (title.to_owned(), ())
    }
    fn header_prefix(&self, _level: usize) -> String {
        String::new()
    }
    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }
    fn unordered_item_prefix(&self) -> String {
        "* ".to_owned()
    }
    fn ordered_item_prefix(&self, i: i64) -> String {
        format!("{i}. ")
    }
    fn make_subblock_decorator(&self) -> Self {
        self.clone()
    }
    fn decorate_superscript_start(&self) -> (String, ()) {
        (String::new(), ())
    }
    fn decorate_superscript_end(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        to_text(html, 1_000_000).0
    }

    #[test]
    fn html_becomes_readable() {
        let cases = [
            ("<p>Hei <b>dere</b></p><p>Ny</p>", "Hei dere\n\nNy"),
            (
                "<style>p{color:red}</style><script>x()</script><p>Bare dette</p>",
                "Bare dette",
            ),
            (
                "<div>synlig</div><div style=\"display:none\">skjult</div>",
                "synlig",
            ),
            (
                "<style>.h{display:none}</style><p>synlig</p><p class=h>skjult</p>",
                "synlig",
            ),
            ("<blockquote>sitat</blockquote>", "> sitat"),
            ("<a href=\"http://a.example\">lenke</a>", "lenke"),
            ("<ul><li>en</li><li>to</li></ul>", "* en\n* to"),
            ("linje<br>skift &aring;&nbsp;&lt;", "linje\nskift å\u{a0}<"),
            ("a<hr>b", "a\n________________________________\nb"),
            ("bare tekst", "bare tekst"),
            ("<div style=\"display:none\">skjult</div>", ""),
        ];
        for (html, expected) in cases {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn table_cells_stay_apart() {
        let got = text(
            "<table><tr><td>Navn</td><td>Åse Ærlig</td></tr><tr><td>Gnr</td><td>12</td></tr></table>",
        );
        let words: Vec<&str> = got.split_whitespace().collect();
        assert_eq!(words, ["Navn", "Åse", "Ærlig", "Gnr", "12"]);
    }

    #[test]
    fn a_deep_bomb_costs_nothing_but_layout() {
        let bomb = format!(
            "{}tekst{}",
            "<div>".repeat(100_000),
            "</div>".repeat(100_000)
        );
        assert_eq!(text(&bomb).trim(), "tekst");
        let open = format!("{}tekst", "<b>".repeat(300_000));
        assert_eq!(text(&open).trim(), "tekst");
        for hidden in [
            "<b></x>",
            "<b a=\"</b>\">",
            "<b><!--</b>-->",
            "<b><style></b></style>",
            "<b '></b>",
        ] {
            assert!(is_bomb(&hidden.repeat(1_000)), "{hidden}");
        }
    }

    #[test]
    fn ordinary_html_is_no_bomb() {
        let row = "<tr><td style=\"a>b\"><p>a<b>b</b><br><img src=x></td></tr>";
        let table = format!("<table>{}</table>", row.repeat(2_000));
        let reply_chain = format!(
            "{}{}{}",
            "<blockquote><div>".repeat(40),
            "<p>a</p>".repeat(500),
            "</div></blockquote>".repeat(40)
        );
        for html in [
            table,
            reply_chain,
            "<!-- a > b --><div>c</div>".repeat(3_000),
        ] {
            assert!(!is_bomb(&html));
        }
    }
}
