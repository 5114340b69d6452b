//! A message that was a forsendelse in KS SvarInn: what intake wrote into its header, believed only when the caller knows
//! that intake wrote it. Anybody can write such headers into a mail.

use super::Message;

/// Header with the id.
pub const ID: &str = "X-Linjevei-Forsendelse";
/// Header of the notice that stands in for a forsendelse which cannot be read.
pub const UNREAD: &str = "X-Linjevei-Forsendelse-Ulest";
/// Header of a forsendelse whose files are not what its metadata says.
pub const DAMAGED: &str = "X-Linjevei-Forsendelse-Skadet";

/// What a message is as a forsendelse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forsendelse {
    /// Its id in SvarInn.
    pub id: String,
    /// This is only the notice that it could not be read.
    pub unread: bool,
    /// Files are missing or have another hash than the metadata says.
    pub damaged: bool,
}

/// Believes the headers: the caller knows that the message was taken from SvarInn.
pub fn vouch(message: &mut Message) {
    message.forsendelse = message.header(ID).map(|id| Forsendelse {
        id: id.to_owned(),
        unread: message.header(UNREAD).is_some(),
        damaged: message.header(DAMAGED).is_some(),
    });
}
