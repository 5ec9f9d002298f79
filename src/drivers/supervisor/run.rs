//! The supervisor itself: set-up, then one loop over its signals, the task's output and its socket until nothing of
//! the task is left. One thread, nothing that blocks but the disk.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
};

use encamp_model::Timestamp;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal, kill, killpg},
        signalfd::{SfdFlags, SignalFd},
        stat::{Mode, umask},
    },
    unistd::{self, Pid},
};

use super::{
    contain::Cgroup,
    output::{Output, Rotation},
    peers::Peers,
    protocol::{Answer, Launch, MAX_LAUNCH, Request},
    record::{ExitRecord, StartRecord, StateDir},
    spawn::{Pipes, Plan, Refusal, Waiting},
};
use crate::{
    Ended, Exit, clock, files,
    logs::Stream,
    proc::{self, ProcId},
    sys::{self, Reaped},
};

/// First and longest pause between two rounds of killing, milliseconds.
const KILL_EVERY_MS: (u64, u64) = (5, 500);
/// Pause between two attempts to write the end down, milliseconds.
const RECORD_EVERY_MS: u64 = 1000;

/// What a supervisor was given by its agent, in place of the standard streams.
struct Given {
    /// The socket pair to the agent.
    control: UnixStream,
    /// Our lock, as long as it is open.
    lock: OwnedFd,
}

/// Runs the supervisor in this process.
pub(crate) fn main() -> ExitCode {
    let given = match detach() {
        Ok(given) => given,
        Err(reason) => {
            eprintln!("supervisor: {reason}");
            return ExitCode::from(1);
        }
    };
    let Given { mut control, lock } = given;
    let mut text = Vec::new();
    // An agent that died while it wrote leaves no whole message: then nothing is started.
    if (&control).take(MAX_LAUNCH).read_to_end(&mut text).is_err() {
        return ExitCode::from(1);
    }
    let prepared = serde_json::from_slice(&text)
        .map_err(|e| format!("read the launch message: {e}"))
        .and_then(|launch: Launch| Prepared::new(&launch));
    drop(text);
    let (answer, running) = match prepared {
        Ok(prepared) => prepared.start(),
        Err(reason) => (Answer::Failed { reason }, None),
    };
    // The agent may be gone: it, or the next one, finds the record.
    let _ = serde_json::to_writer(&mut control, &answer);
    drop((answer, control));
    if let Some(running) = running {
        running.supervise(lock);
    }
    ExitCode::SUCCESS
}

/// Leaves the agent's session, takes what it gave, ignores what it might be sent with it.
fn detach() -> Result<Given, String> {
    let failed = |what: &'static str| move |errno: Errno| format!("{what}: {errno}");
    sys::close_from(3);
    if fs::read_dir("/proc/self/task").map_or(0, Iterator::count) != 1 {
        return Err("needs a process of one thread and /proc".to_owned());
    }
    let control = unistd::dup(std::io::stdin()).map_err(failed("take the control socket"))?;
    let lock = unistd::dup(std::io::stdout()).map_err(failed("take the lock"))?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|e| format!("open /dev/null: {e}"))?;
    unistd::dup2_stdin(&null).map_err(failed("replace stdin"))?;
    unistd::dup2_stdout(&null).map_err(failed("replace stdout"))?;
    drop(null);
    sys::cloexec_from(3);
    // Fails only for the leader of a process group, which a child just started is not.
    unistd::setsid().map_err(failed("leave the session"))?;
    prctl::set_child_subreaper(true).map_err(failed("become a subreaper"))?;
    let _ = prctl::set_name(c"encamp-task");
    umask(Mode::from_bits_truncate(0o022));
    use Signal::{SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ};
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ] {
        sys::ignore_signal(signal);
    }
    Ok(Given { control: UnixStream::from(control), lock })
}

/// All that can fail before a process is made.
struct Prepared {
    launch: Launch,
    plan: Plan,
    state: StateDir,
    peers: Peers,
    signals: SignalFd,
    pipes: Pipes,
    outputs: [Output; 2],
}

impl Prepared {
    fn new(launch: &Launch) -> Result<Prepared, String> {
        let state_dir = std::env::args_os().nth(2).map(PathBuf::from).ok_or("no state folder given")?;
        let state = StateDir::open(&state_dir).map_err(|e| e.to_string())?;
        let state = state.ok_or_else(|| format!("{} is gone", state_dir.display()))?;
        let plan = Plan::new(launch)?;
        let opened = files::open_beneath(&launch.root, &launch.log_dir);
        let log_dir = opened.map_err(|e| format!("open log folder {}: {e}", launch.log_dir.display()))?;
        let log_dir = Rc::new(log_dir);
        let stream = |stream: Stream| -> Result<(Output, OwnedFd), String> {
            let files = Rotation::new(Rc::clone(&log_dir), &launch.task, stream, launch.logs);
            let files = files.map_err(|e| format!("read log folder: {e}"))?;
            let (read, write) = pipe().map_err(|e| format!("make a pipe: {e}"))?;
            Ok((Output::new(read, files), write))
        };
        let (out, stdout) = stream(Stream::Stdout)?;
        let (err, stderr) = stream(Stream::Stderr)?;
        state.remove_socket();
        let listener = bind(&state).map_err(|e| format!("bind the socket: {e}"))?;
        let signals = signals().map_err(|e| format!("take over signals: {e}"))?;
        let peers = Peers::new(listener).map_err(|e| format!("listen: {e}"))?;
        Ok(Prepared {
            launch: launch.clone(),
            plan,
            state,
            peers,
            signals,
            pipes: Pipes { stdout, stderr },
            outputs: [out, err],
        })
    }

    /// Forks, records, lets go.
    fn start(self) -> (Answer, Option<Running>) {
        let Prepared { launch, plan, state, peers, signals, pipes, outputs } = self;
        let failed = |reason: String| (Answer::Failed { reason }, None);
        let waiting = match plan.fork(pipes) {
            Ok(waiting) => waiting,
            Err(e) => return failed(format!("fork: {e}")),
        };
        let cgroup = launch.cgroups.then(|| Cgroup::create(launch.alloc, &launch.task)).flatten();
        let cgroup = cgroup.filter(|cgroup| cgroup.add(waiting.pid()).is_ok());
        let start = match write_start(&state, &launch, &waiting, cgroup.as_ref()) {
            Ok(start) => start,
            Err(e) => {
                // It ends without having been let go.
                drop(waiting);
                cgroup.inspect(Cgroup::remove);
                return failed(format!("write the start to {}: {e}", state.path().display()));
            }
        };
        let main = waiting.pid();
        let went = waiting.go(&plan);
        let mut running = Running {
            main,
            start: start.clone(),
            state,
            peers,
            signals,
            outputs,
            cgroup,
            kill: (launch.kill_signal, launch.kill_timeout_ms),
            ended: None,
            childless: false,
            phase: Phase::Running,
        };
        match went {
            Ok(()) => (Answer::Started(start), Some(running)),
            Err(Refusal { reason, late_ms }) => {
                running.ended = Some((
                    Exit::NotStarted { reason: reason.clone(), late: late_ms.is_some() },
                    clock::wall(),
                ));
                (Answer::NotStarted { reason, late_ms }, Some(running).filter(|r| !r.record_now()))
            }
        }
    }
}

/// Puts on disk what is about to run.
fn write_start(
    state: &StateDir,
    launch: &Launch,
    waiting: &Waiting,
    cgroup: Option<&Cgroup>,
) -> std::io::Result<StartRecord> {
    let start = StartRecord {
        id: ProcId::of(waiting.pid())?,
        supervisor: ProcId::of(Pid::this())?,
        run: launch.run,
        started: clock::wall(),
        alloc: launch.alloc,
        task: launch.task.clone(),
        cgroup: cgroup.map(|cgroup| cgroup.dir().to_owned()),
        marks: marks(launch),
    };
    state.write_start(&start)?;
    Ok(start)
}

/// Entries of the environment that name the allocation and the task, if both are there.
fn marks(launch: &Launch) -> Vec<String> {
    let expect = [("NOMAD_ALLOC_ID", launch.alloc.to_string()), ("NOMAD_TASK_NAME", launch.task.to_string())];
    if expect.iter().all(|(name, value)| launch.env.get(*name) == Some(value)) {
        expect.iter().map(|(name, value)| format!("{name}={value}")).collect()
    } else {
        Vec::new()
    }
}

fn bind(state: &StateDir) -> std::io::Result<UnixListener> {
    let listener = UnixListener::bind(state.socket())?;
    // Nobody else gets into the folder either.
    fs::set_permissions(state.socket(), fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A pipe whose reading end does not block.
fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = unistd::pipe2(OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// From here on SIGCHLD and SIGTERM come through a descriptor.
fn signals() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.add(Signal::SIGTERM);
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Where a task stands on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It runs, and nobody asked it to stop.
    Running,
    /// It was signalled and has until then (monotonic milliseconds).
    Stopping { until_ms: u64 },
    /// All that is left is being killed; again at that instant, then after this pause.
    Killing { again_ms: u64, pause_ms: u64 },
    /// Nothing is left; the end could not be written down and is tried again then.
    Recording { again_ms: u64 },
    /// The end is on disk.
    Done,
}

struct Running {
    main: Pid,
    start: StartRecord,
    state: StateDir,
    peers: Peers,
    signals: SignalFd,
    outputs: [Output; 2],
    cgroup: Option<Cgroup>,
    /// Signal and timeout (milliseconds) of a stop that names none.
    kill: (i32, u64),
    /// How and when the main process ended; it is reaped.
    ended: Option<(Exit, Timestamp)>,
    /// No descendant is left: whoever lost its parent is our child, so who has no child has no grandchild.
    childless: bool,
    phase: Phase,
}

impl Running {
    /// The loop. Ends, and only then lets go of the lock, when the end is on disk.
    fn supervise(mut self, lock: OwnedFd) {
        loop {
            // Before the first poll too: the child may have ended before its signal could be taken.
            self.reap();
            self.advance();
            if self.phase == Phase::Done {
                break;
            }
            self.wait_and_serve();
        }
        // Whoever saw its connection end may start the next run: the lock must be free by then.
        drop(lock);
    }

    fn wait_and_serve(&mut self) {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let piped: Vec<Option<BorrowedFd<'_>>> = self.outputs.iter().map(Output::fd).collect();
        fds.extend(piped.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        fds.extend(self.peers.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // An error (EINTR, ENOMEM) is met by looking at everything, which does not block.
        let _ = poll(&mut fds, self.timeout());
        drop((fds, piped));
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo == Signal::SIGTERM as u32 {
                let (signal, timeout_ms) = self.kill;
                self.stop(signal, timeout_ms);
            }
        }
        for output in &mut self.outputs {
            output.turn();
        }
        for (peer, request) in self.peers.requests() {
            let error = self.answer(request).err();
            self.peers.reply(peer, &self.start.id, error);
        }
    }

    fn timeout(&self) -> PollTimeout {
        let at = match self.phase {
            Phase::Running | Phase::Done => return PollTimeout::NONE,
            Phase::Stopping { until_ms } => {
                // After the main process, its group may take until then, and nobody tells us when that ends.
                let soon = clock::monotonic_ms() + KILL_EVERY_MS.0 * 4;
                if self.ended.is_some() { until_ms.min(soon) } else { until_ms }
            }
            Phase::Killing { again_ms, .. } | Phase::Recording { again_ms } => again_ms,
        };
        let left = at.saturating_sub(clock::monotonic_ms());
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    fn answer(&mut self, request: Request) -> Result<(), String> {
        match request {
            Request::Hello => Ok(()),
            Request::Stop { signal, timeout_ms } => {
                Signal::try_from(signal).map_err(|_| format!("no signal {signal}"))?;
                self.stop(signal, timeout_ms);
                Ok(())
            }
            Request::Signal { signal } => {
                let signal = Signal::try_from(signal).map_err(|_| format!("no signal {signal}"))?;
                if self.ended.is_some() {
                    return Ok(());
                }
                kill(self.main, signal).map_err(|e| format!("signal {}: {e}", self.main))
            }
        }
    }

    /// Asks the task to stop. The whole process group is asked, as a terminal would: a shell waits for its child
    /// before it looks at its own signal.
    fn stop(&mut self, signal: i32, timeout_ms: u64) {
        let until_ms = clock::monotonic_ms().saturating_add(timeout_ms);
        match &mut self.phase {
            Phase::Running => {
                self.phase = Phase::Stopping { until_ms };
                // Not reaped yet, so the number of its group is still its own.
                if let (None, Ok(signal)) = (&self.ended, Signal::try_from(signal)) {
                    let _ = killpg(self.main, signal);
                    // One that was stopped could not heed it.
                    let _ = killpg(self.main, Signal::SIGCONT);
                }
            }
            Phase::Stopping { until_ms: until } => *until = until_ms.min(*until),
            Phase::Killing { .. } | Phase::Recording { .. } | Phase::Done => {}
        }
    }

    /// Reaps what has ended; with the subreaper flag every orphan of the task comes to us.
    fn reap(&mut self) {
        loop {
            let exit = match sys::reap() {
                Reaped::Exited(pid, code) if pid == self.main => Exit::Exited { code },
                Reaped::Killed(pid, signal) if pid == self.main => Exit::Signaled { signal },
                Reaped::Exited(..) | Reaped::Killed(..) => continue,
                Reaped::Nothing => return,
                Reaped::NoChild => {
                    self.childless = true;
                    return;
                }
            };
            self.ended.get_or_insert_with(|| (exit, clock::wall()));
        }
    }

    /// Moves on as far as it goes now.
    fn advance(&mut self) {
        let now = clock::monotonic_ms();
        let kill_now = match self.phase {
            Phase::Running => self.ended.is_some(),
            Phase::Stopping { until_ms } => {
                let group_gone = || killpg(self.main, None) == Err(Errno::ESRCH);
                now >= until_ms || (self.ended.is_some() && group_gone())
            }
            Phase::Killing { .. } | Phase::Recording { .. } | Phase::Done => false,
        };
        if kill_now {
            self.phase = Phase::Killing { again_ms: now, pause_ms: KILL_EVERY_MS.0 };
        }
        if let Phase::Killing { again_ms, pause_ms } = self.phase {
            if self.nothing_left() {
                self.outputs.iter_mut().for_each(Output::drain);
                self.phase = Phase::Recording { again_ms: now };
            } else if now >= again_ms {
                self.kill_all();
                let again_ms = now + pause_ms;
                self.phase = Phase::Killing { again_ms, pause_ms: (pause_ms * 2).min(KILL_EVERY_MS.1) };
            }
        }
        if let Phase::Recording { again_ms } = self.phase
            && now >= again_ms
        {
            let done = self.record_now();
            self.phase =
                if done { Phase::Done } else { Phase::Recording { again_ms: now + RECORD_EVERY_MS } };
        }
    }

    /// No process of the task is alive.
    fn nothing_left(&self) -> bool {
        self.ended.is_some() && self.childless && !self.cgroup.as_ref().is_some_and(Cgroup::populated)
    }

    /// Kills everything once. What forked meanwhile, and what has a parent that dies now, is met in the next round.
    fn kill_all(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        for child in proc::children() {
            // Only we reap them, so the number is theirs until we do.
            let _ = kill(child, Signal::SIGKILL);
        }
    }

    /// Writes the end down; whether that worked.
    fn record_now(&self) -> bool {
        let Some((exit, when)) = &self.ended else { return false };
        let ended = Ended {
            run: self.start.run,
            exit: exit.clone(),
            when: *when,
            started: self.start.started,
            log_bytes_dropped: self.outputs.iter().map(Output::dropped).sum(),
        };
        let record = ExitRecord { id: self.start.id.clone(), ended };
        if let Err(e) = self.state.write_exit(&record) {
            // To supervisor.log.
            let _ = writeln!(std::io::stderr(), "supervisor: write the end: {e}");
            return false;
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
        self.state.remove_socket();
        true
    }
}
