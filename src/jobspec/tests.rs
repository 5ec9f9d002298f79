//! Pure tests: tables of inputs and what comes of them.

mod api;
mod canonical;
mod deck;
mod errors;
mod hcl;
mod schema;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Diagnostics, Parsed, parse_hcl, parse_json, to_api_json};

/// A job file with one task, with these parts in the job, the group and the task.
fn job_with(job: &str, group: &str, task: &str) -> String {
    format!(
        "job \"j\" {{\n{job}\ngroup \"g\" {{\n{group}\ntask \"t\" {{\ndriver = \"raw_exec\"\n{task}\n}}\n}}\n}}\n"
    )
}

fn hcl(source: &str) -> Result<Parsed, Diagnostics> {
    parse_hcl(source, "job.hcl", &BTreeMap::new())
}

/// The API's JSON of a job file that has to be fine.
fn hcl_json(source: &str) -> Value {
    match hcl(source) {
        Ok(parsed) => to_api_json(&parsed.job),
        Err(errors) => panic!("{errors}\n\nin:\n{source}"),
    }
}

fn json(source: &str) -> Result<Parsed, Diagnostics> {
    parse_json(source, "job.json")
}

/// A bare API job with these members beside what is needed.
fn api_job(job: &str, group: &str, task: &str) -> String {
    let comma = |part: &str| if part.is_empty() { String::new() } else { format!(", {part}") };
    format!(
        r#"{{"ID": "j"{}, "TaskGroups": [{{"Name": "g"{}, "Tasks": [{{"Name": "t", "Driver": "raw_exec"{}}}]}}]}}"#,
        comma(job),
        comma(group),
        comma(task)
    )
}

/// The findings of a job that has to be wrong, one a line.
fn plain(result: Result<Parsed, Diagnostics>) -> String {
    match result {
        Ok(parsed) => panic!("this was taken: {}", to_api_json(&parsed.job)),
        Err(errors) => errors.plain(),
    }
}
