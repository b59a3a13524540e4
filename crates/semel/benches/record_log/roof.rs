//! The roof: the same driver, the same bytes, appended with one `fdatasync` a batch, and nothing else: no
//! index, no judging, no segments. The file was written before, as the log's segments are, and is gone through
//! again from its start: one that grows would pay for its new blocks at each sync.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use semel::time::{SystemClock, WallClock};
use semel_core::store::{Put, Status, Swap};
use semel_core::{Incarnation, Timestamp, codec};
use tokio::sync::oneshot;

use super::load::Target;

/// Bytes of the file.
const LEN: u64 = 256 << 20;

type Waiting = (Vec<(Swap, oneshot::Sender<Timestamp>)>, bool);

pub(crate) struct Roof {
    queue: Arc<(Mutex<Waiting>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Roof {
    pub(crate) fn at(path: &Path) -> Self {
        let mut file = File::create(path).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..LEN >> 20 {
            file.write_all(&zeros).unwrap();
        }
        file.sync_all().unwrap();
        let queue = Arc::new((Mutex::new((Vec::new(), false)), Condvar::new()));
        let theirs = Arc::clone(&queue);
        let thread = Some(std::thread::spawn(move || commit(&file, &theirs)));
        Self { queue, thread }
    }
}

fn commit(file: &File, queue: &(Mutex<Waiting>, Condvar)) {
    let (mut batch, mut end) = (Vec::new(), 0);
    loop {
        let waiting = queue.0.lock().unwrap();
        let mut waiting = queue.1.wait_while(waiting, |w| w.0.is_empty() && !w.1).unwrap();
        let asks = std::mem::take(&mut waiting.0);
        drop(waiting);
        if asks.is_empty() {
            return;
        }
        batch.clear();
        let at = SystemClock.now();
        let mut replies = Vec::with_capacity(asks.len());
        for (swap, reply) in asks {
            if let Put::Record(mut record) = swap.write {
                record.stamp = at;
                batch.extend_from_slice(&swap.id.0);
                batch.extend_from_slice(&codec::encode(&record));
            }
            replies.push(reply);
        }
        if end + batch.len() as u64 > LEN {
            end = 0;
        }
        file.write_all_at(&batch, end).unwrap();
        end += batch.len() as u64;
        file.sync_data().unwrap();
        for reply in replies {
            let _ = reply.send(at);
        }
    }
}

impl Drop for Roof {
    fn drop(&mut self) {
        self.queue.0.lock().unwrap().1 = true;
        self.queue.1.notify_all();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Target for Roof {
    async fn write(&self, swap: Swap) -> Timestamp {
        let (reply, answer) = oneshot::channel();
        let first = {
            let mut waiting = self.queue.0.lock().unwrap();
            waiting.0.push((swap, reply));
            waiting.0.len() == 1
        };
        if first {
            self.queue.1.notify_one();
        }
        answer.await.unwrap()
    }

    async fn status(&self) -> Status {
        let at = SystemClock.now();
        Status {
            incarnation: Incarnation([0; 16]),
            birth: Timestamp::ZERO,
            at,
            deletion_paused: None,
        }
    }
}
