//! Tasks, their resources, networks and restarts.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::job::{LogConfig, Network, Port, Resources, RestartPolicy, Task};

use super::{Check, names};
use crate::diag::{did_you_mean, quoted};

/// Most memory or disk, in MB: 16 TiB.
pub(super) const MAX_MB: i64 = 16 << 20;

/// Least memory of a task, in MB.
const MIN_MEMORY: i64 = 10;

/// Most MHz of a task.
const MAX_CPU: i64 = 10_000_000;

/// Most ports of one kind in a network.
const MAX_PORTS: usize = 1_000;

/// Signals a task may ask to be stopped with.
const SIGNALS: [&str; 31] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGKILL",
    "SIGPIPE",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// Static ports of a group and its tasks, which share a host.
#[derive(Default)]
pub(super) struct Ports {
    taken: BTreeMap<i64, String>,
}

impl Check<'_> {
    pub(super) fn task(&mut self, path: &str, task: &Task, ports: &mut Ports) {
        self.driver(&format!("{path}.Driver"), &task.driver);
        if let Some(user) = &task.user
            && user.contains(['\0', ':', '\n'])
        {
            self.error(&format!("{path}.User"), format!("{} is no user", quoted(user)), None);
        }
        self.env(&format!("{path}.Env"), &task.env);
        self.meta(&format!("{path}.Meta"), &task.meta);
        self.conditions(&format!("{path}.Constraints"), &task.constraints);
        self.restart(&format!("{path}.RestartPolicy"), task.restart_policy.as_ref());
        self.span(&format!("{path}.KillTimeout"), "kill_timeout", task.kill_timeout);
        if let Some(signal) = &task.kill_signal
            && !SIGNALS.contains(&signal.as_str())
        {
            let help = did_you_mean(signal, SIGNALS)
                .or_else(|| did_you_mean(&format!("SIG{}", signal.to_ascii_uppercase()), SIGNALS));
            let message = format!("there is no signal {}", quoted(signal));
            self.error(&format!("{path}.KillSignal"), message, help);
        }
        if let Some(resources) = &task.resources {
            self.resources(&format!("{path}.Resources"), resources, ports);
        }
        if let Some(logs) = &task.log_config {
            self.logs(&format!("{path}.LogConfig"), logs);
        }
    }

    fn driver(&mut self, path: &str, driver: &str) {
        if driver.is_empty() {
            return self.missing(path, "a task needs a driver");
        }
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        if driver.len() > 64 || !driver.chars().all(is_name) {
            let help = Some("a driver is a word like raw_exec or docker".to_owned());
            self.error(path, format!("{} is no name of a driver", quoted(driver)), help);
        }
    }

    fn resources(&mut self, path: &str, resources: &Resources, ports: &mut Ports) {
        self.within("resources".to_owned(), |check| {
            // 0 is what old clients send for "not given".
            check.bounds(&format!("{path}.CPU"), "cpu", resources.cpu, 0, MAX_CPU);
            let memory = resources.memory_mb.filter(|n| *n != 0);
            check.bounds(&format!("{path}.MemoryMB"), "memory", memory, MIN_MEMORY, MAX_MB);
            check.bounds(&format!("{path}.DiskMB"), "disk", resources.disk_mb, 0, MAX_MB);
            check.networks(&format!("{path}.Networks"), &resources.networks, ports);
        });
    }

    fn logs(&mut self, path: &str, logs: &LogConfig) {
        self.within("logs".to_owned(), |check| {
            check.bounds(&format!("{path}.MaxFiles"), "max_files", logs.max_files, 0, 1_000);
            check.bounds(&format!("{path}.MaxFileSizeMB"), "max_file_size", logs.max_file_size_mb, 0, MAX_MB);
        });
    }

    pub(super) fn restart(&mut self, path: &str, restart: Option<&RestartPolicy>) {
        let Some(restart) = restart else { return };
        self.within("restart".to_owned(), |check| {
            check.bounds(&format!("{path}.Attempts"), "attempts", restart.attempts, 0, i64::from(i32::MAX));
            check.span(&format!("{path}.Interval"), "interval", restart.interval);
            check.span(&format!("{path}.Delay"), "delay", restart.delay);
            if let Some(mode) = restart.mode.as_deref()
                && !matches!(mode, "delay" | "fail")
            {
                let help =
                    did_you_mean(mode, ["delay", "fail"]).or_else(|| Some("write delay or fail".to_owned()));
                check.error(
                    &format!("{path}.Mode"),
                    format!("there is no restart mode {}", quoted(mode)),
                    help,
                );
            }
        });
    }

    pub(super) fn networks(&mut self, path: &str, networks: &[Network], ports: &mut Ports) {
        for (i, network) in networks.iter().enumerate() {
            let path = format!("{path}[{i}]");
            self.within("network".to_owned(), |check| check.network(&path, network, ports));
        }
    }

    fn network(&mut self, path: &str, network: &Network, ports: &mut Ports) {
        match network.mode.as_str() {
            "" | "host" => {}
            mode => {
                let help = did_you_mean(mode, ["host"]);
                let message = format!(
                    "network mode {} is not served yet: tasks share the host's network for now",
                    quoted(mode)
                );
                self.error(&format!("{path}.Mode"), message, help);
            }
        }
        self.bounds(&format!("{path}.MBits"), "mbits", network.mbits, 0, i64::from(i32::MAX));
        let mut labels = BTreeSet::new();
        for (kind, list) in
            [("ReservedPorts", &network.reserved_ports), ("DynamicPorts", &network.dynamic_ports)]
        {
            if list.len() > MAX_PORTS {
                let message = format!("{} ports are too many: at most {MAX_PORTS}", list.len());
                self.error(&format!("{path}.{kind}"), message, None);
                continue;
            }
            for (i, port) in list.iter().enumerate() {
                let path = format!("{path}.{kind}[{i}]");
                let is_static = kind == "ReservedPorts";
                self.within(format!("port {}", quoted(&port.label)), |check| {
                    if !port.label.is_empty() && !labels.insert(port.label.as_str()) {
                        let message = format!("there are two ports called {}", quoted(&port.label));
                        check.error(&format!("{path}.Label"), message, None);
                    }
                    check.port(&path, port, is_static, ports);
                });
            }
        }
    }

    fn port(&mut self, path: &str, port: &Port, is_static: bool, ports: &mut Ports) {
        if port.label.is_empty() {
            self.missing(&format!("{path}.Label"), "a port needs a name");
        } else {
            self.name(&format!("{path}.Label"), "the port's name", &port.label, names::PORT);
        }
        // -1 asks for the same number inside as outside.
        self.bounds(&format!("{path}.To"), "to", Some(port.to), -1, 65_535);
        let value_path = format!("{path}.Value");
        if !is_static {
            // Clients send back the number that a placed port had; it chooses nothing.
            return self.bounds(&value_path, "the port", Some(port.value), 0, 65_535);
        }
        self.bounds(&value_path, "a static port", Some(port.value), 1, 65_535);
        if let Some(other) = ports.taken.insert(port.value, port.label.to_string()) {
            let message =
                format!("port {} is already taken in this group, by {}", port.value, quoted(&other));
            self.error(&value_path, message, None);
        }
    }
}
