//! Tests, one idea a file: the core on its own, the pieces, the loop on a store in memory, and real supervisors.

mod core_life;
mod core_permission;
mod core_random;
mod core_told;
mod fingerprint;
mod folders;
mod kit;
mod pieces;
mod rig;
