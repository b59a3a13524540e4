//! Callers who are many, and callers who are slow.

use crate::harness::client::{Client, Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::Upstream;

const BODY: &str = "{\"amount\":1200}";

fn key(n: usize) -> String {
    format!("8e03978e-40d5-43dd-bc93-{n:012}")
}

#[tokio::test]
async fn idle_and_slow_callers_leave_room_and_hold_no_claim() {
    let upstream = Upstream::start().await;
    // Fewer files than callers, as far as the process does not ask for more.
    let semel = serve(upstream.addr)
        .through("sh", &["-c", "ulimit -Sn 128; exec \"$@\"", "sh"])
        .start()
        .await;
    let (mut idle, mut slow) = (vec![], vec![]);
    for _ in 0..300 {
        idle.push(Client::connect(semel.addr).await);
    }
    for n in 0..60 {
        let mut client = Client::connect(semel.addr).await;
        let whole = Request::charge(&key(n), BODY).bytes();
        // All but the last byte.
        client.send(&whole[..whole.len() - 1]).await;
        slow.push(client);
    }
    for n in 0..60 {
        let told = ask(semel.addr, &Request::charge(&key(n), BODY)).await;
        assert_eq!((told.status, told.verdict()), (201, Some("executed")), "{}", told.text());
    }
    for mut client in slow {
        client.send(&BODY.as_bytes()[BODY.len() - 1..]).await;
        assert_eq!(client.reply("POST").await.unwrap().verdict(), Some("replayed"));
    }
    for mut client in idle {
        client.request(&Request::get("/")).await;
        assert_eq!(client.reply("GET").await.unwrap().status, 201);
    }
    assert_eq!(upstream.effects(), 360);
}

#[tokio::test]
async fn a_caller_that_takes_nothing_is_cut_off() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--reply-pause", "300ms").start().await;
    // More than all buffers on the way.
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20).into_bytes();
    upstream.next(crate::harness::upstream::raw([long, vec![b'x'; 64 << 20]].concat()));
    let mut deaf = Client::connect(semel.addr).await;
    deaf.request(&Request::get("/long")).await;
    crate::harness::eventually("the connection is closed", || async {
        let metrics = ask(semel.admin, &Request::get("/metrics").set("Host", "127.0.0.1")).await;
        metrics.text().lines().any(|line| line == "semel_connections 1").then_some(())
    })
    .await;
    let rest = deaf.rest().await;
    assert!(rest.len() < 64 << 20, "{}", rest.len());
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr).arg("--keep-alive", "200ms").start().await;
    let mut client = Client::connect(semel.addr).await;
    client.request(&Request::get("/")).await;
    assert_eq!(client.reply("GET").await.unwrap().status, 201);
    assert_eq!(client.rest().await, b"");
}
