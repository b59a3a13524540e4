//! What is different where the caller speaks gRPC.
//!
//! A gRPC call is a POST whose answer is always 200: how it ended is said by `grpc-status`, in the
//! trailers, or in the head where there is no body (the gRPC specification calls that *trailers-only*).
//! So the rules on statuses are a route's [`GrpcRules`] here, and a [`Problem`](super::Problem) is told as
//! a status with details ([`problem`]), not as `application/problem+json`.
//!
//! Only unary calls bear keys: [`is_one_message`] tells one whole message from a stream of them, of which
//! it could never be said whether *it* happened.
//!
//! The formats are those of the gRPC specification, "gRPC over HTTP2", and of `google/rpc/error_details.proto`.
//!
//! # Caveats
//! - gRPC-Web frames its trailers within the body; it is taken for plain HTTP.
//! - A message is compared by its bytes, which is sound for a client that sends the same bytes again.

mod code;
#[cfg(feature = "layer")]
mod details;
#[cfg(feature = "layer")]
pub mod problem;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use semel_core::Effect;

pub use code::{GrpcCode, GrpcCodeError};

/// How a call ended.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Why, for people; percent-encoded.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Why, for programs: a `google.rpc.Status` in base64.
pub const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// What a route takes the status of a call to mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcRules {
    /// Statuses that the handler gives only before it acts: they release the key.
    pub no_effect: Vec<GrpcCode>,
    /// Statuses that leave it open whether the handler's effect happened.
    pub doubt_on: Vec<GrpcCode>,
}

impl GrpcRules {
    /// A gateway's: `UNAUTHENTICATED`, `PERMISSION_DENIED` and `RESOURCE_EXHAUSTED` are taken to be given before
    /// anything happens; `CANCELLED`, `DEADLINE_EXCEEDED` and `UNAVAILABLE` leave it open.
    #[must_use]
    pub fn gateway() -> Self {
        Self {
            no_effect: vec![
                GrpcCode::PERMISSION_DENIED,
                GrpcCode::RESOURCE_EXHAUSTED,
                GrpcCode::UNAUTHENTICATED,
            ],
            doubt_on: vec![GrpcCode::CANCELLED, GrpcCode::DEADLINE_EXCEEDED, GrpcCode::UNAVAILABLE],
        }
    }
}

/// Whether a message with these headers is of a gRPC call.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let Some((name, format)) = media.split_at_checked(b"application/grpc".len()) else {
        return false;
    };
    // `application/grpc-web` is another protocol.
    name.eq_ignore_ascii_case(b"application/grpc") && matches!(format.first(), None | Some(b'+'))
}

/// The status of a call that came to its end; `None` where it does not say one.
#[must_use]
pub fn status(head: &HeaderMap, trailers: Option<&HeaderMap>) -> Option<GrpcCode> {
    let said = trailers.and_then(|trailers| trailers.get(GRPC_STATUS));
    let said = said.or_else(|| head.get(GRPC_STATUS))?.to_str().ok()?;
    Some(GrpcCode::from_number(said.parse().ok()?))
}

/// What a call that ended so did, where nobody knows better.
#[must_use]
pub fn effect(code: GrpcCode) -> Effect {
    if code == GrpcCode::OK { Effect::Done } else { Effect::Unknown }
}

/// Bytes before each message: whether it is compressed, and how long it is.
pub const PREFIX: usize = 5;

/// Whether a body of `len` bytes that begins with `head` is one message, whole.
#[must_use]
pub fn is_one_message(head: &[u8], len: u64) -> bool {
    let Some(&[_compressed, a, b, c, d]) = head.first_chunk::<PREFIX>() else { return false };
    u64::from(u32::from_be_bytes([a, b, c, d])) + PREFIX as u64 == len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn grpc_is_known_by_its_media_type_and_grpc_web_is_not_taken_for_it() {
        let is = |value| is_grpc(&with(header::CONTENT_TYPE, value));
        assert!(is("application/grpc"));
        assert!(is("Application/gRPC+proto; charset=utf-8"));
        assert!(!is("application/grpc-web"));
        assert!(!is("application/grpc-web+proto"));
        assert!(!is("application/json"));
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn trailers_say_the_status_and_the_head_says_it_where_there_are_none() {
        let (head, trailers) = (with(GRPC_STATUS, "0"), with(GRPC_STATUS, "16"));
        assert_eq!(status(&head, Some(&trailers)), Some(GrpcCode::UNAUTHENTICATED));
        assert_eq!(status(&head, None), Some(GrpcCode::OK));
        assert_eq!(status(&HeaderMap::new(), Some(&HeaderMap::new())), None);
        assert_eq!(status(&with(GRPC_STATUS, "soon"), None), None);
        assert_eq!(status(&with(GRPC_STATUS, "99"), None), Some(GrpcCode::UNKNOWN));
    }

    #[test]
    fn only_one_whole_message_is_a_unary_call() {
        assert!(is_one_message(&[0, 0, 0, 0, 2, 1, 2], 7));
        assert!(is_one_message(&[0, 0, 0, 0, 0], 5));
        assert!(!is_one_message(&[], 0), "no message");
        assert!(!is_one_message(&[0, 0, 0, 0, 2, 1], 6), "a part of one");
        assert!(!is_one_message(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 10), "two");
        assert!(!is_one_message(&[0, 255, 255, 255, 255], 4));
    }
}
