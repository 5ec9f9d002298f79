//! What the api asks of an agent in the same process; the agent's side is wired to it by whoever starts both.

use std::{collections::BTreeMap, io};

use async_trait::async_trait;
use encamp_model::{AllocId, NodeId};

/// Which output of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`, as in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Which task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// The allocation.
    pub alloc: AllocId,
    /// The task.
    pub task: String,
    /// The stream.
    pub stream: Stream,
}

/// Where a reader stands in the kept output, across rotated files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Number of the file.
    pub file: u64,
    /// Bytes into it.
    pub offset: u64,
}

/// What a read gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// The bytes, of one file; empty at the end of what is there.
    pub bytes: Vec<u8>,
    /// Where they begin: later than asked for if files were rotated away meanwhile.
    pub from: LogPosition,
    /// Where to read on.
    pub next: LogPosition,
}

/// From which end an offset counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the oldest byte kept.
    Start,
    /// Back from the end.
    End,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The node has no such allocation (any more).
    #[error("Unknown allocation {0:?}")]
    UnknownAlloc(AllocId),
    /// The allocation has no such task.
    #[error("unknown task name {0:?}")]
    UnknownTask(String),
    /// The disk.
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// An agent in this process.
#[async_trait]
pub trait LocalAgent: Send + Sync + 'static {
    /// Its node.
    fn node_id(&self) -> NodeId;

    /// Addresses (`ip:port`) of api processes, which requests that are not about this node go to.
    fn api_servers(&self) -> Vec<String>;

    /// What `agent/self` tells of it beside the node id, under `stats.client`.
    fn stats(&self) -> BTreeMap<String, String>;

    /// Why it cannot do its work, if so.
    fn problem(&self) -> Option<String>;

    /// A position `offset` bytes from one end of the kept output.
    ///
    /// # Errors
    /// If there is no such output.
    async fn seek_log(
        &self,
        source: &LogSource,
        origin: Origin,
        offset: u64,
    ) -> Result<LogPosition, LogError>;

    /// At most `len` bytes from a position on; an empty chunk means that there is no more for now.
    ///
    /// # Errors
    /// If there is no such output.
    async fn read_log(&self, source: &LogSource, at: LogPosition, len: usize) -> Result<LogChunk, LogError>;

    /// May more be printed? True from an allocation's start until its task has ended for good.
    fn may_print(&self, source: &LogSource) -> bool;
}
