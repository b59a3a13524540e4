//! What must never happen. Each property keeps the name it had when its hole was found.

use semel_core::State;
use semel_core::machine::{Answer, Claim, Event, Outcome, Write};

use super::state::{
    At, CLIENTS, IN_DOUBT, Model, NONE, OPERATOR, Packed, STRANGER, Told, at, fingerprint, owner,
    settled,
};
use super::world::World;

macro_rules! properties {
    ($($name:ident $text:literal,)*) => {
        /// A promise that a trace can break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Property { $($name,)* }

        impl Property {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            pub(super) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

properties! {
    P1TwoEffects "two effects under Hold inside memory",
    P2TwoEffectsOneFence "two effects under one fence",
    P2FenceGrantedTwice "one fence was granted twice",
    P2FenceFell "a fence was granted that is not above all earlier ones",
    P3TwoOutcomes "two different outcomes were told",
    P4EffectAfterVoid "an effect after a promised void",
    P4VoidAfterEffect "a void was promised though the effect had happened",
    P5RanAfterMemory "a key with its own time ran twice, the second time after memory",
    P6OldFenceSettled "an outcome under an old fence was settled",
    P7TruthDropped "a known outcome was dropped: the record says that nothing happened",
    T1ToldNone "told 'effect none', and it acted",
    T2ToldDone "told 'done' with no effect",
    M1MismatchAfterNone "a mismatch says 'never ran' to a request that had its effect",
    R4AfterAnswer "in flight or in doubt after a definite answer",
    R5GrantAfterEnd "granted inside the memory of a completed, spent or voided key",
    D1TwoTruths "the resolved outcome differs from the executor's",
    D2SettleLost "an executor's own landed settle was answered Lost",
    D3WrongAlready "an outcome was answered Already though the record says that nothing happened",
    L1StaysInFlight "a lapsed key stays in flight: a sweep leaves it",
    L2Wedged "in doubt though every executor finished and knew",
    L2Orphan "a claim that was given up ends in doubt for ever",
    L3NotDriven "a key under Rerun is neither settled nor in doubt at its cap",
    N1RenewedDoubt "a renewal undid a doubt that its own executor had declared",
}

impl Property {
    /// An effect or a promise went wrong for good.
    pub(super) fn ends_the_trace(self) -> bool {
        self <= Self::P7TruthDropped
    }
}

/// A set of broken properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Broken(pub(super) u32);

impl Broken {
    pub(super) fn add(&mut self, property: Property, broken: bool) {
        if broken {
            self.0 |= 1 << property as u32;
        }
    }

    pub(super) fn each(self) -> impl Iterator<Item = Property> {
        Property::ALL.iter().copied().filter(move |p| self.0 >> *p as u32 & 1 == 1)
    }
}

/// The effect happens at its place, by the request of `client`.
pub(super) fn effect(w: &World, s: &mut Model, client: usize, broken: &mut Broken) {
    let again = s.effects != 0;
    let inside = s.remembered(w.memory);
    let fence = s.clients[client].fence;
    // What was claimed under Hold is held, whatever the other nodes say.
    let held = s.record.open() && s.record.fence == fence && !s.record.rerun;
    broken.add(Property::P1TwoEffects, again && inside && (held || w.hold()));
    let twin = (0..CLIENTS).any(|j| s.acted(j) && s.clients[j].fence == fence);
    broken.add(Property::P2TwoEffectsOneFence, inside && twin);
    broken.add(Property::P5RanAfterMemory, again && !inside && w.key_time.is_some());
    let for_ever = w.key_time.is_some();
    let promised = s.voided != NONE && (for_ever || s.now < s.voided + w.memory);
    broken.add(Property::P4EffectAfterVoid, promised);
    let told = s.clients[client].told;
    broken.add(Property::T1ToldNone, matches!(told, Told::Released | Told::Unavailable));
    if !inside {
        (s.effects, s.told, s.ended, s.voided) = (0, 0, NONE, NONE);
    }
    s.effects |= 1 << client;
}

/// `client` is allowed to run under the record that was just written.
pub(super) fn granted(w: &World, s: &mut Model, client: usize, sent: u8, broken: &mut Broken) {
    let fence = s.record.fence;
    let twice = (0..w.clients).any(|j| j != client && s.clients[j].fence == fence);
    broken.add(Property::P2FenceGrantedTwice, twice);
    broken.add(Property::P2FenceFell, fence <= s.granted);
    let ended = s.ended != NONE && s.remembered(w.memory);
    broken.add(Property::R5GrantAfterEnd, ended);
    let answered = s.told != 0 && s.ended != NONE && s.now < s.ended + w.retention;
    broken.add(Property::R4AfterAnswer, answered);
    s.granted = s.granted.max(fence);
    let until = sent + w.lease;
    let me = &mut s.clients[client];
    (me.pc, me.fence, me.until, me.looked) = (At::Granted, fence, until, 0);
}

/// `client`'s caller is answered. `outcome` is what it is given, or 0.
pub(super) fn tell(
    w: &World,
    s: &mut Model,
    client: usize,
    told: Told,
    outcome: u8,
    broken: &mut Broken,
) {
    let none = |t: Told| matches!(t, Told::Released | Told::Unavailable);
    if told == Told::Mismatch {
        let wronged = (0..w.clients).any(|j| {
            s.acted(j)
                && w.fingerprints[j] == w.fingerprints[client]
                && s.clients[j].told == Told::Released
        });
        broken.add(Property::M1MismatchAfterNone, wronged);
    }
    let within = s.ended != NONE && s.now < s.ended + w.retention;
    if matches!(told, Told::Fresh | Told::Replayed) {
        broken.add(Property::P3TwoOutcomes, s.told != 0 && s.told != outcome && within);
        broken.add(Property::T2ToldDone, s.effects == 0 && s.working == 0);
        if s.told == 0 {
            s.told = outcome;
        }
    }
    let late = matches!(told, Told::InFlight | Told::InDoubt);
    let after = s.record.state.is_some() && s.told != 0 && within;
    broken.add(Property::R4AfterAnswer, late && after);
    broken.add(Property::T1ToldNone, none(told) && s.acted(client));
    let me = &mut s.clients[client];
    // Only what later checks ask about is kept: the rest would split equal states.
    let kept = if none(told) { told } else { Told::Lost };
    (me.pc, me.told) = (At::Answered, kept);
    (me.outcome, me.until, me.looked) = (0, 0, 0);
}

/// What a caller is told from the record alone.
pub(super) fn from_record(record: &Packed) -> (Told, u8) {
    match record.state {
        None | Some(State::Released) => (Told::Lost, 0),
        Some(State::Completed) if record.outcome == OPERATOR => (Told::Spent, 0),
        Some(State::Completed) => (Told::Replayed, record.outcome),
        Some(State::InDoubt(_)) => (Told::InDoubt, 0),
        Some(State::InFlight) => (Told::InFlight, 0),
        Some(State::Spent) => (Told::Spent, 0),
        Some(State::Voided) => (Told::Void, 0),
    }
}

/// The answer to a settle of `client`, against the record that it met.
pub(super) fn settle_answer(
    w: &World,
    s: &Model,
    client: usize,
    answer: Answer,
    broken: &mut Broken,
) {
    let Model { record, clients, .. } = s;
    let me = &clients[client];
    // Of its own effect, while anybody is to remember it.
    let own = me.outcome <= CLIENTS as u8 && s.acted(client) && s.remembered(w.memory);
    let lost = matches!(answer, Answer::Lost { .. });
    let nothing = matches!(record.state, Some(State::Released | State::Voided));
    broken.add(Property::P7TruthDropped, own && lost && nothing && w.hold());
    let other = matches!(record.state, Some(State::Completed)) && record.outcome != me.outcome;
    broken.add(Property::D1TwoTruths, own && lost && other && w.hold());
    let ended = matches!(record.state, Some(State::Completed | State::Spent));
    let mine = ended && record.reply() == me.outcome && record.executed == me.fence;
    broken.add(Property::D2SettleLost, own && lost && mine);
    let wrong = answer == Answer::Already && matches!(record.state, Some(State::Released));
    broken.add(Property::D3WrongAlready, own && wrong);
    let settled = matches!(answer, Answer::Settled { .. });
    broken.add(Property::P6OldFenceSettled, settled && me.fence < s.granted);
}

/// What must hold once nobody is at work any more.
pub(super) fn at_rest(w: &World, s: &Model) -> Broken {
    let mut broken = Broken::default();
    let busy = s.clients.iter().any(|c| !matches!(c.pc, At::Idle | At::Answered | At::Dead));
    if busy || s.travelling.is_some() || s.working != 0 {
        return broken;
    }
    let clean = s.used.crash == 0 && s.used.empty == 0 && !s.doubtful;
    if s.record.in_doubt() && clean && !s.record.earlier_doubt {
        let given_up = s.clients.iter().any(|c| c.told == Told::Unavailable);
        broken.add(Property::L2Orphan, given_up);
        broken.add(Property::L2Wedged, !given_up);
    }
    let forgotten = matches!(s.record.state, None | Some(State::Released));
    broken.add(Property::P7TruthDropped, clean && s.effects != 0 && s.ended == NONE && forgotten);
    if s.record.open() {
        driven(w, s, &mut broken);
    }
    broken
}

/// Time passes, a sweep comes by, and under Rerun one more honest caller retries until it is
/// answered: the key must end settled, or in doubt (under Rerun only at the cap).
fn driven(w: &World, s: &Model, broken: &mut Broken) {
    for node in w.live_nodes() {
        let policy = w.policy(node, s.birth);
        let Some(mut record) = s.record.unpack(&policy) else { continue };
        let mut now = at(s.now).max(record.lease_end()).plus(super::state::span(1));
        if let Write::Put(mut swept) = (w.rules)(Some(&record), &Event::Sweep, now, &policy).write {
            swept.stamp = now;
            record = swept;
        }
        broken.add(Property::L1StaysInFlight, record.state == State::InFlight);
        let both = w.rerun == [true, true] && s.record.rerun;
        if !both || record.state == State::InFlight {
            continue;
        }
        let fence = record.fence;
        let claim = Claim {
            owner: owner(STRANGER),
            fingerprint: record.fingerprint.unwrap_or(fingerprint(0)),
            key_time: None,
        };
        let step = (w.rules)(Some(&record), &Event::Claim(claim), now, &policy);
        let capped = record.attempt >= policy.attempts_max;
        broken.add(Property::L3NotDriven, (step.answer == Answer::Execute) == capped);
        let Write::Put(mut taken) = step.write else { continue };
        taken.stamp = now;
        now = now.plus(super::state::span(1));
        let settle = Event::Settle(taken.fence, Outcome::Done(settled(1)));
        let end = (w.rules)(Some(&taken), &settle, now, &policy);
        let done = matches!(&end.write, Write::Put(r) if r.state == State::Completed);
        broken.add(Property::L3NotDriven, !done || taken.fence <= fence);
    }
}

/// The words of an outcome in a trace.
pub(super) fn outcome_name(outcome: u8) -> String {
    match outcome {
        super::state::RELEASED => "released".into(),
        IN_DOUBT => "in doubt".into(),
        OPERATOR => "done, no reply".into(),
        reply => format!("reply {reply}"),
    }
}
