//! The World: everything under the prefix, in etcd's order, as one value.
//!
//! Invariants: no IO, no clock. A `World` at revision R *is* etcd at R (whole revisions only). It is persistent: a
//! clone is O(1) and is a snapshot; a write copies one node's or one job's entry. What cannot be decoded is an
//! opaque entry, never an absence.
//!
//! Start with [`World`]; [`control`] says how loops read it.

mod apply;
mod change;
pub mod control;
mod counts;
mod entries;
mod overlay;
pub mod queue;
mod room;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod world;

pub use change::Change;
pub use counts::{GroupCounts, VersionCounts};
pub use entries::{AllocEntry, JobEntry, NodeEntry, Occupied, Registration, Stored, VersionEntry};
pub use overlay::Overlay;
pub use room::Room;
pub use world::{RawEvent, Table, World};
