//! The route in a record: named while the key is open, and only where all its attempts had the same.
//! A look-up is asked about what is in doubt; one that is for another route would not find it, and
//! "not found" releases.

use semel_core::machine::{Answer, Claim, Event, Outcome, Resolution, Write, step};
use semel_core::{
    Effect, Fence, Fingerprint, OnLapse, Owner, Policy, Record, RouteTag, Secret, Settled, Span,
    State, StoredReply, Timestamp,
};

const NOW: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);
const A: Option<RouteTag> = Some(RouteTag([1; 8]));
const B: Option<RouteTag> = Some(RouteTag([2; 8]));

fn policy(route: Option<RouteTag>) -> Policy {
    Policy { route, on_lapse: OnLapse::Rerun, ..Policy::default() }
}

fn apply(record: Option<&Record>, event: &Event, at: Timestamp, policy: &Policy) -> Record {
    match step(record, event, at, policy).write {
        Write::Put(record) => Record { stamp: at, ..record },
        other => panic!("{event:?} writes {other:?}"),
    }
}

fn claim(record: Option<&Record>, owner: u8, at: Timestamp, policy: &Policy) -> Record {
    let owner = Owner([owner; 16]);
    let claim = Claim { owner, fingerprint: Fingerprint::default(), key_time: None };
    let step = step(record, &Event::Claim(claim.clone()), at, policy);
    assert_eq!(step.answer, Answer::Execute);
    apply(record, &Event::Claim(claim), at, policy)
}

fn settle(record: &Record, outcome: Outcome) -> Record {
    let fence = record.executed_fence.unwrap_or(Fence(0));
    apply(Some(record), &Event::Settle(fence, outcome), NOW, &Policy::default())
}

fn done() -> Settled {
    Settled { digest: None, status: Some(201), effect: Effect::Done, reply: StoredReply::NotKept }
}

#[test]
fn a_claim_names_its_route_and_a_doubt_keeps_the_name() {
    let claimed = claim(None, 1, NOW, &policy(A));
    assert_eq!(claimed.route, A);
    assert_eq!(settle(&claimed, Outcome::InDoubt).route, A);
    let lapsed = apply(Some(&claimed), &Event::Sweep, NOW.plus(Span::from_secs(60)), &policy(B));
    assert_eq!((lapsed.state.name(), lapsed.route), ("in-doubt", A));
}

#[test]
fn what_is_no_more_in_doubt_is_on_no_route() {
    let claimed = claim(None, 1, NOW, &policy(A));
    let doubted = settle(&claimed, Outcome::InDoubt);
    let late = NOW.plus(Span::from_secs(3600));
    let resolved =
        |resolution| apply(Some(&doubted), &Event::Resolve(resolution), late, &Policy::default());
    for record in [
        settle(&claimed, Outcome::Done(done())),
        settle(&claimed, Outcome::Released),
        resolved(Resolution::Done(done())),
        resolved(Resolution::Released),
        apply(None, &Event::Void(None), NOW, &policy(A)),
    ] {
        assert_eq!(record.route, None, "{:?}", record.state);
    }
}

#[test]
fn a_second_attempt_on_another_route_leaves_none_to_ask() {
    let first = claim(None, 1, NOW, &policy(A));
    let late = NOW.plus(Span::from_secs(60));
    for (route, expected) in [(A, A), (B, None), (None, None)] {
        let second = claim(Some(&first), 2, late, &policy(route));
        assert_eq!((second.attempt, second.route), (2, expected));
    }
    let unnamed = Record { route: None, ..first.clone() };
    assert_eq!(claim(Some(&unnamed), 2, late, &policy(A)).route, None);
    // Nothing is left of what was released, so the new claim speaks for itself.
    let released = settle(&first, Outcome::Released);
    assert_eq!(released.state, State::Released);
    assert_eq!(claim(Some(&released), 2, late, &policy(B)).route, B);
}

#[test]
fn a_tag_depends_on_every_part_and_on_the_secret() {
    let secret = Secret::new(&[7; 32]);
    let tag = |parts: &[&'static str]| secret.route_tag(parts.iter().map(|p| p.as_bytes()));
    let tags = [tag(&["a", "b"]), tag(&["ab"]), tag(&["a", "", "b"]), tag(&["b", "a"])];
    for (at, one) in tags.iter().enumerate() {
        assert!(!tags[..at].contains(one));
    }
    assert_eq!(tag(&["a", "b"]), tags[0]);
    let other = Secret::new(&[8; 32]);
    assert_ne!(other.route_tag([&b"a"[..], b"b"]), tags[0]);
}
