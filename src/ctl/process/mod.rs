//! The processes: what each runs, and nothing else. [`host`] starts parts side by side and ends them together.

pub(crate) mod agent;
pub(crate) mod api;
pub(crate) mod controllers;
pub(crate) mod dev;
pub(crate) mod etcd;
mod flags;
mod host;
mod local;
pub(crate) mod server;
