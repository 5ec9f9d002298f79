//! The nodes that take placements, with the room that a run has left on them.

use encamp_model::{
    NodeId,
    records::{Ask, AssignedPort, NodeInfo},
};
use encamp_world::{NodeEntry, Room, World};

use crate::{Fleet, ports::PortPlan};

/// One node that takes placements.
#[derive(Debug)]
pub(crate) struct Site<'w> {
    pub(crate) id: NodeId,
    pub(crate) entry: &'w NodeEntry,
    pub(crate) info: &'w NodeInfo,
    pub(crate) class: u64,
    /// What is left, where that isn't just what is stored: other runs' assumed placements and this run's are taken.
    taken: Option<Room>,
    /// What this run has placed here, so that it can be told apart from what other runs are believed to have.
    own: Option<Box<Own>>,
}

#[derive(Debug, Default)]
struct Own {
    ask: Ask,
    ports: Vec<u16>,
}

/// All of them, in order of id.
#[derive(Debug)]
pub(crate) struct Sites<'w> {
    pub(crate) list: Vec<Site<'w>>,
    /// Some room is taken by placements that etcd has not confirmed yet.
    assumed: bool,
}

impl<'w> Sites<'w> {
    pub(crate) fn of(world: &'w World, fleet: &mut Fleet) -> Self {
        let mut list = Vec::new();
        let mut assumed = world.overlay().nodes().peekable();
        fleet.walk(world, |id, entry, info, class| {
            while assumed.next_if(|on| *on < id).is_some() {}
            let assumed = assumed.next_if_eq(&id).is_some();
            if entry.takes_placements() {
                let taken = assumed.then(|| world.room(id));
                list.push(Site { id, entry, info, class, taken, own: None });
            }
        });
        Sites { list, assumed: !world.overlay().is_empty() }
    }

    /// Where a node is in the list.
    pub(crate) fn position(&self, node: NodeId) -> Option<usize> {
        self.list.binary_search_by_key(&node, |site| site.id).ok()
    }

    /// Would it fit somewhere if what is only assumed were not there? Then it is too early to say that it waits.
    pub(crate) fn fits_unassumed(&self, feasible: &[usize], ask: Ask, ports: &PortPlan<'_>) -> bool {
        self.assumed
            && feasible.iter().any(|at| {
                let site = &self.list[*at];
                let mut room = site.entry.room.clone();
                if let Some(own) = &site.own {
                    take(&mut room, own.ask, own.ports.iter().copied());
                }
                room != *site.room() && fits(&room, ask) && ports.assign(&room, site.info, 0).is_ok()
            })
    }
}

impl Site<'_> {
    /// What is left, this run's placements included.
    pub(crate) fn room(&self) -> &Room {
        self.taken.as_ref().unwrap_or(&self.entry.room)
    }

    /// Takes room for a placement of this run.
    pub(crate) fn take(&mut self, ask: Ask, ports: &[AssignedPort]) {
        let room = self.taken.get_or_insert_with(|| self.entry.room.clone());
        take(room, ask, ports.iter().map(|p| p.value));
        let own = self.own.get_or_insert_default();
        own.ask = sum(own.ask, ask);
        own.ports.extend(ports.iter().map(|p| p.value));
    }
}

fn take(room: &mut Room, ask: Ask, ports: impl Iterator<Item = u16>) {
    room.used = sum(room.used, ask);
    let mut ports = ports.peekable();
    if ports.peek().is_none() {
        return;
    }
    let held = std::sync::Arc::make_mut(&mut room.ports);
    for port in ports {
        if let Err(at) = held.binary_search(&port) {
            held.insert(at, port);
        }
    }
}

/// Is there room for an ask?
pub(crate) fn fits(room: &Room, ask: Ask) -> bool {
    let free = room.free();
    ask.cpu <= free.cpu && ask.memory_mb <= free.memory_mb && ask.disk_mb <= free.disk_mb
}

pub(crate) fn sum(a: Ask, b: Ask) -> Ask {
    Ask {
        cpu: a.cpu.saturating_add(b.cpu),
        memory_mb: a.memory_mb.saturating_add(b.memory_mb),
        disk_mb: a.disk_mb.saturating_add(b.disk_mb),
    }
}

pub(crate) fn largest(a: Ask, b: Ask) -> Ask {
    Ask { cpu: a.cpu.max(b.cpu), memory_mb: a.memory_mb.max(b.memory_mb), disk_mb: a.disk_mb.max(b.disk_mb) }
}
