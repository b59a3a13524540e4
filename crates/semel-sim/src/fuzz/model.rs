//! JSON by value (RFC 8259): the second author that fingerprints are compared with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::feed::Feed;

/// Levels of arrays and objects within each other.
const LEVELS_MAX: u32 = 128;
/// Digits of an exponent that the model reads; there is no bound to what fingerprints read.
const EXPONENT_DIGITS_MAX: usize = 30;

/// A value. A number is a whole number without trailing zeros, by a power of ten.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Model {
    Null,
    Bool(bool),
    Number { negative: bool, digits: String, exponent: i128 },
    Text(String),
    Array(Vec<Model>),
    Object(BTreeMap<String, Model>),
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is no document, or one that readers disagree about.
    Invalid,
    /// The model does not know.
    BeyondModel,
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

/// Reads a whole document.
pub(super) fn read(document: &[u8]) -> Result<Model, Unread> {
    let text = std::str::from_utf8(document).map_err(|_| Unread::Invalid)?;
    let mut reader = Reader { rest: text.chars().peekable() };
    let value = reader.value(0)?;
    if reader.after_space().is_some() { Err(Unread::Invalid) } else { Ok(value) }
}

impl Reader<'_> {
    fn after_space(&mut self) -> Option<char> {
        while self.rest.next_if(|c| matches!(c, ' ' | '\t' | '\n' | '\r')).is_some() {}
        self.rest.peek().copied()
    }

    fn expect(&mut self, wanted: char) -> Result<(), Unread> {
        if self.after_space() == Some(wanted) {
            self.rest.next();
            return Ok(());
        }
        Err(Unread::Invalid)
    }

    fn value(&mut self, level: u32) -> Result<Model, Unread> {
        match self.after_space().ok_or(Unread::Invalid)? {
            '{' | '[' if level == LEVELS_MAX => Err(Unread::Invalid),
            '{' => self.object(level + 1),
            '[' => self.array(level + 1),
            '"' => self.text().map(Model::Text),
            'n' => self.word("null", Model::Null),
            't' => self.word("true", Model::Bool(true)),
            'f' => self.word("false", Model::Bool(false)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Model) -> Result<Model, Unread> {
        for c in word.chars() {
            self.rest.next_if_eq(&c).ok_or(Unread::Invalid)?;
        }
        Ok(value)
    }

    fn array(&mut self, level: u32) -> Result<Model, Unread> {
        self.expect('[')?;
        let mut items = Vec::new();
        if self.after_space() != Some(']') {
            items.push(self.value(level)?);
            while self.after_space() == Some(',') {
                self.rest.next();
                items.push(self.value(level)?);
            }
        }
        self.expect(']')?;
        Ok(Model::Array(items))
    }

    fn object(&mut self, level: u32) -> Result<Model, Unread> {
        self.expect('{')?;
        let mut members = BTreeMap::new();
        let mut doubled = false;
        if self.after_space() != Some('}') {
            loop {
                if self.after_space() != Some('"') {
                    return Err(Unread::Invalid);
                }
                let name = self.text()?;
                self.expect(':')?;
                let value = self.value(level)?;
                doubled |= members.insert(name, value).is_some();
                if self.after_space() != Some(',') {
                    break;
                }
                self.rest.next();
            }
        }
        self.expect('}')?;
        if doubled { Err(Unread::Invalid) } else { Ok(Model::Object(members)) }
    }

    /// Units of UTF-16 first, as the standard's escapes are; what makes no characters is refused.
    fn text(&mut self) -> Result<String, Unread> {
        self.expect('"')?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            match self.rest.next().ok_or(Unread::Invalid)? {
                '"' => return String::from_utf16(&units).map_err(|_| Unread::Invalid),
                '\\' => units.push(self.escape()?),
                c if c < ' ' => return Err(Unread::Invalid),
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> Result<u16, Unread> {
        let plain = match self.rest.next().ok_or(Unread::Invalid)? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = self.rest.next().and_then(|c| c.to_digit(16));
                    unit = unit * 16 + digit.ok_or(Unread::Invalid)?;
                }
                return u16::try_from(unit).map_err(|_| Unread::Invalid);
            }
            _ => return Err(Unread::Invalid),
        };
        u16::try_from(u32::from(plain)).map_err(|_| Unread::Invalid)
    }

    fn digits(&mut self) -> Result<String, Unread> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        if digits.is_empty() { Err(Unread::Invalid) } else { Ok(digits) }
    }

    fn number(&mut self) -> Result<Model, Unread> {
        let negative = self.rest.next_if_eq(&'-').is_some();
        let integer = self.digits()?;
        if integer.len() > 1 && integer.starts_with('0') {
            return Err(Unread::Invalid);
        }
        let fraction = match self.rest.next_if_eq(&'.') {
            Some(_) => self.digits()?,
            None => String::new(),
        };
        let mut written = String::from("0");
        let mut exponent_negative = false;
        if self.rest.next_if(|c| matches!(c, 'e' | 'E')).is_some() {
            exponent_negative = self.rest.next_if(|c| matches!(c, '+' | '-')) == Some('-');
            written = self.digits()?;
        }
        let all = format!("{integer}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Ok(Model::Number { negative: false, digits, exponent: 0 });
        }
        let written = written.trim_start_matches('0');
        if written.len() > EXPONENT_DIGITS_MAX {
            return Err(Unread::BeyondModel);
        }
        let size: i128 =
            if written.is_empty() { 0 } else { written.parse().map_err(|_| Unread::Invalid)? };
        let trailing = all.len() - all.trim_end_matches('0').len();
        let shift = trailing as i128 - fraction.len() as i128;
        let exponent = shift + if exponent_negative { -size } else { size };
        Ok(Model::Number { negative, digits, exponent })
    }
}

/// The same value in another spelling, by the choices of `feed`.
pub(super) fn spell(value: &Model, feed: &mut Feed<'_>, out: &mut String) {
    space(feed, out);
    match value {
        Model::Null => out.push_str("null"),
        Model::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Model::Number { negative, digits, exponent } => {
            spell_number((*negative, digits, *exponent), feed, out);
        }
        Model::Text(text) => spell_text(text, feed, out),
        Model::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { "," });
                spell(item, feed, out);
            }
            out.push(']');
        }
        Model::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            if feed.flag() {
                members.reverse();
            }
            if !members.is_empty() {
                let turn = feed.below(members.len().min(256));
                members.rotate_left(turn);
            }
            out.push('{');
            for (n, (name, member)) in members.into_iter().enumerate() {
                out.push_str(if n == 0 { "" } else { "," });
                space(feed, out);
                spell_text(name, feed, out);
                space(feed, out);
                out.push(':');
                spell(member, feed, out);
            }
            out.push('}');
        }
    }
    space(feed, out);
}

fn space(feed: &mut Feed<'_>, out: &mut String) {
    out.push_str(["", "", "", " ", "\t", "\n", "\r\n", "  "][feed.below(8)]);
}

fn spell_number(number: (bool, &str, i128), feed: &mut Feed<'_>, out: &mut String) {
    let (negative, digits, exponent) = number;
    if digits.is_empty() {
        out.push_str(["0", "-0", "0.00", "0e7", "-0E-1"][feed.below(5)]);
        return;
    }
    out.push_str(if negative { "-" } else { "" });
    let mark = ["e", "E", "e+", "E0"][feed.below(4)];
    let mark = |exponent: i128| if exponent < 0 { "e" } else { mark };
    let zeros = feed.below(4);
    let written = match feed.below(3) {
        0 => {
            let shifted = exponent + (digits.len() + zeros) as i128;
            write!(out, "0.{}{digits}{}{shifted}", "0".repeat(zeros), mark(shifted))
        }
        1 => {
            let (first, rest) = digits.split_at(1);
            let shifted = exponent + rest.len() as i128;
            write!(out, "{first}.{rest}{}{}{shifted}", "0".repeat(zeros + 1), mark(shifted))
        }
        _ => {
            let shifted = exponent - zeros as i128;
            write!(out, "{digits}{}{}{shifted}", "0".repeat(zeros), mark(shifted))
        }
    };
    written.expect("a string takes what is written to it");
}

fn spell_text(text: &str, feed: &mut Feed<'_>, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match (c, feed.below(4)) {
            ('"' | '\\', 1..) | ('/', 1) => out.extend(['\\', c]),
            ('\n', 1..) => out.push_str("\\n"),
            ('\0'..='\x1f' | '"' | '\\', _) | (_, 0 | 3) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a string takes what is written to it");
                }
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
