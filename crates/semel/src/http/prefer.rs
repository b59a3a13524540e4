//! How long a duplicate waits for its original: `Prefer: wait=N` (RFC 7240 §4.3).
//!
//! A preference is a wish: what is malformed is ignored and never refused, and the route's bound
//! stands above all.

use http::{HeaderMap, HeaderName, HeaderValue};
use semel_core::Span;

/// Carries preferences (RFC 7240 §2).
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Says which of them were honoured (RFC 7240 §3).
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long to wait, and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// At most this long; zero asks for 409 at once.
    pub bound: Span,
    /// The value of `Preference-Applied`, when a wait was asked for: in whole seconds, rounded down.
    pub applied: Option<HeaderValue>,
}

/// The wait that the request asks for, capped by the route's.
#[must_use]
pub fn wait(headers: &HeaderMap, route_max: Span) -> Wait {
    let Some(wish) = wish(headers) else { return Wait { bound: route_max, applied: None } };
    let bound = wish.min(route_max);
    let applied = HeaderValue::try_from(format!("wait={}", bound.as_ms() / 1000)).ok();
    Wait { bound, applied }
}

/// The first `wait` counts, whatever its value (RFC 7240 §2).
fn wish(headers: &HeaderMap) -> Option<Span> {
    let lines = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let first = lines.flat_map(members).find_map(|member| {
        // Parameters behind a semicolon say nothing about `wait`.
        let preference = member.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().to_owned())
    })?;
    // A value may be quoted (RFC 7240 §2: a word is a token or a quoted string).
    let inner = first.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = inner.unwrap_or(&first);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More seconds than a number holds are more than any bound.
    Some(digits.parse().map_or(Span::FOREVER, Span::from_secs))
}

/// Splits at commas outside quoted strings.
fn members(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[&'static str]) -> (u64, Option<String>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, HeaderValue::from_static(line));
        }
        let wait = wait(&headers, Span::from_secs(5));
        (wait.bound.as_ms(), wait.applied.map(|v| v.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_wait_is_capped_by_the_route_and_confirmed() {
        for (lines, ms, applied) in [
            (&["wait=2"][..], 2000, "wait=2"),
            (&["wait=0"], 0, "wait=0"),
            (&["wait=600"], 5000, "wait=5"),
            (&["wait=99999999999999999999"], 5000, "wait=5"),
            (&["respond-async, WAIT = \"3\"; x=1"], 3000, "wait=3"),
            (&["return=minimal", "wait=1"], 1000, "wait=1"),
            (&["a=\"x, wait=9\", wait=1"], 1000, "wait=1"),
            (&["a=\"\\\", wait=9\", wait=1"], 1000, "wait=1"),
            (&["wait=1, wait=2"], 1000, "wait=1"),
        ] {
            assert_eq!(asked(lines), (ms, Some(applied.to_owned())), "{lines:?}");
        }
    }

    #[test]
    fn what_is_malformed_or_absent_leaves_the_routes_own_bound() {
        for lines in [
            &[][..],
            &["wait"],
            &["wait="],
            &["wait=-1"],
            &["wait=1.5"],
            &["wait=x"],
            &["wait=\"1"],
            &["waits=1"],
            &["wait=x, wait=1"],
        ] {
            assert_eq!(asked(lines), (5000, None), "{lines:?}");
        }
    }
}
