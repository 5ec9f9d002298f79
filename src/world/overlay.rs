//! Assumed writes: placements in flight, or committed and not yet seen in the World. They only ever *take* room.

use encamp_model::{AllocId, NodeId, unit::Placed};

/// Placements that this process has sent and not yet seen.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    nodes: imbl::OrdMap<NodeId, imbl::OrdMap<AllocId, Placed>>,
}

impl Overlay {
    /// Counts a placement as made.
    pub fn assume(&mut self, placed: &Placed) {
        self.nodes.entry(placed.node).or_default().insert(placed.alloc, placed.clone());
    }

    /// Forgets one: the World shows it now, or it failed.
    pub fn settle(&mut self, node: NodeId, alloc: AllocId) {
        if let Some(placed) = self.nodes.get_mut(&node) {
            placed.remove(&alloc);
            if placed.is_empty() {
                self.nodes.remove(&node);
            }
        }
    }

    /// Forgets all: a new epoch begins.
    pub fn clear(&mut self) {
        self.nodes = imbl::OrdMap::new();
    }

    /// How many placements are assumed.
    pub fn len(&self) -> usize {
        self.nodes.values().map(imbl::OrdMap::len).sum()
    }

    /// None are.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes that some are assumed on, in order of id.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// Those assumed on a node.
    pub(crate) fn on(&self, node: NodeId) -> Option<&imbl::OrdMap<AllocId, Placed>> {
        self.nodes.get(&node)
    }
}
