//! Blocks that appear at several levels: conditions, preferences, and how work is replaced.

use super::{Block, Field, Kind, Label, WHOLE, field};

/// What clients fill in for `reschedule`: service, batch, and the batch default of older ones.
pub(super) const RESCHEDULE_FILLERS: &[&str] = &[
    r#"{"Delay":30000000000,"DelayFunction":"exponential","MaxDelay":3600000000000,"Unlimited":true}"#,
    r#"{"Attempts":1,"Interval":86400000000000,"Delay":5000000000,"DelayFunction":"constant"}"#,
    r#"{"DelayFunction":"none"}"#,
];

/// What clients fill in for `migrate`.
pub(super) const MIGRATE_FILLERS: &[&str] = &[
    r#"{"MaxParallel":1,"HealthCheck":"checks","MinHealthyTime":10000000000,"HealthyDeadline":300000000000}"#,
];

pub(super) static CONSTRAINT: Block = Block {
    name: "constraint",
    label: Label::None,
    fields: &[
        field("attribute", "LTarget", Kind::RuntimeText),
        field("operator", "Operand", Kind::Text).default("="),
        field("value", "RTarget", Kind::RuntimeText),
        // Short forms of job files: each names an operator and its right side at once.
        field("distinct_hosts", "", Kind::Bool),
        field("distinct_property", "", Kind::RuntimeText),
        field("regexp", "", Kind::RuntimeText),
        field("version", "", Kind::RuntimeText),
        field("semver", "", Kind::RuntimeText),
        field("set_contains", "", Kind::RuntimeText),
        field("set_contains_all", "", Kind::RuntimeText),
        field("set_contains_any", "", Kind::RuntimeText),
    ],
};

pub(super) static AFFINITY: Block = Block {
    name: "affinity",
    label: Label::None,
    fields: &[
        field("attribute", "LTarget", Kind::Text).carried(WHOLE),
        field("operator", "Operand", Kind::Text).default("=").carried(WHOLE),
        field("value", "RTarget", Kind::Text).carried(WHOLE),
        field("weight", "Weight", Kind::Int).default("50").carried(WHOLE),
        field("regexp", "", Kind::Text),
        field("version", "", Kind::Text),
        field("semver", "", Kind::Text),
        field("set_contains", "", Kind::Text),
        field("set_contains_all", "", Kind::Text),
        field("set_contains_any", "", Kind::Text),
    ],
};

pub(super) static SPREAD: Block = Block {
    name: "spread",
    label: Label::None,
    fields: &[
        field("attribute", "Attribute", Kind::Text).carried(WHOLE),
        field("weight", "Weight", Kind::Int).default("50").carried(WHOLE),
        field("target", "SpreadTarget", Kind::Many(&SPREAD_TARGET)).carried(WHOLE),
    ],
};

static SPREAD_TARGET: Block = Block {
    name: "target",
    label: Label::Optional("Value"),
    fields: &[
        field("value", "Value", Kind::Text).carried(WHOLE),
        field("percent", "Percent", Kind::Int).unit("%").carried(WHOLE),
    ],
};

const HEALTH: &str = "needs deployments, which come later: the next batch follows `stagger` alone";

pub(super) static UPDATE: Block = Block {
    name: "update",
    label: Label::None,
    fields: &[
        field("stagger", "Stagger", Kind::Duration).default("30s"),
        field("max_parallel", "MaxParallel", Kind::Int).default("1").unit("instances"),
        field("health_check", "HealthCheck", Kind::Text)
            .default("checks")
            .fillers(&["\"checks\""])
            .carried(HEALTH),
        field("min_healthy_time", "MinHealthyTime", Kind::Duration)
            .default("10s")
            .fillers(&["10000000000"])
            .carried(HEALTH),
        field("healthy_deadline", "HealthyDeadline", Kind::Duration)
            .default("5m")
            .fillers(&["300000000000"])
            .carried(HEALTH),
        field("progress_deadline", "ProgressDeadline", Kind::Duration)
            .default("10m")
            .fillers(&["600000000000"])
            .carried(HEALTH),
        field("canary", "Canary", Kind::Int)
            .default("0")
            .unit("instances")
            .refused("there are no canaries yet: the new version would replace the old one at once"),
        field("auto_revert", "AutoRevert", Kind::Bool)
            .default("false")
            .refused("a failed version would stay instead of being reverted"),
        field("auto_promote", "AutoPromote", Kind::Bool)
            .default("false")
            .refused("there are no canaries yet that could be promoted"),
    ],
};

pub(super) static MIGRATE: Block = Block {
    name: "migrate",
    label: Label::None,
    fields: &[
        field("max_parallel", "MaxParallel", Kind::Int).default("1").carried(WHOLE),
        field("health_check", "HealthCheck", Kind::Text).default("checks").carried(WHOLE),
        field("min_healthy_time", "MinHealthyTime", Kind::Duration).default("10s").carried(WHOLE),
        field("healthy_deadline", "HealthyDeadline", Kind::Duration).default("5m").carried(WHOLE),
    ],
};

pub(super) static RESCHEDULE: Block = Block {
    name: "reschedule",
    label: Label::None,
    fields: &[
        field("attempts", "Attempts", Kind::Int).carried(WHOLE),
        field("interval", "Interval", Kind::Duration).carried(WHOLE),
        field("delay", "Delay", Kind::Duration).carried(WHOLE),
        field("delay_function", "DelayFunction", Kind::Text).carried(WHOLE),
        field("max_delay", "MaxDelay", Kind::Duration).carried(WHOLE),
        field("unlimited", "Unlimited", Kind::Bool).carried(WHOLE),
    ],
};

pub(super) static RESTART: Block = Block {
    name: "restart",
    label: Label::None,
    fields: &[
        field("attempts", "Attempts", Kind::Int).default("2, for batch 3"),
        field("interval", "Interval", Kind::Duration).default("30m, for batch 24h"),
        field("delay", "Delay", Kind::Duration).default("15s"),
        field("mode", "Mode", Kind::Text).default("fail"),
        field("on_success", "OnSuccess", Kind::Bool).default("true, for batch false"),
        field("render_templates", "RenderTemplates", Kind::Bool)
            .default("false")
            .carried("there are no templates to render yet"),
    ],
};

pub(super) static SECRET: Block = Block {
    name: "secret",
    label: Label::Into("Name"),
    fields: &[
        field("", "Name", Kind::Text).refused(WHOLE),
        field("provider", "Provider", Kind::Text).refused(WHOLE),
        field("path", "Path", Kind::Text).refused(WHOLE),
        field("config", "Config", Kind::Config).refused(WHOLE),
        field("env", "Env", Kind::TextMap).refused(WHOLE),
    ],
};

pub(super) static CONSUL: Block = Block {
    name: "consul",
    label: Label::None,
    fields: &[
        field("namespace", "Namespace", Kind::Text).fillers(&["\"default\""]).carried(WHOLE),
        field("cluster", "Cluster", Kind::Text).default("default").fillers(&["\"default\""]).carried(WHOLE),
        field("partition", "Partition", Kind::Text).fillers(&["\"default\""]).carried(WHOLE),
    ],
};

const SCALING_FIELDS: &[Field] = &[
    field("enabled", "Enabled", Kind::Bool).default("true").carried(WHOLE),
    field("min", "Min", Kind::Int).carried(WHOLE),
    field("max", "Max", Kind::Int).carried(WHOLE),
    field("policy", "Policy", Kind::Config).carried(WHOLE),
    field("type", "Type", Kind::Text).carried(WHOLE),
    field("", "ID", Kind::Text).carried(WHOLE),
    field("", "Namespace", Kind::Text).carried(WHOLE),
    field("", "Target", Kind::TextMap).carried(WHOLE),
    field("", "CreateIndex", Kind::Int).dropped(),
    field("", "ModifyIndex", Kind::Int).dropped(),
];

/// `scaling` of a group: one, without a label.
pub(super) static GROUP_SCALING: Block =
    Block { name: "scaling", label: Label::None, fields: SCALING_FIELDS };

/// `scaling` of a task: one for `cpu`, one for `mem`.
pub(super) static TASK_SCALING: Block =
    Block { name: "scaling", label: Label::Into("Type"), fields: SCALING_FIELDS };
