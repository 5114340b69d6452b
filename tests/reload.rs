//! Rules that are edited while the worker runs: loaded as a whole or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running worker with rules of its own in a temporary folder.
struct Worker {
    dir: TempDir,
    child: Child,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

impl Worker {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&project.join("rules/ostfold"), &dir.path().join("rules"));
        copy(&project.join("templates"), &dir.path().join("templates"));
        for folder in ["inn/new", "inn/cur", "inn/tmp"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let settings = "mode = \"live\"\ndata = \"data\"\nrules = \"rules\"\ntemplates = \"templates\"\n\
            [identity]\naddress = \"samhandlingsavvik@so-hf.example\"\nname = \"Samhandling\"\n\
            [[maildir]]\nname = \"inn\"\npath = \"inn\"\n[send_maildir]\npath = \"ut\"\n[digest]\nsend = false\n";
        std::fs::write(dir.path().join("linjevei.toml"), settings).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_linjevei"))
            .args(["run", "--config", "linjevei.toml"])
            .current_dir(dir.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { dir, child }
    }

    fn rules(&self, file: &str) -> PathBuf {
        self.dir.path().join("rules").join(file)
    }

    /// What `doctor` says of the rules that the worker uses: in order, and the text.
    fn in_force(&self) -> Option<(bool, String)> {
        let output = Command::new(env!("CARGO_BIN_EXE_linjevei"))
            .args(["doctor", "--json", "--config", "linjevei.toml"])
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let line = lines
            .lines()
            .find(|line| line.contains("\"rules in force\""))?;
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        Some((
            value["ok"].as_bool().unwrap(),
            value["text"].as_str().unwrap().to_owned(),
        ))
    }

    /// Waits until `doctor` says something that fits.
    fn wait(&self, what: &str, fits: impl Fn(bool, &str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_mins(2);
        let mut last = None;
        while Instant::now() < deadline {
            if let Some((ok, text)) = self.in_force() {
                if fits(ok, &text) {
                    return text;
                }
                last = Some(text);
            }
            std::thread::yield_now();
        }
        panic!("{what}: {last:?}");
    }
}

#[test]
fn an_edit_is_loaded_as_a_whole_or_not_at_all() {
    let worker = Worker::start();
    let first = worker.wait("the first set", |ok, _| ok);
    let hash = |text: &str| text.split_whitespace().next().unwrap().to_owned();

    // A file that is half written.
    let kommuner = std::fs::read_to_string(worker.rules("kommuner.toml")).unwrap();
    std::fs::write(
        worker.rules("kommuner.toml"),
        format!("{kommuner}\n[[parties]]\nid = \"ny"),
    )
    .unwrap();
    let refused = worker.wait("the half file is refused", |ok, _| !ok);
    assert_eq!(hash(&refused), hash(&first), "the good set stays in force");
    assert!(refused.contains("kommuner.toml:"), "{refused}");

    // Saved whole, by renaming as many editors do.
    let party = "\n[[parties]]\nid = \"ny-kommune\"\nname = \"Ny kommune\"\nkind = \"kommune\"\nsend_to = [\"avvik@ny.kommune.example\"]\n";
    std::fs::write(
        worker.rules("kommuner.toml~new"),
        format!("{kommuner}{party}"),
    )
    .unwrap();
    std::fs::rename(
        worker.rules("kommuner.toml~new"),
        worker.rules("kommuner.toml"),
    )
    .unwrap();
    let second = worker.wait("the whole file is in force", |ok, text| {
        ok && hash(text) != hash(&first)
    });

    // The folder is replaced, as a checkout does.
    let other = worker.dir.path().join("rules-before");
    std::fs::rename(worker.dir.path().join("rules"), &other).unwrap();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/ostfold"),
        &worker.dir.path().join("rules"),
    );
    let third = worker.wait("the replaced folder is in force", |ok, text| {
        ok && hash(text) != hash(&second)
    });
    assert_eq!(
        hash(&third),
        hash(&first),
        "the same files give the same hash"
    );

    // A template that says an unknown field is refused together with good rules.
    std::fs::write(
        worker.dir.path().join("templates/nb/purring.txt"),
        "Emne: Purring\n\n{{ sak }} {{ fødselsnummer }}\n",
    )
    .unwrap();
    let refused = worker.wait("the template is refused", |ok, _| !ok);
    assert!(refused.contains("purring.txt"), "{refused}");
}
