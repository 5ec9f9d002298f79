//! Drives controllers: feeds the World from one watch, elects, queues, commits.
//!
//! Doctrine. Everything that decides is a value without IO: [`driver::Driver`] holds queue, pipeline and leadership
//! of one loop, and is told what happened ([`driver::Driver::on_step`], [`driver::Driver::on_answer`]) and asked what
//! to send ([`driver::Driver::poll`]). The async shell around it only moves bytes, so the simulator can drive the
//! same values in virtual time. Activations carry no input: a change marks a key dirty, the run asks the World what
//! is missing, and the next activation is the retry. Anything but success is a new epoch (design, law 5).
//!
//! Start with [`Process`]: one World, one session, and what api and loops need of both.

pub mod clock;
mod cluster;
mod commit;
pub mod driver;
mod fence;
mod hub;
mod leadership;
mod pack;
pub mod process;
mod reflector;
pub mod retry;
mod run;
mod session;
pub mod task;
pub mod telemetry;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use commit::CommitError;
pub use hub::{Health, Steps};
pub use pack::unit_txn;
pub use process::{Error, Options, Process};
pub use run::run_controller;
