//! The screens, line by line, against a server that answers canned JSON.

mod parsing;
mod processes;
mod screens;
mod server;
