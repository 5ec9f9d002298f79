//! etcd-client's errors, told apart: did the request leave, and what must the caller do?

use etcd_client::Error as ClientError;
use tonic::{Code, Status};

use crate::{Error, LeaseId, NO_LEASE, Revision};

/// What went wrong with one try on one endpoint. The endpoint and the call are added by [`Failure::into_error`].
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The request never left.
    Connect,
    /// It may have left; whoever answers next may know more.
    Unavailable,
    /// The server gave up waiting.
    Timeout,
    /// Refused and not applied; a new token will help.
    StaleToken,
    NoSpace,
    Compacted(Revision),
    LeaseGone(LeaseId),
    Denied,
    TooLarge,
    Invalid,
    Other,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// The server said what no etcd says.
    pub(super) fn protocol(reason: &str) -> Self {
        Self::new(FailureKind::Other, format!("unexpected answer: {reason}; is this an etcd?"))
    }

    /// Names the lease, which etcd's own words do not.
    pub(super) fn of_lease(mut self, lease: LeaseId) -> Self {
        if let FailureKind::LeaseGone(_) = self.kind {
            self.kind = FailureKind::LeaseGone(lease);
        }
        self
    }

    /// The same in other words, for who knows more than the error tells.
    pub(super) fn with_kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds what may help a person.
    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        self.reason = format!("{} ({hint})", self.reason);
        self
    }

    /// Is another endpoint likely to do better?
    pub(super) fn is_of_endpoint(&self) -> bool {
        matches!(self.kind, FailureKind::Connect | FailureKind::Unavailable | FailureKind::Timeout)
    }

    pub(super) fn into_error(self, endpoint: &str, what: &'static str, timeout_ms: u64) -> Error {
        let (endpoint, reason) = (endpoint.to_owned(), self.reason);
        match self.kind {
            FailureKind::Connect => Error::Connect { endpoint, reason },
            FailureKind::Unavailable | FailureKind::StaleToken => {
                Error::Unavailable { endpoint, what, reason }
            }
            FailureKind::Timeout => Error::Timeout { endpoint, what, timeout_ms },
            FailureKind::NoSpace => Error::NoSpace { endpoint },
            FailureKind::Compacted(revision) => Error::Compacted { revision },
            FailureKind::LeaseGone(lease) => Error::LeaseGone { lease },
            FailureKind::Denied => Error::Denied { endpoint, reason },
            FailureKind::TooLarge => Error::TooLarge { endpoint, reason },
            FailureKind::Invalid => Error::Invalid { endpoint, reason },
            FailureKind::Other => Error::Other { endpoint, what, reason },
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::GRpcStatus(status) => status.into(),
            // The endpoint's address or the certificates: nothing has left.
            ClientError::TransportError(_)
            | ClientError::InvalidUri(_)
            | ClientError::IoError(_)
            | ClientError::EndpointError(_) => Self::new(FailureKind::Connect, chain(&error)),
            ClientError::InvalidArgs(reason) => Self::new(FailureKind::Invalid, reason),
            // The only text it has for a lease that is gone.
            ClientError::LeaseKeepAliveError(reason) if reason.contains("lease not found") => {
                Self::new(FailureKind::LeaseGone(NO_LEASE), reason)
            }
            error => Self::new(FailureKind::Other, chain(&error)),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if never_left(&status) {
            return Self::new(FailureKind::Connect, words(&status));
        }
        let kind = by_words(status.message()).unwrap_or_else(|| by_code(status.code()));
        Self::new(kind, words(&status))
    }
}

/// Is the connection's coming about what failed?
fn never_left(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// What only etcd's words tell; its codes are too coarse, and a watch's cancellation has no code at all.
pub(super) fn by_words(message: &str) -> Option<FailureKind> {
    const TABLE: &[(&str, FailureKind)] = &[
        ("required revision has been compacted", FailureKind::Compacted(0)),
        ("database space exceeded", FailureKind::NoSpace),
        ("requested lease not found", FailureKind::LeaseGone(NO_LEASE)),
        ("request is too large", FailureKind::TooLarge),
        ("too many operations", FailureKind::TooLarge),
        ("message larger than max", FailureKind::TooLarge),
        ("message length too large", FailureKind::TooLarge),
        ("revision of auth store is old", FailureKind::StaleToken),
        ("invalid auth token", FailureKind::StaleToken),
        ("permission denied", FailureKind::Denied),
        ("user name is empty", FailureKind::Denied),
        ("authentication failed", FailureKind::Denied),
        ("authentication is not enabled", FailureKind::Denied),
        ("no leader", FailureKind::Unavailable),
        ("too many requests", FailureKind::Unavailable),
    ];
    TABLE.iter().find(|(words, _)| message.contains(words)).map(|(_, kind)| *kind)
}

fn by_code(code: Code) -> FailureKind {
    match code {
        Code::DeadlineExceeded => FailureKind::Timeout,
        Code::Unavailable | Code::Cancelled | Code::Aborted => FailureKind::Unavailable,
        Code::PermissionDenied | Code::Unauthenticated => FailureKind::Denied,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition | Code::NotFound => {
            FailureKind::Invalid
        }
        // The transport's own code for a connection that broke under a request.
        Code::Unknown | Code::Internal => FailureKind::Unavailable,
        _ => FailureKind::Other,
    }
}

/// A status's own words, which of etcd's are clear, and the causes behind the transport's, which say more.
fn words(status: &Status) -> String {
    with_causes(status.message().to_owned(), status)
}

/// The error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    with_causes(error.to_string(), error)
}

/// The outermost first, each said once.
fn with_causes(mut text: String, error: &dyn std::error::Error) -> String {
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use etcd_client::Error as ClientError;
    use tonic::{Code, Status};

    use super::Failure;
    use crate::Error;

    fn error(code: Code, message: &str) -> Error {
        Failure::from(ClientError::GRpcStatus(Status::new(code, message))).into_error("http://e", "txn", 5000)
    }

    #[test]
    fn etcds_words_are_understood() {
        let cases = [
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", "compacted"),
            (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision", "invalid"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "no_space"),
            (Code::NotFound, "etcdserver: requested lease not found", "lease_gone"),
            (Code::InvalidArgument, "etcdserver: request is too large", "too_large"),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", "too_large"),
            (Code::InvalidArgument, "etcdserver: duplicate key given in txn request", "invalid"),
            (Code::PermissionDenied, "etcdserver: permission denied", "denied"),
            (Code::InvalidArgument, "etcdserver: user name is empty", "denied"),
            (Code::Unavailable, "etcdserver: leader changed", "unavailable"),
            (Code::Unavailable, "etcdserver: request timed out", "unavailable"),
            (Code::Unknown, "transport error", "unavailable"),
            (Code::DeadlineExceeded, "context deadline exceeded", "timeout"),
            (Code::DataLoss, "etcdserver: corrupt cluster", "other"),
        ];
        for (code, message, label) in cases {
            assert_eq!(error(code, message).label(), label, "{message}");
        }
    }

    #[test]
    fn whatever_may_have_been_applied_is_ambiguous() {
        for message in ["etcdserver: request timed out", "etcdserver: leader changed"] {
            assert!(error(Code::Unavailable, message).ambiguous());
        }
        assert!(error(Code::Unknown, "h2 protocol error").ambiguous());
        assert!(!error(Code::InvalidArgument, "etcdserver: request is too large").ambiguous());
    }
}
