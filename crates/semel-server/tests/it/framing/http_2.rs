//! The same over HTTP/2, by frames made by hand: what no HTTP/1.1 request can hold must not become one.

use crate::harness::client::Client;
use crate::harness::semel::serve;

use super::recorder::Recorder;

/// What a frame is (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Literal fields without Huffman coding (RFC 7541 §6.2.2).
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A request of these fields beside the usual pseudo-headers; one of the same name takes their place.
fn request(own: &[(&str, &str)], body: &str) -> Vec<u8> {
    let usual =
        [(":method", "POST"), (":scheme", "http"), (":authority", "shop.test"), (":path", "/a")];
    let kept = usual.into_iter().filter(|(name, _)| own.iter().all(|(other, _)| other != name));
    let (pseudo, plain): (Vec<_>, Vec<_>) = own.iter().partition(|(name, _)| name.starts_with(':'));
    let all: Vec<(&str, &str)> = kept.chain(pseudo).chain(plain).collect();
    let head = frame(HEADERS, END_HEADERS, 1, &fields(&all));
    [head, frame(DATA, END_STREAM, 1, body.as_bytes())].concat()
}

/// What came of a request: `200`, `400`, or `reset`.
async fn told(client: &mut Client) -> String {
    loop {
        let head = client.bytes(9).await;
        let len = usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = client.bytes(len).await;
        match head[3] {
            HEADERS => {
                // The indexed statuses of RFC 7541, appendix A.
                let indexed = [(0x88, "200"), (0x8c, "400")];
                let status = indexed.iter().find(|(byte, _)| *byte == payload[0]);
                return status.map_or("another status", |(_, status)| status).to_owned();
            }
            RST_STREAM | GOAWAY => return "reset".to_owned(),
            _ => {}
        }
    }
}

/// A name, its own fields, its body, what it is told, and what arrives behind.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
    &'static str,
);

pub(super) const CASES: usize = 21;

const ALL: [Case; CASES] = [
    ("a body", &[], "abc", "200", "POST /a abc"),
    ("its length", &[("content-length", "3")], "abc", "200", "POST /a abc"),
    ("a longer length", &[("content-length", "4")], "abc", "reset", ""),
    ("a shorter length", &[("content-length", "2")], "abc", "reset", ""),
    ("a length that is none", &[("content-length", "+3")], "abc", "reset", ""),
    ("a coding", &[("transfer-encoding", "chunked")], "0\r\n\r\n", "reset", ""),
    ("Connection", &[("connection", "x-a")], "", "reset", ""),
    ("Keep-Alive", &[("keep-alive", "1")], "", "reset", ""),
    ("Upgrade", &[("upgrade", "websocket")], "", "reset", ""),
    ("TE other than trailers", &[("te", "gzip")], "", "reset", ""),
    ("CRLF in a value", &[("x-a", "1\r\nx-b: 2")], "", "reset", ""),
    ("LF in a value", &[("x-a", "1\nx-b: 2")], "", "reset", ""),
    ("NUL in a value", &[("x-a", "1\0")], "", "reset", ""),
    ("a colon in a name", &[("x-a: 1\r\nx-b", "2")], "", "reset", ""),
    ("capitals in a name", &[("X-A", "1")], "", "reset", ""),
    ("a space in the path", &[(":path", "/a HTTP/1.1\r\nx: y")], "", "reset", ""),
    ("an empty path", &[(":path", "")], "", "reset", ""),
    ("CRLF in the method", &[(":method", "GET / HTTP/1.1\r\nx: y")], "", "reset", ""),
    ("credentials in the authority", &[(":authority", "me@shop.test")], "", "400", ""),
    ("two hosts", &[("host", "other.test")], "", "400", ""),
    ("an unknown pseudo-header", &[(":x", "1")], "", "reset", ""),
];

#[tokio::test]
async fn no_http_2_request_becomes_two() {
    let recorder = Recorder::start().await;
    let semel = serve(recorder.addr).flag("--h2c").arg("--body-pause", "400ms").start().await;
    let mut wrong = vec![];
    for (name, own, body, expected, arrives) in ALL {
        recorder.forget();
        let mut client = Client::connect(semel.addr).await;
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.send(&[frame(SETTINGS, 0, 0, &[]), request(own, body)].concat()).await;
        let answer = told(&mut client).await;
        let behind = recorder.requests().unwrap().join(", ");
        if answer != expected || behind.trim_end() != arrives {
            wrong.push(format!("{name}: {answer}, behind {behind:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn frames_that_are_wrong_end_the_connection_and_nothing_else() {
    let recorder = Recorder::start().await;
    let semel = serve(recorder.addr).flag("--h2c").start().await;
    let wrong: [(&str, Vec<u8>); 5] = [
        ("data of no stream", frame(DATA, 0, 0, b"abc")),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings of an odd length", frame(SETTINGS, 0, 0, &[1])),
        ("a stream of the server's", frame(HEADERS, END_HEADERS | END_STREAM, 2, &fields(&[]))),
        ("a head that is no HPACK", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 40])),
    ];
    for (what, bytes) in wrong {
        let mut client = Client::connect(semel.addr).await;
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.send(&[frame(SETTINGS, 0, 0, &[]), bytes].concat()).await;
        assert_eq!(told(&mut client).await, "reset", "{what}");
    }
    assert!(recorder.requests().unwrap().is_empty());
    let mut client = Client::connect(semel.addr).await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send(&[frame(SETTINGS, 0, 0, &[]), request(&[], "abc")].concat()).await;
    assert_eq!(told(&mut client).await, "200");
}
