//! From an allocation's task to what its driver is told.

use std::{collections::BTreeMap, path::Path};

use encamp_drivers::{LogLimits, TaskSpec};
use encamp_model::{job::LogConfig, records::NodeInfo};

use crate::{
    core::{RunId, StartFailure, View, kill_settings},
    dirs::AllocDirs,
    env,
};

/// A spec, and the driver it is for.
pub(crate) struct Launch {
    pub(crate) driver: String,
    pub(crate) dirs: AllocDirs,
    pub(crate) spec: TaskSpec,
}

/// What to start, all decided and interpolated.
pub(crate) fn launch(
    run: &RunId,
    view: &View,
    deadline_ns: Option<u64>,
    node: &NodeInfo,
    host: &BTreeMap<String, String>,
    root: &Path,
) -> Result<Launch, StartFailure> {
    let missing = || StartFailure::Retry(format!("the job's text has no task \"{}\" (any more)", run.task));
    let (Some(record), Some(job)) = (&view.record, &view.job) else { return Err(missing()) };
    let group = job.group(&record.group).ok_or_else(missing)?;
    let task = group.task(&run.task).ok_or_else(missing)?;
    let dirs = AllocDirs::new(root, run.alloc);
    let task_dir = dirs.task(&run.task);
    let inputs = env::Inputs {
        alloc: run.alloc,
        record,
        job,
        group,
        task,
        node,
        alloc_dir: &dirs.shared(),
        task_dir: &task_dir,
        secrets_dir: &task_dir.join("secrets"),
        host,
    };
    let env = env::build(&inputs);
    let scope = env::scope(&inputs, &env);
    let config = task.config.iter().map(|(key, value)| (key.clone(), scope.value(value))).collect();
    let (kill_signal, kill_timeout) = kill_settings(Some(task));
    let spec = TaskSpec {
        alloc: run.alloc,
        task: run.task.clone(),
        config,
        user: task.user.clone().filter(|user| !user.is_empty()),
        dirs: dirs.for_driver(&run.task),
        logs: log_limits(task.log_config.as_ref()),
        resources: env::limits(task),
        kill_signal,
        kill_timeout,
        start_deadline_ns: deadline_ns,
        run: run.run,
        env,
    };
    Ok(Launch { driver: task.driver.clone(), dirs, spec })
}

fn log_limits(config: Option<&LogConfig>) -> LogLimits {
    let usual = LogLimits::default();
    let files = config.and_then(|c| c.max_files).and_then(|n| u32::try_from(n).ok());
    let size_mb = config.and_then(|c| c.max_file_size_mb).and_then(|n| u64::try_from(n).ok());
    LogLimits {
        max_files: files.unwrap_or(usual.max_files).max(1),
        max_file_bytes: size_mb.map_or(usual.max_file_bytes, |mb| mb.saturating_mul(1 << 20)).max(1),
    }
}
