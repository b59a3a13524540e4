//! Opens the store and finds its secret, and refuses every pair that could not be what it was.
//!
//! | secret | store | |
//! |---|---|---|
//! | none | none | both are made: store first, so that a crash in between leaves an empty store, which may get a secret |
//! | there | none | a *lost store*: refused |
//! | none | with records | a *lost secret*: refused |
//! | none | empty, and served once | a *lost secret*, too: the store knows another |
//! | none | empty, and never served | the secret is made |
//! | there | there | opened; the engine compares the secret with the store's check value, and the store's
//! life, and how far it had come, with the note beside the secret |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use semel::core::store::{Bound, Filter, Page, Status};
use semel::core::{Secret, Store, StoreError, Timestamp};
use semel::entropy::{SystemEntropy, random};
use semel::store::MemoryStore;
use semel::store::embedded::{self, EmbeddedOptions, EmbeddedStore};
use semel::time::SystemClock;

use crate::cli::values::StoreSpec;
use crate::known_store::{self, Keeper, Known, NoteError};
use crate::memories::{Memories, Remembers};
use crate::secret_file::{self, SecretFileError};

/// Why there is no store to serve from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError {
    /// The secret says that there was a store.
    #[error(
        "the server secret {} is there, but its store in {} is not: the store was lost or lies elsewhere. \
Its keys are unknown here, so every retry of what it knew would run again. Find it, or bring back a copy. \
If it is gone for good: `semel store init --store embedded:{}` makes an empty one in its place",
        secret.display(), store.display(), store.display()
    )]
    LostStore {
        /// The secret's file.
        secret: PathBuf,
        /// Where the store should be.
        store: PathBuf,
    },
    /// The store says that there was a secret.
    #[error(
        "the store in {} holds records, but its secret {} is not there: with a new secret every key would look new \
and every retry would run again. Bring the file back from a copy, or name it with --secret-file",
        store.display(), secret.display()
    )]
    LostSecret {
        /// The secret's file.
        secret: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// The store knows another secret, though no record.
    #[error(
        "the store in {} belongs to a server secret, and {} is not there. It holds no record now: they were forgotten, or none was \
ever made. Bring the file back from a copy, or name it with --secret-file. If it is gone for good: move the directory {} and the \
note {} away, and the next start makes a store and a secret anew",
        store.display(), secret.display(), store.display(), note.display()
    )]
    LostSecretOfNone {
        /// The secret's file.
        secret: PathBuf,
        /// The store.
        store: PathBuf,
        /// The note beside the secret.
        note: PathBuf,
    },
    /// The secret's file.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The note beside the secret.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The record log does not open.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store and its secret.
#[derive(Debug)]
pub(crate) struct Opened {
    pub store: Arc<dyn Store>,
    /// The same store, where it is the record log: it tells its numbers.
    pub log: Option<Arc<EmbeddedStore>>,
    pub secret: Secret,
    /// Which store the secret is known to belong to, and since when; `None` where nothing is noted.
    pub known: Option<Known>,
    /// Writes that down while the store runs.
    pub keeper: Option<Arc<Keeper>>,
    /// What was made now, for people.
    pub made: Vec<String>,
}

/// What the store needs to know of the routes.
#[derive(Clone, Debug)]
pub(crate) struct StoreBounds {
    /// Bytes of the largest reply that is kept.
    pub reply_max: u64,
    /// How long each route remembers.
    pub remember: Vec<Remembers>,
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
        StoreSpec::Embedded(dir) => open_embedded(dir, secret_file, bounds).await,
    }
}

/// How the record log is laid out for routes with these bounds.
pub(crate) fn options(bounds: &StoreBounds) -> EmbeddedOptions {
    let plain = EmbeddedOptions::default();
    // Sealing adds a nonce and a tag, keeping adds status and headers.
    let sealed = bounds.reply_max.saturating_add(REPLY_HEAD);
    let reply_cap = u32::try_from(sealed).unwrap_or(u32::MAX).max(plain.reply_cap);
    let segment_bytes = plain.segment_bytes.max(reply_cap.saturating_mul(4));
    EmbeddedOptions { reply_cap, segment_bytes, ..plain }
}

/// Bytes that a kept reply may take beside its body.
const REPLY_HEAD: u64 = 64 * 1024;

async fn open_embedded(
    dir: &Path,
    secret_file: Option<PathBuf>,
    bounds: &StoreBounds,
) -> Result<Opened, OpenError> {
    let path = secret_file.unwrap_or_else(|| secret_file::beside(dir));
    secret_file::check_place(&path, dir)?;
    let known = secret_file::read(&path)?;
    let mut made = Vec::new();
    let note = known_store::beside(&path);
    let noted = known_store::read(&note)?;
    let expecting = EmbeddedOptions { known: noted.as_ref().map(Known::mark), ..options(bounds) };
    let store = match EmbeddedStore::open(dir, expecting) {
        Ok(store) => store,
        Err(embedded::OpenError::Missing { .. }) if known.is_none() => {
            let store = EmbeddedStore::create(dir, options(bounds), Timestamp::ZERO)?;
            made.push(format!("the store {}", dir.display()));
            store
        }
        Err(embedded::OpenError::Missing { .. }) => {
            return Err(OpenError::LostStore { secret: path, store: dir.to_owned() });
        }
        Err(error) => return Err(error.into()),
    };
    let secret = match known {
        Some(secret) => secret,
        None => {
            let secret = first_secret(&store, &path, dir, !made.is_empty()).await?;
            made.push(format!("the server secret {}: keep a copy of it", path.display()));
            secret
        }
    };
    let status = store.status().await?;
    let known = match noted {
        // The engine refuses another store.
        Some(known) if known.incarnation != status.incarnation => known,
        Some(known) => note_memories(&note, known, &bounds.remember, status)?,
        None => first_note(&note, &bounds.remember, status),
    };
    let log = Arc::new(store);
    let keeper = Arc::new(Keeper::new(note, Arc::clone(&log), known.clone()));
    let store: Arc<dyn Store> = log.clone();
    Ok(Opened {
        store,
        log: Some(log),
        secret: Secret::new(&secret),
        known: Some(known),
        keeper: Some(keeper),
        made,
    })
}

/// Makes the secret, unless the store knows one already. `new`: it was made at this very start.
async fn first_secret(
    store: &EmbeddedStore,
    path: &Path,
    dir: &Path,
    new: bool,
) -> Result<[u8; 32], OpenError> {
    let (lost, store_dir) = (path.to_owned(), dir.to_owned());
    let first = Page { after: None, limit: 1 };
    if !store.list(Filter::default(), first).await?.records.is_empty() {
        return Err(OpenError::LostSecret { secret: lost, store: store_dir });
    }
    let secret = random(&SystemEntropy);
    // A store that is served is bound to its secret. This binds one that is not: before the file is
    // written, for a file of a secret that does not fit would only hide what happened.
    if !new && store.bind(Secret::new(&secret).check_value()).await? == Bound::Other {
        let note = known_store::beside(path);
        return Err(OpenError::LostSecretOfNone { secret: lost, store: store_dir, note });
    }
    secret_file::create(path, &secret)?;
    Ok(secret)
}

/// At the first start it is written which store the secret belongs to. The engine refuses another
/// store than the one that is noted.
fn first_note(note: &Path, remember: &[Remembers], status: Status) -> Known {
    let Status { incarnation, birth, at, .. } = status;
    let memories = Memories::default().at_start(remember, at);
    let known = Known { incarnation, birth, sequence: 0, memories };
    if let Err(error) = known_store::write(note, &known) {
        tracing::warn!(%error, "another store under this secret, or a longer memory, would not be noticed");
    }
    known
}

/// Notes how long the routes remember from this start on, before any key is claimed under it: a later
/// start could not tell that it was shorter now.
///
/// # Errors
/// When it cannot be written.
fn note_memories(
    note: &Path,
    known: Known,
    remember: &[Remembers],
    status: Status,
) -> Result<Known, NoteError> {
    let memories = known.memories.at_start(remember, status.at);
    if memories == known.memories {
        return Ok(known);
    }
    let known = Known { memories, ..known };
    known_store::write(note, &known)?;
    Ok(known)
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
    Ok(Opened { store, log: None, secret: Secret::new(&secret), known: None, keeper: None, made })
}
