//! Processes told apart for good: a number alone may be another process by now.

use std::{fs, io};

use nix::{sys::signal::Signal, unistd::Pid};
use serde::{Deserialize, Serialize};

use crate::sys;

/// A process of one boot of one machine: its number can come again, together with its start time it cannot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcId {
    /// The kernel's boot id.
    pub(crate) boot: String,
    /// Its number.
    pub(crate) pid: u32,
    /// When it started: clock ticks since boot.
    pub(crate) start: u64,
}

impl ProcId {
    /// The identity of the process that has this number now.
    pub(crate) fn of(pid: Pid) -> io::Result<ProcId> {
        let start = start_ticks(pid)?;
        Ok(ProcId { boot: boot_id()?, pid: pid.as_raw().unsigned_abs(), start })
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid).unwrap_or(0))
    }

    /// It belongs to the present boot.
    pub(crate) fn this_boot(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot)
    }

    /// It is there (a zombie counts as gone).
    pub(crate) fn alive(&self) -> bool {
        self.this_boot()
            && Stat::read(self.pid()).is_ok_and(|stat| stat.start == self.start && !stat.is_dead())
    }

    /// Kills it, if it is still the same process.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Signals it, if it is still the same process. The descriptor pins the process before its identity is looked at,
    /// so the number cannot change hands in between.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.this_boot() || self.pid == 0 {
            return Ok(());
        }
        let pinned = match sys::pidfd_open(self.pid()) {
            Err(e) if e.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(()),
            other => other?,
        };
        if !self.alive() {
            return Ok(());
        }
        match sys::pidfd_signal(&pinned, signal) {
            Err(e) if e.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
            other => other,
        }
    }
}

/// What is needed of `/proc/<pid>/stat`.
struct Stat {
    state: u8,
    parent: i32,
    start: u64,
}

impl Stat {
    fn read(pid: Pid) -> io::Result<Stat> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        let text = String::from_utf8_lossy(&text);
        Stat::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc/…/stat"))
    }

    /// The name comes second, in parentheses, and may itself hold spaces and parentheses.
    fn parse(text: &str) -> Option<Stat> {
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let start = fields.nth(17)?.parse().ok()?; // field 22, counted from 1
        Some(Stat { state, parent, start })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

fn start_ticks(pid: Pid) -> io::Result<u64> {
    Stat::read(pid).map(|stat| stat.start)
}

/// The kernel's id of this boot.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The children of this process, zombies included. All of them are ours to reap: none of the numbers can change hands
/// before we do.
pub(crate) fn children() -> Vec<Pid> {
    let me = Pid::this();
    if let Ok(list) = fs::read_to_string(format!("/proc/{me}/task/{me}/children")) {
        return list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect();
    }
    // A kernel without CONFIG_PROC_CHILDREN.
    let ours = |pid: &Pid| Stat::read(*pid).is_ok_and(|stat| stat.parent == me.as_raw());
    all().into_iter().filter(ours).collect()
}

/// The numbers of all processes.
pub(crate) fn all() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw);
    entries.filter_map(Result::ok).filter_map(number).collect()
}

/// Live processes whose initial environment holds every one of `marks` (`NAME=value`), this process excluded.
pub(crate) fn with_environment(marks: &[String]) -> Vec<ProcId> {
    let holds = |pid: &Pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| {
            marks.iter().all(|mark| env.split(|b| *b == 0).any(|entry| entry == mark.as_bytes()))
        })
    };
    let others = all().into_iter().filter(|pid| *pid != Pid::this());
    others.filter(holds).filter_map(|pid| ProcId::of(pid).ok()).filter(ProcId::alive).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2";
        let stat = Stat::parse(text).expect("parses");
        assert_eq!((stat.state, stat.parent, stat.start), (b'S', 7, 98765));
    }

    #[test]
    fn another_start_time_is_another_process() {
        let mut me = ProcId::of(Pid::this()).expect("proc is mounted");
        assert!(me.alive());
        me.start += 1;
        assert!(!me.alive());
        me.kill().expect("nothing to kill");
        me.start -= 1;
        me.boot = "another".into();
        assert!(!me.alive());
        me.kill().expect("nothing to kill");
    }
}
