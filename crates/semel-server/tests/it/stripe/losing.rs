//! A wire that loses replies: whole ones, and only those to POST. (Of a reply that is cut the SDK
//! believes what came, and does not ask again.)

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The wire. It is cut when it is dropped.
#[derive(Debug)]
pub(super) struct Losing {
    pub(super) addr: SocketAddr,
    posts: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Losing {
    /// A wire to `to` that loses the reply to the n-th POST (from 0) where `loses` says so.
    pub(super) async fn to(to: SocketAddr, loses: fn(usize) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let posts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&posts);
        let accepting = tokio::spawn(async move {
            let mut carrying = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                carrying.spawn(carry(from, to, loses, Arc::clone(&counted)));
            }
        });
        Self { addr, posts, accepting }
    }

    /// How many POSTs it has carried.
    pub(super) fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }
}

impl Drop for Losing {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries bytes both ways. At the first byte of a reply that is to be lost, both ends are closed.
async fn carry(
    mut from: TcpStream,
    to: SocketAddr,
    loses: fn(usize) -> bool,
    posts: Arc<AtomicUsize>,
) {
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut answered = true;
    let mut lost = false;
    loop {
        tokio::select! {
            biased;
            read = from.read(&mut up) => {
                let Ok(n @ 1..) = read else { return };
                if answered && up.starts_with(b"POST ") {
                    lost = loses(posts.fetch_add(1, Ordering::SeqCst));
                }
                answered = false;
                if to.write_all(&up[..n]).await.is_err() {
                    return;
                }
            }
            read = to.read(&mut down) => {
                let Ok(n @ 1..) = read else { return };
                answered = true;
                if lost || from.write_all(&down[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
