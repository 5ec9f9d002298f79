//! From what a person typed to exactly one thing: a name, an id, a prefix of an id, or `KIND/NAME`.

use crate::{
    cx::Cx,
    error::{Error, Result},
    kind::Kind,
    show::short,
    wire::{Allocation, Evaluation, JobStub, Node},
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
    namespace: Option<String>,
    exact: bool,
}

/// The one thing of this kind that `given` names.
///
/// # Errors
/// [`Error::Unknown`] or [`Error::Ambiguous`], beside those of asking.
pub(crate) async fn one(cx: &Cx<'_>, kind: Kind, given: &str) -> Result<Match> {
    any(cx, &[kind], given).await
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
    choose(found, &either(&words), given)
}

/// `job, node or evaluation`
fn either(words: &[&str]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// The exact one of the first kind that has any; else the only one.
fn choose(mut found: Vec<Match>, kind: &str, given: &str) -> Result<Match> {
    if let Some(first) = found.iter().find(|m| m.exact).map(|m| m.kind) {
        found.retain(|m| m.exact && m.kind == first);
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
    let all: Vec<Match> = match kind {
        Kind::Job => client.jobs(given).await?.into_iter().map(|j| Match::job(j, given)).collect(),
        // Nodes go by name too, so that all are asked for.
        Kind::Node => client.nodes("").await?.into_iter().map(|n| Match::node(n, given)).collect(),
        Kind::Alloc | Kind::Eval if given.len() < MIN_PREFIX => Vec::new(),
        Kind::Alloc => client.allocs(given).await?.into_iter().map(|a| Match::alloc(a, given)).collect(),
        Kind::Eval => client.evals(given).await?.into_iter().map(|e| Match::eval(e, given)).collect(),
    };
    let begins = |m: &Match| m.id.starts_with(given) && given.len() >= MIN_PREFIX;
    Ok(all.into_iter().filter(|m| m.exact || begins(m)).collect())
}

impl Match {
    /// True when the whole name or id was typed.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// From here on the verb asks about the namespace that this was found in.
    pub(crate) fn enter(&self, cx: &mut Cx<'_>) {
        if let Some(namespace) = &self.namespace {
            cx.client = cx.client.within(namespace);
        }
    }

    fn job(job: JobStub, given: &str) -> Self {
        let namespace = Some(job.namespace).filter(|name| !name.is_empty());
        let within = namespace.as_deref().filter(|name| *name != "default");
        let within = within.map(|name| format!(" in namespace {name}")).unwrap_or_default();
        let label = format!("job {}{within} ({})", job.id, job.status);
        Match { kind: Kind::Job, exact: job.id == given, id: job.id, label, namespace }
    }

    fn node(node: Node, given: &str) -> Self {
        let label = format!("node {} {} ({})", short(&node.id), node.name, node.status);
        let exact = node.id == given || node.name == given;
        Match { kind: Kind::Node, exact, id: node.id, label, namespace: None }
    }

    fn alloc(alloc: Allocation, given: &str) -> Self {
        let label = format!("alloc {} {} ({})", short(&alloc.id), alloc.name, alloc.client_status);
        Match { kind: Kind::Alloc, exact: alloc.id == given, id: alloc.id, label, namespace: None }
    }

    fn eval(eval: Evaluation, given: &str) -> Self {
        let label = format!("eval {} of {} ({})", short(&eval.id), eval.job_id, eval.status);
        Match { kind: Kind::Eval, exact: eval.id == given, id: eval.id, label, namespace: None }
    }
}
