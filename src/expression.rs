//! Regular expressions as the engine runs them, with tables that all threads share.
//!
//! An expression fills tables while it is used. `regex` keeps them for each of many threads, however few are at work; here the
//! first is used as long as it is free, so that there is mostly one, and it is warm for every thread.

use std::ops::Range;
use std::sync::{Mutex, TryLockError};

use regex::Regex;
use regex_automata::Input;
use regex_automata::meta;
use regex_automata::util::syntax;

/// How many messages may be looked at in one expression at the same moment before one of them has to begin anew.
const TABLES: usize = 8;
/// Bytes that the automaton of one expression may have, and the table that it fills while it is used: as `regex` has them.
const AUTOMATON_BYTES_MAX: usize = 10 << 20;
const TABLE_BYTES_MAX: usize = 2 << 20;

/// An expression, or several that are looked for together.
#[derive(Debug)]
pub(crate) struct Expression {
    automaton: meta::Regex,
    tables: [Mutex<Option<Box<meta::Cache>>>; TABLES],
}

impl Expression {
    /// Of bytes: classes and borders of words are those of ASCII.
    pub(crate) fn of_bytes(pattern: &str) -> Option<Self> {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let config = meta::Config::new().utf8_empty(false);
        Self::build(&[pattern], syntax, config)
    }

    /// A constant pattern. Each is used by a test, so a faulty one cannot be released.
    pub(crate) fn constant(pattern: &str) -> Self {
        Self::constants(&[pattern])
    }

    /// Constant patterns. [`Expression::which`] tells the first of them where several stand at the same place.
    pub(crate) fn constants<P: AsRef<str>>(patterns: &[P]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "constant patterns, each compiled by a test"
        )]
        Self::build(patterns, syntax::Config::new(), meta::Config::new())
            .expect("constant patterns")
    }

    fn build<P: AsRef<str>>(
        patterns: &[P],
        syntax: syntax::Config,
        config: meta::Config,
    ) -> Option<Self> {
        let config = config
            .nfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .hybrid_cache_capacity(TABLE_BYTES_MAX);
        let automaton = meta::Builder::new()
            .syntax(syntax)
            .configure(config)
            .build_many(patterns)
            .ok()?;
        Some(Self {
            automaton,
            tables: Default::default(),
        })
    }

    /// Works with a table that nobody else uses.
    fn with_table<T>(&self, work: impl FnOnce(&mut meta::Cache) -> T) -> T {
        let new = || Box::new(self.automaton.create_cache());
        for table in &self.tables {
            match table.try_lock() {
                Ok(mut table) => return work(table.get_or_insert_with(new)),
                Err(TryLockError::Poisoned(poisoned)) => {
                    // Whoever used it fell while the table was being filled.
                    let mut table = poisoned.into_inner();
                    return work(table.insert(new()));
                }
                Err(TryLockError::WouldBlock) => {}
            }
        }
        work(&mut new())
    }

    /// Whether it stands in the text, or in the given range of it.
    pub(crate) fn is_match<'t>(&self, text: impl Into<Input<'t>>) -> bool {
        let input = text.into().earliest(true);
        self.with_table(|table| self.automaton.search_half_with(table, &input))
            .is_some()
    }

    /// Where it stands first.
    pub(crate) fn find<'t>(&self, text: impl Into<Input<'t>>) -> Option<Range<usize>> {
        let input = text.into();
        self.with_table(|table| self.automaton.search_with(table, &input))
            .map(|found| found.range())
    }

    /// Which of several stands first, by its place in their list.
    pub(crate) fn which<'t>(&self, text: impl Into<Input<'t>>) -> Option<usize> {
        let input = text.into();
        self.with_table(|table| self.automaton.search_half_with(table, &input))
            .map(|found| found.pattern().as_usize())
    }
}

/// A constant pattern of which groups are wanted, or that is seldom looked for. Each is used by a test.
pub(crate) fn with_groups(pattern: &str) -> Regex {
    #[expect(
        clippy::expect_used,
        reason = "constant patterns, each compiled by a test"
    )]
    Regex::new(pattern).expect("constant pattern")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_regex_finds() {
        let pattern = r"(?i)\bår\s?\d{2,4}\b";
        let (ours, theirs) = (Expression::constant(pattern), Regex::new(pattern).unwrap());
        for text in [
            "",
            "År 2026",
            "i år 26 og år 27",
            "får 26",
            "år26x",
            "på år\u{a0}26",
        ] {
            assert_eq!(ours.is_match(text), theirs.is_match(text), "{text}");
            let range = theirs.find(text).map(|found| found.range());
            assert_eq!(ours.find(text), range, "{text}");
        }
    }

    #[test]
    fn the_first_of_several_that_stand_there_is_told() {
        let several = Expression::constants(&["^a[a-z]*$", "^ab$", "^b"]);
        let which = |text: &str| several.which(text);
        assert_eq!((which("ab"), which("bx")), (Some(0), Some(2)));
        assert_eq!(which("xa"), None);
    }

    #[test]
    fn more_threads_than_tables_find_the_same() {
        let expression = Expression::constant("[a-c]+d");
        let (start, threads) = (std::sync::Barrier::new(2 * TABLES), 0..2 * TABLES);
        std::thread::scope(|scope| {
            for _ in threads {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..200 {
                        assert_eq!(expression.find("xxabcdx"), Some(2..6));
                    }
                });
            }
        });
    }
}
