//! Tasks of an allocation and what happened to them.

use std::collections::BTreeMap;

use encamp_model::records::{TaskEvent, TaskPhase, TaskState};
use serde::Serialize;

use super::instant;

/// One task.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TaskStateOut {
    state: TaskPhase,
    failed: bool,
    restarts: u64,
    last_restart: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    paused: &'static str,
    events: Vec<TaskEventOut>,
}

impl TaskStateOut {
    pub(crate) fn new(task: &TaskState) -> Self {
        let restarted = task.events.iter().rev().find(|e| e.kind == "Restarting").map(|e| instant(e.time));
        TaskStateOut {
            state: task.state,
            failed: task.failed,
            restarts: task.restarts,
            last_restart: restarted,
            started_at: task.started.map(instant),
            finished_at: task.finished.map(instant),
            paused: "",
            events: task.events.iter().map(TaskEventOut::new).collect(),
        }
    }
}

/// One event. Today's clients read `DisplayMessage` and `Details`; older ones the field that belongs to the type.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TaskEventOut {
    #[serde(rename = "Type")]
    kind: String,
    time: i64,
    message: String,
    display_message: String,
    details: BTreeMap<&'static str, String>,
    exit_code: i32,
    signal: i32,
    fails_task: bool,
    disk_limit: i64,
    download_error: String,
    driver_error: String,
    driver_message: String,
    failed_sibling: String,
    generic_source: String,
    kill_error: String,
    kill_reason: String,
    kill_timeout: i64,
    restart_reason: String,
    setup_error: String,
    start_delay: i64,
    task_signal: String,
    task_signal_reason: String,
    validation_error: String,
    vault_error: String,
}

impl TaskEventOut {
    fn new(event: &TaskEvent) -> Self {
        let mut out = TaskEventOut {
            kind: event.kind.clone(),
            time: event.time.0,
            message: event.message.clone(),
            display_message: display(event),
            exit_code: event.exit_code.unwrap_or(0),
            signal: event.signal.unwrap_or(0),
            fails_task: event.kind == "Not Restarting",
            ..TaskEventOut::default()
        };
        match event.kind.as_str() {
            "Driver Failure" => out.driver_error = event.message.clone(),
            "Restarting" | "Not Restarting" => out.restart_reason = event.message.clone(),
            "Killing" => out.kill_reason = event.message.clone(),
            "Setup Failure" => out.setup_error = event.message.clone(),
            _ => {}
        }
        out.details = details(event);
        out
    }
}

fn details(event: &TaskEvent) -> BTreeMap<&'static str, String> {
    let mut details = BTreeMap::new();
    if !event.message.is_empty() {
        details.insert("message", event.message.clone());
    }
    if let Some(code) = event.exit_code {
        details.insert("exit_code", code.to_string());
    }
    if let Some(signal) = event.signal {
        details.insert("signal", signal.to_string());
    }
    details
}

/// One line for people.
pub(crate) fn display(event: &TaskEvent) -> String {
    if event.kind != "Terminated" {
        let said = if event.message.is_empty() { &event.kind } else { &event.message };
        return said.clone();
    }
    let mut parts = Vec::new();
    parts.extend(event.exit_code.map(|code| format!("Exit Code: {code}")));
    parts.extend(event.signal.filter(|s| *s != 0).map(|signal| format!("Signal: {signal}")));
    match event.message.as_str() {
        // Agents say in their message what the numbers say.
        said if said.is_empty() || (said.starts_with("Exit Code: ") && !parts.is_empty()) => {}
        said if said.starts_with("Exit Code: ") => parts.push(said.to_owned()),
        said => parts.push(format!("Exit Message: {said:?}")),
    }
    parts.join(", ")
}
