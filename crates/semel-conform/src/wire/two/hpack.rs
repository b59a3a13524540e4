//! Header lists as HTTP/2 writes them (RFC 7541).
//!
//! What is sent is written out in full, every time: each byte of it is chosen, and the length of a request's
//! head does not depend on what went before. What comes may be indexed, and coded by Huffman.

use std::collections::VecDeque;

use super::huffman;

/// A name and a value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// Bytes of the dynamic table, as HTTP/2 begins with (RFC 9113 §6.5.2). The tester asks for no other.
const TABLE_MAX: usize = 4_096;
/// What an entry counts beyond its bytes (RFC 7541 §4.1).
const ENTRY: usize = 32;

/// RFC 7541 Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""),
    ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""),
    ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""),
    ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
    ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""),
    ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
    ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// Writes a field in full, to be kept by nobody on its way (RFC 7541 §6.2.3).
pub(super) fn write(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0x10);
    for text in [name, value] {
        integer(out, 0x7f, text.len());
        out.extend_from_slice(text);
    }
}

/// RFC 7541 §5.1, into a byte whose other bits are zero.
fn integer(out: &mut Vec<u8>, most: u8, value: usize) {
    let byte = |value: usize| u8::try_from(value).expect("seven bits are a byte");
    if value < usize::from(most) {
        out.push(byte(value));
        return;
    }
    out.push(most);
    let mut rest = value - usize::from(most);
    while rest >= 0x80 {
        out.push(byte(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(byte(rest));
}

/// Reads what one connection's peer writes; it remembers what is indexed.
#[derive(Debug)]
pub(super) struct Decoder {
    dynamic: VecDeque<Field>,
    size: usize,
    most: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { dynamic: VecDeque::new(), size: 0, most: TABLE_MAX }
    }
}

impl Decoder {
    /// The fields of a block, in order.
    ///
    /// # Errors
    /// What is wrong with it. The connection is of no more use then.
    pub(super) fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, &'static str> {
        let mut fields = Vec::new();
        let mut rest = block;
        while let Some(&first) = rest.first() {
            match first {
                0x80.. => {
                    let index = number(&mut rest, 0x7f)?;
                    fields.push(self.entry(index)?);
                }
                0x40..0x80 => {
                    let field = self.literal(&mut rest, 0x3f)?;
                    self.insert(field.clone());
                    fields.push(field);
                }
                0x20..0x40 => {
                    let most = number(&mut rest, 0x1f)?;
                    if most > TABLE_MAX {
                        return Err("its table of headers is larger than allowed");
                    }
                    self.most = most;
                    self.evict();
                }
                0x00..0x20 => fields.push(self.literal(&mut rest, 0x0f)?),
            }
        }
        Ok(fields)
    }

    fn literal(&self, rest: &mut &[u8], most: u8) -> Result<Field, &'static str> {
        let name = match number(rest, most)? {
            0 => text(rest)?,
            index => self.entry(index)?.0,
        };
        Ok((name, text(rest)?))
    }

    fn entry(&self, index: usize) -> Result<Field, &'static str> {
        let at = index.checked_sub(1).ok_or("a header of index 0")?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        self.dynamic.get(at - STATIC.len()).cloned().ok_or("a header of an index that is not there")
    }

    fn insert(&mut self, field: Field) {
        self.size += field.0.len() + field.1.len() + ENTRY;
        self.dynamic.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.most {
            let Some((name, value)) = self.dynamic.pop_back() else { return };
            self.size -= name.len() + value.len() + ENTRY;
        }
    }
}

const CUT: &str = "its headers end in mid-air";

/// RFC 7541 §5.1.
fn number(rest: &mut &[u8], most: u8) -> Result<usize, &'static str> {
    let first = take(rest, 1)?[0] & most;
    let mut value = usize::from(first);
    if first < most {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = take(rest, 1)?[0];
        value += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number in its headers is too large")
}

/// RFC 7541 §5.2.
fn text(rest: &mut &[u8]) -> Result<Vec<u8>, &'static str> {
    let coded = *rest.first().ok_or(CUT)? >= 0x80;
    let length = number(rest, 0x7f)?;
    let bytes = take(rest, length)?;
    if !coded {
        return Ok(bytes.to_vec());
    }
    huffman::decode(bytes).ok_or("a header is no Huffman code")
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(length).ok_or(CUT)?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &[Field]) -> Vec<String> {
        let text = String::from_utf8_lossy;
        fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    /// RFC 7541 §C.6: replies, coded by Huffman, with a table of 256 bytes from which entries fall out.
    #[test]
    fn replies_of_rfc_7541_appendix_c() {
        let mut decoder = Decoder { most: 256, ..Decoder::default() };
        let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
                     919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        let date = "date=Mon, 21 Oct 2013 20:13:21 GMT";
        assert_eq!(
            shown(&decoder.decode(&bytes(first)).unwrap()),
            [":status=302", "cache-control=private", date, "location=https://www.example.com"]
        );
        assert_eq!(
            shown(&decoder.decode(&bytes("4883 640e ffc1 c0bf")).unwrap()),
            [":status=307", "cache-control=private", date, "location=https://www.example.com"]
        );
        assert_eq!(decoder.size, 222);
    }

    #[test]
    fn what_is_written_reads_back() {
        let long = "v".repeat(5_000);
        let mut block = Vec::new();
        for (name, value) in [("a", "b"), ("idempotency-key", ""), ("pad", &long)] {
            write(&mut block, name.as_bytes(), value.as_bytes());
        }
        let fields = Decoder::default().decode(&block).unwrap();
        assert_eq!(shown(&fields), ["a=b", "idempotency-key=", &format!("pad={long}")]);
    }

    #[test]
    fn what_is_malformed_is_an_error() {
        // Index 0; beyond the table; a table that is too large; a number without an end; a cut string.
        for block in ["80", "ff80 80", "3fe2 ff7f", "ffff ffff ffff", "1001 6105 62", "1081 00 00"]
        {
            assert!(Decoder::default().decode(&bytes(block)).is_err(), "{block}");
        }
    }
}
