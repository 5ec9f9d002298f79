//! What the tests share: folders, a driver, specs, and waiting for conditions.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use encamp_drivers::{
    Config, Driver, Ended, Exit, Handle, LogLimits, RawExec, Recovered, Signal, Supervisor, TaskDirs,
    TaskSpec,
    logs::{LogReader, Stream},
};
use encamp_model::{AllocId, records::Ask};
use serde_json::{Value, json};

/// Longest that any condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const TASK: &str = "web";

/// One task's folders and the driver.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) alloc: AllocId,
    pub(crate) driver: RawExec,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench::with(true)
    }

    pub(crate) fn with(cgroups: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["task", "task/local", "logs"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let alloc = AllocId::random();
        Bench { folder, alloc, driver: driver(cgroups) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn dirs(&self) -> TaskDirs {
        dirs(self.folder.path())
    }

    /// A spec that runs `script` in a shell.
    pub(crate) fn script(&self, script: &str) -> TaskSpec {
        spec(self.folder.path(), self.alloc, json!({"command": "/bin/sh", "args": ["-c", script]}))
    }

    pub(crate) fn command(&self, config: Value) -> TaskSpec {
        spec(self.folder.path(), self.alloc, config)
    }

    pub(crate) async fn run(&self, script: &str) -> Handle {
        self.driver.start(self.script(script)).await.expect("starts")
    }

    pub(crate) async fn run_to_end(&self, script: &str) -> Ended {
        within(self.run(script).await.wait()).await.expect("ends")
    }

    pub(crate) async fn recover(&self) -> Recovered {
        self.driver.recover(&self.dirs()).await.expect("recovers")
    }

    pub(crate) fn output(&self, stream: Stream) -> String {
        let reader = LogReader::open(&self.dirs(), TASK, stream).expect("a log folder");
        String::from_utf8(reader.read_at(0, usize::MAX >> 1).expect("reads")).expect("text")
    }

    pub(crate) fn stdout(&self) -> String {
        self.output(Stream::Stdout)
    }

    /// Waits until the task has written `name` into its folder, whole lines only, and gives its words as numbers.
    pub(crate) async fn pids(&self, name: &str, count: usize) -> Vec<u32> {
        let path = self.path("task").join(name);
        until(&format!("{count} pids in {name}"), || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let pids: Vec<u32> = whole.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            if pids.len() >= count { Ok(pids) } else { Err(text) }
        })
        .await
    }

    /// The supervisor's process, from its record.
    pub(crate) fn supervisor_pid(&self) -> i32 {
        let start = fs::read(self.path("state/start.json")).expect("a start record");
        let start: Value = serde_json::from_slice(&start).expect("is JSON");
        i32::try_from(start["supervisor"]["pid"].as_i64().expect("a pid")).expect("a pid")
    }

    pub(crate) async fn until_written(&self, text: &str) {
        until(&format!("{text:?} in the output"), || {
            let out = self.stdout();
            if out.contains(text) { Ok(()) } else { Err(out) }
        })
        .await;
    }
}

impl Drop for Bench {
    /// A failed test leaves nothing behind.
    fn drop(&mut self) {
        if self.path("state/start.json").exists() && !self.path("state/exit.json").exists() {
            kill(self.supervisor_pid(), Signal::SIGKILL);
        }
    }
}

pub(crate) fn driver(cgroups: bool) -> RawExec {
    RawExec::new(Supervisor::with_program(env!("CARGO_BIN_EXE_encamp-supervise")).cgroups(cgroups))
}

pub(crate) fn dirs(root: &Path) -> TaskDirs {
    TaskDirs {
        root: root.to_owned(),
        state_dir: root.join("state"),
        task_dir: root.join("task"),
        log_dir: root.join("logs"),
    }
}

pub(crate) fn spec(root: &Path, alloc: AllocId, config: Value) -> TaskSpec {
    let Value::Object(config) = config else { panic!("a config is an object") };
    let config: Config = config;
    let env = [
        ("NOMAD_ALLOC_ID", alloc.to_string()),
        ("NOMAD_TASK_NAME", TASK.to_owned()),
        ("NOMAD_ALLOC_DIR", root.join("alloc").display().to_string()),
        ("PATH", "/usr/bin:/bin".to_owned()),
    ];
    TaskSpec {
        alloc,
        task: TASK.into(),
        config,
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        user: None,
        dirs: dirs(root),
        logs: LogLimits::default(),
        resources: Ask::default(),
        kill_signal: Signal::SIGTERM,
        kill_timeout: Duration::from_secs(5),
        start_deadline_ns: None,
        run: 1,
    }
}

/// Asks until there is an answer; the failure names the last state seen.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    let search = async {
        loop {
            match look() {
                Ok(found) => return found,
                Err(state) => last = state,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, search).await {
        Ok(found) => found,
        Err(_) => panic!("waited {PATIENCE:?} for {what}; last seen: {last}"),
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("took longer than {PATIENCE:?}"))
}

/// The state letter of a process; `None` if it is gone.
pub(crate) fn state(pid: u32) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text[text.rfind(')')? + 2..].chars().next()
}

/// It is there, and no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// Waits until none of them lives. One that nobody has reaped yet counts as gone.
pub(crate) async fn until_gone(pids: &[u32]) {
    until("processes to go", || {
        let left: Vec<_> = pids.iter().filter(|pid| alive(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} live")) }
    })
    .await;
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

pub(crate) fn exited(code: i32) -> Exit {
    Exit::Exited { code }
}

pub(crate) fn signaled(signal: Signal) -> Exit {
    Exit::Signaled { signal: signal as i32 }
}
