//! Damage in a stopped server's store: found, and set aside by choice.

use std::process::ExitCode;

use semel::core::Store;
use semel::core::store::Status;
use semel::store::embedded::{self, Choice, EmbeddedOptions, EmbeddedStore, Report};
use serde_json::{Value, json};

use super::{RepairArgs, directory};
use crate::cli::output::{self, Failure};
use crate::cli::values::StoreSpec;
use crate::known_store::{self, Known};
use crate::secret_file;

/// Exit code of a check that found damage.
const DAMAGED: u8 = 1;

/// Reads the whole store and changes nothing.
pub(super) fn check(store: &StoreSpec, as_json: bool) -> Result<ExitCode, Failure> {
    let report = embedded::check(directory(store)?).map_err(|error| {
        // Where not even the look goes through, its message says what can be done.
        if error.is_damage() { Failure::no(error.to_string()) } else { error.into() }
    })?;
    output::data(&output::shown(&told(&report), as_json))?;
    if report.damage.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    output::note(
        "damaged: restore a copy, or set the damage aside with `semel store repair` (see its --help)",
    );
    Ok(ExitCode::from(DAMAGED))
}

/// Sets damage aside.
pub(super) async fn repair(args: RepairArgs) -> Result<ExitCode, Failure> {
    let dir = directory(&args.place.store)?;
    if !args.place.yes {
        output::confirm(&format!(
            "Set aside what is damaged in {}, so that a retry of what was lost may run again?",
            dir.display()
        ))?;
    }
    let choice = if args.begin_anew { Choice::BeginAnew } else { Choice::Quarantine };
    let report = embedded::repair(dir, choice)?;
    output::data(&output::shown(&told(&report), args.json))?;
    if report.damage.is_empty() {
        output::note("nothing is damaged, and nothing was changed");
        return Ok(ExitCode::SUCCESS);
    }
    let secret = args.place.secret_file.unwrap_or_else(|| secret_file::beside(dir));
    let note = known_store::beside(&secret);
    let store = EmbeddedStore::open(dir, EmbeddedOptions::default())?;
    let Status { incarnation, birth, .. } = store.status().await?;
    let sequence = store.mark().sequence;
    // What was set aside may be the end of the log: its loss was chosen, and is no older copy.
    let known = match (choice, known_store::read(&note)) {
        (Choice::BeginAnew, known) => {
            let memories = known.ok().flatten().map(|known| known.memories).unwrap_or_default();
            Some(Known { incarnation, birth, sequence, memories })
        }
        (Choice::Quarantine, Ok(Some(known))) if known.incarnation == incarnation => {
            Some(Known { sequence, ..known })
        }
        (Choice::Quarantine, _) => None,
    };
    if let Some(known) = known {
        known_store::write(&note, &known)?;
    }
    output::note("repaired; what was set aside is kept in the quarantine files");
    Ok(ExitCode::SUCCESS)
}

fn told(report: &Report) -> Value {
    let damage: Vec<Value> = report
        .damage
        .iter()
        .map(|d| json!({ "file": d.file, "offset": d.offset, "bytes": d.bytes, "what": d.what }))
        .collect();
    json!({
        "segments": report.segments,
        "batches": report.batches,
        "records": report.records,
        "spent_keys": report.spent_keys,
        "life": report.mark.map(|mark| mark.incarnation.to_string()),
        "writes": report.mark.map(|mark| mark.sequence),
        "unfinished": report.unfinished.as_ref().map(|(file, offset)| format!("{file} from byte {offset}: never acknowledged, opening cuts it")),
        "damage": damage,
        "quarantined": report.quarantined,
        "kept": report.kept,
    })
}
