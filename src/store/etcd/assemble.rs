//! Whole revisions from the parts that etcd sends.
//!
//! With fragments on, a response too large for one message comes in several, cut between events, so also within a
//! revision; all but the last are marked. A response that is not a fragment ends with a whole revision. A
//! progress notice has no events and tells a revision that may *overtake* events still on their way (etcd
//! #15220): it counts as a sign of life and as nothing else.

use crate::{Event, Revision, WatchBatch};

/// Collects fragments.
#[derive(Debug)]
pub(super) struct Assembler {
    pending: Vec<Event>,
    /// The last revision seen: the next event's must not be lower, and after a complete batch must be higher.
    last: Revision,
    /// The last revision is handed out, so that nothing may be added to it.
    complete: bool,
}

/// Events came that cannot be the continuation of what came before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder {
    pub(super) after: Revision,
    pub(super) got: Revision,
}

impl Assembler {
    /// For a watch from a revision on (included).
    pub(super) fn new(from: Revision) -> Self {
        Self { pending: Vec::new(), last: from - 1, complete: true }
    }

    /// Takes one response's events; `more`: further fragments of it follow.
    pub(super) fn push(&mut self, events: Vec<Event>, more: bool) -> Result<Option<WatchBatch>, OutOfOrder> {
        for event in &events {
            let got = event.kv.mod_revision;
            if got < self.last || (got == self.last && self.complete) {
                return Err(OutOfOrder { after: self.last, got });
            }
            (self.last, self.complete) = (got, false);
        }
        // A progress notice: whatever fragments wait go on waiting for their last one.
        if events.is_empty() {
            return Ok(None);
        }
        self.pending.extend(events);
        if more {
            return Ok(None);
        }
        self.complete = true;
        Ok(Some(WatchBatch { revision: self.last, events: std::mem::take(&mut self.pending) }))
    }
}

#[cfg(test)]
mod tests {
    use super::{Assembler, OutOfOrder};
    use crate::{Event, EventKind, Kv, Revision};

    fn events(revisions: &[Revision]) -> Vec<Event> {
        let event = |revision: &Revision| Event {
            kind: EventKind::Put,
            kv: Kv { mod_revision: *revision, ..Kv::default() },
            prev: None,
        };
        revisions.iter().map(event).collect()
    }

    fn pushed(assembler: &mut Assembler, revisions: &[Revision], more: bool) -> Option<(Revision, usize)> {
        let batch = assembler.push(events(revisions), more).unwrap();
        batch.map(|batch| (batch.revision, batch.events.len()))
    }

    #[test]
    fn fragments_come_out_as_one_batch_that_ends_with_a_whole_revision() {
        let mut assembler = Assembler::new(5);
        assert_eq!(pushed(&mut assembler, &[5, 5, 6], true), None);
        assert_eq!(pushed(&mut assembler, &[6, 6], true), None);
        assert_eq!(pushed(&mut assembler, &[6, 7], false), Some((7, 7)));
        assert_eq!(pushed(&mut assembler, &[8], false), Some((8, 1)));
    }

    #[test]
    fn progress_claims_nothing_not_even_between_fragments() {
        let mut assembler = Assembler::new(1);
        assert_eq!(pushed(&mut assembler, &[], false), None);
        assert_eq!(pushed(&mut assembler, &[3, 3], true), None);
        assert_eq!(pushed(&mut assembler, &[], false), None);
        assert_eq!(pushed(&mut assembler, &[3], false), Some((3, 3)));
    }

    #[test]
    fn what_comes_twice_or_too_late_is_an_error() {
        for (first, second, after) in [(&[4], &[4], 4), (&[4], &[3], 4)] {
            let mut assembler = Assembler::new(2);
            pushed(&mut assembler, first, false);
            assert_eq!(assembler.push(events(second), false), Err(OutOfOrder { after, got: second[0] }));
        }
        let before_start = Assembler::new(9).push(events(&[8]), false);
        assert_eq!(before_start, Err(OutOfOrder { after: 8, got: 8 }));
    }
}
