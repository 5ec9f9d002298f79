//! A task's kept output: files `<task>.<stream>.<n>` with rising `n`, of which only the last few are kept. Here is how
//! they are named and read; the supervisor writes them.
//!
//! Guarantee: reading follows no link that a task might have put in place of a file. All calls are short but do disk
//! IO: async callers use a blocking thread.

use std::{
    fmt, io,
    os::{fd::OwnedFd, unix::fs::FileExt},
};

use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{SFlag, fstatat};

use crate::{TaskDirs, files};

/// Which output of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`, as in file names and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file of the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogFile {
    /// Its number: rises over all runs of the task.
    pub index: u64,
    /// Bytes now; only the last file still grows.
    pub size: u64,
}

/// Where a reader stands. Stays valid while files are rotated away before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the file.
    pub index: u64,
    /// Bytes into it.
    pub offset: u64,
}

/// What a read gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes; empty at the end of what is there.
    pub bytes: Vec<u8>,
    /// Where they begin: later than asked for when files were rotated away meanwhile.
    pub from: Position,
    /// Where to read on.
    pub next: Position,
}

/// Reads the kept output of one stream of one task.
#[derive(Debug)]
pub struct LogReader {
    dir: OwnedFd,
    prefix: String,
}

impl LogReader {
    /// Opens the log folder of a task; it is an error if it is not there, not if it is empty.
    pub fn open(dirs: &TaskDirs, task: &str, stream: Stream) -> io::Result<LogReader> {
        let dir = files::open_beneath(&dirs.root, &dirs.log_dir)?;
        Ok(LogReader { dir, prefix: prefix(task, stream) })
    }

    /// The files, oldest first.
    pub fn files(&self) -> io::Result<Vec<LogFile>> {
        list(&self.dir, &self.prefix)
    }

    /// Bytes kept.
    pub fn total(&self) -> io::Result<u64> {
        Ok(self.files()?.iter().map(|file| file.size).sum())
    }

    /// The position `offset` bytes after the oldest byte kept, or the end if there are fewer.
    pub fn seek_start(&self, offset: u64) -> io::Result<Position> {
        let mut left = offset;
        let mut at = Position::default();
        for file in self.files()? {
            at = Position { index: file.index, offset: left.min(file.size) };
            if left < file.size {
                break;
            }
            left -= file.size;
        }
        Ok(at)
    }

    /// The position `offset` bytes before the end, or the oldest byte kept if there are fewer.
    pub fn seek_end(&self, offset: u64) -> io::Result<Position> {
        self.seek_start(self.total()?.saturating_sub(offset))
    }

    /// At most `len` bytes from `at` on, of one file; an empty chunk means that there is no more for now. A position
    /// in a file that is gone moves on to the oldest kept.
    pub fn read(&self, at: Position, len: usize) -> io::Result<Chunk> {
        // Listed before read: a file with a successor in this list is complete.
        let files = self.files()?;
        let mut from = at;
        for file in files.iter().filter(|file| file.index >= at.index) {
            if file.index > from.index {
                from = Position { index: file.index, offset: 0 };
            }
            let Some(bytes) = self.read_file(from, len)? else { continue };
            if !bytes.is_empty() {
                let next = Position { index: from.index, offset: from.offset + bytes.len() as u64 };
                return Ok(Chunk { bytes, from, next });
            }
        }
        Ok(Chunk { bytes: Vec::new(), from, next: from })
    }

    /// At most `len` bytes, `offset` bytes after the oldest byte kept, across files.
    pub fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut at = self.seek_start(offset)?;
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let chunk = self.read(at, len - bytes.len())?;
            if chunk.bytes.is_empty() {
                break;
            }
            bytes.extend_from_slice(&chunk.bytes);
            at = chunk.next;
        }
        Ok(bytes)
    }

    /// `None` if the file was rotated away since it was listed.
    fn read_file(&self, at: Position, len: usize) -> io::Result<Option<Vec<u8>>> {
        let name = format!("{}{}", self.prefix, at.index);
        let file = match files::open_plain(&self.dir, &name, OFlag::O_RDONLY) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let left = file.metadata()?.len().saturating_sub(at.offset);
        let mut bytes = vec![0; len.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], at.offset + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(Some(bytes))
    }
}

/// Files of this stream are named so, and then a number.
pub(crate) fn prefix(task: &str, stream: Stream) -> String {
    format!("{task}.{stream}.")
}

/// The plain files named `prefix` and a number, oldest first.
pub(crate) fn list(dir: &OwnedFd, prefix: &str) -> io::Result<Vec<LogFile>> {
    let mut found = Vec::new();
    for name in files::names(dir)? {
        let Some(index) = name.strip_prefix(prefix).and_then(parse_index) else { continue };
        let Ok(stat) = fstatat(dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG {
            found.push(LogFile { index, size: u64::try_from(stat.st_size).unwrap_or(0) });
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Only the form that we write: `7`, not `07` or `+7`; at most nine digits.
fn parse_index(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
