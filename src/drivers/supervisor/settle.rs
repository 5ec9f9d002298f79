//! What became of a start whose supervisor is gone, found out from disk, with the task's lock held: its recorded end,
//! or else "lost", after everything it left behind has been killed.

use std::{fs::File, io, thread, time::Duration};

use super::{
    contain::Cgroup,
    record::{ExitRecord, StartRecord, StateDir},
};
use crate::{Ended, Error, Exit, clock, proc};

/// How long killed leftovers may take to go, milliseconds.
const LEFTOVERS_MS: u64 = 10_000;
/// How often that is looked at.
const EVERY: Duration = Duration::from_millis(5);

/// The last start and its end; `None` if there never was a start. Holding the lock (`_held`) proves that no supervisor
/// lives. Blocks while leftovers die.
pub(crate) fn conclude(state: &StateDir, _held: &File) -> Result<Option<(StartRecord, Ended)>, Error> {
    let Some(start) = state.start()? else { return Ok(None) };
    if let Some(ended) = state.exit_of(&start.id)? {
        // A supervisor that was killed between its last two acts left it.
        if start.cgroup.as_ref().is_some_and(|dir| dir.exists()) {
            Cgroup::sweep(start.alloc, &start.task, state.path());
        }
        return Ok(Some((start, ended)));
    }
    // The machine was restarted since: nothing can be left.
    if start.id.this_boot() {
        kill_leftovers(state, &start)?;
    }
    let ended = lost(&start);
    // Written down, so that asking again gives the same instant.
    let record = ExitRecord { id: start.id.clone(), ended: ended.clone() };
    state.write_exit(&record).map_err(Error::io("write the end to", state.path()))?;
    Ok(Some((start, ended)))
}

/// The end of a run whose supervisor is gone, and with it a folder to ask.
pub(crate) fn removed(state: &StateDir, start: &StartRecord) -> Result<Option<Ended>, Error> {
    if start.supervisor.alive() {
        return Ok(None);
    }
    kill_leftovers(state, start)?;
    Ok(Some(lost(start)))
}

fn lost(start: &StartRecord) -> Ended {
    Ended {
        run: start.run,
        exit: Exit::SupervisorLost,
        when: clock::wall(),
        started: start.started,
        log_bytes_dropped: 0,
    }
}

/// A copy of a folder names processes of the original, which are alive and none of its business. Where the copy lies
/// in the original's place, there is no original: its supervisor is one that nobody can reach any more.
fn ours_to_kill(state: &StateDir, start: &StartRecord) -> Result<bool, Error> {
    let original = start.folder == state.path() || !start.folder.exists();
    if original || !start.supervisor.alive() {
        return Ok(original);
    }
    let reason = format!(
        "this is a copy of {}, whose supervisor {} is alive: its task is left alone",
        start.folder.display(),
        start.supervisor.pid
    );
    Err(Error::Damaged { path: state.path().to_owned(), reason })
}

fn kill_leftovers(state: &StateDir, start: &StartRecord) -> Result<(), Error> {
    if !ours_to_kill(state, start)? {
        return Ok(());
    }
    let recorded = |dir| Cgroup::recorded(dir, start.alloc, &start.task, &start.folder);
    let cgroup = start.cgroup.as_deref().and_then(recorded);
    let began = clock::monotonic_ms();
    loop {
        if !kill_once(start, cgroup.as_ref()).map_err(Error::io("kill leftovers of", state.path()))? {
            break;
        }
        let waited_ms = clock::monotonic_ms() - began;
        if waited_ms > LEFTOVERS_MS {
            return Err(Error::StopTimeout { state_dir: state.path().to_owned(), waited_ms });
        }
        thread::sleep(EVERY);
    }
    if cgroup.is_some() {
        Cgroup::sweep(start.alloc, &start.task, &start.folder);
    }
    Ok(())
}

/// Sends SIGKILL to all that is left; whether there was something.
fn kill_once(start: &StartRecord, cgroup: Option<&Cgroup>) -> io::Result<bool> {
    let mut found = false;
    if let Some(cgroup) = cgroup.filter(|cgroup| cgroup.populated()) {
        cgroup.kill();
        found = true;
    }
    for process in [&start.id, &start.supervisor] {
        if process.alive() {
            process.kill()?;
            found = true;
        }
    }
    // Whoever left the cgroup, or never was in one, still carries the marks of its allocation and task.
    if !start.marks.is_empty() {
        for left in proc::with_environment(&start.marks) {
            left.kill()?;
            found = true;
        }
    }
    Ok(found)
}
