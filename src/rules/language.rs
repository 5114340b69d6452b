//! The language to answer in, and the reporter's own reference.

use std::sync::LazyLock;

use regex::Regex;

use super::directory::Directory;
use super::fold::{Words, fold_text};
use super::trie::Trie;
use super::view::View;
use super::{Language, Reporter};
use crate::message::{Zone, identity_numbers};

/// Words that only nynorsk has, folded.
const NYNORSK: [&str; 36] = [
    "ikkje",
    "eg",
    "me",
    "dykk",
    "dykkar",
    "fraa",
    "ein",
    "eit",
    "hjaa",
    "noko",
    "nokon",
    "nokre",
    "korleis",
    "kvifor",
    "kva",
    "kven",
    "korkje",
    "berre",
    "meir",
    "vore",
    "vart",
    "vert",
    "heim",
    "heime",
    "sjukeheim",
    "sjukeheimen",
    "sjukehuset",
    "heimetenesta",
    "tenesta",
    "ynskjer",
    "skriven",
    "helsing",
    "venleg",
    "gjekk",
    "fekk",
    "sjoelv",
];

/// Words that only bokmål has, folded.
const BOKMAL: [&str; 36] = [
    "ikke",
    "jeg",
    "dere",
    "deres",
    "fra",
    "en",
    "et",
    "hos",
    "noe",
    "noen",
    "hvordan",
    "hvorfor",
    "hva",
    "hvem",
    "verken",
    "bare",
    "mer",
    "vaert",
    "ble",
    "blir",
    "hjem",
    "hjemme",
    "sykehjem",
    "sykehjemmet",
    "sykehuset",
    "hjemmetjenesten",
    "tjenesten",
    "oensker",
    "skrevet",
    "hilsen",
    "vennlig",
    "gikk",
    "fikk",
    "selv",
    "hun",
    "uten",
];

/// The words of both, those of nynorsk first.
static MARKERS: LazyLock<Trie> =
    LazyLock::new(|| Trie::new(NYNORSK.iter().chain(&BOKMAL).map(|word| word.as_bytes())));

/// The language that alone has the folded word.
fn language_of(word: &str) -> Option<Language> {
    let marker = usize::try_from(MARKERS.find(word.as_bytes())?).ok()?;
    Some(if marker < NYNORSK.len() {
        Language::Nynorsk
    } else {
        Language::Bokmal
    })
}

/// The party's målform, else that of what the sender wrote: nynorsk when it has more words that only nynorsk has.
pub(super) fn of(directory: &Directory, reporter: &Reporter, texts: &[Read<'_>]) -> Language {
    let party = reporter.party.as_deref().and_then(|id| directory.party(id));
    if let Some(language) = party.and_then(|party| party.language) {
        return language;
    }
    let mut nynorsk = 0_usize;
    let mut bokmal = 0_usize;
    for (_, words) in texts.iter().filter(|(zone, _)| is_senders(*zone)) {
        for word in words.iter() {
            match language_of(word) {
                Some(Language::Nynorsk) => nynorsk = nynorsk.saturating_add(1),
                Some(Language::Bokmal) => bokmal = bokmal.saturating_add(1),
                None => {}
            }
        }
    }
    if nynorsk > bokmal {
        Language::Nynorsk
    } else {
        Language::Bokmal
    }
}

static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // On folded text: «vår ref. 2026/188», «vår referanse: 24/1187», «vårt saksnr 26/41», «vår sak: KV-2026-11».
    Regex::new(
        r"\bvaar?t?\s+(?:ref(?:eranse)?|sak(?:snr|snummer|sref|sreferanse)?|avviks?(?:nr|nummer)|journalnr|id)(?:\s*(?:nr|nummer))?\s*[.:]*\s*(?:nr\.?\s*)?([a-z0-9][a-z0-9./_-]{1,30})",
    )
    .ok()
});

/// The zone and the words of a text.
pub(super) type Read<'a> = (Zone, &'a Words);

/// Zones that the sender wrote or handed on.
const fn is_senders(zone: Zone) -> bool {
    matches!(
        zone,
        Zone::Subject | Zone::New | Zone::Forwarded | Zone::Attachment
    )
}

/// The reporter's own case reference, where it says «vår»: from the subject, the new or the handed-on text. `texts` are the
/// words of the views.
pub(super) fn reference(views: &[View<'_>], texts: &[Read<'_>]) -> Option<String> {
    let regex = REFERENCE.as_ref()?;
    for (view, (zone, words)) in views.iter().zip(texts) {
        // Few mails say «vår»; only those are looked at closely.
        let ours = |word: &str| matches!(word, "vaa" | "vaar" | "vaat" | "vaart");
        if !is_senders(*zone) || !words.iter().any(ours) {
            continue;
        }
        // Some write the patient's identity number where their own number should stand; the acknowledgement would repeat it.
        let text = identity_numbers::mask(&view.text);
        let (folded, places) = fold_text(&text);
        for found in regex
            .captures_iter(&folded)
            .filter_map(|captures| captures.get(1))
        {
            let word = found.as_str().trim_end_matches(['.', '-', '/', '_']);
            if !word.bytes().any(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let place = |at: usize| {
                places
                    .get(at)
                    .and_then(|place| usize::try_from(*place).ok())
            };
            let last = found.start().saturating_add(word.len()).saturating_sub(1);
            let (Some(from), Some(to)) = (place(found.start()), place(last)) else {
                continue;
            };
            // The folded word may hold «aa» for «å»; what the sender wrote is cut out of the text itself.
            let rest = text.get(from..)?;
            let end = rest
                .char_indices()
                .find(|(at, _)| from.saturating_add(*at) > to)
                .map_or(rest.len(), |(at, _)| at);
            return rest.get(..end).map(str::to_owned);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::fold::{ClauseBreaks, tokenise};
    use super::*;

    fn views(text: &str) -> [View<'_>; 1] {
        [View {
            zone: Zone::New,
            field: None,
            text: Cow::Borrowed(text),
            signature: text.len(),
        }]
    }

    #[test]
    fn references_are_theirs_only_with_var() {
        for (text, expected) in [
            ("Samhandlingsavvik - vår ref. 2026/188", Some("2026/188")),
            ("vår sak 24/1187.", Some("24/1187")),
            ("Vår referanse: KV-2026-11, se vedlegg", Some("KV-2026-11")),
            ("VÅRT SAKSNR: 26/0041", Some("26/0041")),
            ("deres ref. 2026/188", None),
            ("vår sak er at dere", None),
            ("dykkar sak 24/1", None),
            ("Vår ref: 15067610072", None),
            ("Vår ref: 150676 10072 / vår sak 26/41", Some("26/41")),
        ] {
            let tokens = tokenise(text, &ClauseBreaks::default());
            let found = reference(&views(text), &[(Zone::New, &tokens)]);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn language_by_marker_words() {
        let directory = Directory::default();
        for (text, expected) in [
            ("Eg har ikkje fått noko frå dykk", Language::Nynorsk),
            ("Jeg har ikke fått noe fra dere", Language::Bokmal),
            ("", Language::Bokmal),
            ("EG HAR IKKJE FÅTT EPIKRISE", Language::Nynorsk),
        ] {
            let tokens = tokenise(text, &ClauseBreaks::default());
            let found = of(&directory, &Reporter::default(), &[(Zone::New, &tokens)]);
            assert_eq!(found, expected, "{text}");
        }
    }
}
