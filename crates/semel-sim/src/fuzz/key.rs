//! The idempotency key as it arrives.

use semel_core::key::{KEY_BYTES_MAX, KeyError, TIMED_AHEAD, TIMED_FROM};
use semel_core::{Key, Timestamp};

use super::item;

/// 2026-04-01T00:00:00Z.
const NOW: Timestamp = Timestamp::from_unix_ms(1_775_001_600_000);

pub(super) fn run(data: &[u8]) {
    let read = Key::from_header(data);
    let expected = expected(data);
    let text = read.as_ref().ok().map(|key| key.as_bytes().to_vec());
    assert_eq!(text, expected, "RFC 9651 reads {data:?} otherwise than {read:?}");
    if let Err(KeyError::Character { at } | KeyError::Escape { at } | KeyError::Trailing { at }) =
        read
    {
        assert!(at <= data.len(), "the place of a fault lies within the value");
    }
    let twice = Key::from_headers([data, data]);
    assert_eq!(twice, Err(KeyError::SeveralLines), "two lines are two keys");
    if let Ok(key) = read {
        accepted(&key);
    }
}

/// What a value stands for.
fn expected(value: &[u8]) -> Option<Vec<u8>> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !blank(byte))?;
    let to = value.iter().rposition(|byte| !blank(byte))?;
    let value = &value[from..=to];
    let text = if value[0] == b'"' {
        item::string_item(value)?
    } else {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\",".contains(byte);
        value.iter().all(plain).then(|| value.to_vec())?
    };
    (1..=KEY_BYTES_MAX).contains(&text.len()).then_some(text)
}

/// What holds of every key, whichever way it came.
fn accepted(key: &Key) {
    let text = std::str::from_utf8(key.as_bytes()).expect("a key is ASCII");
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "a key is printable");
    let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    assert_eq!(Key::from_header(quoted.as_bytes()).as_ref(), Ok(key), "quoting changes no key");
    assert_eq!(Key::from_text(text).as_ref(), Ok(key), "a key from a body is the same key");
    assert_eq!(format!("{key:?}"), format!("Key({} bytes)", text.len()), "a key is never printed");
    let weakness = key.weakness(NOW);
    assert_eq!(weakness, key.weakness(NOW), "weakness is a matter of the key and the time alone");
    timed(key, text);
}

/// The time that a key carries, read off its digits.
fn timed(key: &Key, text: &str) {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = lengths == [8, 4, 4, 4, 12] && groups.iter().all(hex);
    let lower = key.clone().parse_uuid_insensitive();
    assert_eq!(lower.is_ok(), is_uuid, "{text} is a UUID, or is none");
    let version_7 = is_uuid
        && groups[2].starts_with('7')
        && groups[3].to_ascii_lowercase().starts_with(['8', '9', 'a', 'b']);
    let time = version_7.then(|| {
        let digits = format!("{}{}", groups[0], groups[1]);
        u64::from_str_radix(&digits, 16).expect("twelve digits are a number")
    });
    assert_eq!(key.time().map(Timestamp::as_unix_ms), time, "the time of {text}");
    let believed = key.time_at(NOW);
    let credible = |time: &Timestamp| (TIMED_FROM..=NOW.plus(TIMED_AHEAD)).contains(time);
    assert_eq!(believed, key.time().filter(credible), "the time that is believed of {text}");
    if let Ok(lower) = lower {
        assert_eq!(lower.time(), key.time(), "letter case changes no time");
        assert_eq!(
            lower.clone().parse_uuid_insensitive().as_ref(),
            Ok(&lower),
            "it is lower-cased once"
        );
    }
}
