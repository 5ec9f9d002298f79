//! One machine of a test: an etcd, processes of ours, and what is to be seen of tasks on the host.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use encamp_testkit::{Etcd, free_port, wait_for};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

pub(crate) const CTL: &str = env!("CARGO_BIN_EXE_ctl");
/// Long enough for a loaded machine; a condition that holds ends the wait at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Host {
    pub(crate) etcd: Etcd,
    dir: tempfile::TempDir,
    pub(crate) port: u16,
}

/// A process of ours.
pub(crate) struct Proc {
    child: Child,
    log: PathBuf,
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Out {
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }
}

impl Host {
    pub(crate) async fn new() -> Self {
        Host::on(Etcd::spawn().await)
    }

    pub(crate) fn on(etcd: Etcd) -> Self {
        Host { etcd, dir: tempfile::tempdir().unwrap(), port: free_port() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts `ctl VERB …` on this host's etcd, with a folder and a log of its own.
    pub(crate) fn start(&self, name: &str, args: &[&str]) -> Proc {
        self.start_at(name, &self.etcd.url(), args)
    }

    pub(crate) fn start_at(&self, name: &str, etcd: &str, args: &[&str]) -> Proc {
        let log = self.path().join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(CTL);
        command.args(args).args(["--etcd", etcd]).env("CTL_LOG_LEVEL", "info");
        command.env("CTL_DATA_DIR", self.path().join(format!("{name}.data")));
        let child =
            command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Proc { child, log }
    }

    /// `ctl dev` on this host's etcd, ready.
    pub(crate) async fn dev(&self) -> Proc {
        let dev = self.start("dev", &["dev", "--http-port", &self.port.to_string()]);
        self.node_ready(&dev, 1).await;
        dev
    }

    /// Waits until the api answers and so many nodes are ready.
    pub(crate) async fn node_ready(&self, proc: &Proc, count: usize) {
        wait_for("the api answers and the nodes are ready", PATIENCE, async || {
            let nodes = self.get("/v1/nodes").await.map_err(|e| format!("{e}\n{}", proc.log()))?;
            let ready =
                nodes.as_array().map_or(0, |all| all.iter().filter(|n| n["Status"] == "ready").count());
            if ready >= count { Ok(()) } else { Err(format!("{nodes}\n{}", proc.log())) }
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs `ctl …` against this host's api.
    pub(crate) fn ctl(&self, args: &[&str]) -> Out {
        let out = Command::new(CTL)
            .args(args)
            .env("NOMAD_ADDR", self.url())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Out {
            code: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        let answer =
            client().get(format!("{}{path}", self.url())).send().await.map_err(|e| format!("{e:?}"))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|e| e.to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {text}"));
        }
        serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
    }

    /// Waits until so many allocations of a job run, and returns all of the job's.
    pub(crate) async fn running(&self, job: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} allocations of {job} run"), PATIENCE, async || {
            let allocs = self.get(&format!("/v1/job/{job}/allocations")).await?;
            let all = allocs.as_array().cloned().unwrap_or_default();
            let runs = |a: &&Value| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run";
            let n = all.iter().filter(runs).count();
            if n == count { Ok(all) } else { Err(format!("{n} run; {}", brief(&all))) }
        })
        .await
    }

    /// What `etcdctl` prints.
    pub(crate) fn etcdctl(&self, args: &[&str]) -> String {
        self.etcd.ctl(args)
    }

    /// The audit of everything under the prefix, as a stranger finds it.
    pub(crate) async fn audit(&self) {
        let world = crate::leader::world(&self.etcd.url()).await;
        let findings = encamp_sched::audit::audit(&world);
        assert!(findings.is_empty(), "the audit finds {findings:#?}");
    }
}

fn brief(allocs: &[Value]) -> String {
    let line = |a: &Value| format!("{} {} {}; ", a["Name"], a["DesiredStatus"], a["ClientStatus"]);
    allocs.iter().take(20).map(line).collect()
}

pub(crate) fn client() -> reqwest::Client {
    // Installed by the first; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

impl Drop for Host {
    /// Tasks outlive agents on purpose: what still runs from this host's folders is ended here.
    fn drop(&mut self) {
        let folder = self.path().to_str().unwrap().to_owned();
        for _ in 0..3 {
            for (pid, text) in processes() {
                if text.contains(&folder) && pid != std::process::id() as i32 {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
    }
}

impl Proc {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every process that can be looked at: its id, and its command line and environment.
fn processes() -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let env = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        Some((pid, format!("{}\u{0}{}", String::from_utf8_lossy(&line), String::from_utf8_lossy(&env))))
    })
    .collect()
}

/// The processes on this machine whose last argument is `mark`, in order.
pub(crate) fn marked(mark: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<i32> = pids
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|b| *b == 0).filter(|w| !w.is_empty()).collect();
            words.first().is_some_and(|w| w.ends_with(b"sleep")) && words.last() == Some(&mark.as_bytes())
        })
        .collect();
    found.sort_unstable();
    found
}

/// Waits until exactly so many processes carry the mark.
pub(crate) async fn until_marked(mark: &str, count: usize) -> Vec<i32> {
    wait_for(&format!("{count} processes `sleep {mark}`"), PATIENCE, async || {
        let found = marked(mark);
        if found.len() == count { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

/// A mark that no other test has: a duration that `sleep` takes.
pub(crate) fn mark() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("86400.{:07}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A service of `count` processes that say hello and sleep.
pub(crate) fn sleeper(name: &str, count: usize, mark: &str, more: &str) -> String {
    format!(
        r#"job "{name}" {{
  datacenters = ["dc1"]
  {more}
  group "g" {{
    count = {count}
    task "t" {{
      driver = "raw_exec"
      config {{
        command = "/bin/sh"
        args    = ["-c", "echo hello from $NOMAD_ALLOC_NAME; exec sleep {mark}"]
      }}
      resources {{
        cpu    = 20
        memory = 16
      }}
    }}
  }}
}}
"#
    )
}
