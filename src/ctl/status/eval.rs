//! One evaluation: why it was made, what came of it, and what follows.

use crate::{
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    show::{Fields, Table, reasons, short, time},
    wire::Evaluation,
};

/// Shows an evaluation by its whole id.
///
/// # Errors
/// If it is gone; those of asking.
pub(super) async fn show(cx: &mut Cx<'_>, id: &str) -> Result<Exit> {
    let gone = || Error::Unknown { kind: "evaluation".into(), given: id.into() };
    let eval = cx.client.eval(id, None, std::time::Duration::ZERO).await?.ok_or_else(gone)?;
    let mut allocs = cx.client.eval_allocs(id).await?;
    cx.screen.line(fields(cx.now, &eval))?;
    if !eval.failed_tg_allocs.is_empty() {
        cx.screen.line("\nFailed Placements")?;
        for (group, metric) in &eval.failed_tg_allocs {
            cx.screen.line(reasons::heading(group, metric))?;
            for line in reasons::bullets(metric, "  ") {
                cx.screen.line(line)?;
            }
        }
    }
    let waiting = reasons::waiting(&eval).collect::<Vec<_>>();
    if !waiting.is_empty() {
        cx.screen.line(format!("\nWaiting\n{}", waiting.join("\n")))?;
    }
    if !allocs.is_empty() {
        allocs.sort_by(|a, b| (a.create_index, &a.name).cmp(&(b.create_index, &b.name)));
        let mut table = Table::new(["ID", "Node ID", "Task Group", "Version", "Desired", "Status"]);
        for a in allocs {
            let (id, node) = (short(&a.id).to_owned(), short(&a.node_id).to_owned());
            table.row([id, node, a.task_group, a.job_version.to_string(), a.desired_status, a.client_status]);
        }
        cx.screen.line(format!("\nAllocations\n{table}"))?;
    }
    Ok(Exit::Ok)
}

fn fields(now: i64, eval: &Evaluation) -> Fields {
    Fields::new()
        .with("ID", &eval.id)
        .with("Create Time", time::ago(now, eval.create_time))
        .with("Status", &eval.status)
        .with_some("Status Description", &eval.status_description)
        .with("Type", &eval.kind)
        .with("TriggeredBy", &eval.triggered_by)
        .with("Job ID", &eval.job_id)
        .with_some("Node ID", short(&eval.node_id))
        .with("Priority", eval.priority)
        .with("Placement Failures", !eval.failed_tg_allocs.is_empty())
        .with_some("Previous Eval", &eval.previous_eval)
        .with_some("Next Eval", &eval.next_eval)
        .with_some("Blocked Eval", &eval.blocked_eval)
}
