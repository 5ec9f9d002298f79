//! Counters of a group's allocations, kept with every write so that "does this job need a run" costs O(groups).

use std::collections::BTreeMap;

use encamp_model::records::{ClientStatus, Desired};

use crate::AllocEntry;

/// How the allocations of one group stand. An allocation is counted once, by what is wanted and what is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Wanted, not started.
    pub pending: u32,
    /// Wanted and running, or of unreadable status.
    pub running: u32,
    /// Wanted and ended well.
    pub complete: u32,
    /// Wanted and failed for good.
    pub failed: u32,
    /// Wanted and refused by the node.
    pub refused: u32,
    /// Wanted, on a node that is down.
    pub lost: u32,
    /// Of the lost ones, those of unreadable status: they may have ended by themselves before.
    pub lost_unknown: u32,
    /// Told to stop, and not known to have ended.
    pub stopping: u32,
    /// Wanted ones by job version.
    pub versions: BTreeMap<u64, u32>,
    /// Of these, the ones that are neither lost nor refused and of which it is known how they stand, by job version.
    pub by_version: BTreeMap<u64, VersionCounts>,
}

/// How the allocations of one group and job version stand that are wanted and neither lost nor refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionCounts {
    /// Not running (yet, or between two runs).
    pub pending: u32,
    /// Running.
    pub running: u32,
    /// Complete or failed.
    pub ended: u32,
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
        self.lost_unknown += u32::from(is_lost_unknown(entry, node_down));
        if entry.record.desired == Desired::Run {
            *self.versions.entry(entry.record.version).or_default() += 1;
        }
        if let Some(standing) = standing(entry, node_down) {
            *self.by_version.entry(entry.record.version).or_default().of(standing) += 1;
        }
    }

    pub(crate) fn remove(&mut self, entry: &AllocEntry, node_down: bool) {
        if let Some(counter) = self.counter(entry, node_down) {
            *counter -= 1;
        }
        self.lost_unknown -= u32::from(is_lost_unknown(entry, node_down));
        if let Some(standing) = standing(entry, node_down) {
            let version = entry.record.version;
            let counts = self.by_version.entry(version).or_default();
            *counts.of(standing) -= 1;
            if *counts == VersionCounts::default() {
                self.by_version.remove(&version);
            }
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

impl VersionCounts {
    fn of(&mut self, standing: ClientStatus) -> &mut u32 {
        match standing {
            ClientStatus::Pending => &mut self.pending,
            ClientStatus::Running => &mut self.running,
            _ => &mut self.ended,
        }
    }
}

fn is_lost_unknown(entry: &AllocEntry, node_down: bool) -> bool {
    node_down && entry.status_opaque && entry.record.desired == Desired::Run
}

/// What a wanted allocation is to [`VersionCounts`]; `None` if it is lost, refused, or nobody can tell.
fn standing(entry: &AllocEntry, node_down: bool) -> Option<ClientStatus> {
    if entry.record.desired != Desired::Run || entry.status_opaque {
        return None;
    }
    match entry.said() {
        ClientStatus::Lost | ClientStatus::Refused => None,
        ClientStatus::Pending | ClientStatus::Running if node_down => None,
        said => Some(said),
    }
}
