//! Duplicates that wait for their original: woken in process, bounded per key and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use semel_core::RecordId;
use tokio::sync::Notify;

/// The waiting room of one engine.
#[derive(Debug)]
pub(super) struct Waiters {
    rooms: Mutex<Rooms>,
    per_key_max: usize,
    all_max: usize,
}

#[derive(Debug, Default)]
struct Rooms {
    by_key: HashMap<RecordId, Room>,
    waiting: usize,
}

#[derive(Debug)]
struct Room {
    wake: Arc<Notify>,
    waiting: usize,
}

/// A place in the waiting room; leaving it is dropping it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiters: &'a Waiters,
    id: RecordId,
    /// Told when the key's record has changed in this process.
    pub(super) wake: Arc<Notify>,
}

impl Waiters {
    pub(super) fn new(per_key_max: usize, all_max: usize) -> Self {
        Self { rooms: Mutex::default(), per_key_max, all_max }
    }

    /// A place to wait for `id`; `None` when there is no room, and the caller is answered at once.
    pub(super) fn enter(&self, id: RecordId) -> Option<Place<'_>> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let here = rooms.by_key.get(&id).map_or(0, |room| room.waiting);
        if rooms.waiting >= self.all_max || here >= self.per_key_max {
            return None;
        }
        rooms.waiting += 1;
        let room =
            rooms.by_key.entry(id).or_insert_with(|| Room { wake: Arc::default(), waiting: 0 });
        room.waiting += 1;
        Some(Place { waiters: self, id, wake: Arc::clone(&room.wake) })
    }

    /// Wakes all who wait for `id`.
    pub(super) fn wake(&self, id: &RecordId) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.by_key.get(id) {
            room.wake.notify_waiters();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut rooms = self.waiters.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.waiting -= 1;
        if let Some(room) = rooms.by_key.get_mut(&self.id) {
            room.waiting -= 1;
            if room.waiting == 0 {
                rooms.by_key.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RecordId = RecordId([1; 32]);
    const B: RecordId = RecordId([2; 32]);

    #[test]
    fn places_are_bounded_per_key_and_in_all_and_come_back() {
        let waiters = Waiters::new(2, 3);
        let first = waiters.enter(A).unwrap();
        let _second = waiters.enter(A).unwrap();
        assert!(waiters.enter(A).is_none(), "two at one key");
        let _third = waiters.enter(B).unwrap();
        assert!(waiters.enter(B).is_none(), "three in all");
        drop(first);
        assert!(waiters.enter(A).is_some());
    }

    #[tokio::test]
    async fn whoever_is_armed_is_woken() {
        let waiters = Waiters::new(1, 1);
        let place = waiters.enter(A).unwrap();
        let woken = place.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        waiters.wake(&A);
        woken.await;
    }
}
