//! Why an agent cannot go on. Everything else is retried, and logged where it happens.

use std::{io, path::PathBuf};

use encamp_model::ClusterUid;

/// An error that ends the agent. Its tasks stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another agent holds the data folder's lock.
    #[error("{} is in use by another agent of this machine; stop that one, or give this one its own --data-dir", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder cannot be used.
    #[error("data folder: {what} {}: {source}", path.display())]
    Folder {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The data folder was removed or replaced under the running agent.
    #[error("data folder {} is gone or was replaced while the agent ran: nothing more is started, tasks stay; put it back or start the agent anew", path.display())]
    FolderLost {
        /// The folder.
        path: PathBuf,
    },
    /// The node id in the data folder is damaged.
    #[error("{} does not hold a node id: {found:?}; restore it, or empty the data folder to become a new node", path.display())]
    NodeId {
        /// The file.
        path: PathBuf,
        /// What it holds, cut.
        found: String,
    },
    /// The tasks here belong to another installation.
    #[error(
        "the tasks in {} belong to cluster {known}, but this etcd holds cluster {found}: not registering. \
         If that is right, start with an empty data folder, or with --accept-cluster {found}",
        data_dir.display()
    )]
    OtherCluster {
        /// The uid found.
        found: ClusterUid,
        /// The uid known.
        known: ClusterUid,
        /// The folder.
        data_dir: PathBuf,
    },
    /// The installation was written by a newer Encamp.
    #[error("this etcd holds layout {found}, this agent knows layout {known}: use a newer agent")]
    NewerLayout {
        /// Found.
        found: u32,
        /// Known.
        known: u32,
    },
    /// Another agent with this node id is alive.
    #[error(
        "node {node} is already run by the agent at {address}, which renews its lease: not registering. \
         If this data folder is a copy, empty it; else stop the other agent"
    )]
    Twin {
        /// The node id.
        node: String,
        /// The other's address.
        address: String,
    },
    /// Another agent took the node over.
    #[error("node {node} was taken over by the agent at {address}: starting nothing more, tasks stay")]
    Replaced {
        /// The node id.
        node: String,
        /// The other's address.
        address: String,
    },
    /// The machine could not be looked at.
    #[error("fingerprint: {what}: {reason}")]
    Fingerprint {
        /// What was looked at.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// A word for metrics: one a variant.
    pub fn label(&self) -> &'static str {
        match self {
            Error::Locked { .. } => "locked",
            Error::Folder { .. } => "folder",
            Error::FolderLost { .. } => "folder_lost",
            Error::NodeId { .. } => "node_id",
            Error::OtherCluster { .. } => "other_cluster",
            Error::NewerLayout { .. } => "newer_layout",
            Error::Twin { .. } => "twin",
            Error::Replaced { .. } => "replaced",
            Error::Fingerprint { .. } => "fingerprint",
        }
    }

    pub(crate) fn folder(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Folder { what, path, source }
    }
}
