//! What tests with real parts need: an etcd of their own, a proxy before it that loses things on purpose, and
//! waiting for a condition. A dev-dependency only: nothing here is in the product.
//!
//! Invariants: everything listens on loopback, on ports of its own, so that tests run side by side; everything
//! started here ends with its test, also with one that panics or is killed; a wait that fails says what it last
//! saw. Failures of the kit itself are panics with the remedy in the text: it is only ever used by tests.

mod etcd;
mod ports;
mod proxy;
mod wait;

pub use etcd::{Etcd, EtcdOptions, TlsFiles};
pub use ports::free_port;
pub use proxy::{Step, TxnProxy};
pub use wait::wait_for;
