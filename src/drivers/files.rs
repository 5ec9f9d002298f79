//! Folders as handles, and files beneath them. A task may own folders on the way to its logs, so a path is never
//! followed through a link, and a file that is not a plain one of a single name is not touched.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

use nix::{
    dir::Dir,
    fcntl::{self, OFlag},
    sys::stat::{self, Mode, SFlag},
    unistd,
};

/// Opens a folder by a path that only we can have written.
pub(crate) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(fcntl::open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens the folder `path`, which lies beneath `root`, step by step and following no link below `root`.
pub(crate) fn open_beneath(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let rest = path.strip_prefix(root).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("is not beneath {}", root.display()))
    })?;
    let mut dir = open_dir(root)?;
    for part in rest.components() {
        let Component::Normal(name) = part else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "holds `..`"));
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        dir = fcntl::openat(&dir, name, flags, Mode::empty())?;
    }
    Ok(dir)
}

/// Opens the plain file `name` in `dir`: no link, no pipe or device (which could block), no second name of a file
/// that is elsewhere.
pub(crate) fn open_plain(dir: impl AsFd, name: &str, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(fcntl::openat(dir, name, flags, Mode::from_bits_truncate(0o644))?);
    let stat = stat::fstat(&file)?;
    let plain = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if plain && stat.st_nlink <= 1 {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a plain file of one name"))
}

/// Names in a folder, in no order.
pub(crate) fn names(dir: impl AsFd) -> io::Result<Vec<String>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(dir, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        if let Ok(name) = entry?.file_name().to_str() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Replaces `name` by a file with these bytes: whole or not at all, also through a power cut. `scratch` is the name it
/// has until then; space that was reserved under it is used.
pub(crate) fn replace(dir: impl AsFd, name: &str, scratch: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(fcntl::openat(&dir, scratch, flags, Mode::from_bits_truncate(0o600))?);
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()?;
    fcntl::renameat(&dir, scratch, &dir, name)?;
    Ok(unistd::fsync(&dir)?)
}

/// Reserves `bytes` of disk under `scratch` for a later [`replace`], so that a disk filled meanwhile cannot fail it.
pub(crate) fn reserve(dir: impl AsFd, scratch: &str, bytes: i64) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = fcntl::openat(dir, scratch, flags, Mode::from_bits_truncate(0o600))?;
    match fcntl::fallocate(&file, fcntl::FallocateFlags::empty(), 0, bytes) {
        Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// The bytes of a small file of ours; `None` if it is not there.
pub(crate) fn read_small(dir: impl AsFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    const MOST: u64 = 64 << 10;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = match fcntl::openat(dir, name, flags, Mode::empty()) {
        Err(nix::errno::Errno::ENOENT) => return Ok(None),
        other => File::from(other?),
    };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
