//! Every record that can stand there, every event that can come, and when.
//!
//! Rows and columns are named from the numbers below, never by asking the record or the machine.

use bytes::Bytes;
use semel_core::machine::{Claim, Event, Outcome, Resolution};
use semel_core::{
    Digest, Doubt, Effect, Fence, Fingerprint, OnLapse, Owner, Policy, Record, Sealed, SealedUnder,
    Settled, Span, State, StoredReply, Timestamp,
};

/// When the record was stamped, in milliseconds. All that follows counts from here.
const STAMP: u64 = 1_000_000;
const LEASE: u64 = 100;
const BEGAN: u64 = STAMP - 100;
const CEILING: u64 = 250;
/// A ceiling that ends with the lease.
const CEILING_LOW: u64 = STAMP + LEASE - BEGAN;
const SINCE: u64 = STAMP - 40;
const LAPSED_AT: u64 = STAMP - 20;
const UPSTREAM: u64 = 200;
const PAUSE: u64 = 50;
const RETENTION: u64 = 1000;
const MEMORY: u64 = 5000;
const SKEW: u64 = 30;
const KEEP_UNTIL: u64 = STAMP + 9000;
const CAP: u32 = 3;
const FENCE: u64 = 500;

/// The edges at which a cell may change, and the millisecond before each.
const TIMES: [u64; 16] = [
    STAMP,
    STAMP + LEASE,
    STAMP + LEASE + 1,
    BEGAN + CEILING - 1,
    BEGAN + CEILING,
    LAPSED_AT + UPSTREAM + PAUSE,
    LAPSED_AT + UPSTREAM + PAUSE + 1,
    STAMP + LEASE + UPSTREAM + PAUSE,
    STAMP + LEASE + UPSTREAM + PAUSE + 1,
    SINCE + RETENTION - 1,
    SINCE + RETENTION,
    SINCE + MEMORY - 1,
    SINCE + MEMORY,
    KEEP_UNTIL - 1,
    KEEP_UNTIL,
    KEEP_UNTIL + 100_000,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Absent,
    InFlight,
    Lapsed,
    Declared,
    Completed,
    NotKept,
    ReplyUnknown,
    Released,
    Spent,
    SpentBare,
    Voided,
    VoidedUnseen,
}

const SHAPES: [Shape; 12] = [
    Shape::Absent,
    Shape::InFlight,
    Shape::Lapsed,
    Shape::Declared,
    Shape::Completed,
    Shape::NotKept,
    Shape::ReplyUnknown,
    Shape::Released,
    Shape::Spent,
    Shape::SpentBare,
    Shape::Voided,
    Shape::VoidedUnseen,
];

impl Shape {
    const fn open(self) -> bool {
        matches!(self, Self::InFlight | Self::Lapsed | Self::Declared)
    }
}

/// One record, one event, one moment.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) shape: Shape,
    pub(super) record: Option<Record>,
    pub(super) event: Event,
    pub(super) now: Timestamp,
    pub(super) policy: Policy,
    /// The record was closed under a fence beyond the executed one (by a resolve, or late truth).
    bumped: bool,
    column: Column,
    time: u64,
}

/// What an event is to the record it meets.
#[derive(Clone, Copy, Debug)]
enum Column {
    Claim { own: bool, same: bool, key_time: KeyTime },
    Renew(Whose),
    Settle(Whose, Said),
    Sweep,
    ResolveDone,
    ResolveReleased,
    Void(KeyTime),
    Ack,
    Erase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The fence under which the last execution was granted.
    Executed,
    /// The record's own fence, where that is another.
    Record,
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Same,
    Other,
    /// Done, without a digest.
    Bare,
    Released,
    Doubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyTime {
    Fine,
    TooOld,
    TooNew,
}

impl Cell {
    pub(super) fn row(&self) -> &'static str {
        let (Some(record), time) = (&self.record, self.time) else { return "absent" };
        let both = [record.on_lapse, self.policy.on_lapse] == [OnLapse::Rerun; 2];
        let rerun = both && record.attempt < CAP;
        match (self.shape, rerun) {
            (Shape::Absent, _) => "absent",
            (Shape::InFlight, _) if time <= STAMP + LEASE => "live",
            (Shape::InFlight, true) => "lapsed/rerun",
            (Shape::InFlight, false) => "lapsed/hold",
            (Shape::Lapsed, true) => "doubt/rerun",
            (Shape::Lapsed, false) => "doubt/hold",
            (Shape::Declared, true) => "declared/rerun",
            (Shape::Declared, false) => "declared/hold",
            (Shape::Completed, _) => "completed",
            (Shape::NotKept, _) => "not-kept",
            (Shape::ReplyUnknown, _) => "reply-unknown",
            (Shape::Released, _) if self.bumped => "released/resolved",
            (Shape::Released, _) => "released",
            (Shape::Spent, _) => "spent",
            (Shape::SpentBare, _) => "spent/bare",
            (Shape::Voided | Shape::VoidedUnseen, _) => "void",
        }
    }

    pub(super) fn column(&self) -> &'static str {
        let absent = self.shape == Shape::Absent;
        let earlier = self.record.as_ref().is_some_and(|r| r.earlier_doubt);
        match self.column {
            Column::Claim { key_time: KeyTime::TooOld, .. } if absent => "claim-too-old",
            Column::Claim { key_time: KeyTime::TooNew, .. } if absent => "claim-too-new",
            Column::Claim { .. } if absent => "claim",
            Column::Claim { own: true, same: true, .. } => "claim-own",
            Column::Claim { own: true, same: false, .. } => "claim-other-own",
            Column::Claim { own: false, same: true, .. } => "claim-same",
            Column::Claim { own: false, same: false, .. } => "claim-other",
            Column::Renew(_) if absent => "renew",
            Column::Renew(Whose::Foreign) => "renew-foreign",
            Column::Renew(_) if self.time < self.ceiling_end() => "renew-own",
            Column::Renew(_) => "renew-own-late",
            Column::Settle(whose, said) => settle_column(absent, whose, said, earlier),
            Column::Sweep if absent => "sweep",
            Column::Sweep if self.due() => "sweep-due",
            Column::Sweep => "sweep-early",
            Column::ResolveDone | Column::ResolveReleased if absent => "resolve",
            Column::ResolveDone => "resolve-done",
            Column::ResolveReleased if self.after_grace() => "resolve-released",
            Column::ResolveReleased => "resolve-released-early",
            Column::Void(KeyTime::TooOld) if absent => "void-too-old",
            Column::Void(KeyTime::TooNew) if absent => "void-too-new",
            Column::Void(_) => "void",
            Column::Ack => "ack",
            Column::Erase => "erase",
        }
    }

    fn ceiling_end(&self) -> u64 {
        let low = self.record.as_ref().is_some_and(|r| r.ceiling == ms(CEILING_LOW));
        BEGAN + if low { CEILING_LOW } else { CEILING }
    }

    fn due(&self) -> bool {
        let keep = self.record.as_ref().is_some_and(|r| r.keep_until > Timestamp::ZERO);
        let memory = SINCE + MEMORY;
        match self.shape {
            Shape::Absent | Shape::Lapsed | Shape::Declared => false,
            Shape::InFlight => self.time > STAMP + LEASE,
            Shape::Completed | Shape::NotKept | Shape::ReplyUnknown | Shape::Released => {
                self.time >= SINCE + RETENTION
            }
            Shape::Spent | Shape::SpentBare | Shape::Voided | Shape::VoidedUnseen => {
                self.time >= if keep { KEEP_UNTIL } else { memory }
            }
        }
    }

    fn after_grace(&self) -> bool {
        let end = if self.shape == Shape::InFlight { STAMP + LEASE } else { LAPSED_AT };
        self.time > end + UPSTREAM + PAUSE
    }
}

fn settle_column(absent: bool, whose: Whose, said: Said, earlier: bool) -> &'static str {
    let done = matches!(said, Said::Same | Said::Other | Said::Bare);
    match (whose, said) {
        _ if absent && done => "settle-done",
        _ if absent => "settle-else",
        (Whose::Executed, Said::Same) => "settle-executed-same",
        (Whose::Executed, Said::Other) => "settle-executed-other",
        (Whose::Executed, Said::Bare) => "settle-executed-bare",
        (Whose::Executed, Said::Released) if earlier => "settle-executed-released-earlier",
        (Whose::Executed, Said::Released) => "settle-executed-released",
        (Whose::Executed, Said::Doubt) => "settle-executed-doubt",
        (Whose::Record, Said::Released) => "settle-record-released",
        (Whose::Record, _) if done => "settle-record-done",
        (Whose::Record, _) => "settle-record-else",
        (Whose::Foreign, _) if done => "settle-foreign-done",
        (Whose::Foreign, _) => "settle-foreign-else",
    }
}

const fn ms(n: u64) -> Span {
    Span::from_ms(n)
}

const fn at(n: u64) -> Timestamp {
    Timestamp::from_unix_ms(n)
}

fn said(said: Said) -> Outcome {
    let done = |digest: Option<u8>| {
        let bytes = Bytes::from_static(b"sealed");
        Outcome::Done(Settled {
            digest: digest.map(|d| Digest([d; 16])),
            status: Some(200),
            effect: Effect::Done,
            reply: StoredReply::Sealed(Sealed { under: SealedUnder::Caller, bytes }),
        })
    };
    match said {
        Said::Same => done(Some(1)),
        Said::Other => done(Some(2)),
        Said::Bare => done(None),
        Said::Released => Outcome::Released,
        Said::Doubt => Outcome::InDoubt,
    }
}

/// The events that a record with these fences can meet at `time`, with what each is to it.
fn events(fence: u64, executed: Option<u64>, time: u64, birth: u64) -> Vec<(Column, Event)> {
    let mut events = vec![
        (Column::Sweep, Event::Sweep),
        (Column::ResolveDone, Event::Resolve(Resolution::Done(bare_operator()))),
        (Column::ResolveReleased, Event::Resolve(Resolution::Released)),
        (Column::Ack, Event::Ack),
        (Column::Erase, Event::Erase),
    ];
    let mut key_times = vec![
        (None, KeyTime::Fine),
        (Some(time - MEMORY - 1), KeyTime::TooOld),
        (Some(time + SKEW + 1), KeyTime::TooNew),
        (Some(time + SKEW), KeyTime::Fine),
    ];
    if birth == 0 {
        key_times.push((Some(time - MEMORY), KeyTime::Fine));
    } else {
        let unborn = birth + SKEW;
        let forgotten = time > unborn + 1 + MEMORY;
        key_times.push((Some(unborn), KeyTime::TooOld));
        key_times.push((Some(unborn + 1), if forgotten { KeyTime::TooOld } else { KeyTime::Fine }));
    }
    let first = Fingerprint::default();
    let other = Fingerprint { digest: [9; 16], ..first };
    let other_rules = Fingerprint { rules: first.rules + 1, ..first };
    for (key_time, class) in key_times {
        let key_time = key_time.map(at);
        events.push((Column::Void(class), Event::Void(key_time)));
        for own in [true, false] {
            for (fingerprint, same) in [(first, true), (other, false), (other_rules, false)] {
                let owner = Owner([if own { 1 } else { 2 }; 16]);
                let claim = Claim { owner, fingerprint, key_time };
                events.push((Column::Claim { own, same, key_time: class }, Event::Claim(claim)));
            }
        }
    }
    for other in [fence - 2, fence - 1, fence, fence + 1] {
        let whose = match other {
            _ if executed == Some(other) => Whose::Executed,
            _ if other == fence => Whose::Record,
            _ => Whose::Foreign,
        };
        events.push((Column::Renew(whose), Event::Renew(Fence(other))));
        for what in [Said::Same, Said::Other, Said::Bare, Said::Released, Said::Doubt] {
            let event = Event::Settle(Fence(other), said(what));
            events.push((Column::Settle(whose, what), event));
        }
    }
    events
}

fn bare_operator() -> Settled {
    Settled { digest: None, status: None, effect: Effect::Done, reply: StoredReply::Unknown }
}

fn record(shape: Shape, executed: Option<u64>) -> Record {
    let digest = Some(Digest([1; 16]));
    let kept = |reply| Settled { digest, status: Some(200), effect: Effect::Done, reply };
    let bytes = Bytes::from_static(b"sealed");
    let sealed = StoredReply::Sealed(Sealed { under: SealedUnder::Caller, bytes });
    let (state, outcome) = match shape {
        Shape::Absent | Shape::InFlight => (State::InFlight, None),
        Shape::Lapsed => (State::InDoubt(Doubt::Lapsed), None),
        Shape::Declared => (State::InDoubt(Doubt::Declared), None),
        Shape::Completed => (State::Completed, Some(kept(sealed))),
        Shape::NotKept => (State::Completed, Some(kept(StoredReply::NotKept))),
        Shape::ReplyUnknown => (State::Completed, Some(bare_operator())),
        Shape::Released => (State::Released, None),
        Shape::Spent => (State::Spent, Some(kept(StoredReply::Gone))),
        Shape::SpentBare => {
            (State::Spent, Some(Settled { reply: StoredReply::Gone, ..bare_operator() }))
        }
        Shape::Voided | Shape::VoidedUnseen => (State::Voided, None),
    };
    let unseen = shape == Shape::VoidedUnseen;
    let in_flight = shape == Shape::InFlight;
    Record {
        state,
        fence: Fence(FENCE),
        revision: 4,
        stamp: at(STAMP),
        fingerprint: (!unseen).then(Fingerprint::default),
        owner: Owner([if unseen { 0 } else { 1 }; 16]),
        attempt: 1,
        executed_fence: executed.map(Fence),
        earlier_doubt: false,
        on_lapse: OnLapse::Hold,
        lease: ms(LEASE),
        ceiling: ms(CEILING),
        began: Some(at(BEGAN)),
        lapsed_at: if in_flight { Timestamp::ZERO } else { at(LAPSED_AT) },
        since: (!in_flight).then_some(at(SINCE)),
        retention: ms(RETENTION),
        memory: ms(MEMORY),
        grace: ms(UPSTREAM + PAUSE),
        keep_until: Timestamp::ZERO,
        route: None,
        outcome,
    }
}

fn policies() -> Vec<Policy> {
    let mut policies = vec![];
    for on_lapse in [OnLapse::Hold, OnLapse::Rerun] {
        for birth in [0, STAMP - 4000] {
            policies.push(Policy {
                lease: ms(LEASE),
                ceiling: ms(CEILING),
                on_lapse,
                attempts_max: CAP,
                retention: ms(RETENTION),
                memory: ms(MEMORY),
                max_upstream: ms(UPSTREAM),
                pause: ms(PAUSE),
                skew: ms(SKEW),
                birth: at(birth),
                earlier: None,
                route: None,
            });
        }
    }
    policies
}

/// The records of a shape: earlier doubt, policy at the claim, attempts below and at the cap, keys
/// with and without their own time, closed under the executed fence and beyond it.
fn records(shape: Shape) -> Vec<(Option<Record>, bool)> {
    if shape == Shape::Absent {
        return vec![(None, false)];
    }
    let mut records = vec![];
    let unseen = shape == Shape::VoidedUnseen;
    let ceilings: &[u64] = if shape.open() { &[CEILING, CEILING_LOW] } else { &[CEILING] };
    let bumps: &[bool] = if shape.open() || unseen { &[false] } else { &[false, true] };
    for bumped in bumps {
        let executed = (!unseen).then_some(if *bumped { FENCE - 1 } else { FENCE });
        for earlier_doubt in [false, true] {
            for on_lapse in [OnLapse::Hold, OnLapse::Rerun] {
                for attempt in [1, CAP - 1, CAP] {
                    for (keep_until, ceiling) in [0, KEEP_UNTIL]
                        .into_iter()
                        .flat_map(|k| ceilings.iter().map(move |c| (k, *c)))
                    {
                        let (keep_until, ceiling) = (at(keep_until), ms(ceiling));
                        let base = Record { keep_until, ceiling, ..record(shape, executed) };
                        let record = Record { earlier_doubt, on_lapse, attempt, ..base };
                        records.push((Some(record), *bumped));
                    }
                }
            }
        }
    }
    records
}

/// Walks the whole product.
pub(super) fn cells(mut walk: impl FnMut(&Cell)) {
    for shape in SHAPES {
        for (record, bumped) in records(shape) {
            let executed = record.as_ref().and_then(|r| r.executed_fence).map(|f| f.0);
            for policy in policies() {
                for time in TIMES {
                    let birth = policy.birth.as_unix_ms();
                    for (column, event) in events(FENCE, executed, time, birth) {
                        let (record, policy) = (record.clone(), policy.clone());
                        walk(&Cell {
                            shape,
                            record,
                            event,
                            now: at(time),
                            policy,
                            bumped,
                            column,
                            time,
                        });
                    }
                }
            }
        }
    }
}
