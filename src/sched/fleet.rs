//! Classes of nodes: a digest of every property that is not a node's own alone.
//!
//! A cache that the World can rebuild: a class is computed again only when a node's fingerprint changed.

use encamp_model::{NodeId, digest::hash, records::NodeInfo};
use encamp_world::World;

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

    /// Brings it up to date with a World, and answers the classes in the order of the World's nodes, those without a
    /// fingerprint left out.
    pub(crate) fn classes(&mut self, world: &World) -> impl Iterator<Item = u64> {
        let mut before = self.known.iter().peekable();
        let mut known = Vec::with_capacity(self.known.len());
        for (id, entry) in world.nodes() {
            let Some(info) = entry.info.as_deref() else { continue };
            while before.next_if(|k| k.id < id).is_some() {}
            let same = before.next_if(|k| k.id == id).filter(|k| k.info == info.modified);
            let class = same.map_or_else(|| class(info), |k| k.class);
            known.push(Known { id, info: info.modified, class });
        }
        self.known = known;
        self.known.iter().map(|k| k.class)
    }
}

/// A digest of all that is not unique to the node.
pub(crate) fn class(info: &NodeInfo) -> u64 {
    let drivers: Vec<_> = info.drivers.iter().map(|(name, d)| (name, d.detected && d.healthy)).collect();
    let attributes: Vec<_> = info.attributes.iter().filter(|(name, _)| !is_unique(name)).collect();
    let meta: Vec<_> = info.meta.iter().filter(|(name, _)| !is_unique(name)).collect();
    hash(&(&info.datacenter, &info.class, &info.region, drivers, attributes, meta))
}
