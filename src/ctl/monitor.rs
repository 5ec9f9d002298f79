//! Follows an evaluation until it is answered, in the five lines that Nomad's users know, and its successors while a
//! rolling update goes on.
//!
//! [`Seen`] is the pure half: what has been said, and what an answer adds. Nothing is lost when all is over before
//! the first look: an evaluation counts as pending until it is seen otherwise.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::{
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    show::{reasons, short, time},
    wire::{Allocation, Evaluation},
};

/// How long one question may wait for a change.
const WAIT: Duration = Duration::from_secs(2);
/// At least this long between two questions, should the server not wait at all.
const PAUSE: Duration = Duration::from_millis(100);
/// After so long without an answer, say what may be missing.
const SLOW: Duration = Duration::from_secs(10);

/// Follows an evaluation and the ones that continue it; says at the end how it went.
///
/// # Errors
/// Those of asking, and [`Error::Unknown`] when there is no such evaluation.
pub(crate) async fn monitor(cx: &mut Cx<'_>, id: &str) -> Result<Exit> {
    let Some(mut last) = follow(cx, id).await? else {
        return Err(Error::Unknown { kind: "evaluation".into(), given: id.into() });
    };
    while let Some(next) = continued_by(&last) {
        let next = next.to_owned();
        match last.wait {
            0 => cx.screen.line(format!("==> Monitoring next evaluation {next:?}"))?,
            wait => {
                cx.screen.line(format!("==> Monitoring next evaluation {next:?} in {}", time::span(wait)))?
            }
        }
        match follow(cx, &next).await? {
            Some(eval) => last = eval,
            None => {
                cx.screen
                    .note(format!("Evaluation {next:?} is no longer needed: the job has changed since."));
                break;
            }
        }
    }
    Ok(outcome(&last))
}

/// The evaluation that goes on where this one stopped: the next batch of an update. One that waits for room is not
/// followed, as nobody can say when there will be some.
fn continued_by(eval: &Evaluation) -> Option<&str> {
    if eval.status != "complete" || !eval.failed_tg_allocs.is_empty() {
        return None;
    }
    [eval.next_eval.as_str(), eval.blocked_eval.as_str()].into_iter().find(|next| !next.is_empty())
}

fn outcome(eval: &Evaluation) -> Exit {
    match eval.status.as_str() {
        "complete" if eval.failed_tg_allocs.is_empty() => Exit::Ok,
        "complete" => Exit::NotPlaced,
        _ => Exit::Failed,
    }
}

/// One evaluation from its first line to its last; none if it does not exist (any more).
async fn follow(cx: &mut Cx<'_>, id: &str) -> Result<Option<Evaluation>> {
    let mut seen = Seen::default();
    let began = Instant::now();
    let (mut index, mut warned) = (None, None);
    cx.screen.line(format!("==> Monitoring evaluation {id:?}"))?;
    loop {
        let asked = Instant::now();
        let Some(eval) = cx.client.eval(id, index, WAIT).await? else { return Ok(None) };
        let allocs = cx.client.eval_allocs(id).await?;
        for line in seen.news(&eval, &allocs) {
            cx.screen.line(line)?;
        }
        if is_over(&eval) {
            return Ok(Some(eval));
        }
        let waits = waiting(&eval, began.elapsed() > SLOW);
        if waits.is_some() && waits != warned {
            cx.screen.note(waits.as_deref().unwrap_or_default());
            warned = waits;
        }
        index = Some(eval.modify_index);
        tokio::time::sleep_until(asked + PAUSE).await;
    }
}

fn is_over(eval: &Evaluation) -> bool {
    matches!(eval.status.as_str(), "complete" | "failed" | "canceled" | "cancelled")
}

/// Why nothing happens: what the next batch waits for, or what may be missing.
fn waiting(eval: &Evaluation, slow: bool) -> Option<String> {
    match (eval.status.as_str(), eval.status_description.as_str()) {
        ("blocked", why) if !why.is_empty() => Some(format!("Waiting: {why}")),
        ("pending", "") if slow => {
            Some("Still pending: is a planner running? `ctl controllers` or `ctl server` starts one.".into())
        }
        (status, why) if slow => Some(format!("Still {status}: {why}")),
        _ => None,
    }
}

/// What has been said of one evaluation.
#[derive(Debug, Default)]
struct Seen {
    trigger: bool,
    status: Option<String>,
    allocs: BTreeSet<String>,
}

impl Seen {
    /// The lines that this look adds.
    fn news(&mut self, eval: &Evaluation, allocs: &[Allocation]) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.trigger {
            self.trigger = true;
            lines.push(match eval.node_id.as_str() {
                "" => format!("    Evaluation triggered by job {:?}", eval.job_id),
                node => format!("    Evaluation triggered by node {:?}", short(node)),
            });
        }
        let mut new: Vec<&Allocation> = allocs.iter().filter(|a| !self.allocs.contains(&a.id)).collect();
        new.sort_by_key(|a| (a.create_index, &a.name));
        for alloc in new {
            self.allocs.insert(alloc.id.clone());
            let verb = if alloc.create_index < eval.create_index { "modified" } else { "created" };
            let (id, node, group) = (short(&alloc.id), short(&alloc.node_id), &alloc.task_group);
            lines.push(format!("    Allocation {id:?} {verb}: node {node:?}, group {group:?}"));
        }
        // Until it is made, a next evaluation shows as blocked: that is no step of its own.
        let status = if eval.status == "blocked" { "pending" } else { &eval.status };
        let before = self.status.replace(status.to_owned()).unwrap_or_else(|| "pending".into());
        if before != status {
            lines.push(format!("    Evaluation status changed: {before:?} -> {status:?}"));
        }
        if is_over(eval) {
            lines.extend(finish(eval));
        }
        lines
    }
}

/// The last line, and what could not be placed.
fn finish(eval: &Evaluation) -> Vec<String> {
    let end = format!("==> Evaluation {:?} finished with status {:?}", eval.id, eval.status);
    if eval.failed_tg_allocs.is_empty() {
        let why = if eval.status_description.is_empty() || eval.status == "complete" {
            String::new()
        } else {
            format!(": {}", eval.status_description)
        };
        return vec![format!("{end}{why}")];
    }
    let mut lines = vec![format!("{end} but failed to place all allocations:")];
    for (group, metric) in &eval.failed_tg_allocs {
        lines.push(format!("    {}", reasons::heading(group, metric)));
        lines.extend(reasons::bullets(metric, "      "));
    }
    if !eval.blocked_eval.is_empty() {
        lines.push(format!(
            "    Evaluation {:?} waiting for additional capacity to place remainder",
            short(&eval.blocked_eval)
        ));
    }
    lines
}
