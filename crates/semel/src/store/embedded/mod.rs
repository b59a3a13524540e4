//! The embedded store: our own record log in one directory, for one process.
//!
//! It keeps each acknowledged write through the end of the process and the loss of power. Nothing is
//! visible, and nothing is answered, before it is on disk:
//!
//! 1. All writes that wait, of all callers, go into one batch with one `fdatasync`; the next batch
//!    begins as soon as that has returned. A batch carries a sequence, a length and a checksum.
//! 2. The log is a row of segments; each takes writes for at most one time bucket, so all in it ends
//!    at about one time. A segment that has ended leaves as a whole; what is used up in it becomes a
//!    small table of spent keys, what is not (in flight, in doubt) is written once more.
//! 3. A claim sets aside the bytes that its settle may need, so that claims are refused before
//!    settles are. They are counted among the free bytes of the disk, not held: whoever else fills the
//!    disk can take them. A settle is refused then, and lands once there is room.
//! 4. At opening, an unfinished write behind the last batch is cut. Anything else that does not read
//!    is damage: the store does not open and says where; [`check()`] and [`repair()`] help.
//!
//! It must never drop an acknowledged write in silence, believe a sync after a failed one, or delete
//! by a clock that jumped.
//!
//! The index is kept in memory, at most 32 bytes a key; the table of spent keys takes about 31 bytes
//! a key on disk and 1.6 in memory. The path goes on in [`semel_core::Store`]; a simulation runs the
//! same code over [`faults::FaultDisk`] with [`EmbeddedStore::open_driven`].

mod batch;
mod check;
mod clock;
mod commit;
mod disk;
mod driver;
mod entry;
mod error;
pub mod faults;
mod index;
mod index_file;
mod last;
mod list;
mod maintain;
mod manifest;
mod options;
mod read;
mod recover;
mod repair;
mod segment;
mod shared;
mod spent;
mod staged;
mod store;
mod supply;
mod tables;
mod walk;

pub use check::{Damage, Report, check, check_on};
pub use disk::{Disk, DiskCounts, DiskFile, FsDisk};
pub use driver::Driver;
pub use error::OpenError;
pub use maintain::Maintained;
pub use options::{EmbeddedOptions, Mark};
pub use recover::{Ground, Opened};
pub use repair::{Choice, begin_anew, repair, repair_on};
pub use store::{EmbeddedStore, Stats};
