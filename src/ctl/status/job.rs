//! One job: what it is, how its groups stand, what waits and why, and its allocations.

use crate::{
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    show::{Fields, Table, reasons, short, time},
    wire::{Allocation, Evaluation, Job, JobSummary},
};

/// Allocations shown; the newest.
const MAX_ALLOCS: usize = 60;

/// Shows a job by its whole name.
///
/// # Errors
/// If it is gone; those of asking.
pub(super) async fn show(cx: &mut Cx<'_>, id: &str) -> Result<Exit> {
    let gone = || Error::Unknown { kind: "job".into(), given: id.into() };
    let job = cx.client.job(id).await?.ok_or_else(gone)?;
    let stubs = cx.client.jobs(id).await?;
    let summary = stubs.into_iter().find(|stub| stub.id == id).map(|stub| stub.job_summary);
    let evals = cx.client.job_evals(id).await?;
    let allocs = cx.client.job_allocs(id).await?;
    cx.screen.line(fields(&job))?;
    cx.screen.line(format!("\nSummary\n{}", counts(&job, &summary.unwrap_or_default())))?;
    let blocked = evals.iter().filter(|eval| eval.status == "blocked").max_by_key(|eval| eval.create_index);
    if let Some(blocked) = blocked {
        for text in waits(blocked, &evals) {
            cx.screen.line(format!("\n{text}"))?;
        }
    }
    let stuck = evals.iter().filter(|eval| eval.status == "pending").max_by_key(|eval| eval.create_index);
    if let Some(eval) = stuck {
        let age = time::age(cx.now, eval.create_time);
        cx.screen.line(format!("\nEvaluation {} is pending since {age}", short(&eval.id)))?;
    }
    cx.screen.line(format!("\nAllocations\n{}", table(cx.now, allocs)))?;
    Ok(Exit::Ok)
}

fn fields(job: &Job) -> Fields {
    Fields::new()
        .with("ID", &job.id)
        .with("Name", &job.name)
        .with("Submit Date", time::date(job.submit_time))
        .with("Type", &job.kind)
        .with("Priority", job.priority)
        .with("Datacenters", if job.datacenters.is_empty() { "*".into() } else { job.datacenters.join(",") })
        .with("Namespace", &job.namespace)
        .with("Status", if job.stop { format!("{} (stopped)", job.status) } else { job.status.clone() })
        .with("Version", job.version)
        .with("Periodic", job.periodic.is_some())
        .with("Parameterized", job.parameterized_job.is_some())
}

fn counts(job: &Job, summary: &JobSummary) -> Table {
    let headings = ["Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost"];
    let mut table = Table::new(headings);
    let mut groups: Vec<&String> = summary.summary.keys().collect();
    groups
        .extend(job.task_groups.iter().map(|g| &g.name).filter(|name| !summary.summary.contains_key(*name)));
    groups.sort();
    for group in groups {
        let n = summary.summary.get(group).cloned().unwrap_or_default();
        let numbers = [n.queued, n.starting, n.running, n.failed, n.complete, n.lost].map(|n| n.to_string());
        let [queued, starting, running, failed, complete, lost] = numbers;
        table.row([group.clone(), queued, starting, running, failed, complete, lost]);
    }
    table
}

/// What the job waits for: room, an instant, or running instances.
fn waits(blocked: &Evaluation, evals: &[Evaluation]) -> Vec<String> {
    let mut texts = Vec::new();
    // The failures stand on the evaluation that met them; one that waits may repeat them.
    let parent = evals
        .iter()
        .filter(|eval| eval.blocked_eval == blocked.id || eval.next_eval == blocked.id)
        .max_by_key(|eval| eval.modify_index);
    let failed =
        [Some(blocked), parent].into_iter().flatten().map(|e| &e.failed_tg_allocs).find(|f| !f.is_empty());
    if let Some(failed) = failed {
        let mut lines = vec!["Placement Failure".to_owned()];
        for (group, metric) in failed {
            lines.push(reasons::heading(group, metric));
            lines.extend(reasons::bullets(metric, "  "));
        }
        texts.push(lines.join("\n"));
    }
    let waiting: Vec<&str> = reasons::waiting(blocked).collect();
    if !waiting.is_empty() {
        texts.push(format!("Waiting\n{}", waiting.join("\n")));
    }
    texts
}

fn table(now: i64, mut allocs: Vec<Allocation>) -> String {
    if allocs.is_empty() {
        return "No allocations placed".into();
    }
    allocs.sort_by(|a, b| b.create_index.cmp(&a.create_index).then_with(|| a.name.cmp(&b.name)));
    let more = allocs.len().saturating_sub(MAX_ALLOCS);
    let headings = ["ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"];
    let mut table = Table::new(headings);
    for alloc in allocs.into_iter().take(MAX_ALLOCS) {
        table.row([
            short(&alloc.id).into(),
            short(&alloc.node_id).into(),
            alloc.task_group,
            alloc.job_version.to_string(),
            alloc.desired_status,
            alloc.client_status,
            time::ago(now, alloc.create_time),
            time::ago(now, alloc.modify_time),
        ]);
    }
    match more {
        0 => table.to_string(),
        more => format!("{table}\nand {more} older ones; `ctl get allocs` lists all"),
    }
}
