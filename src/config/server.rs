//! Servers in the settings: name, port, encryption, log-in and where the password is kept.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::check::{Check, Noted};
use super::file::{Encryption, Given};
use super::surroundings::{Guard, SecretProblem};
use super::values::is_loopback;
use super::{Login, Proof, Secret, Server, Tls};

/// The parts of a server that IMAP and SMTP have in common.
pub(super) struct ServerKeys<'a> {
    pub(super) section: Range<usize>,
    pub(super) host: &'a Given<String>,
    pub(super) port: &'a Given<u16>,
    pub(super) tls: &'a Given<Encryption>,
    pub(super) ca_file: &'a Given<String>,
    pub(super) pin_sha256: &'a Given<String>,
    pub(super) user: &'a Given<String>,
    pub(super) password: &'a Given<toml::Value>,
    pub(super) password_file: &'a Given<String>,
    pub(super) password_env: &'a Given<String>,
    pub(super) password_credential: &'a Given<String>,
    pub(super) oauth: &'a Given<String>,
}

/// Where a secret is kept: one of the last three.
pub(super) struct SecretKeys<'a> {
    /// In the settings, which is refused.
    pub(super) inline: &'a Given<toml::Value>,
    pub(super) file: &'a Given<String>,
    pub(super) env: &'a Given<String>,
    pub(super) credential: &'a Given<String>,
}

/// IMAP or SMTP: default ports in the order implicit TLS, STARTTLS, none; whether a log-in is needed.
pub(super) struct Protocol {
    ports: [u16; 3],
    login: Need,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Needed,
    Optional,
}

pub(super) const IMAP: Protocol = Protocol {
    ports: [993, 143, 143],
    login: Need::Needed,
};

pub(super) const SMTP: Protocol = Protocol {
    ports: [465, 587, 25],
    login: Need::Optional,
};

impl Check<'_> {
    pub(super) fn server(&mut self, keys: &ServerKeys<'_>, protocol: &Protocol) -> Option<Server> {
        let host = self
            .needed(
                keys.host.as_ref(),
                &keys.section,
                "host",
                "host = \"post.…\"",
            )
            .and_then(|host| self.host(host));
        let tls = match keys.tls.as_ref().map(Spanned::get_ref) {
            Some(Encryption::Implicit) | None => Tls::Implicit,
            Some(Encryption::Starttls) => Tls::Starttls,
            Some(Encryption::None) => Tls::None,
        };
        if let (Tls::None, Some(place), Some(host)) = (tls, keys.tls, &host)
            && !is_loopback(host)
        {
            self.at(
                place,
                "uten kryptering kan bare denne maskinen brukes (localhost)",
                "skriv tls = \"implicit\" eller tls = \"starttls\"",
            );
        }
        let [implicit, starttls, none] = protocol.ports;
        let port = match keys.port {
            Some(port) if *port.get_ref() == 0 => {
                self.at(
                    port,
                    "0 er ikke en port",
                    format!("vanlig port her er {implicit}"),
                );
                None
            }
            Some(port) => Some(*port.get_ref()),
            None => Some(match tls {
                Tls::Implicit => implicit,
                Tls::Starttls => starttls,
                Tls::None => none,
            }),
        };
        let ca_file = self.ca_file(keys.ca_file.as_ref());
        let pin_sha256 = keys.pin_sha256.as_ref().and_then(|pin| self.pin(pin));
        let login = self.login(keys, protocol);
        Some(Server {
            host: host?,
            port: port?,
            tls,
            ca_file,
            pin_sha256,
            login: login.ok()?,
        })
    }

    pub(super) fn ca_file(&mut self, given: Option<&Spanned<String>>) -> Option<PathBuf> {
        let given = given?;
        let path = self.folder.join(given.get_ref());
        if self.surroundings.is_file(&path) {
            return Some(path);
        }
        self.at(
            given,
            format!("finner ikke filen {}", path.display()),
            "rett stien",
        );
        None
    }

    /// `None` is no log-in.
    fn login(
        &mut self,
        keys: &ServerKeys<'_>,
        protocol: &Protocol,
    ) -> Result<Option<Login>, Noted> {
        let user = keys.user.as_ref().map(|user| self.line(user));
        let proof = self.proof(keys);
        match (user, proof) {
            (Some(user), Ok(Some(proof))) => Ok(Some(Login {
                user: user.ok_or(Noted)?,
                proof,
            })),
            (None, Ok(None)) if protocol.login == Need::Optional => Ok(None),
            (user, proof) => {
                if user.is_none() && !self.form.was_there(&keys.section, "user") {
                    let help = "legg til user = \"…\"";
                    self.fault(keys.section.clone(), "nøkkelen «user» mangler", help);
                }
                let names = [
                    "password_file",
                    "password_env",
                    "password_credential",
                    "oauth",
                ];
                let faulty = names
                    .iter()
                    .any(|name| self.form.was_there(&keys.section, name));
                if proof == Ok(None) && !faulty {
                    self.fault(
                        keys.section.clone(),
                        "det står ikke hvor passordet finnes",
                        "legg til password_file = \"…\", password_env = \"…\", password_credential = \"…\" eller oauth = \"…\"",
                    );
                }
                Err(Noted)
            }
        }
    }

    /// `None` when neither a password nor a source of tokens is given.
    fn proof(&mut self, keys: &ServerKeys<'_>) -> Result<Option<Proof>, Noted> {
        let password = self.secret(&SecretKeys {
            inline: keys.password,
            file: keys.password_file,
            env: keys.password_env,
            credential: keys.password_credential,
        });
        let Some(name) = keys.oauth else {
            return Ok(password?.map(Proof::Password));
        };
        if password != Ok(None) {
            self.at(
                name,
                "oauth og passord kan ikke stå sammen",
                "behold bare én av dem",
            );
            return Err(Noted);
        }
        match self.oauths.get(name.get_ref()) {
            Some(Some(oauth)) => Ok(Some(Proof::OAuth(std::sync::Arc::clone(oauth)))),
            Some(None) => Err(Noted),
            None => {
                let known: Vec<&str> = self.oauths.keys().map(String::as_str).collect();
                let help = if known.is_empty() {
                    format!("legg til [oauth.{}]", name.get_ref())
                } else {
                    format!("det finnes: {}", known.join(", "))
                };
                let message = format!("det er ingen [oauth.{}]", name.get_ref());
                self.at(name, message, help);
                Err(Noted)
            }
        }
    }

    /// `None` when no secret is given.
    pub(super) fn secret(&mut self, keys: &SecretKeys<'_>) -> Result<Option<Secret>, Noted> {
        if let Some(inline) = keys.inline {
            self.hidden.push(inline.span());
            self.at(
                inline,
                "passordet kan ikke stå i innstillingene",
                "legg det i en fil som bare linjevei kan lese, og skriv password_file = \"…\" (client_secret_file i [oauth])",
            );
            return Err(Noted);
        }
        match (keys.file, keys.env, keys.credential) {
            (None, None, None) => Ok(None),
            (Some(file), None, None) => {
                let path = self.folder.join(file.get_ref());
                self.password_in(file, &path, Guard::Mode)
            }
            (None, Some(variable), None) => self.password_variable(variable),
            (None, None, Some(name)) => self.credential(name),
            (_, Some(second), _) | (_, None, Some(second)) => {
                let help = "behold bare én av dem";
                self.at(second, "passordet er oppgitt på flere måter", help);
                Err(Noted)
            }
        }
    }

    fn password_variable(&mut self, name: &Spanned<String>) -> Result<Option<Secret>, Noted> {
        let value = self.surroundings.variable(name.get_ref());
        let value = value.filter(|value| !value.is_empty());
        if value.is_none() {
            self.at(
                name,
                "miljøvariabelen er ikke satt",
                "sett den der tjenesten startes, eller bruk password_file",
            );
        }
        value.map(|value| Some(Secret::new(value))).ok_or(Noted)
    }

    fn credential(&mut self, name: &Spanned<String>) -> Result<Option<Secret>, Noted> {
        let Some(folder) = self.surroundings.variable("CREDENTIALS_DIRECTORY") else {
            self.at(
                name,
                "systemd har ikke gitt noen hemmeligheter (CREDENTIALS_DIRECTORY er ikke satt)",
                format!("legg LoadCredential={}:/… i tjenestefilen", name.get_ref()),
            );
            return Err(Noted);
        };
        if name.get_ref().contains('/') || name.get_ref().is_empty() {
            self.at(
                name,
                "dette er ikke navnet på en hemmelighet",
                "skriv navnet uten sti",
            );
            return Err(Noted);
        }
        let path = Path::new(&folder).join(name.get_ref());
        self.password_in(name, &path, Guard::Systemd)
    }

    fn password_in(
        &mut self,
        given: &Spanned<String>,
        path: &Path,
        guard: Guard,
    ) -> Result<Option<Secret>, Noted> {
        match self.surroundings.secret(path, guard) {
            Ok(secret) => Ok(Some(secret)),
            Err(problem) => {
                let shown = path.display();
                let help = match problem {
                    SecretProblem::Missing => {
                        format!("lag filen {shown} med passordet på én linje")
                    }
                    SecretProblem::Unreadable => {
                        format!("gi brukeren som kjører linjevei, lov til å lese {shown}")
                    }
                    SecretProblem::WorldReadable => format!("kjør: chmod o= {shown}"),
                    SecretProblem::Empty | SecretProblem::NoPassword => {
                        format!("{shown} skal ha passordet på én linje og ikke noe annet")
                    }
                };
                self.at(given, format!("passord: {problem}"), help);
                Err(Noted)
            }
        }
    }
}
