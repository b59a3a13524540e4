//! The code of RFC 7541 Appendix B, read. Nothing is ever written in it.
//!
//! It is canonical: within one length codes follow the order of the symbols, so that the lengths say all.

use std::sync::OnceLock;

/// Bits of the code of each byte, and of the end of a string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const LONGEST: usize = 30;
const END: usize = 256;

/// The codes of one length: the first of them, and their symbols in order.
#[derive(Clone, Debug, Default)]
struct Codes {
    first: u32,
    symbols: Vec<usize>,
}

fn codes() -> &'static [Codes] {
    static CODES: OnceLock<Vec<Codes>> = OnceLock::new();
    CODES.get_or_init(|| {
        let mut all = vec![Codes::default(); LONGEST + 1];
        let mut next = 0;
        for (length, codes) in all.iter_mut().enumerate() {
            next <<= 1;
            codes.first = next;
            let of_length = |symbol: &usize| usize::from(LENGTHS[*symbol]) == length;
            codes.symbols = (0..LENGTHS.len()).filter(of_length).collect();
            next += u32::try_from(codes.symbols.len()).expect("there are 257 symbols");
        }
        all
    })
}

/// The bytes that a string in this code stands for; `None` where it is none: a code that ends in mid-air, the
/// end of a string within it, or padding that is too long or not of ones (RFC 7541 §5.2).
pub(super) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut code, mut length, mut zeros) = (0_u32, 0_usize, false);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        zeros |= bit == 0;
        let of_length = codes().get(length)?;
        let at = code.checked_sub(of_length.first).and_then(|at| usize::try_from(at).ok());
        let Some(&symbol) = at.and_then(|at| of_length.symbols.get(at)) else { continue };
        if symbol == END {
            return None;
        }
        out.push(u8::try_from(symbol).expect("every symbol but the end is a byte"));
        (code, length, zeros) = (0, 0, false);
    }
    (length < 8 && !zeros).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_rfc_7541_appendix_c() {
        for (coded, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
            (&[], ""),
        ] {
            assert_eq!(decode(coded).as_deref(), Some(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_no_string_is_none() {
        // Padding of zeros, of eight bits, and the end of a string.
        for coded in [&[0x00][..], &[0x64, 0x02, 0xff], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decode(coded), None, "{coded:?}");
        }
    }
}
