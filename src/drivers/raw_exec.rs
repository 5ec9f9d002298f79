//! `raw_exec`: a plain command, as the agent's user or another, with no isolation.
//!
//! The folder it runs in, its environment and its end are the task's own; what it can see and do is the machine's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use encamp_model::records::DriverInfo;
use nix::unistd::{Gid, Uid, User, getgrouplist};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::{
    Config, Driver, Error, Fingerprint, Handle, Recovered, TaskDirs, TaskSpec,
    supervisor::{self, Identity, Launch, Supervisor},
};

const NAME: &str = "raw_exec";
/// Searched when neither the task nor the agent has a PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most folders that a command is searched in.
const MOST_FOLDERS: usize = 200;
/// Longest name of a task: with its allocation's id it names a cgroup, with a stream and a number a file.
const MOST_NAME: usize = 128;

/// The driver.
#[derive(Clone, Debug)]
pub struct RawExec {
    supervisor: Supervisor,
}

impl RawExec {
    /// Runs tasks under supervisors started so.
    pub fn new(supervisor: Supervisor) -> Self {
        RawExec { supervisor }
    }
}

/// The `config` block.
#[derive(Debug, Default, PartialEq, Eq)]
struct Command {
    /// An absolute path, one within the task's folder, or a bare name.
    command: String,
    args: Vec<String>,
    work_dir: Option<PathBuf>,
}

impl Command {
    fn parse(config: &Config) -> Result<Command, Error> {
        let mut parsed = Command::default();
        for (field, value) in config {
            match field.as_str() {
                "command" => parsed.command = text(field, value)?,
                "args" => parsed.args = list(field, value)?,
                "work_dir" => parsed.work_dir = Some(PathBuf::from(text(field, value)?)),
                _ => return Err(wrong(field, "is not a setting of raw_exec (command, args, work_dir)")),
            }
        }
        if parsed.command.is_empty() {
            return Err(wrong("command", "is required"));
        }
        Ok(parsed)
    }
}

fn wrong(field: &str, reason: impl Into<String>) -> Error {
    Error::Config { driver: NAME, field: field.to_owned(), reason: reason.into() }
}

/// Numbers and truth values are taken as their text: job files of all ages write them bare.
fn text(field: &str, value: &Value) -> Result<String, Error> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return Err(wrong(field, "must be a string")),
    };
    if text.contains('\0') { Err(wrong(field, "holds a NUL byte")) } else { Ok(text) }
}

fn list(field: &str, value: &Value) -> Result<Vec<String>, Error> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => {
            let item = |(at, item)| text(&format!("{field}[{at}]"), item);
            items.iter().enumerate().map(item).collect()
        }
        _ => Err(wrong(field, "must be a list of strings")),
    }
}

/// Where to look for a command, in order.
fn places(command: &str, task_dir: &Path, path: &str) -> Vec<PathBuf> {
    if command.contains('/') {
        // An absolute one replaces the folder.
        return vec![task_dir.join(command)];
    }
    let within = [task_dir.join("local"), task_dir.to_owned()];
    // An empty entry means the working folder elsewhere; here it means nothing.
    let folders = path.split(':').filter(|folder| folder.starts_with('/')).map(PathBuf::from);
    within.into_iter().chain(folders).take(MOST_FOLDERS).map(|folder| folder.join(command)).collect()
}

fn check(spec: &TaskSpec) -> Result<(), Error> {
    let wrong = |reason: &str| Err(Error::Spec { task: spec.task.to_string(), reason: reason.to_owned() });
    let name = spec.task.as_str();
    if name.is_empty() || name.len() > MOST_NAME || name == "." || name == ".." {
        return wrong("its name must have 1 to 128 bytes and be no folder's");
    }
    if name.contains('/') || name.chars().any(char::is_control) {
        return wrong("its name must not hold `/` or control characters");
    }
    let bad_entry = |(name, value): (&String, &String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    if spec.env.iter().any(bad_entry) {
        return wrong("a variable's name is empty or holds `=`, or an entry holds a NUL byte");
    }
    if !spec.dirs.log_dir.starts_with(&spec.dirs.root) || !spec.dirs.task_dir.starts_with(&spec.dirs.root) {
        return wrong("its folders are not beneath the root folder");
    }
    Ok(())
}

/// As whom to run. Reads the user database, which may block.
fn identity(user: &str) -> Result<Option<Identity>, String> {
    let found = match user.parse::<u32>() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(user),
    };
    let found =
        found.map_err(|e| format!("look up user {user}: {e}"))?.ok_or(format!("there is no user {user}"))?;
    if found.uid == Uid::effective() {
        return Ok(None);
    }
    if !Uid::effective().is_root() {
        return Err(format!("run as user {user}: only an agent that runs as root can"));
    }
    let name = std::ffi::CString::new(found.name).map_err(|e| format!("user {user}: {e}"))?;
    let groups = getgrouplist(&name, found.gid).map_err(|e| format!("look up groups of {user}: {e}"))?;
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok(Some(Identity { uid: found.uid.as_raw(), gid: found.gid.as_raw(), groups }))
}

#[async_trait]
impl Driver for RawExec {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            info: DriverInfo { detected: true, healthy: true, description: "Healthy".to_owned() },
            attributes: BTreeMap::from([("driver.raw_exec".to_owned(), "1".to_owned())]),
        }
    }

    fn validate(&self, config: &Config) -> Result<(), Error> {
        Command::parse(config).map(drop)
    }

    async fn start(&self, spec: TaskSpec) -> Result<Handle, Error> {
        let Command { command, args, work_dir } = Command::parse(&spec.config)?;
        check(&spec)?;
        let identity = match spec.user.clone() {
            None => None,
            Some(user) => {
                let found = spawn_blocking(move || identity(&user)).await;
                let found = found.unwrap_or_else(|e| Err(format!("look up the user: {e}")));
                found.map_err(|reason| Error::NotStarted { reason })?
            }
        };
        let agents = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
        let path = spec.env.get("PATH").unwrap_or(&agents);
        let launch = Launch {
            alloc: spec.alloc,
            task: spec.task,
            run: spec.run,
            programs: places(&command, &spec.dirs.task_dir, path),
            command,
            args,
            identity,
            root: spec.dirs.root,
            cwd: work_dir.map_or(spec.dirs.task_dir.clone(), |dir| spec.dirs.task_dir.join(dir)),
            log_dir: spec.dirs.log_dir,
            logs: spec.logs,
            kill_signal: spec.kill_signal as i32,
            kill_timeout_ms: u64::try_from(spec.kill_timeout.as_millis()).unwrap_or(u64::MAX),
            start_deadline_ns: spec.start_deadline_ns,
            cgroups: self.supervisor.uses_cgroups(),
            open_files: crate::limits::open_files_before(),
            env: spec.env,
        };
        self.supervisor.start(&spec.dirs.state_dir, launch).await
    }

    async fn recover(&self, dirs: &TaskDirs) -> Result<Recovered, Error> {
        Supervisor::recover(&dirs.state_dir).await
    }

    async fn end_orphans(&self, tasks: &Path) -> Vec<String> {
        let tasks = tasks.to_owned();
        // Only a panic could keep the answer back, and nothing depends on it.
        spawn_blocking(move || supervisor::end_orphans(&tasks)).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(config: Value) -> Result<Command, String> {
        let Value::Object(config) = config else { unreachable!("tests give objects") };
        Command::parse(&config).map_err(|e| e.to_string())
    }

    #[test]
    fn numbers_and_truth_values_become_strings() {
        let parsed = parse(json!({"command": "sleep", "args": [1, 2.5, true, "x"]})).expect("is right");
        assert_eq!(parsed.args, ["1", "2.5", "true", "x"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (json!({}), "raw_exec: command: is required"),
            (json!({"command": ""}), "raw_exec: command: is required"),
            (json!({"command": ["a"]}), "raw_exec: command: must be a string"),
            (json!({"command": "a", "args": "b"}), "raw_exec: args: must be a list of strings"),
            (json!({"command": "a", "args": ["b", {}]}), "raw_exec: args[1]: must be a string"),
            (json!({"command": "a\u{0}b"}), "raw_exec: command: holds a NUL byte"),
            (
                json!({"command": "a", "image": "b"}),
                "raw_exec: image: is not a setting of raw_exec (command, args, work_dir)",
            ),
        ];
        for (config, message) in cases {
            assert_eq!(parse(config.clone()), Err(message.to_owned()), "{config}");
        }
    }

    #[test]
    fn a_command_is_looked_for_where_it_says() {
        let dir = Path::new("/task");
        let shown = |command| -> Vec<String> {
            places(command, dir, "/bin::.:/usr/bin").iter().map(|p| p.display().to_string()).collect()
        };
        assert_eq!(shown("/bin/sh"), ["/bin/sh"]);
        assert_eq!(shown("local/run"), ["/task/local/run"]);
        assert_eq!(shown("run"), ["/task/local/run", "/task/run", "/bin/run", "/usr/bin/run"]);
    }
}
