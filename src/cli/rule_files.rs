//! Folders of rule and template files: from disk, or as shipped with the program.

use super::Failure;
use crate::diagnostic::{Fault, Faults};
use crate::rules::{FILE_BYTES_MAX, RuleFiles, RuleSet, SET_BYTES_MAX};
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The rules of Østfold, as they were when the program was built.
static SHIPPED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/rules/ostfold");

/// Where the rules of Østfold lie in a checkout or beside an installed program.
const DEFAULT_FOLDER: &str = "rules/ostfold";

/// What rule files end with.
pub(super) const RULE_FILES: &[&str] = &["toml"];
/// What templates end with.
pub(super) const TEMPLATE_FILES: &[&str] = &["txt", "html"];

/// Files a folder may hold.
const FILES_MAX: usize = 2_000;
/// Folders within folders that are read.
const DEPTH_MAX: usize = 8;

/// The rules that come with the program.
pub(super) fn shipped() -> RuleFiles {
    let mut files = RuleFiles::new();
    let mut folders = vec![&SHIPPED];
    while let Some(folder) = folders.pop() {
        for file in folder.files() {
            if let (Some(name), Some(text)) = (file.path().to_str(), file.contents_utf8())
                && is_wanted(file.path(), &["toml"])
            {
                files.insert(name.to_owned(), text.to_owned());
            }
        }
        folders.extend(folder.dirs());
    }
    files
}

/// The rule files of a folder and the folders in it.
pub(super) fn read(folder: &Path) -> Result<RuleFiles, Failure> {
    some(folder, read_tree(folder, RULE_FILES)?)
}

fn some(folder: &Path, files: RuleFiles) -> Result<RuleFiles, Failure> {
    if files.is_empty() {
        return Err(Failure::data(format!(
            "{}: mappen har ingen regelfiler (*.toml)",
            folder.display()
        )));
    }
    Ok(files)
}

/// A message beside the rules, by its path below the folder that [`sources`] takes.
pub(super) fn message(folder: Option<&Path>, path: &str) -> std::io::Result<Vec<u8>> {
    let default = Path::new(DEFAULT_FOLDER);
    match folder.or_else(|| default.is_dir().then_some(default)) {
        Some(folder) => std::fs::read(folder.join(path)),
        None => SHIPPED
            .get_file(path)
            .map(|file| file.contents().to_vec())
            .ok_or_else(|| ErrorKind::NotFound.into()),
    }
}

/// Compiles the rules of `folder`; without one those of `rules/ostfold`, or the shipped ones where that is no folder.
pub(super) fn compile(folder: Option<&Path>) -> Result<RuleSet, Failure> {
    let (files, place) = sources(folder)?;
    RuleSet::compile(&files).map_err(|faults| faulty(&place, &faults))
}

/// The files that [`compile`] takes, and what they are called.
pub(super) fn sources(folder: Option<&Path>) -> Result<(RuleFiles, String), Failure> {
    let default = Path::new(DEFAULT_FOLDER);
    match folder.or_else(|| default.is_dir().then_some(default)) {
        Some(folder) => Ok((read(folder)?, folder.display().to_string())),
        None => Ok((shipped(), "reglene som følger med".to_owned())),
    }
}

/// Like [`sources`], but a file that is no UTF-8 becomes a fault and is read as far as it goes, so that it hides no other.
pub(super) fn sources_with_faults(
    folder: Option<&Path>,
) -> Result<(RuleFiles, String, Vec<Fault>), Failure> {
    let default = Path::new(DEFAULT_FOLDER);
    let Some(folder) = folder.or_else(|| default.is_dir().then_some(default)) else {
        return sources(None).map(|(files, place)| (files, place, Vec::new()));
    };
    let mut faults = Vec::new();
    let files = read_tree_as(folder, RULE_FILES, |_, name, bytes| {
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| {
            let message = format!("fila er ikke UTF-8 (linje {})", bad_line(&error));
            faults.push(Fault::whole(name, message, "lagre fila som UTF-8"));
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        }))
    })?;
    Ok((some(folder, files)?, folder.display().to_string(), faults))
}

/// The failure of a file or folder that cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::NotFound => "finnes ikke".to_owned(),
        ErrorKind::PermissionDenied => "kan ikke leses: du mangler tilgang".to_owned(),
        ErrorKind::NotADirectory => "er ingen mappe".to_owned(),
        _ => format!("kan ikke leses ({error})"),
    };
    Failure::io(format!("{}: {why}", path.display()))
}

/// The failure that shows all faults of a rule set.
pub(super) fn faulty(place: &str, faults: &Faults) -> Failure {
    Failure::data(format!("feil i {place}:\n\n{}", faults.coloured()))
}

/// The text files with one of these extensions, by path relative to the folder. What editors leave behind (hidden files,
/// `#…#`, `…~`, `.swp`, `.bak`) is passed over.
pub(super) fn read_tree(
    folder: &Path,
    extensions: &[&str],
) -> Result<BTreeMap<String, String>, Failure> {
    read_tree_as(folder, extensions, |path, _, bytes| {
        String::from_utf8(bytes).map_err(|error| {
            Failure::data(format!(
                "{}:{}: ikke UTF-8; lagre fila som UTF-8",
                path.display(),
                bad_line(&error)
            ))
        })
    })
}

/// The line of the first byte that is no UTF-8.
fn bad_line(error: &std::string::FromUtf8Error) -> usize {
    let at = error.utf8_error().valid_up_to();
    let before = error.as_bytes().iter().take(at);
    before
        .filter(|byte| **byte == b'\n')
        .count()
        .saturating_add(1)
}

/// The files of the tree as `text` makes them of path, name and bytes.
fn read_tree_as(
    folder: &Path,
    extensions: &[&str],
    mut text: impl FnMut(&Path, &str, Vec<u8>) -> Result<String, Failure>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut files = BTreeMap::new();
    let mut total = 0_usize;
    for path in list(folder, extensions)? {
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let name = name
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        let text = text(&path, &name, read_bytes(&path)?)?;
        total = total.saturating_add(text.len());
        if total > SET_BYTES_MAX {
            return Err(Failure::data(format!(
                "{}: mer enn {} MB tekst",
                folder.display(),
                SET_BYTES_MAX >> 20
            )));
        }
        files.insert(name, text);
    }
    Ok(files)
}

/// Names, sizes and times of the files that [`read_tree`] would read: differs when any of them was changed.
pub(super) fn look(folder: &Path, extensions: &[&str]) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let files = list(folder, extensions).unwrap_or_default();
    files
        .into_iter()
        .filter_map(|path| {
            let metadata = path.metadata().ok()?;
            Some((path, metadata.len(), metadata.modified().ok()))
        })
        .collect()
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| unreadable(path, &error);
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Failure::data(format!(
            "{}: større enn {} MB",
            path.display(),
            FILE_BYTES_MAX >> 20
        )));
    }
    Ok(bytes)
}

fn list(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0_usize)];
    while let Some((folder, depth)) = folders.pop() {
        let failed = |error: std::io::Error| unreadable(&folder, &error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                if depth < DEPTH_MAX && !is_hidden(&path) {
                    folders.push((path, depth.saturating_add(1)));
                }
            } else if is_wanted(&path, extensions) {
                found.push(path);
            }
            if found.len() > FILES_MAX {
                return Err(Failure::data(format!(
                    "{}: mer enn {FILES_MAX} filer",
                    folder.display()
                )));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with(['.', '#']))
}

/// Whether a file of that name is one of the rules.
pub(super) fn is_rule_file(path: &Path) -> bool {
    let hidden =
        |part: std::path::Component<'_>| part.as_os_str().to_string_lossy().starts_with(['.', '#']);
    is_wanted(path, RULE_FILES) && !path.components().any(hidden)
}

fn is_wanted(path: &Path, extensions: &[&str]) -> bool {
    !is_hidden(path)
        && path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_leave_behind_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("flere")).unwrap();
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        for name in [
            "a.toml",
            "flere/b.toml",
            ".a.toml.swp",
            ".#a.toml",
            "#a.toml#",
            "a.toml~",
            "a.toml.bak",
            ".git/c.toml",
            "les.txt",
        ] {
            std::fs::write(folder.path().join(name), "x = 1\n").unwrap();
        }
        let names: Vec<String> = read(folder.path()).unwrap().into_keys().collect();
        assert_eq!(names, ["a.toml", "flere/b.toml"]);
        std::fs::write(folder.path().join("a.toml"), b"x = \"\xff\"").unwrap();
        assert!(read(folder.path()).is_err());
    }

    #[test]
    fn shipped_rules_have_no_fault() {
        if let Err(faults) = RuleSet::check(&shipped()) {
            panic!("{faults}");
        }
    }
}
