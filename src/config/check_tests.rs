use std::collections::BTreeMap;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::values::is_address;
use crate::config::{DatabaseConfig, Guard, Login, Proof, Secret, SecretProblem, Tls};

/// Two variables and two files; every folder is there.
struct Fake;

impl Surroundings for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PASSORD"
            | "LINJEVEI_IMAP_PASSORD"
            | "LINJEVEI_POSTMOTTAK_PASSORD"
            | "LINJEVEI_SMTP_PASSORD" => Some("fra miljøet".to_owned()),
            "TOM" => Some(String::new()),
            "CREDENTIALS_DIRECTORY" => Some("/run/credentials".to_owned()),
            _ => None,
        }
    }

    fn secret(&self, path: &Path, guard: Guard) -> Result<Secret, SecretProblem> {
        let files = BTreeMap::from([
            ("/etc/linjevei/passord", Guard::Mode),
            ("/run/credentials/imap", Guard::Systemd),
        ]);
        match path.to_str().and_then(|path| files.get(path)) {
            Some(kept) if *kept == guard => Ok(Secret::new("fra filen".to_owned())),
            Some(_) => Err(SecretProblem::WorldReadable),
            None => Err(SecretProblem::Missing),
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        !path.ends_with("borte")
    }

    fn is_file(&self, path: &Path) -> bool {
        path.ends_with("ca.pem")
    }
}

const HEAD: &str =
    "data = \"data\"\n[identity]\naddress = \"avvik@so-hf.example\"\nname = \"Samhandling\"\n";
const SEND: &str = "[send_maildir]\npath = \"ut\"\n";

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse("linjevei.toml", text, Path::new("/etc/linjevei"), &Fake)
}

/// The faults without the name of the file.
fn faults(text: &str) -> Vec<String> {
    let lines = parse(text).unwrap_err().lines();
    let strip = |line: &String| line.trim_start_matches("linjevei.toml:").trim().to_owned();
    lines.iter().map(strip).collect()
}

#[test]
fn smallest_settings() {
    let config = parse(&format!("{HEAD}{SEND}")).unwrap();
    assert_eq!(config.mode, Mode::Observe);
    assert_eq!(config.data, Path::new("/etc/linjevei/data"));
    assert_eq!(config.rules, Path::new("/etc/linjevei/rules/ostfold"));
    assert_eq!(config.templates, Path::new("/etc/linjevei/templates"));
    assert_eq!(config.identity.bounce_address, "avvik@so-hf.example");
    assert_eq!(config.identity.message_id_domain, "so-hf.example");
    assert_eq!(config.send, SendConfig::Maildir("/etc/linjevei/ut".into()));
    assert_eq!(config.reminder_hour, 8);
    assert_eq!(config.close_after_days, 30);
    assert_eq!(config.acknowledgements_per_hour, 20);
    assert!(config.serious_needs_approval);
    assert!(config.sources.is_empty());
}

#[test]
fn the_shipped_example() {
    let text = include_str!("../../docs/linjevei.toml");
    let config = parse(text).unwrap_or_else(|faults| panic!("{faults}"));
    let names: Vec<&str> = config.sources.iter().map(SourceConfig::name).collect();
    assert_eq!(names, ["samhandlingsavvik", "postmottak"]);
    assert_eq!(config.authserv_id.as_deref(), Some("mx.so-hf.example"));
    assert_eq!(config.closed_days.len(), 3);
    let SendConfig::Smtp(server) = &config.send else {
        panic!("the example sends by SMTP");
    };
    assert_eq!((server.port, server.tls), (587, Tls::Starttls));
    let password = Secret::new("fra miljøet".to_owned());
    assert_eq!(
        server.login.as_ref().unwrap().proof,
        Proof::Password(password)
    );
    assert!(!format!("{config:?}").contains("fra miljøet"));
}

#[test]
fn the_database() {
    let file = parse(&format!("{HEAD}{SEND}")).unwrap().database;
    assert_eq!(
        file,
        DatabaseConfig::Sqlite("/etc/linjevei/data/linjevei.db".into())
    );
    let url = "postgres://linjevei@db.so-hf.example:5432/linjevei";
    let text = include_str!("../../docs/linjevei.toml");
    assert!(text.contains(&format!("# database = \"{url}\"\n")));
    let with = |more: &str| format!("database = \"{url}\"\n{more}{HEAD}{SEND}");
    let config = parse(&with("database_password_env = \"PASSORD\"\n")).unwrap();
    assert_eq!(
        config.database,
        DatabaseConfig::Postgres {
            url: url.to_owned(),
            password: Some(Secret::new("fra miljøet".to_owned())),
        }
    );
    assert!(!format!("{config:?}").contains("fra miljøet"));
    for (text, told) in [
        (
            format!("database_password_env = \"PASSORD\"\n{HEAD}{SEND}"),
            "passordet er til ingen database",
        ),
        (
            with("database_password = \"hemmelig\"\n"),
            "passordet kan ikke stå i innstillingene",
        ),
        (
            with("").replace("linjevei@db", "linjevei:hemmelig@db"),
            "passordet kan ikke stå i innstillingene",
        ),
        (with("").replace("postgres:", "mysql:"), "PostgreSQL"),
    ] {
        let faults = parse(&text).unwrap_err();
        assert!(faults.lines()[0].contains(told), "{faults}");
        assert!(!faults.to_string().contains("hemmelig"), "{faults}");
    }
}

/// The section that stands there as a comment, with and without what may be left out.
#[test]
fn the_svarinn_of_the_example() {
    let text = include_str!("../../docs/linjevei.toml");
    let at = text.find("# [[svarinn]]").unwrap();
    let section: Vec<&str> = text[at..]
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with("[[") || line.contains(" = "))
        .map(|line| {
            if line.starts_with("password_file") {
                "password_file = \"passord\""
            } else {
                line
            }
        })
        .collect();
    let fit = |line: &str| {
        let path = if line.contains("_file = ") && !line.starts_with("password") {
            line.split(" = ")
                .next()
                .map(|key| format!("{key} = \"ca.pem\""))
        } else {
            None
        };
        path.unwrap_or_else(|| line.to_owned())
    };
    let all: Vec<String> = section.iter().map(|line| fit(line)).collect();
    let config = parse(&format!("{HEAD}{SEND}{}", all.join("\n")))
        .unwrap_or_else(|faults| panic!("{faults}"));
    let needed: Vec<String> = all
        .iter()
        .filter(|line| {
            !["ca_file", "max_bytes", "poll_secs", "download_hosts"]
                .iter()
                .any(|key| line.starts_with(key))
        })
        .cloned()
        .collect();
    let mut defaults = parse(&format!("{HEAD}{SEND}{}", needed.join("\n"))).unwrap();
    let (SourceConfig::SvarInn(given), SourceConfig::SvarInn(left_out)) =
        (&config.sources[0], &mut defaults.sources[0])
    else {
        panic!("{:?}", config.sources);
    };
    left_out.ca_file.clone_from(&given.ca_file);
    assert_eq!(given, left_out);
    assert_eq!(given.poll, Duration::from_mins(15));
    assert!(!format!("{given:?}").contains("fra filen"));

    for (from, to, told) in [
        ("https://svarinn", "http://svarinn", "uten kryptering"),
        (
            "svarinn.ks.example/",
            "svarinn.ks.example/?a=",
            "mer enn tjener og sti",
        ),
        ("123456785", "123456789", "ikke et organisasjonsnummer"),
        (
            "varsling@edialog.example",
            "eDialog",
            "ikke en e-postadresse",
        ),
        ("poll_secs = 900", "poll_secs = 7200", "fra 1 til 3600"),
        (
            "private_key_file = \"ca.pem\"",
            "private_key_file = \"borte.key\"",
            "finner ikke filen",
        ),
        ("url = ", "adresse = ", "ukjent nøkkel"),
        ("password_file", "password", "kan ikke stå i innstillingene"),
        (
            "organisation = \"123456785\"",
            "",
            "nøkkelen «organisation» mangler",
        ),
    ] {
        let text = all.join("\n").replace(from, to);
        let faults = parse(&format!("{HEAD}{SEND}{text}"))
            .unwrap_err()
            .to_string();
        assert!(faults.contains(told), "{to}: {faults}");
    }
    let twice = format!("{HEAD}{SEND}{0}\n{0}", all.join("\n"));
    assert!(parse(&twice).unwrap_err().to_string().contains("to ganger"));
}

/// Every key in a comment is written as it would be in use, and its value is the default.
#[test]
fn commented_keys_of_the_example_are_true() {
    let text = include_str!("../../docs/linjevei.toml");
    let shipped = parse(text).unwrap();
    let defaults = [
        "serious_needs_approval",
        "send",
        "hour",
        "weekday",
        "party_status",
        "bounce_address",
        "message_id_domain",
        "tls",
        "port",
        "idle",
        "poll_secs",
        "acknowledge_max_age_days",
        "acknowledgements_per_hour",
        "close_after_days",
        "parse_max_bytes",
        "grace_secs",
        "left_alone_keep_days",
        "max_check_age_secs",
        "max_unsent_age_secs",
    ];
    let mut used = BTreeSet::new();
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let key = bare.split(" = ").next().unwrap_or_default();
            let commented_section = matches!(bare, "poll_secs = 10" | "poll_secs = 900");
            if defaults.contains(&key) && !commented_section {
                used.insert(key);
                bare
            } else {
                line
            }
        })
        .collect();
    assert_eq!(used.len(), defaults.len(), "{used:?}");
    let spelled_out = parse(&uncommented.join("\n")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(spelled_out, shipped);
}

#[test]
fn the_digest_and_the_duty_address() {
    let config = parse(&format!("duty_address = \"vakt@so-hf.example\"\n{HEAD}{SEND}[digest]\nsend = false\nto = \"a@b.example\"\nhour = 6\nweekday = \"søndag\"\nparty_status = true\n")).unwrap();
    assert_eq!(config.duty_address.as_deref(), Some("vakt@so-hf.example"));
    let expected = Digest {
        send: false,
        to: Some("a@b.example".into()),
        hour: 6,
        weekday: jiff::civil::Weekday::Sunday,
        party_status: true,
    };
    assert_eq!(config.digest, expected);
    for (text, told) in [
        ("[digest]\nhour = 24\n", "time på døgnet"),
        ("[digest]\nto = \"ingen\"\n", "e-postadresse"),
        ("[digest]\nto = \"Avvik@so-hf.example\"\n", "overvåkes"),
        ("[digest]\nweekday = \"manddag\"\n", "mente du «mandag»"),
        ("[digest]\nparty_states = true\n", "mente du «party_status»"),
    ] {
        let faults = parse(&format!("{HEAD}{SEND}{text}"))
            .unwrap_err()
            .to_string();
        assert!(faults.contains(told), "{text}: {faults}");
    }
}

#[test]
fn a_full_imap_source() {
    let text = format!(
        "mode = \"live\"\n{HEAD}{SEND}[[imap]]\nname = \"a\"\nhost = \"imap.so-hf.example\"\ntls = \"starttls\"\nuser = \"u\"\n\
         password_credential = \"imap\"\nfolder = \"Innboks/Avvik\"\nmove_to = \"Ferdig\"\nidle = false\npoll_secs = 5\ntimeout_secs = 20\n\
         ca_file = \"ca.pem\"\npin_sha256 = \"{}\"\n",
        "AB:".repeat(31) + "cd"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.mode, Mode::Live);
    let expected = SourceConfig::Imap {
        name: "a".into(),
        server: Server {
            host: "imap.so-hf.example".into(),
            port: 143,
            tls: Tls::Starttls,
            ca_file: Some("/etc/linjevei/ca.pem".into()),
            pin_sha256: Some("ab".repeat(31) + "cd"),
            login: Some(Login::password("u".into(), Secret::new("fra filen".into()))),
        },
        folder: "Innboks/Avvik".into(),
        ours: Ours::Move("Ferdig".into()),
        idle: false,
        poll: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
    };
    assert_eq!(config.sources, [expected]);
}

#[test]
fn unencrypted_only_on_this_machine() {
    for (host, good) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("[::1]", true),
        ("127.3.2.1", true),
        ("10.0.0.1", false),
        ("smtp.so-hf.example", false),
    ] {
        let text = format!("{HEAD}[smtp]\nhost = \"{host}\"\ntls = \"none\"\n");
        match parse(&text) {
            Ok(config) => {
                assert!(good, "{host}");
                let SendConfig::Smtp(server) = config.send else {
                    panic!("SMTP")
                };
                assert_eq!((server.port, server.login), (25, None));
            }
            Err(faults) => assert!(!good, "{host}: {faults}"),
        }
    }
}

#[test]
fn all_faults_at_once() {
    let text = "mod = \"live\"\nrules = \"borte\"\n[identity]\naddress = \"avvik\"\n[[imap]]\nname = \"a b\"\nhost = \"imaps://x.example\"\nport = 70000\n\
                user = \"u\"\npassword_file = \"finnes-ikke\"\nflag = \"\\\\Seen\"\n[[maildir]]\nname = \"x\"\npath = \"m\"\n[[maildir]]\nname = \"X\"\npath = \"m\"\npoll_secs = 0\n\
                [calendar]\nclosed_days = [\"12-24\", \"julaften\"]\nreminder_hour = 24\n[limits]\ngrace_secs = \"lenge\"\n[smtp]\nuser = \"u\"\n";
    assert_eq!(
        faults(text),
        [
            "nøkkelen «data» mangler (legg til data = \"/var/lib/linjevei\")",
            "1:1: ukjent nøkkel «mod» (mente du «mode»?)",
            "2:9: finner ikke mappen /etc/linjevei/borte (skriv rules = \"…\" med stien til mappen)",
            "3:1: nøkkelen «name» mangler (legg til name = \"Samhandlingsavdelingen\")",
            "4:11: «avvik» er ikke en e-postadresse (skriv bare adressen: navn@sykehus.example)",
            "6:8: «a b» kan ikke være navn på en postkasse (bruk bokstavene a–z, tall, bindestrek og understrek)",
            "7:8: «imaps://x.example» er ikke et tjenernavn (skriv bare navnet, uten «imaps://» foran og uten port bak)",
            "8:8: her skal det stå et heltall fra 0 til 65535, ikke tallet 70000",
            "10:17: passord: filen finnes ikke (lag filen /etc/linjevei/finnes-ikke med passordet på én linje)",
            "11:8: «\\Seen» kan ikke være et merke i IMAP (bruk bokstavene a–z, tall og bindestrek, for eksempel flag = \"linjevei\")",
            "15:1: den samme postkassen overvåkes to ganger (ta bort den ene)",
            "16:8: to postkasser heter «X» (gi hver postkasse sitt eget navn)",
            "18:13: 0 er utenfor det som går an (skriv et heltall fra 1 til 86400)",
            "20:25: «julaften» er ikke en dag; skriv MM-DD (hvert år) eller YYYY-MM-DD (for eksempel \"12-24\" eller \"2026-05-15\")",
            "21:17: 24 er ikke en time på døgnet (skriv et heltall fra 0 til 23)",
            "23:14: her skal det stå et heltall fra 0, ikke en tekst (skriv tallet uten anførselstegn)",
            "24:1: det står ikke hvor passordet finnes (legg til password_file = \"…\", password_env = \"…\", password_credential = \"…\" eller oauth = \"…\")",
            "24:1: nøkkelen «host» mangler (legg til host = \"post.…\")",
        ]
    );
}

#[test]
fn one_fault_each() {
    let imap = "[[imap]]\nname = \"a\"\nhost = \"i.example\"\n";
    let smtp = "[smtp]\nhost = \"s.example\"\n";
    for (text, expected) in [
        (HEAD.to_owned(), "det står ikke hvordan post skal sendes"),
        (
            format!("{HEAD}{SEND}{smtp}"),
            "[smtp] og [send_maildir] kan ikke stå sammen",
        ),
        (
            format!("data = \"d\"\n{SEND}"),
            "seksjonen [identity] mangler",
        ),
        (
            format!("{HEAD}{SEND}{imap}user = \"u\"\n"),
            "det står ikke hvor passordet finnes",
        ),
        (
            format!("{HEAD}{SEND}{imap}password_env = \"PASSORD\"\n"),
            "nøkkelen «user» mangler",
        ),
        (
            format!(
                "{HEAD}{SEND}{imap}user = \"u\"\npassword_env = \"PASSORD\"\npassword_file = \"passord\"\n"
            ),
            "passordet er oppgitt på flere måter",
        ),
        (
            format!("{HEAD}{SEND}{imap}user = \"u\"\npassword_env = \"UKJENT\"\n"),
            "miljøvariabelen er ikke satt",
        ),
        (
            format!("{HEAD}{SEND}{imap}user = \"u\"\npassword_env = \"TOM\"\n"),
            "miljøvariabelen er ikke satt",
        ),
        (
            format!("{HEAD}{SEND}{imap}user = \"u\"\npasword_env = \"PASSORD\"\n"),
            "ukjent nøkkel «pasword_env»",
        ),
        (
            format!("{HEAD}{SEND}{imap}user = \"u\"\npassword_credential = \"../shadow\"\n"),
            "dette er ikke navnet på en hemmelighet",
        ),
        (
            format!("{HEAD}{SEND}{imap}user = \"u\"\npassword_file = \"/run/credentials/imap\"\n"),
            "alle på maskinen kan lese filen",
        ),
        (
            format!(
                "{HEAD}{SEND}{imap}user = \"u\"\npassword_env = \"PASSORD\"\nflag = \"a\"\nmove_to = \"b\"\n"
            ),
            "flag og move_to kan ikke stå sammen",
        ),
        (
            format!(
                "{HEAD}{SEND}{imap}user = \"u\"\npassword_env = \"PASSORD\"\nmove_to = \"INBOX\"\n"
            ),
            "meldingene ligger alt i denne mappen",
        ),
        (
            format!("{HEAD}{SEND}[[maildir]]\nname = \"m\"\npath = \"ut\"\n"),
            "det som sendes, legges i en postkasse som overvåkes",
        ),
        (
            format!("{HEAD}{SEND}[trust]\nauthserv_id = \"mx\"\n"),
            "«mx» er ikke et domene",
        ),
        (
            format!("{HEAD}{smtp}ca_file = \"mangler.pem\"\n"),
            "finner ikke filen",
        ),
        (
            format!("{HEAD}{smtp}pin_sha256 = \"abc\"\n"),
            "dette er ikke et SHA-256-avtrykk",
        ),
        (format!("{HEAD}{smtp}port = 0\n"), "0 er ikke en port"),
        (format!("{HEAD}{smtp}tls = \"ssl\"\n"), "ukjent verdi «ssl»"),
        (
            format!("{HEAD}{smtp}tls = \"none\"\n"),
            "uten kryptering kan bare denne maskinen brukes",
        ),
    ] {
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{text}\n{found:#?}");
        assert!(found[0].contains(expected), "{expected}: {found:?}");
    }
}

#[test]
fn passwords_are_refused_and_never_shown() {
    for text in [
        format!("{HEAD}[smtp]\nhost = \"s.example\"\nuser = \"u\"\npassword = \"Hemmelig-æøå\"\n"),
        format!(
            "{HEAD}[smtp]\nhost = \"s.example\"\nuser = \"u\"\npassword = \"\"\"\nHemmelig\nHemmelig\"\"\"\n"
        ),
        format!("{HEAD}[smtp]\nhost = \"s.example\"\nuser = \"u\"\n\"password\"=\"Hemmelig\n"),
        format!("{HEAD}smtp = {{ host = \"s.example\", password = \"Hemmelig\", usr = 1 }}\n"),
    ] {
        let faults = parse(&text).unwrap_err();
        let shown = format!("{faults}{}{faults:?}", faults.coloured());
        assert!(!shown.contains("Hemmelig"), "{shown}");
        assert!(!shown.contains("æøå"), "{shown}");
    }
    let text = format!("{HEAD}[smtp]\nhost = \"s.example\"\nuser = \"u\"\npassword = \"x\"\n");
    assert!(faults(&text)[0].contains("passordet kan ikke stå i innstillingene"));
}

#[test]
fn addresses_and_domains() {
    for good in ["a@b.example", "a.b+c@so-hf.example", "o'neil@x.y.example"] {
        assert!(is_address(good), "{good}");
    }
    for bad in [
        "",
        "a",
        "@b.example",
        "a@",
        "a@b",
        "a b@c.example",
        "a..b@c.example",
        "Navn <a@b.example>",
        "å@b.example",
        "a@-b.example",
        "a@1.2.3.4",
        "a@b.example\nBcc: x",
    ] {
        assert!(!is_address(bad), "{bad}");
    }
}

#[test]
fn loading_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("linjevei.toml");
    let missing = Config::load(&path).unwrap_err();
    assert!(matches!(
        missing,
        crate::config::ConfigError::Unreadable { .. }
    ));
    for sub in ["rules/ostfold", "templates"] {
        std::fs::create_dir_all(folder.path().join(sub)).unwrap();
    }
    std::fs::write(&path, format!("{HEAD}{SEND}")).unwrap();
    assert_eq!(
        Config::load(&path).unwrap().data,
        folder.path().join("data")
    );
    std::fs::write(&path, b"# f\xf8rste\n\xff").unwrap();
    let latin1 = Config::load(&path).unwrap_err().to_string();
    assert!(
        latin1.contains("linje 1 har tegn som ikke er UTF-8"),
        "{latin1}"
    );
}

#[test]
fn tokens_retention_and_health() {
    let oauth = "[oauth.exchange]\ntoken_url = \"https://login.example/t/token\"\nclient_id = \"id\"\n\
                 client_secret_file = \"passord\"\nscope = \"https://outlook.example/.default\"\n";
    let imap =
        "[[imap]]\nname = \"post\"\nhost = \"imap.example\"\nuser = \"u\"\noauth = \"exchange\"\n";
    let config = parse(&format!("{HEAD}{SEND}{oauth}{imap}")).unwrap();
    let SourceConfig::Imap { server, .. } = &config.sources[0] else {
        panic!("it is an IMAP folder");
    };
    let Proof::OAuth(oauth_of) = &server.login.as_ref().unwrap().proof else {
        panic!("it logs in with tokens");
    };
    assert_eq!(
        (oauth_of.name.as_str(), oauth_of.client_secret.reveal()),
        ("exchange", "fra filen")
    );
    assert!(!format!("{config:?}").contains("fra filen"));
    assert_eq!(config.retention.left_alone_keep_days, 30);
    assert_eq!(
        (config.retention.closed_cases_keep_days, config.health),
        (None, None)
    );
    let more = "[retention]\nleft_alone_keep_days = 7\nclosed_cases_keep_days = 1825\n[health]\nlisten = \"[::1]:9187\"\n";
    let config = parse(&format!("{HEAD}{SEND}{more}")).unwrap();
    assert_eq!(config.retention.closed_cases_keep_days, Some(1825));
    assert_eq!(
        config.health.unwrap().max_unsent_age,
        Duration::from_hours(2)
    );
    for (text, expected) in [
        (imap.to_owned(), "det er ingen [oauth.exchange]"),
        (
            format!("{oauth}{imap}password_env = \"PASSORD\"\n"),
            "oauth og passord kan ikke stå sammen",
        ),
        (
            oauth.replace("https://login", "http://login"),
            "uten kryptering kan bare denne maskinen brukes",
        ),
        (
            oauth.replace("https://login.example/t/token", "login"),
            "«login» er ikke en nettadresse",
        ),
        (
            oauth.replace("client_secret_file = \"passord\"\n", ""),
            "det står ikke hvor klientens hemmelighet finnes",
        ),
        (
            oauth.replace(
                "client_secret_file = \"passord\"",
                "client_secret = \"hysj\"",
            ),
            "passordet kan ikke stå i innstillingene",
        ),
        (
            "[health]\nlisten = \"10.0.0.1:80\"\n".to_owned(),
            "hit kan bare denne maskinen komme",
        ),
        (
            "[retention]\nclosed_cases_keep_days = 0\n".to_owned(),
            "0 er utenfor det som går an",
        ),
    ] {
        let faults = parse(&format!("{HEAD}{SEND}{text}")).unwrap_err();
        let told = faults.to_string();
        assert!(told.contains(expected), "{expected}: {told}");
        assert!(!told.contains("hysj"), "{told}");
        assert_eq!(faults.lines().len(), 1, "{told}");
    }
}
