mod leases;
mod model;
mod reads;
mod txns;
mod watches;

use bytes::Bytes;

use crate::{Core, Event, EventKind, Kv, NO_LEASE, Range, RangeRequest, Revision};

/// A put that must work; the revision it made.
fn put(core: &mut Core, key: &str, value: &str) -> Revision {
    core.put(&bytes(key), &bytes(value), NO_LEASE).unwrap().1
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// `key=value` of each record.
fn show(kvs: &[Kv]) -> String {
    let pairs: Vec<String> =
        kvs.iter().map(|kv| format!("{}={}", kv.key.escape_ascii(), kv.value.escape_ascii())).collect();
    pairs.join(" ")
}

/// `revision+key` or `revision-key` of each event.
fn trace(events: &[Event]) -> String {
    let signs: Vec<String> = events
        .iter()
        .map(|event| {
            let sign = if event.kind == EventKind::Put { '+' } else { '-' };
            format!("{}{sign}{}", event.kv.mod_revision, event.kv.key.escape_ascii())
        })
        .collect();
    signs.join(" ")
}

fn at(core: &Core, range: Range, revision: Revision) -> Result<String, crate::Error> {
    core.range(&RangeRequest { revision, ..RangeRequest::now(range) }).map(|answer| show(&answer.kvs))
}
