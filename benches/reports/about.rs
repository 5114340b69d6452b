//! What the reports are about that the measurements send: a subject and a sentence, each about something else.

const ABOUT: [(&str, &str); 4] = [
    (
        "manglende epikrise",
        "Pasienten ble utskrevet fra lungeposten uten epikrise.",
    ),
    (
        "feil i medisinlisten",
        "Medisinlisten fra medisinsk avdeling stemmer ikke med det pasienten fikk.",
    ),
    (
        "henvisning avvist",
        "Henvisningen til nevrologisk poliklinikk ble avvist uten begrunnelse.",
    ),
    (
        "sen melding",
        "Melding om utskrivningsklar pasient kom først etter hjemreisen.",
    ),
];

/// Subject and sentence of the report with that number.
pub(crate) fn about(number: usize) -> (&'static str, &'static str) {
    ABOUT[number % ABOUT.len()]
}
