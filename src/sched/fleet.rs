//! Classes of nodes: a digest of every property that is not a node's own alone.
//!
//! A cache that the World can rebuild: a class is computed again only when a node's fingerprint changed.

use encamp_model::{NodeId, digest::hash, records::NodeInfo};
use encamp_world::{NodeEntry, World};

use crate::target::is_unique;

#[derive(Clone, Copy, Debug)]
struct Known {
    id: NodeId,
    /// Revision of the fingerprint that the class was taken from.
    info: i64,
    class: u64,
}

/// The class of every node that has a fingerprint, in order of id.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    known: Vec<Known>,
}

impl Fleet {
    /// A fleet that knows nothing yet.
    pub fn new() -> Self {
        Fleet::default()
    }

    /// Brings it up to date with a World, and shows every node that has a fingerprint, with its class, in order of id.
    pub(crate) fn walk<'w>(
        &mut self,
        world: &'w World,
        mut show: impl FnMut(NodeId, &'w NodeEntry, &'w NodeInfo, u64),
    ) {
        let mut at = 0;
        for (id, entry) in world.nodes() {
            let Some(info) = entry.info.as_deref() else { continue };
            let gone = self.known[at..].iter().take_while(|known| known.id < id).count();
            self.known.drain(at..at + gone);
            match self.known.get_mut(at).filter(|known| known.id == id) {
                Some(known) if known.info == info.modified => {}
                Some(known) => *known = Known { id, info: info.modified, class: class(info) },
                None => self.known.insert(at, Known { id, info: info.modified, class: class(info) }),
            }
            show(id, entry, &info.value, self.known[at].class);
            at += 1;
        }
        self.known.truncate(at);
    }
}

/// A digest of all that is not unique to the node.
pub(crate) fn class(info: &NodeInfo) -> u64 {
    let drivers: Vec<_> = info.drivers.iter().map(|(name, d)| (name, d.detected && d.healthy)).collect();
    let attributes: Vec<_> = info.attributes.iter().filter(|(name, _)| !is_unique(name)).collect();
    let meta: Vec<_> = info.meta.iter().filter(|(name, _)| !is_unique(name)).collect();
    hash(&(&info.datacenter, &info.class, &info.region, drivers, attributes, meta))
}
