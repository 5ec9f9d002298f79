//! Room of a node: what there is and what its allocations take.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use encamp_model::{
    AllocId,
    records::{AllocRecord, Ask, NodeInfo},
};

/// Room of a node. May be overdrawn, when a node's own size shrank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What tasks may take in all: total less reserved.
    pub capacity: Ask,
    /// What is taken.
    pub used: Ask,
    /// Ports that are held or reserved, sorted, each once.
    pub ports: Arc<Vec<u16>>,
}

impl Room {
    /// What is left by dimension; negative when overdrawn.
    pub fn free(&self) -> Ask {
        Ask {
            cpu: self.capacity.cpu - self.used.cpu,
            memory_mb: self.capacity.memory_mb - self.used.memory_mb,
            disk_mb: self.capacity.disk_mb - self.used.disk_mb,
        }
    }

    /// Is this port held or reserved?
    pub fn port_taken(&self, port: u16) -> bool {
        self.ports.binary_search(&port).is_ok()
    }

    /// The room that is left for others once this record, which waits for nobody, is placed too.
    #[must_use]
    pub fn with(mut self, record: &AllocRecord) -> Room {
        self.used = add(self.used, record.ask);
        if !record.ports.is_empty() {
            let ports = Arc::make_mut(&mut self.ports);
            for port in &record.ports {
                if let Err(at) = ports.binary_search(&port.value) {
                    ports.insert(at, port.value);
                }
            }
        }
        self
    }

    /// Takes stock: `holders` are the records whose room is not free.
    pub(crate) fn of<'a>(
        info: Option<&NodeInfo>,
        holders: impl Iterator<Item = (AllocId, &'a AllocRecord)>,
    ) -> Room {
        let holders: BTreeMap<AllocId, &AllocRecord> = holders.collect();
        let mut ports: Vec<u16> = info.map_or_else(Vec::new, |i| i.resources.reserved_ports.clone());
        ports.extend(holders.values().flat_map(|r| r.ports.iter().map(|p| p.value)));
        ports.sort_unstable();
        ports.dedup();
        Room {
            capacity: info.map(capacity).unwrap_or_default(),
            used: used(&holders),
            ports: Arc::new(ports),
        }
    }
}

fn capacity(info: &NodeInfo) -> Ask {
    let (total, reserved) = (info.resources.total, info.resources.reserved);
    Ask {
        cpu: (total.cpu - reserved.cpu).max(0),
        memory_mb: (total.memory_mb - reserved.memory_mb).max(0),
        disk_mb: (total.disk_mb - reserved.disk_mb).max(0),
    }
}

/// The sum over all chains. A chain is an allocation with those it waits for (`after`): of it and them, either it
/// runs or they do, so that it takes the larger of its own ask and the sum of theirs, in each dimension.
///
/// Each allocation is counted once. What only garbage in etcd can bring about (a circle, a second waiter, a chain
/// without end) never counts as less than it may take.
fn used(holders: &BTreeMap<AllocId, &AllocRecord>) -> Ask {
    if holders.values().all(|r| r.after.is_empty()) {
        return holders.values().fold(Ask::default(), |sum, r| add(sum, r.ask));
    }
    let waited_for: BTreeSet<&AllocId> = holders.values().flat_map(|r| &r.after).collect();
    let mut counted = BTreeSet::new();
    let roots = holders.keys().filter(|id| !waited_for.contains(id));
    let sum =
        roots.fold(Ask::default(), |sum, id| add(sum, chain(*id, holders, GENERATIONS_MAX, &mut counted)));
    let rest = holders.iter().filter(|(id, _)| !counted.contains(id));
    rest.fold(sum, |sum, (_, record)| add(sum, record.ask))
}

/// Generations of a chain that are looked at; those beyond are counted as if nobody waited for them.
const GENERATIONS_MAX: usize = 64;

/// Room of a chain. `after` is inherited, so the direct predecessors are those that no other predecessor waits for.
fn chain(
    id: AllocId,
    holders: &BTreeMap<AllocId, &AllocRecord>,
    depth: usize,
    counted: &mut BTreeSet<AllocId>,
) -> Ask {
    let Some(record) = holders.get(&id).filter(|_| !counted.contains(&id)) else { return Ask::default() };
    counted.insert(id);
    if depth == 0 {
        return record.ask;
    }
    let before: BTreeSet<AllocId> =
        record.after.iter().copied().filter(|a| holders.contains_key(a)).collect();
    let inherited: BTreeSet<AllocId> =
        before.iter().flat_map(|b| holders[b].after.iter().copied().filter(move |a| a != b)).collect();
    let direct = before.difference(&inherited);
    let sum = direct.fold(Ask::default(), |sum, a| add(sum, chain(*a, holders, depth - 1, counted)));
    Ask {
        cpu: record.ask.cpu.max(sum.cpu),
        memory_mb: record.ask.memory_mb.max(sum.memory_mb),
        disk_mb: record.ask.disk_mb.max(sum.disk_mb),
    }
}

fn add(a: Ask, b: Ask) -> Ask {
    Ask {
        cpu: a.cpu.saturating_add(b.cpu),
        memory_mb: a.memory_mb.saturating_add(b.memory_mb),
        disk_mb: a.disk_mb.saturating_add(b.disk_mb),
    }
}
