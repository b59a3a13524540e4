//! Records as bytes, and the machine over whatever they say.

use bytes::Bytes;
use semel_core::codec::{OVERHEAD_MAX, VERSION, decode, encode};
use semel_core::machine::{Claim, Event, Outcome, Resolution, Write, step};
use semel_core::{
    Digest, Effect, Fence, Fingerprint, OnLapse, Owner, Policy, Record, Sealed, SealedUnder,
    Settled, Span, StoredReply, Timestamp,
};

use super::feed::Feed;

pub(super) fn run(data: &[u8]) {
    read(Bytes::copy_from_slice(data));
    // A checksum is no secret; behind it stands whatever was written.
    let (choices, body) = data.split_at(data.len().min(40));
    let mut whole = body.to_vec();
    whole.extend_from_slice(&crc32(body).to_le_bytes());
    if let Some(record) = read(Bytes::from(whole)) {
        stepped(&record, &mut Feed::new(choices));
    }
}

/// CRC-32 (ISO 3309) by its definition.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Bytes of the present version that read are the only bytes of their record, and no longer than announced;
/// what an earlier one wrote is the same record when it is written anew.
fn read(bytes: Bytes) -> Option<Record> {
    let record = decode(&bytes).ok()?;
    let again = encode(&record);
    if bytes.first() == Some(&VERSION) {
        assert_eq!(again, bytes, "{record:?} is written otherwise");
    }
    assert_eq!(decode(&Bytes::from(again.clone())).as_ref(), Ok(&record), "written anew");
    let reply = match record.outcome.as_ref().map(|outcome| &outcome.reply) {
        Some(StoredReply::Sealed(sealed)) => sealed.bytes.len(),
        Some(StoredReply::NotKept | StoredReply::Unknown | StoredReply::Gone) | None => 0,
    };
    assert!(again.len() <= OVERHEAD_MAX + reply, "a record is longer than announced");
    Some(record)
}

/// A record of any content takes any event, and what comes of it can be written and read. One whose
/// execution was granted under a fence that it has not reached breaks the machine's invariant, and is stopped.
fn stepped(record: &Record, feed: &mut Feed<'_>) {
    if record.executed_fence > Some(record.fence) {
        return;
    }
    let event = event(record, feed);
    let now = if feed.flag() { record.stamp.plus(Span::from_ms(feed.u64())) } else { time(feed) };
    let policy = Policy {
        memory: Span::from_ms(feed.u64()),
        on_lapse: if feed.flag() { OnLapse::Rerun } else { OnLapse::Hold },
        ..Policy::default()
    };
    let decided = step(Some(record), &event, now, &policy);
    assert_eq!(decided, step(Some(record), &event, now, &policy), "the machine is a function");
    match decided.write {
        Write::Keep | Write::Delete => {}
        Write::Put(after) => {
            let last = after.fence.0 == u64::MAX || after.revision == u32::MAX;
            let read = decode(&Bytes::from(encode(&after)));
            assert!(last || read.as_ref() == Ok(&after), "what was decided can be kept: {after:?}");
            assert_ne!(after, *record, "what is written says something new");
        }
    }
}

fn time(feed: &mut Feed<'_>) -> Timestamp {
    Timestamp::from_unix_ms(feed.u64())
}

fn fence(record: &Record, feed: &mut Feed<'_>) -> Fence {
    match feed.below(3) {
        0 => record.fence,
        1 => record.executed_fence.unwrap_or(Fence(0)),
        _ => Fence(feed.u64()),
    }
}

fn settled(feed: &mut Feed<'_>) -> Settled {
    let bytes = Bytes::copy_from_slice(&feed.array::<4>());
    Settled {
        digest: feed.flag().then(|| Digest(feed.array())),
        status: feed.flag().then(|| feed.u16().max(1)),
        effect: [Effect::None, Effect::Done, Effect::Unknown][feed.below(3)],
        reply: match feed.below(4) {
            0 => StoredReply::NotKept,
            1 => StoredReply::Unknown,
            2 => StoredReply::Gone,
            _ => StoredReply::Sealed(Sealed { under: SealedUnder::Caller, bytes }),
        },
    }
}

fn event(record: &Record, feed: &mut Feed<'_>) -> Event {
    match feed.below(10) {
        0 => Event::Claim(Claim {
            owner: if feed.flag() { record.owner } else { Owner(feed.array()) },
            fingerprint: if feed.flag() {
                record.fingerprint.unwrap_or_default()
            } else {
                Fingerprint::default()
            },
            key_time: feed.flag().then(|| time(feed)),
        }),
        1 => Event::Renew(fence(record, feed)),
        2 => Event::Settle(fence(record, feed), Outcome::Done(settled(feed))),
        3 => Event::Settle(fence(record, feed), Outcome::Released),
        4 => Event::Settle(fence(record, feed), Outcome::InDoubt),
        5 => Event::Sweep,
        6 => Event::Resolve(Resolution::Done(settled(feed))),
        7 => Event::Resolve(Resolution::Released),
        8 => Event::Void(feed.flag().then(|| time(feed))),
        _ => [Event::Ack, Event::Erase][feed.below(2)].clone(),
    }
}
