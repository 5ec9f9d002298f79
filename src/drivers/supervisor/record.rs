//! The state folder of a task and the two records in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use encamp_model::{AllocId, Name, Timestamp};
use nix::{
    sys::stat::fstat,
    unistd::{Uid, UnlinkatFlags, unlinkat},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Ended, Error, files, proc::ProcId};

const START: &str = "start.json";
const START_SCRATCH: &str = "start.tmp";
const EXIT: &str = "exit.json";
const EXIT_SCRATCH: &str = "exit.reserved";
const EXIT_MOST: i64 = 4096;
const SOCKET: &str = "socket";

/// `start.json`: a task's program is about to be, or was, executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartRecord {
    /// Its main process: the identity of this start.
    pub(crate) id: ProcId,
    /// Its supervisor.
    pub(crate) supervisor: ProcId,
    /// See [`crate::TaskSpec::run`].
    pub(crate) run: u64,
    /// When.
    pub(crate) started: Timestamp,
    /// The allocation.
    pub(crate) alloc: AllocId,
    /// The task.
    pub(crate) task: Name,
    /// The cgroup that holds all its processes.
    pub(crate) cgroup: Option<PathBuf>,
    /// Entries of its environment that no other task has, by which leftovers can be found.
    #[serde(default)]
    pub(crate) marks: Vec<String>,
    /// The state folder that it was written to: another one is a copy, and what runs is not its own.
    pub(crate) folder: PathBuf,
}

/// `exit.json`: how the start `id` ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) id: ProcId,
    #[serde(flatten)]
    pub(crate) ended: Ended,
}

/// A task's state folder, held open.
#[derive(Debug)]
pub(crate) struct StateDir {
    dir: OwnedFd,
    path: PathBuf,
}

impl StateDir {
    /// The folder, if it is there.
    pub(crate) fn open(path: &Path) -> Result<Option<StateDir>, Error> {
        match files::open_dir(path) {
            Ok(dir) => Ok(Some(StateDir { dir, path: path.to_owned() })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("open", path)(e)),
        }
    }

    /// The folder, made if need be. One that others may enter is refused: who can reach the socket's folder could put
    /// a socket of their own there.
    pub(crate) fn create(path: &Path) -> Result<StateDir, Error> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io("create", path)(e)),
            _ => {}
        }
        let meta = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
        if !meta.is_dir() || meta.uid() != Uid::effective().as_raw() || meta.permissions().mode() & 0o077 != 0
        {
            let reason = "is not a folder of ours with mode 0700".to_owned();
            return Err(Error::Damaged { path: path.to_owned(), reason });
        }
        StateDir::open(path)?.ok_or_else(|| Error::io("open", path)(io::ErrorKind::NotFound.into()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It was removed while it was held: nothing can be written to it any more, and nobody can look for it.
    pub(crate) fn removed(&self) -> bool {
        fstat(&self.dir).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Takes the lock that a supervisor holds while it lives; `None` if one does. Dropping the file lets go.
    pub(crate) fn try_lock(&self) -> Result<Option<File>, Error> {
        let path = self.path.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(Error::io("lock", path)(e)),
        }
    }

    /// A fresh `supervisor.log`.
    pub(crate) fn log(&self) -> Result<File, Error> {
        let path = self.path.join("supervisor.log");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).map_err(Error::io("open", path))
    }

    /// The socket under a name short enough for any folder. Valid while this is held.
    pub(crate) fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.dir.as_raw_fd()))
    }

    /// Removes the socket of a supervisor that is no more.
    pub(crate) fn remove_socket(&self) {
        // Not there is as good; what else could fail shows when the next one binds.
        let _ = unlinkat(self.dir.as_fd(), SOCKET, UnlinkatFlags::NoRemoveDir);
    }

    /// The last start.
    pub(crate) fn start(&self) -> Result<Option<StartRecord>, Error> {
        self.read(START)
    }

    /// How the start `id` ended, if it is written down.
    pub(crate) fn exit_of(&self, id: &ProcId) -> Result<Option<Ended>, Error> {
        let record: Option<ExitRecord> = self.read(EXIT)?;
        Ok(record.filter(|record| record.id == *id).map(|record| record.ended))
    }

    /// Writes down a start, and keeps room on the disk for its end.
    pub(crate) fn write_start(&self, record: &StartRecord) -> io::Result<()> {
        files::reserve(&self.dir, EXIT_SCRATCH, EXIT_MOST)?;
        files::replace(&self.dir, START, START_SCRATCH, &serde_json::to_vec(record)?)
    }

    /// Writes down an end.
    pub(crate) fn write_exit(&self, record: &ExitRecord) -> io::Result<()> {
        files::replace(&self.dir, EXIT, EXIT_SCRATCH, &serde_json::to_vec(record)?)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.path.join(name);
        let Some(bytes) = files::read_small(&self.dir, name).map_err(Error::io("read", &path))? else {
            return Ok(None);
        };
        let damaged = |e: serde_json::Error| Error::Damaged { path, reason: e.to_string() };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }
}
