//! The record format: what goes in comes out, what is damaged never passes for another record, and
//! what each version wrote is read for ever (`tests/fixtures/record-v1`, `record-v2`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::option;
use proptest::prelude::*;
use semel_core::codec::{DecodeError, OVERHEAD_MAX, VERSION, decode, encode};
use semel_core::{
    Digest, Doubt, Effect, Fence, Fingerprint, OnLapse, Owner, Record, RouteTag, Sealed,
    SealedUnder, Settled, Span, State, StoredReply, Timestamp,
};

const STATES: [State; 7] = [
    State::InFlight,
    State::InDoubt(Doubt::Lapsed),
    State::InDoubt(Doubt::Declared),
    State::Completed,
    State::Released,
    State::Spent,
    State::Voided,
];

fn replies() -> impl Strategy<Value = StoredReply> {
    let sealed = |under| {
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(move |b| StoredReply::Sealed(Sealed { under, bytes: b.into() }))
    };
    prop_oneof![
        Just(StoredReply::NotKept),
        Just(StoredReply::Unknown),
        Just(StoredReply::Gone),
        sealed(SealedUnder::Caller),
        sealed(SealedUnder::Server),
    ]
}

fn outcomes() -> impl Strategy<Value = Settled> {
    let effects = prop::sample::select(vec![Effect::None, Effect::Done, Effect::Unknown]);
    let digests = option::of(any::<[u8; 16]>().prop_map(Digest));
    (digests, option::of(100_u16..1000), effects, replies())
        .prop_map(|(digest, status, effect, reply)| Settled { digest, status, effect, reply })
}

fn times() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_unix_ms)
}

fn spans() -> impl Strategy<Value = Span> {
    prop_oneof![any::<u64>().prop_map(Span::from_ms), Just(Span::FOREVER), Just(Span::ZERO)]
}

fn fingerprints() -> impl Strategy<Value = Fingerprint> {
    (any::<u16>(), any::<[u8; 16]>(), any::<[u32; 6]>())
        .prop_map(|(rules, digest, parts)| Fingerprint { rules, digest, parts })
}

prop_compose! {
    fn records()(
        (state, fence, revision, stamp) in
            (prop::sample::select(STATES.to_vec()), 0..u64::MAX, 0..u32::MAX, times()),
        (fingerprint, owner, attempt, executed) in
            (option::of(fingerprints()), any::<[u8; 16]>(), any::<u32>(), option::of(any::<u64>())),
        (earlier_doubt, rerun, lease, ceiling) in
            (any::<bool>(), any::<bool>(), spans(), spans()),
        (began, lapsed_at, since) in (option::of(times()), times(), option::of(times())),
        (retention, memory, grace, keep_until) in (spans(), spans(), spans(), times()),
        (route, outcome) in (option::of(any::<[u8; 8]>()), option::of(outcomes())),
    ) -> Record {
        Record {
            state,
            fence: Fence(fence),
            revision,
            stamp,
            fingerprint,
            owner: Owner(owner),
            attempt,
            executed_fence: executed.map(Fence),
            earlier_doubt,
            on_lapse: if rerun { OnLapse::Rerun } else { OnLapse::Hold },
            lease,
            ceiling,
            began,
            lapsed_at,
            since,
            retention,
            memory,
            grace,
            keep_until,
            route: route.map(RouteTag),
            outcome,
        }
    }
}

fn read(bytes: Vec<u8>) -> Result<Record, DecodeError> {
    decode(&Bytes::from(bytes))
}

fn with_checksum(mut body: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    body
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(record in records()) {
        prop_assert_eq!(read(encode(&record)), Ok(record));
    }

    #[test]
    fn no_record_is_longer_than_announced(record in records()) {
        let reply = match record.outcome.as_ref().map(|o| &o.reply) {
            Some(StoredReply::Sealed(sealed)) => sealed.bytes.len(),
            _ => 0,
        };
        prop_assert!(encode(&record).len() <= OVERHEAD_MAX + reply);
    }

    #[test]
    fn no_truncated_record_is_read(record in records()) {
        let bytes = encode(&record);
        for end in 0..bytes.len() {
            prop_assert!(read(bytes[..end].to_vec()).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn no_record_with_a_flipped_bit_is_read(record in records()) {
        let bytes = encode(&record);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read(flipped).is_err(), "bit {}", bit);
        }
    }

    // The checksum protects against damage. The reader is strict without it, too: it takes only what
    // a writer of this version writes, so two different byte strings never mean the same record.
    #[test]
    fn under_a_good_checksum_only_what_this_version_writes_is_read(record in records()) {
        let bytes = encode(&record);
        let body = &bytes[..bytes.len() - 4];
        for bit in 0..body.len() * 8 {
            let mut other = body.to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            let other = with_checksum(other);
            if let Ok(read) = read(other.clone()) {
                prop_assert_eq!(encode(&read), other, "bit {}", bit);
            }
        }
        for end in 0..body.len() {
            prop_assert!(read(with_checksum(body[..end].to_vec())).is_err(), "cut at {}", end);
        }
        let longer = [body, &[0]].concat();
        prop_assert!(read(with_checksum(longer)).is_err(), "a byte too many");
    }

    #[test]
    fn an_unknown_version_is_named(record in records(), found in any::<u8>()) {
        prop_assume!(!(1..=VERSION).contains(&found));
        let mut bytes = encode(&record);
        bytes[0] = found;
        prop_assert_eq!(read(bytes.clone()), Err(DecodeError::UnknownVersion { found }));
        bytes.truncate(bytes.len() - 4);
        prop_assert_eq!(read(with_checksum(bytes)), Err(DecodeError::UnknownVersion { found }));
    }

    #[test]
    fn no_bytes_at_all_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(bytes.clone());
        for version in 1..=VERSION {
            let known = [&[version], &bytes[..]].concat();
            let _ = read(with_checksum(known));
        }
    }
}

#[test]
fn the_longest_record_is_as_long_as_announced() {
    let (_, longest) =
        pinned_with_routes().into_iter().find(|(name, _)| *name == "everything").unwrap();
    let reply = match &longest.outcome.as_ref().unwrap().reply {
        StoredReply::Sealed(sealed) => sealed.bytes.len(),
        other => panic!("{other:?} is no reply"),
    };
    assert_eq!(encode(&longest).len(), OVERHEAD_MAX + reply);
}

#[test]
fn an_unknown_flag_or_state_is_refused() {
    let (_, record) = pinned().swap_remove(0);
    let bytes = encode(&record);
    // Version 1 knew no route.
    for (version, at, field, value) in
        [(1, 1, "state", 7), (2, 1, "state", 7), (1, 2, "flags", 0x80)]
    {
        let mut body = bytes[..bytes.len() - 4].to_vec();
        body[0] = version;
        body[at] = value;
        assert_eq!(read(with_checksum(body)), Err(DecodeError::Value { field, value }));
    }
}

/// Found by fuzzing: the machine had no number left for the next write, and wrapped the revision, so that
/// a write decided on an old one could land.
#[test]
fn a_record_that_no_number_follows_is_refused() {
    let (_, record) = pinned().swap_remove(0);
    let last = Record { fence: Fence(u64::MAX), ..record.clone() };
    let refused = Err(DecodeError::Value { field: "fence", value: u8::MAX });
    assert_eq!(read(encode(&last)), refused);
    let last = Record { revision: u32::MAX, ..record };
    let refused = Err(DecodeError::Value { field: "revision", value: u8::MAX });
    assert_eq!(read(encode(&last)), refused);
}

fn folder(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/record-v{version}"))
}

/// What a version wrote is read for ever: these files are never written anew. A later version adds
/// a folder beside them.
#[test]
fn records_of_every_version_are_read_for_ever() {
    for (version, pinned) in [(1, pinned()), (2, pinned_with_routes())] {
        let folder = folder(version);
        for (name, record) in &pinned {
            let path = folder.join(format!("{name}.bin"));
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(bytes[0], version, "{name} is no record of version {version}");
            assert_eq!(read(bytes).as_ref(), Ok(record), "{name}");
        }
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let named: BTreeSet<String> =
            pinned.iter().map(|(name, _)| format!("{name}.bin")).collect();
        assert_eq!(there, named, "every fixture has its record, and every record its fixture");
    }
}

#[test]
fn the_present_version_writes_what_its_fixtures_hold() {
    for (name, record) in pinned_with_routes() {
        let path = folder(VERSION).join(format!("{name}.bin"));
        assert_eq!(std::fs::read(path).unwrap(), encode(&record), "{name}");
    }
}

const FIRST: u64 = 1_750_000_000_000;

/// A record in flight as a first claim writes it.
fn claimed() -> Record {
    let t = Timestamp::from_unix_ms;
    Record {
        state: State::InFlight,
        fence: Fence(FIRST),
        revision: 0,
        stamp: t(FIRST + 3),
        fingerprint: Some(Fingerprint { rules: 1, digest: [0xf1; 16], parts: [1, 2, 3, 4, 5, 6] }),
        owner: Owner([0x0a; 16]),
        attempt: 1,
        executed_fence: Some(Fence(FIRST)),
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

/// The records in the fixtures of version 2: those of version 1, and what came with it.
fn pinned_with_routes() -> Vec<(&'static str, Record)> {
    let mut all = pinned();
    let route = Some(RouteTag(*b"route 01"));
    let named = |name: &str| all.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    let in_doubt = Record { route, ..named("in-doubt-lapsed") };
    let in_flight = Record { route, ..named("in-flight-taken-over") };
    for (name, record) in &mut all {
        if *name == "everything" {
            record.route = route;
        }
    }
    all.push(("in-doubt-of-a-route", in_doubt));
    all.push(("in-flight-of-a-route", in_flight));
    all
}

/// The records in the fixtures of version 1, by file name: every state, every kind of reply, every flag.
fn pinned() -> Vec<(&'static str, Record)> {
    let t = Timestamp::from_unix_ms;
    let digest = Some(Digest([0xd1; 16]));
    let done = |status, effect, reply| Some(Settled { digest, status, effect, reply });
    let sealed = |under| {
        let bytes = Bytes::from_static(b"nonce, ciphertext and tag");
        StoredReply::Sealed(Sealed { under, bytes })
    };
    let closed = || Record {
        revision: 1,
        stamp: t(FIRST + 250),
        began: Some(t(FIRST + 3)),
        lapsed_at: t(FIRST + 10_003),
        ..claimed()
    };
    let completed = |outcome| Record { state: State::Completed, outcome, ..closed() };
    let doubt = |doubt| Record { state: State::InDoubt(doubt), ..closed() };
    let fresh = done(Some(201), Effect::Done, sealed(SealedUnder::Caller));
    let by_server = done(Some(200), Effect::Done, sealed(SealedUnder::Server));
    let resolved = Some(Settled {
        digest: None,
        status: None,
        effect: Effect::Done,
        reply: StoredReply::Unknown,
    });
    vec![
        ("in-flight", claimed()),
        (
            "in-flight-renewed",
            Record {
                revision: 2,
                stamp: t(FIRST + 6003),
                began: Some(t(FIRST + 3)),
                on_lapse: OnLapse::Rerun,
                ..claimed()
            },
        ),
        (
            "in-flight-taken-over",
            Record {
                fence: Fence(FIRST + 1),
                executed_fence: Some(Fence(FIRST + 1)),
                attempt: 2,
                earlier_doubt: true,
                on_lapse: OnLapse::Rerun,
                ..claimed()
            },
        ),
        ("in-doubt-lapsed", doubt(Doubt::Lapsed)),
        ("in-doubt-declared", Record { since: Some(t(FIRST + 100)), ..doubt(Doubt::Declared) }),
        ("completed", completed(fresh.clone())),
        ("completed-by-server", completed(by_server)),
        ("completed-not-kept", completed(done(Some(500), Effect::Unknown, StoredReply::NotKept))),
        (
            "completed-without-reply",
            Record { fence: Fence(FIRST + 1), revision: 0, ..completed(resolved) },
        ),
        ("released", Record { state: State::Released, ..closed() }),
        (
            "spent",
            Record {
                state: State::Spent,
                revision: 2,
                since: Some(t(FIRST + 250)),
                outcome: done(Some(402), Effect::None, StoredReply::Gone),
                ..closed()
            },
        ),
        ("void", Record { state: State::Voided, ..closed() }),
        (
            "void-unseen",
            Record {
                state: State::Voided,
                fingerprint: None,
                owner: Owner([0; 16]),
                attempt: 0,
                executed_fence: None,
                lease: Span::ZERO,
                ..claimed()
            },
        ),
        (
            "everything",
            Record {
                earlier_doubt: true,
                on_lapse: OnLapse::Rerun,
                since: Some(t(FIRST + 99)),
                retention: Span::FOREVER,
                memory: Span::FOREVER,
                keep_until: t(u64::MAX),
                attempt: u32::MAX,
                ..completed(fresh)
            },
        ),
    ]
}
