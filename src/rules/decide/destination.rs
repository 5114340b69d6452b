//! Who has to answer: rules, the names of the directory, the recipients, and what the direction makes likely.
//!
//! What only the sender's own name, a signature or the sender's zone says is counted only where nothing else speaks, and
//! then the destination is never certain: the sender writes from a place, the report is about another.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Run, Tally, named_in, weighed};
use crate::message::Zone;
use crate::rules::model::{Entry, Use, term_at};
use crate::rules::{Decision, Facet, PartyKind, Verdict};

/// Entries of one sort that count for one party: the strongest ones.
const ENTRIES_MAX: usize = 3;

/// Clinics that all reach the least sum without a clear winner: from this number on the case is the department's.
const CLINICS_MANY: usize = 3;

impl Run<'_> {
    pub(super) fn destination(&mut self, verdict: &mut Verdict) {
        let kind = verdict.kind.as_str();
        if kind == "svar" || kind == "ikke-avvik" {
            let value = if kind == "svar" { "sak" } else { "postmottak" };
            verdict.destination = Decision {
                value: Some(value.to_owned()),
                certain: verdict.kind.certain,
                ..Decision::default()
            };
            return;
        }
        let set = self.set;
        let mut tally = Tally::default();
        self.rules(Facet::Destination, false, &mut tally);
        let doubtful = self.directory(&mut tally);
        self.recipients(&mut tally);
        let mut decision;
        let samhandling = set.directory.samhandling().map(|party| party.id.clone());
        self.bias(verdict, &mut tally);
        self.fallbacks(Facet::Destination, &mut tally);
        if tally.sums.values().any(|sum| *sum > 0) {
            decision = tally.decide(set, Facet::Destination);
            self.clinics(&tally, samhandling.as_deref(), &mut decision, verdict);
        } else {
            // Only the sender's own name or a signature speaks: a guess, never certain.
            for (value, rule, found) in doubtful {
                self.record(Facet::Destination, &value, &rule, found, &mut tally);
            }
            decision = tally.decide(set, Facet::Destination);
            decision.certain = false;
            self.not_the_sender(verdict, samhandling.as_deref(), &mut decision);
        }
        if verdict.kind.as_str() == "faktura"
            && let Some(samhandling) = samhandling
            && decision.as_str() != samhandling
            && !decision.as_str().is_empty()
            && !verdict.copies.contains(&samhandling)
        {
            verdict.copies.push(samhandling);
        }
        self.learn(Facet::Destination, &decision);
        verdict.destination = decision;
    }

    /// A kommune that reports is not the one to answer: when only its own name stands in the message, the department is
    /// the better guess.
    fn not_the_sender(
        &self,
        verdict: &Verdict,
        samhandling: Option<&str>,
        decision: &mut Decision,
    ) {
        let index = self.set.directory.by_id.get(decision.as_str());
        let is_sender = index.is_some_and(|index| {
            self.facts.sender_parties.contains(index)
                || named_in(self.set, self.scans, Zone::Sender).contains(index)
        });
        if verdict.direction.as_str() == "fra-kommune"
            && is_sender
            && let Some(samhandling) = samhandling
        {
            decision.runner_up = decision.value.take().map(|value| (value, decision.score));
            decision.score = 0;
            decision.value = Some(samhandling.to_owned());
        }
    }

    /// Several clinics that all have enough: with the department as destination they get copies; three and more without
    /// a winner make it the destination, in doubt.
    fn clinics(
        &self,
        tally: &Tally,
        samhandling: Option<&str>,
        decision: &mut Decision,
        verdict: &mut Verdict,
    ) {
        let Some(samhandling) = samhandling else {
            return;
        };
        let least = self.set.settings.threshold(Facet::Destination).min;
        let mut clinics: Vec<(&String, i64)> = tally
            .sums
            .iter()
            .filter(|(id, sum)| {
                **sum >= least
                    && self
                        .set
                        .directory
                        .party(id)
                        .is_some_and(|party| party.kind == PartyKind::Klinikk)
            })
            .map(|(id, sum)| (id, *sum))
            .collect();
        clinics.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let names = || {
            clinics
                .iter()
                .map(|(id, _)| (*id).clone())
                .collect::<Vec<_>>()
        };
        if decision.as_str() == samhandling {
            if clinics.len() > 1 {
                verdict.copies = names();
            }
        } else if !decision.certain
            && clinics.len() >= CLINICS_MANY
            && clinics.iter().any(|(id, _)| *id == decision.as_str())
        {
            verdict.copies = names();
            decision.runner_up = decision.value.take().map(|value| (value, decision.score));
            decision.score = tally.sums.get(samhandling).copied().unwrap_or_default();
            decision.value = Some(samhandling.to_owned());
        }
    }

    /// What the directory's names say of the destination. What only the sender's own name, a signature or the sender zone
    /// says is not counted but handed back.
    fn directory(&mut self, tally: &mut Tally) -> Vec<(String, String, Found)> {
        let set = self.set;
        let mut best: BTreeMap<(usize, Entry, bool), BTreeMap<u32, Found>> = BTreeMap::new();
        let kommune_in_to = self.facts.kommune_in_to(&set.directory);
        let named = if self.facts.portal.is_some() || self.facts.inner.is_some() {
            named_in(set, self.scans, Zone::Sender)
        } else {
            BTreeSet::new()
        };
        for scan in self.scans.iter().filter(|scan| scan.zone != Zone::Header) {
            let percent = set.settings.factor(scan.zone);
            let hits = scan.hits().iter().filter(|hit| set.kind(hit.term).is_name);
            for hit in hits.filter(|hit| !scan.covered(**hit)) {
                let Some(term) = term_at(&set.terms, hit.term) else {
                    continue;
                };
                for user in &term.uses {
                    let Use::Party(index, entry) = user else {
                        continue;
                    };
                    let Some(party) = set.directory.parties.get(*index) else {
                        continue;
                    };
                    let offset = scan.offset(*hit);
                    let own = self.facts.sender_parties.contains(index)
                        || named.contains(index)
                        || self.facts.own_sender
                            && kommune_in_to
                            && matches!(party.kind, PartyKind::Klinikk | PartyKind::Samhandling);
                    let doubtful = own || scan.zone == Zone::Sender || offset >= scan.signature;
                    let base = set
                        .strengths
                        .get(*index)
                        .and_then(|strengths| strengths.get(entry))
                        .copied();
                    let strength = weighed(base.unwrap_or_default(), percent);
                    let found = || Found {
                        strength,
                        zone: scan.zone,
                        piece: scan.piece,
                        offset,
                        term: term.raw.clone(),
                    };
                    let slot = best
                        .entry((*index, *entry, doubtful))
                        .or_default()
                        .entry(hit.term);
                    slot.and_modify(|known| {
                        if strength > known.strength {
                            *known = found();
                        }
                    })
                    .or_insert_with(found);
                }
            }
        }
        let mut doubtful_evidence = Vec::new();
        for ((index, entry, doubtful), found) in best {
            let Some(party) = set.directory.parties.get(index) else {
                continue;
            };
            // A report about a fastlege goes by way of the department.
            let value = match party.kind {
                PartyKind::Fastlege => set
                    .directory
                    .samhandling()
                    .map_or(party.id.as_str(), |party| party.id.as_str()),
                _ => party.id.as_str(),
            };
            let mut found: Vec<Found> = found.into_values().collect();
            found.sort_by(|a, b| {
                b.strength.cmp(&a.strength).then(
                    (a.zone, a.piece, a.offset, &a.term).cmp(&(b.zone, b.piece, b.offset, &b.term)),
                )
            });
            let rule = format!("part:{}:{}", party.id, entry.id());
            for found in found.into_iter().take(ENTRIES_MAX) {
                if doubtful {
                    doubtful_evidence.push((value.to_owned(), rule.clone(), found));
                } else {
                    self.record(Facet::Destination, value, &rule, found, tally);
                }
            }
        }
        doubtful_evidence
    }

    /// A party in To or Cc, with an address that is not ours and not the sender's, is meant.
    fn recipients(&mut self, tally: &mut Tally) {
        for index in &self.facts.recipients {
            let Some(party) = self.set.directory.parties.get(*index) else {
                continue;
            };
            if self.facts.sender_parties.contains(index) || party.kind == PartyKind::Fastlege {
                continue;
            }
            let found = Found {
                strength: self.set.settings.recipient_strength,
                zone: Zone::Recipient,
                piece: 0,
                offset: 0,
                term: String::new(),
            };
            self.record(
                Facet::Destination,
                &party.id,
                &format!("part:{}:recipient", party.id),
                found,
                tally,
            );
        }
    }

    /// `[direction_bias]`: only for parties that something speaks for.
    fn bias(&mut self, verdict: &Verdict, tally: &mut Tally) {
        let set = self.set;
        if !verdict.direction.certain {
            return;
        }
        let Some(bias) = set.settings.bias.get(verdict.direction.as_str()) else {
            return;
        };
        let candidates: Vec<String> = tally
            .sums
            .iter()
            .filter(|(_, sum)| **sum > 0)
            .map(|(id, _)| id.clone())
            .collect();
        for id in candidates {
            let Some(party) = set.directory.party(&id) else {
                continue;
            };
            if let Some(strength) = bias.get(&party.kind) {
                let found = Found {
                    strength: *strength,
                    zone: Zone::Sender,
                    piece: 0,
                    offset: 0,
                    term: String::new(),
                };
                let rule = format!("bias:{}", verdict.direction.as_str());
                self.record(Facet::Destination, &id, &rule, found, tally);
            }
        }
    }
}
