//! The `task` block and all that a task may ask for.

use super::{
    Block, Kind, Label, WHOLE,
    admin::{AFFINITY, CONSTRAINT, CONSUL, RESTART, SECRET, TASK_SCALING},
    field,
    group::{DISCOVERY, NETWORK},
    service::SERVICE,
};

pub(super) static TASK: Block = Block {
    name: "task",
    label: Label::Into("Name"),
    fields: &[
        field("", "Name", Kind::Text),
        field("driver", "Driver", Kind::Text),
        field("user", "User", Kind::RuntimeText),
        field("config", "Config", Kind::Config),
        field("env", "Env", Kind::RuntimeMap),
        field("meta", "Meta", Kind::RuntimeMap),
        field("constraint", "Constraints", Kind::Many(&CONSTRAINT)),
        field("resources", "Resources", Kind::One(&RESOURCES)),
        field("restart", "RestartPolicy", Kind::One(&RESTART)),
        field("kill_timeout", "KillTimeout", Kind::Duration).default("5s"),
        field("kill_signal", "KillSignal", Kind::Text).default("SIGINT"),
        field("leader", "Leader", Kind::Bool).default("false"),
        field("logs", "LogConfig", Kind::One(&LOGS)),
        field("service", "Services", Kind::Many(&SERVICE)).carried(DISCOVERY),
        field("affinity", "Affinities", Kind::Many(&AFFINITY))
            .carried("a preference that placing does not weigh yet"),
        field("shutdown_delay", "ShutdownDelay", Kind::Duration)
            .default("0s")
            .carried("there are no registered services to take out before a stop"),
        field("scaling", "ScalingPolicies", Kind::Many(&TASK_SCALING))
            .carried("nothing scales tasks on its own yet"),
        field("action", "Actions", Kind::Many(&ACTION)).carried("actions cannot be run yet"),
        field("consul", "Consul", Kind::One(&CONSUL)).carried("there is no Consul integration"),
        field("kind", "Kind", Kind::Text).carried("there is no Consul integration"),
        field("", "Identity", Kind::One(&IDENTITY))
            .carried("workload identities are not issued yet")
            .fillers(&[
                r#"{"Name":"default","Audience":["nomadproject.io"]}"#,
                r#"{"Name":"default","Aud":["nomadproject.io"]}"#,
            ]),
        field("identity", "Identities", Kind::Many(&IDENTITY))
            .carried("workload identities are not issued yet"),
        field("artifact", "Artifacts", Kind::Many(&ARTIFACT))
            .refused("artifacts are not fetched yet: the task would start without its files"),
        field("template", "Templates", Kind::Many(&TEMPLATE))
            .refused("templates are not rendered yet: the task would start without its files"),
        field("vault", "Vault", Kind::One(&VAULT))
            .bare()
            .refused("there is no Vault integration: the task would miss its token"),
        field("secret", "Secrets", Kind::Many(&SECRET))
            .refused("secrets are not fetched yet: the task would miss them"),
        field("volume_mount", "VolumeMounts", Kind::Many(&VOLUME_MOUNT))
            .refused("volumes are not mounted yet: the task would write somewhere else"),
        field("csi_plugin", "CSIPluginConfig", Kind::One(&CSI_PLUGIN))
            .refused("there are no storage plugins yet"),
        field("lifecycle", "Lifecycle", Kind::One(&LIFECYCLE))
            .refused("all tasks of a group start together for now, so the order would not hold"),
        field("dispatch_payload", "DispatchPayload", Kind::One(&DISPATCH_PAYLOAD))
            .refused("jobs are not dispatched yet, so there is no payload to write"),
        field("schedule", "Schedule", Kind::One(&SCHEDULE))
            .refused("tasks are not started and stopped by the clock yet: it would run all the time"),
    ],
};

pub(super) static RESOURCES: Block = Block {
    name: "resources",
    label: Label::None,
    fields: &[
        field("cpu", "CPU", Kind::Int).default("100").unit("MHz"),
        field("memory", "MemoryMB", Kind::Int).default("300").unit("MB"),
        field("disk", "DiskMB", Kind::Int).unit("MB"),
        field("network", "Networks", Kind::Many(&NETWORK)),
        field("iops", "IOPS", Kind::Int).carried("disk operations are not limited"),
        field("memory_max", "MemoryMaxMB", Kind::Int)
            .unit("MB")
            .carried("memory is not oversubscribed: `memory` is what counts"),
        field("cores", "Cores", Kind::Int)
            .default("0")
            .unit("cores")
            .refused("whole cores are not reserved yet: the task would share them"),
        field("device", "Devices", Kind::Many(&DEVICE))
            .refused("devices are not given to tasks yet: it would run without them"),
        field("numa", "NUMA", Kind::One(&NUMA))
            .fillers(&[r#"{"Affinity":"none"}"#])
            .refused("memory nodes are not looked at when placing"),
        field("secrets", "SecretsMB", Kind::Int)
            .unit("MB")
            .carried("the secrets folder has no size of its own"),
    ],
};

static DEVICE: Block = Block {
    name: "device",
    label: Label::Into("Name"),
    fields: &[
        field("", "Name", Kind::Text).refused(WHOLE),
        field("count", "Count", Kind::Int).default("1").refused(WHOLE),
        field("constraint", "Constraints", Kind::Many(&CONSTRAINT)).refused(WHOLE),
        field("affinity", "Affinities", Kind::Many(&AFFINITY)).refused(WHOLE),
    ],
};

static NUMA: Block = Block {
    name: "numa",
    label: Label::None,
    fields: &[
        field("affinity", "Affinity", Kind::Text).default("none").refused(WHOLE),
        field("devices", "Devices", Kind::TextList).refused(WHOLE),
    ],
};

pub(super) static LOGS: Block = Block {
    name: "logs",
    label: Label::None,
    fields: &[
        field("max_files", "MaxFiles", Kind::Int).default("10").unit("files"),
        field("max_file_size", "MaxFileSizeMB", Kind::Int).default("10").unit("MB"),
        field("disabled", "Disabled", Kind::Bool)
            .default("false")
            .carried("output is always kept, within the limits of `logs`"),
        field("enabled", "Enabled", Kind::Bool)
            .default("true")
            .fillers(&["true"])
            .carried("output is always kept, within the limits of `logs`"),
    ],
};

static ACTION: Block = Block {
    name: "action",
    label: Label::Into("Name"),
    fields: &[
        field("", "Name", Kind::Text).carried(WHOLE),
        field("command", "Command", Kind::Text).carried(WHOLE),
        field("args", "Args", Kind::TextList).carried(WHOLE),
    ],
};

const NO_TOKEN: &str = "workload identities are not issued yet: the task would miss its token";

pub(super) static IDENTITY: Block = Block {
    name: "identity",
    label: Label::None,
    fields: &[
        field("name", "Name", Kind::Text).default("default").carried(WHOLE),
        field("aud", "Audience", Kind::TextList).carried(WHOLE),
        field("", "Aud", Kind::TextList).carried(WHOLE),
        field("change_mode", "ChangeMode", Kind::Text).default("noop").carried(WHOLE),
        field("change_signal", "ChangeSignal", Kind::Text).carried(WHOLE),
        field("env", "Env", Kind::Bool).default("false").refused(NO_TOKEN),
        field("file", "File", Kind::Bool).default("false").refused(NO_TOKEN),
        field("filepath", "Filepath", Kind::Text).carried(WHOLE),
        field("", "ServiceName", Kind::Text).carried(WHOLE),
        field("ttl", "TTL", Kind::Duration).carried(WHOLE),
    ],
};

static ARTIFACT: Block = Block {
    name: "artifact",
    label: Label::None,
    fields: &[
        field("source", "GetterSource", Kind::Text).refused(WHOLE),
        field("options", "GetterOptions", Kind::TextMap).refused(WHOLE),
        field("headers", "GetterHeaders", Kind::TextMap).refused(WHOLE),
        field("mode", "GetterMode", Kind::Text).default("any").refused(WHOLE),
        field("insecure", "GetterInsecure", Kind::Bool).default("false").refused(WHOLE),
        field("destination", "RelativeDest", Kind::Text).default("local/").refused(WHOLE),
        field("chown", "Chown", Kind::Bool).default("false").refused(WHOLE),
    ],
};

static TEMPLATE: Block = Block {
    name: "template",
    label: Label::None,
    fields: &[
        field("source", "SourcePath", Kind::Text).refused(WHOLE),
        field("destination", "DestPath", Kind::Text).refused(WHOLE),
        field("data", "EmbeddedTmpl", Kind::Text).refused(WHOLE),
        field("change_mode", "ChangeMode", Kind::Text).default("restart").refused(WHOLE),
        field("change_script", "ChangeScript", Kind::One(&CHANGE_SCRIPT)).refused(WHOLE),
        field("change_signal", "ChangeSignal", Kind::Text).refused(WHOLE),
        field("once", "Once", Kind::Bool).default("false").refused(WHOLE),
        field("splay", "Splay", Kind::Duration).default("5s").refused(WHOLE),
        field("perms", "Perms", Kind::Text).default("0644").refused(WHOLE),
        field("uid", "Uid", Kind::Int).refused(WHOLE),
        field("gid", "Gid", Kind::Int).refused(WHOLE),
        field("left_delimiter", "LeftDelim", Kind::Text).default("{{").refused(WHOLE),
        field("right_delimiter", "RightDelim", Kind::Text).default("}}").refused(WHOLE),
        field("env", "Envvars", Kind::Bool).default("false").refused(WHOLE),
        field("vault_grace", "VaultGrace", Kind::Duration).refused(WHOLE),
        field("wait", "Wait", Kind::One(&WAIT)).refused(WHOLE),
        field("error_on_missing_key", "ErrMissingKey", Kind::Bool).default("false").refused(WHOLE),
    ],
};

static CHANGE_SCRIPT: Block = Block {
    name: "change_script",
    label: Label::None,
    fields: &[
        field("command", "Command", Kind::Text).refused(WHOLE),
        field("args", "Args", Kind::TextList).refused(WHOLE),
        field("timeout", "Timeout", Kind::Duration).default("5s").refused(WHOLE),
        field("fail_on_error", "FailOnError", Kind::Bool).default("false").refused(WHOLE),
    ],
};

static WAIT: Block = Block {
    name: "wait",
    label: Label::None,
    fields: &[
        field("min", "Min", Kind::Duration).refused(WHOLE),
        field("max", "Max", Kind::Duration).refused(WHOLE),
    ],
};

/// `vault`, of a job, a group or a task.
pub(super) static VAULT: Block = Block {
    name: "vault",
    label: Label::None,
    fields: &[
        field("policies", "Policies", Kind::TextList).refused(WHOLE),
        field("role", "Role", Kind::Text).refused(WHOLE),
        field("namespace", "Namespace", Kind::Text).refused(WHOLE),
        field("cluster", "Cluster", Kind::Text).default("default").fillers(&["\"default\""]).refused(WHOLE),
        field("env", "Env", Kind::Bool).default("true").fillers(&["true"]).refused(WHOLE),
        field("disable_file", "DisableFile", Kind::Bool).default("false").refused(WHOLE),
        field("change_mode", "ChangeMode", Kind::Text)
            .default("restart")
            .fillers(&["\"restart\""])
            .refused(WHOLE),
        field("change_signal", "ChangeSignal", Kind::Text).fillers(&["\"SIGHUP\""]).refused(WHOLE),
        field("allow_token_expiration", "AllowTokenExpiration", Kind::Bool).default("false").refused(WHOLE),
    ],
};

pub(super) static VOLUME_MOUNT: Block = Block {
    name: "volume_mount",
    label: Label::None,
    fields: &[
        field("volume", "Volume", Kind::Text).refused(WHOLE),
        field("destination", "Destination", Kind::Text).refused(WHOLE),
        field("read_only", "ReadOnly", Kind::Bool).default("false").refused(WHOLE),
        field("propagation_mode", "PropagationMode", Kind::Text).default("private").refused(WHOLE),
        field("selinux_label", "SELinuxLabel", Kind::Text).refused(WHOLE),
    ],
};

static CSI_PLUGIN: Block = Block {
    name: "csi_plugin",
    label: Label::None,
    fields: &[
        field("id", "ID", Kind::Text).refused(WHOLE),
        field("type", "Type", Kind::Text).refused(WHOLE),
        field("mount_dir", "MountDir", Kind::Text).refused(WHOLE),
        field("stage_publish_base_dir", "StagePublishBaseDir", Kind::Text).refused(WHOLE),
        field("health_timeout", "HealthTimeout", Kind::Duration).default("30s").refused(WHOLE),
    ],
};

static LIFECYCLE: Block = Block {
    name: "lifecycle",
    label: Label::None,
    fields: &[
        field("hook", "Hook", Kind::Text).refused(WHOLE),
        field("sidecar", "Sidecar", Kind::Bool).default("false").refused(WHOLE),
    ],
};

static DISPATCH_PAYLOAD: Block = Block {
    name: "dispatch_payload",
    label: Label::None,
    fields: &[field("file", "File", Kind::Text).refused(WHOLE)],
};

static SCHEDULE: Block = Block {
    name: "schedule",
    label: Label::None,
    fields: &[field("cron", "Cron", Kind::One(&SCHEDULE_CRON)).refused(WHOLE)],
};

static SCHEDULE_CRON: Block = Block {
    name: "cron",
    label: Label::None,
    fields: &[
        field("start", "Start", Kind::Text).refused(WHOLE),
        field("end", "End", Kind::Text).refused(WHOLE),
        field("timezone", "Timezone", Kind::Text).default("Local").refused(WHOLE),
    ],
};
