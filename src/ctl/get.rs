//! `get KIND [NAME]`: kubectl's way to list things and to print them as data.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    find,
    kind::Kind,
    show::{Table, short, time},
    wire::{self, Allocation, Evaluation, JobStub, Node},
};

/// List jobs, nodes, allocs or evals, or print one
#[derive(Args, Clone, Debug)]
pub(crate) struct GetArgs {
    /// jobs, nodes, allocs or evals; KIND/NAME for one
    #[arg(value_name = "KIND[/NAME]")]
    kind: String,
    /// Name, id, or a unique beginning of it
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Ways to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns
    Table,
    /// More columns, whole ids
    Wide,
    /// The API's answer
    Json,
    /// The API's answer as YAML
    Yaml,
    /// KIND/NAME, a line each
    Name,
}

/// Lists or prints.
///
/// # Errors
/// If the kind is unknown or nothing fits; those of asking.
pub(crate) async fn run(args: &GetArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let (kind, name) = match (Kind::split(&args.kind), &args.name) {
        (Some((kind, name)), None) => (kind, Some(name.to_owned())),
        (Some(_), Some(extra)) => {
            let message = format!("{:?} names one thing already, and {extra:?} another", args.kind);
            return Err(Error::usage(message, "Write KIND NAME or KIND/NAME."));
        }
        (None, name) => (parse_kind(&args.kind)?, name.clone()),
    };
    let value = match &name {
        Some(name) => one(cx, kind, name, args.output).await?,
        None => oldest_first(cx.client.raw(collection(kind), &[]).await?),
    };
    match args.output {
        Output::Json => cx.screen.line(format!("{value:#}"))?,
        Output::Yaml => {
            let text = serde_yaml::to_string(&value).map_err(|e| answer(kind, e))?;
            cx.screen.line(text.trim_end())?;
        }
        Output::Name => {
            for name in names(kind, &value) {
                cx.screen.line(name)?;
            }
        }
        Output::Table | Output::Wide => list(cx, kind, value, args.output == Output::Wide)?,
    }
    Ok(Exit::Ok)
}

/// The newest at the end, next to the prompt.
fn oldest_first(mut list: Value) -> Value {
    if let Some(entries) = list.as_array_mut() {
        entries.sort_by_key(|entry| entry["CreateIndex"].as_u64());
    }
    list
}

fn parse_kind(word: &str) -> Result<Kind> {
    Kind::parse(word).map_err(|message| Error::usage(message, "For example: ctl get allocs"))
}

fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "/v1/jobs",
        Kind::Node => "/v1/nodes",
        Kind::Alloc => "/v1/allocations",
        Kind::Eval => "/v1/evaluations",
    }
}

/// One thing: the whole object for data, its entry of the list for a table.
async fn one(cx: &mut Cx<'_>, kind: Kind, name: &str, output: Output) -> Result<Value> {
    let found = find::one(cx, kind, name).await?;
    found.enter(cx);
    if matches!(output, Output::Json | Output::Yaml) {
        let path = match kind {
            Kind::Job => "/v1/job/",
            Kind::Node => "/v1/node/",
            Kind::Alloc => "/v1/allocation/",
            Kind::Eval => "/v1/evaluation/",
        };
        return cx.client.raw(&format!("{path}{}", crate::client::segment(&found.id)), &[]).await;
    }
    let list = cx.client.raw(collection(kind), &[("prefix", &found.id)]).await?;
    let entries = list.as_array().into_iter().flatten();
    Ok(Value::Array(entries.filter(|entry| entry["ID"] == found.id.as_str()).cloned().collect()))
}

fn answer(kind: Kind, error: impl ToString) -> Error {
    Error::Answer { path: collection(kind).into(), reason: error.to_string() }
}

fn names(kind: Kind, value: &Value) -> Vec<String> {
    let entries = value.as_array().into_iter().flatten();
    entries.filter_map(|entry| Some(format!("{}/{}", kind.short(), entry["ID"].as_str()?))).collect()
}

fn list(cx: &mut Cx<'_>, kind: Kind, value: Value, wide: bool) -> Result<()> {
    if value.as_array().is_some_and(Vec::is_empty) {
        cx.screen.note(format!("No {}s.", kind.word()));
        return Ok(());
    }
    let now = cx.now;
    // Of everything in every namespace one wants to know which it is.
    let every = cx.client.namespace() == "*" && kind != Kind::Node && !(wide && kind == Kind::Job);
    let namespaces = every.then(|| namespaces(&value));
    let table = match kind {
        Kind::Job => jobs(now, &rows(kind, value)?, wide),
        Kind::Node => nodes(&rows(kind, value)?, wide),
        Kind::Alloc => allocs(now, &rows(kind, value)?, wide),
        Kind::Eval => evals(now, &rows(kind, value)?, wide),
    };
    cx.screen.line(match namespaces {
        Some(cells) => table.before("NAMESPACE", cells),
        None => table,
    })
}

fn namespaces(list: &Value) -> Vec<String> {
    let entries = list.as_array().into_iter().flatten();
    entries.map(|entry| entry["Namespace"].as_str().unwrap_or_default().to_owned()).collect()
}

fn rows<T: serde::de::DeserializeOwned>(kind: Kind, value: Value) -> Result<Vec<T>> {
    wire::decode(value).map_err(|e| answer(kind, e))
}

fn jobs(now: i64, jobs: &[JobStub], wide: bool) -> Table {
    let mut table = match wide {
        true => Table::new(["NAME", "TYPE", "PRIORITY", "STATUS", "READY", "AGE", "NAMESPACE", "STOP"]),
        false => Table::new(["NAME", "TYPE", "PRIORITY", "STATUS", "READY", "AGE"]),
    };
    for job in jobs {
        let groups = || job.job_summary.summary.values();
        let running: i64 = groups().map(|g| g.running).sum();
        let wanted: i64 = groups().map(|g| g.running + g.starting + g.queued).sum();
        let mut cells = vec![
            job.id.clone(),
            job.kind.clone(),
            job.priority.to_string(),
            job.status.clone(),
            format!("{running}/{wanted}"),
            time::age(now, job.submit_time),
        ];
        if wide {
            cells.extend([job.namespace.clone(), job.stop.to_string()]);
        }
        table.row(cells);
    }
    table
}

fn nodes(nodes: &[Node], wide: bool) -> Table {
    let mut table = match wide {
        true => {
            Table::new(["ID", "NAME", "DATACENTER", "CLASS", "STATUS", "ELIGIBILITY", "ADDRESS", "VERSION"])
        }
        false => Table::new(["ID", "NAME", "DATACENTER", "CLASS", "STATUS", "ELIGIBILITY"]),
    };
    for node in nodes {
        let mut cells = vec![
            id(&node.id, wide),
            node.name.clone(),
            node.datacenter.clone(),
            node.node_class.clone(),
            node.status.clone(),
            node.scheduling_eligibility.clone(),
        ];
        if wide {
            cells.extend([node.address.clone(), node.version.clone()]);
        }
        table.row(cells);
    }
    table
}

fn allocs(now: i64, allocs: &[Allocation], wide: bool) -> Table {
    let mut table = match wide {
        true => Table::new(["ID", "NAME", "NODE", "DESIRED", "STATUS", "AGE", "VERSION", "EVAL"]),
        false => Table::new(["ID", "NAME", "NODE", "DESIRED", "STATUS", "AGE"]),
    };
    for alloc in allocs {
        let node = if alloc.node_name.is_empty() { short(&alloc.node_id) } else { &alloc.node_name };
        let mut cells = vec![
            id(&alloc.id, wide),
            alloc.name.clone(),
            node.to_owned(),
            alloc.desired_status.clone(),
            alloc.client_status.clone(),
            time::age(now, alloc.create_time),
        ];
        if wide {
            cells.extend([alloc.job_version.to_string(), alloc.eval_id.clone()]);
        }
        table.row(cells);
    }
    table
}

fn evals(now: i64, evals: &[Evaluation], wide: bool) -> Table {
    let mut table = match wide {
        true => {
            Table::new(["ID", "JOB", "TRIGGERED BY", "STATUS", "FAILURES", "AGE", "PRIORITY", "PREVIOUS"])
        }
        false => Table::new(["ID", "JOB", "TRIGGERED BY", "STATUS", "FAILURES", "AGE"]),
    };
    for eval in evals {
        let mut cells = vec![
            id(&eval.id, wide),
            eval.job_id.clone(),
            eval.triggered_by.clone(),
            eval.status.clone(),
            (!eval.failed_tg_allocs.is_empty()).to_string(),
            time::age(now, eval.create_time),
        ];
        if wide {
            cells.extend([eval.priority.to_string(), eval.previous_eval.clone()]);
        }
        table.row(cells);
    }
    table
}

fn id(id: &str, whole: bool) -> String {
    if whole { id.to_owned() } else { short(id).to_owned() }
}
