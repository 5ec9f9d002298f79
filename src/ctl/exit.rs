//! What a verb's end means to a script.

use std::process::ExitCode;

/// How a verb ended. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// Wrong use, or an error on the way; [`crate::Error`]s end so too.
    Error,
    /// Accepted, but something could not be placed yet.
    NotPlaced,
    /// What was asked for was tried and failed.
    Failed,
}

impl Exit {
    /// The number that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Error => 1,
            Exit::NotPlaced => 2,
            Exit::Failed => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
