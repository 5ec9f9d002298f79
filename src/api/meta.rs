//! The index headers that every answer about stored things carries.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

const INDEX: HeaderName = HeaderName::from_static("x-nomad-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-nomad-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-nomad-lastcontact");
const NEXT_TOKEN: HeaderName = HeaderName::from_static("x-nomad-nexttoken");

/// What an answer says of the state that it was made from; in headers, and in some bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Meta {
    /// Last change of the table or object.
    pub(crate) index: i64,
    /// False while etcd cannot be reached.
    pub(crate) known_leader: bool,
    /// How old the state may be, in nanoseconds: 0 after a fence; for a stale read, since when etcd was not heard.
    pub(crate) last_contact: u64,
    /// Where the next page starts; empty if there is none.
    pub(crate) next_token: String,
}

impl Meta {
    pub(crate) fn new(index: i64, known_leader: bool) -> Self {
        Meta { index, known_leader, last_contact: 0, next_token: String::new() }
    }

    /// The headers of a read.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        self.write_index(headers);
        headers
            .insert(KNOWN_LEADER, HeaderValue::from_static(if self.known_leader { "true" } else { "false" }));
        headers.insert(LAST_CONTACT, HeaderValue::from(self.last_contact / 1_000_000));
        if let (false, Ok(token)) = (self.next_token.is_empty(), HeaderValue::from_str(&self.next_token)) {
            headers.insert(NEXT_TOKEN, token);
        }
    }

    /// The header of a write.
    pub(crate) fn write_index(&self, headers: &mut HeaderMap) {
        headers.insert(INDEX, HeaderValue::from(self.index));
    }
}
