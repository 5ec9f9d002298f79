//! Numbers for the ports of an instance on one node.

use encamp_model::records::{AssignedPort, NodeInfo};
use encamp_world::Room;

use crate::ask::PortAsk;

/// The ports of a group, ready to be assigned on any node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortPlan<'a> {
    asks: &'a [PortAsk],
}

impl<'a> PortPlan<'a> {
    pub(crate) fn of(asks: &'a [PortAsk]) -> Self {
        PortPlan { asks }
    }

    /// Are the chosen numbers free? The dynamic ones are looked for when a node is used.
    pub(crate) fn fixed_free(&self, room: &Room) -> bool {
        self.asks.iter().filter_map(|p| p.value).all(|port| port != 0 && !room.port_taken(port))
    }

    /// Numbers for all ports, or the first that the node has no number for. Numbers that the user chose are taken as
    /// they are; the others come from the node's range, from a place that `seed` chooses, so that a number just
    /// given up is not the next one given out.
    pub(crate) fn assign(
        &self,
        room: &Room,
        node: &NodeInfo,
        seed: u64,
    ) -> Result<Vec<AssignedPort>, &'a PortAsk> {
        if self.asks.is_empty() {
            return Ok(Vec::new());
        }
        let mut given: Vec<u16> = Vec::with_capacity(self.asks.len());
        for ask in self.asks {
            if let Some(port) = ask.value {
                if port == 0 || room.port_taken(port) || given.contains(&port) {
                    return Err(ask);
                }
                given.push(port);
            }
        }
        let mut assigned = Vec::with_capacity(self.asks.len());
        for (nth, ask) in self.asks.iter().enumerate() {
            let value = match ask.value {
                Some(port) => port,
                None => {
                    let port = free_port(room, node, &given, seed.wrapping_add(nth as u64)).ok_or(ask)?;
                    given.push(port);
                    port
                }
            };
            assigned.push(AssignedPort {
                label: ask.label.clone(),
                value,
                to: ask.to,
                task: ask.task.clone(),
            });
        }
        Ok(assigned)
    }
}

fn free_port(room: &Room, node: &NodeInfo, given: &[u16], seed: u64) -> Option<u16> {
    let (first, last) = node.resources.port_range;
    if first == 0 || last < first {
        return None;
    }
    let len = u64::from(last - first) + 1;
    let start = seed % len;
    (0..len)
        .map(|step| first + u16::try_from((start + step) % len).expect("less than the range's length"))
        .find(|port| !room.port_taken(*port) && !given.contains(port))
}
