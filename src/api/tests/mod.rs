//! The routes against a store in memory, in virtual time; connections on a real loopback socket.

mod bad_input;
mod deck;
mod faults;
mod gate;
mod jobs;
mod lab;
mod logs;
mod pure;
mod reads;
mod shapes;
mod tcp;
