//! One answer to "how does this allocation stand", from what is wanted, what its node says, and its node's gate.

use crate::records::{AllocRecord, AllocStatus, ClientStatus, Desired, Gate, StopReason};

/// Where an allocation stands, for every reader. `status` is what its node said last, if anything; `gate` is `None`
/// for a node that has none.
///
/// A node that is down cannot say more: whatever it had not ended is lost.
pub fn client_status(record: &AllocRecord, status: Option<&AllocStatus>, gate: Option<Gate>) -> ClientStatus {
    let said = status.map_or(ClientStatus::Pending, |s| s.status);
    if said.is_terminal() {
        return said;
    }
    let replaced = record.desired == Desired::Stop && record.reason == Some(StopReason::NodeDown);
    let gone = !matches!(gate, Some(Gate::Ready | Gate::Disconnected));
    if replaced || (gone && gate.is_some()) { ClientStatus::Lost } else { said }
}

/// What an agent may write after what it wrote before. Terminal stays terminal; nothing returns to `Pending` once a
/// node refused it.
pub fn may_follow(before: ClientStatus, after: ClientStatus) -> bool {
    if before.is_terminal() {
        return before == after;
    }
    after != ClientStatus::Lost && (after != ClientStatus::Refused || before == ClientStatus::Pending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientStatus::{Complete, Failed, Lost, Pending, Refused, Running};

    #[test]
    fn terminal_stays_terminal() {
        for before in [Complete, Failed, Refused] {
            for after in [Pending, Running, Complete, Failed, Lost, Refused] {
                assert_eq!(may_follow(before, after), before == after, "{before:?} → {after:?}");
            }
        }
    }

    #[test]
    fn only_what_never_ran_is_refused_and_no_agent_says_lost() {
        assert!(may_follow(Pending, Refused));
        assert!(!may_follow(Running, Refused));
        assert!(!may_follow(Running, Lost));
        assert!(may_follow(Running, Pending), "between two runs a task is pending");
    }
}
