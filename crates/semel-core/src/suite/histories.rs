//! Random histories, judged by a plain map that follows the same version rules.
//!
//! A history is a list of operations made from a seed. When one fails, operations are taken out as
//! long as it still fails, and the shortest history is printed with its seed.

use super::reference::Reference;
use super::{Harness, Loss, Seeded};
use crate::time::Span;

/// Histories that [`random_histories_agree_with_the_reference`] runs.
pub const SEEDS: u64 = 64;
/// Operations in each.
pub const OPERATIONS: usize = 200;
/// Keys that each history works on: few, so that operations meet.
pub(super) const KEYS: u64 = 6;

/// What is done to a key by way of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Claim { owner: u64, rerun: bool },
    Renew,
    Settle(u64),
    Release,
    Doubt,
    Sweep,
    ResolveDone(u64),
    ResolveReleased,
    Void,
    Ack,
    Erase,
}

/// One operation of a history.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// Read, decide, write.
    Act { key: u64, deed: Deed },
    /// The same, and the swap or its answer is lost.
    Lose { key: u64, deed: Deed, loss: Loss },
    /// The same, and the swap's future is dropped after so many polls.
    Drop { key: u64, deed: Deed, polls: usize },
    /// A write against a version that stood `back` writes ago (0: stands now), or against none.
    Raw { key: u64, back: usize, delete: bool },
    /// A write that comes too late.
    Late { key: u64 },
    /// A write of somebody who believes in another life of the store.
    Stranger { key: u64 },
    /// Time passes.
    Advance(Span),
    /// What is due is swept.
    Sweep { limit: usize },
    /// Everything is listed, in pages.
    List { limit: usize },
    /// The process is killed.
    Reopen,
}

/// 64 seeds, 200 operations each, every answer compared with the reference.
pub async fn random_histories_agree_with_the_reference<H: Harness>(mut harness: H) {
    for seed in 0..SEEDS {
        history_of_seed(&mut harness, seed).await;
    }
}

/// The history of one seed: to run a failed one again.
///
/// # Panics
/// When the store and the reference differ, with the shortest history found.
pub async fn history_of_seed<H: Harness>(harness: &mut H, seed: u64) {
    let mut operations = operations(seed);
    let Err((at, mut difference)) = Reference::judge(harness, &operations).await else { return };
    operations.truncate(at + 1);
    for index in (0..operations.len()).rev() {
        let mut fewer = operations.clone();
        fewer.remove(index);
        if let Err((at, other)) = Reference::judge(harness, &fewer).await {
            fewer.truncate(at + 1);
            (operations, difference) = (fewer, other);
        }
    }
    let steps: Vec<String> = operations.iter().map(|op| format!("  {op:?}")).collect();
    panic!("seed {seed}: {difference}\nafter\n{}", steps.join("\n"));
}

fn operations(seed: u64) -> Vec<Operation> {
    let mut seeded = Seeded::new(seed);
    (0..OPERATIONS).map(|_| operation(&mut seeded)).collect()
}

fn operation(seeded: &mut Seeded) -> Operation {
    let key = seeded.below(KEYS);
    match seeded.below(32) {
        0..=13 => Operation::Act { key, deed: deed(seeded) },
        14 | 15 => Operation::Lose { key, deed: deed(seeded), loss: Loss::Request },
        16 | 17 => Operation::Lose { key, deed: deed(seeded), loss: Loss::Answer },
        18 | 19 => Operation::Drop { key, deed: deed(seeded), polls: seeded.below(4) as usize },
        20..=22 => {
            Operation::Raw { key, back: seeded.below(4) as usize, delete: seeded.once_in(3) }
        }
        23 => Operation::Late { key },
        24 => Operation::Stranger { key },
        25..=28 => Operation::Advance(span(seeded)),
        29 => Operation::Sweep { limit: 1 + seeded.below(8) as usize },
        30 => Operation::List { limit: 1 + seeded.below(4) as usize },
        _ => Operation::Reopen,
    }
}

fn deed(seeded: &mut Seeded) -> Deed {
    match seeded.below(16) {
        0..=4 => Deed::Claim { owner: seeded.below(3), rerun: seeded.once_in(3) },
        5 => Deed::Renew,
        6..=8 => Deed::Settle(seeded.below(3)),
        9 => Deed::Release,
        10 => Deed::Doubt,
        11 => Deed::Sweep,
        12 => Deed::ResolveDone(seeded.below(3)),
        13 => Deed::ResolveReleased,
        14 => Deed::Void,
        _ if seeded.once_in(2) => Deed::Ack,
        _ => Deed::Erase,
    }
}

fn span(seeded: &mut Seeded) -> Span {
    match seeded.below(8) {
        0..=2 => Span::from_ms(1 + seeded.below(3000)),
        3 => Span::from_secs(11),
        4 => Span::from_secs(90),
        5 | 6 => Span::from_secs(3600),
        _ => Span::from_secs(86_400),
    }
}
