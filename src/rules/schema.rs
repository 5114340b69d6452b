//! JSON Schema (draft 2020-12) of rule files, for editors that complete and check.

use serde_json::{Map, Value, json};

use super::Facet;

/// The JSON Schema of a rule file. Party ids are open: they stand in the files.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Regelfil for linjevei",
        "description": "Parter, regler og innstillinger. Forklart i docs/regler.md.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "own": object("Adressene og domenene som er våre egne.", &[], own()),
            "thresholds": object(
                "Hvor mye som skal til for å avgjøre uten et menneske.",
                &[],
                facets(&|_| json!({ "$ref": "#/$defs/threshold" })),
            ),
            "defaults": object("Svaret når ingenting taler.", &[], facets(&value)),
            "cues": object("Ord som opphever eller beroliger i samme setningsledd.", &[], cues()),
            "directory_strengths": { "$ref": "#/$defs/strengths" },
            "zone_factors": object(
                "Hvor mye et treff teller i hver sone, i prosent.",
                &[],
                names(&ZONES, &|_| json!({ "type": "integer", "minimum": 0, "maximum": 500 })),
            ),
            "direction_bias": object(
                "Tillegg til parter av et slag når retningen er sikker.",
                &[],
                names(Facet::Direction.values().unwrap_or_default(), &|_| {
                    object("Styrke etter slag part.", &[], names(&KINDS, &|_| strength(-20)))
                }),
            ),
            "portals": list("Avsendere med et menneske bak, for eksempel eDialog.", portal()),
            "parties": list("Klinikker, kommuner, fastleger og andre.", party()),
            "rules": list("Regler.", rule()),
            "tests": list("Meldinger med svarene som reglene skal gi.", example())
        },
        "$defs": {
            "threshold": object("Minste sum, minste forsprang, og tillegg for det som sies først.", &["min", "lead"], json!({
                "min": { "type": "integer", "minimum": 1, "maximum": 1000 },
                "lead": { "type": "integer", "minimum": 0, "maximum": 1000 },
                "first": { "type": "integer", "minimum": 0, "maximum": 1000 }
            })),
            "strengths": object("Hva navn i registeret er verdt.", &[], json!({
                "aliases": strength(0),
                "units": strength(0),
                "words": strength(0),
                "places": strength(0),
                "postcodes": strength(0),
                "domain": strength(0),
                "recipient": strength(0)
            }))
        }
    })
}

const ZONES: [&str; 10] = [
    "subject",
    "new",
    "quoted",
    "forwarded",
    "attachment",
    "attachment-name",
    "field",
    "sender",
    "recipient",
    "header",
];
const KINDS: [&str; 5] = [
    "klinikk",
    "samhandling",
    "kommune",
    "fastlege",
    "annet-sykehus",
];
const SENDERS: [&str; 8] = [
    "kommune",
    "fastlege",
    "klinikk",
    "samhandling",
    "annet-sykehus",
    "own",
    "portal",
    "ukjent",
];
const MARKS: [&str; 17] = [
    "auto-generated",
    "auto-replied",
    "auto-other",
    "bulk",
    "precedence-auto-reply",
    "list",
    "null-return-path",
    "no-from",
    "mailer-daemon",
    "no-reply",
    "bounce",
    "read-receipt",
    "feedback-report",
    "calendar",
    "spam",
    "suppress-auto-reply",
    "own-loop",
];
const THREADS: [&str; 3] = ["reply", "forward", "none"];
const LANGUAGES: [&str; 2] = ["nb", "nn"];

#[expect(
    clippy::needless_pass_by_value,
    reason = "called with what was just made"
)]
fn object(description: &str, required: &[&str], properties: Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "called with what was just made"
)]
fn list(description: &str, items: Value) -> Value {
    json!({ "description": description, "type": "array", "items": items })
}

fn texts(description: &str) -> Value {
    list(description, json!({ "type": "string" }))
}

fn text(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

fn flag(description: &str) -> Value {
    json!({ "description": description, "type": "boolean" })
}

fn some_of(description: &str, values: &[&str]) -> Value {
    list(description, json!({ "enum": values }))
}

fn strength(least: i64) -> Value {
    json!({ "description": "Styrke.", "type": "integer", "minimum": least, "maximum": 20 })
}

fn names(names: &[&str], value: &dyn Fn(&str) -> Value) -> Value {
    let map: Map<String, Value> = names
        .iter()
        .map(|name| ((*name).to_owned(), value(name)))
        .collect();
    Value::Object(map)
}

fn facets(value: &dyn Fn(Facet) -> Value) -> Value {
    let map: Map<String, Value> = Facet::ORDER
        .into_iter()
        .map(|facet| (facet.id().to_owned(), value(facet)))
        .collect();
    Value::Object(map)
}

/// One of the values of a facet.
fn value(facet: Facet) -> Value {
    facet.values().map_or_else(
        || text("Id til en part."),
        |values| json!({ "enum": values }),
    )
}

fn own() -> Value {
    json!({
        "addresses": texts("Adresser vi sender fra eller leser."),
        "domains": texts("Domenene til vår egen organisasjon."),
        "message_id_domains": texts("Domener i våre egne Message-ID-er; uten denne gjelder domains.")
    })
}

fn cues() -> Value {
    json!({
        "negating": texts("Ord som opphever: «ikke», «uten»."),
        "soothing": texts("Uttrykk som beroliger: «kom i tide»."),
        "clause_breaks": texts("Ord som deler en setning i ledd: «men», «og», \",\"."),
        "closings": texts("Begynnelsen på en avslutning: «mvh», «med vennlig hilsen»."),
        "ignore": texts("Uttrykk som ikke betyr noe: «ikke bare», navn som ligner på andre.")
    })
}

fn portal() -> Value {
    object(
        "En avsender med et menneske bak.",
        &["id", "name", "addresses"],
        json!({
            "id": text("Entydig, a–z, 0–9 og bindestrek."),
            "name": text("Navnet slik det står i avsenderfeltet."),
            "addresses": texts("Adressene den sender fra."),
            "domains": texts("Det som står etter @ i adresser som bare denne portalen sender fra."),
            "use_reply_to": flag("Svar til Reply-To når mennesket bak."),
            "sender_labels": texts("Linjen som sier hvem som skriver: «Fra»."),
            "title_labels": texts("Linjen med emnet: «Tittel»."),
            "drop_labels": texts("Linjer uten innhold: «Mottatt»."),
            "boilerplate": texts("Begynnelsen på linjer som portalen selv skriver."),
            "footer": texts("Herfra og ut er det ikke meldingen.")
        }),
    )
}

fn party() -> Value {
    object(
        "En part: klinikk, kommune, fastlege eller annet sykehus.",
        &["id", "name", "kind"],
        json!({
            "id": text("Entydig, a–z, 0–9 og bindestrek."),
            "name": text("Navnet slik folk ser det."),
            "kind": { "description": "Hva slags part.", "enum": KINDS },
            "send_to": texts("Hit sendes sakene."),
            "addresses": texts("Andre adresser som hører til parten."),
            "domains": texts("Domener som hører til parten."),
            "aliases": texts("Navn på parten selv (sterkt tegn)."),
            "units": texts("Poster, avdelinger, institusjoner (sterkt tegn)."),
            "words": texts("Fagord som peker mot parten (svakt tegn)."),
            "places": texts("Steder (svakt tegn)."),
            "postcodes": texts("Postnumre (svakt tegn)."),
            "secure": flag("Tekst og vedlegg kan sendes dit på e-post."),
            "approval": flag("Et menneske godkjenner før saken sendes dit."),
            "language": { "description": "Målform.", "enum": LANGUAGES },
            "strengths": { "$ref": "#/$defs/strengths" }
        }),
    )
}

fn rule() -> Value {
    object(
        "En regel: når det som kreves, står i meldingen, taler den for en verdi.",
        &["id", "give"],
        json!({
            "id": text("Entydig, a–z, 0–9 og bindestrek."),
            "comment": text("Hvorfor regelen finnes."),
            "give": {
                "description": "Akkurat én avgjørelse.",
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": facets(&value)
            },
            "strength": strength(-20),
            "decisive": flag("Vinner over alle summer."),
            "any": texts("Minst ett av disse."),
            "all": texts("Alle disse."),
            "near": texts("Alle disse nær hverandre i samme setning."),
            "near_any": list(
                "Av hver liste minst ett uttrykk, nær hverandre i samme setning.",
                texts("Ett av disse."),
            ),
            "within": { "description": "Ord mellom det første og det siste i near.", "type": "integer", "minimum": 1, "maximum": 50 },
            "none": texts("Ikke når ett av disse står der."),
            "regex": texts("Regulære uttrykk på foldet tekst (ae, oe, aa)."),
            "zones": some_of("Hvor det skal stå.", &ZONES),
            "marks": some_of("Tegn på at en maskin skrev.", &MARKS),
            "when": when(),
            "negatable": flag("Om et treff ved siden av «ikke» faller bort."),
            "once": flag("Om regelen teller én gang per melding."),
            "fallback": flag("Bare når ingenting annet når terskelen.")
        }),
    )
}

fn when() -> Value {
    let values = |facet: Facet| list("Minst én av disse.", value(facet));
    object(
        "Det som alt må være avgjort eller kjent.",
        &[],
        json!({
            "robot": values(Facet::Robot),
            "type": values(Facet::Type),
            "direction": values(Facet::Direction),
            "destination": values(Facet::Destination),
            "category": values(Facet::Category),
            "severity": values(Facet::Severity),
            "destination_kind": some_of("Slag part.", &KINDS),
            "sender": some_of("Hvem som sender.", &SENDERS),
            "thread": { "description": "Svar, videresendt eller ingen av delene.", "enum": THREADS },
            "case_token": flag("Emnet har et av våre saksnummer."),
            "cites_own": flag("Meldingen svarer på en av våre."),
            "marks": some_of("Tegn på at en maskin skrev.", &MARKS),
            "party_in_to": flag("En kommune står i Til eller Kopi."),
            "attachments": flag("Meldingen har vedlegg."),
            "certain": flag("Bare sikre avgjørelser teller.")
        }),
    )
}

fn example() -> Value {
    let mut expect = facets(&|facet| match facet {
        Facet::Destination => text("Id til en part, «sak» eller «postmottak»."),
        facet => value(facet),
    });
    if let Some(map) = expect.as_object_mut() {
        map.insert("triage".to_owned(), flag("Et menneske må se på den."));
    }
    object(
        "En melding og svarene som reglene skal gi.",
        &["name", "expect"],
        json!({
            "name": text("Hva prøven viser."),
            "from": text("Avsender."),
            "to": text("Mottakere, med komma mellom."),
            "subject": text("Emne."),
            "text": text("Tekst."),
            "eml": text("En .eml-fil, fra regelmappen."),
            "expect": object("Svarene.", &[], expect)
        }),
    )
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::super::raw;
    use super::super::{Language, PartyKind};
    use super::*;
    use crate::message::{Mark, Zone};

    /// What serde says that it knows: «expected one of `a`, `b`».
    fn known<T: DeserializeOwned>(toml: &str) -> Vec<String> {
        let error = match toml::from_str::<T>(toml) {
            Ok(_) => panic!("{toml} is no mistake"),
            Err(error) => error.message().to_owned(),
        };
        let (_, list) = error.split_once("expected").expect("a list");
        let mut names: Vec<String> = list
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    fn keys(pointer: &str) -> Vec<String> {
        let schema = schema();
        let found = schema
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(found["additionalProperties"], json!(false), "{pointer}");
        let mut names: Vec<String> = found["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_key_of_a_rule_file_is_in_the_schema() {
        const MISTAKE: &str = "feil_nokkel = 1\n";
        let properties = |name: &str| format!("/properties/{name}");
        let items = |name: &str| format!("/properties/{name}/items");
        for (pointer, known) in [
            (String::new(), known::<raw::File>(MISTAKE)),
            (properties("own"), known::<raw::Own>(MISTAKE)),
            (properties("thresholds"), known::<raw::Thresholds>(MISTAKE)),
            (properties("defaults"), known::<raw::Facets>(MISTAKE)),
            (properties("cues"), known::<raw::Cues>(MISTAKE)),
            (
                "/$defs/threshold".to_owned(),
                known::<raw::Threshold>(MISTAKE),
            ),
            (
                "/$defs/strengths".to_owned(),
                known::<raw::DirectoryStrengths>(MISTAKE),
            ),
            (items("portals"), known::<raw::Portal>(MISTAKE)),
            (items("parties"), known::<raw::Party>(MISTAKE)),
            (items("rules"), known::<raw::Rule>(MISTAKE)),
            (
                items("rules") + "/properties/give",
                known::<raw::Facets>(MISTAKE),
            ),
            (
                items("rules") + "/properties/when",
                known::<raw::When>(MISTAKE),
            ),
            (items("tests"), known::<raw::Example>(MISTAKE)),
            (
                items("tests") + "/properties/expect",
                known::<raw::Expect>(MISTAKE),
            ),
        ] {
            assert_eq!(keys(&pointer), known, "{pointer}");
        }
    }

    #[test]
    fn every_name_is_in_the_schema() {
        const MISTAKE: &str = "x = \"feil\"";
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only read by serde")]
        struct One<T> {
            x: T,
        }
        let sorted = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(sorted(&ZONES), known::<One<Zone>>(MISTAKE));
        assert_eq!(sorted(&KINDS), known::<One<PartyKind>>(MISTAKE));
        assert_eq!(sorted(&SENDERS), known::<One<raw::SenderKind>>(MISTAKE));
        assert_eq!(sorted(&MARKS), known::<One<Mark>>(MISTAKE));
        assert_eq!(sorted(&THREADS), known::<One<raw::Thread>>(MISTAKE));
        assert_eq!(sorted(&LANGUAGES), known::<One<Language>>(MISTAKE));
    }

    /// Whether a value fits, as far as this schema goes; the path of what does not.
    fn misfit(root: &Value, schema: &Value, value: &Value, path: &str) -> Option<String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let schema = root.pointer(reference.trim_start_matches('#')).unwrap();
            return misfit(root, schema, value, path);
        }
        if let Some(values) = schema["enum"].as_array() {
            return (!values.contains(value)).then(|| format!("{path} = {value}"));
        }
        let good = match schema["type"].as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.as_i64().is_some_and(|number| {
                schema["minimum"]
                    .as_i64()
                    .is_none_or(|least| least <= number)
                    && schema["maximum"].as_i64().is_none_or(|most| number <= most)
            }),
            other => panic!("{other}"),
        };
        if !good {
            return Some(format!("{path} = {value}"));
        }
        if let Some(object) = value.as_object() {
            let required = schema["required"].as_array();
            let missing = required
                .into_iter()
                .flatten()
                .find(|key| !object.contains_key(key.as_str().unwrap()));
            if let Some(key) = missing {
                return Some(format!("{path}: {key} is missing"));
            }
            return object.iter().find_map(|(key, value)| {
                let path = format!("{path}/{key}");
                match schema["properties"].get(key) {
                    None => Some(path),
                    Some(schema) => misfit(root, schema, value, &path),
                }
            });
        }
        let items = value.as_array()?;
        items
            .iter()
            .enumerate()
            .find_map(|(at, item)| misfit(root, &schema["items"], item, &format!("{path}/{at}")))
    }

    #[test]
    fn the_rules_of_oestfold_fit_the_schema() {
        let schema = schema();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/ostfold");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let value: Value = toml::from_str(&text).unwrap();
            assert_eq!(
                misfit(&schema, &schema, &value, ""),
                None,
                "{}",
                path.display()
            );
            count += 1;
        }
        assert!(count > 5, "the rules are there");
        let wrong: Value =
            toml::from_str("[[rules]]\nid = \"a\"\ngive = { type = \"avik\" }").unwrap();
        assert!(misfit(&schema, &schema, &wrong, "").is_some());
    }
}
