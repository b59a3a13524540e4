//! gRPC through the gateway, by tonic's client and server: what is replayed, released and in doubt, and
//! how a problem is told to somebody who speaks gRPC.

mod payments;

use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Status};

use self::payments::{Caller, Charge, Fate, Payments};
use crate::harness::semel::{Semel, serve};
use crate::harness::within;

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// A gateway before the service, HTTP/2 without TLS on both sides.
async fn through(payments: &Payments) -> (Semel, Caller) {
    let upstream = payments.serve().await;
    let semel = serve(upstream).arg("--upstream", &format!("h2c://{upstream}")).flag("--h2c");
    let semel = semel.start().await;
    let channel = Channel::from_shared(format!("http://{}", semel.addr)).unwrap();
    let channel = within("a channel", channel.connect()).await.unwrap();
    (semel, Caller::new(channel))
}

fn word(metadata: &MetadataMap) -> &str {
    let status = metadata.get("idempotency-status").unwrap().to_str().unwrap();
    status.split(';').next().unwrap()
}

fn failed(answer: Result<tonic::Response<Charge>, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), word(status.metadata()).to_owned())
}

#[tokio::test]
async fn a_retry_is_replayed_with_message_metadata_and_status() {
    let payments = Payments::default();
    let (_semel, caller) = through(&payments).await;
    let first = caller.charge(Some(KEY), 1200).await.unwrap();
    let retry = caller.charge(Some(KEY), 1200).await.unwrap();
    assert_eq!((word(first.metadata()), word(retry.metadata())), ("executed", "replayed"));
    assert_eq!(retry.metadata().get("x-receipt").unwrap(), "1");
    assert_eq!(retry.into_inner(), Charge { number: 1, amount: 1200 });
    assert_eq!(payments.charges(), 1);
    let seen = &payments.seen()[0];
    assert_ne!(seen.get("idempotency-key").unwrap(), KEY, "the upstream gets the derived key");
    assert_eq!(seen.get("idempotency-attempt").unwrap(), "1");
}

#[tokio::test]
async fn calls_without_a_key_and_streams_pass_through() {
    let payments = Payments::default();
    let (_semel, caller) = through(&payments).await;
    assert_eq!(caller.charge(None, 5).await.unwrap().into_inner().number, 1);
    assert_eq!(caller.charge(None, 5).await.unwrap().into_inner().number, 2);
    let streamed = caller.upload(None, &[1, 2, 3]).await.unwrap();
    assert_eq!(streamed.into_inner(), Charge { number: 3, amount: 6 });
}

#[tokio::test]
async fn what_was_refused_before_anything_happened_may_run_again() {
    let payments = Payments::default();
    let (_semel, caller) = through(&payments).await;
    for code in [Code::Unauthenticated, Code::PermissionDenied, Code::ResourceExhausted] {
        payments.next(Fate::Before(code));
        assert_eq!(failed(caller.charge(Some(KEY), 7).await), (code, "released".to_owned()));
    }
    assert_eq!(caller.charge(Some(KEY), 7).await.unwrap().into_inner().number, 1);
}

#[tokio::test]
async fn an_ambiguous_end_is_in_doubt_and_never_charged_again() {
    let payments = Payments::default();
    let (_semel, caller) = through(&payments).await;
    payments.next(Fate::After(Code::Unavailable));
    let first = failed(caller.charge(Some(KEY), 7).await);
    assert_eq!(first, (Code::Unavailable, "in-doubt".to_owned()));
    let retry = failed(caller.charge(Some(KEY), 7).await);
    assert_eq!(retry, (Code::Aborted, "in-doubt".to_owned()));
    assert_eq!(payments.charges(), 1);
}

#[tokio::test]
async fn a_failure_is_a_reply_and_is_replayed() {
    let payments = Payments::default();
    let (_semel, caller) = through(&payments).await;
    payments.next(Fate::After(Code::FailedPrecondition));
    let first = failed(caller.charge(Some(KEY), 7).await);
    let retry = failed(caller.charge(Some(KEY), 7).await);
    assert_eq!(first, (Code::FailedPrecondition, "executed".to_owned()));
    assert_eq!(retry, (Code::FailedPrecondition, "replayed".to_owned()));
    assert_eq!(payments.charges(), 1);
}

#[tokio::test]
async fn a_problem_is_a_status_with_details() {
    let payments = Payments::default();
    let (_semel, caller) = through(&payments).await;
    caller.charge(Some(KEY), 7).await.unwrap();
    let status = caller.charge(Some(KEY), 8).await.unwrap_err();
    assert_eq!((status.code(), word(status.metadata())), (Code::InvalidArgument, "mismatch"));
    assert!(status.message().contains("belongs to another request"), "{}", status.message());
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(details.contains("KEY_REUSED") && details.contains("SEM-0201"), "{details:?}");
    assert_eq!(failed(caller.charge(Some("a b,c"), 7).await).0, Code::InvalidArgument);
    assert_eq!(payments.charges(), 1);
}

#[tokio::test]
async fn a_keyed_stream_is_refused_unless_its_route_ignores_keys() {
    let payments = Payments::default();
    let (_semel, caller) = through(&payments).await;
    let refused = failed(caller.upload(Some(KEY), &[1, 2]).await);
    assert_eq!(refused, (Code::InvalidArgument, "refused".to_owned()));
    assert_eq!(payments.charges(), 0);

    let upstream = payments.serve().await;
    let off = "[[route]]\npath = \"/pay.v1.Payments/Upload\"\nrequired = \"off\"\n";
    let semel = serve(upstream).arg("--upstream", &format!("h2c://{upstream}"));
    let semel = semel.flag("--h2c").file(off).start().await;
    let channel = Channel::from_shared(format!("http://{}", semel.addr)).unwrap();
    let caller = Caller::new(channel.connect().await.unwrap());
    let passed = caller.upload(Some(KEY), &[1, 2]).await.unwrap();
    assert_eq!(word(passed.metadata()), "ignored");
}

#[tokio::test]
async fn an_upstream_that_is_gone_releases_the_key() {
    let payments = Payments::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    drop(listener);
    let semel = serve(upstream).arg("--upstream", &format!("h2c://{upstream}")).flag("--h2c");
    let semel = semel.start().await;
    let channel = Channel::from_shared(format!("http://{}", semel.addr)).unwrap();
    let caller = Caller::new(channel.connect().await.unwrap());
    let gone = failed(caller.charge(Some(KEY), 7).await);
    assert_eq!(gone, (Code::Unavailable, "released".to_owned()));
    assert_eq!(payments.charges(), 0);
}
