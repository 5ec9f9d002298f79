//! Supervisors whose state folder was removed. No agent can reach them, nor ever will: a folder that is put back is
//! another one. Their tasks would run beside whatever replaces them, unseen.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::{sys::signal::Signal, unistd::Pid};

use super::MARK;
use crate::proc::{self, ProcId};

/// Asks the supervisors of removed folders beneath `tasks` to stop their tasks; what each of them was, for people.
pub(crate) fn end(tasks: &Path) -> Vec<String> {
    let ended = |pid: Pid| {
        // Its identity first: what is then read of that number is read of it, or it is not signalled.
        let id = ProcId::of(pid).ok()?;
        let folder = supervised_by(pid).filter(|folder| folder.starts_with(tasks))?;
        if !holds_removed(pid, &folder) {
            return None;
        }
        let what = format!("supervisor {pid} of {}", folder.display());
        Some(match id.signal(Signal::SIGTERM) {
            Ok(()) => what,
            Err(e) => format!("{what} (which cannot be signalled: {e})"),
        })
    };
    proc::all().into_iter().filter_map(ended).collect()
}

/// The state folder that a supervisor was given; `None` if that is none.
fn supervised_by(pid: Pid) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).skip(1);
    let marked = words.next()? == MARK.as_bytes();
    let folder = PathBuf::from(std::ffi::OsStr::from_bytes(words.next()?));
    (marked && folder.is_absolute()).then_some(folder)
}

/// The process holds the folder of that path open, and it is no longer anywhere. (One that was moved, or that is in
/// another mount namespace, still is.)
fn holds_removed(pid: Pid, folder: &Path) -> bool {
    let removed = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        let named = link.as_os_str().as_bytes().starts_with(folder.as_os_str().as_bytes());
        let meta = fs::metadata(entry.path()).ok().filter(|_| named)?;
        Some(meta.is_dir() && meta.nlink() == 0)
    };
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(removed).any(|removed| removed)
}
