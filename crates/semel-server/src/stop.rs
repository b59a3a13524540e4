//! The word to stop: SIGTERM or ctrl-C. Said a second time by ctrl-C, it ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a process ends that was told twice by ctrl-C (128 and the signal's number, as shells do).
const INTERRUPTED: i32 = 130;

/// Listens for the word to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// From now on neither signal ends the process by itself.
    ///
    /// # Errors
    /// When the system takes no handlers.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the first word. From then on ctrl-C ends the process.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        if let Ok(mut again) = signal(SignalKind::interrupt()) {
            tokio::spawn(async move {
                again.recv().await;
                std::process::exit(INTERRUPTED);
            });
        }
    }
}
