//! raw_exec and its supervisor with real processes. Most of it needs to run as root, as the agent does.

mod bench;
mod ends;
mod folders;
mod lost;
mod output;
mod roles;
mod starts;
mod stops;
