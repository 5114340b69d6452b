//! Free ports and bounded waiting.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Pause between two attempts while waiting for something to become ready.
const POLL: Duration = Duration::from_millis(20);

/// So many different free ports of 127.0.0.1.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that none is given twice.
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    std::array::from_fn(|i| held[i].local_addr().unwrap().port())
}

/// The address of a port here.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Waits until `ready` says so; `false` when it does not within `at_most`.
pub fn wait_until(at_most: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + at_most;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(POLL);
    }
}

/// Whether something listens at a port here.
pub fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&local(port), Duration::from_secs(1)).is_ok()
}
