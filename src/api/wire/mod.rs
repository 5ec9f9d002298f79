//! The shapes that clients see, apart from what is stored. Durations are nanoseconds, instants as each field has
//! always been: nanoseconds since 1970, or a text.

pub(crate) mod agent;
pub(crate) mod alloc;
pub(crate) mod eval;
pub(crate) mod job;
pub(crate) mod node;
pub(crate) mod resources;
pub(crate) mod task;

use encamp_model::Timestamp;
use serde_json::{Map, Value};

/// An instant as text, as in `2026-11-22T14:15:57.25Z`.
pub(crate) fn instant(at: Timestamp) -> String {
    // An instant beyond the year 9999 was not written by anything of ours; 1970 is as good.
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default().to_string()
}

/// An instant in a sentence: to the second in which it has come.
pub(crate) fn second(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    let up = jiff::TimestampRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Ceil);
    at.round(up).unwrap_or(at).to_string()
}

/// Sets what is missing, or null, to what its absence means.
pub(crate) fn fill(map: &mut Map<String, Value>, defaults: Value) {
    let Value::Object(defaults) = defaults else { return };
    for (key, value) in defaults {
        let slot = map.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value;
        }
    }
}
