//! How things look: tables, fields, times, and the reasons for what could not be placed. Pure text, tested as such.

pub(crate) mod fields;
pub(crate) mod reasons;
pub(crate) mod table;
pub(crate) mod time;

pub(crate) use fields::Fields;
pub(crate) use table::Table;

/// The first eight characters of an id, enough for people.
pub(crate) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
