//! From a fresh process to a supervised task: leaving the agent's session, reading what to run, making everything that
//! can fail before there is a process, then fork, record, go.

use std::{
    fs::{self, File},
    io::Read,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        stat::{Mode, umask},
    },
    unistd::{self, Pid},
};

use super::{
    contain::Cgroup,
    output::{Output, Rotation},
    peers::Peers,
    protocol::{Answer, Launch, MAX_LAUNCH},
    record::{StartRecord, StateDir},
    run::{Phase, Running},
    spawn::{Pipes, Plan, Refusal, Waiting},
};
use crate::{Exit, clock, files, logs::Stream, proc::ProcId, sys};

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
        let cgroup = launch.cgroups.then(|| Cgroup::create(launch.alloc, &launch.task, state.path()));
        let mut cgroup = cgroup.flatten();
        let waiting = match plan.fork(pipes, &mut cgroup) {
            Ok(waiting) => waiting,
            Err(e) => {
                cgroup.inspect(Cgroup::remove);
                return failed(format!("fork: {e}"));
            }
        };
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
        let kill = (launch.kill_signal, launch.kill_timeout_ms);
        let mut running = Running {
            main,
            start: start.clone(),
            state,
            peers,
            signals,
            outputs,
            cgroup,
            kill,
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
        folder: state.path().to_owned(),
    };
    state.write_start(&start)?;
    Ok(start)
}

/// Entries of the environment that name the allocation and the task, if both are there, and the folder, if it is:
/// another agent's task may have equal ids.
fn marks(launch: &Launch) -> Vec<String> {
    let expect = [("NOMAD_ALLOC_ID", launch.alloc.to_string()), ("NOMAD_TASK_NAME", launch.task.to_string())];
    if expect.iter().any(|(name, value)| launch.env.get(*name) != Some(value)) {
        return Vec::new();
    }
    let ours = |(name, value): &(&String, &String)| {
        *name == "NOMAD_ALLOC_DIR" && Path::new(value.as_str()).starts_with(&launch.root)
    };
    let folder = launch.env.iter().find(ours).map(|(name, value)| format!("{name}={value}"));
    expect.iter().map(|(name, value)| format!("{name}={value}")).chain(folder).collect()
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
