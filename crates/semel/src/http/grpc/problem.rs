//! A problem, told to a caller that speaks gRPC: a trailers-only answer with a status, a message for
//! people, and details for programs.
//!
//! The details are a `google.rpc.ErrorInfo` of the domain `semel` (reason: the problem's slug in capitals; `code`,
//! `effect`, `ran`, `retry` and `advice` as metadata), and a `google.rpc.RetryInfo` where a time is known.
//! Clients that retry by themselves do so on `UNAVAILABLE`, with the same metadata and so the same key.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use prost::Message as _;
use semel_core::Span;

use super::details::{Any, Duration, ErrorInfo, RetryInfo, Status};
use super::{GRPC_MESSAGE, GRPC_STATUS, GRPC_STATUS_DETAILS, GrpcCode};
use crate::http::catalogue::Code;
use crate::http::status::IDEMPOTENCY_STATUS;
use crate::http::{Problem, Retry};

/// The domain of the reasons.
pub const DOMAIN: &str = "semel";

/// The status that a problem is told with.
#[must_use]
pub fn code_of(problem: &Problem) -> GrpcCode {
    match problem.code {
        // Whether the operation happened may be asked again later, under the same key, by whoever knows
        // what it is: not by a library that repeats at once.
        Code::InFlight | Code::InDoubt => GrpcCode::ABORTED,
        Code::ScopeUnverified => GrpcCode::UNAUTHENTICATED,
        Code::Quota => GrpcCode::RESOURCE_EXHAUSTED,
        Code::RecordUnreadable | Code::OutcomeLost => GrpcCode::INTERNAL,
        Code::KeyUnknown => GrpcCode::NOT_FOUND,
        Code::PathUnknown | Code::MethodUnknown => GrpcCode::UNIMPLEMENTED,
        // The body broke off.
        Code::BodyIncomplete => GrpcCode::CANCELLED,
        Code::KeySpent | Code::ReplyNotKept | Code::KeyTooOld | Code::KeyVoid | Code::KeyUsed => {
            GrpcCode::FAILED_PRECONDITION
        }
        _ => match problem.code.entry().status {
            400..=499 => GrpcCode::INVALID_ARGUMENT,
            _ => GrpcCode::UNAVAILABLE,
        },
    }
}

/// The answer. `Idempotency-Status` and `Retry-After` stand in it as over HTTP.
#[must_use]
pub fn response(problem: &Problem) -> Response<Bytes> {
    let (entry, code) = (problem.code.entry(), code_of(problem));
    let message = format!("{} {}", problem.cause(), entry.advice);
    let mut metadata = BTreeMap::from([
        ("code".to_owned(), problem.code.id()),
        ("effect".to_owned(), problem.effect.name().to_owned()),
        ("ran".to_owned(), problem.ran.to_string()),
        ("retry".to_owned(), problem.retry.name().to_owned()),
        ("advice".to_owned(), entry.advice.to_owned()),
    ]);
    if !problem.differs.is_empty() {
        metadata.insert("differs".to_owned(), problem.differs.join(","));
    }
    let reason = entry.slug.replace('-', "_").to_ascii_uppercase();
    let info = ErrorInfo { reason, domain: DOMAIN.to_owned(), metadata };
    let mut details = vec![Any::of("ErrorInfo", &info)];
    let after = problem.retry_after.filter(|_| problem.retry == Retry::SameKey);
    if let Some(after) = after {
        details.push(Any::of("RetryInfo", &RetryInfo { retry_delay: Some(delay(after)) }));
    }
    let status = Status { code: i32::from(code.number()), message: message.clone(), details };
    let details = STANDARD_NO_PAD.encode(status.encode_to_vec());

    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code.number())));
    headers.insert(GRPC_MESSAGE, text(&percent_encoded(&message)));
    headers.insert(GRPC_STATUS_DETAILS, text(&details));
    headers.insert(IDEMPOTENCY_STATUS, problem.status.to_value());
    if let Some(after) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs_ceil()));
    }
    let mut response = Response::new(Bytes::new());
    *response.headers_mut() = headers;
    response
}

fn delay(span: Span) -> Duration {
    let seconds = i64::try_from(span.as_ms() / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(span.as_ms() % 1000).unwrap_or(0) * 1_000_000;
    Duration { seconds, nanos }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::try_from(value).expect("base64 and percent-encoded text are visible ASCII")
}

/// "gRPC over HTTP2", Status-Message: all but printable ASCII, and the percent sign, is escaped.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                encoded.push('%');
                encoded.push_str(&format!("{byte:02X}"));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use semel_core::Effect;

    use super::*;
    use crate::http::catalogue::ENTRIES;

    fn details_of(response: &Response<Bytes>) -> Status {
        let details = response.headers()[GRPC_STATUS_DETAILS].as_bytes();
        Status::decode(&STANDARD_NO_PAD.decode(details).unwrap()[..]).unwrap()
    }

    #[test]
    fn a_problem_is_a_status_with_its_reason_and_when_to_come_again() {
        let response = response(&Problem::in_flight(Span::from_ms(1500)));
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], "10");
        assert_eq!(response.headers()["idempotency-status"], "in-flight");
        assert_eq!(response.headers()["retry-after"], "2");
        let status = details_of(&response);
        assert_eq!((status.code, status.details.len()), (10, 2));
        let info = ErrorInfo::decode(&status.details[0].value[..]).unwrap();
        assert_eq!((&info.reason[..], &info.domain[..]), ("IN_FLIGHT", "semel"));
        assert_eq!(info.metadata["effect"], "unknown");
        assert_eq!(info.metadata["ran"], "false");
        assert_eq!(info.metadata["retry"], "same-key");
        assert_eq!(info.metadata["code"], "SEM-0202");
        assert_eq!(status.details[1].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        let retry = RetryInfo::decode(&status.details[1].value[..]).unwrap();
        assert_eq!(retry.retry_delay, Some(Duration { seconds: 1, nanos: 500_000_000 }));
    }

    #[test]
    fn a_mismatch_names_the_parts_and_is_no_invitation_to_retry() {
        let response = response(&Problem::key_reused(Effect::Done, vec!["path", "body"]));
        assert_eq!(response.headers()["grpc-status"], "3");
        let status = details_of(&response);
        assert_eq!(status.details.len(), 1);
        let info = ErrorInfo::decode(&status.details[0].value[..]).unwrap();
        assert_eq!(info.metadata["differs"], "path,body");
        assert_eq!(info.metadata["retry"], "never");
    }

    #[test]
    fn what_a_client_repeats_by_itself_is_only_what_may_be_repeated_under_the_same_key() {
        for entry in &ENTRIES {
            let problem = Problem::request(entry.code, "");
            let unavailable = code_of(&problem) == GrpcCode::UNAVAILABLE;
            assert_eq!(unavailable, matches!(entry.status, 502 | 503), "{}", entry.slug);
        }
    }

    #[test]
    fn a_message_is_escaped_as_the_specification_has_it() {
        assert_eq!(percent_encoded("100 % – ok\n"), "100 %25 %E2%80%93 ok%0A");
    }
}
