//! Sends into a Maildir (<https://cr.yp.to/proto/maildir.html>), for trying out and for the demo.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::message_id::hex;
use super::{Delivery, Envelope, MailTransport, RecipientOutcome, Reply};

/// Writes each mail, exactly its bytes, as one file of a Maildir. The envelope is not kept.
#[derive(Debug)]
pub struct MaildirTransport {
    path: PathBuf,
}

/// Distinguishes mails that this process writes within one clock tick.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

impl MaildirTransport {
    /// A transport into the Maildir at `path`; its folders are made when they are needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

/// tmp → fsync → new: a mail in `new` is whole, also after power loss.
fn deliver(path: &Path, bytes: &[u8]) -> io::Result<()> {
    for folder in ["tmp", "new", "cur"] {
        fs::create_dir_all(path.join(folder))?;
    }
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let count = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let digest = Sha256::digest(bytes);
    let tag = hex(digest.get(..4).unwrap_or_default());
    // The count is padded, so that the order of names is the order of writing.
    let name = format!(
        "{}.M{:06}P{}Q{count:06}.{tag}.linjevei",
        since_epoch.as_secs(),
        since_epoch.subsec_micros(),
        std::process::id()
    );
    let tmp = path.join("tmp").join(&name);
    let written = File::create_new(&tmp)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    let placed = written.and_then(|()| fs::rename(&tmp, path.join("new").join(&name)));
    if let Err(error) = placed {
        // The error of the delivery says more than one of the tidying up.
        drop(fs::remove_file(&tmp));
        return Err(error);
    }
    File::open(path.join("new"))?.sync_all()
}

/// What a person reads about an error of the file system; paths of ours may be shown, addresses do not occur.
fn explain(path: &Path, error: &io::Error) -> String {
    format!("cannot write into the Maildir {}: {error}", path.display())
}

#[async_trait::async_trait]
impl MailTransport for MaildirTransport {
    async fn send(&self, envelope: &Envelope, bytes: &[u8]) -> Delivery {
        let (path, bytes) = (self.path.clone(), bytes.to_vec());
        let result = tokio::task::spawn_blocking(move || deliver(&path, &bytes))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        let reply = Reply {
            code: 250,
            enhanced: (2, 0, 0),
        };
        let (outcome, note) = match result {
            Ok(()) => (RecipientOutcome::Accepted(reply), String::new()),
            Err(error) => (
                RecipientOutcome::Temporary(Reply::default()),
                explain(&self.path, &error),
            ),
        };
        Delivery {
            recipients: vec![outcome; envelope.to.len()],
            replaced_message_id: None,
            note,
        }
    }

    async fn check(&self) -> Result<String, String> {
        let path = self.path.clone();
        let result = tokio::task::spawn_blocking(move || {
            for folder in ["tmp", "new", "cur"] {
                fs::create_dir_all(path.join(folder))?;
            }
            let probe = path
                .join("tmp")
                .join(format!("linjevei-check-{}", std::process::id()));
            fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe))
        });
        match result
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok(()) => Ok(format!(
                "mail goes into the Maildir {}",
                self.path.display()
            )),
            Err(error) => Err(explain(&self.path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_arrive_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("Maildir");
        let transport = MaildirTransport::new(&path);
        let envelope = Envelope {
            from: None,
            to: vec!["a@x.example".into(), "b@x.example".into()],
        };
        for at in 0..30 {
            let delivery = transport
                .send(&envelope, format!("Subject: {at}\r\n\r\n.\r\n").as_bytes())
                .await;
            assert_eq!(delivery.note, "");
            assert!(matches!(
                delivery.recipients.as_slice(),
                [RecipientOutcome::Accepted(_), RecipientOutcome::Accepted(_)]
            ));
        }
        let mut names: Vec<PathBuf> = fs::read_dir(path.join("new"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        let texts: Vec<String> = names
            .iter()
            .map(|name| fs::read_to_string(name).unwrap())
            .collect();
        assert_eq!(
            texts,
            (0..30)
                .map(|at| format!("Subject: {at}\r\n\r\n.\r\n"))
                .collect::<Vec<_>>()
        );
        assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
        assert!(transport.check().await.is_ok());
    }

    #[tokio::test]
    async fn trouble_is_temporary_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "not a folder").unwrap();
        let transport = MaildirTransport::new(&path);
        let envelope = Envelope {
            from: None,
            to: vec!["hemmelig@x.example".into()],
        };
        let delivery = transport.send(&envelope, b"x").await;
        assert_eq!(
            delivery.recipients,
            [RecipientOutcome::Temporary(Reply::default())]
        );
        assert!(
            delivery.note.contains("Maildir") && !delivery.note.contains("hemmelig"),
            "{}",
            delivery.note
        );
        assert!(transport.check().await.is_err());
    }
}
