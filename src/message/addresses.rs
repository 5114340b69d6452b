//! Address headers (RFC 5322 section 3.4) → checked addresses, and Message-IDs (section 3.6.4).

use super::names::is_invisible;
use super::{Address, parser, text, words};
use std::borrow::Cow;

/// At most this many addresses of one header are read.
const ADDRESSES_MAX: usize = 500;
/// At most this many Message-IDs of one header are read; the last ones, for they are the nearest.
const IDS_MAX: usize = 200;
/// RFC 5322 section 2.1.1: no line, and so no id, is longer.
const ID_BYTES_MAX: usize = 998;

/// Addresses and whether one of them was none.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) list: Vec<Address>,
    pub(crate) bad: bool,
    pub(crate) repaired: bool,
}

/// Reads a list of mailboxes and groups. A value with two addresses and no comma between them gives none: which one
/// counts is for the receiver to guess, and forgers live on that.
pub(crate) fn addresses(raw: &[u8]) -> Addresses {
    let (value, repaired) = words::normalise_header(raw);
    let value = without_controls(value);
    let mut found = Addresses {
        repaired,
        ..Addresses::default()
    };
    for segment in segments(&value)
        .into_iter()
        .filter(|s| !s.trim().is_empty())
        .take(ADDRESSES_MAX)
    {
        let one = mailbox(segment.trim());
        found.bad |= one.address.is_empty();
        found.list.push(one);
    }
    found
}

/// The text with a space for each control letter.
fn without_controls(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text;
    }
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    Cow::Owned(visible.collect())
}

/// Splits at commas and semicolons outside quotes, comments and angle brackets; a group's name is dropped.
fn segments(value: &str) -> Vec<&str> {
    let mut list = Vec::new();
    let (mut quoted, mut escaped, mut angle, mut comment) = (false, false, false, 0_u32);
    let mut start = 0;
    for (index, c) in value.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        let outside = !quoted && comment == 0;
        match c {
            '\\' if quoted || comment > 0 => escaped = true,
            '"' if comment == 0 => quoted = !quoted,
            '(' if !quoted => comment = comment.saturating_add(1),
            ')' if !quoted => comment = comment.saturating_sub(1),
            '<' if outside => angle = true,
            '>' if outside => angle = false,
            ',' | ';' if outside && !angle => {
                list.push(value.get(start..index).unwrap_or_default());
                start = index.saturating_add(1);
            }
            ':' if outside && !angle => start = index.saturating_add(1),
            _ => {}
        }
    }
    let rest = value.get(start..).unwrap_or_default();
    if quoted || angle {
        // An open quote swallows the rest: then the commas count.
        list.extend(rest.split(','));
    } else {
        list.push(rest);
    }
    list
}

fn mailbox(segment: &str) -> Address {
    if let Some((shown, address)) = plain_mailbox(segment) {
        return Address {
            name: name(shown),
            address: address.to_owned(),
        };
    }
    let bare = blank_quotes(&words::strip_comments(segment));
    let angles = bare.matches('<').count();
    let signs = bare.matches('@').count();
    if angles > 1 || (angles == 0 && signs > 1) {
        return Address {
            name: name(segment),
            address: String::new(),
        };
    }
    let (parsed_name, parsed_address) = parser::mailbox(segment);
    // The address is what stands in the brackets, and nothing else.
    let bracketed = (angles == 1)
        .then(|| {
            segment
                .rsplit_once('<')
                .and_then(|(_, rest)| rest.split_once('>'))
                .map(|(inside, _)| inside.trim().to_owned())
        })
        .flatten();
    let plain = is_addr_spec(segment).then(|| segment.to_owned());
    let parsed_name = if plain.is_some() { None } else { parsed_name };
    let candidate = bracketed.or(plain).or(parsed_address).unwrap_or_default();
    let address = if is_addr_spec(&candidate) {
        candidate
    } else {
        String::new()
    };
    let mut shown = parsed_name.map(|n| name(&n)).unwrap_or_default();
    if shown.is_empty() && address.is_empty() {
        shown = name(segment.trim_matches(['<', '>']));
    }
    Address {
        name: shown,
        address,
    }
}

/// Name and address of most mailboxes: `local@domain`, `Name <local@domain>` or `"Name" <local@domain>`, of signs that mean
/// nothing but themselves.
fn plain_mailbox(segment: &str) -> Option<(&str, &str)> {
    let is_plain = |text: &str, signs: &str| {
        let mut letters = text.chars();
        letters.all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
    };
    let (shown, address) = match segment.strip_suffix('>') {
        Some(rest) => rest.split_once('<')?,
        None => ("", segment),
    };
    if !is_plain(address, "@.-_+") || !is_addr_spec(address) {
        return None;
    }
    let shown = shown.trim_end_matches(' ');
    let inside = shown
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let is_plain = match inside {
        Some(quoted) => is_plain(quoted, " -_.,&/æøåÆØÅ"),
        None => is_plain(shown, " -_æøåÆØÅ"),
    };
    is_plain.then_some((inside.unwrap_or(shown), address))
}

/// A display name, decoded and free of quotes and invisible letters.
fn name(text: &str) -> String {
    let mut decoded = words::decode_words(text);
    if decoded.contains(is_invisible) {
        decoded = Cow::Owned(decoded.chars().filter(|c| !is_invisible(*c)).collect());
    }
    let mut shown = text::one_line(&decoded)
        .trim_matches(['"', '\'', ' '])
        .to_owned();
    text::truncate(&mut shown, 300);
    shown
}

fn blank_quotes(text: &str) -> String {
    let mut quoted = false;
    text.chars()
        .map(|c| {
            if c == '"' {
                quoted = !quoted;
            }
            if quoted { ' ' } else { c }
        })
        .collect()
}

/// `local@domain` (RFC 5322 section 3.4.1, RFC 6531): dot-atom or quoted local part, domain of labels or a literal.
pub(crate) fn is_addr_spec(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let is_atom = |c: char| {
        c.is_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(c)
            || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
    };
    let is_local = if let Some(inner) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
        !inner.is_empty() && !inner.contains(['"', '\r', '\n'])
    } else {
        // Some systems of the real world end the local part in a dot or double it; servers deliver there all the same.
        !local.is_empty()
            && !local.starts_with('.')
            && local.chars().all(|c| c == '.' || is_atom(c))
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| {
                c.is_alphanumeric()
                    || matches!(c, '-' | '_')
                    || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
            })
    };
    let is_domain = domain.len() <= 255
        && (domain.split('.').all(is_label)
            || (domain.starts_with('[')
                && domain.ends_with(']')
                && !domain.contains(char::is_whitespace)));
    local.len() <= 64 && is_local && is_domain
}

/// The id of a Message-ID header without its brackets; none for what no reply could cite.
pub(crate) fn message_id(raw: &[u8]) -> Option<String> {
    let value = String::from_utf8_lossy(raw).trim().to_owned();
    let id = match value.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0.trim_start_matches('<').to_owned(),
        None => value,
    };
    // Exchange has written ids such as `<[guid]@host>` and ids without `@`; with neither bracket nor `@` it is junk.
    let bracketed = raw.contains(&b'<');
    is_id(&id)
        .then_some(id)
        .filter(|id| bracketed || id.contains('@'))
}

/// Ids of In-Reply-To and References, oldest first, each once. Commas (Exchange, iOS), missing brackets, double brackets,
/// comments and phrases are tolerated.
pub(crate) fn message_ids(raw: &[u8]) -> Vec<String> {
    let value = String::from_utf8_lossy(raw);
    let mut ids: Vec<String> = Vec::new();
    let mut take = |id: &str| {
        if is_id(id) && !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
        if ids.len() > IDS_MAX {
            ids.remove(0);
        }
    };
    for (index, piece) in value.split('<').enumerate() {
        let (inside, outside) = if index == 0 {
            ("", piece)
        } else {
            piece.split_once('>').unwrap_or(("", piece))
        };
        take(inside.trim());
        let bare = outside.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '>' | '"'));
        bare.filter(|token| token.contains('@')).for_each(&mut take);
    }
    ids
}

fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_checked() {
        let cases: [(&str, &[(&str, &str)]); 22] = [
            ("Kari <kari@x.example>", &[("Kari", "kari@x.example")]),
            (
                "\"Nordmann, Kari\" <kari@x.example>, ola@y.example",
                &[("Nordmann, Kari", "kari@x.example"), ("", "ola@y.example")],
            ),
            ("ola@y.example (Ola N)", &[("Ola N", "ola@y.example")]),
            (
                "=?utf-8?q?Dyr=C3?= =?utf-8?q?=B8y=2C_A?= <a@x.example>",
                &[("Dyrøy, A", "a@x.example")],
            ),
            (
                "\"=?utf-8?q?Dyr=C3=B8y?=\" <a@x.example>",
                &[("Dyrøy", "a@x.example")],
            ),
            ("foo", &[("foo", "")]),
            (
                "a@b.example c@d.example",
                &[("a@b.example c@d.example", "")],
            ),
            (
                "<a@b.example> <c@d.example>",
                &[("<a@b.example> <c@d.example>", "")],
            ),
            (
                "sjef@b.example <ond@c.example>",
                &[("sjef@b.example", "ond@c.example")],
            ),
            (
                "\"sjef@b.example\" <ond@c.example>",
                &[("sjef@b.example", "ond@c.example")],
            ),
            ("<>", &[("", "")]),
            ("undisclosed-recipients:;", &[]),
            (
                "Gruppe: a@b.example, c@d.example;",
                &[("", "a@b.example"), ("", "c@d.example")],
            ),
            ("Kari <kari@x.example", &[("Kari", "kari@x.example")]),
            ("Kari <kari at x.example>", &[("Kari", "")]),
            ("bjørn@blåbær.example", &[("", "bjørn@blåbær.example")]),
            (
                "\"rar lokal\"@x.example",
                &[("", "\"rar lokal\"@x.example")],
            ),
            ("post@[10.0.0.1]", &[("", "post@[10.0.0.1]")]),
            ("kari@x..example", &[("kari@x..example", "")]),
            (
                "Økonomi Helse <o@x.example>",
                &[("Økonomi Helse", "o@x.example")],
            ),
            (
                "a@b.example,,c@d.example",
                &[("", "a@b.example"), ("", "c@d.example")],
            ),
            (
                "a@b.example; c@d.example",
                &[("", "a@b.example"), ("", "c@d.example")],
            ),
        ];
        for (value, expected) in cases {
            let got = addresses(value.as_bytes());
            let got: Vec<(&str, &str)> = got
                .list
                .iter()
                .map(|a| (a.name.as_str(), a.address.as_str()))
                .collect();
            assert_eq!(got, expected, "{value}");
        }
    }

    #[test]
    fn raw_latin1_names_are_read() {
        let got = addresses(b"Bj\xf8rn <b@x.example>");
        assert_eq!((got.list[0].name.as_str(), got.repaired), ("Bjørn", true));
    }

    #[test]
    fn ids_are_lenient_where_it_is_safe() {
        let cases: [(&str, &[&str]); 7] = [
            ("<a@x> <b@x>", &["a@x", "b@x"]),
            ("<a@x>,<b@x>, <a@x>", &["a@x", "b@x"]),
            ("a@x <b@x", &["a@x", "b@x"]),
            ("<<a@x>>", &["a@x"]),
            ("Your message of Tuesday <a@x>", &["a@x"]),
            ("<uten-krollalfa>", &["uten-krollalfa"]),
            ("", &[]),
        ];
        for (value, expected) in cases {
            assert_eq!(message_ids(value.as_bytes()), expected, "{value}");
        }
        for (value, expected) in [
            ("<a@x>", Some("a@x")),
            ("a@x", Some("a@x")),
            ("<no-angle", None),
            ("<>", None),
            ("junk", None),
            ("<a b@x>", None),
        ] {
            assert_eq!(message_id(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
