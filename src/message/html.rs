//! HTML → text: tables and lists readable, `display:none` left out, quotes marked with `>`.

use super::parser;
use super::zones::compile;
use html2text::config;
use html2text::render::TextDecorator;
use regex::Regex;
use std::sync::LazyLock;

/// Columns: wide enough that no sentence is broken.
const WIDTH: usize = 2_000;
/// Elements that may be open at once; deeper HTML is not mail, and costs the converter its stack.
const DEPTH_MAX: usize = 400;

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
    let rendered = if is_too_deep(&input) {
        None
    } else {
        render(&input)
    };
    let text = match rendered {
        Some(text) if !text.trim().is_empty() => text,
        Some(_) if has_hidden_parts(&input) => String::new(),
        _ => parser::plain_html(&input),
    };
    (tidy(&text), cut)
}

static RULE: LazyLock<Regex> = LazyLock::new(|| compile(r"(?i)<hr\b[^<>]{0,500}>"));

fn render(html: &str) -> Option<String> {
    let plain = config::with_decorator(MailText)
        .use_doc_css()
        .raw_mode(true)
        .allow_width_overflow()
        .link_footnotes(false)
        .no_link_wrapping();
    plain.string_from_read(html.as_bytes(), WIDTH).ok()
}

/// Counts open elements roughly: enough to tell a mail from a bomb.
fn is_too_deep(html: &str) -> bool {
    let mut depth = 0_usize;
    let mut deepest = 0_usize;
    for piece in html.split('<').skip(1) {
        if piece.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if piece.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let name: String = piece
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect::<String>()
                .to_ascii_lowercase();
            let is_void = matches!(
                name.as_str(),
                "br" | "img"
                    | "hr"
                    | "meta"
                    | "link"
                    | "input"
                    | "col"
                    | "area"
                    | "base"
                    | "wbr"
                    | "p"
                    | "li"
                    | "td"
                    | "tr"
                    | "th"
                    | "source"
            );
            let is_closed = piece
                .split_once('>')
                .is_some_and(|(tag, _)| tag.ends_with('/'));
            if !is_void && !is_closed {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
        }
    }
    deepest > DEPTH_MAX
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
    }
}
