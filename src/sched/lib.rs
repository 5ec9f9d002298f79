//! What must be done for a job, and on which nodes: feasibility, ranking, ports, the comparison of what is declared
//! with what is, and why something cannot be done.
//!
//! Invariants: pure (no IO, no clock, no async; the same World, request and ids give the same plan). A plan's units
//! carry every guard that design law 5 asks for. [`check`] and [`audit`] judge plans and Worlds, and share no code
//! with what they judge.
//!
//! Start with [`turn()`], which is [`plan()`] (the one way from a World to units) and the answers to those who asked;
//! [`need()`] and [`wake()`] say which jobs need one.

mod ask;
pub mod audit;
mod call;
pub mod check;
mod checks;
mod constraint;
mod fleet;
mod group;
#[cfg(any(test, feature = "test-util"))]
pub mod harness;
mod need;
mod pace;
mod place;
mod plan;
mod ports;
mod score;
mod sites;
mod target;
#[cfg(test)]
mod tests;
mod turn;
mod version;
mod wake;
mod why;

pub use ask::{CPU_DEFAULT_MHZ, DISK_DEFAULT_MB, Demand, MEMORY_DEFAULT_MB, PortAsk};
pub use call::evaluation;
pub use checks::{Checks, Distinct};
pub use fleet::Fleet;
pub use need::{Call, Need, need};
pub use pace::{Pace, STAGGER_DEFAULT};
pub use plan::{Plan, Request, is_plannable, plan};
pub use turn::turn;
pub use version::{Requirement, Version};
pub use wake::{Woken, wake};
