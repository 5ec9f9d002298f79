//! CPU, memory, disk, kernel and system, from /proc, /sys and two system calls.

use std::{collections::BTreeMap, fs, path::Path};

use nix::sys::{statvfs::statvfs, utsname::uname};

use crate::Error;

/// Processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Threads that the system sees.
    pub cores: i64,
    /// MHz of one.
    pub mhz: i64,
    /// MHz of all.
    pub total_mhz: i64,
    /// As the maker calls it.
    pub model: String,
}

impl Cpu {
    /// From the text of `/proc/cpuinfo`, the frequency that cpufreq tells (kHz), and what the owner configured for
    /// all of them together.
    pub fn parse(cpuinfo: &str, khz: Option<i64>, total_mhz: Option<i64>) -> Self {
        let field = |line: &str, name: &str| {
            line.strip_prefix(name)?.trim_start().strip_prefix(':').map(|v| v.trim().to_owned())
        };
        let lines = || cpuinfo.lines();
        let cores = lines().filter(|l| field(l, "processor").is_some()).count().max(1);
        let cores = i64::try_from(cores).unwrap_or(1);
        let told = lines().find_map(|l| field(l, "cpu MHz")).and_then(|v| v.parse::<f64>().ok());
        #[allow(clippy::cast_possible_truncation)] // a frequency in MHz fits
        let told = told.map(|mhz| mhz.round() as i64);
        // A machine that tells neither still has to hold something: 1 GHz a core, to be overridden.
        let mhz =
            khz.map(|khz| khz / 1000).filter(|mhz| *mhz > 0).or(told).filter(|m| *m > 0).unwrap_or(1000);
        let model = lines().find_map(|l| field(l, "model name")).unwrap_or_default();
        Cpu { cores, mhz, total_mhz: total_mhz.unwrap_or(mhz * cores), model }
    }
}

/// The file system that the data folder is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Its device or name.
    pub volume: String,
    /// Size.
    pub total_bytes: i64,
    /// Free for us when the agent started.
    pub free_bytes: i64,
}

/// What does not change while the machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cpu: Cpu,
    /// All memory.
    pub memory_bytes: i64,
    /// Disk.
    pub disk: Disk,
    /// The kernel's boot id.
    pub boot_id: String,
    /// The machine's name.
    pub hostname: String,
    /// `linux`.
    pub kernel: String,
    /// Such as `6.1.0-18-amd64`.
    pub kernel_version: String,
    /// `amd64`, `arm64`, … or the kernel's word.
    pub arch: String,
    /// Such as `debian`.
    pub os: String,
    /// Such as `12`.
    pub os_version: String,
    /// `v1` or `v2`.
    pub cgroups: String,
}

impl Machine {
    /// Looks at this machine.
    pub fn look(data_dir: &Path, total_mhz: Option<i64>) -> Result<Self, Error> {
        let failed = |what: &'static str| {
            move |e: &dyn std::fmt::Display| Error::Fingerprint { what, reason: e.to_string() }
        };
        let read = |path: &'static str| fs::read_to_string(path).map_err(|e| failed(path)(&e));
        let kernel = uname().map_err(|e| failed("uname")(&e))?;
        let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
        let (os, os_version) = parse_os_release(&fs::read_to_string("/etc/os-release").unwrap_or_default());
        Ok(Machine {
            cpu: Cpu::parse(&read("/proc/cpuinfo")?, cpufreq_khz(), total_mhz),
            memory_bytes: parse_memory(&read("/proc/meminfo")?),
            disk: disk(data_dir)?,
            boot_id: read("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            hostname: text(kernel.nodename()),
            kernel: text(kernel.sysname()).to_lowercase(),
            kernel_version: text(kernel.release()),
            arch: arch(&text(kernel.machine())).to_owned(),
            os,
            os_version,
            cgroups: if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" }
                .to_owned(),
        })
    }

    /// As constraints name them.
    pub fn attributes(&self) -> BTreeMap<String, String> {
        [
            ("kernel.name", self.kernel.clone()),
            ("kernel.version", self.kernel_version.clone()),
            ("kernel.arch", self.arch.clone()),
            ("cpu.arch", self.arch.clone()),
            ("cpu.numcores", self.cpu.cores.to_string()),
            ("cpu.frequency", self.cpu.mhz.to_string()),
            ("cpu.modelname", self.cpu.model.clone()),
            ("cpu.totalcompute", self.cpu.total_mhz.to_string()),
            ("memory.totalbytes", self.memory_bytes.to_string()),
            ("unique.storage.volume", self.disk.volume.clone()),
            ("unique.storage.bytestotal", self.disk.total_bytes.to_string()),
            ("unique.storage.bytesfree", self.disk.free_bytes.to_string()),
            ("os.name", self.os.clone()),
            ("os.version", self.os_version.clone()),
            ("unique.hostname", self.hostname.clone()),
            ("unique.cgroup.version", self.cgroups.clone()),
            ("encamp.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("nomad.version", super::NOMAD_VERSION.to_owned()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

fn cpufreq_khz() -> Option<i64> {
    ["base_frequency", "cpuinfo_max_freq"].iter().find_map(|name| {
        let path = format!("/sys/devices/system/cpu/cpu0/cpufreq/{name}");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    })
}

/// Go's names, which job files use.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armv7l" | "armv6l" => "arm",
        other => other,
    }
}

/// Total memory in bytes, from the text of `/proc/meminfo`.
pub(crate) fn parse_memory(meminfo: &str) -> i64 {
    let kib = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0i64) * 1024
}

/// Name and version, from the text of `/etc/os-release`.
pub(crate) fn parse_os_release(text: &str) -> (String, String) {
    let field = |name: &str| {
        let value = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    (field("ID"), field("VERSION_ID"))
}

/// The mount that `path` is on, from the text of `/proc/self/mounts`.
pub(crate) fn volume_of(mounts: &str, path: &Path) -> String {
    let mut best: Option<(&Path, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(at)) = (words.next(), words.next()) else { continue };
        let at = Path::new(at);
        if path.starts_with(at) && best.is_none_or(|(b, _)| b.components().count() <= at.components().count())
        {
            best = Some((at, device));
        }
    }
    best.map_or_else(String::new, |(_, device)| device.to_owned())
}

fn disk(data_dir: &Path) -> Result<Disk, Error> {
    let stat = statvfs(data_dir).map_err(|errno| Error::Fingerprint {
        what: "statvfs of the data folder",
        reason: errno.to_string(),
    })?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.fragment_size())).unwrap_or(i64::MAX);
    Ok(Disk {
        volume: volume_of(&fs::read_to_string("/proc/self/mounts").unwrap_or_default(), data_dir),
        total_bytes: bytes(stat.blocks()),
        free_bytes: bytes(stat.blocks_available()),
    })
}
