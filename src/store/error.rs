//! What can go wrong with the store, told apart by what the caller must do next.

use crate::{LeaseId, Revision};

/// An error of the store. `endpoint` fields name whom we talked to; messages say what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No answer in time. A write may have been applied, or may yet be.
    #[error(
        "{endpoint}: no answer to {what} within {timeout_ms} ms; is etcd overloaded, frozen, or without a leader?"
    )]
    Timeout {
        /// Whom we asked.
        endpoint: String,
        /// The call.
        what: &'static str,
        /// How long we waited.
        timeout_ms: u64,
    },
    /// The request never left: nobody to talk to. Nothing was applied.
    #[error("cannot connect to etcd at {endpoint}: {reason}; check --etcd and that etcd runs")]
    Connect {
        /// Whom we tried; all endpoints when all were tried.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The connection broke, or the server went away, after the request may have left.
    #[error("{endpoint}: lost during {what}: {reason}")]
    Unavailable {
        /// Whom we asked.
        endpoint: String,
        /// The call.
        what: &'static str,
        /// The server's or transport's words.
        reason: String,
    },
    /// etcd is out of space. It may say so *after* it applied the write.
    #[error("{endpoint}: etcd is out of space (NOSPACE); compact, defragment, then `etcdctl alarm disarm`")]
    NoSpace {
        /// Who said so.
        endpoint: String,
    },
    /// The revision asked for is compacted away: list again.
    #[error("revision is compacted; history begins at {revision}")]
    Compacted {
        /// The oldest revision still readable; 0 where the server does not say.
        revision: Revision,
    },
    /// The lease ended or never was.
    #[error("lease {lease:x} is gone")]
    LeaseGone {
        /// Which.
        lease: LeaseId,
    },
    /// Wrong or missing credentials, or a role without this permission. Nothing was applied.
    #[error("{endpoint}: denied: {reason}; check the etcd user, its role and the client certificate")]
    Denied {
        /// Who refused.
        endpoint: String,
        /// The server's words.
        reason: String,
    },
    /// The request is over the server's limit of bytes or operations. Nothing was applied.
    #[error("{endpoint}: request too large: {reason}")]
    TooLarge {
        /// Who refused.
        endpoint: String,
        /// The server's words.
        reason: String,
    },
    /// The request makes no sense (a key twice, an empty key, a future revision). Nothing was applied.
    #[error("{endpoint}: invalid request: {reason}")]
    Invalid {
        /// Who refused.
        endpoint: String,
        /// The server's words.
        reason: String,
    },
    /// The options cannot work (no endpoint, unreadable certificate): fix the command line.
    #[error("etcd options: {reason}")]
    Config {
        /// What is wrong with which option.
        reason: String,
    },
    /// Anything else, taken as ambiguous.
    #[error("{endpoint}: {what} failed: {reason}")]
    Other {
        /// Whom we asked.
        endpoint: String,
        /// The call.
        what: &'static str,
        /// The server's words.
        reason: String,
    },
}

impl Error {
    /// May the write this answers have been applied, or yet be? (`NoSpace` counts: etcd may raise it after
    /// applying.) Never send such a write again blindly.
    pub fn ambiguous(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unavailable { .. } | Self::NoSpace { .. } | Self::Other { .. } => {
                true
            }
            Self::Connect { .. }
            | Self::Compacted { .. }
            | Self::LeaseGone { .. }
            | Self::Denied { .. }
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::Config { .. } => false,
        }
    }

    /// May the same read, or a write made anew on fresh knowledge, succeed later without anybody's doing? (`NoSpace`
    /// counts: it ends when somebody makes room, and we must notice.)
    pub fn retryable(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Connect { .. }
            | Self::Unavailable { .. }
            | Self::NoSpace { .. }
            | Self::Other { .. } => true,
            Self::Compacted { .. }
            | Self::LeaseGone { .. }
            | Self::Denied { .. }
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::Config { .. } => false,
        }
    }

    /// A word for metrics: one a variant, never with an id in it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Connect { .. } => "connect",
            Self::Unavailable { .. } => "unavailable",
            Self::NoSpace { .. } => "no_space",
            Self::Compacted { .. } => "compacted",
            Self::LeaseGone { .. } => "lease_gone",
            Self::Denied { .. } => "denied",
            Self::TooLarge { .. } => "too_large",
            Self::Invalid { .. } => "invalid",
            Self::Config { .. } => "config",
            Self::Other { .. } => "other",
        }
    }
}
