//! What must not change a verdict: how a mail is encoded, wrapped or signed, whose names and which dates stand in it.
//!
//! Each test rewrites every labelled sample message and compares the verdicts. What the engine can guarantee must hold for
//! all of them; for the rest the share is bounded and the reason stands beside the bound. `--nocapture` shows the table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    unreachable_pub
)]

#[path = "rules_invariance/mime.rs"]
mod mime;
#[path = "rules_invariance/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use linjevei::message::{Defect, Limits, Message, Zone, parse};
use linjevei::rules::{ClassifyContext, Evidence, RuleFiles, RuleSet, Verdict};
use mime::{Charset, Encoding, Part, rewrite};
use unicode_normalization::UnicodeNormalization;

struct Sample {
    name: String,
    raw: Vec<u8>,
    message: Message,
    verdict: Verdict,
}

static FILES: LazyLock<RuleFiles> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/ostfold");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
});

static RULES: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::compile(&FILES).unwrap());

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let mut samples = Vec::new();
    for folder in ["tests/fixtures/dev", "tests/fixtures/messages"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "eml") {
                continue;
            }
            let raw = fs::read(&path).unwrap();
            let message = parse(&raw, &Limits::default()).unwrap();
            let verdict = classify(&message);
            samples.push(Sample {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                raw,
                message,
                verdict,
            });
        }
    }
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(samples.len() >= 200, "only {} messages", samples.len());
    samples
});

fn classify(message: &Message) -> Verdict {
    RULES.classify(message, &ClassifyContext::default())
}

/// What may not change, facet by facet.
fn outcome(verdict: &Verdict) -> [(&'static str, String); 7] {
    let word = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        ("type", word(&verdict.kind.value)),
        ("direction", word(&verdict.direction.value)),
        ("destination", word(&verdict.destination.value)),
        ("category", word(&verdict.category.value)),
        ("severity", word(&verdict.severity.value)),
        ("triage", verdict.triage.to_string()),
        ("why_not", format!("{:?}", verdict.why_not)),
    ]
}

/// Rewrites all messages, prints how many keep their verdict, and asserts the least share in percent and that at least
/// `applies` messages could be rewritten so.
fn holds(
    what: &str,
    applies: usize,
    percent: usize,
    change: impl Fn(&Sample) -> Option<Vec<u8>> + Sync,
) {
    let half = SAMPLES.len().div_ceil(2);
    let change = &change;
    let results: Vec<Option<Vec<String>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = SAMPLES
            .chunks(half)
            .map(|samples| {
                scope.spawn(move || {
                    samples
                        .iter()
                        .map(|sample| {
                            let raw = change(sample).filter(|raw| *raw != sample.raw)?;
                            Some(differences(sample, &raw))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let rewritten = results.iter().flatten().count();
    let same = results
        .iter()
        .flatten()
        .filter(|list| list.is_empty())
        .count();
    println!(
        "{what}: {same} of {rewritten} keep their verdict ({:.1} %)",
        same as f64 * 100.0 / rewritten.max(1) as f64
    );
    for (sample, differences) in SAMPLES.iter().zip(&results) {
        if let Some(differences) = differences
            && !differences.is_empty()
        {
            println!("    {}: {}", sample.name, differences.join("\n        "));
        }
    }
    assert!(
        rewritten >= applies,
        "{what}: only {rewritten} messages could be rewritten"
    );
    assert!(
        same * 100 >= rewritten * percent,
        "{what}: {same} of {rewritten} keep their verdict, less than {percent} %"
    );
}

/// What is different in the verdict of a rewritten message, and which rules speak for only one of the two.
fn differences(sample: &Sample, raw: &[u8]) -> Vec<String> {
    let verdict = classify(&parse(raw, &Limits::default()).unwrap());
    let changed: Vec<String> = outcome(&sample.verdict)
        .into_iter()
        .zip(outcome(&verdict))
        .filter(|(before, after)| before != after)
        .map(|((facet, before), (_, after))| format!("{facet} {before} → {after}"))
        .collect();
    if changed.is_empty() {
        return changed;
    }
    let spoke = |verdict: &Verdict| -> BTreeSet<String> {
        let one = |item: &Evidence| {
            let (rule, zone, term) = (&item.rule, item.zone, &item.term);
            let term: String = term.chars().take(60).collect();
            format!("{rule} ({zone:?}, «{term}», {})", item.strength)
        };
        verdict.because.iter().map(one).collect()
    };
    let (before, after) = (spoke(&sample.verdict), spoke(&verdict));
    let lost = before.difference(&after).map(|rule| format!("- {rule}"));
    let new = after.difference(&before).map(|rule| format!("+ {rule}"));
    vec![changed.join(", ")]
        .into_iter()
        .chain(lost)
        .chain(new)
        .collect()
}

/// Text that a declared charset does not fit is decoded by guessing; another library may guess otherwise.
fn is_clean(sample: &Sample) -> bool {
    ![Defect::Charset, Defect::Malformed]
        .iter()
        .any(|defect| sample.message.defects.contains(defect))
}

/// The message with the plain text changed, as UTF-8.
fn plain(sample: &Sample, text: impl Fn(&Part) -> Option<String>) -> Option<Vec<u8>> {
    if !is_clean(sample) {
        return None;
    }
    rewrite(&sample.raw, Charset::Utf8, Encoding::Base64, |part| {
        text(part).filter(|text| !part.html && *text != part.text)
    })
}

#[test]
fn another_transfer_encoding_changes_nothing() {
    for (what, charset, encoding, applies) in [
        ("utf-8, 8bit", Charset::Utf8, Encoding::EightBit, 200),
        (
            "utf-8, quoted-printable",
            Charset::Utf8,
            Encoding::QuotedPrintable,
            200,
        ),
        ("utf-8, base64", Charset::Utf8, Encoding::Base64, 200),
        (
            "windows-1252, 8bit",
            Charset::Windows1252,
            Encoding::EightBit,
            180,
        ),
        (
            "windows-1252, quoted-printable",
            Charset::Windows1252,
            Encoding::QuotedPrintable,
            180,
        ),
        (
            "windows-1252, base64",
            Charset::Windows1252,
            Encoding::Base64,
            180,
        ),
    ] {
        holds(what, applies, 100, |sample| {
            if !is_clean(sample) {
                return None;
            }
            rewrite(&sample.raw, charset, encoding, |part| {
                Some(part.text.clone())
            })
        });
    }
}

#[test]
fn other_line_ends_change_nothing() {
    // The samples lie on disk with CRLF or with LF; each is read with the other, and with a mixture.
    for (what, odd, even) in [
        ("line ends LF", "\n", "\n"),
        ("line ends CRLF", "\r\n", "\r\n"),
        ("line ends CRLF and LF by turns", "\r\n", "\n"),
    ] {
        let applies = usize::from(odd != even) * 200;
        holds(what, applies, 100, |sample| {
            Some(mime::line_ends(
                &sample.raw,
                odd.as_bytes(),
                even.as_bytes(),
            ))
        });
    }
}

#[test]
fn decomposed_letters_change_nothing() {
    holds("NFD in text and subject", 200, 100, |sample| {
        if !is_clean(sample) {
            return None;
        }
        let raw = rewrite(&sample.raw, Charset::Utf8, Encoding::Base64, |part| {
            Some(part.text.nfd().collect())
        })?;
        Some(with_subject(&raw, |subject| subject.nfd().collect()))
    });
}

#[test]
fn an_html_alternative_changes_nothing() {
    holds("HTML alternative added", 150, 100, |sample| {
        as_multipart(sample, true)
    });
}

#[test]
fn html_alone_changes_nothing() {
    holds("HTML instead of plain text", 150, 97, |sample| {
        as_multipart(sample, false)
    });
}

#[test]
fn other_line_breaks_change_nothing() {
    for columns in [40, 60, 72] {
        let what = format!("running text wrapped at {columns} columns");
        holds(&what, 150, 100, |sample| {
            plain(sample, |part| {
                (!part.flowed).then(|| words::wrapped(&part.text, columns))
            })
        });
    }
    // Few samples are wrapped.
    holds("running text on one line a paragraph", 5, 100, |sample| {
        plain(sample, |part| {
            (!part.flowed).then(|| words::joined(&part.text))
        })
    });
}

#[test]
fn capitals_change_little() {
    holds("TEXT IN CAPITALS", 150, 97, |sample| {
        plain(sample, |part| Some(part.text.to_uppercase()))
    });
}

#[test]
fn other_names_change_nothing() {
    let rules: Vec<&str> = FILES.values().map(String::as_str).collect();
    let names = words::Names::new(&rules.join("\n"));
    holds("other personal names", 140, 100, |sample| {
        let of_sender = sample.message.from.iter().map(|from| from.name.as_str());
        let texts = sample.message.texts.iter().map(|text| text.text.as_str());
        let names = names.with(of_sender, texts);
        let raw = plain(sample, |part| Some(names.replace(&part.text)));
        let raw = raw.unwrap_or_else(|| sample.raw.clone());
        Some(with_header(&raw, "From", |field| {
            match field.split_once('<') {
                Some((name, address)) => format!("{}<{address}", names.replace(name)),
                None => field.to_owned(),
            }
        }))
    });
}

#[test]
fn other_dates_change_nothing() {
    holds("other dates", 100, 100, |sample| {
        plain(sample, |part| Some(words::dates(&part.text)))
    });
}

const DISCLAIMERS: [&str; 3] = [
    "Denne e-posten og eventuelle vedlegg kan inneholde taushetsbelagte opplysninger og er bare ment for den den er sendt \
     til. Har du mottatt den ved en feil, ber vi deg varsle avsender og slette den.",
    "Denne e-posten kan innehalde teiepliktige opplysningar. Er du ikkje rett mottakar, ber vi deg melde frå til avsendaren og \
     slette meldinga og alle vedlegg.",
    "This e-mail and any attachments are confidential and intended solely for the addressee. If you have received it in error, \
     please notify the sender and delete it. Please consider the environment before printing.",
];

#[test]
fn a_disclaimer_changes_nothing() {
    for (what, disclaimer) in ["bokmål", "nynorsk", "English"].iter().zip(DISCLAIMERS) {
        holds(
            &format!("disclaimer in {what} appended"),
            150,
            98,
            |sample| {
                plain(sample, |part| {
                    Some(format!("{}\n\n{disclaimer}\n", part.text.trim_end()))
                })
            },
        );
    }
}

#[test]
fn a_signature_changes_nothing() {
    holds("signature of the sender appended", 100, 98, |sample| {
        let earlier = |zone| sample.message.zone(zone).next().is_some();
        let name = &sample.message.author()?.name;
        if earlier(Zone::Quoted) || earlier(Zone::Forwarded) || name.is_empty() {
            return None;
        }
        let title = match sample.verdict.direction.value.as_deref() {
            Some("fra-fastlege") => "Fastlege",
            Some("fra-kommune") => "Sykepleier",
            Some("fra-sykehus") => "Overlege",
            _ => "Rådgiver",
        };
        plain(sample, |part| {
            Some(format!(
                "{}\n\n-- \n{name}\n{title}\n",
                part.text.trim_end()
            ))
        })
    });
}

/// The message with one header field changed, when the field is plain ASCII.
fn with_header(raw: &[u8], name: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
    let message = mail_parser::MessageParser::default().parse(raw).unwrap();
    let end = message.parts[0].offset_body as usize;
    let mut out = Vec::new();
    for field in mime::fields(&raw[..end]) {
        if mime::is_field(&field, name) && field.is_ascii() && !field.windows(2).any(|w| w == b"=?")
        {
            out.extend(change(std::str::from_utf8(&field).unwrap()).into_bytes());
        } else {
            out.extend(field);
        }
    }
    out.extend(&raw[end..]);
    out
}

/// The message with another subject, written as encoded words.
fn with_subject(raw: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let message = mail_parser::MessageParser::default().parse(raw).unwrap();
    let end = message.parts[0].offset_body as usize;
    let mut out = Vec::new();
    for field in mime::fields(&raw[..end]) {
        match message.subject() {
            Some(subject) if mime::is_field(&field, "Subject") => {
                let words = mime::encoded_words(&change(subject));
                out.extend(format!("Subject: {words}\n").into_bytes());
            }
            _ => out.extend(field),
        }
    }
    out.extend(&raw[end..]);
    out
}

/// A mail that is one plain text, with its text as HTML too, or as HTML alone.
fn as_multipart(sample: &Sample, keep_plain: bool) -> Option<Vec<u8>> {
    let parts = mime::parts(&sample.raw);
    let [part] = parts.as_slice() else {
        return None;
    };
    if part.html || part.flowed || !part.alone || !is_clean(sample) {
        return None;
    }
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let paragraphs: Vec<String> = part
        .text
        .trim_end()
        .split("\n\n")
        .map(|paragraph| format!("<p>{}</p>", escape(paragraph).replace('\n', "<br>\n")))
        .collect();
    let html = format!(
        "<html><head><meta charset=\"utf-8\"></head><body>\n{}\n</body></html>\n",
        paragraphs.join("\n")
    );
    let message = mail_parser::MessageParser::default().parse(&sample.raw)?;
    let end = message.parts[0].offset_body as usize;
    let mut out = Vec::new();
    for field in mime::fields(&sample.raw[..end]) {
        let replaced = ["Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
            .iter()
            .any(|name| mime::is_field(&field, name));
        if !replaced && !field.trim_ascii().is_empty() {
            out.extend(field);
        }
    }
    let encoded = |kind: &str, text: &str| {
        format!(
            "Content-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{}",
            mime::base64_lines(text.as_bytes())
        )
    };
    out.extend(b"MIME-Version: 1.0\n");
    if keep_plain {
        let boundary = "grense-mellom-deler";
        let body = format!(
            "Content-Type: multipart/alternative; boundary=\"{boundary}\"\n\n--{boundary}\n{}\n--{boundary}\n{}\n--{boundary}--\n",
            encoded("plain", &part.text),
            encoded("html", &html)
        );
        out.extend(body.into_bytes());
    } else {
        out.extend(encoded("html", &html).into_bytes());
    }
    Some(out)
}
