//! From what a person typed to exactly one thing: a name, an id, a prefix of an id, or `KIND/NAME`.

use crate::{
    cx::Cx,
    error::{Error, Result},
    kind::Kind,
    show::short,
};

/// A prefix shorter than this fits nothing.
const MIN_PREFIX: usize = 2;
/// Things listed when a prefix fits several.
const MAX_LISTED: usize = 12;

/// A thing that fits: its id, and its name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its whole id (a job's is its name).
    pub(crate) id: String,
    /// What distinguishes it for a person.
    pub(crate) label: String,
    exact: bool,
}

/// The one thing of this kind that `given` names.
///
/// # Errors
/// [`Error::Unknown`] or [`Error::Ambiguous`], beside those of asking.
pub(crate) async fn one(cx: &Cx<'_>, kind: Kind, given: &str) -> Result<Match> {
    let given = match Kind::split(given) {
        Some((named, rest)) if named == kind => rest,
        _ => given,
    };
    choose(matching(cx, kind, given).await?, kind.word(), given)
}

/// The one thing of any of these kinds that `given` names; `KIND/NAME` says which.
///
/// # Errors
/// As [`one`].
pub(crate) async fn any(cx: &Cx<'_>, kinds: &[Kind], given: &str) -> Result<Match> {
    // A job may be called `job/x` itself, so that the reference is tried second.
    if let Some((kind, rest)) = Kind::split(given)
        && kinds.contains(&kind)
        && !(kinds.contains(&Kind::Job) && cx.client.job(given).await?.is_some())
    {
        return choose(matching(cx, kind, rest).await?, kind.word(), rest);
    }
    let mut found = Vec::new();
    for kind in kinds {
        found.extend(matching(cx, *kind, given).await?);
    }
    let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
    choose(found, &words.join(", "), given)
}

fn choose(mut found: Vec<Match>, kind: &str, given: &str) -> Result<Match> {
    if let Some(at) = found.iter().position(|m| m.exact) {
        return Ok(found.swap_remove(at));
    }
    match found.len() {
        0 => Err(Error::Unknown { kind: kind.into(), given: given.into() }),
        1 => Ok(found.remove(0)),
        more => {
            let mut matches: Vec<String> = found.into_iter().take(MAX_LISTED).map(|m| m.label).collect();
            if more > MAX_LISTED {
                matches.push(format!("and {} more", more - MAX_LISTED));
            }
            Err(Error::Ambiguous { kind: kind.into(), given: given.into(), matches })
        }
    }
}

async fn matching(cx: &Cx<'_>, kind: Kind, given: &str) -> Result<Vec<Match>> {
    let client = &cx.client;
    let all: Vec<(String, String, String)> = match kind {
        Kind::Job => {
            let jobs = client.jobs(given).await?;
            jobs.into_iter()
                .map(|j| (j.id.clone(), j.id.clone(), format!("job {} ({})", j.id, j.status)))
                .collect()
        }
        // Nodes go by name too, so that all are asked for.
        Kind::Node => {
            let nodes = client.nodes("").await?;
            nodes
                .into_iter()
                .map(|n| {
                    let label = format!("node {} {} ({})", short(&n.id), n.name, n.status);
                    (n.id, n.name, label)
                })
                .collect()
        }
        Kind::Alloc | Kind::Eval if given.len() < MIN_PREFIX => Vec::new(),
        Kind::Alloc => {
            let allocs = client.allocs(given).await?;
            allocs
                .into_iter()
                .map(|a| {
                    let label = format!("alloc {} {} ({})", short(&a.id), a.name, a.client_status);
                    (a.id, String::new(), label)
                })
                .collect()
        }
        Kind::Eval => {
            let evals = client.evals(given).await?;
            evals
                .into_iter()
                .map(|e| {
                    let label = format!("eval {} of {} ({})", short(&e.id), e.job_id, e.status);
                    (e.id, String::new(), label)
                })
                .collect()
        }
    };
    let fits = |id: &str, name: &str| {
        id.starts_with(given) && given.len() >= MIN_PREFIX || name == given || id == given
    };
    Ok(all
        .into_iter()
        .filter(|(id, name, _)| fits(id, name))
        .map(|(id, name, label)| Match { kind, exact: id == given || name == given, id, label })
        .collect())
}

impl Match {
    /// True when the whole name or id was typed.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }
}
