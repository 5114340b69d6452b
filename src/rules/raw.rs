//! The rule files as `serde` reads them; [`super::compile`] checks what `serde` cannot.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Language, PartyKind};
use crate::message::{Mark, Zone};

/// A text of a rule file with its place.
pub(super) type Text = Spanned<String>;

/// Strength by kind of party.
pub(super) type Bias = BTreeMap<PartyKind, Spanned<i64>>;

/// One file; every table may stand in any file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) own: Option<Spanned<Own>>,
    pub(super) thresholds: Option<Spanned<Thresholds>>,
    pub(super) defaults: Option<Spanned<Facets>>,
    pub(super) cues: Option<Spanned<Cues>>,
    pub(super) directory_strengths: Option<Spanned<DirectoryStrengths>>,
    pub(super) zone_factors: Option<Spanned<BTreeMap<Zone, Spanned<i64>>>>,
    pub(super) direction_bias: Option<Spanned<BTreeMap<Text, Bias>>>,
    pub(super) portals: Vec<Portal>,
    pub(super) parties: Vec<Party>,
    pub(super) rules: Vec<Rule>,
    pub(super) tests: Vec<Example>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Own {
    pub(super) addresses: Vec<Text>,
    pub(super) domains: Vec<Text>,
    pub(super) message_id_domains: Vec<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Thresholds {
    pub(super) r#type: Option<Threshold>,
    pub(super) direction: Option<Threshold>,
    pub(super) destination: Option<Threshold>,
    pub(super) category: Option<Threshold>,
    pub(super) severity: Option<Threshold>,
    pub(super) reply: Option<Threshold>,
    pub(super) robot: Option<Threshold>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Threshold {
    pub(super) min: Spanned<i64>,
    pub(super) lead: Spanned<i64>,
    #[serde(default)]
    pub(super) first: Option<Spanned<i64>>,
}

/// `facet = "value"`, in `give` and in `[defaults]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Facets {
    pub(super) r#type: Option<Text>,
    pub(super) direction: Option<Text>,
    pub(super) destination: Option<Text>,
    pub(super) category: Option<Text>,
    pub(super) severity: Option<Text>,
    pub(super) reply: Option<Text>,
    pub(super) robot: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cues {
    pub(super) negating: Vec<Text>,
    pub(super) soothing: Vec<Text>,
    pub(super) clause_breaks: Vec<Text>,
    pub(super) closings: Option<Vec<Text>>,
    pub(super) ignore: Vec<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DirectoryStrengths {
    pub(super) aliases: Option<Spanned<i64>>,
    pub(super) units: Option<Spanned<i64>>,
    pub(super) words: Option<Spanned<i64>>,
    pub(super) places: Option<Spanned<i64>>,
    pub(super) postcodes: Option<Spanned<i64>>,
    pub(super) domain: Option<Spanned<i64>>,
    pub(super) recipient: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Portal {
    pub(super) id: Text,
    pub(super) name: String,
    pub(super) addresses: Vec<Text>,
    #[serde(default)]
    pub(super) domains: Vec<Text>,
    #[serde(default)]
    pub(super) use_reply_to: bool,
    #[serde(default)]
    pub(super) sender_labels: Vec<String>,
    #[serde(default)]
    pub(super) title_labels: Vec<String>,
    #[serde(default)]
    pub(super) drop_labels: Option<Vec<String>>,
    #[serde(default)]
    pub(super) boilerplate: Vec<String>,
    #[serde(default)]
    pub(super) footer: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Party {
    pub(super) id: Text,
    pub(super) name: Text,
    pub(super) kind: PartyKind,
    #[serde(default)]
    pub(super) send_to: Vec<Text>,
    #[serde(default)]
    pub(super) addresses: Vec<Text>,
    #[serde(default)]
    pub(super) domains: Vec<Text>,
    #[serde(default)]
    pub(super) aliases: Vec<Text>,
    #[serde(default)]
    pub(super) units: Vec<Text>,
    #[serde(default)]
    pub(super) words: Vec<Text>,
    #[serde(default)]
    pub(super) places: Vec<Text>,
    #[serde(default)]
    pub(super) postcodes: Vec<Text>,
    #[serde(default)]
    pub(super) secure: bool,
    #[serde(default)]
    pub(super) approval: bool,
    #[serde(default)]
    pub(super) language: Option<Language>,
    #[serde(default)]
    pub(super) strengths: DirectoryStrengths,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) id: Text,
    #[serde(default)]
    #[expect(dead_code, reason = "for the reader of the file")]
    pub(super) comment: Option<String>,
    pub(super) give: Spanned<Facets>,
    #[serde(default)]
    pub(super) strength: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) decisive: bool,
    #[serde(default)]
    pub(super) any: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) all: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) near: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) near_any: Option<Spanned<Vec<Spanned<Vec<Text>>>>>,
    #[serde(default)]
    pub(super) within: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) none: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) regex: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) zones: Option<Spanned<Vec<Zone>>>,
    #[serde(default)]
    pub(super) marks: Option<Spanned<Vec<Mark>>>,
    #[serde(default)]
    pub(super) when: Option<Spanned<When>>,
    #[serde(default)]
    pub(super) negatable: Option<bool>,
    #[serde(default)]
    pub(super) once: Option<bool>,
    #[serde(default)]
    pub(super) fallback: bool,
}

/// A message and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) from: String,
    #[serde(default)]
    pub(super) to: String,
    #[serde(default)]
    pub(super) subject: String,
    #[serde(default)]
    pub(super) text: Option<Text>,
    #[serde(default)]
    pub(super) eml: Option<Text>,
    pub(super) expect: Spanned<Expect>,
}

/// What is expected: facets as in `give`, and whether a person must look.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub(super) r#type: Option<Text>,
    pub(super) direction: Option<Text>,
    pub(super) destination: Option<Text>,
    pub(super) category: Option<Text>,
    pub(super) severity: Option<Text>,
    pub(super) reply: Option<Text>,
    pub(super) robot: Option<Text>,
    pub(super) triage: Option<bool>,
}

/// What must be known already.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct When {
    pub(super) r#type: Option<Vec<Text>>,
    pub(super) direction: Option<Vec<Text>>,
    pub(super) destination: Option<Vec<Text>>,
    pub(super) category: Option<Vec<Text>>,
    pub(super) severity: Option<Vec<Text>>,
    pub(super) robot: Option<Vec<Text>>,
    pub(super) destination_kind: Option<Vec<PartyKind>>,
    pub(super) sender: Option<Vec<SenderKind>>,
    pub(super) thread: Option<Thread>,
    pub(super) case_token: Option<bool>,
    pub(super) cites_own: Option<bool>,
    pub(super) marks: Option<Vec<Mark>>,
    pub(super) party_in_to: Option<bool>,
    pub(super) attachments: Option<bool>,
    pub(super) certain: Option<Spanned<bool>>,
}

/// Who sends, as far as the directory knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SenderKind {
    Kommune,
    Fastlege,
    Klinikk,
    Samhandling,
    AnnetSykehus,
    /// The own organisation.
    Own,
    /// A portal, whoever is behind it.
    Portal,
    /// Nobody of the directory.
    Ukjent,
}

/// How the message stands to earlier mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Thread {
    /// It cites earlier mail, in its headers or by «Sv:» in its subject.
    Reply,
    /// It hands mail on.
    Forward,
    /// Neither.
    None,
}
