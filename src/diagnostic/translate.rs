//! What `toml` and `serde` say, in Norwegian for the people who write the files: message → (what is wrong, what to write).

use super::{quoted, suggest};

/// The name in a message about a key that is missing.
pub(super) fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Translates a message; `place` is the text that it points at. What is not known stays as it is: errors that the types
/// themselves raise are written in Norwegian where they are made.
pub(super) fn message(message: &str, place: &str) -> (String, String) {
    unknown(message, "unknown field `", "ukjent nøkkel")
        .or_else(|| unknown_variant(message))
        .or_else(|| missing(message))
        .or_else(|| wrong_value(message))
        .or_else(|| twice(message, place))
        .or_else(|| syntax(message, place))
        .unwrap_or_else(|| (message.to_owned(), String::new()))
}

fn unknown(message: &str, prefix: &str, what: &str) -> Option<(String, String)> {
    let (name, known) = name_and_known(message.strip_prefix(prefix)?)?;
    let help = if known.is_empty() {
        "her skal det ikke stå noe".to_owned()
    } else {
        suggest(name, known.iter().copied()).map_or_else(
            || format!("her kan stå: {}", quoted(&known)),
            |meant| format!("mente du «{meant}»?"),
        )
    };
    Some((format!("{what} «{name}»"), help))
}

/// Few values are possible, so they are listed even when one of them is near.
fn unknown_variant(message: &str) -> Option<(String, String)> {
    let (name, known) = name_and_known(message.strip_prefix("unknown variant `")?)?;
    let all = format!("her kan stå: {}", quoted(&known));
    let help = suggest(name, known.iter().copied())
        .map_or_else(|| all.clone(), |meant| format!("mente du «{meant}»? {all}"));
    Some((format!("ukjent verdi «{name}»"), help))
}

/// The rest of serde's message after the opening backtick → the name and the known names that it lists.
fn name_and_known(rest: &str) -> Option<(&str, Vec<&str>)> {
    if let Some((name, _)) = rest.split_once("`, there are no ") {
        return Some((name, Vec::new()));
    }
    let (name, list) = rest.split_once("`, expected ")?;
    let known = list.split('`').skip(1).step_by(2).collect();
    Some((name, known))
}

fn missing(message: &str) -> Option<(String, String)> {
    let name = missing_field(message)?;
    Some((
        format!("nøkkelen «{name}» mangler"),
        format!("legg til en linje som begynner med «{name} = »"),
    ))
}

fn wrong_value(message: &str) -> Option<(String, String)> {
    if let Some(rest) = message.strip_prefix("invalid length ") {
        let (length, expected) = rest.split_once(", expected ")?;
        let text = format!("feil antall: {length}, det skal være {expected}");
        return Some((text, String::new()));
    }
    let kind = message.strip_prefix("invalid type: ");
    let rest = kind.or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let (found, is) = found_words(found);
    let (expected, wants) = expected_words(expected);
    let help = match (wants, is) {
        _ if kind.is_none() => String::new(),
        (Wants::Text, Is::Number) => format!(
            "sett rette anførselstegn rundt: \"{}\"",
            found.trim_start_matches("tallet ")
        ),
        (Wants::Text, Is::Truth) => "sett rette anførselstegn rundt: \"…\"".to_owned(),
        (Wants::Number, Is::Text) => "skriv tallet uten anførselstegn".to_owned(),
        (Wants::Truth, _) => "skriv true for ja eller false for nei, uten anførselstegn".to_owned(),
        (Wants::List, Is::Text | Is::Number) => {
            "sett hakeparenteser rundt: [\"…\", \"…\"]".to_owned()
        }
        (Wants::Text, Is::List) => "skriv én tekst uten hakeparenteser".to_owned(),
        (Wants::Table, _) => "skriv en tabell: { nøkkel = verdi, … }".to_owned(),
        _ => String::new(),
    };
    Some((format!("her skal det stå {expected}, ikke {found}"), help))
}

#[derive(Clone, Copy)]
enum Is {
    Text,
    Number,
    Truth,
    List,
    Other,
}

/// serde's word for what it found. A text is not repeated: the place shows it, and it may be long.
fn found_words(found: &str) -> (String, Is) {
    let value = found.split('`').nth(1).unwrap_or_default();
    if found.starts_with("string") || found.starts_with("character") {
        ("en tekst".to_owned(), Is::Text)
    } else if found.starts_with("integer") || found.starts_with("floating point") {
        (format!("tallet {value}"), Is::Number)
    } else if found.starts_with("boolean") {
        (value.to_owned(), Is::Truth)
    } else if found == "sequence" {
        ("en liste".to_owned(), Is::List)
    } else if found == "map" {
        ("en tabell".to_owned(), Is::Other)
    } else {
        (found.to_owned(), Is::Other)
    }
}

#[derive(Clone, Copy)]
enum Wants {
    Text,
    Number,
    Truth,
    List,
    Table,
    Other,
}

/// serde's word for what it expects; names of types mean nothing to the people who write the files.
fn expected_words(expected: &str) -> (String, Wants) {
    let (words, wants) = match expected {
        "a string" | "string" | "a borrowed string" | "str" | "a character" | "string or table" => {
            ("en tekst", Wants::Text)
        }
        "a boolean" | "bool" => ("true eller false", Wants::Truth),
        "u8" => ("et heltall fra 0 til 255", Wants::Number),
        "i8" => ("et heltall fra -128 til 127", Wants::Number),
        "u16" => ("et heltall fra 0 til 65535", Wants::Number),
        "u32" | "u64" | "usize" => ("et heltall fra 0", Wants::Number),
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64"
        | "a nonzero usize" => ("et heltall fra 1", Wants::Number),
        "i16" | "i32" | "i64" | "isize" => ("et heltall", Wants::Number),
        "f32" | "f64" => ("et tall", Wants::Number),
        "a sequence" => ("en liste", Wants::List),
        "a map" => ("en tabell", Wants::Table),
        name if name.starts_with("enum ") => ("en av de faste verdiene", Wants::Text),
        name if name.starts_with("struct ") => ("en tabell", Wants::Table),
        other => (other, Wants::Other),
    };
    (words.to_owned(), wants)
}

fn twice(message: &str, place: &str) -> Option<(String, String)> {
    let name = message
        .strip_prefix("duplicate field `")
        .and_then(|rest| rest.strip_suffix('`'))
        .or_else(|| (message == "duplicate key").then_some(place))?;
    let text = if name.is_empty() {
        "den samme nøkkelen står to ganger".to_owned()
    } else {
        format!("nøkkelen «{name}» står to ganger")
    };
    Some((text, "behold bare én av dem".to_owned()))
}

/// Beginnings of the parser's messages; the first that fits.
const SYNTAX: &[(&str, &str, &str)] = &[
    (
        "invalid basic string, expected `\"`",
        "teksten er ikke avsluttet",
        "det mangler et anførselstegn (\") på slutten",
    ),
    (
        "invalid multi-line basic string, expected `\"`",
        "teksten er ikke avsluttet",
        "det mangler tre anførselstegn (\"\"\") på slutten",
    ),
    (
        "invalid literal string, expected `'`",
        "teksten er ikke avsluttet",
        "det mangler en apostrof (') på slutten",
    ),
    (
        "invalid multi-line literal string, expected `'`",
        "teksten er ikke avsluttet",
        "det mangler tre apostrofer (''') på slutten",
    ),
    (
        "missing escaped value",
        "tegnet \\ har en egen betydning i \"…\"",
        "skriv \\\\ i stedet, eller sett '…' rundt teksten",
    ),
    (
        "too few unicode value digits",
        "tegnet \\ har en egen betydning i \"…\"",
        "skriv \\\\ i stedet, eller sett '…' rundt teksten",
    ),
    (
        "string values must be quoted",
        "tekst må stå i anførselstegn",
        "",
    ),
    (
        "missing opening quote",
        "det mangler et anførselstegn foran teksten",
        "sett \" foran og bak",
    ),
    (
        "invalid unquoted key",
        "nøkkelen kan bare ha bokstavene a–z, tall, bindestrek og understrek",
        "sett \"…\" rundt nøkkelen hvis den skal ha andre tegn",
    ),
    (
        "unquoted keys cannot be empty",
        "det mangler en nøkkel foran «=»",
        "",
    ),
    (
        "keys cannot be multi-line",
        "en nøkkel kan ikke gå over flere linjer",
        "",
    ),
    (
        "missing value for key",
        "det mangler en verdi",
        "skriv en verdi etter «=»",
    ),
    (
        "key with no value, expected `=`",
        "det mangler en verdi",
        "skriv «=» her",
    ),
    (
        "key with no value",
        "det mangler en verdi",
        "skriv en verdi etter «=»",
    ),
    (
        "missing value",
        "det mangler en verdi",
        "skriv en verdi her",
    ),
    ("extra `=`", "det står ett «=» for mye", "ta det bort"),
    (
        "extra assignment",
        "det står ett «=» for mye",
        "ta det bort",
    ),
    (
        "missing assignment",
        "det mangler «=» mellom nøkkel og verdi",
        "skriv «=» her",
    ),
    (
        "missing comma between array",
        "det mangler komma i listen",
        "sett et komma foran, eller se om et anførselstegn mangler tidligere i listen",
    ),
    (
        "missing comma between key",
        "det mangler komma i tabellen",
        "sett et komma foran",
    ),
    ("extra comma", "det står ett komma for mye", "ta det bort"),
    (
        "unexpected `=` in array",
        "«=» kan ikke stå i en liste",
        "bruk krøllparenteser: { nøkkel = verdi }",
    ),
    (
        "unclosed array table",
        "overskriften er ikke avsluttet",
        "skriv «]]» her",
    ),
    (
        "unclosed array",
        "listen er ikke avsluttet",
        "det mangler «]» på slutten",
    ),
    (
        "unclosed table",
        "overskriften er ikke avsluttet",
        "skriv «]» her",
    ),
    (
        "unclosed inline table",
        "tabellen er ikke avsluttet",
        "det mangler «}» på slutten",
    ),
    (
        "missing inline table opening",
        "det står en «}» uten «{» foran",
        "ta den bort, eller skriv «{»",
    ),
    (
        "missing array opening",
        "det står en «]» uten «[» foran",
        "ta den bort, eller skriv «[»",
    ),
    (
        "missing table open",
        "det mangler «[» foran overskriften",
        "skriv «[» her",
    ),
    (
        "missing key for inline table",
        "det mangler en nøkkel i tabellen",
        "skriv { nøkkel = verdi }",
    ),
    (
        "invalid inline table element",
        "dette kan ikke stå i en tabell",
        "skriv { nøkkel = verdi }",
    ),
    (
        "invalid table",
        "overskriften er ikke skrevet riktig",
        "skriv [navn] eller [[navn]]",
    ),
    (
        "invalid key-value pair",
        "linjen er ikke skrevet riktig",
        "skriv nøkkel = verdi",
    ),
    ("invalid key", "nøkkelen er ikke skrevet riktig", ""),
    (
        "unexpected key or value",
        "det står noe etter verdien",
        "begynn på en ny linje, eller sett # foran det som er en merknad",
    ),
    (
        "unexpected content",
        "dette hører ikke hjemme her",
        "sett # foran det som er en merknad",
    ),
    (
        "cannot extend value of type",
        "nøkkelen har alt en verdi og kan ikke være en tabell også",
        "",
    ),
    (
        "invalid comment character",
        "usynlig tegn i merknaden",
        "ta det bort",
    ),
    (
        "carriage return must be followed",
        "linjeskiftet er av en gammel type",
        "lagre filen med vanlige linjeskift",
    ),
    (
        "invalid boolean",
        "her skal det stå true eller false",
        "skriv med små bokstaver",
    ),
    (
        "invalid date-time",
        "datoen er ikke skrevet riktig",
        "skriv den som \"2026-05-17\"",
    ),
    (
        "unexpected leading zero",
        "tallet kan ikke begynne med 0",
        "ta bort nullen, eller sett \"…\" rundt hvis det er et nummer",
    ),
    (
        "leading zero",
        "tallet kan ikke begynne med 0",
        "ta bort nullen, eller sett \"…\" rundt hvis det er et nummer",
    ),
    (
        "`_` may only go between digits",
        "understrek i et tall må stå mellom sifre",
        "",
    ),
    ("redundant", "tallet er ikke skrevet riktig", ""),
    ("integers with a radix", "tallet er ikke skrevet riktig", ""),
    ("radix must be", "tallet er ikke skrevet riktig", ""),
    ("unexpected sign", "tallet er ikke skrevet riktig", ""),
    ("invalid integer", "tallet er ikke skrevet riktig", ""),
    ("invalid hexadecimal", "tallet er ikke skrevet riktig", ""),
    ("invalid octal", "tallet er ikke skrevet riktig", ""),
    ("invalid binary", "tallet er ikke skrevet riktig", ""),
    (
        "invalid float",
        "tallet er ikke skrevet riktig",
        "skriv desimaltall med punktum",
    ),
    (
        "invalid mantissa",
        "tallet er ikke skrevet riktig",
        "skriv desimaltall med punktum",
    ),
    (
        "invalid fraction",
        "tallet er ikke skrevet riktig",
        "skriv desimaltall med punktum",
    ),
    (
        "invalid exponent",
        "tallet er ikke skrevet riktig",
        "skriv desimaltall med punktum",
    ),
    ("integer number overflowed", "tallet er for stort", ""),
    ("invalid value", "verdien er ikke skrevet riktig", ""),
    (
        "invalid basic string",
        "teksten har et tegn som ikke kan stå der",
        "",
    ),
    (
        "invalid multi-line basic string",
        "teksten har et tegn som ikke kan stå der",
        "",
    ),
    (
        "invalid literal string",
        "teksten har et tegn som ikke kan stå der",
        "",
    ),
    (
        "invalid multi-line literal string",
        "teksten har et tegn som ikke kan stå der",
        "",
    ),
    ("invalid string", "teksten er ikke skrevet riktig", ""),
    (
        "recursion limit",
        "for mange lister og tabeller inni hverandre",
        "",
    ),
    (
        "cannot recurse",
        "for mange lister og tabeller inni hverandre",
        "",
    ),
    (
        "wanted string or table",
        "her skal det stå en tekst eller en tabell",
        "",
    ),
    (
        "wanted exactly 1 element",
        "her skal det stå nøyaktig én nøkkel med verdi",
        "",
    ),
    (
        "expected table with exactly 1 entry",
        "her skal det stå nøyaktig én nøkkel med verdi",
        "",
    ),
    (
        "data did not match any variant",
        "verdien passer ikke her",
        "",
    ),
];

fn syntax(message: &str, place: &str) -> Option<(String, String)> {
    let (_, text, help) = SYNTAX
        .iter()
        .find(|(start, _, _)| message.starts_with(start))?;
    let curly = |c: char| matches!(c, '“' | '”' | '„' | '«' | '»' | '‘' | '’');
    let help = if place.contains(curly) {
        "bruk rette anførselstegn: \"…\", ikke “…”".to_owned()
    } else if message.starts_with("string values must be quoted") {
        match place.trim() {
            "" => "skriv \"…\"".to_owned(),
            word if word.chars().count() > 40 => "sett \" foran og bak".to_owned(),
            word => format!("skriv \"{word}\""),
        }
    } else {
        (*help).to_owned()
    };
    Some(((*text).to_owned(), help))
}
