//! The store, proved twice: one contract suite runs on the store in memory, in virtual time, and on a real etcd;
//! and what only a real one has (endpoints, credentials, broken connections) is tested on that.

mod auth;
mod contract;
mod failing;
mod large;
mod proxy;
mod rotation;
mod support;
mod tls;
