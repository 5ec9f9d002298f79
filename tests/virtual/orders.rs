//! What a test tells a stand-in agent to do.

use encamp_model::{Key, records::NodeInfo};
use encamp_store::{Op, Txn};

use crate::agent::{FakeAgent, Orders};

impl FakeAgent {
    pub(crate) fn order(&self, edit: impl FnOnce(&mut Orders)) {
        edit(&mut self.orders.lock().unwrap());
    }

    /// Rewrites the node's info.
    pub(crate) async fn reinfo(&self, edit: impl FnOnce(&mut NodeInfo)) {
        edit(&mut self.info.lock().unwrap());
        let info = serde_json::to_vec(&*self.info.lock().unwrap()).unwrap();
        let txn = Txn::new().then(Op::put(self.keys.encode(&Key::NodeInfo(self.id)), info));
        self.store.txn(txn).await.unwrap();
    }
}
