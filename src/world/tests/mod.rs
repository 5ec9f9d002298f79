mod entries;
mod listing;
mod opaque;
mod overlay;
mod random;
mod rooms;

use std::collections::BTreeMap;

use encamp_model::{AllocId, EvalId, JobId, JobUid, NodeId};

use crate::World;

fn node(n: u128) -> NodeId {
    NodeId::from_bits(n)
}

fn alloc_id(n: u128) -> AllocId {
    AllocId::from_bits(n)
}

fn uid(n: u128) -> JobUid {
    JobUid::from_bits(n)
}

fn eval_id(n: u128) -> EvalId {
    EvalId::from_bits(n)
}

fn job_id(name: &str) -> JobId {
    JobId::new("default", name)
}

/// All that can be read of a World, but the order of helpful changes: that is the watcher's own.
fn dump(world: &World) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for key in world.keys() {
        let revisions = world.revisions(&key).or_else(|| world.opaque.get(&key).copied());
        out.insert(
            format!("{key:?}"),
            format!("{revisions:?} {} opaque {}", world.mod_revision(&key), world.is_opaque(&key)),
        );
    }
    for (id, entry) in world.jobs() {
        out.insert(format!("job {id}"), format!("{entry:?}"));
    }
    for (uid, entry) in world.registrations() {
        out.insert(format!("registration {uid}"), format!("{entry:?}"));
    }
    for (id, entry) in world.nodes() {
        let mut entry = (**entry).clone();
        entry.helpful = 0;
        out.insert(format!("node {id}"), format!("{entry:?} takes {}", entry.takes_placements()));
        out.insert(format!("room {id}"), format!("{:?}", world.room(id)));
    }
    for entry in world.allocs() {
        assert_eq!(world.alloc(entry.id), Some(entry));
        out.insert(format!("alloc {}", entry.id), format!("{entry:?}"));
    }
    for (id, eval) in world.evals() {
        out.insert(format!("eval {id}"), format!("{eval:?}"));
    }
    out.insert("waiting".into(), format!("{:?}", world.waiting().collect::<Vec<_>>()));
    out.insert("revision".into(), world.revision().to_string());
    out
}

/// Compares two dumps entry by entry, so that a difference can be read.
fn assert_same(seen: &World, wanted: &World) {
    let (seen, wanted) = (dump(seen), dump(wanted));
    for (what, value) in &wanted {
        assert_eq!(seen.get(what), Some(value), "{what}");
    }
    for what in seen.keys() {
        assert!(wanted.contains_key(what), "{what} is not stored");
    }
}
