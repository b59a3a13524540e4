//! Replies as bytes: what lies within a sealed reply, once it is open.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};
use semel::http::reply::coding::DECODED_MAX;
use semel::http::{Reply, Status, Word};

pub(super) fn run(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(reply) = Reply::decode(&bytes) else { return };
    assert_eq!(reply.encode(), bytes, "bytes that read are the only bytes of their reply");
    let part = bytes.slice(..bytes.len() - 1);
    assert!(Reply::decode(&part).is_err(), "no part of a reply is a reply");
    let mut longer = data.to_vec();
    longer.push(0);
    assert!(Reply::decode(&longer.into()).is_err(), "no reply is followed by anything");
    let kept =
        Reply::keep(reply.status, &reply.headers, reply.body.clone(), reply.trailers.as_ref());
    let again = Reply::keep(kept.status, &kept.headers, kept.body.clone(), kept.trailers.as_ref());
    assert_eq!(kept, again, "what was kept is kept");
    readable(reply);
}

/// A retry that takes no coding: the body is decoded within bounds, or stays as it was.
fn readable(reply: Reply) {
    let plain = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    let whole = reply.body.clone();
    let said = reply.replay(&Status::new(Word::Replayed), &plain);
    if *said.body() != whole {
        assert!(said.body().len() as u64 <= DECODED_MAX, "a stored reply is blown up without end");
        assert!(!said.headers().contains_key(CONTENT_ENCODING), "what was decoded is in no coding");
    }
}
