//! Connections to the upstream that have gone, that HTTP/2 shares, or on which nothing sensible comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Upstream, raw};
use crate::harness::within;

const BODY: &str = "{\"amount\":1200}";

/// An upstream that closes each connection once it has answered on it, and then tells so.
async fn closing() -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (closed, told) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let closed = closed.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !seen.ends_with(BODY.as_bytes()) {
                    let mut chunk = [0; 4096];
                    let len = stream.read(&mut chunk).await.unwrap_or(0);
                    if len == 0 {
                        return;
                    }
                    seen.extend_from_slice(&chunk[..len]);
                }
                let reply = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\npaid";
                stream.write_all(reply).await.unwrap();
                drop(stream);
                closed.send_modify(|closed| *closed += 1);
            });
        }
    });
    (addr, told)
}

#[tokio::test]
async fn a_pooled_connection_that_was_just_closed_costs_no_request() {
    const REQUESTS: usize = 1000;
    let (upstream, mut closed) = closing().await;
    let semel = serve(upstream).start().await;
    let mut client = Client::connect(semel.addr).await;
    for n in 0..REQUESTS {
        // Keyed, and by turns unkeyed: neither may die of it.
        let request = Request::charge(&format!("key-{n:04}-abcdefgh"), BODY);
        let unkeyed = Request::post("/", BODY);
        let (request, verdict) =
            if n % 5 == 0 { (unkeyed, None) } else { (request, Some("executed")) };
        client.request(&request).await;
        let reply = client.reply("POST").await.unwrap();
        assert_eq!((reply.status, reply.verdict()), (201, verdict), "{n}: {}", reply.text());
        let counted = within("the upstream closes", closed.wait_for(|closed| *closed > n)).await;
        assert_eq!(*counted.unwrap(), n + 1, "each request went out once");
    }
}

/// What an HTTP/2 upstream does with its nth stream, from 0.
type Act = fn(usize, SendResponse<Bytes>);

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    streams: AtomicUsize,
    /// The heads of all streams, for people and for asserts.
    heads: std::sync::Mutex<Vec<http::request::Parts>>,
}

async fn http2(act: Act) -> (SocketAddr, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.connections.fetch_add(1, Ordering::SeqCst);
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let (head, mut body) = request.into_parts();
                    counted.heads.lock().unwrap().push(head);
                    let n = counted.streams.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(async move {
                        while let Some(Ok(chunk)) = body.data().await {
                            let _ = body.flow_control().release_capacity(chunk.len());
                        }
                        act(n, respond);
                    });
                }
            });
        }
    });
    (addr, counts)
}

fn answer(_n: usize, mut respond: SendResponse<Bytes>) {
    let head = Response::builder().status(200).header("trailer", "x-sum").body(()).unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    body.send_data(Bytes::from_static(b"paid"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    body.send_trailers(trailers).unwrap();
}

#[tokio::test]
async fn an_upstream_is_spoken_to_over_http2_on_one_connection_with_trailers() {
    let (upstream, counts) = http2(answer).await;
    let url = format!("h2c://{upstream}");
    let semel = serve(upstream).arg("--upstream", &url).start().await;
    let request = Request::charge("key-0001-abcdefgh", BODY)
        .header("TE", "trailers")
        .header("Connection", "TE");
    let first = ask(semel.addr, &request).await;
    assert_eq!((first.status, first.verdict()), (200, Some("executed")), "{}", first.text());
    assert_eq!(first.text(), "paid");
    assert_eq!(first.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    let again = ask(semel.addr, &request).await;
    assert_eq!((again.verdict(), &again.trailers), (Some("replayed"), &first.trailers));
    let many = (0..20).map(|n| {
        let request = Request::get(&format!("/v1/{n}"));
        let addr = semel.addr;
        tokio::spawn(async move { ask(addr, &request).await })
    });
    for reply in many.collect::<Vec<_>>() {
        assert_eq!(reply.await.unwrap().text(), "paid");
    }
    assert_eq!(counts.streams.load(Ordering::SeqCst), 21);
    assert_eq!(counts.connections.load(Ordering::SeqCst), 1);
    let heads = counts.heads.lock().unwrap();
    let head = &heads[0];
    assert_eq!(head.uri.authority().map(http::uri::Authority::as_str), Some("shop.test"));
    assert_eq!(head.uri.path(), "/v1/charges");
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["content-length"], BODY.len().to_string());
    for gone in ["host", "connection", "transfer-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_once_more_on_a_new_connection_and_no_oftener() {
    // The second stream is refused, and then, from the fourth on, all.
    let (upstream, counts) = http2(|n, mut respond| match n {
        1 | 3.. => respond.send_reset(Reason::REFUSED_STREAM),
        _ => answer(n, respond),
    })
    .await;
    let url = format!("h2c://{upstream}");
    let semel = serve(upstream).arg("--upstream", &url).start().await;
    for (key, status, verdict, streams, connections) in [
        ("key-0001-abcdefgh", 200, "executed", 1, 1),
        ("key-0002-abcdefgh", 200, "executed", 3, 2),
        ("key-0003-abcdefgh", 502, "released", 5, 3),
    ] {
        let reply = ask(semel.addr, &Request::charge(key, BODY)).await;
        assert_eq!((reply.status, reply.verdict()), (status, Some(verdict)), "{key}");
        assert_eq!(counts.streams.load(Ordering::SeqCst), streams, "{key}");
        assert_eq!(counts.connections.load(Ordering::SeqCst), connections, "{key}");
    }
}

/// An upstream that answers each connection's first stream with GOAWAY, naming `last` and this reason, and
/// closes.
async fn going_away(last: u8, reason: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.unwrap();
            // RFC 9113 §4.1: length, type, flags, stream; type 4 is SETTINGS, 0 DATA, 7 GOAWAY.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                let len = usize::from(head[1]) << 8 | usize::from(head[2]);
                let mut payload = vec![0; len];
                stream.read_exact(&mut payload).await.unwrap();
                if head[3] == 0 && head[4] & 1 == 1 {
                    break;
                }
            }
            let away = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, reason];
            stream.write_all(&away).await.unwrap();
            // A close with bytes unread would be a reset, and could overtake the frame.
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    addr
}

#[tokio::test]
async fn a_stream_above_the_last_one_of_goaway_is_released_and_one_below_is_in_doubt() {
    // RFC 9113 §7: 0 is NO_ERROR, 2 INTERNAL_ERROR. Whatever the reason, only the last stream proves anything.
    for (last, reason, status, verdict) in [
        (0, 0, 502, "released"),
        (0, 2, 502, "released"),
        (1, 0, 409, "in-doubt"),
        (1, 2, 409, "in-doubt"),
    ] {
        let upstream = going_away(last, reason).await;
        let url = format!("h2c://{upstream}");
        let semel = serve(upstream).arg("--upstream", &url).start().await;
        let reply = ask(semel.addr, &Request::charge("key-0001-abcdefgh", BODY)).await;
        assert_eq!((reply.status, reply.verdict()), (status, Some(verdict)), "{last} {reason}");
    }
}

#[tokio::test]
async fn what_comes_before_a_reply_is_bounded() {
    let upstream = Upstream::start().await;
    // The bounds end it, not the clock.
    let semel = serve(upstream.addr).arg("--reply-timeout", "10m").start().await;
    let storm = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(20_000);
    let endless = format!("HTTP/1.1 200 OK\r\nX-Long: {}", "a".repeat(400_000));
    let many: String = (0..500).map(|n| format!("X-{n}: 1\r\n")).collect();
    let bomb = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    for (n, (what, bytes)) in
        [("1xx without end", storm), ("a head without end", endless), ("too many headers", bomb)]
            .into_iter()
            .enumerate()
    {
        upstream.next(raw(bytes));
        let reply = ask(semel.addr, &Request::charge(&format!("key-1{n:03}-abcdefgh"), BODY)).await;
        assert_eq!((reply.status, reply.verdict()), (409, Some("in-doubt")), "{what}");
        assert_eq!(upstream.effects(), n + 1, "{what}");
    }
    let reply = ask(semel.addr, &Request::charge("key-2000-abcdefgh", BODY)).await;
    assert_eq!((reply.status, reply.verdict()), (201, Some("executed")));
}
