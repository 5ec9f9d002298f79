//! Adoption: before anything is decided, every driver is asked what became of the runs that were under way.

use std::path::Path;

use encamp_drivers::{Handle, Recovered};
use encamp_model::{AllocId, Name};
use futures::StreamExt as _;

use super::{Shell, duties::Beside};
use crate::{
    core::{Found, Input, RunId},
    dirs::AllocDirs,
};

/// Drivers asked at once.
const ASKED_AT_ONCE: usize = 16;

impl Shell {
    /// Asks about every run that was under way, and takes over what still runs.
    pub(super) async fn recover(&mut self) {
        let tasks = self.shared.root.join("tasks");
        for driver in self.beside.drivers.values() {
            for orphan in driver.end_orphans(&tasks).await {
                tracing::error!(
                    orphan,
                    "a task's folder was removed while it ran: nobody can reach it; stopping it"
                );
            }
        }
        self.reconstruct().await;
        let runs: Vec<_> = {
            let core = self.shared.core();
            let driver = |run: &RunId| {
                let view = core.view(run.alloc)?;
                let task = view.job?.group(&view.record?.group)?.task(&run.task)?.driver.clone();
                Some(task)
            };
            core.under_way().into_iter().map(|run| (driver(&run), run)).collect()
        };
        let root = &self.shared.root;
        let beside = &self.beside;
        let asked = futures::stream::iter(runs).map(|(driver, run)| async move {
            let found = beside.recover(&run, driver.as_deref(), root).await;
            (run, driver, found)
        });
        let answers: Vec<_> = asked.buffer_unordered(ASKED_AT_ONCE).collect().await;
        for (run, driver, found) in answers {
            match found {
                Ok((found, handle)) => self.adopt(run, found, handle),
                Err(error) => {
                    tracing::error!(alloc = %run.alloc, task = %run.task, %error, "not recovered; left alone");
                    let later = self.beside.clone().recover_later(run, driver, self.shared.root.clone());
                    self.beside(later);
                }
            }
        }
    }

    pub(super) fn adopt(&mut self, run: RunId, found: Found, handle: Option<Handle>) {
        tracing::info!(alloc = %run.alloc, task = %run.task, ?found, "recovered");
        self.apply(Input::Recovered(run.clone(), found));
        if let Some(handle) = handle {
            self.handles.insert((run.alloc, run.task.clone()), handle.clone());
            let wait = self.beside.clone().wait(run, handle);
            self.beside(wait);
        }
    }

    /// Allocations whose saved state is damaged: what their drivers tell is enough to keep their tasks, and to start
    /// none a second time.
    async fn reconstruct(&mut self) {
        for (alloc, tasks) in std::mem::take(&mut self.unreadable) {
            for task in tasks {
                if let Some(run) = known_run(&self.beside, &self.shared.root, alloc, task).await {
                    self.shared.core().reconstruct(run);
                }
            }
        }
    }
}

/// The last run of a task that any driver knows of.
async fn known_run(beside: &Beside, root: &Path, alloc: AllocId, task: Name) -> Option<RunId> {
    let dirs = AllocDirs::new(root, alloc).for_driver(&task);
    for driver in beside.drivers.values() {
        match driver.recover(&dirs).await {
            Ok(Recovered::Running(handle)) => return Some(RunId { alloc, task, run: handle.run() }),
            Ok(Recovered::Ended(ended)) => return Some(RunId { alloc, task, run: ended.run }),
            Ok(Recovered::Never) => {}
            Err(error) => tracing::error!(%alloc, %task, %error, "not recovered"),
        }
    }
    None
}
