//! One pass over each text of a message: words and terms that stand in it, regular expressions that may, and which terms do
//! not count because a negating or soothing cue stands in the same clause.

use super::compile::{Pattern, Room, RuleSet};
use super::fold::{Words, fold_text, tokenise};
use super::lexicon::{HITS_PER_TERM_MAX, Hit};
use super::view::View;
use crate::message::{FieldName, Zone};
use std::ops::Range;

/// What stands in one text.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) zone: Zone,
    /// The field of the form that it is.
    pub(super) field: Option<FieldName>,
    /// Which of the texts of that zone.
    pub(super) piece: usize,
    /// Byte offset at which the signature begins.
    pub(super) signature: usize,
    words: Words,
    hits: Vec<Hit>,
    /// See [`reaches`].
    reaches: Vec<(usize, usize)>,
    /// Clauses with a cue, in order.
    cues: Vec<u32>,
    /// Folded, and where each of its bytes comes from; empty where no regular expression may match.
    folded: String,
    places: Vec<u32>,
    /// Regular expressions that may match, by number, and where. Most are of rules that are not asked at all, so each is
    /// tried only when its rule is.
    maybe: Vec<(usize, Range<usize>)>,
}

impl Scan {
    pub(super) fn new(set: &RuleSet, view: &View<'_>, piece: usize, room: &mut Room) -> Self {
        let words = tokenise(&view.text, &set.settings.breaks);
        let mut hits = set.lexicon.scan(&words);
        let reaches = reaches(set, &hits);
        limit(&mut hits);
        let mut cues: Vec<u32> = Vec::new();
        for hit in hits
            .iter()
            .filter(|hit| set.kind(hit.term).is_cue && !covered(&reaches, **hit))
        {
            cues.extend(
                words
                    .tokens()
                    .iter()
                    .take(hit.end)
                    .skip(hit.start)
                    .map(|token| token.clause),
            );
        }
        cues.sort_unstable();
        cues.dedup();
        let mut maybe = Vec::new();
        let (mut folded, mut places) = (String::new(), Vec::new());
        if set.pattern_zones.has(view.zone) {
            (folded, places) = fold_text(&view.text);
            set.traces.find(&folded, room, |number, range| {
                let pattern = set.patterns.get(number);
                if pattern.is_some_and(|pattern| pattern.zones.has(view.zone)) {
                    maybe.push((number, range));
                }
            });
            maybe.sort_by_key(|(number, _)| *number);
        }
        Self {
            zone: view.zone,
            field: view.field,
            piece,
            signature: view.signature,
            words,
            hits,
            reaches,
            cues,
            folded,
            places,
            maybe,
        }
    }

    /// The words, in order.
    pub(super) const fn words(&self) -> &Words {
        &self.words
    }

    /// All hits, ordered by term and place.
    pub(super) fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// The hits of a term, in the order of place.
    pub(super) fn of(&self, term: u32) -> &[Hit] {
        let from = self.hits.partition_point(|hit| hit.term < term);
        let to = self.hits.partition_point(|hit| hit.term <= term);
        self.hits.get(from..to).unwrap_or_default()
    }

    /// Regular expressions that may match.
    pub(super) fn maybe(&self) -> impl Iterator<Item = usize> {
        self.maybe.iter().map(|(number, _)| *number)
    }

    /// The regular expressions of a list that match, with the offset of the first match.
    pub(super) fn matches<'s>(
        &'s self,
        set: &'s RuleSet,
        numbers: &'s [usize],
    ) -> impl Iterator<Item = (&'s Pattern, usize)> {
        self.maybe
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(move |ranges| {
                let (number, _) = ranges.first().filter(|(one, _)| numbers.contains(one))?;
                let pattern = set.patterns.get(*number)?;
                let found = ranges
                    .iter()
                    .find_map(|(_, range)| pattern.find(&self.folded, range))?;
                let place = self.places.get(found);
                let offset = place.and_then(|place| usize::try_from(*place).ok());
                Some((pattern, offset.unwrap_or_default()))
            })
    }

    /// Whether the hit lies inside a longer name of the directory or a phrase to ignore, and so says nothing of the
    /// directory: «Fredrikstad» in «DPS Fredrikstad», «ikke» in «ikke bare».
    pub(super) fn covered(&self, hit: Hit) -> bool {
        covered(&self.reaches, hit)
    }

    /// Byte offset of a hit in the text.
    pub(super) fn offset(&self, hit: Hit) -> usize {
        self.words.get(hit.start).map_or(0, |token| token.start)
    }

    /// The sentence in which a hit begins.
    pub(super) fn sentence(&self, hit: Hit) -> u32 {
        self.words.get(hit.start).map_or(0, |token| token.sentence)
    }

    /// The clause in which a hit begins.
    pub(super) fn clause(&self, hit: Hit) -> u32 {
        self.words.get(hit.start).map_or(0, |token| token.clause)
    }

    /// Whether a cue stands in a clause of the hit.
    pub(super) fn negated(&self, hit: Hit) -> bool {
        !self.cues.is_empty()
            && self
                .words
                .tokens()
                .iter()
                .take(hit.end)
                .skip(hit.start)
                .any(|token| self.cues.binary_search(&token.clause).is_ok())
    }
}

/// The longest reach of the directory's and the ignored phrases, by where they begin: (start, furthest end of all that
/// begin at or before it).
fn reaches(set: &RuleSet, hits: &[Hit]) -> Vec<(usize, usize)> {
    let mut covers: Vec<(usize, usize)> = hits
        .iter()
        .filter(|hit| set.kind(hit.term).covers)
        .map(|hit| (hit.start, hit.end))
        .collect();
    covers.sort_unstable();
    let mut reaches: Vec<(usize, usize)> = Vec::with_capacity(covers.len());
    let mut reach = 0_usize;
    for (start, end) in covers {
        reach = reach.max(end);
        match reaches.last_mut() {
            Some((last, to)) if *last == start => *to = reach,
            _ => reaches.push((start, reach)),
        }
    }
    reaches
}

fn covered(reaches: &[(usize, usize)], hit: Hit) -> bool {
    let reach_at = |start: usize| -> usize {
        let count = reaches.partition_point(|(from, _)| *from <= start);
        count
            .checked_sub(1)
            .and_then(|at| reaches.get(at))
            .map_or(0, |(_, to)| *to)
    };
    reach_at(hit.start) > hit.end || hit.start.checked_sub(1).map_or(0, reach_at) >= hit.end
}

/// Keeps the first [`HITS_PER_TERM_MAX`] hits of each term.
fn limit(hits: &mut Vec<Hit>) {
    let mut term = u32::MAX;
    let mut count = 0_usize;
    hits.retain(|hit| {
        if hit.term != term {
            term = hit.term;
            count = 0;
        }
        count = count.saturating_add(1);
        count <= HITS_PER_TERM_MAX
    });
}
