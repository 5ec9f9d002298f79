//! From fork to exec. The child waits until the record of its start is on disk, becomes what the task needs, looks at
//! the deadline, and executes the program; what fails on the way comes back through a pipe that exec closes.

use std::{
    convert::Infallible,
    ffi::CString,
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
        stat::{Mode, umask},
        wait::waitpid,
    },
    unistd::{self, ForkResult, Gid, Pid, Uid},
};

use super::{
    contain::Cgroup,
    protocol::{Identity, Launch},
};
use crate::{clock, files, sys};

/// Everything the child needs, made before the fork.
pub(crate) struct Plan {
    programs: Vec<CString>,
    args: Vec<CString>,
    env: Vec<CString>,
    cwd: OwnedFd,
    identity: Option<Identity>,
    deadline_ns: Option<u64>,
    command: String,
    open_files: Option<u64>,
}

/// The writing ends that become the task's stdout and stderr.
pub(crate) struct Pipes {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// A child that waits for its go. Dropped without it, the child exits and is reaped.
pub(crate) struct Waiting {
    pid: Pid,
    go: Option<File>,
    report: File,
}

/// Why the program was not executed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// How late it was, if that was the reason.
    pub(crate) late_ms: Option<u64>,
}

/// Where the child failed; its number goes through the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Session = 1,
    Streams,
    User,
    Folder,
    Orphaned,
    Deadline,
    Exec,
}

/// A failure as it goes through the pipe: the step, which program, and the error number or the milliseconds.
struct Failure {
    step: Step,
    program: u8,
    value: u64,
}

impl Plan {
    /// Reads the launch; the error is for people.
    pub(crate) fn new(launch: &Launch) -> Result<Plan, String> {
        let text =
            |what: &str, value: &[u8]| CString::new(value).map_err(|_| format!("{what} holds a NUL byte"));
        let path = |path: &Path| text("the command", path.as_os_str().as_bytes());
        let programs = launch.programs.iter().map(|p| path(p)).collect::<Result<Vec<_>, _>>()?;
        let mut args = Vec::with_capacity(launch.args.len() + 1);
        args.push(text("the command", launch.command.as_bytes())?);
        for arg in &launch.args {
            args.push(text("an argument", arg.as_bytes())?);
        }
        let entry = |(name, value): (&String, &String)| text(name, format!("{name}={value}").as_bytes());
        let env = launch.env.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let cwd = if launch.cwd.starts_with(&launch.root) {
            files::open_beneath(&launch.root, &launch.cwd)
        } else {
            files::open_dir(&launch.cwd)
        };
        let cwd = cwd.map_err(|e| format!("open working folder {}: {e}", launch.cwd.display()))?;
        Ok(Plan {
            programs,
            args,
            env,
            cwd,
            identity: launch.identity.clone(),
            deadline_ns: launch.start_deadline_ns,
            command: launch.command.clone(),
            open_files: launch.open_files,
        })
    }

    /// Forks the child, in its cgroup if it has one, where it waits. One that could not be put there is in none.
    pub(crate) fn fork(&self, pipes: Pipes, cgroup: &mut Option<Cgroup>) -> io::Result<Waiting> {
        let (go_read, go_write) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let (report_read, report_write) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let parent = Pid::this();
        // Into one of version 1, and by a kernel before 5.7, it cannot be born.
        let born = cgroup.as_ref().and_then(|cgroup| sys::fork_into(&cgroup.open().ok()?).ok());
        let joined = born.is_some();
        match born.map_or_else(sys::fork, Ok)? {
            ForkResult::Child => {
                // The child must not return into the supervisor's code, whatever happens.
                drop((go_write, report_read));
                let all = AssertUnwindSafe(|| self.child(parent, go_read, &pipes));
                if let Ok(Some(failure)) = catch_unwind(all) {
                    let _ = unistd::write(&report_write, &failure.encode());
                }
                sys::exit_now(127)
            }
            ForkResult::Parent { child } => {
                *cgroup = cgroup.take().filter(|cgroup| joined || cgroup.add(child).is_ok());
                Ok(Waiting { pid: child, go: Some(go_write.into()), report: report_read.into() })
            }
        }
    }

    /// What the child does; returns only on failure (`None`: it was not let go).
    fn child(&self, parent: Pid, go: OwnedFd, pipes: &Pipes) -> Option<Failure> {
        if File::from(go).read(&mut [0]).ok()? == 0 {
            return None;
        }
        let Err(failure) = self.become_task(parent, pipes);
        Some(failure)
    }

    fn become_task(&self, parent: Pid, pipes: &Pipes) -> Result<Infallible, Failure> {
        let at = |step: Step| move |errno: Errno| Failure { step, program: 0, value: errno as u64 };
        unistd::setsid().map_err(at(Step::Session))?;
        unistd::dup2_stdout(&pipes.stdout).map_err(at(Step::Streams))?;
        unistd::dup2_stderr(&pipes.stderr).map_err(at(Step::Streams))?;
        sys::default_signals();
        SigSet::empty().thread_set_mask().map_err(at(Step::Session))?;
        umask(Mode::from_bits_truncate(0o022));
        if let Some(soft) = self.open_files {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(at(Step::Session))?;
            setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard).map_err(at(Step::Session))?;
        }
        if let Some(identity) = &self.identity {
            let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
            unistd::setgroups(&groups).map_err(at(Step::User))?;
            unistd::setgid(Gid::from_raw(identity.gid)).map_err(at(Step::User))?;
            unistd::setuid(Uid::from_raw(identity.uid)).map_err(at(Step::User))?;
        }
        unistd::fchdir(&self.cwd).map_err(at(Step::Folder))?;
        // After the change of user, which would clear it. If the supervisor died before this, nobody would tell us.
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(at(Step::Session))?;
        if unistd::getppid() != parent {
            return Err(Failure { step: Step::Orphaned, program: 0, value: 0 });
        }
        sys::cloexec_from(3);
        Err(self.execute())
    }

    /// Tries the programs in order. The first that is there and may be executed is it; otherwise the error of the one
    /// that was there counts.
    fn execute(&self) -> Failure {
        let mut failure = Failure { step: Step::Exec, program: 0, value: Errno::ENOENT as u64 };
        for (at, program) in self.programs.iter().enumerate() {
            if let Some(deadline) = self.deadline_ns {
                let now = clock::boot_ns();
                if now > deadline {
                    return Failure {
                        step: Step::Deadline,
                        program: 0,
                        value: (now - deadline).div_ceil(1_000_000),
                    };
                }
            }
            let Err(errno) = unistd::execve(program, &self.args, &self.env);
            if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR) {
                failure = Failure { step: Step::Exec, program: at as u8, value: errno as u64 };
            }
            if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) {
                break;
            }
        }
        failure
    }

    fn explain(&self, failure: &Failure) -> Refusal {
        let errno = Errno::from_raw(i32::try_from(failure.value).unwrap_or(0));
        let system = format!("{} ({errno:?})", errno.desc());
        let reason = match failure.step {
            Step::Session => format!("prepare the process: {system}"),
            Step::Streams => format!("connect its output: {system}"),
            Step::User => {
                let uid = self.identity.as_ref().map_or(0, |identity| identity.uid);
                format!("become user {uid}: {system}")
            }
            Step::Folder => format!("enter its working folder: {system}"),
            Step::Orphaned => "its supervisor died meanwhile".to_owned(),
            Step::Deadline => format!("the start deadline had passed by {} ms", failure.value),
            Step::Exec => format!("execute {}: {system}", self.name(failure)),
        };
        // It must fit the disk space that was reserved for the end.
        let reason = reason.chars().take(800).collect();
        Refusal { reason, late_ms: (failure.step == Step::Deadline).then_some(failure.value) }
    }

    /// What to call the program: its path, or where a bare name was looked for.
    fn name(&self, failure: &Failure) -> String {
        let shown = |program: &CString| program.to_string_lossy().into_owned();
        let missing = failure.value == Errno::ENOENT as u64;
        match self.programs.as_slice() {
            [only] => shown(only),
            all if missing => {
                let places: Vec<String> = all.iter().map(shown).collect();
                format!("{} (looked for {})", self.command, places.join(", "))
            }
            all => all.get(usize::from(failure.program)).map_or_else(|| self.command.clone(), shown),
        }
    }
}

impl Waiting {
    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it go on, and waits until it has executed the program (then it is the caller's to reap) or failed.
    pub(crate) fn go(mut self, plan: &Plan) -> Result<(), Refusal> {
        if let Some(mut go) = self.go.take() {
            // It may be dead already; then the report is empty and so is what the caller reaps.
            let _ = go.write_all(&[1]);
        }
        let mut report = [0; Failure::BYTES];
        match self.report.read_exact(&mut report) {
            Ok(()) => {}
            // Closed by exec.
            Err(_) => return Ok(()),
        }
        // A number that is none of ours cannot come: both ends are this very program.
        let failure = Failure::decode(&report);
        let _ = waitpid(self.pid, None);
        Err(plan.explain(&failure))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.go.take().is_some() {
            let _ = waitpid(self.pid, None);
        }
    }
}

impl Failure {
    const BYTES: usize = 10;

    fn encode(&self) -> [u8; Failure::BYTES] {
        let mut bytes = [0; Failure::BYTES];
        bytes[0] = self.step as u8;
        bytes[1] = self.program;
        bytes[2..].copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; Failure::BYTES]) -> Failure {
        const STEPS: [Step; 7] = [
            Step::Session,
            Step::Streams,
            Step::User,
            Step::Folder,
            Step::Orphaned,
            Step::Deadline,
            Step::Exec,
        ];
        let step = STEPS.into_iter().find(|step| *step as u8 == bytes[0]).unwrap_or(Step::Session);
        let mut value = [0; 8];
        value.copy_from_slice(&bytes[2..]);
        Failure { step, program: bytes[1], value: u64::from_le_bytes(value) }
    }
}
