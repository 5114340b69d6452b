//! TLS to a mail server: public authorities, the organisation's own (`ca_file`), or one pinned certificate.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::super::SourceError;
use super::super::files::hex;
use crate::config::Server;

/// Settings for one connection, and the memory of the certificate that was shown.
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    shown: Arc<Shown>,
}

/// SHA-256 of the last server certificate, in lower-case hexadecimal.
#[derive(Debug, Default)]
struct Shown(Mutex<Option<String>>);

impl Tls {
    /// Reads the certificates that the configuration names.
    pub(super) fn new(server: &Server) -> Result<Self, SourceError> {
        let provider = Arc::new(ring::default_provider());
        let shown = Arc::new(Shown::default());
        let check = match &server.pin_sha256 {
            Some(pin) => Check::Pin(
                pin.chars()
                    .filter(|c| *c != ':')
                    .collect::<String>()
                    .to_ascii_lowercase(),
            ),
            None => Check::Chain(chain(server.ca_file.as_deref(), &provider)?),
        };
        let verifier = Verifier {
            check,
            provider: Arc::clone(&provider),
            shown: Arc::clone(&shown),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SourceError::temporary("TLS cannot be set up", Some(error.into())))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            shown,
        })
    }

    /// Explains a failed handshake with `place` (host and port).
    pub(super) fn explain(&self, place: &str, error: &io::Error) -> SourceError {
        let cause = error
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<Error>());
        let Some(cause) = cause else {
            return SourceError::temporary(
                format!("TLS with {place} was cut off"),
                Some(io::Error::from(error.kind()).into()),
            );
        };
        let Error::InvalidCertificate(reason) = cause else {
            return match cause {
                Error::InvalidMessage(_) => SourceError::needs_person(
                    format!("{place} does not speak TLS from the start"),
                    "use STARTTLS, or the port for TLS (993)",
                ),
                other => SourceError::temporary(
                    format!("TLS with {place} failed"),
                    Some(other.clone().into()),
                ),
            };
        };
        let shown = self
            .shown
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let pin = shown.map_or_else(String::new, |shown| format!("pin_sha256 = \"{shown}\""));
        let (what, advice) = match reason {
            CertificateError::UnknownIssuer => (
                "is from an issuer that is not known",
                format!(
                    "set ca_file to the issuer's certificate, or, once compared with the server's own, {pin}"
                ),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (
                    "is for another host name",
                    format!(
                        "set host to the name in the certificate, or, once compared with the server's own, {pin}"
                    ),
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("has expired", "renew it on the server".to_owned())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "is not valid yet",
                "check the clocks of both machines".to_owned(),
            ),
            CertificateError::ApplicationVerificationFailure => (
                "is not the pinned one",
                format!("if the server got a new certificate, compare it and set {pin}"),
            ),
            other if is_ca_as_end_entity(other) => (
                "is self-signed and made as an authority (CA:TRUE)",
                format!("ca_file cannot help here; compare it with the server's own and set {pin}"),
            ),
            _ => (
                "is not accepted",
                format!(
                    "have it replaced on the server, or, once compared with the server's own, set {pin}"
                ),
            ),
        };
        SourceError::needs_person(format!("the certificate of {place} {what}"), advice)
    }
}

/// `openssl req -x509` makes such certificates. The error type is private to rustls' verifier, so its own name is asked for;
/// the unit test would notice a change.
fn is_ca_as_end_entity(reason: &CertificateError) -> bool {
    matches!(reason, CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity")
}

fn chain(
    ca_file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, SourceError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = ca_file {
        let unusable = |why: &str| {
            SourceError::needs_person(
                format!("ca_file {} {why}", path.display()),
                "name a readable PEM file with the issuer's certificate",
            )
        };
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|_| unusable("cannot be read"))?;
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(unusable("holds no certificate"));
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| SourceError::temporary("TLS cannot be set up", Some(error.into())))
}

/// How a server certificate is judged.
#[derive(Debug)]
enum Check {
    /// By its issuer, name and dates.
    Chain(Arc<WebPkiServerVerifier>),
    /// By its SHA-256 alone.
    Pin(String),
}

/// Remembers the certificate, judges it, and leaves the handshake signatures to rustls.
#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = hex(Sha256::digest(end_entity.as_ref()).iter());
        let matches = matches!(&self.check, Check::Pin(pin) if *pin == shown);
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match &self.check {
            Check::Chain(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Check::Pin(_) if matches => Ok(ServerCertVerified::assertion()),
            Check::Pin(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
