//! A job that was read, edited and sent back: what we filled in for its reader was not declared by him.
//!
//! Without this, `GET`, another count, `PUT` would make every default explicit, and so look like a change of everything.

use encamp_model::Job;
use encamp_world::{Stored, World};
use serde_json::{Map, Value};

use crate::wire::job::{Around, whole};

/// `sent` without the fields that `stored` does not have and that hold what it was shown with.
pub(crate) fn without_echo(world: &World, stored: &Stored<Job>, sent: &Job, region: &str) -> Job {
    let shown = whole(stored, &Around::current(world, stored, region));
    // Admitted like what was sent, so that both are spelled alike.
    let Ok(shown) = encamp_jobspec::admit(shown) else { return sent.clone() };
    let mut kept = encamp_jobspec::to_api_json(sent);
    strip(&mut kept, &encamp_jobspec::to_api_json(stored), &encamp_jobspec::to_api_json(&shown.job));
    serde_json::from_value(kept).unwrap_or_else(|_| sent.clone())
}

fn strip(sent: &mut Value, stored: &Value, shown: &Value) {
    match (sent, stored, shown) {
        (Value::Object(sent), Value::Object(stored), Value::Object(shown)) => strip_map(sent, stored, shown),
        (Value::Array(sent), Value::Array(stored), Value::Array(shown)) => {
            for item in sent {
                // The shown list is the stored one, filled in: the same places hold the same things.
                let same = shown.iter().position(|s| key(s).is_some() && key(s) == key(item));
                let same = same.or_else(|| shown.iter().position(|s| s == item));
                if let Some((stored, shown)) = same.and_then(|i| Some((stored.get(i)?, shown.get(i)?))) {
                    strip(item, stored, shown);
                }
            }
        }
        _ => {}
    }
}

fn strip_map(sent: &mut Map<String, Value>, stored: &Map<String, Value>, shown: &Map<String, Value>) {
    sent.retain(|key, value| stored.contains_key(key) || shown.get(key) != Some(value));
    let nothing = Value::Object(Map::new());
    for (key, value) in sent {
        if let Some(shown) = shown.get(key) {
            strip(value, stored.get(key).unwrap_or(&nothing), shown);
        }
    }
}

/// What tells the items of a list apart: groups, tasks, services; ports.
fn key(item: &Value) -> Option<&Value> {
    item.get("Name").or_else(|| item.get("Label"))
}
