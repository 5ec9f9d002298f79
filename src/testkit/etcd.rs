//! An etcd of one's own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{free_port, wait_for};

/// How long an etcd may take to serve; a busy machine's disk is slow.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a start is tried on other ports, should somebody have been quicker.
const START_TRIES: usize = 5;

/// How an etcd is started.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// Further arguments.
    pub args: Vec<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// Serve https and demand a client certificate.
    pub tls: Option<TlsFiles>,
}

/// PEM files for a server that demands client certificates.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The authority that signed everybody's certificate.
    pub ca: PathBuf,
    /// The server's certificate.
    pub cert: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

/// A running etcd with a data folder of its own, on loopback. It is killed when dropped, and when the thread that
/// started it dies (so start it on the test's thread, not in `spawn_blocking`).
#[derive(Debug)]
pub struct Etcd {
    options: EtcdOptions,
    dir: TempDir,
    port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl Etcd {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// If there is no `etcd` on the PATH, or it does not come up.
    pub async fn spawn() -> Self {
        Self::spawn_with(EtcdOptions::default()).await
    }

    /// The same with options.
    ///
    /// # Panics
    /// As [`Etcd::spawn`].
    pub async fn spawn_with(options: EtcdOptions) -> Self {
        let dir = tempfile::Builder::new().prefix("encamp-etcd-").tempdir().expect("a temporary folder");
        let mut etcd = Self { options, dir, port: 0, peer_port: 0, child: None };
        for _ in 0..START_TRIES {
            (etcd.port, etcd.peer_port) = (free_port(), free_port());
            match etcd.start().await {
                Ok(()) => return etcd,
                Err(log) if log.contains("address already in use") => {}
                Err(log) => panic!("etcd does not come up; its log ends:\n{log}"),
            }
        }
        panic!("etcd found its ports taken {START_TRIES} times");
    }

    /// Where it serves: `http://127.0.0.1:PORT`, or https.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme(), self.port)
    }

    /// Where it serves, as `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it isn't running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("etcd was killed and not restarted").id()
    }

    /// Kills it with -9. Data and ports stay, for [`Etcd::restart`].
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Also ends a stopped process. It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it if it runs, and starts it on the same data and ports.
    ///
    /// # Panics
    /// If it does not come up again.
    pub async fn restart(&mut self) {
        self.kill9();
        if let Err(log) = self.start().await {
            panic!("etcd does not come up again; its log ends:\n{log}");
        }
    }

    /// Freezes it (SIGSTOP): connections stay, nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Ends [`Etcd::freeze`] (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Runs `etcdctl` against it and returns what it printed.
    ///
    /// # Panics
    /// If that fails, with what it said.
    pub fn ctl(&self, args: &[&str]) -> String {
        self.try_ctl(args).unwrap_or_else(|stderr| panic!("etcdctl {args:?} failed: {stderr}"))
    }

    /// Runs `etcdctl` against it and returns what it printed, or else what it complained of.
    ///
    /// # Panics
    /// If there is no `etcdctl`.
    pub fn try_ctl(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.url()))
            .args(args)
            .output()
            .unwrap_or_else(|error| panic!("cannot run etcdctl: {error}; install etcd-client or etcd"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Its folder, for files that shall go with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn scheme(&self) -> &'static str {
        if self.options.tls.is_some() { "https" } else { "http" }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a process id fits");
        kill(Pid::from_raw(pid), signal).expect("our own child can be signalled");
    }

    /// Starts the process and waits until it serves; otherwise the end of its log.
    async fn start(&mut self) -> Result<(), String> {
        let log = File::create(self.log_path()).expect("the temporary folder is ours");
        let mut command = self.command();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("cannot run setpriv (util-linux): {error}")));
        wait_for("etcd to serve", START_TIMEOUT, async || {
            let log = fs::read_to_string(self.log_path()).unwrap_or_default();
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            match ended {
                Some(_) => Ok(Err(self.log_tail())),
                None if log.contains("ready to serve client requests") => Ok(Ok(())),
                None => Err(self.log_tail()),
            }
        })
        .await
    }

    /// etcd under `setpriv`, which has the kernel kill it when we die.
    fn command(&self) -> Command {
        let etcd = find_etcd();
        let (url, peer_url) = (self.url(), format!("http://127.0.0.1:{}", self.peer_port));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(etcd)
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("default={peer_url}")])
            .args(&self.options.args)
            .envs(self.options.env.iter().map(|(name, value)| (name, value)));
        if cfg!(target_arch = "aarch64") {
            command.env("ETCD_UNSUPPORTED_ARCH", "arm64");
        }
        if let Some(tls) = &self.options.tls {
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&tls.ca);
            command.arg("--cert-file").arg(&tls.cert).arg("--key-file").arg(&tls.key);
        }
        command
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn find_etcd() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("no `etcd` on the PATH; on Debian: apt-get install etcd-server etcd-client")
    })
}
