//! Any bytes as an attachment, under a name that the first byte chooses: there is text or a reason, within the limit, without
//! an identity number, and the same each time.
#![no_main]
#![allow(dead_code, unused_imports, unreachable_pub, reason = "the product's own module, of which one function is fuzzed")]

#[path = "../../src"]
mod product {
    pub mod message;
}

use libfuzzer_sys::fuzz_target;
use product::message;
use product::message::extract::{TEXT_BYTES_MAX, extract};

const NAMES: [(&str, &str); 9] = [
    ("a.pdf", "application/pdf"),
    ("a.docx", "application/octet-stream"),
    ("a.odt", "application/octet-stream"),
    ("a.rtf", "application/rtf"),
    ("winmail.dat", "application/ms-tnef"),
    ("a.eml", "message/rfc822"),
    ("a.html", "text/html"),
    ("a.txt", "text/plain"),
    ("a", "application/octet-stream"),
];

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let (name, media_type) = NAMES[usize::from(*first) % NAMES.len()];
    let extracted = extract(name, media_type, bytes, first & 0x80 != 0);
    let length: usize = extracted.pieces.iter().map(|piece| piece.text.len()).sum();
    assert!(length <= TEXT_BYTES_MAX);
    assert!(
        !extracted.unread.is_empty() || !extracted.pieces.is_empty(),
        "neither text nor a reason"
    );
    for piece in &extracted.pieces {
        assert_eq!(message::identity_numbers::mask(&piece.text), piece.text);
    }
});
