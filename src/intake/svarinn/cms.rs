//! CMS EnvelopedData (RFC 5652) → what was encrypted for us.
//!
//! RSAES-OAEP with the hashes that its algorithm identifier names (RFC 4055), or PKCS#1 v1.5; AES in CBC. The `rsa` crate
//! carries RUSTSEC-2023-0071: its private operation does not take the same time for all input («Marvin»). Whoever could use
//! that would have to hand us letters by the thousand and measure each decryption to the microsecond; here letters are
//! polled every quarter of an hour, nobody gets an answer that depends on the padding, and the operation is blinded.

use super::ber::{BerError, INTEGER, OCTET_STRING, OID, Parts, SEQUENCE, SET, Tag, Value};
use super::key::{self, Certificate, Identity};
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use rsa::sha2::{Sha224, Sha256, Sha384, Sha512};
use rsa::{Oaep, Pkcs1v15Encrypt};
use sha1::Sha1;

const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3];
const AUTH_ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 23];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const P_SPECIFIED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 9];
const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
const SHA224: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4];
const AES128_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2];
const AES192_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 22];
const AES256_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];

/// Recipients that are tried; a letter has one or two.
const RECIPIENTS_MAX: usize = 20;

/// Why a letter cannot be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CmsError {
    /// It ends too early: half a download.
    #[error("the encrypted letter ends too early")]
    Truncated,
    /// Something else.
    #[error("what was downloaded is no encrypted letter (CMS EnvelopedData)")]
    NotEnveloped,
    /// A way of encrypting that is not known here.
    #[error("the letter is encrypted in a way that is not supported ({0})")]
    Unsupported(&'static str),
    /// Our key does not open it.
    #[error(
        "the letter is encrypted for another key: none of its {recipients} recipients is our certificate"
    )]
    NotForUs {
        /// How many there are.
        recipients: usize,
    },
    /// It is encrypted for us, and what comes out is damaged.
    #[error("the letter is encrypted for our certificate, and cannot be decrypted: it is damaged")]
    Damaged,
}

impl From<BerError> for CmsError {
    fn from(error: BerError) -> Self {
        match error {
            BerError::Truncated => Self::Truncated,
            BerError::Unexpected => Self::NotEnveloped,
        }
    }
}

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By its algorithm identifier.
    fn of(algorithm: &Value<'_>) -> Result<Self, CmsError> {
        let known = [
            (SHA1, Self::Sha1),
            (SHA224, Self::Sha224),
            (SHA256, Self::Sha256),
            (SHA384, Self::Sha384),
            (SHA512, Self::Sha512),
        ];
        let id = algorithm.parts()?.expect(OID)?.bytes()?;
        known
            .into_iter()
            .find_map(|(oid, hash)| (oid == id).then_some(hash))
            .ok_or(CmsError::Unsupported("hash function of OAEP"))
    }

    fn digest(self) -> Box<dyn rsa::sha2::digest::DynDigest + Send + Sync> {
        match self {
            Self::Sha1 => Box::new(Sha1::default()),
            Self::Sha224 => Box::new(Sha224::default()),
            Self::Sha256 => Box::new(Sha256::default()),
            Self::Sha384 => Box::new(Sha384::default()),
            Self::Sha512 => Box::new(Sha512::default()),
        }
    }
}

/// How the content key is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Padding {
    Pkcs1,
    Oaep {
        hash: Hash,
        mask: Hash,
        label: Vec<u8>,
    },
}

/// A recipient whose key is an RSA key.
#[derive(Debug)]
struct Recipient<'a> {
    ours: bool,
    padding: Result<Padding, CmsError>,
    encrypted_key: std::borrow::Cow<'a, [u8]>,
}

/// Decrypts.
pub(super) fn decrypt(body: &[u8], identity: &Identity) -> Result<Vec<u8>, CmsError> {
    let (info, _) = Value::expect(body, SEQUENCE)?;
    let mut info = info.parts()?;
    match info.expect(OID)?.bytes()? {
        ENVELOPED_DATA => {}
        AUTH_ENVELOPED_DATA => return Err(CmsError::Unsupported("AuthEnvelopedData")),
        _ => return Err(CmsError::NotEnveloped),
    }
    let content = info.expect(Tag::context(0))?;
    let mut enveloped = content.parts()?.expect(SEQUENCE)?.parts()?;
    enveloped.expect(INTEGER)?;
    enveloped.optional(Tag::context(0))?;
    let recipients = recipients(enveloped.expect(SET)?.parts()?, &identity.certificate)?;
    let mut encrypted = enveloped.expect(SEQUENCE)?.parts()?;
    encrypted.expect(OID)?;
    let mut algorithm = encrypted.expect(SEQUENCE)?.parts()?;
    let cipher = Cipher::of(algorithm.expect(OID)?.bytes()?)?;
    let iv = algorithm.expect(OCTET_STRING)?.octets()?;
    let text = encrypted
        .optional(Tag::context(0))?
        .ok_or(CmsError::NotEnveloped)?
        .octets()?;

    // Ours by name; else the key tells. A key that is not ours may open by chance under PKCS#1 v1.5 and give a wrong content
    // key, so the content has the last word.
    let named = recipients.iter().any(|recipient| recipient.ours);
    let mut unsupported = None;
    for recipient in recipients
        .iter()
        .filter(|recipient| recipient.ours || !named)
    {
        let padding = match &recipient.padding {
            Ok(padding) => padding,
            Err(error) => {
                unsupported = Some(error.clone());
                continue;
            }
        };
        let Some(key) = open(identity, padding, &recipient.encrypted_key)? else {
            continue;
        };
        if let Some(clear) = cipher.decrypt(&key, &iv, &text) {
            return Ok(clear);
        }
    }
    Err(match unsupported {
        Some(error) => error,
        None if named => CmsError::Damaged,
        None => CmsError::NotForUs {
            recipients: recipients.len(),
        },
    })
}

fn recipients<'a>(
    mut infos: Parts<'a>,
    certificate: &Certificate,
) -> Result<Vec<Recipient<'a>>, CmsError> {
    let mut found = Vec::new();
    while let Some(info) = infos.any()? {
        // Only key transport; the other kinds are for keys of another sort.
        if info.tag != SEQUENCE || found.len() >= RECIPIENTS_MAX {
            continue;
        }
        let mut fields = info.parts()?;
        fields.expect(INTEGER)?;
        let ours = if let Some(id) = fields.optional(Tag::context(0))? {
            certificate
                .subject_key_id
                .as_deref()
                .is_some_and(|ours| id.octets().is_ok_and(|id| id.as_ref() == ours))
        } else {
            let mut name = fields.expect(SEQUENCE)?.parts()?;
            let issuer = name.expect(SEQUENCE)?;
            let serial = key::integer(&name.expect(INTEGER)?)?;
            issuer.whole == certificate.issuer && serial == certificate.serial
        };
        let padding = padding(&fields.expect(SEQUENCE)?);
        let encrypted_key = fields.expect(OCTET_STRING)?.octets()?;
        found.push(Recipient {
            ours,
            padding,
            encrypted_key,
        });
    }
    Ok(found)
}

fn padding(algorithm: &Value<'_>) -> Result<Padding, CmsError> {
    let mut fields = algorithm.parts()?;
    match fields.expect(OID)?.bytes()? {
        RSA => return Ok(Padding::Pkcs1),
        RSAES_OAEP => {}
        _ => return Err(CmsError::Unsupported("key encryption")),
    }
    let (mut hash, mut mask, mut label) = (Hash::Sha1, Hash::Sha1, Vec::new());
    if let Some(parameters) = fields.optional(SEQUENCE)? {
        let mut parameters = parameters.parts()?;
        while let Some(parameter) = parameters.any()? {
            let mut inner = parameter.parts()?;
            let algorithm = inner.expect(SEQUENCE)?;
            if parameter.tag == Tag::context(0) {
                hash = Hash::of(&algorithm)?;
                continue;
            }
            let mut fields = algorithm.parts()?;
            let id = fields.expect(OID)?.bytes()?;
            if parameter.tag == Tag::context(1) && id == MGF1 {
                mask = Hash::of(&fields.expect(SEQUENCE)?)?;
            } else if parameter.tag == Tag::context(2) && id == P_SPECIFIED {
                label = fields.expect(OCTET_STRING)?.octets()?.into_owned();
            } else {
                return Err(CmsError::Unsupported("parameters of OAEP"));
            }
        }
    }
    Ok(Padding::Oaep { hash, mask, label })
}

/// The content key; `None` when it is not encrypted for our key.
fn open(
    identity: &Identity,
    padding: &Padding,
    encrypted: &[u8],
) -> Result<Option<Vec<u8>>, CmsError> {
    let mut random = rsa::rand_core::OsRng;
    let opened = match padding {
        Padding::Pkcs1 => identity
            .key
            .decrypt_blinded(&mut random, Pkcs1v15Encrypt, encrypted),
        Padding::Oaep { hash, mask, label } => {
            let label = String::from_utf8(label.clone())
                .map_err(|_| CmsError::Unsupported("label of OAEP"))?;
            let padding = Oaep {
                digest: hash.digest(),
                mgf_digest: mask.digest(),
                label: (!label.is_empty()).then_some(label),
            };
            identity
                .key
                .decrypt_blinded(&mut random, padding, encrypted)
        }
    };
    Ok(opened.ok())
}

/// How the content is encrypted.
#[derive(Debug, Clone, Copy)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
}

impl Cipher {
    fn of(id: &[u8]) -> Result<Self, CmsError> {
        match id {
            AES128_CBC => Ok(Self::Aes128),
            AES192_CBC => Ok(Self::Aes192),
            AES256_CBC => Ok(Self::Aes256),
            _ => Err(CmsError::Unsupported("content encryption")),
        }
    }

    /// `None` when key or padding do not fit.
    fn decrypt(self, key: &[u8], iv: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        macro_rules! with {
            ($cipher:ty) => {
                cbc::Decryptor::<$cipher>::new_from_slices(key, iv)
                    .ok()?
                    .decrypt_padded_vec::<Pkcs7>(text)
                    .ok()
            };
        }
        match self {
            Self::Aes128 => with!(aes::Aes128),
            Self::Aes192 => with!(aes::Aes192),
            Self::Aes256 => with!(aes::Aes256),
        }
    }
}
