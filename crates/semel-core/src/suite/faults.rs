//! Futures that are dropped, messages that get lost.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::client::{Client, DEADLINE};
use super::rig::Rig;
use super::samples::{claim, done, id, in_flight, settle};
use super::{Harness, Loss, Lossy};
use crate::id::{Fence, RecordId};
use crate::machine::{Answer, Event, Outcome};
use crate::record::{Record, State};
use crate::store::{BoxFuture, Filter, Page, Put, StoreError, Swap, Swapped};
use crate::time::{Span, Timestamp};

/// More awaits than any backend has between a request and its answer.
const POLLS_MAX: usize = 256;

/// Polls at most so many times, then drops the future: none when it had no answer by then.
pub(super) async fn dropped_after<T>(future: BoxFuture<'_, T>, polls: usize) -> Option<T> {
    let mut future = Some(future);
    let mut left = polls;
    poll_fn(|context| {
        let Some(running) = future.as_mut().filter(|_| left > 0) else {
            future = None;
            return Poll::Ready(None);
        };
        left -= 1;
        match running.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => {
                future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Sends a swap and drops its future after so many polls; tells whether it was answered. What
/// stands afterwards must be the old or the new record.
async fn drop_swap(
    client: &Client,
    id: RecordId,
    old: Option<&Record>,
    write: Put,
    polls: usize,
) -> bool {
    let swap = Swap {
        id,
        incarnation: client.incarnation,
        expected: old.map(Record::version),
        write: write.clone(),
        deadline: client.now().await.plus(DEADLINE),
    };
    let answer = dropped_after(client.store.swap(swap), polls).await;
    let found = client.load(id).await;
    let new = match write {
        Put::Delete => None,
        Put::Record(new) => Some(new),
    };
    let stamp = found.as_ref().map_or(Timestamp::ZERO, |record| record.stamp);
    let whole = found == new.map(|new| Record { stamp, ..new });
    match answer {
        Some(Ok(Swapped::Done { .. })) => assert!(whole, "answered, and found {found:?}"),
        None => assert!(whole || found.as_ref() == old, "neither old nor new: {found:?}"),
        Some(other) => panic!("nothing is in the way of this write: {other:?}"),
    }
    answer.is_some()
}

/// Drops at the first await, the second, and so on; each time the claimer comes again and finds
/// itself or nothing, and what it then writes is not overtaken by the dropped write.
pub async fn a_dropped_claim_is_whole_or_not_at_all<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    for (n, polls) in (0..).zip(0..POLLS_MAX) {
        let write = Put::Record(in_flight(Fence(rig.now().await.as_unix_ms()), n));
        let answered = drop_swap(&rig, id(n), None, write, polls).await;
        let again = rig.execute(id(n), &claim(n)).await;
        rig.harness.advance(DEADLINE.plus(Span::from_secs(1)));
        rig.expect(id(n), Some(&again)).await;
        let settled = rig.act(id(n), &settle(again.fence, n)).await;
        assert_eq!(settled.answer, Answer::Settled { contradiction: false });
        if answered {
            return;
        }
    }
    panic!("a swap had no answer after {POLLS_MAX} polls");
}

/// A settle dropped at each await is sent again, and the reply that stands is its own.
pub async fn a_dropped_settle_is_whole_or_not_at_all<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    for (n, polls) in (0..).zip(0..POLLS_MAX) {
        let claimed = rig.execute(id(n), &claim(n)).await;
        let event = Event::Settle(claimed.fence, Outcome::Done(done(n, 64 * 1024)));
        let outcome = Some(done(n, 64 * 1024));
        let new = Record { state: State::Completed, revision: 1, outcome, ..claimed.clone() };
        let answered = drop_swap(&rig, id(n), Some(&claimed), Put::Record(new), polls).await;
        let settled = rig.act(id(n), &event).await.answer;
        assert!(
            matches!(settled, Answer::Settled { contradiction: false } | Answer::Already),
            "{settled:?}"
        );
        let replay = rig.act(id(n), &claim(1000)).await;
        assert_eq!(replay.answer, Answer::Replay);
        let reply = replay.record.and_then(|record| record.outcome);
        assert!(reply == Some(done(n, 64 * 1024)), "the reply changed");
        if answered {
            return;
        }
    }
    panic!("a swap had no answer after {POLLS_MAX} polls");
}

/// A delete dropped at each await never takes away what was claimed after it.
pub async fn a_dropped_delete_is_whole_or_not_at_all<H: Harness>(harness: H) {
    let mut rig = Rig::new(harness).await;
    for (n, polls) in (0..).zip(0..POLLS_MAX) {
        let claimed = rig.execute(id(n), &claim(n)).await;
        let released = rig.act(id(n), &Event::Settle(claimed.fence, Outcome::Released)).await;
        rig.harness.advance(Span::from_secs(1));
        let answered = drop_swap(&rig, id(n), released.record.as_ref(), Put::Delete, polls).await;
        let again = rig.execute(id(n), &claim(n + 1000)).await;
        assert!(again.fence > claimed.fence, "a fence came twice");
        rig.harness.advance(DEADLINE.plus(Span::from_secs(1)));
        rig.expect(id(n), Some(&again)).await;
        if answered {
            return;
        }
    }
    panic!("a swap had no answer after {POLLS_MAX} polls");
}

/// Reads dropped at each await change nothing and block nobody.
pub async fn dropped_reads_leave_no_trace<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let mut record = rig.execute(id(1), &claim(1)).await;
    for polls in 0..16 {
        let page = Page { after: None, limit: 10 };
        let _ = dropped_after(rig.store.load(id(1)), polls).await;
        let _ = dropped_after(rig.store.due(Timestamp::NEVER, 10), polls).await;
        let _ = dropped_after(rig.store.list(Filter::default(), page), polls).await;
        let _ = dropped_after(rig.store.status(), polls).await;
        rig.expect(id(1), Some(&record)).await;
        let renewed = rig.act(id(1), &Event::Renew(record.fence)).await;
        assert_eq!(renewed.answer, Answer::Renewed);
        record = renewed.record.expect("a renewal writes");
    }
}

async fn lossy<H: Harness>(rig: &Rig<H>) -> (Arc<Lossy>, Client) {
    let lossy = Arc::new(Lossy::new(rig.store.clone()));
    let client = Client::new(lossy.clone()).await;
    (lossy, client)
}

/// The claim was written, its answer lost: the owner finds itself and runs, one fence higher, as the
/// same attempt; nobody else does.
pub async fn a_claim_whose_answer_was_lost_is_ones_own<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let (lossy, client) = lossy(&rig).await;
    lossy.lose_next(Loss::Answer);
    let lost = client.try_act(id(1), &claim(1)).await;
    assert!(matches!(lost, Err(StoreError::Timeout)), "{lost:?}");
    let written = rig.load(id(1)).await.expect("only the answer was lost");
    assert_eq!(rig.act(id(1), &claim(2)).await.answer, Answer::InFlight);
    let own = client.execute(id(1), &claim(1)).await;
    assert_eq!((own.fence, own.attempt), (written.fence.next(), 1));
    assert!(!own.earlier_doubt, "nothing ran under the lost claim");
}

/// The claim never arrived: the key is as new, for everybody.
pub async fn a_claim_that_never_arrived_left_nothing<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let (lossy, client) = lossy(&rig).await;
    lossy.lose_next(Loss::Request);
    let lost = client.try_act(id(1), &claim(1)).await;
    assert!(matches!(lost, Err(StoreError::Timeout)), "{lost:?}");
    rig.expect(id(1), None).await;
    rig.execute(id(1), &claim(2)).await;
    assert_eq!(client.act(id(1), &claim(1)).await.answer, Answer::InFlight);
}

/// The settle was written, its answer lost: sent again, it is there already, and not twice.
pub async fn a_settle_whose_answer_was_lost_is_there_already<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let (lossy, client) = lossy(&rig).await;
    let claimed = client.execute(id(1), &claim(1)).await;
    lossy.lose_next(Loss::Answer);
    let lost = client.try_act(id(1), &settle(claimed.fence, 1)).await;
    assert!(matches!(lost, Err(StoreError::Timeout)), "{lost:?}");
    let written = rig.load(id(1)).await;
    let again = client.act(id(1), &settle(claimed.fence, 1)).await;
    assert_eq!((again.answer, again.wrote), (Answer::Already, false));
    rig.expect(id(1), written.as_ref()).await;
}

/// The settle never arrived: sent again, it is written.
pub async fn a_settle_that_never_arrived_can_be_sent_again<H: Harness>(harness: H) {
    let rig = Rig::new(harness).await;
    let (lossy, client) = lossy(&rig).await;
    let claimed = client.execute(id(1), &claim(1)).await;
    lossy.lose_next(Loss::Request);
    let lost = client.try_act(id(1), &settle(claimed.fence, 1)).await;
    assert!(matches!(lost, Err(StoreError::Timeout)), "{lost:?}");
    rig.expect(id(1), Some(&claimed)).await;
    let again = client.act(id(1), &settle(claimed.fence, 1)).await;
    assert_eq!(again.answer, Answer::Settled { contradiction: false });
}
