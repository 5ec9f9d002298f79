//! An etcd of our own for `ctl dev`: a child on loopback that dies with us, whatever we die of.
//!
//! The child is started through this very binary ([`launch`]), which asks the kernel for the parent-death signal and
//! then becomes etcd: so even `kill -9` of `ctl dev` leaves no etcd behind.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, TryLockError},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command as StdCommand, ExitStatus, Stdio},
    time::Duration,
};

use clap::Args;
use nix::{
    sys::{
        prctl,
        signal::{self, Signal},
    },
    unistd::{self, Pid},
};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use crate::{
    error::{Error, Result},
    exit::Exit,
};

/// The hidden verb that becomes etcd.
pub(crate) const LAUNCHER: &str = "__etcd";
/// How long etcd may take to answer: it may have a log to replay.
const READY: Duration = Duration::from_secs(30);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(50);
/// How long it may take to end by itself.
const STOP: Duration = Duration::from_secs(1);
/// Lines of its log that an error shows.
const LAST_WORDS: usize = 5;

/// Arguments of the hidden verb.
#[derive(Args, Clone, Debug)]
pub(crate) struct LauncherArgs {
    /// Process id of whoever the child must not outlive.
    parent: i32,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    program: Vec<OsString>,
}

/// Becomes the program, which the kernel kills when its parent dies. Returns only if that failed.
///
/// # Errors
/// If the parent is gone already, or the program cannot be started.
pub(crate) fn launch(args: &LauncherArgs) -> Result<Exit> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from)?;
    // It may have died between our start and the line above.
    if unistd::getppid() != Pid::from_raw(args.parent) {
        return Ok(Exit::Error);
    }
    let error = StdCommand::new(&args.program[0]).args(&args.program[1..]).exec();
    Err(Error::File { path: args.program[0].to_string_lossy().into_owned(), source: error })
}

/// A running etcd. Dropped, it is killed; [`EtcdChild::stop`] is kinder.
#[derive(Debug)]
pub(crate) struct EtcdChild {
    child: Child,
    endpoint: String,
    log: PathBuf,
    /// Held as long as the child lives: etcd itself would wait for its folder in silence.
    _lock: File,
}

/// How the child comes to be.
#[derive(Clone, Debug)]
pub(crate) struct Launch<'a> {
    /// The port on loopback for clients.
    pub(crate) port: u16,
    /// Where its data is kept; made if absent.
    pub(crate) data_dir: &'a Path,
    /// Words before `etcd` and its arguments: this binary and [`LAUNCHER`], or nothing in a test of the rest.
    pub(crate) through: Vec<OsString>,
}

impl<'a> Launch<'a> {
    /// Through this binary.
    ///
    /// # Errors
    /// If the path of this binary is not to be had.
    pub(crate) fn new(port: u16, data_dir: &'a Path) -> Result<Self> {
        let own = std::env::current_exe()?;
        let through = vec![own.into(), LAUNCHER.into(), std::process::id().to_string().into()];
        Ok(Launch { port, data_dir, through })
    }
}

impl EtcdChild {
    /// Starts etcd and waits until it answers. To be called on the main thread: the parent-death signal is about the
    /// thread that started the child.
    ///
    /// # Errors
    /// If etcd is not installed, its port is taken, its folder cannot be used, or it ends or does not answer.
    pub(crate) async fn start(launch: Launch<'_>) -> Result<Self> {
        let program = installed(&std::env::var_os("PATH").unwrap_or_default())?;
        free(launch.port)?;
        let folder = |source| Error::File { path: launch.data_dir.display().to_string(), source };
        std::fs::create_dir_all(launch.data_dir).map_err(folder)?;
        let lock = lock(launch.data_dir)?;
        let log = launch.data_dir.join("etcd.log");
        let out = File::create(&log).map_err(folder)?;
        let mut words = launch.through.clone();
        words.push(program.into());
        words.extend(arguments(launch.port, launch.data_dir).into_iter().map(OsString::from));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::from(out.try_clone()?))
            .stderr(Stdio::from(out))
            // Ctrl-C in a terminal is for us: etcd ends after whoever writes to it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::File { path: words[0].to_string_lossy().into_owned(), source })?;
        let mut started =
            EtcdChild { child, endpoint: format!("http://127.0.0.1:{}", launch.port), log, _lock: lock };
        started.ready().await?;
        Ok(started)
    }

    /// Where clients reach it.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Resolves when it has ended without being asked to.
    pub(crate) async fn died(&mut self) -> Error {
        let status = self.child.wait().await;
        self.ended(status.ok())
    }

    /// Asks it to end, and makes it after a while.
    pub(crate) async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // Gone already: then there is nothing to ask.
            let _ = signal::kill(Pid::from_raw(pid), Signal::SIGTERM);
            if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
                let _ = self.child.kill().await;
            }
        }
    }

    async fn ready(&mut self) -> Result<()> {
        let until = Instant::now() + READY;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build();
        let client = client.map_err(|e| Error::process(format!("no HTTP client: {e}"), ""))?;
        let health = format!("{}/health", self.endpoint);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.ended(Some(status)));
            }
            if client.get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        let message =
            format!("etcd does not answer on {} after {READY:?}{}", self.endpoint, self.last_words());
        Err(Error::process(message, "Is another etcd using its data folder? --data-dir names another."))
    }

    fn ended(&self, status: Option<ExitStatus>) -> Error {
        let status = status.map_or_else(String::new, |status| format!(" ({status})"));
        let next = format!("Its whole log is {}.", self.log.display());
        Error::process(format!("etcd ended{status}{}", self.last_words()), next)
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(LAST_WORDS).collect();
        lines.into_iter().rev().map(|line| format!("\n    {line}")).collect()
    }
}

/// The path of `etcd`, or how to get it.
fn installed(path: &OsStr) -> Result<PathBuf> {
    let found = std::env::split_paths(path).map(|folder| folder.join("etcd")).find(|file| file.is_file());
    found.ok_or_else(|| {
        Error::process(
            "`etcd` is not in PATH",
            "Install it (Debian: apt-get install etcd-server), or use one that runs: `ctl dev --etcd URL`.",
        )
    })
}

/// Takes the folder for this process.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let fail = |source| Error::File { path: path.display().to_string(), source };
    let file = File::create(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(source)) => Err(fail(source)),
        Err(TryLockError::WouldBlock) => Err(Error::process(
            format!("{} is in use by another `ctl dev`", folder.display()),
            "Stop that one, or give this one its own --data-dir.",
        )),
    }
}

/// Fails if somebody listens on the port.
fn free(port: u16) -> Result<()> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(at).map(drop).map_err(|error| {
        let next = format!(
            "If an etcd runs there, `ctl dev --etcd http://{at}` uses it; --etcd-port starts ours on another port."
        );
        Error::process(format!("cannot start etcd on {at}: {error}"), next)
    })
}

fn arguments(port: u16, data_dir: &Path) -> Vec<String> {
    let client = format!("http://127.0.0.1:{port}");
    // It has no peers: it listens for them on any free port, and the address it goes by is never dialled.
    let peer = "http://127.0.0.1:2380";
    let pairs = [
        ("name", "dev".to_owned()),
        ("data-dir", data_dir.join("data").display().to_string()),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", "http://127.0.0.1:0".to_owned()),
        ("initial-advertise-peer-urls", peer.to_owned()),
        ("initial-cluster", format!("dev={peer}")),
        // Alone on its machine it need not wait a second to find that nobody else leads.
        ("heartbeat-interval", "20".to_owned()),
        ("election-timeout", "200".to_owned()),
        ("auto-compaction-mode", "periodic".to_owned()),
        ("auto-compaction-retention", "1h".to_owned()),
        ("logger", "zap".to_owned()),
        ("log-level", "warn".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(port: u16, data_dir: &Path) -> Launch<'_> {
        Launch { port, data_dir, through: vec!["/usr/bin/env".into()] }
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_missing_etcd_is_said_to_be_missing_and_where_to_get_it() {
        let error = installed("/nonexistent:/proc".as_ref()).unwrap_err().render("ctl");
        assert!(error.contains("not in PATH") && error.contains("apt-get install etcd-server"), "{error}");
    }

    #[tokio::test]
    async fn etcd_starts_answers_keeps_its_data_and_stops() {
        // The rustls provider is installed by the first client.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        for _ in 0..2 {
            let started = EtcdChild::start(direct(port, folder.path())).await.unwrap();
            let busy = EtcdChild::start(direct(free_port(), folder.path())).await.unwrap_err().render("ctl");
            assert!(busy.contains("in use by another `ctl dev`") && busy.contains("--data-dir"), "{busy}");
            let taken = EtcdChild::start(direct(port, folder.path())).await.unwrap_err().render("ctl");
            assert!(
                taken.contains("cannot start etcd on 127.0.0.1") && taken.contains("--etcd-port"),
                "{taken}"
            );
            started.stop().await;
            free(port).unwrap();
        }
    }

    #[tokio::test]
    async fn an_etcd_that_ends_at_once_is_reported_with_its_last_words() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), "a file where a folder should be").unwrap();
        let error = EtcdChild::start(direct(free_port(), folder.path())).await.unwrap_err().render("ctl");
        assert!(error.contains("etcd ended (exit status") && error.contains("etcd.log"), "{error}");
    }
}
