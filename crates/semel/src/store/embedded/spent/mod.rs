//! Keys that are used up: what is left of a record once its reply has outlived retention.
//!
//! A table is a sorted file of fixed entries, about 31 bytes a key on disk and 1.6 in memory, that
//! is written once and lives until the memory of all its keys has ended. It keeps 16 of the 32
//! bytes of an id: ids are keyed hashes, so two that agree in 128 bits do not occur, and if they
//! did, a key would be refused, never run twice.
//!
//! ```text
//! header  8 magic · 4 number · 8 entries · 4 latest end of memory in hours
//! blocks  of 4096 bytes: up to 141 entries, zeros, 4 CRC-32
//! entry   16 id · 6 fence · 1 revision · 1 flags (1 void, 2 has an outcome, 4+ effect 2 bits, 16+ attempt
//!         up to 15) · 2 status · 3 end of memory in hours
//! firsts  8 bytes of the first id of each block
//! filter  12 bits a key
//! footer  4 bytes of filter length · 4 CRC-32 of header, firsts and filter
//! ```

mod entry;
mod filter;
mod table;

pub(super) use entry::SpentEntry;
pub(super) use table::{SpentTable, TableError, TableWriter};

#[cfg(test)]
mod tests;
