//! From a task's pipe to rotated files. The task is never held up: what cannot be stored is dropped and counted.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::{UnlinkatFlags, unlinkat},
};

use crate::{
    LogLimits, files,
    logs::{self, LogFile, Stream},
};

/// How often a name that is taken by something else is passed over.
const MOST_TRIES: u64 = 16;

/// One stream of a task on its way to disk.
pub(crate) struct Output {
    /// The reading end; `None` once nobody can write to it any more.
    pipe: Option<File>,
    files: Rotation,
    buffer: Vec<u8>,
}

impl Output {
    /// Reads from `pipe`, which must not block, and goes on where the files of earlier runs end.
    pub(crate) fn new(pipe: OwnedFd, files: Rotation) -> Output {
        Output { pipe: Some(File::from(pipe)), files, buffer: vec![0; 64 << 10] }
    }

    /// What to poll for reading.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Bytes that could not be stored.
    pub(crate) fn dropped(&self) -> u64 {
        self.files.dropped
    }

    /// Moves one bufferful; how many bytes that was (0: nothing there now, or the end).
    pub(crate) fn turn(&mut self) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        match pipe.read(&mut self.buffer) {
            Ok(0) => self.pipe = None,
            Ok(n) => {
                self.files.append(&self.buffer[..n]);
                return n;
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.pipe = None,
        }
        0
    }

    /// Moves what is in the pipe, and no more: once the task's processes are gone that is all of theirs, and a
    /// stranger who was handed the other end cannot keep us here.
    pub(crate) fn drain(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let capacity = fcntl(pipe, FcntlArg::F_GETPIPE_SZ).map_or(1 << 20, i32::unsigned_abs);
        let mut left = capacity as usize;
        while left > 0 {
            match self.turn() {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
    }
}

/// The files of one stream: appends to the newest, starts the next when it is full, removes those too old.
pub(crate) struct Rotation {
    dir: Rc<OwnedFd>,
    prefix: String,
    limits: LogLimits,
    /// The newest file, if it could be opened.
    file: Option<File>,
    newest: LogFile,
    dropped: u64,
}

impl Rotation {
    /// Goes on with the newest file that is there.
    pub(crate) fn new(
        dir: Rc<OwnedFd>,
        task: &str,
        stream: Stream,
        limits: LogLimits,
    ) -> io::Result<Rotation> {
        let prefix = logs::prefix(task, stream);
        let limits =
            LogLimits { max_files: limits.max_files.max(1), max_file_bytes: limits.max_file_bytes.max(1) };
        let last = logs::list(&dir, &prefix)?.pop();
        let newest = last.unwrap_or(LogFile { index: 0, size: 0 });
        let mut rotation = Rotation { dir, prefix, limits, file: None, newest, dropped: 0 };
        if newest.size < limits.max_file_bytes {
            rotation.file = rotation.open(newest.index, last.is_none()).ok();
        }
        rotation.prune();
        Ok(rotation)
    }

    fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.append_some(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Disk full, quota, a file system gone read-only: try again with the next bufferful.
                Err(_) => {
                    self.dropped = self.dropped.saturating_add(bytes.len() as u64);
                    return;
                }
            }
        }
    }

    fn append_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() || self.newest.size >= self.limits.max_file_bytes {
            self.next_file()?;
        }
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let room = self.limits.max_file_bytes - self.newest.size;
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let written = file.write(&bytes[..fits])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.newest.size += written as u64;
        Ok(written)
    }

    fn next_file(&mut self) -> io::Result<()> {
        // A first file that could not be made may be tried again under its own number.
        let first = if self.file.is_none() && self.newest.size == 0 { 0 } else { 1 };
        let mut refused = io::ErrorKind::AlreadyExists.into();
        for step in first..first + MOST_TRIES {
            let index = self.newest.index + step;
            match self.open(index, true) {
                Ok(file) => {
                    self.file = Some(file);
                    self.newest = LogFile { index, size: 0 };
                    self.prune();
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => refused = e,
                Err(e) => return Err(e),
            }
        }
        Err(refused)
    }

    fn open(&self, index: u64, new: bool) -> io::Result<File> {
        let how = if new { OFlag::O_CREAT | OFlag::O_EXCL } else { OFlag::empty() };
        let name = format!("{}{index}", self.prefix);
        files::open_plain(self.dir.as_fd(), &name, OFlag::O_WRONLY | OFlag::O_APPEND | how)
    }

    fn prune(&self) {
        let Ok(files) = logs::list(&self.dir, &self.prefix) else { return };
        let kept = u64::from(self.limits.max_files);
        for old in files.iter().filter(|file| file.index + kept <= self.newest.index) {
            // What cannot be removed now is tried again at the next rotation.
            let name = format!("{}{}", self.prefix, old.index);
            let _ = unlinkat(self.dir.as_fd(), name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pipe = self.pipe.as_ref().map(AsRawFd::as_raw_fd);
        f.debug_struct("Output")
            .field("pipe", &pipe)
            .field("newest", &self.files.newest)
            .finish_non_exhaustive()
    }
}
