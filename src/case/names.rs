//! Norwegian names of the vocabulary's ids, and which ids there are.

use crate::rules::Language;

/// Types: id, name, whether an answer is expected within 30 days.
pub const TYPES: [(&str, &str, bool); 7] = [
    ("avvik", "Samhandlingsavvik", true),
    ("forbedring", "Forbedringsforslag", true),
    ("faktura", "Fakturainnsigelse", true),
    ("orientering", "Til orientering", false),
    ("ros", "Positiv tilbakemelding", false),
    ("svar", "Svar i sak", false),
    ("ikke-avvik", "Annen post", false),
];

/// Directions: id, name.
pub const DIRECTIONS: [(&str, &str); 4] = [
    ("fra-fastlege", "Fra fastlege"),
    ("fra-kommune", "Fra kommune"),
    ("fra-sykehus", "Fra sykehus"),
    ("ukjent", "Ukjent"),
];

/// The nine categories of the annual report: id, name.
pub const CATEGORIES: [(&str, &str); 9] = [
    (
        "meldingsutveksling",
        "Rutiner for meldingsutveksling ikke fulgt / manglende dialog",
    ),
    (
        "informasjon",
        "Mangelfull, manglende eller feil i informasjon",
    ),
    (
        "utstyr-legemidler",
        "Manglende utstyr, medikamenter, resepter, hjelpemidler",
    ),
    ("dialog-innleggelse", "Dialog under innleggelse"),
    (
        "manglende-tilbud",
        "Ikke etablert tilbud til utskrivningsklar pasient",
    ),
    (
        "utskrivningsklar",
        "Kriterier for utskrivningsklar pasient ikke oppfylt",
    ),
    ("transport", "Pasienttransport"),
    ("feilsending", "Feilsendinger av elektroniske meldinger"),
    ("annet", "Annet / forbedringsforslag"),
];

/// Severities: id, name.
pub const SEVERITIES: [(&str, &str); 4] = [
    ("betydelig", "Betydelig"),
    ("moderat", "Moderat"),
    ("mindre", "Mindre"),
    ("ukjent", "Ukjent"),
];

/// Name of a type; the id itself when there is no such type.
pub fn type_name(id: &str) -> &str {
    TYPES
        .iter()
        .find(|(key, ..)| *key == id)
        .map_or(id, |(_, name, _)| name)
}

/// Name of a type in the language of a mail.
pub fn type_name_in(id: &str, language: Language) -> &str {
    match (language, id) {
        (Language::Nynorsk, "forbedring") => "Forbetringsforslag",
        (Language::Nynorsk, "faktura") => "Innvending mot faktura",
        _ => type_name(id),
    }
}

/// Norwegian name of a reason (a `why_not` id); the id itself when there is no such reason.
pub fn reason_name(id: &str) -> &str {
    match id {
        "auto-submitted" => "automatisk e-post",
        "list" => "sendt gjennom en e-postliste",
        "bounce" => "e-post som kom i retur",
        "receipt" => "kvittering fra et annet system",
        "no-reply" => "avsender som ikke tar imot svar",
        "own-address" => "fra vår egen adresse",
        "suppressed" => "avsenderen har bedt om ikke å få automatisk svar",
        "no-address" => "ingen adresse å svare til",
        "uncertain-type" => "usikkert om det er en melding om avvik",
        "unauthenticated" => {
            "avsenderen er ikke bekreftet, eller meldingen er merket som søppelpost"
        }
        "ikke-avvik" => "annen post",
        "svar" => "svar uten kjent sak",
        "unreadable" => "kan ikke leses",
        "too-old" => "for gammel da den kom inn",
        "joined" => "hører til en sak",
        other => other,
    }
}

/// Whether the type expects an answer within 30 days.
pub fn expects_answer(id: &str) -> bool {
    TYPES.iter().any(|(key, _, expects)| *key == id && *expects)
}

/// Name of a direction, category or severity; the id itself when there is none.
pub fn facet_name(id: &str) -> &str {
    DIRECTIONS
        .iter()
        .chain(&CATEGORIES)
        .chain(&SEVERITIES)
        .find(|(key, _)| *key == id)
        .map_or(id, |(_, name)| name)
}
/// Whether a reference is a number as offices give them («24/1187», «KV-2026-11»): more digits than letters, and no letters in a
/// row that could be a name. Only such a one is written back; the rest of a report's words never are.
pub fn is_number_like(reference: &str) -> bool {
    const LETTERS_MAX: usize = 3;
    let digits = reference.chars().filter(char::is_ascii_digit).count();
    let letters = reference.chars().filter(|c| c.is_alphabetic()).count();
    let longest = reference
        .split(|c: char| !c.is_alphabetic())
        .map(|run| run.chars().count())
        .max()
        .unwrap_or_default();
    digits > letters && longest <= LETTERS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_are_written_back() {
        for number in ["24/1187", "KV-2026-11", "2026-188", "26/0041", "AVV1234"] {
            assert!(is_number_like(number), "{number}");
        }
        for words in [
            "Hansen2",
            "kari.nordmann1950",
            "",
            "epikrise1",
            "1a",
            "Berg-1950",
        ] {
            assert!(!is_number_like(words), "{words}");
        }
    }
}
