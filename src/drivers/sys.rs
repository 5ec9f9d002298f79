//! The only unsafe code of the crate: calls that nix has no safe form for. Each is as small as it can be.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use nix::{
    libc,
    unistd::{ForkResult, Pid},
};

/// Forks. Only the supervisor does, which checks first that it has one thread: then the child may do all that the
/// parent may, allocation included.
pub(crate) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the process has a single thread (checked by the caller), so no lock can be held by a thread that the
    // child lacks.
    unsafe { nix::unistd::fork() }
}

/// libc's constant of this name is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Forks as [`fork`] does, the child being born in the (version 2) cgroup whose folder `cgroup` is. Moving it there
/// afterwards would take a lock that the kernel waits some 10 ms for.
pub(crate) fn fork_into(cgroup: &OwnedFd) -> io::Result<ForkResult> {
    let args = libc::clone_args {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: u64::from(cgroup.as_raw_fd().unsigned_abs()),
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
    };
    // SAFETY: without CLONE_VM and a stack of its own the child is a copy, as by fork(2), and the process has a single
    // thread (checked by the caller). libc does not hear of it: its record of the thread id is stale in the child,
    // which matters to locks shared between threads or processes; the child uses none before exec.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match i32::try_from(pid) {
        Ok(0) => Ok(ForkResult::Child),
        Ok(pid) if pid > 0 => Ok(ForkResult::Parent { child: Pid::from_raw(pid) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process at once: no exit handlers, no unwinding. For the child between fork and exec.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// What [`reap`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This child had exited with this code.
    Exited(Pid, i32),
    /// This child had been killed by this signal, which may be one that nix has no name for.
    Killed(Pid, i32),
    /// All children live.
    Nothing,
    /// There is no child at all.
    NoChild,
}

/// Takes one ended child off the kernel's list, without waiting. (nix's form fails on real-time signals, when the
/// child is gone already.)
pub(crate) fn reap() -> Reaped {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a live integer.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        match pid {
            0 => return Reaped::Nothing,
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Reaped::NoChild,
            pid if libc::WIFEXITED(status) => {
                return Reaped::Exited(Pid::from_raw(pid), libc::WEXITSTATUS(status));
            }
            pid if libc::WIFSIGNALED(status) => {
                return Reaped::Killed(Pid::from_raw(pid), libc::WTERMSIG(status));
            }
            _ => {}
        }
    }
}

/// Gives every signal its default disposition, as a new program expects it. By the raw call: libc's own keeps the two
/// signals that it uses itself from us, and they too can come ignored from whoever started the agent.
pub(crate) fn default_signals() {
    // All zeros are SIG_DFL, no flags, an empty mask, in whatever order an architecture has them.
    let default = [0_u64; 8];
    for signal in 1..=64 {
        let none = std::ptr::null_mut::<u64>();
        // SAFETY: larger than the kernel's structure, installs no code of ours, and the old one is not asked for.
        // Refused for SIGKILL and SIGSTOP: no harm.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8_usize) };
    }
}

/// Ignores `signal` in this process.
pub(crate) fn ignore_signal(signal: nix::sys::signal::Signal) {
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { libc::signal(signal as libc::c_int, libc::SIG_IGN) };
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) {
    close_range(first, 0);
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn cloexec_from(first: u32) {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC);
}

fn close_range(first: u32, flags: libc::c_uint) {
    // SAFETY: called where nothing of ours is open in the range (supervisor's first act), or right before exec, when
    // closing is all that may happen to what is open.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    if done == 0 {
        return;
    }
    // Linux before 5.9 (5.11 for the flag) has no such call: go through the numbers that can be open.
    let last =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(1024, |l| l.0);
    for fd in first..u32::try_from(last).unwrap_or(1 << 20) {
        let fd = fd as libc::c_int;
        // SAFETY: as above; a number that is not open gives EBADF.
        unsafe {
            if flags == 0 {
                libc::close(fd)
            } else {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC)
            };
        }
    }
}

/// A descriptor that stands for the process `pid`, whatever becomes of the number.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers in, a new descriptor or -1 out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    match libc::c_int::try_from(fd) {
        // SAFETY: the kernel has just made it for us; nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to the process that `pidfd` stands for.
pub(crate) fn pidfd_signal(pidfd: &OwnedFd, signal: nix::sys::signal::Signal) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo means "as kill(2) would fill it".
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as libc::c_int, no_info, 0)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
