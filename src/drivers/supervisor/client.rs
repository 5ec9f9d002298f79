//! The agent's side: launching a supervisor, finding one again, and the handle on its task.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use encamp_model::Timestamp;
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::Command,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::{
    MARK,
    protocol::{Answer, Launch, Reply, Request},
    record::{StartRecord, StateDir},
    settle,
};
use crate::{Ended, Error, Handle, Recovered, TaskControl, proc::ProcId};

/// How long a supervisor may take to answer a launch: it forks and writes two small files.
const LAUNCH: Duration = Duration::from_secs(30);
/// How long it may take to answer a line.
const REPLY: Duration = Duration::from_secs(5);
/// How long one that is between lock and socket (starting, or ending) is waited for.
const BETWEEN: Duration = Duration::from_secs(10);
/// How often that is looked at.
const EVERY: Duration = Duration::from_millis(5);
/// How often a supervisor is looked at whose folder was removed: it can say nothing itself.
const REMOVED_EVERY: Duration = Duration::from_secs(1);
/// How much longer than a stop's timeout a supervisor that does not answer is left alone.
const STOP_MARGIN: Duration = Duration::from_secs(2);
/// How much longer than its timeout a stop may take: SIGKILL, draining, one write to disk.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How supervisors are started on this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    program: PathBuf,
    cgroups: bool,
}

impl Supervisor {
    /// By executing this very program again, whatever has become of its file: its `main` must begin with
    /// [`supervisor_main`](crate::supervisor_main).
    pub fn current_exe() -> Self {
        Supervisor::with_program("/proc/self/exe")
    }

    /// By executing another program whose `main` does so: for tests, whose own `main` is not theirs.
    pub fn with_program(program: impl Into<PathBuf>) -> Self {
        Supervisor { program: program.into(), cgroups: true }
    }

    /// Whether a task gets a cgroup where one can be made (the default). Without, a task whose supervisor is killed
    /// can leave processes behind that changed their environment.
    pub fn cgroups(mut self, on: bool) -> Self {
        self.cgroups = on;
        self
    }

    /// Whether tasks get a cgroup where one can be made.
    pub(crate) fn uses_cgroups(&self) -> bool {
        self.cgroups
    }

    /// Launches a task. Whatever an earlier supervisor of this folder left behind is gone before it starts.
    pub(crate) async fn start(&self, state_dir: &Path, launch: Launch) -> Result<Handle, Error> {
        let (state, lock) = acquire(state_dir).await?;
        let log = state.log()?;
        let control = self.spawn(&state, lock, log)?;
        let answer = timeout(LAUNCH, converse(control, &launch)).await;
        let state_dir = || state.path().to_owned();
        match answer {
            Err(_) => Err(Error::Unresponsive { state_dir: state_dir(), what: "launch" }),
            Ok(Err(_)) => Err(Error::SupervisorDied { state_dir: state_dir() }),
            Ok(Ok(Answer::Started(start))) => Ok(Handle::new(Supervised::new(Arc::new(state), start))),
            Ok(Ok(Answer::NotStarted { late_ms: Some(late_ms), .. })) => Err(Error::TooLate { late_ms }),
            Ok(Ok(Answer::NotStarted { reason, .. })) => Err(Error::NotStarted { reason }),
            Ok(Ok(Answer::Failed { reason })) => Err(Error::Refused { state_dir: state_dir(), reason }),
        }
    }

    /// Starts the process. The lock goes with it: there is no moment at which nobody holds it.
    fn spawn(&self, state: &StateDir, lock: File, log: File) -> Result<UnixStream, Error> {
        let failed = |source: io::Error| Error::Io {
            what: "start a supervisor by",
            path: self.program.clone(),
            source,
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg(MARK).arg(state.path()).env_clear().current_dir("/");
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(lock)).stderr(Stdio::from(log));
        // It is never killed with us; tokio reaps it when it ends while we live.
        drop(command.kill_on_drop(false).spawn().map_err(failed)?);
        UnixStream::from_std(ours).map_err(failed)
    }

    /// What became of the last launch in this folder.
    pub(crate) async fn recover(state_dir: &Path) -> Result<Recovered, Error> {
        let Some(state) = StateDir::open(state_dir)? else { return Ok(Recovered::Never) };
        let state = Arc::new(state);
        let search = async {
            loop {
                // The lock tells first: what is on disk may be of the run before the one that is just starting.
                match conclude(&state).await? {
                    Some(None) => return Ok(Recovered::Never),
                    Some(Some((_, ended))) => return Ok(Recovered::Ended(ended)),
                    None => {}
                }
                if let Some(start) = state.start()? {
                    let task = Supervised::new(Arc::clone(&state), start);
                    match task.ask(Request::Hello).await {
                        Ok(Some(_)) => return Ok(Recovered::Running(Handle::new(task))),
                        // Frozen; but the lock is held and this very process lives. Stopping it works all the same.
                        Err(Error::Unresponsive { .. }) if task.start.supervisor.alive() => {
                            return Ok(Recovered::Running(Handle::new(task)));
                        }
                        Ok(None) => {}
                        Err(e) => return Err(e),
                    }
                }
                sleep(EVERY).await;
            }
        };
        let unresponsive = Error::Unresponsive { state_dir: state_dir.to_owned(), what: "its lock's holder" };
        timeout(BETWEEN, search).await.unwrap_or(Err(unresponsive))
    }
}

/// The folder and its lock, with no unfinished business of an earlier run.
async fn acquire(state_dir: &Path) -> Result<(StateDir, File), Error> {
    let path = state_dir.to_owned();
    let prepare = move || -> Result<Option<(StateDir, File)>, Error> {
        let state = StateDir::create(&path)?;
        let Some(lock) = state.try_lock()? else { return Ok(None) };
        settle::conclude(&state, &lock)?;
        Ok(Some((state, lock)))
    };
    // A supervisor that has just told its last end is still on its way out.
    for _ in 0..400 {
        if let Some(held) = blocking(prepare.clone()).await? {
            return Ok(held);
        }
        sleep(EVERY).await;
    }
    Err(Error::Busy { state_dir: state_dir.to_owned() })
}

/// The last start and its end if no supervisor lives (`Some(None)`: never started); `None` if one does.
async fn conclude(state: &Arc<StateDir>) -> Result<Option<Option<(StartRecord, Ended)>>, Error> {
    let state = Arc::clone(state);
    blocking(move || match state.try_lock()? {
        Some(lock) => settle::conclude(&state, &lock).map(Some),
        None => Ok(None),
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(e) => Err(Error::Io { what: "run", path: "a blocking task".into(), source: e.into() }),
        },
    }
}

async fn converse(mut control: UnixStream, launch: &Launch) -> io::Result<Answer> {
    control.write_all(&serde_json::to_vec(launch)?).await?;
    control.shutdown().await?;
    let mut text = Vec::new();
    control.read_to_end(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// A task under a supervisor.
struct Supervised {
    state: Arc<StateDir>,
    start: StartRecord,
    /// Known once it has ended, and then for good: a later run writes over the records.
    ended: OnceLock<Ended>,
}

impl Supervised {
    fn new(state: Arc<StateDir>, start: StartRecord) -> Self {
        Supervised { state, start, ended: OnceLock::new() }
    }

    /// A connection to its supervisor; `None` if nobody listens or it is another's.
    async fn connect(&self) -> Result<Option<UnixStream>, Error> {
        let stream = match UnixStream::connect(self.state.socket()).await {
            Ok(stream) => stream,
            Err(e) => match e.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::WouldBlock => return Ok(None),
                _ => return Err(Error::io("connect to", self.state.path().join("socket"))(e)),
            },
        };
        // The kernel says who listens. Its answer then says for which task.
        let peer = stream.peer_cred().ok().and_then(|cred| cred.pid()).map(i32::unsigned_abs);
        Ok((peer == Some(self.start.supervisor.pid)).then_some(stream))
    }

    /// Sends a request and reads the reply; gives the open connection. `None` if it cannot be reached any more.
    async fn exchange(&self, request: Request) -> Result<Option<BufReader<UnixStream>>, Error> {
        let Some(stream) = self.connect().await? else { return Ok(None) };
        let mut stream = BufReader::new(stream);
        let Some(reply) = say(&mut stream, request).await else { return Ok(None) };
        if reply.id != self.start.id {
            return Ok(None);
        }
        match reply.error {
            Some(reason) => Err(Error::Refused { state_dir: self.state.path().to_owned(), reason }),
            None => Ok(Some(stream)),
        }
    }

    /// An exchange that must not take long.
    async fn ask(&self, request: Request) -> Result<Option<BufReader<UnixStream>>, Error> {
        let state_dir = self.state.path().to_owned();
        let late = Error::Unresponsive { state_dir, what: "a request" };
        timeout(REPLY, self.exchange(request)).await.unwrap_or(Err(late))
    }

    /// Its end, if it is known or can be found out now.
    async fn look(&self) -> Result<Option<Ended>, Error> {
        if let Some(ended) = self.ended.get() {
            return Ok(Some(ended.clone()));
        }
        // The record alone is enough: it is written before the lock is let go.
        let found = match self.state.exit_of(&self.start.id)? {
            Some(ended) => Some(ended),
            None if self.state.removed() => {
                let (state, start) = (Arc::clone(&self.state), self.start.clone());
                blocking(move || settle::removed(&state, &start)).await?
            }
            None => match conclude(&self.state).await? {
                None => None,
                Some(Some((start, ended))) if start.id == self.start.id => Some(ended),
                Some(_) => return Err(self.superseded()),
            },
        };
        Ok(found.map(|ended| self.ended.get_or_init(|| ended).clone()))
    }

    fn superseded(&self) -> Error {
        let reason = format!("run {} is not the last one recorded there", self.start.run);
        Error::Damaged { path: self.state.path().to_owned(), reason }
    }

    /// Kills a supervisor that does not answer; its task dies with it, what is left dies in [`Supervised::look`].
    async fn break_through(&self) -> Result<(), Error> {
        let supervisor: ProcId = self.start.supervisor.clone();
        let failed = Error::io("kill the supervisor in", self.state.path().to_owned());
        blocking(move || supervisor.kill().map_err(failed)).await
    }
}

async fn say(stream: &mut BufReader<UnixStream>, request: Request) -> Option<Reply> {
    let mut line = serde_json::to_vec(&request).ok()?;
    line.push(b'\n');
    stream.write_all(&line).await.ok()?;
    let mut reply = Vec::new();
    stream.read_until(b'\n', &mut reply).await.ok()?;
    serde_json::from_slice(&reply).ok()
}

#[async_trait]
impl TaskControl for Supervised {
    fn pid(&self) -> Option<u32> {
        Some(self.start.id.pid)
    }

    fn started(&self) -> Timestamp {
        self.start.started
    }

    fn run(&self) -> u64 {
        self.start.run
    }

    async fn wait(&self) -> Result<Ended, Error> {
        loop {
            if let Some(ended) = self.look().await? {
                return Ok(ended);
            }
            // Nothing more is said on this connection: it ends with the supervisor.
            match self.exchange(Request::Hello).await? {
                Some(mut stream) => {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
                None if self.state.removed() => sleep(REMOVED_EVERY).await,
                None => sleep(EVERY).await,
            }
        }
    }

    async fn stop(&self, signal: Signal, patience: Duration) -> Result<Ended, Error> {
        let timeout_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Stop { signal: signal as i32, timeout_ms };
        let began = Instant::now();
        let stopping = async {
            loop {
                if let Some(ended) = self.look().await? {
                    return Ok(ended);
                }
                match self.ask(request).await {
                    Ok(Some(_)) => return self.wait().await,
                    // Its socket went with the folder.
                    Ok(None) if self.state.removed() => self.break_through().await?,
                    Ok(None) => sleep(EVERY).await,
                    // A machine that swaps may be slow to answer: the task has its time all the same.
                    Err(Error::Unresponsive { .. })
                        if began.elapsed() < patience.saturating_add(STOP_MARGIN) => {}
                    Err(Error::Unresponsive { .. }) => self.break_through().await?,
                    Err(e) => return Err(e),
                }
            }
        };
        let most = patience.saturating_add(STOP_GRACE);
        timeout(most, stopping).await.unwrap_or_else(|_| {
            let waited_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
            Err(Error::StopTimeout { state_dir: self.state.path().to_owned(), waited_ms })
        })
    }

    async fn signal(&self, signal: Signal) -> Result<(), Error> {
        let request = Request::Signal { signal: signal as i32 };
        let sending = async {
            while self.look().await?.is_none() && self.ask(request).await?.is_none() {
                sleep(EVERY).await;
            }
            Ok(())
        };
        let state_dir = self.state.path().to_owned();
        let late = Error::Unresponsive { state_dir, what: "a signal" };
        timeout(BETWEEN, sending).await.unwrap_or(Err(late))
    }
}
