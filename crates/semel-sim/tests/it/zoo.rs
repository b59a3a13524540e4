//! The checker, checked on whole runs: every flaw of the zoo is caught under the rule that names it,
//! and the same runs without the flaw break nothing.

use semel_sim::checker::Rule;
use semel_sim::run::run;
use semel_sim::zoo::Flaw;

/// Seeds after which a flaw counts as not caught.
const SEEDS: u64 = 12;

#[track_caller]
fn caught(flaw: Flaw) {
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        let report = run(flaw.options(seed), Some(flaw));
        if report.violations.iter().any(|violation| violation.rule == flaw.broken()) {
            let sound = run(flaw.options(seed), None);
            assert_eq!(sound.violations, [], "{flaw:?}: seed {seed} fails without the flaw, too");
            return;
        }
        others.extend(report.violations.iter().map(ToString::to_string));
    }
    panic!("{flaw:?}: {:?} was not broken in {SEEDS} seeds; others: {others:#?}", flaw.broken());
}

/// The search beside the rules catches by itself what callers can see.
#[test]
fn the_search_for_an_order_catches_what_callers_can_see() {
    for flaw in [
        Flaw::ForgetsAcknowledged,
        Flaw::AnswersBeforeDurable,
        Flaw::ReadsStale,
        Flaw::DropsVoids,
        Flaw::LosesFingerprint,
        Flaw::ChangesReplay,
        Flaw::SaysInFlight,
    ] {
        let caught = (0..SEEDS).any(|seed| {
            let report = run(flaw.options(seed), Some(flaw));
            report.violations.iter().any(|violation| violation.rule == Rule::Linear)
        });
        assert!(caught, "{flaw:?}: an order was found in each of {SEEDS} seeds");
    }
}

/// One test for each flaw, named after it.
macro_rules! zoo {
    ($($name:ident: $flaw:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            caught(Flaw::$flaw);
        })*

        #[test]
        fn the_zoo_is_whole() {
            let tested = [$(Flaw::$flaw),*];
            assert!(Flaw::ALL.iter().all(|flaw| tested.contains(flaw)));
        }
    };
}

zoo! {
    a_store_that_ignores_versions: IgnoresVersions,
    a_store_that_compares_no_fences: DropsFences,
    a_store_that_forgets_acknowledged_writes: ForgetsAcknowledged,
    a_store_that_answers_before_it_is_durable: AnswersBeforeDurable,
    a_store_that_ignores_deadlines: IgnoresDeadlines,
    a_store_that_reads_stale: ReadsStale,
    a_store_that_forgets_early: ForgetsEarly,
    a_store_that_drops_replies_early: DropsReplies,
    a_store_that_drops_voids: DropsVoids,
    a_store_that_finds_nothing_due: NeverDue,
    an_empty_store_that_is_believed: TrustsEmptyStore,
    a_settle_that_is_forced_through: SettlesUnderOldFence,
    an_engine_that_loses_the_fingerprint: LosesFingerprint,
    an_engine_that_replays_another_keys_reply: ReplaysAnother,
    an_engine_that_changes_a_replay: ChangesReplay,
    an_engine_that_invents_a_reply: InventsReply,
    an_engine_that_says_in_flight_for_nothing: SaysInFlight,
    an_engine_that_runs_again_under_hold: RerunsUnderHold,
    an_engine_that_releases_on_a_cut_reply: ReleasesOnCut,
    an_engine_that_denies_an_effect: DeniesEffect,
}
