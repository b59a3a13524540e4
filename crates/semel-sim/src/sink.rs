//! The upstream: it does what it is asked and counts what it did, and nobody tells it about Semel.
//!
//! It is slow, cuts replies, refuses connections, says honestly that nothing happened, streams large
//! replies; and it never begins an effect later than its bound after the request was sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::faults::Fault;
use crate::history::{Happened, Heard, KeyName, Recorder};
use crate::options::Options;
use crate::rng::{Rng, fnv};

/// So many replies of a thousand are long.
const LONG: u32 = 30;

/// What a handler sends.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose operation.
    pub key: KeyName,
    /// The key that Semel passes on.
    pub derived: String,
    /// The fence that Semel passes on.
    pub fence: u64,
    /// Which body.
    pub body: u8,
}

/// What comes back, if something does.
#[derive(Clone, Debug)]
pub struct Answer {
    /// An HTTP status.
    pub status: u16,
    /// The reply.
    pub plain: Bytes,
    /// Too large to keep.
    pub large: bool,
    /// "Nothing happened", said by the upstream itself.
    pub nothing: bool,
}

/// What an operator finds when it looks a key up.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The reply to the request that had the effect.
    pub plain: Bytes,
    /// Its status.
    pub status: u16,
    /// The fence that it carried.
    pub fence: u64,
}

#[derive(Debug, Default)]
struct Book {
    /// By key, the latest effect's reply.
    done: BTreeMap<KeyName, Entry>,
    /// By derived key, for an upstream that honours it.
    slots: BTreeMap<String, Arc<tokio::sync::Mutex<Option<Answer>>>>,
}

/// The upstream.
#[derive(Debug)]
pub struct Sink {
    recorder: Arc<Recorder>,
    options: Arc<Options>,
    rng: Mutex<Rng>,
    book: Mutex<Book>,
    effects: AtomicU64,
    healed: AtomicBool,
}

/// How one request goes.
#[derive(Clone, Copy, Debug)]
struct Course {
    before_ms: u64,
    after_ms: u64,
    nothing: bool,
    declined: bool,
    cut: bool,
    large: bool,
    bytes: u64,
}

impl Sink {
    /// An upstream that has done nothing yet.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, options: Arc<Options>) -> Self {
        let rng = Mutex::new(Rng::new(options.seed).fork("sink"));
        let (effects, healed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { recorder, options, rng, book: Mutex::default(), effects, healed }
    }

    /// No more faults.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self, rng: &mut Rng, fault: Fault, key: KeyName) -> bool {
        let strikes = !self.healed.load(Ordering::SeqCst) && rng.chance(self.options.rate(fault));
        if strikes {
            self.recorder.struck(fault, key.to_string());
        }
        strikes
    }

    /// Whether a connection could be had. Asked before anything is sent.
    #[must_use]
    pub fn connects(&self, key: KeyName) -> bool {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        !self.strikes(&mut rng, Fault::ConnectFailed, key)
    }

    fn course(&self, key: KeyName) -> Course {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let rng = &mut *rng;
        let bound = self.options.policy.max_upstream.as_ms();
        let mut course = Course {
            before_ms: rng.between(1, 60).min(bound / 2),
            after_ms: rng.below(60),
            nothing: self.strikes(rng, Fault::NoEffect, key),
            declined: rng.chance(60),
            cut: self.strikes(rng, Fault::ReplyCut, key),
            large: self.strikes(rng, Fault::LargeReply, key),
            bytes: match rng.chance(LONG) {
                // Near the cap of the log, and far beyond what a batch holds.
                true => rng.between(41_000, 46_000),
                false => rng.between(0, self.options.reply_bytes),
            },
        };
        if self.strikes(rng, Fault::UpstreamSlow, key) {
            let slow = rng.between(0, bound.saturating_sub(100));
            if rng.chance(700) { course.before_ms = slow } else { course.after_ms = slow }
        }
        course
    }

    /// Takes a request that was sent at `sent`. It is carried on whoever asked and whatever became
    /// of them; the answer may never come.
    pub fn send(self: &Arc<Self>, request: Request, sent: Instant) -> oneshot::Receiver<Answer> {
        let (told, answer) = oneshot::channel();
        let sink = Arc::clone(self);
        tokio::spawn(async move {
            let course = sink.course(request.key);
            let answer = if sink.options.honours_key {
                let slot = sink.book().slots.entry(request.derived.clone()).or_default().clone();
                let mut slot = slot.lock().await;
                match &*slot {
                    Some(done) => {
                        let done = done.clone();
                        sink.replied(&request, &done.plain);
                        Some(done)
                    }
                    None => {
                        let answer = sink.work(&request, course, sent).await;
                        *slot = answer.clone().filter(|answer| !answer.nothing);
                        answer
                    }
                }
            } else {
                sink.work(&request, course, sent).await
            };
            tokio::time::sleep(Duration::from_millis(course.after_ms)).await;
            match answer {
                Some(answer) if !course.cut => drop(told.send(answer)),
                Some(_) | None => drop(told),
            }
        });
        answer
    }

    async fn work(&self, request: &Request, course: Course, sent: Instant) -> Option<Answer> {
        tokio::time::sleep(Duration::from_millis(course.before_ms)).await;
        if sent.elapsed() > self.options.policy.max_upstream.to_duration() {
            // It gives such a request up, or the promise about its bound would be a lie.
            return None;
        }
        if course.nothing {
            let plain = Bytes::from_static(b"nothing happened");
            return Some(Answer { status: 429, plain, large: false, nothing: true });
        }
        let effect = self.effects.fetch_add(1, Ordering::SeqCst);
        let key = request.key;
        let mut text = format!("{key} body {} reply {effect} ", request.body);
        for n in 0..course.bytes / 8 {
            let _ = write!(text, "{n:08x}");
        }
        let plain = Bytes::from(text);
        // A declined card: an answer to keep, and no effect.
        let status = if course.declined { 402 } else { 201 };
        if !course.declined {
            self.recorder.note(Happened::Effect { key, fence: request.fence, effect });
            let (plain, fence) = (plain.clone(), request.fence);
            self.book().done.insert(key, Entry { plain, status, fence });
        }
        self.replied(request, &plain);
        Some(Answer { status, plain, large: course.large, nothing: false })
    }

    fn replied(&self, request: &Request, plain: &Bytes) {
        let (key, fence) = (request.key, request.fence);
        let (digest, bytes) = (fnv(plain), plain.len());
        self.recorder.note(Happened::Replied { key, fence, digest, bytes });
    }

    /// What a look-up by key finds.
    #[must_use]
    pub fn look_up(&self, key: KeyName) -> Option<Entry> {
        self.book().done.get(&key).cloned()
    }
}

/// What a client reads in a reply: all of it, and whose it says it is.
#[must_use]
pub fn read(plain: &Bytes) -> Heard {
    let text = String::from_utf8_lossy(plain);
    let canary = text.split(' ').next().and_then(|name| {
        let (tenant, key) = name.strip_prefix('t')?.split_once("/k")?;
        Some(KeyName { tenant: tenant.parse().ok()?, key: key.parse().ok()? })
    });
    let nobody = KeyName { tenant: u8::MAX, key: u16::MAX };
    Heard { digest: fnv(plain), canary: canary.unwrap_or(nobody) }
}
