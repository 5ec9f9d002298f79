//! `service` and its checks: kept for discovery, which comes later.

use super::{Block, Kind, Label, WHOLE, connect::CONNECT, field, task::IDENTITY};

/// `service`, of a group or a task.
pub(super) static SERVICE: Block = Block {
    name: "service",
    label: Label::None,
    fields: &[
        field("name", "Name", Kind::Text).default("<job>-<group>-<task>").carried(WHOLE),
        field("", "Id", Kind::Text).carried(WHOLE),
        field("tags", "Tags", Kind::TextList).carried(WHOLE),
        field("canary_tags", "CanaryTags", Kind::TextList).carried(WHOLE),
        field("enable_tag_override", "EnableTagOverride", Kind::Bool).default("false").carried(WHOLE),
        field("port", "PortLabel", Kind::Text).carried(WHOLE),
        field("address", "Address", Kind::Text).carried(WHOLE),
        field("address_mode", "AddressMode", Kind::Text).default("auto").carried(WHOLE),
        field("tagged_addresses", "TaggedAddresses", Kind::TextMap).carried(WHOLE),
        field("check", "Checks", Kind::Many(&CHECK)).carried(WHOLE),
        field("check_restart", "CheckRestart", Kind::One(&CHECK_RESTART)).carried(WHOLE),
        field("connect", "Connect", Kind::One(&CONNECT)).carried(WHOLE),
        field("meta", "Meta", Kind::TextMap).carried(WHOLE),
        field("canary_meta", "CanaryMeta", Kind::TextMap).carried(WHOLE),
        field("task", "TaskName", Kind::Text).carried(WHOLE),
        field("on_update", "OnUpdate", Kind::Text).default("require_healthy").carried(WHOLE),
        field("identity", "Identity", Kind::One(&IDENTITY)).carried(WHOLE),
        field("weights", "Weights", Kind::One(&WEIGHTS)).carried(WHOLE),
        field("provider", "Provider", Kind::Text).default("consul").carried(WHOLE),
        field("cluster", "Cluster", Kind::Text).default("default").carried(WHOLE),
        field("kind", "Kind", Kind::Text).carried(WHOLE),
        field("", "Namespace", Kind::Text).carried(WHOLE),
    ],
};

static WEIGHTS: Block = Block {
    name: "weights",
    label: Label::None,
    fields: &[
        field("passing", "Passing", Kind::Int).default("1").carried(WHOLE),
        field("warning", "Warning", Kind::Int).default("1").carried(WHOLE),
    ],
};

static CHECK: Block = Block {
    name: "check",
    label: Label::None,
    fields: &[
        field("name", "Name", Kind::Text).carried(WHOLE),
        field("", "Id", Kind::Text).carried(WHOLE),
        field("type", "Type", Kind::Text).carried(WHOLE),
        field("command", "Command", Kind::Text).carried(WHOLE),
        field("args", "Args", Kind::TextList).carried(WHOLE),
        field("path", "Path", Kind::Text).carried(WHOLE),
        field("protocol", "Protocol", Kind::Text).default("http").carried(WHOLE),
        field("port", "PortLabel", Kind::Text).carried(WHOLE),
        field("expose", "Expose", Kind::Bool).default("false").carried(WHOLE),
        field("address_mode", "AddressMode", Kind::Text).carried(WHOLE),
        field("", "Advertise", Kind::Text).carried(WHOLE),
        field("interval", "Interval", Kind::Duration).carried(WHOLE),
        field("timeout", "Timeout", Kind::Duration).carried(WHOLE),
        field("initial_status", "InitialStatus", Kind::Text).carried(WHOLE),
        field("notes", "Notes", Kind::Text).carried(WHOLE),
        field("tls_server_name", "TLSServerName", Kind::Text).carried(WHOLE),
        field("tls_skip_verify", "TLSSkipVerify", Kind::Bool).default("false").carried(WHOLE),
        field("header", "Header", Kind::ListMap).carried(WHOLE),
        field("method", "Method", Kind::Text).default("GET").carried(WHOLE),
        field("body", "Body", Kind::Text).carried(WHOLE),
        field("check_restart", "CheckRestart", Kind::One(&CHECK_RESTART)).carried(WHOLE),
        field("grpc_service", "GRPCService", Kind::Text).carried(WHOLE),
        field("grpc_use_tls", "GRPCUseTLS", Kind::Bool).default("false").carried(WHOLE),
        field("task", "TaskName", Kind::Text).carried(WHOLE),
        field("success_before_passing", "SuccessBeforePassing", Kind::Int).default("0").carried(WHOLE),
        field("failures_before_critical", "FailuresBeforeCritical", Kind::Int).default("0").carried(WHOLE),
        field("failures_before_warning", "FailuresBeforeWarning", Kind::Int).default("0").carried(WHOLE),
        field("on_update", "OnUpdate", Kind::Text).carried(WHOLE),
    ],
};

static CHECK_RESTART: Block = Block {
    name: "check_restart",
    label: Label::None,
    fields: &[
        field("limit", "Limit", Kind::Int).default("0").carried(WHOLE),
        field("grace", "Grace", Kind::Duration).default("1s").carried(WHOLE),
        field("ignore_warnings", "IgnoreWarnings", Kind::Bool).default("false").carried(WHOLE),
    ],
};
