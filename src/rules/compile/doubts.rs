//! What is wrong between rules: contradictions, and what works and can never matter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Compiler;
use crate::diagnostic::quoted;
use crate::rules::model::{Entry, Fields, Rule, Use, When, ZONES};
use crate::rules::vocabulary::{has_category, has_destination, has_severity};
use crate::rules::{DECISIVE, Facet, PartyKind};

/// Directory entries of one sort that count for a party (see `decide::destination`).
const ENTRIES_MAX: i64 = 3;

/// What a rule asks for, without what it gives.
#[derive(PartialEq, Eq)]
struct Condition<'a> {
    facet: Facet,
    any: &'a [u32],
    all: BTreeSet<u32>,
    near: BTreeSet<u32>,
    near_any: BTreeSet<&'a [u32]>,
    within: usize,
    none: &'a [u32],
    regex: BTreeSet<usize>,
    zones: Vec<bool>,
    fields: Fields,
    negatable: bool,
    when: &'a When,
}

impl<'a> Condition<'a> {
    fn of(rule: &'a Rule) -> Self {
        let near = !(rule.near.is_empty() && rule.near_any.is_empty());
        Self {
            facet: rule.facet,
            any: &rule.any,
            all: rule.all.iter().copied().collect(),
            near: rule.near.iter().copied().collect(),
            near_any: rule.near_any.iter().map(Vec::as_slice).collect(),
            within: if near { rule.within } else { 0 },
            none: &rule.none,
            regex: rule.regex.iter().copied().collect(),
            zones: ZONES.iter().map(|zone| rule.zones.has(*zone)).collect(),
            fields: rule.fields,
            negatable: rule.negatable,
            when: &rule.when,
        }
    }
}

impl Compiler {
    /// Decisive rules that ask for the same and give different values.
    pub(super) fn contradictions(&mut self) {
        let mut seen: HashMap<(Facet, Vec<u32>, Vec<usize>), Vec<usize>> = HashMap::new();
        let mut faults = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.strength != DECISIVE {
                continue;
            }
            let key = (rule.facet, rule.any.clone(), rule.regex.clone());
            let alike = seen.entry(key).or_default();
            let other = alike
                .iter()
                .filter_map(|other| self.rules.get(*other))
                .find(|other| {
                    other.value != rule.value && Condition::of(other) == Condition::of(rule)
                });
            if let Some(other) = other {
                faults.push((index, other.id.clone(), other.value.clone()));
            }
            alike.push(index);
        }
        for (index, other, value) in faults {
            let Some(rule) = self.rules.get(index) else {
                continue;
            };
            let message = format!(
                "«{}» og «{other}» har samme vilkår, begge er avgjørende, og de gir «{}» og «{value}»",
                rule.id, rule.value
            );
            self.at_rule(
                index,
                message,
                "behold én av dem, eller gjør vilkårene ulike",
            );
        }
    }

    /// Rules that can never speak.
    pub(super) fn silences(&mut self) {
        for (index, reason, help) in self.mute() {
            self.at_rule(index, reason, help);
        }
    }

    /// Values that no message can reach, as far as all rules for them could be read.
    pub(super) fn unreached(&mut self) {
        let mut reach: BTreeMap<(Facet, &str), Reach> = BTreeMap::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let entry = reach.entry((rule.facet, rule.value.as_str())).or_default();
            let most = self.most(rule);
            if most <= 0 {
                continue;
            }
            entry.sum = entry.sum.saturating_add(most);
            if !rule.fallback {
                entry.first.get_or_insert(index);
            }
        }
        let low: Vec<(usize, String, String)> = reach
            .into_iter()
            .filter(|((facet, value), _)| {
                let unread = |known: Option<&str>| {
                    self.unread
                        .contains(&(*facet, known.map(str::to_owned)))
                };
                !unread(None) && !unread(Some(value))
            })
            .filter_map(|((facet, value), reach)| {
                let first = reach.first?;
                let least = self.settings.threshold(facet).min;
                let most = reach.sum.saturating_add(self.by_itself(facet, value));
                (most < least).then(|| {
                    (
                        first,
                        format!(
                            "{} «{value}» når aldri terskelen: alle regler for den gir til sammen høyst {most}, og det trengs {least}",
                            facet.id()
                        ),
                        "øk styrken, skriv flere regler for den, eller senk min i [thresholds]".to_owned(),
                    )
                })
            })
            .collect();
        for (index, message, help) in low {
            self.at_rule(index, message, help);
        }
    }

    fn at_rule(&mut self, index: usize, message: impl Into<String>, help: impl Into<String>) {
        if let Some((file, span)) = self.places.get(index).cloned() {
            self.fault(&file, span, message, help);
        }
    }

    /// Rules that no message can satisfy, with the reason.
    fn mute(&self) -> Vec<(usize, String, String)> {
        let mut found = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let barred = |term: &u32| rule.none.binary_search(term).is_ok();
            let all_barred = |list: &[u32]| !list.is_empty() && list.iter().all(barred);
            if rule.all.iter().any(barred)
                || rule.near.iter().any(barred)
                || all_barred(&rule.any)
                || rule.near_any.iter().any(|list| all_barred(list))
            {
                found.push((
                    index,
                    format!(
                        "regelen «{}» kan aldri slå til: none nevner det samme som regelen krever",
                        rule.id
                    ),
                    "ta uttrykket bort fra none".to_owned(),
                ));
            }
            let judged: Option<fn(&str) -> bool> = match rule.facet {
                Facet::Category => Some(has_category),
                Facet::Severity => Some(has_severity),
                Facet::Destination => Some(has_destination),
                _ => None,
            };
            let types = rule
                .when
                .values
                .iter()
                .find(|(facet, _)| *facet == Facet::Type)
                .map(|(_, values)| values);
            if let (Some(judged), Some(types)) = (judged, types)
                && !types.is_empty()
                && !types.iter().any(|kind| judged(kind))
            {
                found.push((
                    index,
                    format!(
                        "regelen «{}» kan aldri slå til: {} avgjøres ikke for {}",
                        rule.id,
                        rule.facet.id(),
                        quoted(types)
                    ),
                    "rett type i when".to_owned(),
                ));
            }
        }
        found
    }

    /// The most that a rule can give to one message.
    fn most(&self, rule: &Rule) -> i64 {
        if rule.strength == DECISIVE {
            return DECISIVE;
        }
        let percents = ZONES
            .iter()
            .filter(|zone| rule.zones.has(**zone))
            .map(|zone| {
                let factor = self.settings.factor(*zone);
                if rule.zones_named {
                    factor.max(100)
                } else {
                    factor
                }
            });
        let percent: i64 = if rule.none_of_text() {
            100
        } else if rule.once {
            percents.max().unwrap_or(100)
        } else {
            percents.sum()
        };
        rule.strength
            .saturating_mul(percent)
            .saturating_add(50)
            .div_euclid(100)
    }

    /// The most that a value can get without any rule: from the directory, the recipients, the sender and the bias.
    fn by_itself(&self, facet: Facet, value: &str) -> i64 {
        let first = self.settings.threshold(facet).first;
        let settings = &self.settings;
        let more = match facet {
            Facet::Direction => {
                let names = self
                    .strengths
                    .iter()
                    .filter_map(|strengths| strengths.get(&Entry::Aliases));
                settings
                    .domain_strength
                    .saturating_add(names.copied().max().unwrap_or_default())
            }
            Facet::Destination => {
                let best = ZONES.iter().map(|zone| settings.factor(*zone)).max();
                let index = self.directory.by_id.get(value).copied();
                let party = index.and_then(|index| self.directory.parties.get(index));
                let samhandling = party.is_some_and(|party| party.kind == PartyKind::Samhandling);
                if samhandling {
                    // It also gets what speaks for every fastlege.
                    return DECISIVE;
                }
                let mut counts: BTreeMap<Entry, i64> = BTreeMap::new();
                for user in self.terms.iter().flat_map(|term| &term.uses) {
                    if let Use::Party(owner, entry) = user
                        && Some(*owner) == index
                    {
                        let count = counts.entry(*entry).or_default();
                        *count = count.saturating_add(1).min(ENTRIES_MAX);
                    }
                }
                let strengths = index.and_then(|index| self.strengths.get(index));
                let words: i64 = counts
                    .into_iter()
                    .map(|(entry, count)| {
                        let strength = strengths.and_then(|strengths| strengths.get(&entry));
                        let strength = strength.copied().unwrap_or_default();
                        strength
                            .saturating_mul(best.unwrap_or(100))
                            .saturating_mul(count)
                            .div_euclid(100)
                    })
                    .sum();
                let bias = party.into_iter().flat_map(|party| {
                    settings
                        .bias
                        .values()
                        .filter_map(|kinds| kinds.get(&party.kind).copied())
                });
                words
                    .saturating_add(settings.recipient_strength)
                    .saturating_add(bias.max().unwrap_or_default().max(0))
            }
            _ => 0,
        };
        more.saturating_add(first)
    }
}

/// How far the rules for a value reach.
#[derive(Debug, Default)]
struct Reach {
    sum: i64,
    /// The first rule that is no fallback; those may be weak, so that a person looks.
    first: Option<usize>,
}
