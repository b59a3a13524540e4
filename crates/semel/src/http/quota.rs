//! What one principal may take of a route. Above it, a key that the store does not know gets 429
//! `quota`; a known one is answered as ever.

use semel_core::Span;

/// So many in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerWindow {
    /// At most.
    pub most: u64,
    /// How long the window is. It begins with the first thing counted.
    pub window: Span,
}

/// The bounds of one principal on one route; each may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Keys whose execution begins.
    pub keys: Option<PerWindow>,
    /// Bytes of replies that are kept.
    pub bytes: Option<PerWindow>,
    /// Keys whose execution begins in a second; as many may come at once.
    pub per_second: Option<u32>,
    /// Executions at once.
    pub in_flight: Option<u32>,
}

impl Quota {
    /// Whether it bounds nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The bound that lets nobody begin a key, or bounds nothing.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let windows = [("keys", self.keys), ("bytes", self.bytes)];
        let window = windows.into_iter().find_map(|(what, per)| {
            let PerWindow { most, window } = per?;
            let none = most == 0 || window == Span::ZERO || window.is_forever();
            none.then(|| (what, format!("{most} in {window}")))
        });
        let counts = [("per_second", self.per_second), ("in_flight", self.in_flight)];
        let count = counts.into_iter().find(|(_, most)| *most == Some(0));
        window.or(count.map(|(what, _)| (what, "0".to_owned())))
    }
}
