//! `logs ALLOC|job/NAME`: what a task printed, and with `-f` what it goes on to print.

use clap::Args;
use futures::StreamExt as _;

use crate::{
    client::innermost,
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    find,
    kind::Kind,
    show::short,
    wire::Allocation,
};

/// Print what a task wrote to stdout or stderr
#[derive(Args, Clone, Debug)]
pub(crate) struct LogsArgs {
    /// An allocation's id, a unique beginning of it, alloc/ID, or job/NAME for that job's newest one
    #[arg(value_name = "ALLOC|job/NAME")]
    of: String,
    /// The task, if there are several
    #[arg(value_name = "TASK", conflicts_with = "task_flag")]
    task: Option<String>,
    /// The task, if there are several
    #[arg(short = 't', long = "task", value_name = "TASK")]
    task_flag: Option<String>,
    /// Go on until the task has ended
    #[arg(short = 'f', long)]
    follow: bool,
    /// What it wrote to stderr
    #[arg(long)]
    stderr: bool,
    /// What it wrote to stdout; so without being asked
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// The name is a job's
    #[arg(long)]
    job: bool,
}

/// Streams the output.
///
/// # Errors
/// If no allocation fits, it has several tasks and none was named, or nothing was written yet; those of asking.
pub(crate) async fn run(args: &LogsArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let alloc = allocation(args, cx).await?;
    let task = task(args, &alloc)?;
    let kind = if args.stderr { "stderr" } else { "stdout" };
    let response = cx.client.logs(&alloc.id, &task, kind, args.follow).await?;
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| broken_off(&alloc, &error))?;
        cx.screen.bytes(&chunk)?;
    }
    Ok(Exit::Ok)
}

/// The server ended, or the way to it did: of the task this says nothing.
fn broken_off(alloc: &Allocation, error: &reqwest::Error) -> Error {
    let id = short(&alloc.id);
    Error::process(
        format!("the output of allocation {id} broke off: {}", innermost(error)),
        format!("Its task may well go on: `ctl alloc-status {id}` says so, and `ctl logs` shows all of it."),
    )
}

async fn allocation(args: &LogsArgs, cx: &mut Cx<'_>) -> Result<Allocation> {
    let unknown = |kind: &str, given: &str| Error::Unknown { kind: kind.into(), given: given.into() };
    let job = match Kind::split(&args.of) {
        Some((Kind::Job, name)) => Some(name),
        _ if args.job => Some(args.of.as_str()),
        _ => None,
    };
    let Some(job) = job else {
        let id = match find::one(cx, Kind::Alloc, &args.of).await {
            Err(Error::Unknown { .. }) if cx.client.job(&args.of).await?.is_some() => {
                let message = format!("{:?} is a job, and no allocation's id begins so", args.of);
                return Err(Error::usage(
                    message,
                    format!("`ctl logs job/{}` shows its newest one.", args.of),
                ));
            }
            found => found?.id,
        };
        return cx.client.alloc(&id).await?.ok_or_else(|| unknown("allocation", &id));
    };
    let found = find::one(cx, Kind::Job, job).await?;
    found.enter(cx);
    let job = found.id;
    let allocs = cx.client.job_allocs(&job).await?;
    // A running one rather than an ended one, the newest of those.
    let newest =
        allocs.into_iter().max_by_key(|a| (a.client_status == "running", a.create_index, a.modify_time));
    let newest = newest.ok_or_else(|| {
        Error::usage(
            format!("job {job:?} has no allocations, so that nothing was written"),
            format!("`ctl status {job}` says what it waits for."),
        )
    })?;
    cx.client.alloc(&newest.id).await?.ok_or_else(|| unknown("allocation", &newest.id))
}

fn task(args: &LogsArgs, alloc: &Allocation) -> Result<String> {
    let mut tasks = alloc.task_names();
    let named = args.task.as_ref().or(args.task_flag.as_ref());
    let of = format!("allocation {} ({})", short(&alloc.id), alloc.name);
    match named {
        Some(task) if tasks.is_empty() || tasks.contains(task) => Ok(task.clone()),
        Some(task) => Err(Error::usage(
            format!("{of} has no task {task:?}"),
            format!("Its tasks: {}.", tasks.join(", ")),
        )),
        None if tasks.len() == 1 => Ok(tasks.remove(0)),
        None if tasks.is_empty() => Err(Error::usage(
            format!("{of} does not say which tasks it has"),
            "Name one with -t TASK.".to_owned(),
        )),
        None => Err(Error::usage(
            format!("{of} has several tasks"),
            format!("Name one with -t TASK: {}.", tasks.join(", ")),
        )),
    }
}
