//! What settings refer to outside their own text: variables, files with passwords, files and folders. [I/O]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Secret;

/// Largest file that is taken for a password; tokens of large providers have a few thousand bytes.
const SECRET_MAX_BYTES: u64 = 65_536;

/// What settings refer to outside their own text, as a port: tests have their own.
pub trait Surroundings {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The password in a file, without the line end.
    ///
    /// # Errors
    /// Why it cannot be used.
    fn secret(&self, path: &Path, guard: Guard) -> Result<Secret, SecretProblem>;

    /// There is a folder of that name.
    fn is_folder(&self, path: &Path) -> bool;

    /// There is a file of that name.
    fn is_file(&self, path: &Path) -> bool;
}

/// Who keeps others from reading a password file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Its own permissions.
    Mode,
    /// The folder that systemd keeps it in.
    Systemd,
}

/// Why a password file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// There is no such file.
    #[error("filen finnes ikke")]
    Missing,
    /// It may not be read, or is no file.
    #[error("filen kan ikke leses")]
    Unreadable,
    /// Everybody on the machine may read it.
    #[error("alle på maskinen kan lese filen")]
    WorldReadable,
    /// There is nothing in it.
    #[error("filen er tom")]
    Empty,
    /// Too long, more than one line, or not UTF-8.
    #[error("filen inneholder noe annet enn ett passord på én linje")]
    NoPassword,
}

/// The machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Surroundings for System {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn secret(&self, path: &Path, guard: Guard) -> Result<Secret, SecretProblem> {
        let file = fs::File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => SecretProblem::Missing,
            _ => SecretProblem::Unreadable,
        })?;
        let metadata = file.metadata().map_err(|_| SecretProblem::Unreadable)?;
        if !metadata.is_file() {
            return Err(SecretProblem::Unreadable);
        }
        if guard == Guard::Mode && metadata.permissions().mode() & 0o007 != 0 {
            return Err(SecretProblem::WorldReadable);
        }
        let mut text = Vec::new();
        file.take(SECRET_MAX_BYTES.saturating_add(1))
            .read_to_end(&mut text)
            .map_err(|_| SecretProblem::Unreadable)?;
        secret_from(text)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }
}

/// The bytes of a password file → the password.
fn secret_from(text: Vec<u8>) -> Result<Secret, SecretProblem> {
    if u64::try_from(text.len()).is_ok_and(|length| length > SECRET_MAX_BYTES) {
        return Err(SecretProblem::NoPassword);
    }
    let text = String::from_utf8(text).map_err(|_| SecretProblem::NoPassword)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(SecretProblem::Empty);
    }
    if password.contains(char::is_control) {
        return Err(SecretProblem::NoPassword);
    }
    Ok(Secret::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passord");
        let read = |guard| System.secret(&path, guard);
        assert_eq!(read(Guard::Mode), Err(SecretProblem::Missing));
        for (bytes, expected) in [
            (
                &b"hemmelig ord\r\n"[..],
                Ok(Secret::new("hemmelig ord".into())),
            ),
            (b"\n", Err(SecretProblem::Empty)),
            (b"to\nlinjer\n", Err(SecretProblem::NoPassword)),
            (b"\xff\xfe", Err(SecretProblem::NoPassword)),
            (
                &"x".repeat(70_000).into_bytes(),
                Err(SecretProblem::NoPassword),
            ),
        ] {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(read(Guard::Mode), expected);
        }
        fs::write(&path, "hemmelig").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(Guard::Mode), Err(SecretProblem::WorldReadable));
        assert_eq!(read(Guard::Systemd), Ok(Secret::new("hemmelig".into())));
        let folder_itself = System.secret(folder.path(), Guard::Systemd);
        assert_eq!(folder_itself, Err(SecretProblem::Unreadable));
    }
}
