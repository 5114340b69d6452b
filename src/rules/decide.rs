//! Facet by facet: evidence, sums, decision.
//!
//! The arithmetic: each rule that speaks adds its strength times the percentage of the zone it stood in, rounded; a rule
//! with several groups (`any`, `all`, `near`, `regex`) takes the smallest percentage of them. Zones that the rule names
//! itself count at least 100 %. A decisive rule adds [`DECISIVE`]. The sum of a value in [`Decision`] is exactly the sum
//! of its evidence. The value with the highest sum wins (of equal ones the first by name, uncertain); it is certain when
//! it reaches the least sum and the lead over the runner-up (a runner-up below zero counts as zero), and when no decisive
//! rule speaks for another value. When the lead is missed and the threshold has `first`, that much is added to the one of
//! the values too close to each other whose evidence stands first in the message ([`Tally::first`]). Rules with `fallback` are looked at only where no value has reached the least sum.

mod destination;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::compile::{Room, RuleSet};
use super::lexicon::Hit;
use super::model::{Entry, Rule, Use, Zones, term_at};
use super::raw::SenderKind;
use super::scan::Scan;
use super::view::{Facts, look, pieces, sender_kind};
use super::vocabulary::{has_category, has_destination, has_severity};
use super::{DECISIVE, Decision, Evidence, Facet, Verdict, language, reporter, why_not};
use crate::message::{Defect, FieldName, Message, Zone};

/// What the rules need to know besides the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassifyContext {
    /// The server whose `Authentication-Results` count; `None` when none is trusted, and then none is looked at.
    pub authserv_id: Option<String>,
}

/// Why a certain type counts as uncertain: the notice of a portal holds no content.
const NOTICE_ONLY: &str = "portal:varsel-uten-innhold";

/// One item of evidence before it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    strength: i64,
    zone: Zone,
    piece: usize,
    offset: usize,
    term: String,
}

impl RuleSet {
    /// What the rules say of a message. Pure: the same message, rule set and context give the same verdict.
    pub fn classify(&self, message: &Message, context: &ClassifyContext) -> Verdict {
        let (mut views, facts, truncated) = look(self, message);
        views.retain(|view| self.zones.has(view.zone));
        let mut room = Room::default();
        let scans: Vec<Scan> = views
            .iter()
            .zip(pieces(&views))
            .map(|(view, piece)| Scan::new(self, view, piece, &mut room))
            .collect();
        let mut run = Run {
            set: self,
            facts: &facts,
            scans: &scans,
            active: Vec::new(),
            terms: Vec::new(),
            zones: scans.iter().map(|scan| scan.zone).collect(),
            known: BTreeMap::new(),
            because: Vec::new(),
        };
        run.activate();
        let mut verdict = Verdict {
            ruleset: self.hash.clone(),
            truncated: truncated || was_cut(message),
            ..Verdict::default()
        };
        verdict.robot = run.simple(Facet::Robot);
        verdict.kind = run.simple(Facet::Type);
        if facts.says_little && verdict.kind.certain && !run.is_said(verdict.kind.as_str()) {
            // A title alone places nothing: what the forsendelse says, nobody has read.
            verdict.kind.certain = false;
            run.because.push(Evidence {
                facet: Facet::Type,
                value: verdict.kind.as_str().to_owned(),
                rule: NOTICE_ONLY.to_owned(),
                zone: Zone::Header,
                field: None,
                piece: 0,
                offset: 0,
                term: String::new(),
                strength: 0,
            });
        }
        verdict.direction = run.direction();
        run.destination(&mut verdict);
        run.category(&mut verdict);
        if has_severity(verdict.kind.as_str()) {
            verdict.severity = run.simple(Facet::Severity);
        }
        verdict.reply = run.simple(Facet::Reply);
        verdict.triage = !verdict.kind.certain
            || has_destination(verdict.kind.as_str()) && !verdict.destination.certain;
        verdict.because = run.because;
        verdict.because.sort_by(|a, b| {
            (a.facet, &a.rule, a.zone, a.piece, a.offset, &a.term)
                .cmp(&(b.facet, &b.rule, b.zone, b.piece, b.offset, &b.term))
        });
        let names = named_in(self, &scans, Zone::Sender);
        verdict.reporter = reporter::find(&self.directory, message, &facts, &names);
        verdict.why_not = why_not::find(&self.directory, message, context, &verdict);
        let words: Vec<_> = scans.iter().map(|scan| (scan.zone, scan.words())).collect();
        verdict.language = language::of(&self.directory, &verdict.reporter, &words);
        verdict.reference = language::reference(&views, &words);
        verdict
    }
}

/// Whether text of the message was left out before the rules saw it.
fn was_cut(message: &Message) -> bool {
    message.defects.contains(&Defect::TextTruncated) || message.defects.contains(&Defect::Truncated)
}

/// Parties whose aliases or units stand in a zone.
fn named_in(set: &RuleSet, scans: &[Scan], zone: Zone) -> BTreeSet<usize> {
    let mut parties = BTreeSet::new();
    for scan in scans.iter().filter(|scan| scan.zone == zone) {
        let names = scan.hits().iter().filter(|hit| set.kind(hit.term).is_name);
        for hit in names.filter(|hit| !scan.covered(**hit)) {
            for user in term_at(&set.terms, hit.term)
                .into_iter()
                .flat_map(|term| &term.uses)
            {
                if let Use::Party(party, Entry::Aliases | Entry::Units) = user {
                    parties.insert(*party);
                }
            }
        }
    }
    parties
}

struct Run<'a> {
    set: &'a RuleSet,
    facts: &'a Facts<'a>,
    scans: &'a [Scan],
    /// Rules that have a chance, by facet and whether they are fallbacks, and then in their order.
    active: Vec<Active<'a>>,
    /// The terms of all of them.
    terms: Vec<u32>,
    /// Zones of the scans.
    zones: BTreeSet<Zone>,
    /// What earlier facets came to, and whether that is certain.
    known: BTreeMap<Facet, (String, bool)>,
    because: Vec<Evidence>,
}

/// A rule with those of its terms that stand in the message, in order.
struct Active<'a> {
    facet: Facet,
    fallback: bool,
    rule: &'a Rule,
    terms: Range<usize>,
}

/// Sums by value, and the values that decisive rules speak for.
#[derive(Debug, Default)]
struct Tally {
    sums: BTreeMap<String, i64>,
    decisive: BTreeSet<String>,
    /// Where the first evidence for a value stands: rank of the zone, text, offset.
    places: BTreeMap<String, (u8, usize, usize)>,
}

impl Tally {
    fn add(&mut self, value: &str, strength: i64) {
        let sum = self.sums.entry(value.to_owned()).or_default();
        *sum = sum.saturating_add(strength);
        if strength == DECISIVE {
            self.decisive.insert(value.to_owned());
        }
    }

    /// Of the values that are too close to each other for the lead: the one that speaks first in the message. `None` when
    /// there is only one, or two speak at the same place.
    fn first(&self, lead: i64) -> Option<&String> {
        let best = self.sums.values().copied().max().filter(|best| *best > 0)?;
        let mut close: Vec<(&(u8, usize, usize), &String)> = self
            .sums
            .iter()
            .filter(|(_, sum)| **sum > 0 && best.saturating_sub(**sum) < lead.max(1))
            .filter_map(|(value, _)| Some((self.places.get(value)?, value)))
            .collect();
        close.sort_unstable();
        match close.as_slice() {
            [(first, value), (second, _), ..] if first < second => Some(*value),
            _ => None,
        }
    }

    fn decide(&self, set: &RuleSet, facet: Facet) -> Decision {
        let mut ranked: Vec<(&String, i64)> =
            self.sums.iter().map(|(value, sum)| (value, *sum)).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let mut ranked = ranked.into_iter();
        let Some((best, score)) = ranked.next().filter(|(_, score)| *score > 0) else {
            return Decision {
                value: set.settings.defaults.get(&facet).cloned(),
                ..Decision::default()
            };
        };
        let second = ranked.next();
        let threshold = set.settings.threshold(facet);
        let lead = score.saturating_sub(second.map_or(0, |(_, sum)| sum.max(0)));
        let enough = score >= threshold.min && lead >= threshold.lead.max(1);
        Decision {
            value: Some(best.clone()),
            certain: enough && self.decisive.len() <= 1,
            score,
            runner_up: second.map(|(value, sum)| (value.clone(), sum)),
        }
    }
}

/// Where a zone stands when it is asked what the sender says first; `None` for what is not the sender's own words.
const fn reading_order(zone: Zone) -> Option<u8> {
    match zone {
        Zone::Subject => Some(0),
        Zone::New => Some(1),
        Zone::Forwarded => Some(2),
        Zone::Field => Some(3),
        Zone::Attachment => Some(4),
        Zone::AttachmentName => Some(5),
        Zone::Quoted | Zone::Sender | Zone::Recipient | Zone::Header => None,
    }
}

/// Strength in a zone: `strength × percent / 100`, rounded to the nearest, halves up.
fn weighed(strength: i64, percent: i64) -> i64 {
    strength
        .saturating_mul(percent)
        .saturating_add(50)
        .div_euclid(100)
}

impl Run<'_> {
    /// Whether the content, not only the title or what the message is, speaks for that type.
    fn is_said(&self, kind: &str) -> bool {
        self.because.iter().any(|evidence| {
            evidence.facet == Facet::Type
                && evidence.value == kind
                && evidence.field != Some(FieldName::Tittel)
                && matches!(
                    evidence.zone,
                    Zone::New | Zone::Forwarded | Zone::Attachment | Zone::Field
                )
        })
    }

    fn activate(&mut self) {
        let set = self.set;
        let mut found: Vec<(usize, Option<u32>)> =
            set.wordless.iter().map(|rule| (*rule, None)).collect();
        for scan in self.scans {
            let mut last = None;
            for hit in scan.hits() {
                if last == Some(hit.term) {
                    continue;
                }
                last = Some(hit.term);
                for user in term_at(&self.set.terms, hit.term)
                    .into_iter()
                    .flat_map(|term| &term.uses)
                {
                    if let Use::Rule(rule) = user {
                        found.push((*rule, Some(hit.term)));
                    }
                }
            }
            for pattern in scan.maybe() {
                let rules = self
                    .set
                    .patterns
                    .get(pattern)
                    .into_iter()
                    .flat_map(|pattern| &pattern.rules);
                found.extend(rules.map(|rule| (*rule, None)));
            }
        }
        found.sort_unstable();
        found.dedup();
        for of_rule in found.chunk_by(|a, b| a.0 == b.0) {
            let Some(rule) = of_rule.first().and_then(|(rule, _)| set.rules.get(*rule)) else {
                continue;
            };
            let start = self.terms.len();
            self.terms
                .extend(of_rule.iter().filter_map(|(_, term)| *term));
            self.active.push(Active {
                facet: rule.facet,
                fallback: rule.fallback,
                rule,
                terms: start..self.terms.len(),
            });
        }
        self.active
            .sort_by_key(|active| (active.facet, active.fallback));
    }

    /// The evidence of the fallback rules for a facet, if no value has enough without them.
    fn fallbacks(&mut self, facet: Facet, tally: &mut Tally) {
        let least = self.set.settings.threshold(facet).min;
        if tally.sums.values().all(|sum| *sum < least) {
            self.rules(facet, true, tally);
        }
    }

    /// The evidence of the rules for a facet, the fallback rules or the others.
    fn rules(&mut self, facet: Facet, fallback: bool, tally: &mut Tally) {
        let mut spoken: Vec<(&Rule, Found)> = Vec::new();
        let from = self
            .active
            .partition_point(|active| (active.facet, active.fallback) < (facet, fallback));
        let of_facet = self
            .active
            .iter()
            .skip(from)
            .take_while(|active| (active.facet, active.fallback) == (facet, fallback));
        for Active { rule, terms, .. } in of_facet {
            let terms = self.terms.get(terms.clone()).unwrap_or_default();
            if !self.when(rule) || self.forbidden(rule, terms) {
                continue;
            }
            if rule.once {
                let found = self.speaks(rule, terms, rule.zones);
                spoken.extend(found.map(|found| (*rule, found)));
            } else {
                let zones = self.zones.iter().filter(|zone| rule.zones.has(**zone));
                let found = zones.filter_map(|zone| self.speaks(rule, terms, Zones::of(&[*zone])));
                spoken.extend(found.map(|found| (*rule, found)));
            }
        }
        for (rule, found) in spoken {
            self.record(facet, &rule.value, &rule.id, found, tally);
        }
    }

    fn record(&mut self, facet: Facet, value: &str, rule: &str, found: Found, tally: &mut Tally) {
        if found.strength == 0 {
            return;
        }
        tally.add(value, found.strength);
        if found.strength > 0
            && let Some(rank) = reading_order(found.zone)
        {
            let place = (rank, found.piece, found.offset);
            let known = tally.places.entry(value.to_owned()).or_insert(place);
            *known = place.min(*known);
        }
        let field = self
            .scans
            .iter()
            .find(|scan| (scan.zone, scan.piece) == (found.zone, found.piece))
            .and_then(|scan| scan.field);
        self.because.push(Evidence {
            facet,
            value: value.to_owned(),
            rule: rule.to_owned(),
            zone: found.zone,
            field,
            piece: found.piece,
            offset: found.offset,
            term: found.term,
            strength: found.strength,
        });
    }

    /// A facet that only rules decide.
    fn simple(&mut self, facet: Facet) -> Decision {
        let mut tally = Tally::default();
        self.rules(facet, false, &mut tally);
        self.fallbacks(facet, &mut tally);
        self.first_said(facet, &mut tally);
        let decision = tally.decide(self.set, facet);
        self.learn(facet, &decision);
        decision
    }

    /// What `when` of later rules sees.
    fn learn(&mut self, facet: Facet, decision: &Decision) {
        self.known
            .insert(facet, (decision.as_str().to_owned(), decision.certain));
    }

    /// The addition for what the sender says first, where the lead is missed.
    fn first_said(&mut self, facet: Facet, tally: &mut Tally) {
        let threshold = self.set.settings.threshold(facet);
        if threshold.first == 0 {
            return;
        }
        let Some(value) = tally.first(threshold.lead).cloned() else {
            return;
        };
        let place = self
            .because
            .iter()
            .filter(|evidence| {
                evidence.facet == facet && evidence.value == value && evidence.strength > 0
            })
            .filter_map(|evidence| {
                let rank = reading_order(evidence.zone)?;
                Some(((rank, evidence.piece, evidence.offset), evidence.zone))
            })
            .min_by_key(|(place, _)| *place);
        if let Some(((_, piece, offset), zone)) = place {
            let found = Found {
                strength: threshold.first,
                zone,
                piece,
                offset,
                term: String::new(),
            };
            self.record(facet, &value, "first", found, tally);
        }
    }

    fn when(&self, rule: &Rule) -> bool {
        let when = &rule.when;
        let facts = self.facts;
        let is = |wanted: Option<bool>, real: bool| wanted.is_none_or(|wanted| wanted == real);
        when.values.iter().all(|(facet, values)| {
            let (known, certain) = self
                .known
                .get(facet)
                .map_or(("", false), |(value, certain)| (value.as_str(), *certain));
            // A weak sign of a machine must not make a report ordinary mail.
            if !certain && (when.certain || *facet == Facet::Robot) {
                return false;
            }
            let known = if known.is_empty() && *facet == Facet::Direction {
                "ukjent"
            } else {
                known
            };
            values.iter().any(|value| value == known)
        }) && when.destination_kind.as_ref().is_none_or(|kinds| {
            let party = self
                .known
                .get(&Facet::Destination)
                .filter(|(_, certain)| *certain || !when.certain)
                .and_then(|(id, _)| self.set.directory.party(id));
            party.is_some_and(|party| kinds.contains(&party.kind))
        }) && when
            .sender
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|kind| facts.sender_kinds.contains(kind)))
            && when.thread.is_none_or(|thread| thread == facts.thread)
            && is(when.case_token, facts.case_token)
            && is(when.cites_own, facts.cites_own)
            && is(when.party_in_to, facts.kommune_in_to(&self.set.directory))
            && is(when.attachments, facts.attachments)
            && when
                .marks
                .as_ref()
                .is_none_or(|marks| marks.iter().any(|mark| facts.marks.contains(mark)))
    }

    /// Whether one of the rule's `none` terms stands in its zones.
    fn forbidden(&self, rule: &Rule, terms: &[u32]) -> bool {
        let mut terms = terms
            .iter()
            .filter(|term| rule.none.binary_search(term).is_ok());
        let reads = |scan: &&Scan| rule.zones.has(scan.zone) && rule.fields.admit(scan.field);
        let scans = || self.scans.iter().filter(reads);
        terms.any(|term| scans().any(|scan| !scan.of(*term).is_empty()))
    }

    fn percent(&self, rule: &Rule, zone: Zone) -> i64 {
        let factor = self.set.settings.factor(zone);
        if rule.zones_named {
            factor.max(100)
        } else {
            factor
        }
    }

    /// The evidence of a rule in these zones, if all its groups are there.
    fn speaks(&self, rule: &Rule, terms: &[u32], zones: Zones) -> Option<Found> {
        // Cheap to see, and enough for most rules.
        let stands = |term: &u32| terms.binary_search(term).is_ok();
        if !rule.all.iter().chain(&rule.near).all(stands) {
            return None;
        }
        let mut places: Vec<Place<'_>> = Vec::new();
        let reads = |scan: &&Scan| zones.has(scan.zone) && rule.fields.admit(scan.field);
        let scans = || self.scans.iter().filter(reads);
        if !rule.any.is_empty() {
            // Only those that stand somewhere in the message, so that a long list costs no more than a short one.
            let any: Vec<u32> = terms
                .iter()
                .copied()
                .filter(|term| rule.any.binary_search(term).is_ok())
                .collect();
            let best = scans().filter_map(|scan| self.first(rule, scan, &any));
            places.push(strongest(best)?);
        }
        if !rule.near.is_empty() || !rule.near_any.is_empty() {
            places.push(strongest(
                scans().filter_map(|scan| self.near(rule, terms, scan)),
            )?);
        }
        if !rule.regex.is_empty() {
            let found = scans().flat_map(|scan| {
                let hits = scan.matches(self.set, &rule.regex);
                hits.map(|(pattern, offset)| Place {
                    percent: self.percent(rule, scan.zone),
                    zone: scan.zone,
                    piece: scan.piece,
                    offset,
                    term: &pattern.raw,
                })
            });
            places.push(strongest(found)?);
        }
        for term in &rule.all {
            let found =
                scans().filter_map(|scan| self.first(rule, scan, std::slice::from_ref(term)));
            places.push(strongest(found)?);
        }
        let Some(least) = places.iter().map(|place| place.percent).min() else {
            // Only conditions: nothing of the text speaks.
            return rule.none_of_text().then(|| Found {
                strength: rule.strength,
                zone: Zone::Header,
                piece: 0,
                offset: 0,
                term: String::new(),
            });
        };
        let place = places.into_iter().next()?;
        let strength = if rule.strength == DECISIVE && least >= 50 {
            DECISIVE
        } else {
            weighed(rule.strength.min(20), least)
        };
        Some(Found {
            strength,
            zone: place.zone,
            piece: place.piece,
            offset: place.offset,
            term: place.term.to_owned(),
        })
    }

    fn counts(rule: &Rule, scan: &Scan, hit: Hit, has_cue: bool) -> bool {
        !rule.negatable || has_cue || !scan.negated(hit)
    }

    /// The first place of one of the terms that counts.
    fn first(&self, rule: &Rule, scan: &Scan, terms: &[u32]) -> Option<Place<'_>> {
        let first = |number: &u32| {
            let term = term_at(&self.set.terms, *number)?;
            let hit = scan
                .of(*number)
                .iter()
                .find(|hit| Self::counts(rule, scan, **hit, term.has_cue))?;
            Some((hit.start, *number, *hit, term))
        };
        let (_, _, hit, term) = terms
            .iter()
            .filter_map(first)
            .min_by_key(|(start, number, ..)| (*start, *number))?;
        Some(Place {
            percent: self.percent(rule, scan.zone),
            zone: scan.zone,
            piece: scan.piece,
            offset: scan.offset(hit),
            term: &term.raw,
        })
    }

    /// The first window of `within` words in one sentence that holds a hit of every term of `near` and of one term of each
    /// list of `near_any`. A term with a cue says itself what is missing: beside it the others count in its clause, too.
    fn near(&self, rule: &Rule, terms: &[u32], scan: &Scan) -> Option<Place<'_>> {
        let has_cue =
            |number: u32| term_at(&self.set.terms, number).is_some_and(|term| term.has_cue);
        // Only terms that stand in the message, as for `any`.
        let lists = rule.near_any.iter().map(|list| {
            let stand = terms
                .iter()
                .copied()
                .filter(|term| list.binary_search(term).is_ok());
            stand.collect::<Vec<u32>>()
        });
        let groups: Vec<Vec<u32>> = rule
            .near
            .iter()
            .map(|term| vec![*term])
            .chain(lists)
            .collect();
        let counting = groups
            .iter()
            .map(|group| {
                hits_of(scan, group, |number, hit| {
                    Self::counts(rule, scan, hit, has_cue(number))
                })
            })
            .collect();
        let mut windows = vec![window(scan, rule.within, counting)];
        for (cue_group, group) in groups.iter().enumerate() {
            if !rule.negatable || !group.iter().any(|number| has_cue(*number)) {
                continue;
            }
            let cues = hits_of(scan, group, |number, _| has_cue(number));
            let clauses: BTreeSet<u32> = cues.iter().map(|cue| scan.clause(*cue)).collect();
            let beside = |hit: Hit| clauses.contains(&scan.clause(hit));
            let lists = groups
                .iter()
                .enumerate()
                .map(|(at, group)| {
                    if at == cue_group {
                        return cues.clone();
                    }
                    hits_of(scan, group, |number, hit| {
                        Self::counts(rule, scan, hit, has_cue(number)) || beside(hit)
                    })
                })
                .collect();
            windows.push(window(scan, rule.within, lists));
        }
        let first = windows
            .into_iter()
            .flatten()
            .min_by_key(|hit| (hit.start, hit.term))?;
        Some(Place {
            percent: self.percent(rule, scan.zone),
            zone: scan.zone,
            piece: scan.piece,
            offset: scan.offset(first),
            term: &term_at(&self.set.terms, first.term)?.raw,
        })
    }

    /// Who reports: rules, and the sender's party, domain and name.
    fn direction(&mut self) -> Decision {
        let set = self.set;
        let mut tally = Tally::default();
        self.rules(Facet::Direction, false, &mut tally);
        let strength = set.settings.domain_strength;
        let mut said: BTreeSet<&'static str> = BTreeSet::new();
        if self.facts.own_sender {
            let found = Found {
                strength,
                zone: Zone::Sender,
                piece: 0,
                offset: 0,
                term: String::new(),
            };
            self.record(
                Facet::Direction,
                "fra-sykehus",
                "own:domain",
                found,
                &mut tally,
            );
            said.insert("fra-sykehus");
        } else {
            for kind in &self.facts.sender_kinds {
                if let Some(value) = direction_of(*kind) {
                    let found = Found {
                        strength,
                        zone: Zone::Sender,
                        piece: 0,
                        offset: 0,
                        term: String::new(),
                    };
                    self.record(Facet::Direction, value, "sender:domain", found, &mut tally);
                    said.insert(value);
                }
            }
        }
        for index in named_in(set, self.scans, Zone::Sender) {
            let Some(party) = set.directory.parties.get(index) else {
                continue;
            };
            let Some(value) = direction_of(sender_kind(party.kind)) else {
                continue;
            };
            if said.insert(value) {
                let strength = set
                    .strengths
                    .get(index)
                    .and_then(|strengths| strengths.get(&Entry::Aliases))
                    .copied();
                let found = Found {
                    strength: strength.unwrap_or_default(),
                    zone: Zone::Sender,
                    piece: 0,
                    offset: 0,
                    term: party.name.clone(),
                };
                let rule = format!("part:{}:sender", party.id);
                self.record(Facet::Direction, value, &rule, found, &mut tally);
            }
        }
        self.fallbacks(Facet::Direction, &mut tally);
        let decision = tally.decide(set, Facet::Direction);
        self.learn(Facet::Direction, &decision);
        decision
    }

    fn category(&mut self, verdict: &mut Verdict) {
        let kind = verdict.kind.as_str();
        if kind == "forbedring" {
            // The annual report counts every forbedringsforslag as category 9.
            verdict.category = Decision {
                value: Some("annet".to_owned()),
                certain: verdict.kind.certain,
                ..Decision::default()
            };
            let decision = verdict.category.clone();
            self.learn(Facet::Category, &decision);
        } else if has_category(kind) {
            verdict.category = self.simple(Facet::Category);
        }
    }
}

fn direction_of(kind: SenderKind) -> Option<&'static str> {
    match kind {
        SenderKind::Kommune => Some("fra-kommune"),
        SenderKind::Fastlege => Some("fra-fastlege"),
        SenderKind::Klinikk
        | SenderKind::Samhandling
        | SenderKind::AnnetSykehus
        | SenderKind::Own => Some("fra-sykehus"),
        SenderKind::Portal | SenderKind::Ukjent => None,
    }
}

/// Where a group of a rule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place<'a> {
    percent: i64,
    zone: Zone,
    piece: usize,
    offset: usize,
    term: &'a str,
}

/// The hits of some terms that count.
fn hits_of(scan: &Scan, terms: &[u32], counts: impl Fn(u32, Hit) -> bool) -> Vec<Hit> {
    let hits = terms.iter().flat_map(|number| scan.of(*number));
    hits.copied().filter(|hit| counts(hit.term, *hit)).collect()
}

/// The first hit of the first window of `within` words in one sentence that holds a hit of every list.
fn window(scan: &Scan, within: usize, lists: Vec<Vec<Hit>>) -> Option<Hit> {
    if lists.iter().any(Vec::is_empty) {
        return None;
    }
    let mut latest: Vec<Option<Hit>> = vec![None; lists.len()];
    let mut hits: Vec<(Hit, usize)> = lists
        .into_iter()
        .enumerate()
        .flat_map(|(at, list)| list.into_iter().map(move |hit| (hit, at)))
        .collect();
    hits.sort_unstable_by_key(|(hit, at)| (hit.start, hit.end, *at, hit.term));
    for (hit, at) in hits {
        if let Some(slot) = latest.get_mut(at) {
            *slot = Some(hit);
        }
        // All lists seen, each at its latest place: the window that ends here is the tightest.
        let Some(all) = latest.iter().copied().collect::<Option<Vec<Hit>>>() else {
            continue;
        };
        let start = all.iter().map(|hit| hit.start).min().unwrap_or_default();
        let last = all.iter().map(|hit| hit.start).max().unwrap_or_default();
        let width: usize = all
            .iter()
            .filter(|hit| hit.start == start)
            .map(|hit| hit.end.saturating_sub(hit.start))
            .max()
            .unwrap_or(1);
        let gap = last.saturating_sub(start.saturating_add(width.saturating_sub(1)));
        let sentence = scan.sentence(hit);
        if gap <= within && all.iter().all(|hit| scan.sentence(*hit) == sentence) {
            return all.into_iter().min_by_key(|hit| (hit.start, hit.term));
        }
    }
    None
}

/// The place with the highest percentage; of equal ones the first by zone and offset.
fn strongest<'a>(places: impl Iterator<Item = Place<'a>>) -> Option<Place<'a>> {
    places.min_by(|a, b| {
        b.percent.cmp(&a.percent).then_with(|| {
            (a.zone, a.piece, a.offset, a.term).cmp(&(b.zone, b.piece, b.offset, b.term))
        })
    })
}
