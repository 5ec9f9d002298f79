//! The query parameters that many routes share.

use std::time::Duration;

use axum::http::Uri;

use crate::error::Error;

/// Longest that a blocking query waits, before jitter.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// How long it waits unless told.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);
/// Most items a page may hold.
const MAX_PAGE: usize = 10_000;

/// The parameters of a request, read once.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    /// Answer when the index passes this one; 0: at once.
    pub(crate) index: i64,
    /// For that long at most.
    pub(crate) wait: Duration,
    /// Do without a fence.
    pub(crate) stale: bool,
    /// Items a page; `None`: all.
    pub(crate) per_page: Option<usize>,
}

impl Query {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first one that makes no sense.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, Error> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Error::Malformed("the query parameters cannot be read".to_owned()))?
            .0;
        let mut query = Query { pairs, index: 0, wait: DEFAULT_WAIT, stale: false, per_page: None };
        query.stale = query.flag("stale");
        if let Some(text) = query.given("index") {
            query.index = text.parse().ok().filter(|i| *i >= 0).ok_or_else(|| invalid("index", text))?;
        }
        if let Some(text) = query.given("wait") {
            let nanos = encamp_jobspec::parse_duration(text)
                .map_err(|why| Error::Malformed(format!("Invalid wait time: {:?} {why}", shortened(text))))?;
            let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
            query.wait = if wait.is_zero() { DEFAULT_WAIT } else { wait.min(MAX_WAIT) };
        }
        if let Some(text) = query.given("per_page") {
            let per_page: usize = text.parse().map_err(|_| invalid("per_page", text))?;
            query.per_page = (per_page > 0).then_some(per_page.min(MAX_PAGE));
        }
        Ok(query)
    }

    /// A parameter, if it was given and is not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| &**value).filter(|v| !v.is_empty())
    }

    /// A switch: on if it is there, unless it says no.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let value = self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
        value.is_some_and(|v| !matches!(v, "false" | "0" | "f" | "F" | "False" | "FALSE"))
    }

    /// The namespace asked about; `default` unless given.
    pub(crate) fn namespace(&self) -> &str {
        self.given("namespace").unwrap_or("default")
    }

    /// Is this namespace among those asked about? `*` asks about all.
    pub(crate) fn in_namespace(&self, namespace: &str) -> bool {
        let asked = self.namespace();
        asked == "*" || asked == namespace
    }

    /// Does an id start as asked?
    pub(crate) fn has_prefix(&self, id: &str) -> bool {
        self.given("prefix").is_none_or(|prefix| id.starts_with(prefix))
    }

    /// A number of bytes or the like; 0 unless given.
    ///
    /// # Errors
    /// If it is not a whole number.
    pub(crate) fn number(&self, name: &str) -> Result<u64, Error> {
        self.given(name).map_or(Ok(0), |text| text.parse().map_err(|_| invalid(name, text)))
    }
}

/// One page of a list that is sorted by token: the items, and the token of the first that didn't fit.
pub(crate) fn page<T>(
    query: &Query,
    mut items: Vec<T>,
    token: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    if query.flag("reverse") {
        items.reverse();
    }
    if let Some(from) = query.given("next_token") {
        // The item itself may be gone: go on with the first at or behind its place.
        let behind = |item: &T| {
            let token = token(item);
            if query.flag("reverse") { token.as_str() <= from } else { token.as_str() >= from }
        };
        let start = items.iter().position(behind).unwrap_or(items.len());
        items.drain(..start);
    }
    let next = query.per_page.and_then(|n| items.get(n)).map(&token);
    items.truncate(query.per_page.unwrap_or(usize::MAX));
    (items, next)
}

fn invalid(name: &str, text: &str) -> Error {
    Error::Malformed(format!("Invalid {name}: {:?} is not a whole number", shortened(text)))
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
