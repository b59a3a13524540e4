//! RFC 9651 §4.2.3, by the letter of its algorithms: the second author that keys are compared with.

/// A text that is being parsed.
struct Input<'a>(&'a [u8]);

/// An item that is a String, with any parameters: the string. `None` where parsing fails.
pub(super) fn string_item(text: &[u8]) -> Option<Vec<u8>> {
    let mut input = Input(text);
    input.discard_spaces();
    if input.peek()? != b'"' {
        return None;
    }
    let value = input.string()?;
    input.parameters()?;
    input.discard_spaces();
    input.0.is_empty().then_some(value)
}

/// Whether it is an item that is a Token, with any parameters.
pub(super) fn is_token_item(text: &[u8]) -> bool {
    let mut input = Input(text);
    let parsed = input.token().and_then(|()| input.parameters());
    parsed.is_some() && input.0.is_empty()
}

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn consume(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn discard_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.consume();
        }
    }

    /// §4.2.3.2.
    fn parameters(&mut self) -> Option<()> {
        while self.peek() == Some(b';') {
            self.consume();
            self.discard_spaces();
            self.key()?;
            if self.peek() == Some(b'=') {
                self.consume();
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// §4.2.3.3.
    fn key(&mut self) -> Option<()> {
        if !matches!(self.consume()?, b'a'..=b'z' | b'*') {
            return None;
        }
        while let Some(b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*') = self.peek() {
            self.consume();
        }
        Some(())
    }

    /// §4.2.3.1.
    fn bare_item(&mut self) -> Option<()> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b'"' => self.string().map(drop),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => self.token(),
            b':' => self.byte_sequence(),
            b'?' => self.boolean(),
            b'@' => {
                self.consume();
                // §4.2.9: a date is an Integer.
                (!self.number()?).then_some(())
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    /// §4.2.4; true for a Decimal.
    fn number(&mut self) -> Option<bool> {
        let (mut decimal, mut text) = (false, Vec::new());
        if self.peek() == Some(b'-') {
            self.consume();
        }
        if !self.peek()?.is_ascii_digit() {
            return None;
        }
        while let Some(c) = self.peek() {
            match c {
                b'0'..=b'9' => text.push(c),
                b'.' if !decimal => {
                    if text.len() > 12 {
                        return None;
                    }
                    text.push(c);
                    decimal = true;
                }
                _ => break,
            }
            self.consume();
            if text.len() > if decimal { 16 } else { 15 } {
                return None;
            }
        }
        if decimal {
            let point = text.iter().position(|c| *c == b'.')?;
            let places = text.len() - point - 1;
            if !(1..=3).contains(&places) {
                return None;
            }
        }
        Some(decimal)
    }

    /// §4.2.5.
    fn string(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.consume();
        loop {
            match self.consume()? {
                b'\\' => match self.consume()? {
                    next @ (b'"' | b'\\') => out.push(next),
                    _ => return None,
                },
                b'"' => return Some(out),
                0..=0x1f | 0x7f..=0xff => return None,
                plain => out.push(plain),
            }
        }
    }

    /// §4.2.6.
    fn token(&mut self) -> Option<()> {
        if !matches!(self.consume()?, b'*' | b'a'..=b'z' | b'A'..=b'Z') {
            return None;
        }
        while let Some(c) = self.peek() {
            if !c.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~:/".contains(&c) {
                break;
            }
            self.consume();
        }
        Some(())
    }

    /// §4.2.7; what does not decode is no business of one who ignores the value.
    fn byte_sequence(&mut self) -> Option<()> {
        self.consume();
        loop {
            match self.consume()? {
                b':' => return Some(()),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' | b'=' => {}
                _ => return None,
            }
        }
    }

    /// §4.2.8.
    fn boolean(&mut self) -> Option<()> {
        self.consume();
        matches!(self.consume()?, b'0' | b'1').then_some(())
    }

    /// §4.2.10.
    fn display_string(&mut self) -> Option<()> {
        self.consume();
        if self.consume()? != b'"' {
            return None;
        }
        let mut bytes = Vec::new();
        loop {
            match self.consume()? {
                0..=0x1f | 0x7f..=0xff => return None,
                b'%' => bytes.push(self.lower_hex()? << 4 | self.lower_hex()?),
                b'"' => return std::str::from_utf8(&bytes).ok().map(drop),
                plain => bytes.push(plain),
            }
        }
    }

    fn lower_hex(&mut self) -> Option<u8> {
        match self.consume()? {
            digit @ b'0'..=b'9' => Some(digit - b'0'),
            letter @ b'a'..=b'f' => Some(letter - b'a' + 10),
            _ => None,
        }
    }
}
