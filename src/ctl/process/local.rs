//! The agent of this process as the api sees it: logs are read on blocking threads.

use std::collections::BTreeMap;

use async_trait::async_trait;
use encamp_agent::AgentHandle;
use encamp_api::{LocalAgent, LogChunk, LogError, LogPosition, LogSource, Origin, Stream};
use encamp_drivers::logs::{self, LogReader, Position};
use encamp_model::NodeId;

/// An [`AgentHandle`] as a [`LocalAgent`].
pub(super) struct Local(AgentHandle);

impl Local {
    pub(super) fn new(handle: AgentHandle) -> Self {
        Local(handle)
    }

    /// Does something with a log, where it may block.
    async fn read<T: Send + 'static>(
        &self,
        source: &LogSource,
        read: impl FnOnce(LogReader) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let (handle, source) = (self.0.clone(), source.clone());
        let done = tokio::task::spawn_blocking(move || {
            let stream = match source.stream {
                Stream::Stdout => logs::Stream::Stdout,
                Stream::Stderr => logs::Stream::Stderr,
            };
            let log = handle.logs(source.alloc, &source.task, stream).map_err(|error| match error {
                encamp_agent::LogError::UnknownAlloc(alloc) => LogError::UnknownAlloc(alloc),
                encamp_agent::LogError::UnknownTask { task, .. } => LogError::UnknownTask(task),
                encamp_agent::LogError::Io { source, .. } => LogError::Io(source),
                other => LogError::Io(std::io::Error::other(other)),
            })?;
            Ok(read(log)?)
        });
        done.await.map_err(|error| LogError::Io(std::io::Error::other(error)))?
    }
}

fn ours(at: Position) -> LogPosition {
    LogPosition { file: at.index, offset: at.offset }
}

#[async_trait]
impl LocalAgent for Local {
    fn node_id(&self) -> NodeId {
        self.0.node_id()
    }

    fn api_servers(&self) -> Vec<String> {
        self.0.api_servers()
    }

    fn stats(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("known_servers".into(), self.0.api_servers().join(",")),
            ("num_allocations".into(), self.0.allocs().len().to_string()),
            ("opaque_records".into(), self.0.opaque_records().to_string()),
        ])
    }

    fn problem(&self) -> Option<String> {
        self.0.problem()
    }

    async fn seek_log(
        &self,
        source: &LogSource,
        origin: Origin,
        offset: u64,
    ) -> Result<LogPosition, LogError> {
        let position = self.read(source, move |log| match origin {
            Origin::Start => log.seek_start(offset),
            Origin::End => log.seek_end(offset),
        });
        position.await.map(ours)
    }

    async fn read_log(&self, source: &LogSource, at: LogPosition, len: usize) -> Result<LogChunk, LogError> {
        let at = Position { index: at.file, offset: at.offset };
        let chunk = self.read(source, move |log| log.read(at, len)).await?;
        Ok(LogChunk { bytes: chunk.bytes, from: ours(chunk.from), next: ours(chunk.next) })
    }

    fn may_print(&self, source: &LogSource) -> bool {
        self.0.may_print(source.alloc, &source.task)
    }
}
