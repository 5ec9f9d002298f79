//! The supervisor's loop over its signals, the task's output and its socket, until nothing of the task is left. One
//! thread, nothing that blocks but the disk.

use std::{
    io::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use encamp_model::Timestamp;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill, killpg},
        signalfd::SignalFd,
    },
    unistd::Pid,
};

use super::{
    contain::Cgroup,
    output::Output,
    peers::Peers,
    protocol::Request,
    record::{ExitRecord, StartRecord, StateDir},
};
use crate::{
    Ended, Exit, clock, proc,
    sys::{self, Reaped},
};

/// First and longest pause between two rounds of killing, milliseconds.
const KILL_EVERY_MS: (u64, u64) = (5, 500);
/// Pause between two attempts to write the end down, milliseconds.
const RECORD_EVERY_MS: u64 = 1000;

/// Where a task stands on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
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

/// A task and all that its supervisor holds for it.
pub(crate) struct Running {
    pub(crate) main: Pid,
    pub(crate) start: StartRecord,
    pub(crate) state: StateDir,
    pub(crate) peers: Peers,
    pub(crate) signals: SignalFd,
    pub(crate) outputs: [Output; 2],
    pub(crate) cgroup: Option<Cgroup>,
    /// Signal and timeout (milliseconds) of a stop that names none.
    pub(crate) kill: (i32, u64),
    /// How and when the main process ended; it is reaped.
    pub(crate) ended: Option<(Exit, Timestamp)>,
    /// No descendant is left: whoever lost its parent is our child, so who has no child has no grandchild.
    pub(crate) childless: bool,
    pub(crate) phase: Phase,
}

impl Running {
    /// The loop. Ends, and only then lets go of the lock, when the end is on disk.
    pub(crate) fn supervise(mut self, lock: OwnedFd) {
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
    pub(crate) fn record_now(&self) -> bool {
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
            if !self.state.removed() {
                return false;
            }
            // There is no place for the end, and nobody who could ask for it.
            self.cgroup.iter().for_each(Cgroup::remove);
        } else if self.cgroup.is_some() {
            Cgroup::sweep(self.start.alloc, &self.start.task, self.state.path());
        }
        self.state.remove_socket();
        true
    }
}
