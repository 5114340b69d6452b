//! Mail that goes out: composing ([`compose`]) and transporting ([`MailTransport`]). [I/O in the transports only]
//!
//! A mail is composed once, to its last byte, in the transaction of the case change it belongs to; every attempt sends
//! those bytes.

pub mod compose;
pub mod maildir;
pub mod message_id;
pub mod retry;
pub mod smtp;

pub use compose::{AutoSubmitted, ComposeError, Composed, Draft, compose};
pub use maildir::MaildirTransport;
pub use message_id::SigningKey;
pub use smtp::SmtpTransport;

/// SMTP envelope (RFC 5321 section 2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM; `None` is the null return path `<>`.
    pub from: Option<String>,
    /// RCPT TO, at least one.
    pub to: Vec<String>,
}

/// A server's answer, without its text, which may hold addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reply {
    /// Three-digit code; 0 when there was none (connection refused, time-out, TLS).
    pub code: u16,
    /// Enhanced status code (RFC 3463) as class, subject, detail; zeros when there was none.
    pub enhanced: (u8, u16, u16),
}

/// What became of one recipient in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// The server took responsibility.
    Accepted(Reply),
    /// Not now; try again.
    Temporary(Reply),
    /// Not ever; a person must know.
    Permanent(Reply),
    /// Everything was sent and the final reply is missing: perhaps delivered.
    Unknown,
}

/// Result of one attempt to send one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// One outcome for each address of [`Envelope::to`], in that order.
    pub recipients: Vec<RecipientOutcome>,
    /// A Message-ID that the server says it gave the mail instead of ours (Exchange Online), without angle brackets.
    pub replaced_message_id: Option<String>,
    /// One line for the log and `doctor`: which step failed and what to do; no addresses. Empty on success.
    pub note: String,
}

/// Hands bytes to the world.
#[async_trait::async_trait]
pub trait MailTransport: Send + Sync {
    /// Sends the bytes. Never cancelled after DATA began; bounded in time by the transport itself.
    async fn send(&self, envelope: &Envelope, bytes: &[u8]) -> Delivery;

    /// Checks that mail could be sent (connect, TLS, log in) without sending; one line that says what was found.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    async fn check(&self) -> Result<String, String>;
}
