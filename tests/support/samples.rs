//! The sample messages of the repository: the labelled ones and those of the demo.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test program uses a part of it"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use linjevei::message::content_hash;

/// A sample message.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its file.
    pub name: String,
    /// The message.
    pub bytes: Vec<u8>,
    /// Its identity by content, as linjevei computes it.
    pub hash: String,
}

/// The sample mailbox of the demo, with broken mail too.
const DEMO: &str = "src/cli/demo/mailbox";
/// The labelled messages by which the rules are measured.
const LABELLED: [&str; 2] = ["tests/fixtures/dev", "tests/fixtures/messages"];

/// 200 messages of different content: those of the demo, and as many of the labelled ones as it takes.
///
/// # Panics
/// When there are fewer.
pub fn two_hundred() -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = fs::read_dir(root.join(DEMO))
        .unwrap()
        .map(|day| day.unwrap().path())
        .collect();
    folders.sort();
    folders.extend(LABELLED.map(|folder| root.join(folder)));
    let mut samples: Vec<Sample> = folders.iter().flat_map(|folder| of(folder)).collect();
    // Replies of the demo answer mail that it writes; here they would have nothing to answer.
    samples.retain(|sample| !sample.bytes.windows(2).any(|two| two == b"{{"));
    let mut seen = BTreeSet::new();
    samples.retain(|sample| seen.insert(sample.hash.clone()));
    assert!(samples.len() >= 200, "only {} messages", samples.len());
    samples.truncate(200);
    samples
}

/// The messages of a folder, by name.
///
/// # Panics
/// When there are none.
pub fn of(folder: &Path) -> Vec<Sample> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no messages in {}", folder.display());
    let sample = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).unwrap();
        Sample {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            hash: content_hash(&bytes).0,
            bytes,
        }
    };
    files.iter().map(sample).collect()
}
