//! The record log on a disk that lies.

mod basics;
mod crashes;
mod kill;
mod list;
mod older;
mod repair;
mod retire;
mod rig;
mod room;
mod torn;
mod trouble;
