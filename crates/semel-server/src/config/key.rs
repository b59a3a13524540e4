//! A key of the file: its name, how it is read and how its value is shown.

use semel_core::Span;
use serde_json::{Value, json};

use super::given::Given;
use crate::cli::serve::ServeArgs;

/// One key. `T` is what it sets: a route's rules, or the flags of the server.
pub(super) struct Key<T> {
    /// As written in the file; a flag of the same meaning has the same name.
    pub name: &'static str,
    /// Takes what the file says.
    pub set: fn(&mut T, &Given) -> Result<(), String>,
    /// The value, written as the file would write it.
    pub get: fn(&T) -> Value,
    /// Takes what the flag says, where a route's rule has one.
    pub flag: Option<fn(&mut T, &ServeArgs)>,
}

/// `90s`, `24h`, `forever`: the largest unit of which there are two.
pub(super) fn span(span: Span) -> Value {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    if span.is_forever() {
        return json!("forever");
    }
    let ms = span.as_ms();
    let unit =
        UNITS.iter().find(|(unit, _)| ms.is_multiple_of(*unit) && (ms / unit > 1 || *unit == 1000));
    json!(match unit {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    })
}

pub(super) fn duration(duration: std::time::Duration) -> Value {
    span(Span::from(duration))
}

/// `64MiB`.
pub(super) fn bytes(bytes: u64) -> Value {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => json!(format!("{}{name}", bytes / unit)),
        None => json!(bytes),
    }
}

/// The name of a word's meaning.
pub(super) fn word<T: PartialEq>(words: &[(&'static str, T)], meant: &T) -> Value {
    json!(words.iter().find(|(_, meaning)| meaning == meant).map(|(name, _)| *name))
}

/// Each in its own spelling.
pub(super) fn texts<T: ToString>(list: &[T]) -> Value {
    json!(list.iter().map(T::to_string).collect::<Vec<_>>())
}
