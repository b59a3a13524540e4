//! The store's time and its high-water mark, as committer, readers and maintenance share them.

use std::sync::{Arc, Mutex};

use semel_core::Timestamp;

use super::shared::held;
use crate::store::clock::{Reading, StoreClock};
use crate::time::WallClock;

#[derive(Debug)]
pub(super) struct Clock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    clock: StoreClock,
    wall: Arc<dyn WallClock>,
    /// The latest time that was given out, here or in an earlier life of the process.
    high_water: Timestamp,
}

impl Clock {
    pub(super) fn new(wall: Arc<dyn WallClock>, high_water: Timestamp) -> Self {
        let clock = StoreClock::new(Arc::clone(&wall), high_water);
        Self { state: Mutex::new(State { clock, wall, high_water }) }
    }

    pub(super) fn read(&self) -> Reading {
        let mut state = held(&self.state);
        let reading = state.clock.read();
        state.high_water = state.high_water.max(reading.at);
        reading
    }

    pub(super) fn now(&self) -> Timestamp {
        self.read().at
    }

    pub(super) fn high_water(&self) -> Timestamp {
        held(&self.state).high_water
    }

    /// Takes in a mark that was found on disk.
    pub(super) fn believe(&self, mark: Timestamp) {
        let mut state = held(&self.state);
        if mark > state.high_water {
            state.high_water = mark;
            state.clock = StoreClock::new(Arc::clone(&state.wall), mark);
        }
    }
}
