//! A real `PostgreSQL` of its own for a test program: a private data folder, a free port of 127.0.0.1, no user of the machine
//! that could be disturbed. It ends with the test program, however that ends.
//!
//! Works as root (the server then runs as `postgres` or `nobody`, since it refuses root) and as an ordinary user.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use linjevei::store::PostgresStore;
use rcgen::{CertificateParams, KeyPair};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use super::net::{free_ports, listens, wait_until};
use super::packages;

/// How long the server may take to start or stop.
const READY: Duration = Duration::from_mins(1);
/// The administrator, who needs no password.
const ADMIN: &str = "linjevei";
/// A user who needs one.
pub const WITH_PASSWORD: &str = "ola";
/// That password.
pub const PASSWORD: &str = "hemmelig passord";
/// The database that others are copied from.
const TEMPLATE: &str = "mal";

/// A running server. A shell beside it waits until this process closes its end of a pipe, stops the server and removes its
/// folder; so nothing stays behind when a test is killed.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    bin: PathBuf,
    user: Option<(String, u32, u32)>,
    keeper: Option<Child>,
    databases: AtomicU32,
    /// Its port.
    pub port: u16,
    /// The certificate it shows, PEM.
    pub ca_file: PathBuf,
}

/// Folder with `initdb` and `postgres`, the newest version there is.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn ids(user: &str) -> Option<(u32, u32)> {
    let ask = |what| {
        let told = Command::new("id").args([what, user]).output().ok()?;
        String::from_utf8(told.stdout).ok()?.trim().parse().ok()
    };
    Some((ask("-u")?, ask("-g")?))
}

impl Postgres {
    /// The server of this test program. `None`: the test must be skipped, and that has been said.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        tokio::task::spawn_blocking(|| SHARED.get_or_init(Self::start).as_ref())
            .await
            .unwrap()
    }

    /// Starts one.
    ///
    /// # Panics
    /// When `PostgreSQL` is there and does not start.
    pub fn start() -> Option<Self> {
        if programs().is_none()
            && !packages::ensure(
                &["/usr/share/postgresql-common/pg_wrapper"],
                &["postgresql"],
            )
        {
            return None;
        }
        let bin = programs().expect("the package postgresql brings its programs");
        let root = rustix::process::geteuid().is_root();
        let user = root.then(|| {
            ["postgres", "nobody"]
                .into_iter()
                .find_map(|name| ids(name).map(|(uid, gid)| (name.to_owned(), uid, gid)))
                .expect("a user that is not root")
        });
        let folder = tempfile::Builder::new()
            .prefix("lv-postgres-")
            .tempdir()
            .unwrap()
            .keep();
        if let Some((_, uid, gid)) = &user {
            chown(&folder, Some(*uid), Some(*gid)).unwrap();
        }
        let [port] = free_ports();
        let ca_file = folder.join("server.crt");
        let mut server = Self {
            folder,
            bin,
            user,
            keeper: None,
            databases: AtomicU32::new(0),
            port,
            ca_file,
        };
        server.create();
        server.launch();
        Some(server)
    }

    fn command(&self, program: &Path) -> Command {
        match &self.user {
            None => Command::new(program),
            Some((_, uid, gid)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={gid}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        }
    }

    fn create(&self) {
        let data = self.folder.join("data");
        let mut initdb = self.command(&self.bin.join("initdb"));
        initdb.args([
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-A",
            "trust",
            "--no-sync",
            "-U",
            ADMIN,
        ]);
        let version: u32 = self
            .bin
            .parent()
            .and_then(|folder| folder.file_name()?.to_str()?.parse().ok())
            .unwrap();
        if version >= 15 {
            // An order of letters that is not that of the bytes, as servers in Norway have it.
            initdb.args(["--locale-provider=icu", "--icu-locale=nb"]);
        }
        let made = initdb
            .arg("-D")
            .arg(&data)
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb failed:\n{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        self.write("server.crt", &certificate.pem());
        self.write("server.key", &key.serialize_pem());
        let hba = format!(
            "host all {WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        );
        self.write("data/pg_hba.conf", &hba);
        let settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 300\n\
             shared_buffers = 32MB\nfsync = off\nfull_page_writes = off\nwal_level = minimal\nmax_wal_senders = 0\n\
             ssl = on\nssl_cert_file = '{1}/server.crt'\nssl_key_file = '{1}/server.key'\n",
            self.port,
            self.folder.display()
        );
        let file = data.join("postgresql.conf");
        let mut file = fs::File::options().append(true).open(file).unwrap();
        file.write_all(settings.as_bytes()).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((_, uid, gid)) = &self.user {
            chown(&path, Some(*uid), Some(*gid)).unwrap();
        }
    }

    fn launch(&mut self) {
        // The shell reads until the other end of the pipe is closed, by this process or by its end.
        let script = "\"$0\" -D \"$1/data\" >>\"$1/log\" 2>&1 </dev/null & server=$!; cat >/dev/null; kill -INT $server; wait $server; \
                      if [ ! -e \"$1/again\" ]; then rm -rf \"$1\"; fi";
        let keeper = self
            .command(Path::new("sh"))
            .args(["-c", script])
            .arg(self.bin.join("postgres"))
            .arg(&self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        self.keeper = Some(keeper);
        let port = self.port;
        assert!(
            wait_until(READY, || listens(port)),
            "PostgreSQL does not start:\n{}",
            fs::read_to_string(self.folder.join("log")).unwrap_or_default()
        );
    }

    fn end(&mut self) {
        let Some(mut keeper) = self.keeper.take() else {
            return;
        };
        drop(keeper.stdin.take());
        wait_until(READY, || matches!(keeper.try_wait(), Ok(Some(_))));
        keeper.kill().ok();
        keeper.wait().ok();
    }

    /// Stops the server; its data stay.
    pub fn stop(&mut self) {
        fs::write(self.folder.join("again"), "").unwrap();
        self.end();
        fs::remove_file(self.folder.join("again")).unwrap();
    }

    /// Leaves its folder where it is when it ends; its path.
    pub fn keep(&self) -> PathBuf {
        fs::write(self.folder.join("again"), "").unwrap();
        self.folder.clone()
    }

    /// Starts it again on the same port with the same data.
    pub fn start_again(&mut self) {
        self.launch();
    }

    /// The address of a database for the administrator.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ADMIN}@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection for the administrator.
    pub async fn connect(&self, database: &str) -> PgConnection {
        let options: PgConnectOptions = self.url(database).parse().unwrap();
        // A server that has just begun to listen may still say that it is starting.
        let mut tries = 0;
        loop {
            match options.clone().disable_statement_logging().connect().await {
                Ok(connection) => return connection,
                Err(error) if tries > 200 => panic!("{error}"),
                Err(_) => {}
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Carries out a statement of the administrator.
    pub async fn execute(&self, database: &str, statement: &str) {
        let mut connection = self.connect(database).await;
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// A new database with nothing in it; its name.
    pub async fn empty_database(&self) -> String {
        let name = self.next();
        self.execute("postgres", &format!("CREATE DATABASE {name}"))
            .await;
        name
    }

    fn next(&self) -> String {
        format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed))
    }

    /// A new database with all tables; its address.
    pub async fn database(&self) -> String {
        let mut admin = self.connect("postgres").await;
        // The first test makes the template; others that come meanwhile wait.
        sqlx::query("SELECT pg_advisory_lock(1)")
            .execute(&mut admin)
            .await
            .unwrap();
        let there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
                .bind(TEMPLATE)
                .fetch_one(&mut admin)
                .await
                .unwrap();
        if !there {
            let unready = "unready";
            self.execute("postgres", &format!("DROP DATABASE IF EXISTS {unready}"))
                .await;
            self.execute("postgres", &format!("CREATE DATABASE {unready}"))
                .await;
            drop(PostgresStore::open(&self.url(unready), None).await.unwrap());
            self.patiently(
                &mut admin,
                &format!("ALTER DATABASE {unready} RENAME TO {TEMPLATE}"),
            )
            .await;
        }
        let name = self.next();
        self.patiently(
            &mut admin,
            &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"),
        )
        .await;
        admin.close().await.unwrap();
        self.url(&name)
    }

    /// A session that was just closed may still be counted.
    async fn patiently(&self, admin: &mut PgConnection, statement: &str) {
        let mut tries = 0;
        loop {
            let statement = sqlx::AssertSqlSafe(statement.to_owned());
            match sqlx::raw_sql(statement).execute(&mut *admin).await {
                Ok(_) => return,
                Err(error) if tries > 100 => panic!("{error}"),
                Err(_) => {}
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}
