//! Allocation folders, made and opened beneath directory handles: a task that puts a link where a folder was, or is to
//! be, leads nobody elsewhere.
//!
//! ```text
//! alloc/<alloc>/alloc/{data,logs,tmp}        shared by the allocation's tasks
//! alloc/<alloc>/<task>/{local,secrets,tmp}   the task's own; secrets is 0700
//! ```

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use encamp_drivers::TaskDirs;
use encamp_model::{AllocId, Name};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::{Mode, fchmod, mkdirat},
    unistd::{Gid, Uid, User, fchown},
};

/// Longest task name that becomes a folder.
const NAME_MAX: usize = 128;

/// The paths of an allocation beneath a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocDirs {
    root: PathBuf,
    alloc: AllocId,
}

impl AllocDirs {
    /// Of this allocation, in the data folder `data`.
    pub fn new(data: &Path, alloc: AllocId) -> Self {
        AllocDirs { root: data.to_owned(), alloc }
    }

    /// `alloc/<alloc>`.
    pub fn path(&self) -> PathBuf {
        self.root.join("alloc").join(self.alloc.to_string())
    }

    /// What the tasks share.
    pub fn shared(&self) -> PathBuf {
        self.path().join("alloc")
    }

    /// A task's own folder.
    pub fn task(&self, task: &str) -> PathBuf {
        self.path().join(task)
    }

    /// What a driver is told.
    pub fn for_driver(&self, task: &str) -> TaskDirs {
        TaskDirs {
            root: self.root.join("alloc"),
            state_dir: self.root.join("tasks").join(self.alloc.to_string()).join(task),
            task_dir: self.task(task),
            log_dir: self.shared().join("logs"),
        }
    }

    /// Makes whatever of a task's folders is missing, and hands those that it may write to `user`.
    pub fn make(&self, task: &Name, user: Option<&str>) -> io::Result<()> {
        if !is_segment(task) {
            let reason = format!("\"{task}\" cannot be a folder's name beside alloc/");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let owner = user.map(owner_of).transpose()?;
        let base = open_dir(&self.root.join("alloc"))?;
        let alloc = sub_dir(&base, &self.alloc.to_string(), 0o755, None)?;
        let shared = sub_dir(&alloc, "alloc", 0o755, None)?;
        sub_dir(&shared, "data", 0o777, None)?;
        sub_dir(&shared, "logs", 0o755, None)?;
        sub_dir(&shared, "tmp", 0o1777, None)?;
        let own = sub_dir(&alloc, task, 0o755, owner)?;
        sub_dir(&own, "local", 0o755, owner)?;
        sub_dir(&own, "secrets", 0o700, owner)?;
        sub_dir(&own, "tmp", 0o1777, owner)?;
        // The driver makes its own folder, but not the one above it.
        let tasks = open_dir(&self.root.join("tasks"))?;
        sub_dir(&tasks, &self.alloc.to_string(), 0o700, None)?;
        Ok(())
    }
}

/// May this be the name of a task's folder?
fn is_segment(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !matches!(name, "." | ".." | "alloc")
        && !name.contains(['/', '\0'])
}

fn owner_of(user: &str) -> io::Result<(Uid, Gid)> {
    let found = match user.parse::<u32>() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid))?,
        Err(_) => User::from_name(user)?,
    };
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no user \"{user}\" on this machine"));
    found.map(|u| (u.uid, u.gid)).ok_or_else(missing)
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?)
}

/// Opens `name` in `parent`, making it first if it is not there. Neither follows a link.
fn sub_dir(parent: &impl AsFd, name: &str, mode: u32, owner: Option<(Uid, Gid)>) -> io::Result<OwnedFd> {
    let made = match mkdirat(parent.as_fd(), name, Mode::from_bits_truncate(0o700)) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(errno.into()),
    };
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let dir = openat(parent.as_fd(), name, flags, Mode::empty())?;
    if made {
        fchmod(dir.as_fd(), Mode::from_bits_truncate(mode))?;
        if let Some((uid, gid)) = owner {
            fchown(dir.as_fd(), Some(uid), Some(gid))?;
        }
    }
    Ok(dir)
}
