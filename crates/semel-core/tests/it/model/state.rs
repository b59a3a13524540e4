//! The state of the model, packed: times, fences and owners are single bytes, because every bound is
//! small. Packing asserts that nothing of a record is dropped on the way.

use bytes::Bytes;
use semel_core::{
    Digest, Doubt, Effect, Fence, Fingerprint, OnLapse, Owner, Policy, Record, Sealed, SealedUnder,
    Settled, Span, State, StoredReply, Timestamp,
};

/// Requests at most.
pub(super) const CLIENTS: usize = 3;
/// "None" in a packed byte.
pub(super) const NONE: u8 = 255;
/// When the model begins. Fences are times, so they begin here, too.
pub(super) const BEGIN: u8 = 20;
/// The step of the model's time, in milliseconds. Everything within one step happens in the same
/// millisecond, in every order. It is above one so that fences, which grow by one at each execution,
/// do not outrun time, as they cannot in life.
pub(super) const TICK: u8 = 6;
/// An owner that no client is.
pub(super) const STRANGER: u8 = 200;

/// Packed outcomes: client `i` answers `i + 1`; the rest are these.
pub(super) const RELEASED: u8 = 100;
pub(super) const IN_DOUBT: u8 = 101;
/// An operator's "it happened", without a reply.
pub(super) const OPERATOR: u8 = 9;
/// An operator's "it happened", with a reply of his own.
pub(super) const OPERATOR_REPLY: u8 = 10;
const GONE: u8 = 64;

static REPLIES: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

pub(super) fn at(t: u8) -> Timestamp {
    Timestamp::from_unix_ms(u64::from(t))
}

pub(super) fn span(ms: u8) -> Span {
    Span::from_ms(u64::from(ms))
}

fn byte(value: u64) -> u8 {
    let small = u8::try_from(value).expect("the model's bounds keep every value in a byte");
    assert!(small < NONE, "the model's bounds keep every value below the mark of none");
    small
}

pub(super) fn owner(client: u8) -> Owner {
    Owner([client; 16])
}

pub(super) fn fingerprint(which: u8) -> Fingerprint {
    Fingerprint { rules: 1, digest: [which; 16], parts: [u32::from(which); 6] }
}

/// What client, operator or store says of an outcome.
pub(super) fn settled(outcome: u8) -> Settled {
    let which = outcome & !GONE;
    let known = which != OPERATOR;
    let reply = if outcome & GONE != 0 {
        StoredReply::Gone
    } else if known {
        let i = usize::from(which);
        let bytes = Bytes::from_static(&REPLIES[i..=i]);
        StoredReply::Sealed(Sealed { under: SealedUnder::Caller, bytes })
    } else {
        StoredReply::Unknown
    };
    Settled {
        digest: known.then_some(Digest([which; 16])),
        status: known.then_some(200),
        effect: Effect::Done,
        reply,
    }
}

fn pack_outcome(settled: Option<&Settled>) -> u8 {
    let Some(settled) = settled else { return 0 };
    let which = settled.digest.map_or(OPERATOR, |d| d.0[0]);
    which | if settled.reply == StoredReply::Gone { GONE } else { 0 }
}

/// A record, packed. Retention, memory, ceiling and grace are the scenario's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Packed {
    pub(super) state: Option<State>,
    pub(super) fence: u8,
    pub(super) revision: u8,
    pub(super) stamp: u8,
    pub(super) owner: u8,
    pub(super) fingerprint: u8,
    pub(super) attempt: u8,
    pub(super) executed: u8,
    pub(super) earlier_doubt: bool,
    pub(super) rerun: bool,
    pub(super) lease: u8,
    pub(super) began: u8,
    pub(super) lapsed_at: u8,
    pub(super) since: u8,
    pub(super) keep_until: u8,
    pub(super) outcome: u8,
}

impl Packed {
    pub(super) const ABSENT: Self = Self {
        state: None,
        fence: 0,
        revision: 0,
        stamp: 0,
        owner: 0,
        fingerprint: 0,
        attempt: 0,
        executed: 0,
        earlier_doubt: false,
        rerun: false,
        lease: 0,
        began: 0,
        lapsed_at: 0,
        since: 0,
        keep_until: 0,
        outcome: 0,
    };

    pub(super) fn pack(r: &Record, policy: &Policy) -> Self {
        assert_eq!(
            (r.retention, r.memory, r.ceiling, r.grace),
            (policy.retention, policy.memory, policy.ceiling, policy.grace()),
            "one scenario has one set of spans"
        );
        let time = |t: Option<Timestamp>| t.map_or(NONE, |t| byte(t.as_unix_ms()));
        Self {
            state: Some(r.state),
            fence: byte(r.fence.0),
            revision: byte(u64::from(r.revision)),
            stamp: byte(r.stamp.as_unix_ms()),
            owner: r.owner.0[0],
            fingerprint: r.fingerprint.map_or(NONE, |f| f.digest[0]),
            attempt: byte(u64::from(r.attempt)),
            executed: r.executed_fence.map_or(NONE, |f| byte(f.0)),
            earlier_doubt: r.earlier_doubt,
            rerun: r.on_lapse == OnLapse::Rerun,
            lease: byte(r.lease.as_ms()),
            began: time(r.began),
            lapsed_at: byte(r.lapsed_at.as_unix_ms()),
            since: time(r.since),
            keep_until: byte(r.keep_until.as_unix_ms()),
            outcome: pack_outcome(r.outcome.as_ref()),
        }
    }

    pub(super) fn unpack(&self, policy: &Policy) -> Option<Record> {
        let state = self.state?;
        let time = |t: u8| (t != NONE).then(|| at(t));
        Some(Record {
            state,
            fence: Fence(u64::from(self.fence)),
            revision: u32::from(self.revision),
            stamp: at(self.stamp),
            fingerprint: (self.fingerprint != NONE).then(|| fingerprint(self.fingerprint)),
            owner: owner(self.owner),
            attempt: u32::from(self.attempt),
            executed_fence: (self.executed != NONE).then(|| Fence(u64::from(self.executed))),
            earlier_doubt: self.earlier_doubt,
            on_lapse: if self.rerun { OnLapse::Rerun } else { OnLapse::Hold },
            lease: span(self.lease),
            ceiling: policy.ceiling,
            began: time(self.began),
            lapsed_at: at(self.lapsed_at),
            since: time(self.since),
            retention: policy.retention,
            memory: policy.memory,
            grace: policy.grace(),
            keep_until: at(self.keep_until),
            route: None,
            outcome: (self.outcome != 0).then(|| settled(self.outcome)),
        })
    }

    /// What a compare-and-set compares; `(0, 0)` for no record.
    pub(super) const fn version(&self) -> (u8, u8) {
        (self.fence, self.revision)
    }

    pub(super) const fn open(&self) -> bool {
        matches!(self.state, Some(State::InFlight | State::InDoubt(_)))
    }

    pub(super) const fn in_doubt(&self) -> bool {
        matches!(self.state, Some(State::InDoubt(_)))
    }

    pub(super) const fn declared(&self) -> bool {
        matches!(self.state, Some(State::InDoubt(Doubt::Declared)))
    }

    /// Whose outcome, whether or not its reply is still there.
    pub(super) const fn reply(&self) -> u8 {
        self.outcome & !GONE
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) enum At {
    /// Has not claimed.
    #[default]
    Idle,
    /// Claimed, and heard nothing.
    Claiming,
    /// Claimed, heard nothing, and will answer "store unavailable" once the claim is withdrawn.
    GivingUp,
    /// Holds the claim; nothing sent.
    Granted,
    /// Looked at its lease and is about to send.
    Checked,
    /// Has an outcome.
    Settling,
    /// Answered its caller.
    Answered,
    /// Died with its node.
    Dead,
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) enum Told {
    #[default]
    Nothing,
    Fresh,
    Replayed,
    InFlight,
    InDoubt,
    Mismatch,
    Spent,
    Void,
    /// "Nothing happened."
    Released,
    /// "The store is unavailable; this request started nothing."
    Unavailable,
    TooOld,
    /// Whatever the record said, and the record said nothing final.
    Lost,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Client {
    pub(super) pc: At,
    pub(super) fence: u8,
    pub(super) outcome: u8,
    /// The end of its lease by its own monotonic clock, counted from before it asked.
    pub(super) until: u8,
    /// When it last looked at its lease.
    pub(super) looked: u8,
    pub(super) told: Told,
}

/// What travels to the store and got no answer yet. `who` is the client whose claim it is, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Travelling {
    pub(super) expected: (u8, u8),
    /// [`Packed::ABSENT`] deletes.
    pub(super) write: Packed,
    pub(super) sent: u8,
    pub(super) who: u8,
}

/// How often each fault was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Faults {
    pub(super) lost: u8,
    pub(super) crash: u8,
    pub(super) resolve: u8,
    pub(super) void: u8,
    pub(super) empty: u8,
    pub(super) accept: u8,
    pub(super) slow: u8,
    pub(super) cut: u8,
    pub(super) connect: u8,
    pub(super) status: u8,
    pub(super) ack: u8,
    pub(super) erase: u8,
}

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Model {
    pub(super) now: u8,
    pub(super) record: Packed,
    pub(super) clients: [Client; CLIENTS],
    pub(super) travelling: Option<Travelling>,
    pub(super) used: Faults,
    /// The store's life, and the one that the nodes believe in.
    pub(super) life: u8,
    pub(super) believed: u8,
    /// When the accepted life began; 0 for the first.
    pub(super) birth: u8,
    /// Whose effect has happened, one bit a client.
    pub(super) effects: u8,
    /// Whose request the upstream still works on, and when each was sent.
    pub(super) working: u8,
    pub(super) sent: [u8; CLIENTS],
    /// When the key was first completed or voided.
    pub(super) ended: u8,
    /// When "never" was promised.
    pub(super) voided: u8,
    /// The reply that callers were given.
    pub(super) told: u8,
    /// The greatest fence under which anybody was allowed to run.
    pub(super) granted: u8,
    /// Something happened that leaves an honest doubt.
    pub(super) doubtful: bool,
}

impl Model {
    pub(super) fn start() -> Self {
        Self {
            now: BEGIN,
            record: Packed::ABSENT,
            clients: [Client::default(); CLIENTS],
            travelling: None,
            used: Faults::default(),
            life: 0,
            believed: 0,
            birth: 0,
            effects: 0,
            working: 0,
            sent: [0; CLIENTS],
            ended: NONE,
            voided: NONE,
            told: 0,
            granted: 0,
            doubtful: false,
        }
    }

    pub(super) const fn acted(&self, client: usize) -> bool {
        self.effects >> client & 1 == 1
    }

    /// Inside the memory of a key that was completed or voided, or never ended.
    pub(super) const fn remembered(&self, memory: u8) -> bool {
        self.ended == NONE || self.now < self.ended.saturating_add(memory)
    }
}
