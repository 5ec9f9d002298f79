//! A cgroup a task, where one can be made: the one thing that holds all of a task's processes, whatever they call.
//! No limits are set here. Version 2 (also beside version 1) and the version 1 freezer, pids, cpu and memory
//! hierarchies serve, the first that can be written.
//!
//! A name says whose it is: the allocation, the task, a hash of the task's state folder (two agents of one machine can
//! have equal ids: tests, a restored etcd), and the supervisor (where a folder was put back from a copy there are two;
//! the older one, killing what is left of its task, must not meet the other's).

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use encamp_model::AllocId;

use crate::files;

/// All our cgroups are in a folder of this name.
const PARENT: &str = "encamp";

/// The cgroup of one task.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// A cgroup for this task, empty; `None` where none can be made. Whatever earlier supervisors of this folder left
    /// in theirs is killed: we hold the task's lock.
    pub(crate) fn create(alloc: AllocId, task: &str, state_dir: &Path) -> Option<Cgroup> {
        Cgroup::sweep(alloc, task, state_dir);
        let name = format!("{}{}", family(alloc, task, state_dir), Pid::this());
        parents().into_iter().find_map(|parent| Cgroup::create_in(&parent, &name))
    }

    /// Kills what is left in all cgroups of this task and folder, and removes those that are empty. For who holds the
    /// task's lock, while nothing of it is to run.
    pub(crate) fn sweep(alloc: AllocId, task: &str, state_dir: &Path) {
        let family = family(alloc, task, state_dir);
        parents().iter().for_each(|parent| clear(parent, &family));
    }

    fn create_in(parent: &Path, name: &str) -> Option<Cgroup> {
        let group = Cgroup { dir: parent.join(name) };
        make_dir(parent).ok()?;
        make_dir(&group.dir).ok()?;
        group.dir.join("cgroup.procs").exists().then_some(group)
    }

    /// The cgroup that a start record names. Only names that we give are believed, lest a damaged record kills.
    pub(crate) fn recorded(dir: &Path, alloc: AllocId, task: &str, state_dir: &Path) -> Option<Cgroup> {
        let name = dir.file_name()?.to_str()?;
        let named = name.strip_prefix(&family(alloc, task, state_dir))?.bytes().all(|b| b.is_ascii_digit());
        let ours = named && dir.parent()?.file_name()? == PARENT;
        ours.then(|| Cgroup { dir: dir.to_owned() })
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its folder, for a process to be born in it.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        files::open_dir(&self.dir)
    }

    /// Puts a process in; its children will be in it too.
    pub(crate) fn add(&self, pid: Pid) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string())
    }

    /// Some process is in it or in a cgroup below.
    pub(crate) fn populated(&self) -> bool {
        match fs::read_to_string(self.dir.join("cgroup.events")) {
            Ok(events) => events.lines().any(|line| line == "populated 1"),
            Err(_) => !processes(&self.dir).is_empty(),
        }
    }

    /// Sends SIGKILL to all that are in it. To be repeated until none is.
    pub(crate) fn kill(&self) {
        // Failures show as a cgroup that stays populated; the caller repeats.
        if fs::write(self.dir.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        // No such file before Linux 5.14 and in version 1: frozen, they cannot fork away from under us.
        let frozen = [("cgroup.freeze", "1", "0"), ("freezer.state", "FROZEN", "THAWED")]
            .into_iter()
            .find(|(file, freeze, _)| fs::write(self.dir.join(file), freeze).is_ok());
        for pid in processes(&self.dir) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if let Some((file, _, thaw)) = frozen {
            let _ = fs::write(self.dir.join(file), thaw);
        }
    }

    /// Removes it, empty as it must be. One that cannot be removed now is found empty by the next run.
    pub(crate) fn remove(&self) {
        remove_tree(&self.dir);
    }
}

/// What the names of all cgroups of one task begin with; the supervisor's number follows.
fn family(alloc: AllocId, task: &str, state_dir: &Path) -> String {
    format!("{alloc}-{task}-{:016x}.", encamp_model::digest::hash(&state_dir.as_os_str().as_bytes()))
}

/// Kills what is in the cgroups of this family, and removes those that are empty.
fn clear(parent: &Path, family: &str) {
    for dir in subfolders(parent) {
        if dir.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(family)) {
            let group = Cgroup { dir };
            if group.populated() {
                group.kill();
            }
            // What is not empty yet is met by the next sweep: at the end of a run, and before one.
            group.remove();
        }
    }
}

/// Folders under which a task's cgroup may be made, best first: at the top of the hierarchy, else below our own.
fn parents() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut found = hierarchies(&mounts, &own);
    found.sort_by_key(|(rank, _)| *rank);
    let both = |(_, (mount, own)): (usize, (PathBuf, PathBuf))| [mount.join(PARENT), own.join(PARENT)];
    found.into_iter().flat_map(both).collect()
}

/// Rank, mount point and our own folder of every hierarchy that serves.
fn hierarchies(mounts: &str, own: &str) -> Vec<(usize, (PathBuf, PathBuf))> {
    const V1: [&str; 4] = ["freezer", "pids", "cpu", "memory"];
    let mut found = Vec::new();
    for line in mounts.lines() {
        // … mount point (5th), …, "-", type, source, superblock options
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
        let controller = V1.iter().position(|name| options.split(',').any(|option| option == *name));
        let (rank, controller) = match (kind, controller) {
            ("cgroup2", _) => (0, ""),
            ("cgroup", Some(at)) => (at + 1, V1[at]),
            _ => continue,
        };
        let below = own_path(own, controller).trim_start_matches('/');
        found.push((rank, (PathBuf::from(point), Path::new(point).join(below))));
    }
    found
}

/// Our own cgroup in the hierarchy of `controller` (version 2: the empty name).
fn own_path<'a>(own: &'a str, controller: &str) -> &'a str {
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        names.split(',').any(|name| name == controller).then_some(path)
    });
    path.unwrap_or("/")
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn processes(dir: &Path) -> Vec<Pid> {
    let list = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let own = list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw);
    own.chain(subfolders(dir).iter().flat_map(|sub| processes(sub))).collect()
}

fn remove_tree(dir: &Path) {
    for sub in subfolders(dir) {
        remove_tree(&sub);
    }
    let _ = fs::remove_dir(dir);
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let folders = entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
35 30 0:31 / /sys/fs/cgroup/freezer rw,nosuid - cgroup cgroup rw,freezer
36 30 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
37 30 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices";
    const OWN: &str = "12:freezer:/\n4:cpu,cpuacct:/system.slice/agent\n0::/system.slice/agent.service";

    #[test]
    fn hierarchies_are_found_with_our_own_place_in_each() {
        let pair = |point: &str, own: &str| (PathBuf::from(point), PathBuf::from(own));
        let expect = vec![
            (0, pair("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/system.slice/agent.service")),
            (1, pair("/sys/fs/cgroup/freezer", "/sys/fs/cgroup/freezer/")),
            (3, pair("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/system.slice/agent")),
        ];
        assert_eq!(hierarchies(MOUNTS, OWN), expect);
    }

    #[test]
    fn only_a_cgroup_of_that_very_task_and_folder_is_believed() {
        let alloc = AllocId::from_bits(7);
        let folder = Path::new("/data/tasks/a/web");
        let parent = "/sys/fs/cgroup/unified/encamp";
        let believed =
            |dir: &str| Cgroup::recorded(Path::new(dir), alloc, "web", folder).map(|group| group.dir);
        let good = format!("{parent}/{}12", family(alloc, "web", folder));
        assert_eq!(believed(&good), Some(PathBuf::from(&good)));
        let elsewhere = format!("{parent}/{}12", family(alloc, "web", Path::new("/copy/tasks/a/web")));
        let longer = format!("{good}/sub");
        let strange = format!("{good}x");
        let bad = ["/sys/fs/cgroup/unified", "/tmp/encamp/x", &elsewhere, &longer, &strange, "/", ""];
        for bad in bad {
            assert_eq!(believed(bad), None, "{bad}");
        }
    }

    /// In every hierarchy of this machine that we may write to: version 2 and version 1 are killed differently.
    #[test]
    fn what_is_in_a_cgroup_is_killed_and_the_cgroup_removed() {
        for (at, parent) in parents().into_iter().enumerate() {
            let name = format!("{}-test", AllocId::random());
            let Some(group) = Cgroup::create_in(&parent, &name) else { continue };
            let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("starts");
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
            if group.add(pid).is_err() {
                child.kill().expect("is ours");
            } else {
                assert!(group.populated(), "{at}: {group:?}");
                group.kill();
            }
            child.wait().expect("is ours");
            assert!(!group.populated(), "{at}: {group:?}");
            group.remove();
            assert!(!group.dir().exists(), "{at}: {group:?}");
        }
    }
}
