//! How a route is written. There is no way to add one that does not pass `authorize` and the bounds: [`Routes`] is the
//! only thing that handlers are mounted on.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::Uri,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, any, on},
};
use tower::ServiceExt as _;

use crate::{
    auth::Action,
    call::{Call, Served},
    config::ApiConfig,
    error::Error,
    gate,
};

/// Routes of one resource, or of all.
pub(crate) struct Routes<S> {
    router: Router<S>,
}

impl<S: Served> Routes<S> {
    pub(crate) fn new() -> Self {
        Routes { router: Router::new() }
    }

    /// Mounts a read.
    pub(crate) fn get<F, Fut>(self, path: &str, action: Action, handler: F) -> Self
    where
        F: Fn(Call<S>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.route(path, on(MethodFilter::GET, secured(action, handler)))
    }

    /// Mounts a write, which clients send as PUT or POST.
    pub(crate) fn put<F, Fut>(self, path: &str, action: Action, handler: F) -> Self
    where
        F: Fn(Call<S>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.route(path, on(MethodFilter::PUT.or(MethodFilter::POST), secured(action, handler)))
    }

    /// Mounts a removal.
    pub(crate) fn delete<F, Fut>(self, path: &str, action: Action, handler: F) -> Self
    where
        F: Fn(Call<S>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.route(path, on(MethodFilter::DELETE, secured(action, handler)))
    }

    /// Names routes that clients know and this version does not have yet.
    pub(crate) fn not_served(mut self, paths: &'static [&'static str]) -> Self {
        for path in paths {
            let handler = move |call: Call<S>| async move {
                let shown = path.replace('{', ":").replace('}', "");
                Err::<Response, _>(Error::NotServed(format!("{} {shown}", call.method)))
            };
            self = self.route(path, any(secured(Action::Unknown, handler)));
        }
        self
    }

    /// Takes over another resource's routes.
    pub(crate) fn with(mut self, other: Routes<S>) -> Self {
        self.router = self.router.merge(other.router);
        self
    }

    /// All routes in one service, and `otherwise` for what matches none. What matches but for its method is told so.
    pub(crate) fn finish<F, Fut>(self, state: S, otherwise: F) -> Router
    where
        F: Fn(Call<S>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let wrong_method = |_: Call<S>| async { Err::<Response, _>(Error::Method) };
        self.router
            .method_not_allowed_fallback(secured(Action::Unknown, wrong_method))
            .fallback(secured(Action::Unknown, otherwise))
            .with_state(state)
    }

    fn route(mut self, path: &str, methods: MethodRouter<S>) -> Self {
        self.router = self.router.route(path, methods);
        self
    }
}

/// A handler behind `authorize` and the bounds.
fn secured<S, F, Fut>(
    action: Action,
    handler: F,
) -> impl Fn(State<S>, Request) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>>
+ Clone
+ Send
+ Sync
+ 'static
where
    S: Served,
    F: Fn(Call<S>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Error>> + Send + 'static,
{
    move |State(state): State<S>, request: Request| {
        let handler = handler.clone();
        Box::pin(async move {
            let call = match Call::receive(state, action, request).await {
                Ok(call) => call,
                Err(error) => return error.into_response(),
            };
            let (method, path) = (call.method.clone(), call.uri.path().to_owned());
            match handler(call).await {
                Ok(response) => response,
                Err(error) => {
                    // What is wrong with a caller's job is his to hear, and may quote what it holds.
                    if error.status().is_server_error() && !matches!(error, Error::Refused(_)) {
                        tracing::info!(%method, path, %error, "request failed");
                    }
                    error.into_response()
                }
            }
        })
    }
}

/// Passes a request that came in on `local` through the gate and on to the routes.
pub(crate) async fn enter(
    router: Router,
    config: Arc<ApiConfig>,
    local: Option<SocketAddr>,
    mut request: Request,
) -> Response {
    if let Err(error) = gate::admit(&config, local, request.uri(), request.headers()) {
        return error.into_response();
    }
    if let Some(uri) = canonical(request.uri()) {
        *request.uri_mut() = uri;
    }
    router.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// What may follow a job's id in a path.
const JOB_PARTS: &[&[&str]] = &[
    &["action"],
    &["actions"],
    &["allocations"],
    &["deployment"],
    &["deployments"],
    &["dispatch"],
    &["evaluate"],
    &["evaluations"],
    &["periodic", "force"],
    &["plan"],
    &["revert"],
    &["scale"],
    &["services"],
    &["stable"],
    &["submission"],
    &["summary"],
    &["versions"],
];

/// The path with a job id's slashes encoded: ids may hold `/`, and not every client encodes it. `None` if nothing has
/// to change.
pub(crate) fn canonical(uri: &Uri) -> Option<Uri> {
    let rest = uri.path().strip_prefix("/v1/job/")?;
    let segments: Vec<&str> = rest.split('/').collect();
    let part = JOB_PARTS
        .iter()
        .filter(|part| segments.len() > part.len() && segments.ends_with(part))
        .map(|part| part.len())
        .max()
        .or_else(|| tag_of_version(&segments));
    let (id, part) = segments.split_at(segments.len() - part.unwrap_or(0));
    if id.len() < 2 {
        return None;
    }
    let mut path = format!("/v1/job/{}", id.join("%2F"));
    for segment in part {
        path.push('/');
        path.push_str(segment);
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    path.parse().ok()
}

/// `versions/<name>/tag`
fn tag_of_version(segments: &[&str]) -> Option<usize> {
    match segments {
        [_, .., "versions", _, "tag"] => Some(3),
        _ => None,
    }
}
