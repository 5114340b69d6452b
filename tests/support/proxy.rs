//! A line that fails as lines do: a TCP proxy on a free port of 127.0.0.1, which cuts, slows, swallows and refuses as told.
//!
//! It runs on a thread of its own with its own runtime and ends when it is dropped. It reads what passes, unencrypted IMAP, to
//! know when somebody waits (IDLE) and where a literal begins.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::let_underscore_must_use
)]

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::serving::Serving;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In good order (FIN), as a server that stops.
    Fin,
    /// At once (RST), as a router that has forgotten the connection.
    Rst,
}

/// Pieces of a slow line come this often.
const PIECE_EVERY: Duration = Duration::from_millis(100);
/// Where the text of a message begins.
const TEXT: &[u8] = b" BODY[]";

#[derive(Debug, Default)]
struct State {
    /// Connections with a lower number are mute: what comes is swallowed, in both directions.
    mute_below: u64,
    /// Connections so far.
    connections: u64,
    /// The next texts of messages are cut after so many bytes.
    cuts: VecDeque<(usize, Cut)>,
    /// How many have been cut so.
    cut: usize,
    /// Bytes a second from the server; as fast as it goes without.
    pace: Option<usize>,
    /// Commands with this in them are held.
    hold: Option<String>,
    /// One is held.
    holds: bool,
    /// Connections on which the client waits for mail.
    idle: BTreeSet<u64>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Everything that is open is cut, whenever the number changes.
    cut_now: watch::Sender<(u64, Option<Cut>)>,
    /// Whether connections are taken.
    open: watch::Sender<bool>,
    /// Something about what is held has changed.
    released: watch::Sender<u64>,
}

/// The line; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
    _serving: Serving,
}

impl Proxy {
    /// A line to a port here.
    pub fn start(target: u16) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            cut_now: watch::Sender::new((0, None)),
            open: watch::Sender::new(true),
            released: watch::Sender::new(0),
        });
        let for_thread = Arc::clone(&shared);
        let serving = Serving::start(move |listener| serve(listener, target, for_thread));
        Self {
            port: serving.port,
            shared,
            _serving: serving,
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }

    /// All is well for connections from now on; those that have been mute stay so.
    pub fn heal(&self) {
        self.with(|state| {
            state.mute_below = state.mute_below.min(state.connections);
            state.pace = None;
            state.cuts.clear();
        });
        self.release();
        self.shared.open.send_replace(true);
    }

    /// Cuts everything that is open.
    pub fn cut(&self, how: Cut) {
        self.shared
            .cut_now
            .send_modify(|cut| *cut = (cut.0 + 1, Some(how)));
    }

    /// The next text of a message is cut after so many bytes; further calls are for the ones after it.
    pub fn cut_in_text(&self, after: usize, how: Cut) {
        self.with(|state| state.cuts.push_back((after, how)));
    }

    /// How many texts have been cut.
    pub fn texts_cut(&self) -> usize {
        self.with(|state| state.cut)
    }

    /// What is open goes mute and stays so; new connections work.
    pub fn mute(&self) {
        self.with(|state| state.mute_below = state.connections);
    }

    /// What is open and what comes is mute.
    pub fn mute_all(&self) {
        self.with(|state| state.mute_below = u64::MAX);
    }

    /// So many bytes a second come from the server.
    pub fn slow(&self, bytes_a_second: usize) {
        self.with(|state| state.pace = Some(bytes_a_second));
    }

    /// Takes no connections and cuts those that are open.
    pub fn refuse(&self) {
        self.shared.open.send_replace(false);
        self.cut(Cut::Rst);
    }

    /// Commands with this text in them are held until they are released.
    pub fn hold(&self, text: &str) {
        self.with(|state| state.hold = Some(text.to_owned()));
    }

    /// Whether a command is held.
    pub fn holds(&self) -> bool {
        self.with(|state| state.holds)
    }

    /// What is held goes on.
    pub fn release(&self) {
        self.with(|state| {
            state.hold = None;
            state.holds = false;
        });
        self.shared.released.send_modify(|number| *number += 1);
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.with(|state| state.connections)
    }

    /// Whether somebody waits for mail on a connection that works.
    pub fn idles(&self) -> bool {
        self.with(|state| state.idle.iter().any(|number| *number >= state.mute_below))
    }
}

async fn serve(first: TcpListener, target: u16, shared: Arc<Shared>) {
    let addr = first.local_addr().unwrap();
    let mut first = Some(first);
    let mut open = shared.open.subscribe();
    loop {
        let _ = open.wait_for(|open| *open).await;
        let listener = match first.take() {
            Some(listener) => listener,
            None => TcpListener::bind(addr).await.unwrap(),
        };
        loop {
            let client = tokio::select! {
                _ = open.wait_for(|open| !*open) => break,
                accepted = listener.accept() => accepted.unwrap().0,
            };
            tokio::spawn(connection(client, target, Arc::clone(&shared)));
        }
    }
}

async fn connection(mut client: TcpStream, target: u16, shared: Arc<Shared>) {
    let mut cut_now = shared.cut_now.subscribe();
    cut_now.mark_unchanged();
    let number = {
        let mut state = shared.state.lock().unwrap();
        state.connections += 1;
        state.connections - 1
    };
    // A server that is away hangs up on the client.
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let line = Line {
        number,
        shared: &shared,
    };
    let how = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            how = line.down(from_server, to_client) => how,
            () = line.up(from_client, to_server) => Cut::Fin,
            _ = cut_now.changed() => cut_now.borrow().1.unwrap_or(Cut::Fin),
        }
    };
    shared.state.lock().unwrap().idle.remove(&number);
    if how == Cut::Rst {
        client.set_zero_linger().unwrap();
    }
}

/// One connection through the proxy.
struct Line<'a> {
    number: u64,
    shared: &'a Shared,
}

impl Line<'_> {
    fn is_mute(&self) -> bool {
        self.number < self.shared.state.lock().unwrap().mute_below
    }

    /// From the server to the client.
    async fn down(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Cut {
        let mut buffer = vec![0; 16 * 1024];
        // Bytes until the cut that has been decided on.
        let mut until_cut: Option<(usize, Cut)> = None;
        loop {
            let read = match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return Cut::Fin,
                Ok(read) => read,
            };
            if self.is_mute() {
                continue;
            }
            let came = &buffer[..read];
            let pace = {
                let mut state = self.shared.state.lock().unwrap();
                if came.starts_with(b"+ ") {
                    state.idle.insert(self.number);
                }
                if until_cut.is_none()
                    && let Some(at) = came.windows(TEXT.len()).position(|part| part == TEXT)
                    && let Some((after, how)) = state.cuts.pop_front()
                {
                    state.cut += 1;
                    until_cut = Some((at + TEXT.len() + after, how));
                }
                state.pace
            };
            let passes = until_cut.map_or(read, |(left, _)| left.min(read));
            let sent = match pace {
                None => to.write_all(&came[..passes]).await,
                Some(pace) => slowly(&mut to, &came[..passes], pace).await,
            };
            if sent.is_err() {
                return Cut::Fin;
            }
            if let Some((left, how)) = &mut until_cut {
                *left -= passes;
                if *left == 0 {
                    // What has been sent shall arrive: a reset overtakes it.
                    sleep(Duration::from_millis(20)).await;
                    return *how;
                }
            }
        }
    }

    /// From the client to the server.
    async fn up(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => read,
            };
            let came = &buffer[..read];
            self.shared.state.lock().unwrap().idle.remove(&self.number);
            self.wait_while_held(came).await;
            if !self.is_mute() && to.write_all(came).await.is_err() {
                return;
            }
        }
    }

    async fn wait_while_held(&self, came: &[u8]) {
        let mut released = self.shared.released.subscribe();
        {
            let mut state = self.shared.state.lock().unwrap();
            let held = state
                .hold
                .as_ref()
                .is_some_and(|text| String::from_utf8_lossy(came).contains(text.as_str()));
            if !held {
                return;
            }
            state.holds = true;
        }
        let _ = released.changed().await;
    }
}

/// Writes at a pace.
async fn slowly(to: &mut WriteHalf<'_>, bytes: &[u8], pace: usize) -> std::io::Result<()> {
    let piece = (pace / 10).max(1);
    for part in bytes.chunks(piece) {
        to.write_all(part).await?;
        sleep(PIECE_EVERY).await;
    }
    Ok(())
}
