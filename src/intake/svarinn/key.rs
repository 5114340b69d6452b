//! Our private key and the certificate that belongs to it: what letters are encrypted for.

use super::ber::{
    self, BerError, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, Tag, UTC_TIME, Value,
};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// subjectKeyIdentifier (RFC 5280 section 4.2.1.2).
const SUBJECT_KEY_IDENTIFIER: [u8; 3] = [0x55, 0x1d, 0x0e];
/// Largest file that is taken for a key or a certificate.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Key or certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct KeyError {
    /// What is wrong, with the file.
    pub what: String,
    /// What to do.
    pub advice: String,
}

fn error(what: impl Into<String>, advice: impl Into<String>) -> KeyError {
    KeyError {
        what: what.into(),
        advice: advice.into(),
    }
}

/// A key with its certificate.
pub struct Identity {
    pub(super) key: RsaPrivateKey,
    pub(super) certificate: Certificate,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// What of a certificate is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The issuer, as it stands there.
    pub(super) issuer: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) subject_key_id: Option<Vec<u8>>,
    /// Modulus of the public key, without leading zeroes.
    modulus: Vec<u8>,
    /// First moment at which it is good, Unix milliseconds.
    pub not_before_ms: i64,
    /// Last moment.
    pub not_after_ms: i64,
}

impl Identity {
    /// Reads both from files.
    ///
    /// # Errors
    /// [`KeyError`] when a file cannot be used or they do not belong together.
    pub fn load(key: &Path, certificate: &Path) -> Result<Self, KeyError> {
        let metadata = fs::metadata(key).map_err(|cause| unreadable(key, &cause))?;
        if metadata.permissions().mode() & 0o007 != 0 {
            let shown = key.display();
            return Err(error(
                format!("everybody on the machine may use the private key {shown}"),
                format!("run: chmod o= {shown}"),
            ));
        }
        let key_shown = key.display().to_string();
        let key = private_key(&read(key)?, &key_shown)?;
        let shown = certificate.display().to_string();
        let certificate = Certificate::parse(&read(certificate)?).map_err(|_| {
            error(
                format!("{shown} is no certificate with an RSA key"),
                "name the certificate in PEM or DER that is registered at KS",
            )
        })?;
        if key.n().to_bytes_be() != certificate.modulus {
            return Err(error(
                format!("the private key {key_shown} does not belong to the certificate {shown}"),
                "name the key that the certificate was made for",
            ));
        }
        Ok(Self { key, certificate })
    }

    /// The certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Bits of the key.
    pub fn bits(&self) -> usize {
        self.key.size().saturating_mul(8)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let size = fs::metadata(path).map(|metadata| metadata.len());
    if size.is_ok_and(|size| size > FILE_MAX_BYTES) {
        return Err(error(
            format!("{} is much too large", path.display()),
            "name a file with a key or a certificate",
        ));
    }
    fs::read(path).map_err(|cause| unreadable(path, &cause))
}

fn unreadable(path: &Path, cause: &std::io::Error) -> KeyError {
    error(
        format!("{} cannot be read ({})", path.display(), cause.kind()),
        "correct the path, and let the user that runs linjevei read the file",
    )
}

fn private_key(bytes: &[u8], shown: &str) -> Result<RsaPrivateKey, KeyError> {
    let locked = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.contains("ENCRYPTED")
    };
    let der = PrivateKeyDer::from_pem_slice(bytes).map_err(|cause| {
        if locked(bytes) {
            error(
                format!("the private key {shown} is locked with a password"),
                format!("unlock it into a file that only linjevei may read: openssl pkey -in {shown} -out ulaast.pem"),
            )
        } else {
            let why = match cause {
                pem::Error::NoItemsFound => "holds no private key in PEM",
                _ => "is no sound PEM file",
            };
            error(
                format!("{shown} {why}"),
                "name a PEM file that begins with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----",
            )
        }
    })?;
    let key = match &der {
        PrivateKeyDer::Pkcs8(key) => RsaPrivateKey::from_pkcs8_der(key.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(key) => RsaPrivateKey::from_pkcs1_der(key.secret_pkcs1_der()).ok(),
        _ => None,
    };
    key.ok_or_else(|| {
        error(
            format!("the private key {shown} is no RSA key"),
            "letters are encrypted for an RSA key; name that one",
        )
    })
}

impl Certificate {
    /// Reads the first certificate of a PEM file, or DER.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BerError> {
        let from_pem = CertificateDer::from_pem_slice(bytes);
        let der: &[u8] = from_pem.as_deref().unwrap_or(bytes);
        let (certificate, _) = Value::expect(der, SEQUENCE)?;
        let mut fields = certificate.parts()?.expect(SEQUENCE)?.parts()?;
        fields.optional(Tag::context(0))?;
        let serial = integer(&fields.expect(INTEGER)?)?;
        fields.expect(SEQUENCE)?;
        let issuer = fields.expect(SEQUENCE)?.whole.to_vec();
        let mut validity = fields.expect(SEQUENCE)?.parts()?;
        let not_before_ms = moment(validity.any()?)?;
        let not_after_ms = moment(validity.any()?)?;
        fields.expect(SEQUENCE)?;
        let mut key = fields.expect(SEQUENCE)?.parts()?;
        key.expect(SEQUENCE)?;
        let modulus = modulus(&key.expect(ber::BIT_STRING)?)?;
        let mut subject_key_id = None;
        while let Some(field) = fields.any()? {
            if field.tag == Tag::context(3) {
                subject_key_id = self::subject_key_id(&field)?;
            }
        }
        Ok(Self {
            issuer,
            serial,
            subject_key_id,
            modulus,
            not_before_ms,
            not_after_ms,
        })
    }

    /// The serial number in hex, for people.
    pub fn serial(&self) -> String {
        self.serial.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").ok();
            text
        })
    }
}

/// An INTEGER without leading zeroes.
pub(super) fn integer(value: &Value<'_>) -> Result<Vec<u8>, BerError> {
    let bytes = value.bytes()?;
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len());
    Ok(bytes.get(start..).unwrap_or_default().to_vec())
}

/// The modulus in a subjectPublicKey.
fn modulus(bits: &Value<'_>) -> Result<Vec<u8>, BerError> {
    let key = bits.bytes()?.strip_prefix(&[0]);
    let (key, _) = Value::expect(key.ok_or(BerError::Unexpected)?, SEQUENCE)?;
    integer(&key.parts()?.expect(INTEGER)?)
}

fn subject_key_id(extensions: &Value<'_>) -> Result<Option<Vec<u8>>, BerError> {
    let mut extensions = extensions.parts()?.expect(SEQUENCE)?.parts()?;
    while let Some(extension) = extensions.any()? {
        let mut fields = extension.parts()?;
        if fields.expect(OID)?.bytes()? != SUBJECT_KEY_IDENTIFIER {
            continue;
        }
        while let Some(field) = fields.any()? {
            if field.tag == OCTET_STRING {
                let (id, _) = Value::expect(field.bytes()?, OCTET_STRING)?;
                return Ok(Some(id.bytes()?.to_vec()));
            }
        }
    }
    Ok(None)
}

/// UTCTime and GeneralizedTime as RFC 5280 section 4.1.2.5 has them.
fn moment(value: Option<Value<'_>>) -> Result<i64, BerError> {
    let value = value.ok_or(BerError::Truncated)?;
    let text = std::str::from_utf8(value.bytes()?).map_err(|_| BerError::Unexpected)?;
    let text = match value.tag {
        UTC_TIME => {
            let century = if text < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return Err(BerError::Unexpected),
    };
    let text = text.strip_suffix('Z').ok_or(BerError::Unexpected)?;
    jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", text)
        .and_then(|moment| moment.to_zoned(jiff::tz::TimeZone::UTC))
        .map(|moment| moment.timestamp().as_millisecond())
        .map_err(|_| BerError::Unexpected)
}
