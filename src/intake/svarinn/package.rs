//! The decrypted body → its files. One file comes as itself, several as a zip whose first file is the main document.
//!
//! A DOCX is a zip too: what the metadata says of the number of files decides, then type and content.

use super::forsendelse::FileInfo;
use crate::message::{sanitise_file_name, sha256_hex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Cursor, Read as _};
use zip::ZipArchive;

/// Files in a package, at most.
const FILES_MAX: usize = 200;
/// How many times its size a package may unpack to, beyond [`ALWAYS_MAX`].
const RATIO_MAX: u64 = 100;
/// So much may come out of the smallest package.
const ALWAYS_MAX: u64 = 10 << 20;

/// A file of a forsendelse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

/// All of them, and how many are not what the metadata says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Package {
    pub(super) files: Vec<File>,
    /// Files whose hash is another one, or that are missing.
    pub(super) damaged: usize,
}

/// What the headers of the download say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Told {
    pub(super) media_type: String,
    pub(super) file_name: String,
}

/// Why a package is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PackageError {
    /// It says it is a zip.
    #[error("the package of files (zip) is damaged")]
    Damaged,
    /// Files are encrypted once more, or compressed in an odd way.
    #[error("the package of files (zip) is packed in a way that is not supported")]
    Unsupported,
    /// Too many files.
    #[error("the package holds more than {FILES_MAX} files")]
    TooMany,
    /// Too large, or a bomb.
    #[error("the package unpacks to much more than a letter")]
    TooLarge,
}

/// Opens a package; at most `max_bytes` come out.
pub(super) fn unpack(
    clear: Vec<u8>,
    told: &Told,
    infos: &[FileInfo],
    max_bytes: u64,
) -> Result<Package, PackageError> {
    let mut files = if is_package(&clear, told, infos) {
        unzip(&clear, max_bytes)?
    } else {
        let name = infos
            .first()
            .map(|info| info.name.as_str())
            .filter(|name| !name.is_empty())
            .unwrap_or(&told.file_name);
        vec![File {
            name: sanitise_file_name(name),
            media_type: String::new(),
            bytes: clear,
        }]
    };
    let mut package = Package::default();
    let mut left: Vec<&FileInfo> = infos.iter().collect();
    for (index, file) in files.iter_mut().enumerate() {
        // By its name, else by its place.
        let by_name = left
            .iter()
            .position(|info| !info.name.is_empty() && sanitise_file_name(&info.name) == file.name);
        let info = match by_name {
            Some(at) => Some(left.remove(at)),
            None => infos
                .get(index)
                .filter(|_| infos.len() == 1)
                .inspect(|_| left.clear()),
        };
        file.media_type = media_type(file, info, told, infos.len());
        if info.is_some_and(|info| is_other(&info.sha256, &file.bytes)) {
            package.damaged = package.damaged.saturating_add(1);
        }
    }
    // Told with a hash, and not there.
    let missing = left.iter().filter(|info| !info.sha256.is_empty()).count();
    package.damaged = package.damaged.saturating_add(missing);
    package.files = files;
    Ok(package)
}

fn is_package(clear: &[u8], told: &Told, infos: &[FileInfo]) -> bool {
    if !clear.starts_with(b"PK\x03\x04") && !clear.starts_with(b"PK\x05\x06") {
        return false;
    }
    if infos.len() > 1 {
        return true;
    }
    // Office files begin with a file of a known name.
    let name = clear.get(30..).unwrap_or_default();
    let office = name.starts_with(b"[Content_Types].xml")
        || name.starts_with(b"mimetype")
        || name.starts_with(b"_rels/")
        || name.starts_with(b"word/");
    if let [one] = infos {
        // One file that is a zip was uploaded as one, unless it is told under another name.
        let is_itself = one.media_type.contains("zip")
            || one.media_type.contains("officedocument")
            || one.media_type.contains("opendocument")
            || one.name.is_empty()
            || has_extension(
                &one.name,
                &["zip", "docx", "xlsx", "pptx", "odt", "ods", "odp"],
            );
        return !is_itself && !office;
    }
    let zip = told.media_type.contains("zip") || has_extension(&told.file_name, &["zip"]);
    zip || !office
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| {
        extensions
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
    })
}

fn unzip(bytes: &[u8], max_bytes: u64) -> Result<Vec<File>, PackageError> {
    let packed = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut left = max_bytes.min(packed.saturating_mul(RATIO_MAX).max(ALWAYS_MAX));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| PackageError::Damaged)?;
    if archive.len() > FILES_MAX {
        return Err(PackageError::TooMany);
    }
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| match error {
            zip::result::ZipError::UnsupportedArchive(_) => PackageError::Unsupported,
            _ => PackageError::Damaged,
        })?;
        if entry.is_dir() || entry.is_symlink() {
            continue;
        }
        let name = entry.name().map(|name| sanitise_file_name(&name));
        let mut clear = Vec::new();
        entry
            .take(left.saturating_add(1))
            .read_to_end(&mut clear)
            .map_err(|_| PackageError::Damaged)?;
        let size = u64::try_from(clear.len()).unwrap_or(u64::MAX);
        left = left.checked_sub(size).ok_or(PackageError::TooLarge)?;
        files.push(File {
            name: name.unwrap_or_default(),
            media_type: String::new(),
            bytes: clear,
        });
    }
    Ok(files)
}

/// Content decides where it is plain to see, then what the metadata says, then the headers of a download of one file.
fn media_type(file: &File, info: Option<&FileInfo>, told: &Told, infos: usize) -> String {
    let magic: [(&[u8], &str); 5] = [
        (b"%PDF-", "application/pdf"),
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"{\\rtf", "application/rtf"),
    ];
    if let Some((_, found)) = magic
        .iter()
        .find(|(magic, _)| file.bytes.starts_with(magic))
    {
        return (*found).to_owned();
    }
    let told = (infos <= 1).then_some(told.media_type.as_str());
    info.map(|info| info.media_type.as_str())
        .into_iter()
        .chain(told)
        .find_map(usable)
        .unwrap_or_else(|| by_extension(&file.name).to_owned())
}

/// `type/subtype` of two plain words that is no container of mail.
fn usable(given: &str) -> Option<String> {
    let given = given.split(';').next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = given.split_once('/')?;
    let plain = |word: &str| {
        !word.is_empty()
            && word.len() <= 100
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
    };
    let known = plain(kind)
        && plain(subtype)
        && kind != "multipart"
        && !matches!(
            given.as_str(),
            "application/octet-stream" | "application/zip"
        );
    known.then_some(given)
}

fn by_extension(name: &str) -> &'static str {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("pdf") => "application/pdf",
        Some("txt") => "text/plain",
        Some("html" | "htm") => "text/html",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("odt") => "application/vnd.oasis.opendocument.text",
        Some("rtf") => "application/rtf",
        Some("eml") => "message/rfc822",
        Some("zip") => "application/zip",
        Some("xml") => "application/xml",
        _ => "application/octet-stream",
    }
}

/// Whether the hash that is told, in hex or base64, is the hash of something else.
fn is_other(told: &str, bytes: &[u8]) -> bool {
    let told = told.trim();
    if told.is_empty() {
        return false;
    }
    let hash = sha256_hex(bytes);
    if told.eq_ignore_ascii_case(&hash) {
        return false;
    }
    let digest = STANDARD.decode(told).ok();
    let digits =
        |byte: u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16));
    !digest.is_some_and(|digest| {
        digest
            .into_iter()
            .flat_map(digits)
            .flatten()
            .eq(hash.chars())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use zip::write::SimpleFileOptions;

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn info(name: &str, sha256: &str) -> FileInfo {
        FileInfo {
            name: name.to_owned(),
            sha256: sha256.to_owned(),
            ..FileInfo::default()
        }
    }

    #[test]
    fn one_file_or_several() {
        let told = Told::default();
        let one = unpack(b"%PDF-1.7".to_vec(), &told, &[info("a/b.pdf", "")], 100).unwrap();
        assert_eq!(one.files[0].name, "b.pdf");
        assert_eq!(one.files[0].media_type, "application/pdf");
        let several = zipped(&[
            ("../../first.txt", b"hei"),
            ("x/", b""),
            ("b.pdf", b"%PDF-"),
        ]);
        let infos = [info("first.txt", ""), info("b.pdf", "")];
        let package = unpack(several, &told, &infos, 1000).unwrap();
        let names: Vec<&str> = package
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        assert_eq!(names, ["first.txt", "b.pdf"]);
        assert_eq!(package.damaged, 0);
        // A DOCX is one file, though its bytes are those of a zip; so is a zip that was uploaded.
        let docx = zipped(&[
            ("[Content_Types].xml", b"<x/>"),
            ("word/document.xml", b"<x/>"),
        ]);
        for infos in [&[info("a.docx", "")][..], &[]] {
            assert_eq!(
                unpack(docx.clone(), &told, infos, 1000)
                    .unwrap()
                    .files
                    .len(),
                1
            );
        }
        let upload = zipped(&[("a", b"1"), ("b", b"2")]);
        let package = unpack(upload.clone(), &told, &[info("a.zip", "")], 1000).unwrap();
        assert_eq!(package.files.len(), 1);
        assert_eq!(unpack(upload, &told, &[], 1000).unwrap().files.len(), 2);
    }

    #[test]
    fn hashes_in_hex_and_base64() {
        let told = Told::default();
        let hex = sha256_hex(b"hei");
        let bytes: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        for (sha256, damaged) in [
            (hex.to_uppercase(), 0),
            (STANDARD.encode(bytes), 0),
            (sha256_hex(b"hallo"), 1),
            ("tull".to_owned(), 1),
        ] {
            let package = unpack(b"hei".to_vec(), &told, &[info("a.txt", &sha256)], 100).unwrap();
            assert_eq!(package.damaged, damaged, "{sha256}");
        }
        let package = zipped(&[("a.txt", b"hei")]);
        let infos = [info("a.txt", &hex), info("borte.pdf", &hex)];
        assert_eq!(unpack(package, &told, &infos, 100).unwrap().damaged, 1);
    }

    #[test]
    fn bombs_and_broken_packages() {
        let told = Told::default();
        let infos = [info("a", ""), info("b", "")];
        let open = |bytes: Vec<u8>, max| unpack(bytes, &told, &infos, max).unwrap_err();
        let bomb = zipped(&[("a", &vec![0; 30 << 20])]);
        assert_eq!(open(bomb, 1 << 30), PackageError::TooLarge);
        assert_eq!(open(zipped(&[("a", b"12345")]), 4), PackageError::TooLarge);
        let many: Vec<String> = (0..300).map(|index| index.to_string()).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert_eq!(open(zipped(&many), 1000), PackageError::TooMany);
        let mut cut = zipped(&[("a", b"12345")]);
        cut.truncate(cut.len() / 2);
        assert_eq!(open(cut, 1000), PackageError::Damaged);
    }
}
