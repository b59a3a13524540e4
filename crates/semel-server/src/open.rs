//! Opens the store and finds its secret, and refuses every pair that could not be what it was.
//!
//! | secret | store | |
//! |---|---|---|
//! | none | none | both are made: store first, so that a crash in between leaves an empty store, which may get a secret |
//! | there | none | a *lost store*: refused |
//! | none | with records | a *lost secret*: refused |
//! | none | empty | the secret is made |
//! | there | there | opened; the engine compares the secret with the store's check value |

use std::path::PathBuf;
use std::sync::Arc;

use semel::core::{Secret, Store, StoreError};
use semel::entropy::{SystemEntropy, random};
use semel::store::MemoryStore;
use semel::time::SystemClock;

use crate::cli::values::StoreSpec;
use crate::secret_file::{self, SecretFileError};

/// Why there is no store to serve from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError {
    /// The secret's file.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store and its secret.
#[derive(Debug)]
pub(crate) struct Opened {
    pub store: Arc<dyn Store>,
    pub secret: Secret,
    /// What was made now, for people.
    pub made: Vec<String>,
}

/// Opens what `spec` names.
///
/// # Errors
/// [`OpenError`].
pub(crate) async fn open(
    spec: &StoreSpec,
    secret_file: Option<PathBuf>,
    bounds: &StoreBounds,
) -> Result<Opened, OpenError> {
    match spec {
        StoreSpec::Memory => open_memory(secret_file, bounds),
        StoreSpec::Embedded(_dir) => Err(StoreError::Unavailable {
            reason: "the embedded store is not part of this build".to_owned(),
        }
        .into()),
    }
}

/// What the store needs to know of the routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreBounds {
    /// Bytes of the largest reply that is kept.
    pub reply_max: u64,
}

fn open_memory(secret_file: Option<PathBuf>, bounds: &StoreBounds) -> Result<Opened, OpenError> {
    let reply_cap = usize::try_from(bounds.reply_max).unwrap_or(usize::MAX);
    let store = MemoryStore::new(Arc::new(SystemClock), &SystemEntropy).with_reply_cap(reply_cap);
    let store: Arc<dyn Store> = Arc::new(store);
    let mut made = Vec::new();
    let secret = match secret_file {
        None => random(&SystemEntropy),
        Some(path) => match secret_file::read(&path)? {
            Some(secret) => secret,
            None => {
                let secret = random(&SystemEntropy);
                secret_file::create(&path, &secret)?;
                made.push(format!("the server secret {}", path.display()));
                secret
            }
        },
    };
    Ok(Opened { store, secret: Secret::new(&secret), made })
}
