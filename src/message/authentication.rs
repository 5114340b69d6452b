//! `Authentication-Results` (RFC 8601 section 2.2): what the receiving server says about SPF, DKIM and DMARC.
//!
//! Fails closed: a header that does not follow the grammar gives nothing, and then nobody vouches for the sender. Bent in
//! two places: Exchange Online writes properties without a type (`action=none`) and values such as `smtp.mailfrom=a@b`
//! bare, both are read.

use super::{AuthenticationResult, AuthenticationResults};

/// At most this many results, and properties of one result, are read; more is malformed.
const RESULTS_MAX: usize = 50;

/// Reads one header value, unfolded.
pub(crate) fn parse(value: &str) -> Option<AuthenticationResults> {
    let tokens = tokens(value)?;
    let mut statements = tokens.split(|token| *token == Token::Semicolon);
    let (authserv_id, version) = match statements.next()? {
        [Token::Text(id)] => (id, None),
        [Token::Text(id), Token::Text(version)] => (id, Some(version)),
        _ => return None,
    };
    if version.is_some_and(|version| version != "1") {
        return None;
    }
    let mut found = AuthenticationResults {
        authserv_id: authserv_id.to_lowercase(),
        results: Vec::new(),
    };
    let statements: Vec<&[Token]> = statements.collect();
    if let [[Token::Text(none)]] | [[Token::Text(none)], []] = statements.as_slice()
        && none.eq_ignore_ascii_case("none")
    {
        return Some(found);
    }
    let last = statements.len().checked_sub(1)?;
    for (index, statement) in statements.into_iter().enumerate() {
        if statement.is_empty() && index == last && !found.results.is_empty() {
            break;
        }
        found.results.push(result(statement)?);
        if found.results.len() > RESULTS_MAX {
            return None;
        }
    }
    Some(found)
}

/// `method[/version]=result [reason=value] [ptype.property=value …]`.
fn result(tokens: &[Token]) -> Option<AuthenticationResult> {
    let mut found = AuthenticationResult::default();
    let mut rest = tokens;
    let mut first = true;
    while !rest.is_empty() {
        let [
            Token::Text(name),
            Token::Equals,
            Token::Text(value),
            tail @ ..,
        ] = rest
        else {
            return None;
        };
        let name = name.to_lowercase();
        let value = value.to_lowercase();
        if first {
            let (method, version) = name
                .split_once('/')
                .map_or((name.as_str(), "1"), |(method, version)| (method, version));
            if version != "1" || !is_keyword(method) || !is_keyword(&value) {
                return None;
            }
            method.clone_into(&mut found.method);
            found.result = value;
            first = false;
        } else {
            if name.is_empty() || !name.split('.').all(is_keyword) {
                return None;
            }
            found.properties.push((name, value));
            if found.properties.len() > RESULTS_MAX {
                return None;
            }
        }
        rest = tail;
    }
    (!first).then_some(found)
}

fn is_keyword(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Equals,
    Semicolon,
}

/// Words, quoted strings, `=` and `;`; comments are dropped. None for an open quote or comment.
fn tokens(value: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut letters = value.chars().peekable();
    let mut after_equals = false;
    while let Some(c) = letters.next() {
        match c {
            ';' => {
                found.push(Token::Semicolon);
                after_equals = false;
            }
            '=' => {
                found.push(Token::Equals);
                after_equals = true;
            }
            '(' => {
                let mut depth = 1_u32;
                while depth > 0 {
                    match letters.next()? {
                        '\\' => {
                            letters.next()?;
                        }
                        '(' => depth = depth.saturating_add(1),
                        ')' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                }
            }
            '"' => {
                let mut text = String::new();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => text.push(letters.next()?),
                        other => text.push(other),
                    }
                }
                // A quoted local part goes on with its domain: "a b"@x.example.
                while let Some(next) =
                    letters.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '=' | '(' | '"'))
                {
                    text.push(next);
                }
                found.push(Token::Text(text));
                after_equals = false;
            }
            c if c.is_whitespace() => {}
            c if c.is_control() => return None,
            c => {
                let mut text = String::from(c);
                // Inside a value `=` is a letter (VERP addresses hold it); in a name it ends the name.
                while let Some(next) = letters.next_if(|c| {
                    !c.is_whitespace()
                        && !matches!(c, ';' | '(' | '"')
                        && (after_equals || *c != '=')
                }) {
                    text.push(next);
                }
                found.push(Token::Text(text));
                after_equals = false;
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn flat(value: &str) -> Option<String> {
        let found = parse(value)?;
        let mut text = found.authserv_id;
        for one in found.results {
            write!(text, "; {}={}", one.method, one.result).unwrap();
            for (name, value) in one.properties {
                write!(text, " {name}={value}").unwrap();
            }
        }
        Some(text)
    }

    #[test]
    fn the_examples_of_the_standard_and_of_servers() {
        let cases = [
            ("example.org 1; none", Some("example.org")),
            ("example.org; none", Some("example.org")),
            (
                "example.com; spf=pass smtp.mailfrom=example.net",
                Some("example.com; spf=pass smtp.mailfrom=example.net"),
            ),
            (
                "example.com; auth=pass (cram-md5) smtp.auth=sender@example.net; spf=pass smtp.mailfrom=Example.net",
                Some(
                    "example.com; auth=pass smtp.auth=sender@example.net; spf=pass smtp.mailfrom=example.net",
                ),
            ),
            (
                "foo.example.net (foobar) 1 (baz);\tdkim (Because I like it) / 1 (One yay) = (wait for it) fail policy (A dot can go here) . (like that) expired",
                None,
            ),
            (
                "mx.x.example; dkim=pass reason=\"good; signature\" header.d=so-hf.example header.i=\"@so-hf.example\"",
                Some(
                    "mx.x.example; dkim=pass reason=good; signature header.d=so-hf.example header.i=@so-hf.example",
                ),
            ),
            (
                "mx.x.example; spf=pass (sender IP is 10.0.0.1) smtp.mailfrom=a.example; dmarc=pass action=none header.from=a.example;compauth=pass reason=100",
                Some(
                    "mx.x.example; spf=pass smtp.mailfrom=a.example; dmarc=pass action=none header.from=a.example; compauth=pass reason=100",
                ),
            ),
            (
                "mx.x.example; spf=pass smtp.mailfrom=bounce+a=b.example@c.example",
                Some("mx.x.example; spf=pass smtp.mailfrom=bounce+a=b.example@c.example"),
            ),
            (
                "mx.x.example; dkim/1=pass;",
                Some("mx.x.example; dkim=pass"),
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(flat(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_malformed_vouches_for_nobody() {
        for value in [
            "",
            "mx.x.example",
            "mx.x.example;",
            "spf=pass smtp.mailfrom=a.example; dkim=pass",
            "mx.x.example; dkim",
            "mx.x.example; dkim=",
            "mx.x.example; dkim=pass header.d",
            "mx.x.example; dkim=pass header.d=",
            "mx.x.example; dkim=pass (open",
            "mx.x.example; dkim=pass header.d=\"open",
            "mx.x.example 2; dkim=pass",
            "mx.x.example; dkim/2=pass",
            "mx.x.example; ; dkim=pass",
            "mx.x.example; dkim=pass; none",
            "mx.x.example; dk im=pass",
            "mx.x.example evil.example; dkim=pass",
        ] {
            assert_eq!(flat(value), None, "{value}");
        }
    }
}
