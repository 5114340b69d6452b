//! Damage at random, for fuzzing on the stable compiler: a few hundred inputs from a fixed beginning, or, with
//! `LINJEVEI_FUZZ_SECS`, for so long, each time from another one.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test program uses a part of it"
)]

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Where it ends, and what it threw so far.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
    begun: Instant,
    at_most: Option<Duration>,
    few: u64,
    runs: u64,
}

impl Mutator {
    /// So many inputs, unless the environment asks for a time.
    pub fn few(few: u64) -> Self {
        let secs = std::env::var("LINJEVEI_FUZZ_SECS").ok();
        let at_most = secs.map(|secs| Duration::from_secs(secs.parse().expect("seconds")));
        let state = at_most.map_or(0x9e37_79b9_7f4a_7c15, |_| {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap() | 1
        });
        println!("begins with {state:#x}");
        Self {
            state,
            begun: Instant::now(),
            at_most,
            few,
            runs: 0,
        }
    }

    /// Whether one more input is to be tried.
    pub fn goes_on(&mut self) -> bool {
        let more = match self.at_most {
            Some(at_most) => self.begun.elapsed() < at_most,
            None => self.runs < self.few,
        };
        if more {
            self.runs += 1;
        } else {
            println!(
                "{} damaged inputs in {} s",
                self.runs,
                self.begun.elapsed().as_secs()
            );
        }
        more
    }

    /// A number below the limit (xorshift).
    pub fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// One of them.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Damages the bytes in up to twelve places; `words` are put in too.
    pub fn damage(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str]) {
        for _ in 0..=self.below(12) {
            let length = bytes.len();
            if length < 4 {
                break;
            }
            let at = self.below(length);
            match self.below(if words.is_empty() { 8 } else { 11 }) {
                0 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => {
                    let end = (at + self.below(60)).min(length);
                    bytes.drain(at..end);
                }
                4 => {
                    let end = (at + self.below(200)).min(length);
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(length);
                    bytes.splice(to..to, piece);
                }
                5 => {
                    // A number becomes a large one.
                    if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                        let to = at + digit;
                        bytes.splice(to..to, *b"99999999");
                    }
                }
                6 => {
                    let other = self.one(others).clone();
                    let from = self.below(other.len());
                    let piece = &other[from..(from + self.below(300)).min(other.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                7 => {
                    let end = (at + 4).min(length);
                    let with = [0x00, 0xff, 0x7f, 0x80][self.below(4)];
                    bytes[at..end].fill(with);
                }
                _ => {
                    let word = *self.one(words);
                    bytes.splice(at..at, word.bytes());
                }
            }
        }
    }

    /// Tries one input. A panic, or a reason that the check gives, is a finding: the input is kept in the temporary folder.
    pub fn attempt(&self, name: &str, input: &[u8], check: impl FnOnce() -> Result<(), String>) {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(check));
        let fault = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => "it panicked".to_owned(),
        };
        let path = std::env::temp_dir().join(format!("linjevei-funn-{}-{name}", self.runs));
        std::fs::write(&path, input).unwrap();
        panic!("{fault}: {}", path.display());
    }
}
