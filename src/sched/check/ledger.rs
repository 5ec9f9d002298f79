//! What the judges know of a node's room: written anew, on purpose, from design §3 "Assumed writes".

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    AllocId,
    records::{AllocRecord, Ask, NodeInfo},
};

/// The allocations of one node that may hold room.
pub(crate) type Holders<'a> = BTreeMap<AllocId, &'a AllocRecord>;

/// Allocations that wait for each other, as sets: of each set, one runs at a time.
pub(crate) fn chains(holders: &Holders<'_>) -> Vec<BTreeSet<AllocId>> {
    let mut sets: Vec<BTreeSet<AllocId>> = Vec::new();
    for (id, record) in holders {
        let mut set: BTreeSet<AllocId> =
            record.after.iter().copied().filter(|other| holders.contains_key(other)).collect();
        set.insert(*id);
        let (touching, apart): (Vec<_>, Vec<_>) =
            sets.into_iter().partition(|other| !other.is_disjoint(&set));
        touching.into_iter().for_each(|other| set.extend(other));
        sets = apart;
        sets.push(set);
    }
    sets
}

/// The most that the node can be asked for at a time.
pub(crate) fn peak(holders: &Holders<'_>) -> Ask {
    chains(holders).iter().fold(Ask::default(), |sum, chain| {
        let most = |of: fn(&Ask) -> i64| chain.iter().map(|id| of(&holders[id].ask)).max().unwrap_or(0);
        Ask {
            cpu: sum.cpu + most(|a| a.cpu),
            memory_mb: sum.memory_mb + most(|a| a.memory_mb),
            disk_mb: sum.disk_mb + most(|a| a.disk_mb),
        }
    })
}

/// What tasks may have of a node.
pub(crate) fn capacity(info: &NodeInfo) -> Ask {
    let (all, kept) = (info.resources.total, info.resources.reserved);
    Ask {
        cpu: all.cpu - kept.cpu,
        memory_mb: all.memory_mb - kept.memory_mb,
        disk_mb: all.disk_mb - kept.disk_mb,
    }
}

/// Does `a` exceed `b` in some dimension?
pub(crate) fn exceeds(a: Ask, b: Ask) -> bool {
    a.cpu > b.cpu || a.memory_mb > b.memory_mb || a.disk_mb > b.disk_mb
}

/// Two allocations that hold the same port though neither waits for the other.
pub(crate) fn port_clash(holders: &Holders<'_>) -> Option<(AllocId, AllocId, u16)> {
    let chains = chains(holders);
    let mut held: BTreeMap<u16, (usize, AllocId)> = BTreeMap::new();
    for (nth, chain) in chains.iter().enumerate() {
        for id in chain {
            for port in &holders[id].ports {
                match held.insert(port.value, (nth, *id)) {
                    Some((other, before)) if other != nth => return Some((before, *id, port.value)),
                    _ => {}
                }
            }
        }
    }
    None
}
