//! The key, as a request shows it.

use http::HeaderMap;

use crate::sample::Flaw;

pub(super) const HEADER: &str = "idempotency-key";

/// Bytes that a key may have.
const LENGTH_MAX: usize = 255;

/// The key of a request, or none.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(
    headers: &HeaderMap,
    flaw: Option<Flaw>,
) -> Result<Option<Vec<u8>>, &'static str> {
    let lines: Vec<&[u8]> = headers.get_all(HEADER).iter().map(|value| value.as_bytes()).collect();
    let line = match lines[..] {
        [] => return Ok(None),
        [line] => line,
        [first, ..] if flaw == Some(Flaw::FirstOfTwoKeys) => first,
        _ => return Err("there are two keys: send one"),
    };
    if line.is_empty() && flaw == Some(Flaw::EmptyKeyUnprotected) {
        return Ok(None);
    }
    if !line.is_ascii() && flaw == Some(Flaw::OddKeyUnprotected) {
        return Ok(None);
    }
    if line.is_empty() && flaw == Some(Flaw::EmptyKeyShared) {
        return Ok(Some(Vec::new()));
    }
    let sign = |byte: &u8| if matches!(byte, b' '..=b'~') { *byte } else { b'?' };
    let replaced: Vec<u8> = line.iter().map(sign).collect();
    let line = if flaw == Some(Flaw::OddBytesReplaced) { &replaced } else { line };
    let mut key = match line {
        [b'"', inner @ .., b'"'] => unquoted(inner)?,
        line if line.contains(&b'"') => return Err("the key begins or ends with half a quote"),
        line if line.contains(&b',') && flaw == Some(Flaw::CommaFirst) => {
            line.split(|byte| *byte == b',').next().unwrap_or_default().to_vec()
        }
        line if line.contains(&b',') => return Err("a list of keys: send one"),
        line if line.contains(&b' ') => return Err("the key has a space: quote it"),
        line => line.to_vec(),
    };
    if key.is_empty() {
        return Err("the key is empty");
    }
    if key.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
        return Err("the key has bytes that are no printable ASCII");
    }
    if key.len() > LENGTH_MAX {
        if flaw != Some(Flaw::KeyTruncated) {
            return Err("the key has more than 255 bytes");
        }
        key.truncate(LENGTH_MAX);
    }
    match flaw {
        Some(Flaw::KeyFolded | Flaw::KeyFoldedBlind) => key.make_ascii_lowercase(),
        Some(Flaw::QuotedDiffers) => key = line.to_vec(),
        _ => {}
    }
    Ok(Some(key))
}

/// The inside of an RFC 9651 string.
fn unquoted(inner: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut key = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return Err("the key has a quote within its quotes"),
            b'\\' => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(*escaped),
                _ => return Err("the key has a backslash that escapes nothing"),
            },
            byte => key.push(*byte),
        }
    }
    Ok(key)
}

/// When a version 7 UUID (RFC 9562) says that it was made, in milliseconds since 1970.
pub(super) fn made_at_ms(key: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(key).ok()?;
    let hyphens = [8, 13, 18, 23];
    let digit = |(at, c): (usize, char)| match hyphens.contains(&at) {
        true => c == '-',
        false => c.is_ascii_hexdigit(),
    };
    if text.len() != 36 || !text.char_indices().all(digit) || text.get(14..15)? != "7" {
        return None;
    }
    u64::from_str_radix(&format!("{}{}", text.get(0..8)?, text.get(9..13)?), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&[u8]]) -> Result<Option<Vec<u8>>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, http::HeaderValue::from_bytes(line).unwrap());
        }
        read(&headers, None)
    }

    #[test]
    fn quoted_and_bare_are_one_key() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"k-1"]), Ok(Some(b"k-1".to_vec())));
        assert_eq!(of(&[b"\"k-1\""]), of(&[b"k-1"]));
        assert_eq!(of(&[br#""a\"b""#]), Ok(Some(b"a\"b".to_vec())));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = [b'k'; 256];
        for wrong in
            [&b""[..], b"\"\"", b"a,b", b"a b", b"\"a", b"a\"b\"", b"k\xc3\xa9", b"\"\\n\"", &long]
        {
            assert!(of(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(of(&[b"a", b"a"]).is_err());
        assert!(of(&[&long[..255]]).is_ok());
    }

    #[test]
    fn a_version_7_uuid_tells_its_time() {
        assert_eq!(made_at_ms(b"017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), Some(0x017f_22e2_79b0));
        assert_eq!(made_at_ms(b"017f22e2-79b0-4cc3-98c4-dc0c0c07398f"), None);
        assert_eq!(made_at_ms(b"017f22e2 79b0 7cc3 98c4 dc0c0c07398f"), None);
    }
}
