//! The store suite: what every [`Store`] must do, one named test for each case and backend.
//!
//! A backend writes a [`Harness`] and expands [`store_suite!`](crate::store_suite); each case
//! becomes a test of its own name, so a backend without cases cannot look green. The cases drive
//! the store as engines do, through [`Arc<dyn Store>`] and the real [`crate::machine::step`]. They
//! fail by panicking, with what was expected and what was found; random ones name their seed.
//!
//! ```ignore
//! use semel_core::store_suite;
//! mod memory {
//!     use super::MemoryHarness;
//!     semel_core::store_suite!(MemoryHarness::new());
//! }
//! ```

use std::future::Future;
use std::sync::Arc;

use crate::store::{BoxFuture, Store};
use crate::time::Span;

mod client;
pub mod concurrency;
pub mod faults;
pub mod histories;
pub mod life;
pub mod listing;
mod lossy;
mod reference;
pub mod register;
pub mod reopening;
mod rig;
pub mod samples;
mod seeded;

pub use lossy::{Loss, Lossy};
pub use seeded::Seeded;

/// Makes the stores of one backend, on a clock that the suite moves.
pub trait Harness: Send {
    /// A new, empty store. One made before, and its records, may go.
    fn fresh(&mut self) -> BoxFuture<'_, Arc<dyn Store>>;

    /// Ends the present store as a killed process ends, without any clean-up, and opens it again.
    /// The suite holds no handle of it by then. A backend that does not survive the end of its
    /// process gives what its next process would find.
    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Store>>;

    /// So much time passes on the store's clock, now and at once.
    fn advance(&mut self, span: Span);

    /// The time of day leaps ahead on the store's clock, although no time passed.
    fn jump(&mut self, span: Span);

    /// Does what the store does by itself in the background (forgetting in bulk), and returns once
    /// it is done. Nothing for stores that leave it to the sweep.
    fn maintain(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// How much later than a record is due a store that expires in bulk may act on it.
    fn bulk_delay(&self) -> Span {
        Span::ZERO
    }
}

/// A case that takes longer hangs: its store never answers.
const CASE_MAX: Span = Span::from_secs(300);

/// Runs one case on a runtime of its own, with several workers: races are real.
///
/// # Panics
/// When the case fails, when it hangs, or when no runtime can be had.
pub fn run<F: Future<Output = ()>>(case: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a case needs a runtime");
    let ended =
        runtime.block_on(async { tokio::time::timeout(CASE_MAX.to_duration(), case).await });
    // A task that spins would block an orderly end for ever.
    runtime.shutdown_background();
    assert!(ended.is_ok(), "the case did not end within {CASE_MAX}");
}

/// Expands to one named test for each case of the suite, each with a harness of its own made by the
/// expression, in a module for each topic.
#[macro_export]
macro_rules! store_suite {
    ($harness:expr) => {
        $crate::store_suite! { @ $harness;
            register: [
                a_new_key_is_written_once
                an_answer_means_that_it_is_there
                the_stamp_is_the_stores_own
                a_version_is_fence_and_revision
                a_conflict_changes_nothing
                a_deleted_key_can_be_claimed_again
                a_write_past_its_deadline_is_not_applied
                another_incarnation_is_refused_before_anything
                keys_do_not_touch_each_other
                nothing_is_evicted
                a_large_reply_comes_back_byte_for_byte
                every_shape_of_record_comes_back_as_it_was
                the_secret_is_bound_once
                records_without_a_bound_secret_belong_to_another
                time_and_incarnation_stand_firm
                nothing_is_deleted_after_a_jump_of_the_clock
            ]
            life: [
                the_story_of_a_key
                a_lapsed_lease_is_swept_into_doubt_and_the_late_settle_ends_it
                a_renewed_lease_does_not_lapse
                a_reply_is_spent_after_retention_and_forgotten_after_memory
                a_released_key_is_forgotten_after_retention
                a_voided_key_stays_for_its_memory
                doubt_is_kept_without_limit
                forever_is_for_ever
                retention_counts_from_the_settle
                a_key_with_its_own_time_outlives_memory
            ]
            listing: [
                pages_come_in_the_order_of_ids
                pages_have_no_gap_or_double_while_writes_go_on
                filters_admit_by_state_and_age
                due_is_ordered_and_complete
                due_follows_each_write
            ]
            concurrency: [
                of_many_racers_one_wins
                one_racer_takes_over_a_lapsed_key
                no_fence_is_granted_twice
                acknowledged_versions_form_a_chain
            ]
            faults: [
                a_dropped_claim_is_whole_or_not_at_all
                a_dropped_settle_is_whole_or_not_at_all
                a_dropped_delete_is_whole_or_not_at_all
                dropped_reads_leave_no_trace
                a_claim_whose_answer_was_lost_is_ones_own
                a_claim_that_never_arrived_left_nothing
                a_settle_whose_answer_was_lost_is_there_already
                a_settle_that_never_arrived_can_be_sent_again
            ]
            reopening: [
                what_was_acknowledged_is_there_after_a_kill
                a_kill_under_load_loses_nothing_acknowledged
                a_key_goes_on_through_many_kills
            ]
            histories: [
                random_histories_agree_with_the_reference
            ]
        }
    };
    (@ $harness:expr; $($topic:ident: [$($case:ident)+])+) => {
        $(
            mod $topic {
                #[allow(unused_imports, reason = "the harness may be named by its full path")]
                use super::*;
                $(
                    #[test]
                    fn $case() {
                        $crate::suite::run($crate::suite::$topic::$case($harness));
                    }
                )+
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_the_macro() {
        let listed = include_str!("mod.rs");
        let topics = [
            include_str!("register.rs"),
            include_str!("life.rs"),
            include_str!("listing.rs"),
            include_str!("concurrency.rs"),
            include_str!("faults.rs"),
            include_str!("reopening.rs"),
            include_str!("histories.rs"),
        ];
        let mut cases = 0;
        for case in topics.iter().flat_map(|t| t.split("\npub async fn ").skip(1)) {
            if case.lines().next().is_some_and(|line| line.contains("&mut H")) {
                continue; // runs one history, for those who look into a failure
            }
            let name = case.split(['<', '(']).next().unwrap_or_default();
            assert!(
                listed.lines().any(|line| line.trim() == name),
                "the case `{name}` is written but store_suite! does not run it"
            );
            cases += 1;
        }
        assert!(cases >= 40, "only {cases} cases were found: does the search still work?");
    }
}
