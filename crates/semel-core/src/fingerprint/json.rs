//! JSON documents by value: a strict parser (RFC 8259) that writes a canonical form as it reads.
//!
//! Two documents have one form exactly when they are equal by value: member order, white space,
//! escapes and the spelling of numbers do not count; the order of elements does. There is no
//! Unicode normalisation: two names that look alike are two names.
//!
//! The form is a byte string in which each value says by its first byte what it is and where it
//! ends, so no two values can be written alike. Strings end in 0xff, which UTF-8 never holds.
//! It is written into one buffer; members are sorted there when their object closes. A large object
//! is then replaced by its hash, so that nested objects are not moved again at each level.
//!
//! What is not beyond doubt has no form, and the caller compares its bytes: readers disagree about
//! doubled member names and lone surrogates (RFC 8259 §4 and §8.2), so two requests that are equal
//! here could be two different ones to the handler.

use super::number::{END, Number};
use super::pointer::View;
use crate::secret::Framed;

/// Deeper documents are compared by their bytes.
pub(super) const LEVELS_MAX: u32 = 128;

/// An object whose form is longer than this many bytes is replaced by its hash.
const COLLAPSE_BYTES: usize = 1024;

const NULL: u8 = b'n';
const TRUE: u8 = b't';
const FALSE: u8 = b'f';
const STRING: u8 = b's';
const ARRAY: u8 = b'a';
const INDEX: u8 = b'i';
const OBJECT: u8 = b'o';
const HASHED: u8 = b'O';
const CLOSE: u8 = b'z';

/// Whether numbers are the same when their values are, or when their spellings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    ByValue,
    BySpelling,
}

/// The canonical form of what `view` shows of a document, or `None` when its bytes are to be
/// compared. The form is empty when the document holds nothing of what is looked for.
pub(super) fn canonical(
    document: &[u8],
    numbers: Numbers,
    view: Option<View<'_>>,
    key: &[u8; 32],
) -> Option<Vec<u8>> {
    // Places in the form are kept in 32 bits, and it has at most 8 bytes for one of the document:
    // `1,` becomes a tag, a digit and an end, with five bytes of index where pointers lead.
    if document.len() >= (u32::MAX / 8) as usize {
        return None;
    }
    std::str::from_utf8(document).ok()?;
    let out = Vec::with_capacity(document.len() + 64);
    let (members, scratch) = (Vec::new(), Vec::new());
    let mut parser = Parser { text: document, at: 0, out, members, scratch, numbers, key };
    parser.space();
    let whole = view.unwrap_or_default();
    let shown = parser.value(LEVELS_MAX, whole)?;
    parser.space();
    if parser.at != document.len() {
        return None;
    }
    if !shown || view.is_none() {
        parser.out.clear();
    }
    Some(parser.out)
}

/// A member of an open object: where its name and its value begin in the form, and where it ends.
/// A member that does not count has no value; its name is kept until the doubles are looked for.
#[derive(Clone, Copy, Debug)]
struct Member {
    name: u32,
    value: u32,
    end: u32,
}

impl Member {
    fn name(self, out: &[u8]) -> &[u8] {
        out.get(self.name as usize..self.value as usize).unwrap_or_default()
    }

    fn whole(self, out: &[u8]) -> &[u8] {
        out.get(self.name as usize..self.end as usize).unwrap_or_default()
    }

    const fn counts(self) -> bool {
        self.value != self.end
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// The members of all open objects, those of the innermost last.
    members: Vec<Member>,
    scratch: Vec<u8>,
    numbers: Numbers,
    key: &'a [u8; 32],
}

/// Every method returns `None` for a document without a form.
impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn place(&self) -> u32 {
        // Checked at the start: the form of the longest document fits.
        self.out.len() as u32
    }

    /// One value; false when nothing of it counts, and then nothing is written.
    fn value(&mut self, levels: u32, view: View<'_>) -> Option<bool> {
        let start = self.out.len();
        match self.peek()? {
            b'{' => return self.object(levels.checked_sub(1)?, view),
            b'[' => return self.array(levels.checked_sub(1)?, view),
            b'"' => self.string()?,
            b'n' => self.word(b"null", NULL)?,
            b't' => self.word(b"true", TRUE)?,
            b'f' => self.word(b"false", FALSE)?,
            _ => self.number()?,
        }
        if view.is_partial() {
            self.out.truncate(start);
        }
        Some(!view.is_partial())
    }

    /// A value at a place that may not count: it must be well-formed all the same.
    fn child(&mut self, levels: u32, view: Option<View<'_>>) -> Option<bool> {
        let Some(view) = view else {
            let start = self.out.len();
            self.value(levels, View::default())?;
            self.out.truncate(start);
            return Some(false);
        };
        self.value(levels, view)
    }

    fn word(&mut self, word: &[u8], tag: u8) -> Option<()> {
        if !self.text.get(self.at..)?.starts_with(word) {
            return None;
        }
        self.at += word.len();
        self.out.push(tag);
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let number = Number::scan(self.text.get(self.at..)?)?;
        self.at += number.len();
        match self.numbers {
            Numbers::ByValue => number.write_value(&mut self.out),
            Numbers::BySpelling => number.write_spelling(&mut self.out),
        }
        Some(())
    }

    fn array(&mut self, levels: u32, view: View<'_>) -> Option<bool> {
        self.at += 1;
        let start = self.out.len();
        self.out.push(ARRAY);
        let mut any = false;
        let mut index = 0_u32;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                any |= self.element(levels, view, index)?;
                index += 1;
                self.space();
                match self.take()? {
                    b',' => self.space(),
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.out.push(CLOSE);
        let shown = any || !view.is_partial();
        if !shown {
            self.out.truncate(start);
        }
        Some(shown)
    }

    /// Where pointers lead into an array, an element is written with its index: one left out must
    /// not let the others move up into its place.
    fn element(&mut self, levels: u32, view: View<'_>, index: u32) -> Option<bool> {
        if view.is_whole() {
            return self.value(levels, view);
        }
        let start = self.out.len();
        self.out.push(INDEX);
        self.out.extend_from_slice(&index.to_le_bytes());
        let counts = self.child(levels, view.child(index.to_string().as_bytes()))?;
        if !counts {
            self.out.truncate(start);
        }
        Some(counts)
    }

    fn object(&mut self, levels: u32, view: View<'_>) -> Option<bool> {
        self.at += 1;
        let start = self.out.len();
        let first = self.members.len();
        self.out.push(OBJECT);
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                self.member(levels, view)?;
                self.space();
                match self.take()? {
                    b',' => self.space(),
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        let any = self.close(start, first)?;
        let shown = any || !view.is_partial();
        if !shown {
            self.out.truncate(start);
        }
        Some(shown)
    }

    fn member(&mut self, levels: u32, view: View<'_>) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        let name = self.place();
        self.string()?;
        let value = self.place();
        self.space();
        if self.take()? != b':' {
            return None;
        }
        self.space();
        let view = if view.is_whole() {
            Some(view)
        } else {
            let written = self.out.get(name as usize + 1..value as usize - 1)?;
            view.child(written)
        };
        self.child(levels, view)?;
        let end = self.place();
        self.members.push(Member { name, value, end });
        Some(())
    }

    /// Sorts the members of the object that began at `start`, looks for doubled names, drops what
    /// does not count; true when something is left.
    fn close(&mut self, start: usize, first: usize) -> Option<bool> {
        let out = &self.out;
        let members = self.members.get_mut(first..)?;
        let ascending = |one: &Member, other: &Member| one.name(out) < other.name(out);
        let sorted = members.is_sorted_by(ascending);
        if !sorted {
            members.sort_unstable_by(|one, other| one.name(out).cmp(other.name(out)));
            if !members.is_sorted_by(ascending) {
                return None; // a doubled name: readers disagree which of the two is meant
            }
        }
        let left = members.iter().filter(|member| member.counts()).count();
        if !sorted || left < members.len() {
            self.scratch.clear();
            for member in members.iter().filter(|member| member.counts()) {
                self.scratch.extend_from_slice(member.whole(out));
            }
            self.out.truncate(start + 1);
            self.out.extend_from_slice(&self.scratch);
        }
        self.members.truncate(first);
        self.out.push(CLOSE);
        if self.out.len() - start > COLLAPSE_BYTES {
            let mut hasher = Framed::new(self.key);
            hasher.part(b"object");
            hasher.part(self.out.get(start..)?);
            self.out.truncate(start);
            self.out.push(HASHED);
            self.out.extend_from_slice(&hasher.finish());
        }
        Some(left > 0)
    }

    /// A string, from its opening quote on.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        self.out.push(STRING);
        loop {
            let rest = self.text.get(self.at..)?;
            let run = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            let (plain, rest) = rest.split_at_checked(run)?;
            self.out.extend_from_slice(plain);
            self.at += run + 1;
            match rest.first()? {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
        self.out.push(END);
        Some(())
    }

    /// An escape, from behind its backslash on (RFC 8259 §7).
    fn escape(&mut self) -> Option<()> {
        let plain = match self.take()? {
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let scalar = self.scalar()?;
                self.out.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            _ => return None,
        };
        self.out.push(plain);
        Some(())
    }

    /// The character that `\u` announces; a surrogate must be the first of a pair.
    fn scalar(&mut self) -> Option<char> {
        let unit = self.unit()?;
        if !(0xd800..=0xdbff).contains(&unit) {
            return char::from_u32(unit);
        }
        if (self.take()?, self.take()?) != (b'\\', b'u') {
            return None;
        }
        let low = self.unit()?;
        if !(0xdc00..=0xdfff).contains(&low) {
            return None;
        }
        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    }

    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | char::from(self.take()?).to_digit(16)?;
        }
        Some(unit)
    }
}

#[cfg(test)]
mod tests;
