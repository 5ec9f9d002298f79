//! The test's side of the store: faults, connections, and a look inside.

use encamp_etcd::Core;

use super::{Fault, MemoryStore, TxnCall, TxnRecord};
use crate::Revision;

impl MemoryStore {
    /// Asks `hook` what shall happen to each transaction from now on, of every client. It replaces the last hook.
    /// It must not add or remove hooks itself.
    pub fn on_txn(&self, hook: impl FnMut(&TxnCall<'_>) -> Fault + Send + 'static) {
        *self.shared.hook.lock().expect("no panic inside a hook") = Some(Box::new(hook));
    }

    /// All transactions pass again.
    pub fn clear_hook(&self) {
        *self.shared.hook.lock().expect("no panic inside a hook") = None;
    }

    /// Cuts this client off: its watches break, its requests and the answers under way get lost, until
    /// [`MemoryStore::heal`].
    pub fn cut(&self) {
        self.with_client(|client| {
            client.cut = true;
            client.watch_epoch += 1;
        });
        self.shared.wake();
    }

    /// Ends [`MemoryStore::cut`]. Requests made meanwhile stay lost.
    pub fn heal(&self) {
        self.with_client(|client| client.cut = false);
        self.shared.wake();
    }

    /// Breaks this client's watches; new ones work.
    pub fn cut_watches(&self) {
        self.with_client(|client| client.watch_epoch += 1);
        self.shared.wake();
    }

    /// Breaks every client's watches; new ones work.
    pub fn cut_all_watches(&self) {
        self.lock().clients.values_mut().for_each(|client| client.watch_epoch += 1);
        self.shared.wake();
    }

    /// Holds back what this client's watches would yield, so that its World stays behind. Requests still work.
    pub fn hold_watches(&self) {
        self.with_client(|client| client.watches_held = true);
    }

    /// Lets this client's watches yield what was held back, all of it, in order.
    pub fn release_watches(&self) {
        self.with_client(|client| client.watches_held = false);
        self.shared.wake();
    }

    /// Raises or lowers the NOSPACE alarm.
    pub fn set_no_space(&self, up: bool) {
        self.lock().core.set_no_space(up);
    }

    /// What a change of etcd's leader does to leases: each has its full time again.
    pub fn change_leader(&self) {
        let now = self.shared.now();
        self.lock().core.renew_all_leases(now);
        self.shared.wake();
    }

    /// The revision the store is at, without a request.
    pub fn revision(&self) -> Revision {
        self.lock().core.revision()
    }

    /// Looks at the core, without a request.
    pub fn inspect<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.lock().core)
    }

    /// How many transactions this client has sent, applied or not.
    pub fn txns_of_client(&self) -> u64 {
        self.with_client(|client| client.txns)
    }

    /// How many transactions all clients have sent, applied or not.
    pub fn txns(&self) -> u64 {
        self.lock().txns
    }

    /// The transactions that reached the core, oldest first; the last 65,536.
    pub fn log(&self) -> Vec<TxnRecord> {
        self.lock().log.iter().cloned().collect()
    }
}
