//! The word to read files again: SIGHUP. Whoever holds something that was read from a file listens for it.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Takes the signal, and passes it on to all who listen.
#[derive(Debug)]
pub(crate) struct Reload {
    hang_up: Signal,
    said: watch::Sender<u64>,
}

/// Hears the word. One that is said while nobody waits is heard at the next wait; several are heard as one.
#[derive(Clone, Debug)]
pub(crate) struct Reloads(watch::Receiver<u64>);

impl Reload {
    /// From now on SIGHUP does not end the process.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub(crate) fn new() -> std::io::Result<Self> {
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Self { hang_up, said: watch::Sender::new(0) })
    }

    /// Somebody who hears each word from now on.
    pub(crate) fn listen(&self) -> Reloads {
        Reloads(self.said.subscribe())
    }

    /// Passes the word on, for as long as it is polled.
    pub(crate) async fn pass_on(mut self) {
        while self.hang_up.recv().await.is_some() {
            tracing::info!("SIGHUP: files are read again");
            self.said.send_modify(|times| *times += 1);
        }
        std::future::pending().await
    }
}

impl Reloads {
    /// Resolves once the word was said that was not yet heard here.
    pub(crate) async fn asked(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody passes it on any more: the process is ending.
            std::future::pending().await
        }
    }
}
