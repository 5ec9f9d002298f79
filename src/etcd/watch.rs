//! Watches as cursors: the core keeps no list of watchers; each asks for what it has not seen yet.

use crate::core::Core;
use crate::error::Error;
use crate::types::{Event, Range, Revision};

/// A place in the history of a range. Made by [`Core::watch`], moved on by [`Core::poll`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    range: Range,
    next: Revision,
    with_prev: bool,
}

impl Watcher {
    /// The revision it looks at next: everything before was delivered, or changed nothing in its range.
    pub fn next_revision(&self) -> Revision {
        self.next
    }
}

impl Core {
    /// A watch of a range from a revision on (included); 0: from the next change on. `with_prev` also yields the
    /// record before each change, as far as it isn't compacted.
    pub fn watch(&self, range: Range, from: Revision, with_prev: bool) -> Watcher {
        let next = if from <= 0 { self.revision() + 1 } else { from };
        Watcher { range, next, with_prev }
    }

    /// The changes since the last call, in order, of at most `revisions_max` revisions that touch the range; each
    /// revision is whole. Empty: nothing new.
    ///
    /// # Errors
    /// [`Error::Compacted`] if history the watcher has not seen is gone; the watcher is then of no more use.
    pub fn poll(&self, watcher: &mut Watcher, revisions_max: usize) -> Result<Vec<Event>, Error> {
        if watcher.next < self.compacted() {
            return Err(Error::Compacted { revision: self.compacted() });
        }
        let mut found = Vec::new();
        let mut revisions = 0;
        for (revision, events) in self.history().since(watcher.next) {
            if revisions == revisions_max {
                return Ok(found);
            }
            let before = found.len();
            found.extend(events.iter().filter(|event| watcher.range.contains(&event.kv.key)).map(|event| {
                Event {
                    prev: event.prev.clone().filter(|_| watcher.with_prev && revision > self.compacted()),
                    ..event.clone()
                }
            }));
            revisions += usize::from(found.len() > before);
            watcher.next = revision + 1;
        }
        Ok(found)
    }
}
