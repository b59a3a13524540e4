//! The certificate in use, and its renewal: at SIGHUP, and when its files change.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::fault::TlsError;
use super::files::{Loaded, TlsFiles};
use crate::reload::Reloads;

const NOT_AFTER: &str = "semel_certificate_not_after_seconds";
const RELOADS: &str = "semel_certificate_reloads_total";

/// How often the files are looked at.
const PACE: Duration = Duration::from_secs(2);

/// What handshakes go by. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Whatever is wrong with them: no listener may open then.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        describe_gauge!(
            NOT_AFTER,
            "When the certificate shown to callers ends, in seconds since 1970"
        );
        describe_counter!(
            RELOADS,
            "Renewals of the certificate, by outcome: read, or kept (the old one)"
        );
        let loaded = files.load()?;
        tell(&files, &loaded);
        Ok(Self { files, current: watch::Sender::new(loaded.config) })
    }

    /// What the next handshake goes by.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Reads the files again whenever told, and when they have changed. Connections that are open stay as
    /// they are.
    pub(crate) async fn renew(&self, mut reloads: Reloads) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read = self.stamps();
        let mut last_seen = read.clone();
        loop {
            tokio::select! {
                biased;
                () = reloads.asked() => read = self.read_again(),
                _ = pace.tick() => {
                    let seen = self.stamps();
                    // Certificate and key are two files: read between the writing of both, they would not
                    // belong together. So they are read once they stand still.
                    if seen != read && seen == last_seen {
                        read = self.read_again();
                    }
                    last_seen = seen;
                }
            }
        }
    }

    /// Returns what the files looked like before they were read.
    fn read_again(&self) -> Vec<Option<Stamp>> {
        let stamps = self.stamps();
        match self.files.load() {
            Ok(loaded) => {
                tell(&self.files, &loaded);
                self.current.send_replace(loaded.config);
                counter!(RELOADS, "outcome" => "read").increment(1);
            }
            Err(error) => {
                tracing::error!(%error, "the certificate was not renewed: the one in use stays in use");
                counter!(RELOADS, "outcome" => "kept").increment(1);
            }
        }
        stamps
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.paths().map(stamp).collect()
    }
}

fn tell(files: &TlsFiles, loaded: &Loaded) {
    let certificate = files.certificate.display();
    let [_, not_after] = &loaded.validity.shown;
    tracing::info!(%certificate, not_after, "callers are shown this certificate");
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    gauge!(NOT_AFTER).set(loaded.validity.not_after as f64);
}

/// By what a file is known to have changed, also one that another took the place of.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}
