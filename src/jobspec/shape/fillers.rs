//! Which values say nothing: zero, and what clients fill in on their own.

use serde_json::Value;

use crate::schema::{Field, Kind};

/// True for what counts as absent.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// True for what a Go client sends for a field that nobody set.
fn is_zero(value: &Value) -> bool {
    is_empty(value) || matches!(value, Value::Bool(false)) || value.as_f64() == Some(0.0)
}

/// True if a value says no more than an absent one: zero, or what clients fill in.
pub(super) fn harmless(field: &Field, value: &Value) -> bool {
    if field.bare && matches!(value, Value::Object(_)) {
        return false;
    }
    if is_zero(value) || field.fillers.iter().any(|filler| is_filler(filler, value)) {
        return true;
    }
    match (field.kind, value) {
        (Kind::One(block), Value::Object(map)) => {
            map.iter().all(|(key, v)| block.by_api(key).map_or_else(|| is_zero(v), |f| harmless(f, v)))
        }
        _ => false,
    }
}

/// Compares with a JSON text of the table, members that are zero left out.
fn is_filler(filler: &str, value: &Value) -> bool {
    let expected: Value = serde_json::from_str(filler).expect("a test reads every filler of the table");
    match (expected, value) {
        (Value::Object(expected), Value::Object(given)) => {
            given.iter().all(|(key, v)| is_zero(v) || expected.get(key) == Some(v))
                && expected.keys().all(|key| given.contains_key(key))
        }
        (expected, given) => expected == *given,
    }
}
