//! A key's life by the machine: lease, settle, retention, memory, doubt.

use super::Harness;
use super::rig::Rig;
use super::samples::{claim, done, id, settle};
use crate::id::RecordId;
use crate::machine::{Answer, Claim, Event, Outcome, Resolution};
use crate::policy::Policy;
use crate::record::{Doubt, Effect, Record, Settled, State, StoredReply};
use crate::time::{Span, Timestamp};

const DAY: Span = Span::from_secs(86_400);
const MS: Span = Span::from_ms(1);

async fn state<H: Harness>(rig: &Rig<H>, id: RecordId) -> Option<State> {
    rig.load(id).await.map(|record| record.state)
}

/// Claim, duplicate, renewal, settle, settle again, replay.
pub async fn the_story_of_a_key<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let claimed = rig.execute(id(1), &claim(1)).await;
    assert_eq!(claimed.fence.0, claimed.stamp.as_unix_ms(), "the first fence is the store's time");
    assert_eq!(rig.act(id(1), &claim(2)).await.answer, Answer::InFlight);
    let renewed = rig.act(id(1), &Event::Renew(claimed.fence)).await;
    assert_eq!(renewed.answer, Answer::Renewed);
    let first = rig.act(id(1), &settle(claimed.fence, 1)).await;
    assert_eq!(first.answer, Answer::Settled { contradiction: false });
    assert_eq!(rig.act(id(1), &settle(claimed.fence, 1)).await.answer, Answer::Already);
    let lost = Answer::Lost { contradiction: false };
    assert_eq!(rig.act(id(1), &settle(claimed.fence, 2)).await.answer, lost);
    let replay = rig.act(id(1), &claim(3)).await;
    assert_eq!(replay.answer, Answer::Replay);
    assert_eq!(replay.record.and_then(|record| record.outcome), Some(done(1, 100)));
}

/// Nobody renews: the sweep finds the key through `due`, and the executor's late word still counts.
pub async fn a_lapsed_lease_is_swept_into_doubt_and_the_late_settle_ends_it<H: Harness>(
    harness: H,
) {
    let mut rig = Rig::new(harness).await;
    let claimed = rig.execute(id(1), &claim(1)).await;
    rig.pass(rig.policy.lease).await;
    assert_eq!(state(&rig, id(1)).await, Some(State::InFlight), "its last moment");
    rig.pass(MS).await;
    assert_eq!(state(&rig, id(1)).await, Some(State::InDoubt(Doubt::Lapsed)));
    assert_eq!(rig.act(id(1), &claim(2)).await.answer, Answer::InDoubt);
    let late = rig.act(id(1), &settle(claimed.fence, 1)).await;
    assert_eq!(late.answer, Answer::Settled { contradiction: false });
    assert_eq!(rig.act(id(1), &claim(3)).await.answer, Answer::Replay);
}

/// A renewal counts from its own stamp.
pub async fn a_renewed_lease_does_not_lapse<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let claimed = rig.execute(id(1), &claim(1)).await;
    for _ in 0..5 {
        rig.pass(rig.policy.lease).await;
        assert_eq!(rig.act(id(1), &claim(2)).await.answer, Answer::InFlight);
        assert_eq!(rig.act(id(1), &Event::Renew(claimed.fence)).await.answer, Answer::Renewed);
    }
    rig.pass(rig.policy.lease.plus(MS)).await;
    assert_eq!(state(&rig, id(1)).await, Some(State::InDoubt(Doubt::Lapsed)));
}

/// Retention, then the spent marker, then memory, then nothing: none too early.
pub async fn a_reply_is_spent_after_retention_and_forgotten_after_memory<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let claimed = rig.execute(id(1), &claim(1)).await;
    let settled = rig.act(id(1), &settle(claimed.fence, 1)).await.record;
    rig.pass(minus(rig.policy.retention, MS)).await;
    rig.expect(id(1), settled.as_ref()).await;

    let mut passed = rig.policy.retention;
    rig.pass(MS).await;
    if rig.in_bulk() {
        let delay = rig.harness.bulk_delay();
        rig.pass(delay).await;
        passed = passed.plus(delay);
    }
    let spent = rig.load(id(1)).await.expect("memory outlasts retention");
    assert_eq!(spent.state, State::Spent);
    assert_eq!(spent.fence, claimed.fence, "a spent key keeps its fence");
    let outcome = spent.outcome.expect("a spent key keeps its outcome");
    assert_eq!((outcome.status, outcome.effect), (Some(201), Effect::Done));
    assert_eq!(outcome.reply, StoredReply::Gone);
    assert_eq!(rig.act(id(1), &claim(2)).await.answer, Answer::Spent);

    rig.pass(minus(minus(rig.policy.memory, passed), MS)).await;
    assert_eq!(rig.act(id(1), &claim(3)).await.answer, Answer::Spent);
    rig.pass(MS).await;
    if rig.in_bulk() {
        rig.pass(rig.harness.bulk_delay()).await;
    }
    rig.expect(id(1), None).await;
    let again = rig.execute(id(1), &claim(4)).await;
    assert!(again.fence > claimed.fence, "a new life of the key never repeats a fence");
}

fn minus(span: Span, less: Span) -> Span {
    Timestamp::ZERO.plus(span).since(Timestamp::ZERO.plus(less))
}

/// Nothing happened, and after retention nothing is known.
pub async fn a_released_key_is_forgotten_after_retention<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let claimed = rig.execute(id(1), &claim(1)).await;
    rig.act(id(1), &Event::Settle(claimed.fence, Outcome::Released)).await;
    rig.pass(minus(rig.policy.retention, MS)).await;
    assert_eq!(state(&rig, id(1)).await, Some(State::Released));
    rig.pass(MS.plus(rig.harness.bulk_delay())).await;
    rig.expect(id(1), None).await;
}

/// A voided key never runs while it is remembered.
pub async fn a_voided_key_stays_for_its_memory<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    assert_eq!(rig.act(id(1), &Event::Void(None)).await.answer, Answer::Voided);
    rig.pass(minus(rig.policy.memory, MS)).await;
    assert_eq!(rig.act(id(1), &claim(1)).await.answer, Answer::Void);
    rig.pass(MS.plus(rig.harness.bulk_delay())).await;
    rig.expect(id(1), None).await;
}

/// No passing of time ends a doubt, raised by the sweep or declared by the executor.
pub async fn doubt_is_kept_without_limit<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    rig.execute(id(1), &claim(1)).await;
    let claimed = rig.execute(id(2), &claim(2)).await;
    let declared = rig.act(id(2), &Event::Settle(claimed.fence, Outcome::InDoubt)).await.record;
    rig.pass(DAY).await;
    let lapsed = rig.load(id(1)).await;
    for _ in 0..40 {
        rig.pass(DAY.times(10)).await;
        rig.expect(id(1), lapsed.as_ref()).await;
        rig.expect(id(2), declared.as_ref()).await;
    }
    assert_eq!(rig.act(id(1), &claim(3)).await.answer, Answer::InDoubt);
}

/// Retention and memory without end.
pub async fn forever_is_for_ever<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let (retention, memory) = (Span::FOREVER, Span::FOREVER);
    let kept = rig.with_policy(Policy { retention, memory, ..Policy::default() });
    let claimed = kept.execute(id(1), &claim(1)).await;
    kept.act(id(1), &settle(claimed.fence, 1)).await;
    let known = rig.with_policy(Policy { memory, ..Policy::default() });
    let claimed = known.execute(id(2), &claim(1)).await;
    known.act(id(2), &settle(claimed.fence, 1)).await;
    drop((kept, known));
    for _ in 0..12 {
        rig.pass(DAY.times(400)).await;
    }
    assert_eq!(rig.act(id(1), &claim(2)).await.answer, Answer::Replay);
    assert_eq!(rig.act(id(2), &claim(2)).await.answer, Answer::Spent);
}

/// A key resolved after three days still replays for its full retention.
pub async fn retention_counts_from_the_settle<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    rig.execute(id(1), &claim(1)).await;
    for _ in 0..3 {
        rig.pass(DAY).await;
    }
    let resolved = rig.act(id(1), &Event::Resolve(Resolution::Done(done(1, 100)))).await;
    assert_eq!(resolved.answer, Answer::Resolved);
    rig.pass(minus(rig.policy.retention, MS)).await;
    let replay = rig.act(id(1), &claim(2)).await;
    assert_eq!(replay.answer, Answer::Replay);
    assert_eq!(replay.record.and_then(|record| record.outcome), Some(done(1, 100)));
    rig.pass(MS.plus(rig.harness.bulk_delay())).await;
    assert_eq!(rig.act(id(1), &claim(3)).await.answer, Answer::Spent);
}

/// A key that carries its own time is kept until it is too old by itself.
pub async fn a_key_with_its_own_time_outlives_memory<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    let mut event = claim(1);
    let ahead = rig.now().await.plus(rig.policy.skew);
    if let Event::Claim(Claim { key_time, .. }) = &mut event {
        *key_time = Some(ahead);
    }
    let claimed = rig.execute(id(1), &event).await;
    let outcome = Settled { reply: StoredReply::NotKept, ..done(1, 0) };
    rig.act(id(1), &Event::Settle(claimed.fence, Outcome::Done(outcome))).await;
    let end = rig.load(id(1)).await.as_ref().map_or(Timestamp::ZERO, Record::memory_end);
    assert!(end >= ahead.plus(rig.policy.memory).plus(rig.policy.skew.times(2)), "{end:?}");
    rig.pass(rig.policy.retention.plus(rig.harness.bulk_delay())).await;
    let left = end.since(rig.now().await);
    rig.pass(minus(left, MS)).await;
    assert_eq!(rig.act(id(1), &claim(2)).await.answer, Answer::Spent);
    rig.pass(MS.plus(rig.harness.bulk_delay())).await;
    rig.expect(id(1), None).await;
}
