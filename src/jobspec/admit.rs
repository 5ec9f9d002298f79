//! From a well-formed job to one that may be stored: what this version can run, and the rules across fields.

mod conditions;
mod names;
mod tasks;

use std::collections::BTreeSet;

use encamp_model::{
    Job,
    job::{LogConfig, Resources, Task, TaskGroup, Update},
};
use serde_json::Value;

use crate::{
    Parsed,
    diag::{Diagnostic, Diagnostics, Source, did_you_mean, quoted},
    name_of,
    shape::{Places, Shaped},
};

/// Most instances of one group.
const MAX_COUNT: i64 = 100_000;

/// Job types that Nomad knows and this version does not run.
const LATER_TYPES: [&str; 2] = ["system", "sysbatch"];

/// Checks a shaped job.
pub(crate) fn admit(shaped: Shaped, source: Source<'_>, notes: Vec<String>) -> Result<Parsed, Diagnostics> {
    let Shaped { job: mut value, places, errors, refusals, warnings } = shaped;
    let mut check = Check { source, places, found: errors, context: Vec::new() };
    check.found.append(refusals);
    let kind = value.get("Type").and_then(Value::as_str).unwrap_or("service").to_owned();
    let id = value.get("ID").and_then(Value::as_str).unwrap_or_default().to_owned();
    check.context.push(format!("job {}", quoted(&id)));
    if !matches!(kind.as_str(), "service" | "batch") {
        check.job_type(&kind);
        value.remove("Type");
    }
    if id.is_empty() {
        check.missing("Job.ID", "a job needs a name");
        value.insert("ID".to_owned(), Value::from(""));
    }
    let mut job: Job = match serde_json::from_value(Value::Object(value)) {
        Ok(job) => job,
        Err(fault) => {
            // The table and the types agree, which tests hold; were they ever not to, this is the answer.
            check.error("Job", format!("this job can't be stored: {fault}"), None);
            return Err(check.found.sorted());
        }
    };
    check.job(&job);
    if !check.found.is_empty() {
        return Err(check.found.sorted());
    }
    canonical(&mut job);
    Ok(Parsed { job, warnings, notes })
}

/// What is left to do once every value has its form.
fn canonical(job: &mut Job) {
    job.name = name_of(job);
    if job.namespace.is_empty() {
        job.namespace = "default".into();
    }
    job.priority = job.priority.filter(|n| *n != 0);
    conditions::drop_switched_off(&mut job.constraints);
    for group in &mut job.task_groups {
        conditions::drop_switched_off(&mut group.constraints);
        for task in &mut group.tasks {
            canonical_task(task);
        }
    }
}

/// Clients of 2016 send 0 for what was not given; none of these numbers can be meant to be 0.
fn canonical_task(task: &mut Task) {
    conditions::drop_switched_off(&mut task.constraints);
    task.kill_timeout = task.kill_timeout.filter(|n| *n != 0);
    if let Some(resources) = &mut task.resources {
        resources.cpu = resources.cpu.filter(|n| *n != 0);
        resources.memory_mb = resources.memory_mb.filter(|n| *n != 0);
    }
    task.resources = task.resources.take().filter(|r| *r != Resources::default());
    if let Some(logs) = &mut task.log_config {
        logs.max_files = logs.max_files.filter(|n| *n != 0);
        logs.max_file_size_mb = logs.max_file_size_mb.filter(|n| *n != 0);
    }
    task.log_config = task.log_config.take().filter(|l| *l != LogConfig::default());
}

/// Collects findings about a job.
pub(crate) struct Check<'a> {
    source: Source<'a>,
    places: Places,
    found: Diagnostics,
    context: Vec<String>,
}

impl Check<'_> {
    fn error(&mut self, path: &str, message: impl Into<String>, help: Option<String>) {
        if self.found.is_full() {
            return self.found.count();
        }
        let error = Diagnostic::error(message)
            .within(self.context.join(" > "))
            .path(path)
            .at(&self.source, self.places.find(path))
            .help_if(help);
        self.found.push(error);
    }

    /// For what is not there; silent if it was there but wrong.
    fn missing(&mut self, path: &str, message: &str) {
        if !self.places.is_bad(path) {
            self.error(path, message, None);
        }
    }

    /// Runs checks with one more part of the context.
    fn within(&mut self, part: String, checks: impl FnOnce(&mut Self)) {
        self.context.push(part);
        checks(self);
        self.context.pop();
    }

    /// A number that has to lie within bounds.
    fn bounds(&mut self, path: &str, name: &str, value: Option<i64>, least: i64, most: i64) {
        let Some(value) = value else { return };
        if value < least || value > most {
            let help = if least == most { None } else { Some(format!("between {least} and {most}")) };
            self.error(path, format!("{name} can't be {value}"), help);
        }
    }

    /// A time span, which is never negative.
    fn span(&mut self, path: &str, name: &str, value: Option<i64>) {
        if value.is_some_and(|v| v < 0) {
            self.error(path, format!("{name} can't be negative"), None);
        }
    }

    fn job_type(&mut self, kind: &str) {
        if LATER_TYPES.contains(&kind) {
            let message = format!(
                "jobs of type {} are not served yet: this version runs service and batch",
                quoted(kind)
            );
            self.error("Job.Type", message, None);
        } else {
            let help = did_you_mean(kind, ["service", "batch", "system", "sysbatch"]);
            self.error("Job.Type", format!("there is no job type {}", quoted(kind)), help);
        }
    }

    fn job(&mut self, job: &Job) {
        if !job.id.is_empty() {
            self.name("Job.ID", "the job's name", &job.id, names::JOB_ID);
        }
        if !job.name.is_empty() {
            self.name("Job.Name", "the job's name", &job.name, names::PLAIN);
        }
        if !job.namespace.is_empty() {
            self.name("Job.Namespace", "the namespace", &job.namespace, names::JOB_ID);
        }
        // 0 is what old clients send for "not given".
        self.bounds("Job.Priority", "priority", job.priority.filter(|n| *n != 0), 1, 100);
        for (i, datacenter) in job.datacenters.iter().enumerate() {
            if datacenter.trim().is_empty() {
                self.error("Job.Datacenters", format!("datacenter {} has no name", i + 1), None);
            }
        }
        self.conditions("Job.Constraints", &job.constraints);
        self.update("Job.Update", job.update.as_ref());
        self.meta("Job.Meta", &job.meta);
        if job.task_groups.is_empty() {
            self.missing("Job.TaskGroups", "a job needs at least one group");
        }
        let mut seen = BTreeSet::new();
        for (i, group) in job.task_groups.iter().enumerate() {
            let path = format!("Job.TaskGroups[{i}]");
            self.within(format!("group {}", quoted(&group.name)), |check| {
                check.unique(&format!("{path}.Name"), "group", &group.name, &mut seen);
                check.group(&path, group);
            });
        }
    }

    /// A name that is there, well formed, and not taken by a sibling.
    fn unique<'n>(&mut self, path: &str, what: &str, name: &'n str, seen: &mut BTreeSet<&'n str>) {
        if name.is_empty() {
            self.missing(path, &format!("a {what} needs a name"));
            return;
        }
        let rule = if what == "task" { names::TASK } else { names::PLAIN };
        self.name(path, &format!("the {what}'s name"), name, rule);
        if !seen.insert(name) {
            self.error(path, format!("there are two {what}s called {}", quoted(name)), None);
        }
    }

    fn group(&mut self, path: &str, group: &TaskGroup) {
        self.bounds(&format!("{path}.Count"), "count", group.count, 0, MAX_COUNT);
        self.conditions(&format!("{path}.Constraints"), &group.constraints);
        self.update(&format!("{path}.Update"), group.update.as_ref());
        self.restart(&format!("{path}.RestartPolicy"), group.restart_policy.as_ref());
        self.meta(&format!("{path}.Meta"), &group.meta);
        if let Some(disk) = &group.ephemeral_disk {
            let path = format!("{path}.EphemeralDisk.SizeMB");
            self.bounds(&path, "the size of ephemeral_disk", disk.size_mb, 0, tasks::MAX_MB);
        }
        let mut ports = tasks::Ports::default();
        self.networks(&format!("{path}.Networks"), &group.networks, &mut ports);
        if group.tasks.is_empty() {
            self.missing(&format!("{path}.Tasks"), "a group needs at least one task");
        }
        let mut seen = BTreeSet::new();
        for (i, task) in group.tasks.iter().enumerate() {
            let path = format!("{path}.Tasks[{i}]");
            self.within(format!("task {}", quoted(&task.name)), |check| {
                check.unique(&format!("{path}.Name"), "task", &task.name, &mut seen);
                check.task(&path, task, &mut ports);
            });
        }
    }

    fn update(&mut self, path: &str, update: Option<&Update>) {
        let Some(update) = update else { return };
        self.span(&format!("{path}.Stagger"), "stagger", update.stagger);
        self.bounds(&format!("{path}.MaxParallel"), "max_parallel", update.max_parallel, 0, MAX_COUNT);
    }
}
