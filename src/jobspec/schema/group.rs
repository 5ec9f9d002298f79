//! The `group` block, its networks and its volumes.

use super::{
    Block, Kind, Label, WHOLE,
    admin::{
        AFFINITY, CONSTRAINT, CONSUL, GROUP_SCALING, MIGRATE, MIGRATE_FILLERS, RESCHEDULE,
        RESCHEDULE_FILLERS, RESTART, SECRET, SPREAD, UPDATE,
    },
    field,
    service::SERVICE,
    task::{TASK, VAULT},
};

pub(super) const DISCOVERY: &str = "services and their checks are not registered anywhere yet";

pub(super) static GROUP: Block = Block {
    name: "group",
    label: Label::Into("Name"),
    fields: &[
        field("", "Name", Kind::Text),
        field("count", "Count", Kind::Int).default("1").unit("instances"),
        field("constraint", "Constraints", Kind::Many(&CONSTRAINT)),
        field("update", "Update", Kind::One(&UPDATE)),
        field("restart", "RestartPolicy", Kind::One(&RESTART)),
        field("network", "Networks", Kind::Many(&NETWORK)),
        field("ephemeral_disk", "EphemeralDisk", Kind::One(&EPHEMERAL_DISK)),
        field("task", "Tasks", Kind::Many(&TASK)),
        field("meta", "Meta", Kind::RuntimeMap),
        field("affinity", "Affinities", Kind::Many(&AFFINITY))
            .carried("a preference that placing does not weigh yet"),
        field("spread", "Spreads", Kind::Many(&SPREAD))
            .carried("a preference that placing does not weigh yet"),
        field("reschedule", "ReschedulePolicy", Kind::One(&RESCHEDULE))
            .carried("an instance that failed for good is not replaced on another node yet")
            .fillers(RESCHEDULE_FILLERS),
        field("migrate", "Migrate", Kind::One(&MIGRATE))
            .carried("drains do not follow it yet")
            .fillers(MIGRATE_FILLERS),
        field("service", "Services", Kind::Many(&SERVICE)).carried(DISCOVERY),
        field("shutdown_delay", "ShutdownDelay", Kind::Duration)
            .default("0s")
            .carried("there are no registered services to take out before a stop"),
        field("disconnect", "Disconnect", Kind::One(&DISCONNECT))
            .carried("a node that is away is treated as lost after its lease")
            .fillers(&[r#"{"Replace":true,"Reconcile":"best_score"}"#]),
        field("max_client_disconnect", "MaxClientDisconnect", Kind::Duration)
            .carried("a node that is away is treated as lost after its lease"),
        field("stop_after_client_disconnect", "StopAfterClientDisconnect", Kind::Duration)
            .refused(KEEPS_RUNNING),
        field("prevent_reschedule_on_lost", "PreventRescheduleOnLost", Kind::Bool)
            .default("false")
            .refused("instances on a lost node are replaced, so it could run twice"),
        field("scaling", "Scaling", Kind::One(&GROUP_SCALING))
            .carried("nothing scales groups on its own yet"),
        field("volume", "Volumes", Kind::ByLabel(&VOLUME))
            .refused("volumes are not mounted yet: tasks would write somewhere else"),
        field("consul", "Consul", Kind::One(&CONSUL)).carried("there is no Consul integration"),
        field("vault", "Vault", Kind::One(&VAULT))
            .bare()
            .refused("there is no Vault integration: tasks would miss their token"),
        field("secret", "Secrets", Kind::Many(&SECRET))
            .refused("secrets are not fetched yet: tasks would miss them"),
    ],
};

const KEEPS_RUNNING: &str = "tasks keep running while their node is away, so it would not stop";

static EPHEMERAL_DISK: Block = Block {
    name: "ephemeral_disk",
    label: Label::None,
    fields: &[
        field("size", "SizeMB", Kind::Int).default("300").unit("MB"),
        field("sticky", "Sticky", Kind::Bool)
            .default("false")
            .carried("a successor starts with an empty disk"),
        field("migrate", "Migrate", Kind::Bool)
            .default("false")
            .carried("a successor starts with an empty disk"),
    ],
};

static DISCONNECT: Block = Block {
    name: "disconnect",
    label: Label::None,
    fields: &[
        field("lost_after", "LostAfter", Kind::Duration).carried(WHOLE),
        field("stop_on_client_after", "StopOnClientAfter", Kind::Duration).refused(KEEPS_RUNNING),
        field("replace", "Replace", Kind::Bool).default("true").carried(WHOLE),
        field("reconcile", "Reconcile", Kind::Text).default("best_score").carried(WHOLE),
    ],
};

const OWN_NETWORK: &str = "tasks share the host's network for now";

/// `network`, of a group or (as in 2016) of a task.
pub(super) static NETWORK: Block = Block {
    name: "network",
    label: Label::None,
    fields: &[
        field("mode", "Mode", Kind::Text).default("host"),
        field("mbits", "MBits", Kind::Int).unit("Mbit/s").carried("bandwidth is not counted when placing"),
        field("", "ReservedPorts", Kind::Many(&PORT)),
        field("", "DynamicPorts", Kind::Many(&PORT)),
        field("port", "", Kind::Many(&PORT)),
        field("hostname", "Hostname", Kind::Text).refused(OWN_NETWORK),
        field("dns", "DNS", Kind::One(&DNS)).refused(OWN_NETWORK),
        field("cni", "CNI", Kind::One(&CNI)).refused(OWN_NETWORK),
        field("device", "Device", Kind::Text).carried("the agent's own interface is used"),
        field("", "CIDR", Kind::Text).carried("the agent's own interface is used"),
        field("", "IP", Kind::Text).carried("the agent's own interface is used"),
    ],
};

static PORT: Block = Block {
    name: "port",
    label: Label::Into("Label"),
    fields: &[
        field("", "Label", Kind::Text),
        field("static", "Value", Kind::Int),
        field("to", "To", Kind::Int),
        field("host_network", "HostNetwork", Kind::Text)
            .default("default")
            .fillers(&["\"default\""])
            .refused("nodes have one network here, so it could listen where it should not"),
        field("ignore_collision", "IgnoreCollision", Kind::Bool)
            .default("false")
            .refused("a static port is given to one instance a node"),
    ],
};

static DNS: Block = Block {
    name: "dns",
    label: Label::None,
    fields: &[
        field("servers", "Servers", Kind::TextList).refused(WHOLE),
        field("searches", "Searches", Kind::TextList).refused(WHOLE),
        field("options", "Options", Kind::TextList).refused(WHOLE),
    ],
};

static CNI: Block =
    Block { name: "cni", label: Label::None, fields: &[field("args", "Args", Kind::TextMap).refused(WHOLE)] };

static VOLUME: Block = Block {
    name: "volume",
    label: Label::Key,
    fields: &[
        field("", "Name", Kind::Text).refused(WHOLE),
        field("type", "Type", Kind::Text).refused(WHOLE),
        field("source", "Source", Kind::Text).refused(WHOLE),
        field("read_only", "ReadOnly", Kind::Bool).default("false").refused(WHOLE),
        field("sticky", "Sticky", Kind::Bool).default("false").refused(WHOLE),
        field("access_mode", "AccessMode", Kind::Text).refused(WHOLE),
        field("attachment_mode", "AttachmentMode", Kind::Text).refused(WHOLE),
        field("per_alloc", "PerAlloc", Kind::Bool).default("false").refused(WHOLE),
        field("mount_options", "MountOptions", Kind::One(&MOUNT_OPTIONS)).refused(WHOLE),
    ],
};

static MOUNT_OPTIONS: Block = Block {
    name: "mount_options",
    label: Label::None,
    fields: &[
        field("fs_type", "FSType", Kind::Text).refused(WHOLE),
        field("mount_flags", "MountFlags", Kind::TextList).refused(WHOLE),
    ],
};
