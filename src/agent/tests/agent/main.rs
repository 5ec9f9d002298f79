//! The whole agent: on a store in memory in virtual time with a machine that is made up, and on this machine with
//! real supervisors.

mod adoption;
mod etcd;
mod identity;
mod lab;
mod leases;
mod machine;
mod real;
mod reports;
mod work;
