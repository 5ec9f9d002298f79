//! What a request can be answered besides success: plain text with a status, as Nomad's clients expect.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::meta::Meta;

/// A request that was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing is stored under that id. A read, so that it carries the index to wait from.
    #[error("{what} not found")]
    NotFound { what: &'static str, meta: Option<Meta> },
    /// Something that is kept beside the stored things (a log) is not there.
    #[error("{0}")]
    Missing(String),
    /// No such path.
    #[error("404 page not found")]
    NoSuchPath,
    /// The path has no such method.
    #[error("Invalid method")]
    Method,
    /// The request cannot be understood.
    #[error("{0}")]
    Malformed(String),
    /// The request is understood and refused: validation, a check-index that does not match.
    #[error("{0}")]
    Refused(String),
    /// No token, another one, or one that may not do this.
    #[error("Permission denied")]
    Denied,
    /// A Host or Origin that is not ours.
    #[error("{0}")]
    Foreign(String),
    /// A body, job or source over its bound.
    #[error("{0}")]
    TooLarge(String),
    /// The body did not come in time.
    #[error("the request's body did not arrive in time")]
    TooSlow,
    /// Known, and not built yet.
    #[error("{0} is not served by this version of Encamp yet")]
    NotServed(String),
    /// Others kept changing the same thing.
    #[error("{what} is being changed by others; nothing was written in {attempts} attempts: try again")]
    Contended { what: String, attempts: u32 },
    /// etcd is full.
    #[error("nothing was written: {0}")]
    NoSpace(String),
    /// etcd, or the World that watches it, is not to be had.
    #[error("No cluster leader: {0}")]
    Unavailable(String),
    /// The node that has the answer is not to be had.
    #[error("{0}")]
    NodeUnreachable(String),
    /// Something that is stored, or that we said, makes no sense.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Error::NotFound { .. } | Error::Missing(_) | Error::NoSuchPath => StatusCode::NOT_FOUND,
            Error::Method => StatusCode::METHOD_NOT_ALLOWED,
            Error::Malformed(_) => StatusCode::BAD_REQUEST,
            Error::Refused(_) | Error::Contended { .. } | Error::Internal(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Error::Denied | Error::Foreign(_) => StatusCode::FORBIDDEN,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Error::NotServed(_) => StatusCode::NOT_IMPLEMENTED,
            Error::NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
            Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::NodeUnreachable(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<encamp_runtime::process::Error> for Error {
    fn from(error: encamp_runtime::process::Error) -> Self {
        Error::Unavailable(error.to_string())
    }
}

impl From<encamp_store::Error> for Error {
    fn from(error: encamp_store::Error) -> Self {
        Error::Unavailable(error.to_string())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Error::NotFound { meta: Some(meta), .. } = &self {
            meta.write(headers);
        }
        if matches!(self, Error::TooLarge(_) | Error::TooSlow) {
            // What is left of the body would be read as the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
