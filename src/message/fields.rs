//! Named fields of report forms («Konsekvens: …») in text.
//!
//! Report forms of kommuner and hospitals repeat a few labels in many wordings; only those are taken, so that «Hei:» or a
//! header block is no field. Each label belongs to a [`FieldName`]. A value stands behind its label, or below it until the
//! next label, empty line or closing; in a table beside it.

use super::{Message, Zone, identity_numbers, text};
use crate::expression::Expression;
use memchr::memchr2;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// At most this many fields are read.
const FIELDS_MAX: usize = 100;
/// Bytes of a label; a longer beginning of a line is none.
const LABEL_BYTES_MAX: usize = 80;
/// Bytes of a value that [`Message::form`] gives.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// A field of a report form. The ids stand in rule files (`fields = ["konsekvens"]`) and with cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldName {
    /// «Tittel».
    Tittel,
    /// «Saken gjelder», «Avviket gjelder».
    Gjelder,
    /// «Type hendelse», «Avvikstype».
    Type,
    /// «Kategori», «Tema», «Område».
    Kategori,
    /// «Melder», «Meldt av».
    Melder,
    /// «Avvik rettet mot», «Ansvarlig enhet».
    Mottaker,
    /// «Enhet», «Avdeling/post», «Kommune».
    Enhet,
    /// «Sted», «Hvor skjedde det?».
    Sted,
    /// «Dato for hendelsen», «Tidspunkt», «Når skjedde det?».
    Dato,
    /// «Meldt dato».
    MeldtDato,
    /// «Hendelsesforløp», «Beskrivelse», «Hva skjedde?».
    Hendelse,
    /// «Årsak», «Hvorfor skjedde det?».
    Arsak,
    /// «Konsekvens», «Konsekvenser for pasienten».
    Konsekvens,
    /// «Alvorlighetsgrad».
    Alvorlighet,
    /// «Strakstiltak», «Iverksatte tiltak», «Hva er gjort?».
    Tiltak,
    /// «Forslag til tiltak», «Forbedringsforslag».
    Forslag,
    /// «Vår ref.», «Saksnummer».
    Referanse,
}

impl FieldName {
    /// All, in the order in which a form is read.
    pub const ALL: [Self; 17] = [
        Self::Tittel,
        Self::Gjelder,
        Self::Type,
        Self::Kategori,
        Self::Melder,
        Self::Mottaker,
        Self::Enhet,
        Self::Sted,
        Self::Dato,
        Self::MeldtDato,
        Self::Hendelse,
        Self::Arsak,
        Self::Konsekvens,
        Self::Alvorlighet,
        Self::Tiltak,
        Self::Forslag,
        Self::Referanse,
    ];

    /// Stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Tittel => "tittel",
            Self::Gjelder => "gjelder",
            Self::Type => "type",
            Self::Kategori => "kategori",
            Self::Melder => "melder",
            Self::Mottaker => "mottaker",
            Self::Enhet => "enhet",
            Self::Sted => "sted",
            Self::Dato => "dato",
            Self::MeldtDato => "meldt-dato",
            Self::Hendelse => "hendelse",
            Self::Arsak => "arsak",
            Self::Konsekvens => "konsekvens",
            Self::Alvorlighet => "alvorlighet",
            Self::Tiltak => "tiltak",
            Self::Forslag => "forslag",
            Self::Referanse => "referanse",
        }
    }

    /// The field with that id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.id() == id)
    }

    /// What people see.
    pub const fn navn(self) -> &'static str {
        match self {
            Self::Tittel => "Tittel",
            Self::Gjelder => "Gjelder",
            Self::Type => "Type",
            Self::Kategori => "Kategori",
            Self::Melder => "Melder",
            Self::Mottaker => "Mottaker",
            Self::Enhet => "Enhet",
            Self::Sted => "Sted",
            Self::Dato => "Dato",
            Self::MeldtDato => "Meldt dato",
            Self::Hendelse => "Hendelse",
            Self::Arsak => "Årsak",
            Self::Konsekvens => "Konsekvens",
            Self::Alvorlighet => "Alvorlighet",
            Self::Tiltak => "Tiltak",
            Self::Forslag => "Forslag",
            Self::Referanse => "Referanse",
        }
    }

    /// The field that a label of a form means, as in [`super::ZoneText::label`] of [`Zone::Field`].
    pub fn of_label(label: &str) -> Option<Self> {
        if label.len() > LABEL_BYTES_MAX {
            return None;
        }
        Self::ALL.get(LABELS.which(label)?).copied()
    }

    /// The wordings of its label.
    const fn wordings(self) -> &'static str {
        match self {
            Self::Tittel => "tittel | overskrift",
            Self::Gjelder => {
                r"(?:sak(?:en|a)?\ |avviket\ |meldinga?\ |meldingen\ )?gjelder | (?:saka\ |avviket\ )?gjeld | (?:hva|kva)\ gjelder?\ (?:saken|saka|avviket)"
            }
            Self::Type => {
                r"type(?:\ (?:avvik|sak|hendelse|hending|melding))? | (?:avviks?|hendelses|hendings|saks|meldings)type"
            }
            Self::Kategori => r"(?:avviks)?kategori(?:\ avvik)? | tema | (?:problem)?område",
            Self::Melder => {
                r"melder(?:s\ navn|en)? | meldar(?:en)? | innmelder | (?:inn)?meldt?\ av | (?:avviket\ )?(?:rapportert|registrert)\ av | navn\ på\ melder | avvik\ fra"
            }
            Self::Mottaker => {
                r"avvik(?:et)?\ (?:mot|(?:er\ )?rettet\ mot|hos|(?:meldes|sendes)\ til) | meldes\ til | adressat | ansvarlig(?:\ (?:enhet|part))? | mottaker(?:\ av\ (?:avviket|meldingen))?"
            }
            Self::Enhet => {
                r"enhet | eining | avdeling(?:\ ?/\ ?post)? | post | seksjon | klinikk | kommune | virksomhet | verksemd | institusjon"
            }
            Self::Sted => {
                r"sted(?:et)? | stad(?:en)? | hendelsessted | hendingsstad | (?:sted|stad)(?:et)?\ for\ (?:hendelsen?|avviket|hendinga) | (?:hvor|kvar)\ (?:skjedde|oppstod?|hendte|hende)\ (?:det|hendelsen|hendinga|avviket)"
            }
            Self::Dato => {
                r"(?:dato|tidspunkt)(?:(?:\ og\ |\ ?/\ ?)(?:tid|tidspunkt|klokkeslett))?(?:\ for\ (?:hendelsen?|avviket|hendinga?))? | hendelses(?:dato|tidspunkt) | hendingsdato | (?:når|kva\ tid)\ (?:skjedde|oppstod?|hendte|hende)\ (?:det|hendelsen|hendinga|avviket)"
            }
            Self::MeldtDato => {
                r"(?:inn)?melde?t?dato | (?:(?:inn)?meldt|rapportert|registrert)\ dato | dato\ (?:meldt|registrert|for\ (?:inn)?melding(?:en)?|for\ (?:registrering|rapportering))"
            }
            Self::Hendelse => {
                r"hendelse(?:n|sbeskrivelse|sforløp(?:et)?)? | hending(?:a|sforløp(?:et)?)? | (?:kort\ )?beskrivelse(?:\ av\ (?:hendelsen|avviket|saken|hendelsesforløpet))? | skildring(?:\ av\ .{2,20})? | (?:hva|kva)\ (?:har\ )?skjedd?e? | beskriv\ (?:hendelsen|avviket) | saksfremstilling"
            }
            Self::Arsak => {
                r"(?:(?:mulige?|antatte?|bakenforliggende)\ )?årsak(?:er|en|a)?(?:\ til\ (?:hendelsen|hendinga|avviket))? | (?:hvorfor|kvifor)\ skjedde\ det"
            }
            Self::Konsekvens => {
                r"konsekvens(?:er|en|ar)?(?:\ (?:for\ (?:pasient(?:en)?|brukar(?:en)?|bruker(?:en)?)|av\ (?:hendelsen|hendinga|avviket)))? | (?:faktisk|mulig)e?\ konsekvens(?:er)?"
            }
            Self::Alvorlighet => {
                r"alvorlighet(?:sgrad)? | alvorleg(?:heit)?s?(?:grad)? | alvorsgrad | skade(?:grad)? | konsekvensgrad"
            }
            Self::Tiltak => {
                r"(?:straks?|umiddelbare\ |iverksatte\ |gjennomførte\ )?tiltak(?:\ (?:iverksatt|gjort|som\ er\ (?:iverksatt|satt\ i\ verk)))? | (?:hva|kva)\ (?:er|ble|vart)\ gjort"
            }
            Self::Forslag => {
                r"forslag(?:\ til\ (?:tiltak|forbedring(?:er)?|løsning))? | framlegg(?:\ til\ (?:tiltak|betring))? | (?:forbedrings|tiltaks)forslag"
            }
            Self::Referanse => {
                r"(?:vår|deres)\ ref(?:eranse|\.)? | referanse | saksnummer | saksnr\.? | fakturanr\.? | fakturanummer"
            }
        }
    }
}

/// A field that was filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormField {
    /// Which.
    pub name: FieldName,
    /// What the sender wrote there, identity numbers masked.
    pub value: String,
}

impl Message {
    /// The fields of the forms in it that were filled in, in the order of [`FieldName::ALL`]. Where one stands more than
    /// once, the first; for the date one that says «for hendelsen» before a mere «Dato».
    pub fn form(&self) -> Vec<FormField> {
        let mut found: BTreeMap<FieldName, (bool, &str)> = BTreeMap::new();
        for field in self.zone(Zone::Field) {
            let Some(name) = FieldName::of_label(&field.label) else {
                continue;
            };
            if is_unfilled(&field.text) {
                continue;
            }
            let vague = name == FieldName::Dato && is_vague_date(&field.label);
            let known = found.get(&name);
            if known.is_none_or(|(was_vague, _)| *was_vague && !vague) {
                found.insert(name, (vague, &field.text));
            }
        }
        found
            .into_iter()
            .map(|(name, (_, value))| {
                let mut value = identity_numbers::mask(value.trim());
                text::truncate(&mut value, VALUE_BYTES_MAX);
                FormField { name, value }
            })
            .collect()
    }
}

/// «Dato» and «Tidspunkt» may also be the day on which the form was written.
fn is_vague_date(label: &str) -> bool {
    let label = label.to_lowercase();
    !label.contains(' ') && (label.starts_with("dato") || label.starts_with("tidspunkt"))
}

/// Whether the sender left the field as it was.
fn is_unfilled(value: &str) -> bool {
    const EMPTY: [&str; 12] = [
        "",
        "ikke fylt ut",
        "ikke utfylt",
        "ikkje fylt ut",
        "ikkje utfylt",
        "ikke oppgitt",
        "ikkje oppgitt",
        "ikke besvart",
        "ikke aktuelt",
        "ikke vurdert",
        "ikkje vurdert",
        "n/a",
    ];
    let bare = value
        .trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase();
    EMPTY.contains(&bare.as_str())
}

/// The fields of the texts as (label, value), in order.
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
            } else if open && (CLOSING.is_match(line) || is_heading(line)) {
                open = false;
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

/// Label and value of a line; the value is empty when it stands below.
fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_matches(['|', ' ']);
    if let Some(found) =
        split_at(line, [b':', b'?']).and_then(|(name, value)| labelled(name, value))
    {
        return Some(found);
    }
    // Beside its label in a table, which needs no colon.
    let (name, value) = split_at(line, CELL)?;
    labelled(name, value).filter(|(_, value)| !value.is_empty() && !is_heading(line))
}

/// What parts the cells of a table.
const CELL: [u8; 2] = [b'\t', b'|'];

/// What stands before and after the first of two ASCII signs. Each line is searched for some that few lines have.
fn split_at(line: &str, [one, other]: [u8; 2]) -> Option<(&str, &str)> {
    let (before, rest) = line.split_at_checked(memchr2(one, other, line.as_bytes())?)?;
    Some((before, rest.get(1..)?))
}

/// Whether labels stand beside each other above the columns of a table.
fn is_heading(line: &str) -> bool {
    split_at(line, CELL).is_some_and(|(name, rest)| {
        let second = split_at(rest, CELL).map_or(rest, |(second, _)| second);
        labelled(name, "").is_some() && labelled(second, "").is_some()
    })
}

fn labelled<'a>(name: &'a str, value: &'a str) -> Option<(&'a str, &'a str)> {
    let name = name
        .trim()
        .trim_matches(['*', '#', '-', '•', '_', ' '])
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | ' '));
    // «Konsekvens (for pasienten)», «Alvorlighetsgrad (sett kryss)»
    let name = match name
        .strip_suffix(')')
        .and_then(|name| name.rsplit_once('('))
    {
        Some((before, _)) => before.trim_end(),
        None => name,
    };
    FieldName::of_label(name)?;
    Some((
        name,
        value
            .trim()
            .trim_start_matches([':', '*', '|', '\t', ' '])
            .trim_end_matches(['*', ' ']),
    ))
}

/// The labels of each field, in the order of [`FieldName::ALL`].
static LABELS: LazyLock<Expression> = LazyLock::new(|| {
    let labels = FieldName::ALL.map(|name| format!("(?ix)^(?:{})$", name.wordings()));
    Expression::constants(&labels)
});

/// The line that ends a form above a signature.
static CLOSING: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)^(?:mvh|vh|(?:(?:med\ )?(?:vennlig|venleg|venlig|beste)\ |med\ )?(?:hilsen|helsing)|--)(?:[\s,.!].{0,60})?$",
    )
});

#[cfg(test)]
mod tests {
    use super::super::ZoneText;
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        find([&text.to_owned()].into_iter())
    }

    fn form(text: &str) -> Vec<(&'static str, String)> {
        let message = Message {
            texts: pairs(text)
                .into_iter()
                .map(|(label, text)| ZoneText {
                    zone: Zone::Field,
                    label,
                    text,
                })
                .collect(),
            ..Message::default()
        };
        let form = message.form();
        form.into_iter()
            .map(|field| (field.name.id(), field.value))
            .collect()
    }

    #[test]
    fn forms_are_read() {
        let text = "Hei: dette er ikke noe felt\n\nTittel: Epikrise mangler\nKonsekvens: Ingen\nnye timer\n\n1. Hva skjedde?\n\nPasienten kom hjem.\nUten liste.\n\nTiltak:\n\nMvh\nFra: Kari\n";
        let got = pairs(text);
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
            ],
            "a closing is no value"
        );
    }

    #[test]
    fn every_label_means_one_field() {
        for (label, id) in [
            ("Tittel", "tittel"),
            ("Avviket gjelder", "gjelder"),
            ("Saka gjeld", "gjelder"),
            ("Avvikstype", "type"),
            ("Problemområde", "kategori"),
            ("Melder", "melder"),
            ("Meldt av", "melder"),
            ("Avvik rettet mot", "mottaker"),
            ("AVDELING/POST", "enhet"),
            ("Hvor skjedde hendelsen", "sted"),
            ("Sted for hendelsen", "sted"),
            ("Dato for hendelsen", "dato"),
            ("Dato/tid for avviket", "dato"),
            ("Når skjedde det", "dato"),
            ("Når hende det", "dato"),
            ("Meldt dato", "meldt-dato"),
            ("Dato for melding", "meldt-dato"),
            ("Hendelsesforløp", "hendelse"),
            ("Beskrivelse av avviket", "hendelse"),
            ("Mulig årsak", "arsak"),
            ("Konsekvenser for pasienten", "konsekvens"),
            ("Alvorlighetsgrad", "alvorlighet"),
            ("Alvorlegheitsgrad", "alvorlighet"),
            ("Strakstiltak", "tiltak"),
            ("Hva er gjort", "tiltak"),
            ("Forslag til tiltak", "forslag"),
            ("Vår ref.", "referanse"),
        ] {
            let name = FieldName::of_label(label).map(FieldName::id);
            assert_eq!(name, Some(id), "{label}");
        }
        for label in [
            "Hei",
            "Fra",
            "Til",
            "Emne",
            "Avsender",
            "Når kan dere svare",
            "Konsekvensen ble at hun",
            "Dato for utskrivning",
            "",
        ] {
            assert_eq!(FieldName::of_label(label), None, "{label}");
        }
        for name in FieldName::ALL {
            assert_eq!(FieldName::from_id(name.id()), Some(name));
            let json = serde_json::to_value(name).unwrap();
            assert_eq!(json, name.id(), "as in rule files");
        }
    }

    #[test]
    fn tables_marks_and_brackets() {
        let text = "| Konsekvens | Ny innleggelse |\nAlvorlighetsgrad (sett kryss): Moderat\n*Sted:* Slagenheten\nDato\tEnhet\n**Tiltak** : **Ringte posten**\n";
        assert_eq!(
            form(text),
            [
                ("sted", "Slagenheten".to_owned()),
                ("konsekvens", "Ny innleggelse".to_owned()),
                ("alvorlighet", "Moderat".to_owned()),
                ("tiltak", "Ringte posten".to_owned()),
            ]
        );
    }

    #[test]
    fn the_form_of_a_message() {
        let text = "Dato: 15.4.26\nMelder: Tove Kirkeng, 30896222208\nKonsekvens: ikke fylt ut\nAlvorlighetsgrad: -\nDato for hendelsen: 13.4.26\nKonsekvens: Ny innleggelse\nKonsekvens: noe annet\n";
        assert_eq!(
            form(text),
            [
                ("melder", "Tove Kirkeng, ***********".to_owned()),
                ("dato", "13.4.26".to_owned()),
                ("konsekvens", "Ny innleggelse".to_owned()),
            ],
            "first filled one, the day of the event, identity numbers masked"
        );
        assert_eq!(form("Hei.\nVi melder avvik: epikrise mangler.\n"), []);
    }
}
