//! A memory that was shorter before: which keys it makes too old.

use semel_core::machine::{Answer, Claim, Event, Write, step};
use semel_core::policy::Earlier;
use semel_core::{Fingerprint, Owner, Policy, Record, Span, Timestamp};

const HOUR: Span = Span::from_secs(3600);
const NOW: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);

fn ago(span: Span) -> Timestamp {
    NOW.minus(span)
}

/// Memory was an hour until `ended` ago, and is a month.
fn lengthened(ended: Span) -> Policy {
    let skew = Policy::default().skew;
    let earlier = Some(Earlier { memory: HOUR, until: ago(ended).plus(skew) });
    Policy { earlier, ..Policy::default() }
}

fn claim(key_time: Timestamp) -> Event {
    let (owner, fingerprint) = (Owner([1; 16]), Fingerprint::default());
    Event::Claim(Claim { owner, fingerprint, key_time: Some(key_time) })
}

fn answers(key_time: Timestamp, policy: &Policy) -> [Answer; 2] {
    [claim(key_time), Event::Void(Some(key_time))]
        .map(|event| step(None, &event, NOW, policy).answer)
}

const NEW: [Answer; 2] = [Answer::Execute, Answer::Voided];
const TOO_OLD: [Answer; 2] = [Answer::TooOld; 2];

#[test]
fn a_key_of_the_time_before_is_known_no_longer_than_it_was() {
    let day = HOUR.times(24);
    let policy = lengthened(day);
    let until = policy.earlier.unwrap().until;
    assert_eq!(answers(until, &policy), TOO_OLD);
    assert_eq!(answers(until.plus(Span::from_ms(1)), &policy), NEW, "made under the longer memory");
    assert_eq!(answers(until, &Policy::default()), NEW);
}

#[test]
fn what_the_shorter_memory_still_knows_may_be_claimed() {
    let policy = lengthened(Span::ZERO);
    assert_eq!(answers(ago(HOUR), &policy), NEW);
    assert_eq!(answers(ago(HOUR.plus(Span::from_ms(1))), &policy), TOO_OLD);
}

#[test]
fn a_memory_that_is_shorter_today_judges_alone() {
    let today = Policy { memory: Span::from_secs(60), ..lengthened(HOUR.times(24)) };
    assert_eq!(answers(ago(Span::from_secs(61)), &today), TOO_OLD);
}

/// A record of the shorter memory goes when that is over, and from then on its key is too old.
#[test]
fn a_record_is_never_forgotten_before_its_key_is_too_old() {
    let short = Policy { memory: HOUR, retention: HOUR, ..Policy::default() };
    let ahead = NOW.plus(short.skew);
    let Write::Put(record) = step(None, &Event::Void(Some(ahead)), NOW, &short).write else {
        panic!("a void of an unknown key is written")
    };
    let record = Record { stamp: NOW, ..record };
    let gone = record.due().unwrap();
    // Memory is made longer at the next moment.
    let long = Policy {
        earlier: Some(Earlier { memory: HOUR, until: ahead.plus(Span::from_ms(1)) }),
        ..Policy::default()
    };
    let after = |at: Timestamp| step(None, &claim(ahead), at, &long).answer;
    assert_eq!(after(gone), Answer::TooOld);
    assert_eq!(step(None, &claim(ahead), gone, &Policy::default()).answer, Answer::Execute);
}
