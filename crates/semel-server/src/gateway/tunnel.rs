//! Connections that change to another protocol (RFC 9110 §7.8), WebSocket above all.
//!
//! Only unkeyed requests may: what happens within a tunnel is no single operation, so no key could
//! speak for it. Bytes are copied until either side closes.

use http::{Request, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

/// The caller's end, to be taken before the request is passed on.
pub(crate) fn callers_end<B>(request: &mut Request<B>) -> OnUpgrade {
    hyper::upgrade::on(request)
}

/// Joins both ends once both have changed over.
pub(crate) fn join<B>(caller: OnUpgrade, response: &mut Response<B>) {
    debug_assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upstream = hyper::upgrade::on(response);
    tokio::spawn(async move {
        let ends = tokio::try_join!(caller, upstream);
        match ends {
            Ok((caller, upstream)) => copy(caller, upstream).await,
            Err(error) => tracing::debug!(%error, "a connection did not change its protocol"),
        }
    });
}

async fn copy(caller: Upgraded, upstream: Upgraded) {
    let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
    if let Err(error) = tokio::io::copy_bidirectional(&mut caller, &mut upstream).await {
        tracing::debug!(%error, "a tunnel ended");
    }
}
