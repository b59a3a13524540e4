//! Ids, claims, outcomes and records to test with.

use bytes::Bytes;

use crate::fingerprint::Fingerprint;
use crate::id::{Digest, Fence, Owner, RecordId, RouteTag};
use crate::machine::{Claim, Event, Outcome};
use crate::policy::OnLapse;
use crate::record::{Doubt, Effect, Record, Sealed, SealedUnder, Settled, State, StoredReply};
use crate::suite::Seeded;
use crate::time::{Span, Timestamp};

/// Every state that a record can be in.
pub const STATES: [State; 7] = [
    State::InFlight,
    State::InDoubt(Doubt::Lapsed),
    State::InDoubt(Doubt::Declared),
    State::Completed,
    State::Released,
    State::Spent,
    State::Voided,
];

/// The id of the `n`th key, spread over all ids like the hashes that real ones are.
#[must_use]
pub fn id(n: u64) -> RecordId {
    let bytes = Seeded::new(n ^ 0x5e3e_1000_0000_0000).bytes(32);
    let mut id = [0; 32];
    id.copy_from_slice(&bytes);
    RecordId(id)
}

/// The `n`th owner.
#[must_use]
pub fn owner(n: u64) -> Owner {
    let mut owner = [0; 16];
    owner.copy_from_slice(&Seeded::new(n).bytes(16));
    Owner(owner)
}

/// A claim of the one request that the suite makes, by the `n`th owner.
#[must_use]
pub fn claim(n: u64) -> Event {
    Event::Claim(Claim { owner: owner(n), fingerprint: fingerprint(), key_time: None })
}

/// What that request asks for.
#[must_use]
pub fn fingerprint() -> Fingerprint {
    Fingerprint { rules: 1, digest: [0x5e; 16], parts: [1, 2, 3, 4, 5, 6] }
}

/// An outcome with a sealed reply of so many bytes, different for each `n`.
#[must_use]
pub fn done(n: u64, len: usize) -> Settled {
    let bytes = Bytes::from(Seeded::new(n).bytes(len));
    Settled {
        digest: Some(Digest(owner(n).0)),
        status: Some(201),
        effect: Effect::Done,
        reply: StoredReply::Sealed(Sealed { under: SealedUnder::Caller, bytes }),
    }
}

/// A settle under `fence` with the outcome [`done`] of the same `n`.
#[must_use]
pub fn settle(fence: Fence, n: u64) -> Event {
    Event::Settle(fence, Outcome::Done(done(n, 100)))
}

/// A record in flight under `fence`, as a claim would write it, claimed by the `n`th owner.
#[must_use]
pub fn in_flight(fence: Fence, n: u64) -> Record {
    Record {
        state: State::InFlight,
        fence,
        revision: 0,
        stamp: Timestamp::ZERO,
        fingerprint: Some(fingerprint()),
        owner: owner(n),
        attempt: 1,
        executed_fence: Some(fence),
        earlier_doubt: false,
        on_lapse: OnLapse::Hold,
        lease: Span::from_secs(10),
        ceiling: Span::from_secs(900),
        began: None,
        lapsed_at: Timestamp::ZERO,
        since: None,
        retention: Span::from_secs(86_400),
        memory: Span::from_secs(30 * 86_400),
        grace: Span::from_secs(70),
        keep_until: Timestamp::ZERO,
        route: None,
        outcome: None,
    }
}

/// Records of every state, with every optional field present and absent and every kind of reply,
/// none of them due before `at` + 1 h.
#[must_use]
pub fn shapes(at: Timestamp) -> Vec<Record> {
    let mut shapes = Vec::new();
    for state in STATES {
        for bits in 0..64_u64 {
            shapes.push(shape(at, state, bits));
        }
    }
    shapes
}

fn shape(at: Timestamp, state: State, bits: u64) -> Record {
    let on = |bit: u32| bits & (1 << bit) != 0;
    let fence = Fence(at.as_unix_ms() + bits);
    let settled = matches!(state, State::Completed | State::Spent);
    let open = matches!(state, State::InFlight | State::InDoubt(_));
    Record {
        state,
        revision: if on(0) { 0 } else { 7 },
        fingerprint: on(1).then(fingerprint),
        attempt: if on(2) { 0 } else { 3 },
        executed_fence: on(2).then_some(Fence(at.as_unix_ms())),
        earlier_doubt: on(3),
        on_lapse: if on(4) { OnLapse::Rerun } else { OnLapse::Hold },
        lease: Span::from_secs(7200),
        retention: if on(1) { Span::FOREVER } else { Span::from_secs(86_401) },
        memory: if on(2) { Span::FOREVER } else { Span::from_secs(864_001) },
        began: on(5).then_some(at.minus(Span::from_ms(5))),
        lapsed_at: if state == State::InFlight { Timestamp::ZERO } else { at },
        since: on(3).then_some(at.minus(Span::from_ms(2))),
        keep_until: if on(4) { at.plus(Span::from_secs(99)) } else { Timestamp::ZERO },
        route: (open && on(5)).then_some(RouteTag([9; 8])),
        outcome: settled.then(|| outcome(state, bits)),
        ..in_flight(fence, bits)
    }
}

fn outcome(state: State, bits: u64) -> Settled {
    let sealed = |under, len| {
        let bytes = Bytes::from(Seeded::new(bits).bytes(len));
        StoredReply::Sealed(Sealed { under, bytes })
    };
    let reply = match (state, bits % 6) {
        (State::Spent, _) => StoredReply::Gone,
        (_, 0) => StoredReply::NotKept,
        (_, 1) => StoredReply::Unknown,
        (_, 2) => sealed(SealedUnder::Server, 40),
        (_, 3) => sealed(SealedUnder::Caller, 0),
        (_, 4) => sealed(SealedUnder::Caller, 1),
        (_, _) => sealed(SealedUnder::Caller, 5000),
    };
    Settled {
        digest: (bits & 12 != 8).then_some(Digest([0xd1; 16])),
        status: (bits & 24 != 16).then_some(404),
        effect: match bits % 4 {
            0 => Effect::None,
            1 => Effect::Unknown,
            _ => Effect::Done,
        },
        reply,
    }
}
