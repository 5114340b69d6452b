//! Documents that are a zip of XML: which kind it is, and its parts within limits.

use super::{Found, Unread, opendocument, wordprocessing};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Bytes of one part of a document, unpacked.
const PART_BYTES_MAX: u64 = 24 * 1024 * 1024;
/// Bytes of all parts that are read.
const PARTS_BYTES_MAX: u64 = 40 * 1024 * 1024;
/// Entries of a zip that is a document.
const ENTRIES_MAX: usize = 20_000;

/// The parts of a document.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    left: u64,
}

impl<'a> Package<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Unread> {
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| Unread::Damaged)?;
        if archive.len() > ENTRIES_MAX {
            return Err(Unread::TooMuch);
        }
        Ok(Self {
            archive,
            left: PARTS_BYTES_MAX,
        })
    }

    /// The names of the parts for which it holds, in order.
    pub(super) fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut names: Vec<String> = self
            .archive
            .file_names()
            .flatten()
            .map(std::borrow::Cow::into_owned)
            .filter(|name| wanted(name))
            .collect();
        names.sort_unstable();
        names
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// A part as text; XML is UTF-8 or, with a byte order mark, UTF-16.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Unread> {
        let limit = PART_BYTES_MAX.min(self.left);
        let file = self.archive.by_name(name).map_err(|_| Unread::Damaged)?;
        if file.encrypted() {
            return Err(Unread::Locked);
        }
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|_| Unread::Damaged)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > limit {
            return Err(Unread::TooMuch);
        }
        self.left = self.left.saturating_sub(length);
        Ok(super::charset::decode(&bytes, Some("utf-8"))
            .text
            .into_owned())
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Found, Unread> {
    let mut package = Package::open(bytes)?;
    if package.has("[Content_Types].xml") || package.has("word/document.xml") {
        if package.names(|name| name.starts_with("word/")).is_empty() {
            // A workbook or a presentation.
            return Err(Unread::Unknown);
        }
        return wordprocessing::read(&mut package).map(Found::whole);
    }
    if package.has("content.xml") {
        return opendocument::read(&mut package).map(Found::whole);
    }
    Err(Unread::Unknown)
}

/// An encrypted DOCX is a container of the older kind that holds a stream of this name.
pub(super) fn is_encrypted_office(bytes: &[u8]) -> bool {
    let name: Vec<u8> = "EncryptedPackage"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    bytes
        .windows(name.len())
        .any(|window| window == name.as_slice())
}
