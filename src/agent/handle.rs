//! What others in the same process may ask an agent: the api serves logs and files from it.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use encamp_drivers::logs::{LogReader, Stream};
use encamp_model::{AllocId, NodeId, records::NodeInfo};
use tokio::sync::watch;

use crate::{
    core::{Core, View},
    dirs::AllocDirs,
};

/// What the loop and the handles share. The loop holds the core's lock for a pass at a time, never over an await.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) root: PathBuf,
    pub(crate) core: Mutex<Core>,
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) notes: Mutex<Notes>,
}

/// Small news.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) problem: Option<String>,
    pub(crate) api_servers: Vec<String>,
    pub(crate) info: Option<Arc<NodeInfo>>,
    pub(crate) opaque: u64,
}

impl Shared {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("no panic while deciding")
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("no panic while noting")
    }
}

/// A running agent, seen from beside it. Cheap to clone; outlives the agent, then showing its last state.
#[derive(Clone, Debug)]
pub struct AgentHandle(pub(crate) Arc<Shared>);

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// This node has no such allocation (any more).
    #[error("unknown allocation {0}")]
    UnknownAlloc(AllocId),
    /// The allocation has no such task.
    #[error("allocation {alloc} has no task \"{task}\"")]
    UnknownTask {
        /// The allocation.
        alloc: AllocId,
        /// What was asked for.
        task: String,
    },
    /// The folder cannot be read.
    #[error("logs of allocation {alloc}, task \"{task}\": {source}")]
    Io {
        /// The allocation.
        alloc: AllocId,
        /// The task.
        task: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl AgentHandle {
    /// This agent's node.
    pub fn node_id(&self) -> NodeId {
        self.0.node
    }

    /// The last fingerprint; `None` before the first.
    pub fn info(&self) -> Option<Arc<NodeInfo>> {
        self.0.notes().info.clone()
    }

    /// Why it cannot do its work just now, if so: not registered, another cluster, …
    pub fn problem(&self) -> Option<String> {
        self.0.notes().problem.clone()
    }

    /// Addresses (`ip:port`) of api processes, as last read.
    pub fn api_servers(&self) -> Vec<String> {
        self.0.notes().api_servers.clone()
    }

    /// Records that could not be decoded since the start.
    pub fn opaque_records(&self) -> u64 {
        self.0.notes().opaque
    }

    /// Allocations here, ended ones included as long as their folders are.
    pub fn allocs(&self) -> Vec<AllocId> {
        self.0.core().ids().collect()
    }

    /// What is known of one.
    pub fn alloc(&self, alloc: AllocId) -> Option<View> {
        self.0.core().view(alloc)
    }

    /// The folders of an allocation that is here.
    pub fn folders(&self, alloc: AllocId) -> Option<AllocDirs> {
        self.0.core().view(alloc).map(|_| AllocDirs::new(&self.0.root, alloc))
    }

    /// May this task print more? False once it is over for good, or unknown.
    pub fn may_print(&self, alloc: AllocId, task: &str) -> bool {
        let Some(view) = self.alloc(alloc) else { return false };
        let over = view.status.as_ref().is_some_and(|s| s.status.is_terminal());
        match view.tasks.get(task) {
            Some(runs) => *runs || !over,
            None => false,
        }
    }

    /// Opens a task's output. Does disk IO: call it, and the reader, on a blocking thread.
    pub fn logs(&self, alloc: AllocId, task: &str, stream: Stream) -> Result<LogReader, LogError> {
        let view = self.alloc(alloc).ok_or(LogError::UnknownAlloc(alloc))?;
        let known = view.tasks.contains_key(task);
        if !known {
            return Err(LogError::UnknownTask { alloc, task: task.to_owned() });
        }
        let dirs = AllocDirs::new(&self.0.root, alloc).for_driver(task);
        LogReader::open(&dirs, task, stream).map_err(|source| LogError::Io {
            alloc,
            task: task.to_owned(),
            source,
        })
    }

    /// A value that changes whenever an allocation here did: what followers and tests wait on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
}
