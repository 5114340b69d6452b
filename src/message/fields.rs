//! Named fields of forms («Konsekvens: …») in text → label and value.
//!
//! Report forms of kommuner and hospitals repeat a few labels; only those are taken, so that «Hei:» or a header block is no
//! field. A value stands behind its label, or below it until the next label or empty line.

use super::zones::compile;
use regex::Regex;
use std::sync::LazyLock;

/// At most this many fields are read.
const FIELDS_MAX: usize = 100;

/// The fields of the texts, in order.
pub(crate) fn find<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for text in texts {
        let mut open = false;
        for line in text.lines() {
            let line = line.trim();
            if let Some((name, value)) = field(line) {
                if found.len() >= FIELDS_MAX {
                    return kept(found);
                }
                found.push((name.to_owned(), value.to_owned()));
                open = true;
            } else if line.is_empty() || line.ends_with(':') {
                // One empty line may stand between a label and the value below it.
                open = open
                    && found.last().is_some_and(|(_, value)| value.is_empty())
                    && line.is_empty();
            } else if open && let Some((_, value)) = found.last_mut() {
                if !value.is_empty() {
                    value.push('\n');
                }
                value.push_str(line);
            }
        }
    }
    kept(found)
}

fn kept(found: Vec<(String, String)>) -> Vec<(String, String)> {
    found
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once([':', '?'])?;
    let name = name
        .trim()
        .trim_matches(['*', '#', '-', '•', ' '])
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | ' '));
    LABEL
        .is_match(name)
        .then_some((name, value.trim().trim_start_matches([':', '*', ' '])))
}

static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?ix)^(?:
            tittel | sak(?:en)?\ gjelder | gjelder | avviket\ gjelder | hva\ gjelder\ (?:saken|avviket) | type(?:\ (?:avvik|sak|hendelse|melding))? | sakstype | meldingstype
            | kategori(?:\ avvik)? | tema | område | konsekvens(?:er|en|ar)?(?:\ for\ (?:pasient(?:en)?|brukar(?:en)?|bruker(?:en)?))? | alvorlighet(?:sgrad)? | alvorsgrad | skade(?:grad)?
            | hendelse(?:n|sbeskrivelse)? | beskrivelse(?:\ av\ (?:hendelsen|avviket|saken))? | skildring(?:\ av\ .{2,20})? | hva\ (?:har\ )?skjedd?e? | kva\ (?:har\ )?skjedd?e?
            | årsak(?:er)? | mulig\ årsak | (?:strakstiltak|iverksatte\ tiltak|tiltak|forslag(?:\ til\ (?:tiltak|forbedring))?|framlegg)
            | avvik\ (?:mot|rettet\ mot|hos|fra|meldes\ til) | meldes\ til | adressat | ansvarlig(?:\ (?:enhet|part))? | mottaker(?:\ av\ avviket)?
           
            | enhet | eining | avdeling(?:/post)? | post | seksjon | klinikk | sted | stad | kommune | virksomhet | verksemd | institusjon
            | (?:dato|tidspunkt)(?:\ (?:for|og\ tid\ for)\ (?:hendelsen|avviket|hendinga))? | hendelsesdato
            | vår\ ref(?:eranse|\.)? | deres\ ref(?:eranse|\.)? | referanse | saksnummer | saksnr\.? | fakturanr\.? | fakturanummer
        )$",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let text = "Hei: dette er ikke noe felt\n\nTittel: Epikrise mangler\nKonsekvens: Ingen\nnye timer\n\n1. Hva skjedde?\n\nPasienten kom hjem.\nUten liste.\n\nTiltak:\n\nMvh\nFra: Kari\n".to_owned();
        let got = find([&text].into_iter());
        let got: Vec<(&str, &str)> = got
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            got,
            [
                ("Tittel", "Epikrise mangler"),
                ("Konsekvens", "Ingen\nnye timer"),
                ("Hva skjedde", "Pasienten kom hjem.\nUten liste."),
                ("Tiltak", "Mvh\nFra: Kari")
            ]
        );
    }
}
