//! Helpers for tests against real servers on free ports of 127.0.0.1.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

pub mod dovecot;
pub mod net;
pub mod packages;
