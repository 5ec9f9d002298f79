//! Who may do what: the one layer that every route passes.

use axum::http::{HeaderMap, HeaderName, header};

use crate::{config::Token, error::Error};

const NOMAD_TOKEN: HeaderName = HeaderName::from_static("x-nomad-token");

/// What a request wants to do. Finer than one operator token needs: policies will be about these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Is this process well? Load balancers and kubelets ask without a token.
    Health,
    /// Look at the cluster and at this process.
    ReadCluster,
    /// Look at jobs, their allocations and evaluations.
    ReadJobs,
    /// Register, stop, evaluate.
    WriteJobs,
    /// Look at nodes.
    ReadNodes,
    /// Read what tasks print.
    ReadLogs,
    /// Something that is not served, or that nobody knows: only who is let in may learn which.
    Unknown,
}

/// May this request do that? One static operator token may do everything; without one configured everybody may,
/// which is why [`crate::ApiConfig::check`] keeps such a process on loopback.
pub(crate) fn authorize(token: Option<&Token>, headers: &HeaderMap, action: Action) -> Result<(), Error> {
    let Some(token) = token else { return Ok(()) };
    if action == Action::Health {
        return Ok(());
    }
    match presented(headers) {
        Some(text) if token.matches(text) => Ok(()),
        _ => Err(Error::Denied),
    }
}

/// The token of a request: `X-Nomad-Token`, or `Authorization: Bearer`.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(NOMAD_TOKEN) {
        return value.to_str().ok().map(str::trim);
    }
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
