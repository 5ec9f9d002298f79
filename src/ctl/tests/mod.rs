//! The screens, line by line, against a server that answers canned JSON.

mod parsing;
mod screens;
mod server;
