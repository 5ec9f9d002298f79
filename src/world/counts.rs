//! Counters of a group's allocations, kept with every write so that "does this job need a run" costs O(groups).

use std::collections::BTreeMap;

use encamp_model::records::{ClientStatus, Desired};

use crate::AllocEntry;

/// How the allocations of one group stand. An allocation is counted once, by what is wanted and what is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Wanted, not started.
    pub pending: u32,
    /// Wanted and running.
    pub running: u32,
    /// Wanted and ended well.
    pub complete: u32,
    /// Wanted and failed for good.
    pub failed: u32,
    /// Wanted and refused by the node.
    pub refused: u32,
    /// Wanted, on a node that is down.
    pub lost: u32,
    /// Told to stop, and not known to have ended.
    pub stopping: u32,
    /// Wanted ones by job version.
    pub versions: BTreeMap<u64, u32>,
}

impl GroupCounts {
    /// Wanted and neither ended nor lost.
    pub fn live(&self) -> u32 {
        self.pending + self.running
    }

    /// All that is wanted, ended ones included.
    pub fn wanted(&self) -> u32 {
        self.live() + self.complete + self.failed + self.refused + self.lost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wanted() == 0 && self.stopping == 0
    }

    pub(crate) fn add(&mut self, entry: &AllocEntry, node_down: bool) {
        if let Some(counter) = self.counter(entry, node_down) {
            *counter += 1;
        }
        if entry.record.desired == Desired::Run {
            *self.versions.entry(entry.record.version).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, entry: &AllocEntry, node_down: bool) {
        if let Some(counter) = self.counter(entry, node_down) {
            *counter -= 1;
        }
        if entry.record.desired != Desired::Run {
            return;
        }
        if let Some(count) = self.versions.get_mut(&entry.record.version) {
            *count -= 1;
            if *count == 0 {
                self.versions.remove(&entry.record.version);
            }
        }
    }

    fn counter(&mut self, entry: &AllocEntry, node_down: bool) -> Option<&mut u32> {
        let said = entry.said();
        if entry.record.desired == Desired::Stop {
            return (!said.is_terminal()).then_some(&mut self.stopping);
        }
        Some(match said {
            ClientStatus::Complete => &mut self.complete,
            ClientStatus::Failed => &mut self.failed,
            ClientStatus::Refused => &mut self.refused,
            ClientStatus::Lost => &mut self.lost,
            ClientStatus::Pending | ClientStatus::Running if node_down => &mut self.lost,
            ClientStatus::Pending => &mut self.pending,
            ClientStatus::Running => &mut self.running,
        })
    }
}
