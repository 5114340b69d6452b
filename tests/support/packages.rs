//! Programs that tests need beside the Rust toolchain: looked for, installed when missing, skipped aloud when that fails.

use std::env;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Set to `1` where a skipped test counts as a failure.
pub const REQUIRE_ALL: &str = "LINJEVEI_TESTS_REQUIRE_ALL";

/// Finds a program in `PATH` and where Debian keeps servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/lib/postgresql/15/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Makes sure that all `files` exist, installing `packages` when one is missing. `false` means that the test must be
/// skipped, which has been said.
///
/// # Panics
/// When something is missing and [`REQUIRE_ALL`] is `1`.
pub fn ensure(files: &[&str], packages: &[&str]) -> bool {
    let present = || {
        files.iter().all(|file| {
            if file.starts_with('/') {
                PathBuf::from(file).is_file()
            } else {
                find(file).is_some()
            }
        })
    };
    if present() {
        return true;
    }
    // One test program at a time; others find the package installed.
    let lock = File::create(env::temp_dir().join("linjevei-tests-apt.lock")).ok();
    if let Some(lock) = &lock {
        lock.lock().ok();
    }
    if !present() && !install(packages) {
        let update = Command::new("apt-get")
            .args(["-q", "update"])
            .stdin(Stdio::null())
            .status();
        if update.is_ok_and(|status| status.success()) {
            install(packages);
        }
    }
    if present() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let needed = packages.join(" ");
    assert!(
        env::var(REQUIRE_ALL).as_deref() != Ok("1"),
        "{test} needs the packages {needed}, and they could not be installed"
    );
    eprintln!(
        "\n*** SKIPPED: {test} needs the packages {needed}, and they could not be installed ***\n"
    );
    false
}

fn install(packages: &[&str]) -> bool {
    Command::new("apt-get")
        .args(["-q", "-y", "--no-install-recommends", "install"])
        .args(packages)
        // No service is to be started by its package.
        .env("RUNLEVEL", "1")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
