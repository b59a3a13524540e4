//! The reply on one stream, as far as it has come.

use bytes::BytesMut;

use super::frame::{self, END_STREAM, Frame};
use super::hpack::Field;
use super::{Gone, garbage};
use crate::wire::pipe::BODY_MAX;
use crate::wire::{Reply, WireError};

type Head = (u16, Vec<(String, Vec<u8>)>);

/// A reply that comes.
#[derive(Debug)]
pub(super) struct Incoming {
    /// What its request may still send.
    pub(super) room: i64,
    head: Option<Head>,
    body: BytesMut,
    ended: bool,
    reset: Option<u32>,
}

impl Incoming {
    pub(super) fn new(room: i64) -> Self {
        Self { room, head: None, body: BytesMut::new(), ended: false, reset: None }
    }

    /// Whether nothing more will come.
    pub(super) const fn over(&self) -> bool {
        self.ended || self.reset.is_some()
    }

    /// A part of its body, or its end.
    ///
    /// # Errors
    /// When it may not come.
    pub(super) fn heed(&mut self, frame: &Frame) -> Result<(), WireError> {
        // A reply that is whole stays so: a server may then refuse the rest of a body (RFC 9113 §8.1).
        if self.over() {
            return Ok(());
        }
        if frame.head.kind == frame::RST_STREAM {
            self.reset = Some(frame.number(0).ok_or_else(|| garbage("a reset without a reason"))?);
            return Ok(());
        }
        if self.head.is_none() {
            return Err(garbage("its body comes before its head"));
        }
        let part =
            frame.content().ok_or_else(|| garbage("a frame whose padding is longer than it"))?;
        self.body.extend_from_slice(part);
        if self.body.len() > BODY_MAX {
            return Err(garbage(format!("over {BODY_MAX} bytes")));
        }
        self.ended = frame.head.has(END_STREAM);
        Ok(())
    }

    /// Its head, what came before it (1xx), or its trailers.
    ///
    /// # Errors
    /// When they are malformed (RFC 9113 §8.2 and §8.3).
    pub(super) fn headers(&mut self, fields: Vec<Field>, ends: bool) -> Result<(), WireError> {
        if self.over() {
            return Ok(());
        }
        let (pseudo, plain): (Vec<Field>, Vec<Field>) =
            fields.into_iter().partition(|(name, _)| name.starts_with(b":"));
        let plain = plain.into_iter().map(regular).collect::<Result<Vec<_>, _>>()?;
        if self.head.is_some() {
            if !ends || !pseudo.is_empty() {
                return Err(garbage("its trailers do not end it, or hold a pseudo-header"));
            }
            self.ended = true;
            return Ok(());
        }
        let [(name, value)] = pseudo.as_slice() else {
            return Err(garbage("its head has no :status, or more than that"));
        };
        let status = std::str::from_utf8(value).ok().filter(|text| text.len() == 3);
        let status = status.and_then(|text| text.parse().ok()).filter(|n| (100..1000).contains(n));
        let Some(status) = status.filter(|n| name == b":status" && *n != 101) else {
            return Err(garbage(format!("its status is {:?}", String::from_utf8_lossy(value))));
        };
        if status < 200 {
            return if ends { Err(garbage("it ends before its head")) } else { Ok(()) };
        }
        self.head = Some((status, plain));
        self.ended = ends;
        Ok(())
    }

    /// What came of it, once it is over.
    ///
    /// # Errors
    /// When it was reset, or is not as long as it says.
    pub(super) fn reply(self, method: &str) -> Result<Reply, WireError> {
        if let Some(code) = self.reset {
            return Err(WireError::Reset { code: frame::error(code), when: self.when() });
        }
        let Some((status, headers)) = self.head else { return Err(WireError::NoReply) };
        let bodiless = method == "HEAD" || status == 204 || status == 304;
        for (_, value) in headers.iter().filter(|(name, _)| name == "content-length") {
            let length = String::from_utf8_lossy(value).trim().parse().ok();
            if length != Some(self.body.len()) && !(bodiless && self.body.is_empty()) {
                let (said, came) = (String::from_utf8_lossy(value), self.body.len());
                return Err(garbage(format!("Content-Length is {said}, and {came} bytes came")));
            }
        }
        Ok(Reply { status, headers, body: self.body.freeze() })
    }

    /// The connection ended first.
    pub(super) fn cut(self) -> WireError {
        match self.head {
            Some(_) => {
                WireError::CutReply { what: format!("{} bytes into its body", self.body.len()) }
            }
            None => WireError::NoReply,
        }
    }

    /// The same, with a word on why.
    pub(super) fn gone(self, gone: Gone) -> WireError {
        let said = if gone.said.is_empty() { String::new() } else { format!(" ({})", gone.said) };
        WireError::GoneAway { code: frame::error(gone.code), said, when: self.when() }
    }

    fn when(&self) -> String {
        match self.head {
            Some(_) => format!("within the reply, {} bytes into its body", self.body.len()),
            None => "before the reply began".to_owned(),
        }
    }
}

/// A field that is no pseudo-header: its name in lower case, and none that speaks of a connection.
fn regular((name, value): Field) -> Result<(String, Vec<u8>), WireError> {
    let shown = String::from_utf8_lossy(&name).into_owned();
    let known =
        !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
    let connection =
        ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"];
    if !known || connection.contains(&shown.as_str()) {
        return Err(garbage(format!("it has a header {shown:?}")));
    }
    if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err(garbage(format!("its header {shown} goes over its line")));
    }
    Ok((shown, value))
}
