//! The lives of a store: made, or accepted in place of another. Both are an operator's acts.

use std::path::Path;

use semel::core::store::Status;
use semel::core::{Store, Timestamp};
use semel::entropy::{SystemEntropy, random};
use semel::store::embedded::{self, EmbeddedOptions, EmbeddedStore, Mark, OpenError};
use semel::time::{SystemClock, WallClock};

use super::{InitArgs, directory};
use crate::cli::output::{self, Failure};
use crate::known_store::{self, Known};
use crate::memories::Memories;
use crate::secret_file;

pub(super) async fn init(args: InitArgs) -> Result<(), Failure> {
    let dir = directory(&args.store)?;
    let path = args.secret_file.unwrap_or_else(|| secret_file::beside(dir));
    secret_file::check_place(&path, dir)?;
    let lost = secret_file::read(&path)?.is_some();
    // A look, and no opening: nothing may be written to what is there.
    match embedded::check(dir) {
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
    let known = Known { incarnation, birth, sequence: 0, memories: Memories::default() };
    known_store::write(&known_store::beside(&path), &known)?;
    Ok(())
}

pub(super) async fn accept(args: InitArgs) -> Result<(), Failure> {
    let dir = directory(&args.store)?;
    let secret = args.secret_file.unwrap_or_else(|| secret_file::beside(dir));
    let note = known_store::beside(&secret);
    // A look, and no opening: an older copy must not come closer to its mark by being looked at.
    let report = embedded::check(dir)?;
    let found = report.mark.expect("a look at a store finds how far it has come");
    // A note that cannot be read is no reason to keep the operator from writing it anew.
    let known = known_store::read(&note).ok().flatten();
    let known = known.filter(|known| known.incarnation == found.incarnation);
    if known.as_ref().is_some_and(|known| known.sequence <= found.sequence) {
        output::note("it is the store that the secret belongs to already");
        return Ok(());
    }
    if !args.yes {
        output::confirm(&question(dir, found, known.as_ref()))?;
    }
    if known.is_some() {
        // Its newer self, should it turn up, is another store from now on.
        embedded::begin_anew(dir)?;
    }
    let store = EmbeddedStore::open(dir, EmbeddedOptions::default())?;
    let Status { incarnation, birth, at, .. } = store.status().await?;
    let birth = if known.is_some() { birth } else { at };
    let Mark { sequence, .. } = store.mark();
    let memories = known.map(|known| known.memories).unwrap_or_default();
    known_store::write(&note, &Known { incarnation, birth, sequence, memories })?;
    output::note(&format!("accepted the store {incarnation}"));
    Ok(())
}

fn question(dir: &Path, found: Mark, known: Option<&Known>) -> String {
    let (dir, Mark { incarnation, sequence }) = (dir.display(), found);
    match known {
        Some(known) => format!(
            "The store in {dir} holds {sequence} writes and is known to have held {}. Begin another life with this older copy, so that a retry of what ran since then runs again?",
            known.sequence
        ),
        None => format!("Accept the store {incarnation} in {dir} as the one that knows what ran?"),
    }
}
