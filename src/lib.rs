//! linjevei: one channel for samhandlingsavvik between hospitals, kommuner and fastleger.
//!
//! Data flows one way: [`intake`] → [`message`] → [`rules`] → [`case`] → [`outbox`], with [`store`] underneath.
//! `message`, `rules`, `case`, `template` and `calendar` are pure: they get the time, the random bytes and the text of
//! rules and templates as arguments and touch neither the network nor the file system. [`worker`] and [`cli`] are the
//! only modules that join the others.
#![forbid(unsafe_code)]
#![allow(
    clippy::duplicate_mod,
    reason = "the statements in store/sql are compiled once for each database"
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

pub mod calendar;
pub mod case;
pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnostic;
mod expression;
pub mod extractor;
pub mod failpoint;
pub mod http;
pub mod intake;
pub mod message;
pub mod oauth;
pub mod outbox;
pub mod rules;
pub mod store;
pub mod template;
pub mod worker;
