//! Whether an allocation that never started fits what its node has now.

use std::collections::BTreeMap;

use encamp_model::{
    AllocId,
    records::{Ask, NodeInfo},
};

use super::alloc::Alloc;

/// Room taken on the node, as far as its own agent can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken(Ask);

impl Taken {
    /// By everything that may have a process now.
    pub(crate) fn by_occupants(allocs: &BTreeMap<AllocId, Alloc>) -> Self {
        let mut taken = Taken::default();
        for alloc in allocs.values().filter(|a| a.occupies()) {
            if let Some(record) = alloc.record() {
                taken.add(record.ask);
            }
        }
        taken
    }

    pub(crate) fn add(&mut self, ask: Ask) {
        self.0.cpu += ask.cpu;
        self.0.memory_mb += ask.memory_mb;
        self.0.disk_mb += ask.disk_mb;
    }

    /// What `alloc` takes on top: its ask less what those that it waits for still hold, never below zero.
    pub(crate) fn extra(allocs: &BTreeMap<AllocId, Alloc>, alloc: &Alloc) -> Ask {
        let Some(record) = alloc.record() else { return Ask::default() };
        let mut extra = record.ask;
        for named in &record.after {
            let Some(held) = allocs.get(named).filter(|a| a.occupies()).and_then(Alloc::record) else {
                continue;
            };
            extra.cpu -= held.ask.cpu;
            extra.memory_mb -= held.ask.memory_mb;
            extra.disk_mb -= held.ask.disk_mb;
        }
        Ask { cpu: extra.cpu.max(0), memory_mb: extra.memory_mb.max(0), disk_mb: extra.disk_mb.max(0) }
    }

    /// Why `extra` more does not fit `info`, if it does not.
    pub(crate) fn lacks(self, info: &NodeInfo, extra: Ask) -> Option<String> {
        let (total, reserved) = (info.resources.total, info.resources.reserved);
        let dimensions = [
            ("cpu", "MHz", total.cpu - reserved.cpu, self.0.cpu, extra.cpu),
            ("memory", "MB", total.memory_mb - reserved.memory_mb, self.0.memory_mb, extra.memory_mb),
            ("disk", "MB", total.disk_mb - reserved.disk_mb, self.0.disk_mb, extra.disk_mb),
        ];
        dimensions.into_iter().find(|(.., room, taken, extra)| *extra > 0 && taken + extra > *room).map(
            |(what, unit, room, taken, extra)| {
                format!(
                    "{what}: {extra} {unit} more are wanted, but {taken} of the node's {room} {unit} are taken"
                )
            },
        )
    }
}

/// The first driver that a task of `alloc` needs and the node lacks, with the reason.
pub(crate) fn missing_driver(info: &NodeInfo, alloc: &Alloc) -> Option<String> {
    alloc.group()?.tasks.iter().find_map(|task| match info.drivers.get(&task.driver) {
        Some(driver) if driver.detected && driver.healthy => None,
        Some(driver) => Some(format!("driver {} is not usable here: {}", task.driver, driver.description)),
        None => Some(format!("driver {} is not enabled here", task.driver)),
    })
}
