//! The lives of a store: made, or accepted in place of another. Both are an operator's acts.

use semel::core::store::Status;
use semel::core::{Store, Timestamp};
use semel::entropy::{SystemEntropy, random};
use semel::store::embedded::{EmbeddedOptions, EmbeddedStore, OpenError};
use semel::time::{SystemClock, WallClock};

use super::{InitArgs, directory};
use crate::cli::output::{self, Failure};
use crate::known_store::{self, Known};
use crate::secret_file;

pub(super) async fn init(args: InitArgs) -> Result<(), Failure> {
    let dir = directory(&args.store)?;
    let path = args.secret_file.unwrap_or_else(|| secret_file::beside(dir));
    secret_file::check_place(&path, dir)?;
    let lost = secret_file::read(&path)?.is_some();
    match EmbeddedStore::open(dir, EmbeddedOptions::default()) {
        Err(OpenError::Missing { .. }) => {}
        Ok(_) | Err(OpenError::AlreadyOpen { .. }) => {
            return Err(Failure::no(format!("{} holds a store already", dir.display())));
        }
        Err(error) => return Err(error.into()),
    }
    let birth = if lost {
        if !args.yes {
            output::confirm(&format!(
                "The secret {} had a store. Make an empty one in its place, so that a retry of what it ran runs again?",
                path.display()
            ))?;
        }
        SystemClock.now()
    } else {
        Timestamp::ZERO
    };
    let store = EmbeddedStore::create(dir, EmbeddedOptions::default(), birth)?;
    let incarnation = store.status().await?.incarnation;
    output::note(&format!("made the store {}", dir.display()));
    if !lost {
        secret_file::create(&path, &random(&SystemEntropy))?;
        output::note(&format!("made the server secret {}: keep a copy of it", path.display()));
    }
    known_store::write(&known_store::beside(&path), Known { incarnation, birth })?;
    Ok(())
}

pub(super) async fn accept(args: InitArgs) -> Result<(), Failure> {
    let dir = directory(&args.store)?;
    let secret = args.secret_file.unwrap_or_else(|| secret_file::beside(dir));
    let note = known_store::beside(&secret);
    let store = EmbeddedStore::open(dir, EmbeddedOptions::default())?;
    let Status { incarnation, at, .. } = store.status().await?;
    // A note that cannot be read is no reason to keep the operator from writing it anew.
    if let Ok(Some(known)) = known_store::read(&note)
        && known.incarnation == incarnation
    {
        output::note("it is the store that the secret belongs to already");
        return Ok(());
    }
    if !args.yes {
        output::confirm(&format!(
            "Accept the store {incarnation} in {} as the one that knows what ran?",
            dir.display()
        ))?;
    }
    known_store::write(&note, Known { incarnation, birth: at })?;
    output::note(&format!("accepted the store {incarnation}"));
    Ok(())
}
