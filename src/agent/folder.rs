//! The data folder: lock, node id, caches, and the drivers' own folders. Allocation folders are in `dirs`.
//!
//! ```text
//! lock  node-id  cluster            who this node is, and whose
//! state/allocs/<alloc>.json         what the core knows of an allocation (written before it is acted upon)
//! state/jobs/<uid>.<version>.json   job texts that allocations here name
//! tasks/<alloc>/<task>/             the driver's records of a task, out of its reach
//! alloc/<alloc>/…                   what the tasks see
//! ```
//! Files are replaced whole (a new file renamed over the old one), so that a crash leaves the old or the new.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use encamp_model::{AllocId, ClusterUid, JobUid, Name, NodeId, job::Job};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{Error, core::AllocState};

/// An opened and locked data folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    lock: Flock<File>,
    identity: (u64, u64),
}

/// What one start of the agent finds of the ones before.
#[derive(Debug, Default)]
pub struct Found {
    /// States that could be read.
    pub states: BTreeMap<AllocId, AllocState>,
    /// States that could not: the tasks whose drivers have records.
    pub unreadable: BTreeMap<AllocId, Vec<Name>>,
    /// Job texts.
    pub texts: BTreeMap<(JobUid, u64), Arc<Job>>,
}

impl Folder {
    /// Makes what is missing and takes the lock, which is held as long as this value lives.
    pub fn open(root: &Path) -> Result<Self, Error> {
        make_dir(root, 0o755)?;
        let root = fs::canonicalize(root).map_err(Error::folder("open", root))?;
        for (name, mode) in [
            ("state", 0o700),
            ("state/allocs", 0o700),
            ("state/jobs", 0o700),
            ("tasks", 0o700),
            ("alloc", 0o711),
        ] {
            make_dir(&root.join(name), mode)?;
        }
        let path = root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::folder("open", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Error::Locked { path: root.clone() },
            other => Error::Folder { what: "lock", path: path.clone(), source: other.into() },
        })?;
        let meta = lock.metadata().map_err(Error::folder("look at", &path))?;
        Ok(Folder { root, identity: (meta.dev(), meta.ino()), lock })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Device and inode of the lock file: a copied folder has others.
    pub fn identity(&self) -> String {
        format!("{}:{}", self.identity.0, self.identity.1)
    }

    /// False once the folder was removed or replaced under us.
    pub fn still_ours(&self) -> bool {
        let held = self.lock.metadata().is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        held && fs::metadata(self.root.join("lock")).is_ok_and(|m| (m.dev(), m.ino()) == self.identity)
    }

    /// This node's id; made at the first start.
    pub fn node_id(&self) -> Result<NodeId, Error> {
        let path = self.root.join("node-id");
        match fs::read_to_string(&path) {
            Ok(text) => text
                .trim()
                .parse()
                .map_err(|_| Error::NodeId { path, found: text.trim().chars().take(64).collect() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = NodeId::random();
                self.replace("node-id", format!("{id}\n").as_bytes(), true)?;
                Ok(id)
            }
            Err(source) => Err(Error::Folder { what: "read", path, source }),
        }
    }

    /// The cluster that this folder's tasks belong to, if it ever registered.
    pub fn cluster(&self) -> Result<Option<ClusterUid>, Error> {
        let path = self.root.join("cluster");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|error| Error::Folder {
                what: "read the cluster's uid from",
                path,
                source: io::Error::new(io::ErrorKind::InvalidData, error),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Folder { what: "read", path, source }),
        }
    }

    /// Remembers the cluster.
    pub fn set_cluster(&self, uid: ClusterUid) -> Result<(), Error> {
        self.replace("cluster", format!("{uid}\n").as_bytes(), true)
    }

    /// Writes an allocation's state. Not synced: a power loss takes the tasks along, too.
    pub fn save_state(&self, alloc: AllocId, state: &AllocState) -> Result<(), Error> {
        let json = serde_json::to_vec(state).expect("states serialise");
        self.replace(&format!("state/allocs/{alloc}.json"), &json, false)
    }

    /// Writes a job text.
    pub fn save_job(&self, uid: JobUid, version: u64, job: &Job) -> Result<(), Error> {
        let json = serde_json::to_vec(job).expect("jobs serialise");
        self.replace(&format!("state/jobs/{uid}.{version}.json"), &json, false)
    }

    /// Removes a job text; it is no error if it is not there.
    pub fn forget_job(&self, uid: JobUid, version: u64) {
        let _ = fs::remove_file(self.root.join(format!("state/jobs/{uid}.{version}.json")));
    }

    /// Removes everything of an allocation, its state last: a crash in between is repeated by the next agent. May
    /// take long; needs a blocking thread.
    pub fn remove_alloc(root: &Path, alloc: AllocId) -> Result<(), Error> {
        for path in [root.join(format!("alloc/{alloc}")), root.join(format!("tasks/{alloc}"))] {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Folder { what: "remove", path, source: error });
                }
                _ => {}
            }
        }
        let path = root.join(format!("state/allocs/{alloc}.json"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Folder { what: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Everything that earlier agents saved.
    pub fn load(&self) -> Result<Found, Error> {
        let mut found = Found::default();
        for (stem, path) in self.json_files("state/allocs")? {
            let Ok(alloc) = stem.parse::<AllocId>() else { continue };
            let read = fs::read(&path).map_err(Error::folder("read", &path))?;
            match serde_json::from_slice(&read) {
                Ok(state) => {
                    found.states.insert(alloc, state);
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "state is damaged; asking the drivers");
                    found.unreadable.insert(alloc, self.task_names(alloc));
                }
            }
        }
        for (stem, path) in self.json_files("state/jobs")? {
            let Some((uid, version)) = stem.split_once('.') else { continue };
            let (Ok(uid), Ok(version)) = (uid.parse(), version.parse()) else { continue };
            let read = fs::read(&path).map_err(Error::folder("read", &path))?;
            match serde_json::from_slice(&read) {
                Ok(job) => {
                    found.texts.insert((uid, version), Arc::new(job));
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "job text is damaged; will be read again");
                }
            }
        }
        Ok(found)
    }

    fn task_names(&self, alloc: AllocId) -> Vec<Name> {
        let entries = fs::read_dir(self.root.join(format!("tasks/{alloc}"))).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().into_string().ok()).map(Name::from).collect()
    }

    fn json_files(&self, name: &str) -> Result<Vec<(String, PathBuf)>, Error> {
        let dir = self.root.join(name);
        let mut files = Vec::new();
        for entry in fs::read_dir(&dir).map_err(Error::folder("list", &dir))? {
            let path = entry.map_err(Error::folder("list", &dir))?.path();
            let stem = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".json"));
            if let Some(stem) = stem.map(str::to_owned) {
                files.push((stem, path));
            }
        }
        Ok(files)
    }

    fn replace(&self, name: &str, bytes: &[u8], sync: bool) -> Result<(), Error> {
        let path = self.root.join(name);
        let fresh = self.root.join(format!("{name}.new"));
        let written = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                if sync { file.sync_all() } else { Ok(()) }
            })
            .and_then(|()| fs::rename(&fresh, &path));
        written.map_err(Error::folder("write", path))
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(Error::folder("make", path))
}
