//! Which database the settings name.

use std::path::Path;

use super::DatabaseConfig;
use super::check::Check;
use super::file::File;
use super::server::SecretKeys;
use super::values::is_loopback;

/// The file in the data folder.
const FILE: &str = "linjevei.db";
/// Ways of encrypting that are no promise; only for this machine.
const WEAK: [&str; 3] = ["disable", "allow", "prefer"];
/// Ways of encrypting over a network, the strictest last.
const STRONG: [&str; 3] = ["require", "verify-ca", "verify-full"];

/// Whether a text names a `PostgreSQL` database and not a file.
pub(super) fn is_address(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

impl Check<'_> {
    pub(super) fn database(
        &mut self,
        written: &File,
        data: Option<&Path>,
    ) -> Option<DatabaseConfig> {
        let password = self.secret(&SecretKeys {
            inline: &written.database_password,
            file: &written.database_password_file,
            env: &written.database_password_env,
            credential: &written.database_password_credential,
        });
        let Some(given) = &written.database else {
            if password != Ok(None) {
                let places = [
                    &written.database_password_file,
                    &written.database_password_env,
                    &written.database_password_credential,
                ];
                if let Some(place) = places.into_iter().flatten().next() {
                    self.at(
                        place,
                        "passordet er til ingen database",
                        "legg til database = \"postgres://bruker@tjener/database\", eller fjern linjen",
                    );
                }
            }
            return data.map(|data| DatabaseConfig::Sqlite(data.join(FILE)));
        };
        let url = given.get_ref();
        let problem = problem(url);
        if let Some((message, help)) = problem {
            // A password may stand in it.
            self.hidden.push(given.span());
            self.at(given, message, help);
            return None;
        }
        Some(DatabaseConfig::Postgres {
            url: url.clone(),
            password: password.ok()?,
        })
    }
}

/// What is wrong with the address of a database, and what to write instead.
fn problem(url: &str) -> Option<(&'static str, &'static str)> {
    const FORM: &str = "skriv database = \"postgres://bruker@tjener:5432/database\", eller fjern linjen: da er databasen en fil i data";
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let Some(rest) = rest else {
        return Some(("dette er ikke adressen til en PostgreSQL-database", FORM));
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((server, name)) = place.split_once('/') else {
        return Some(("adressen nevner ingen database", FORM));
    };
    let (user, server) = server.rsplit_once('@').unwrap_or(("", server));
    if user.contains(':') || query.split('&').any(|part| part.starts_with("password=")) {
        return Some((
            "passordet kan ikke stå i innstillingene",
            "legg det i en fil som bare linjevei kan lese, og skriv database_password_file = \"…\"",
        ));
    }
    let (host, port) = split_port(server);
    let is_local =
        host.is_empty() || is_loopback(host) || host.to_ascii_lowercase().starts_with("%2f");
    if name.is_empty() || host.is_empty() && !query.contains("host=") {
        return Some(("adressen nevner ikke både tjener og database", FORM));
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Some(("det som står bak kolon, er ikke en port", FORM));
    }
    let mode = query
        .split('&')
        .find_map(|part| part.strip_prefix("sslmode="));
    match mode {
        Some(mode) if WEAK.contains(&mode) && !is_local => Some((
            "uten kryptering kan bare denne maskinen brukes (localhost)",
            "skriv sslmode=verify-full, med sslrootcert=FIL når tjeneren har sertifikat fra egen utsteder",
        )),
        Some(mode) if !WEAK.contains(&mode) && !STRONG.contains(&mode) => Some((
            "denne verdien av sslmode finnes ikke",
            "bruk verify-full, verify-ca eller require",
        )),
        _ => None,
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn split_port(server: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = server
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, rest.strip_prefix(':'));
    }
    match server.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (server, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for url in [
            "postgres://linjevei@db.example/linjevei",
            "postgresql://linjevei@db.example:5433/linjevei?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres://127.0.0.1/linjevei?sslmode=disable",
            "postgres://linjevei@[::1]:5432/linjevei",
            "postgres://linjevei@%2Fvar%2Frun%2Fpostgresql/linjevei",
            "postgres:///linjevei?host=/var/run/postgresql",
        ] {
            assert_eq!(problem(url), None, "{url}");
        }
        for (url, part) in [
            ("mysql://db.example/x", "PostgreSQL"),
            ("linjevei.db", "PostgreSQL"),
            ("postgres://db.example", "ingen database"),
            ("postgres://db.example/", "tjener og database"),
            ("postgres:///x", "tjener og database"),
            ("postgres://ola:hemmelig@db.example/x", "passordet"),
            ("postgres://ola@db.example/x?password=hemmelig", "passordet"),
            ("postgres://db.example:port/x", "port"),
            ("postgres://db.example/x?sslmode=prefer", "uten kryptering"),
            ("postgres://db.example/x?sslmode=alltid", "sslmode"),
        ] {
            let (message, _) = problem(url).unwrap();
            assert!(message.contains(part), "{url}: {message}");
        }
    }
}
