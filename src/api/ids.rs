//! Ids in paths.

use std::{fmt::Display, str::FromStr};

use crate::error::Error;

/// An id, or the error that clients know for a text that is none.
pub(crate) fn parse<T>(what: &str, text: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| {
        let why = if text.len() == 36 { error.to_string() } else { "UUID must be 36 characters".to_owned() };
        Error::Refused(format!("{what} lookup failed: index error: {why}"))
    })
}
