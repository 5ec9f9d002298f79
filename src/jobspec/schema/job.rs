//! The `job` block and the blocks that stand beside groups.

use super::{
    Block, Field, Kind, Label, WHOLE,
    admin::{AFFINITY, CONSTRAINT, MIGRATE, RESCHEDULE, SECRET, SPREAD, UPDATE},
    field,
    group::GROUP,
    owned,
    task::{TASK, VAULT},
};

/// Where every job starts.
pub static JOB: Block = Block { name: "job", label: Label::Into("ID"), fields: JOB_FIELDS };

const NO_CHILDREN: &str = "instances of it are made on a schedule or on demand, which this version does not do yet: \
                           running it once now would be something else";

static JOB_FIELDS: &[Field] = &[
    field("id", "ID", Kind::Text),
    field("name", "Name", Kind::Text).default("the label"),
    field("namespace", "Namespace", Kind::Text).default("default"),
    field("region", "Region", Kind::Text).default("global"),
    field("type", "Type", Kind::Text).default("service"),
    field("priority", "Priority", Kind::Int).default("50"),
    field("all_at_once", "AllAtOnce", Kind::Bool).default("false"),
    field("datacenters", "Datacenters", Kind::TextList).default("every one"),
    field("constraint", "Constraints", Kind::Many(&CONSTRAINT)),
    field("update", "Update", Kind::One(&UPDATE)),
    field("meta", "Meta", Kind::RuntimeMap),
    field("group", "TaskGroups", Kind::Many(&GROUP)),
    // A task written straight into the job is a group of its own, with the task's name.
    field("task", "", Kind::Many(&TASK)),
    field("", "Stop", Kind::Bool).default("false"),
    field("node_pool", "NodePool", Kind::Text)
        .default("default")
        .fillers(&["\"default\""])
        .refused("there are no node pools yet, so it would run on other nodes than those meant"),
    field("affinity", "Affinities", Kind::Many(&AFFINITY))
        .carried("a preference that placing does not weigh yet"),
    field("spread", "Spreads", Kind::Many(&SPREAD)).carried("a preference that placing does not weigh yet"),
    field("reschedule", "Reschedule", Kind::One(&RESCHEDULE))
        .carried("an instance that failed for good is not replaced on another node yet")
        .fillers(super::admin::RESCHEDULE_FILLERS),
    field("migrate", "Migrate", Kind::One(&MIGRATE))
        .carried("drains do not follow it yet")
        .fillers(super::admin::MIGRATE_FILLERS),
    field("multiregion", "Multiregion", Kind::One(&MULTIREGION))
        .refused("there is one region only, so the other regions would run nothing"),
    field("periodic", "Periodic", Kind::One(&PERIODIC)).refused(NO_CHILDREN),
    field("parameterized", "ParameterizedJob", Kind::One(&PARAMETERIZED)).bare().refused(NO_CHILDREN),
    field("ui", "UI", Kind::One(&UI)).carried("shown by no page yet"),
    field("vault", "Vault", Kind::One(&VAULT))
        .bare()
        .refused("there is no Vault integration: tasks would miss their token"),
    field("secret", "Secrets", Kind::Many(&SECRET))
        .refused("secrets are not fetched yet: tasks would miss them"),
    field("consul_namespace", "ConsulNamespace", Kind::Text).carried("there is no Consul integration"),
    field("vault_namespace", "VaultNamespace", Kind::Text).carried("there is no Vault integration"),
    // Credentials of whoever submits: never stored.
    field("consul_token", "ConsulToken", Kind::Text).dropped(),
    field("vault_token", "VaultToken", Kind::Text).dropped(),
    owned("NomadTokenID", Kind::Text),
    owned("ParentID", Kind::Text),
    owned("Dispatched", Kind::Bool),
    owned("DispatchIdempotencyToken", Kind::Text),
    owned("Payload", Kind::Any),
    owned("Status", Kind::Text),
    owned("StatusDescription", Kind::Text),
    owned("Stable", Kind::Bool),
    owned("Version", Kind::Int),
    owned("VersionTag", Kind::Any),
    owned("SubmitTime", Kind::Int),
    owned("CreateIndex", Kind::Int),
    owned("ModifyIndex", Kind::Int),
    owned("JobModifyIndex", Kind::Int),
    owned("UID", Kind::Text),
];

static MULTIREGION: Block = Block {
    name: "multiregion",
    label: Label::None,
    fields: &[
        field("strategy", "Strategy", Kind::One(&STRATEGY)).refused(WHOLE),
        field("region", "Regions", Kind::Many(&REGION)).refused(WHOLE),
    ],
};

static STRATEGY: Block = Block {
    name: "strategy",
    label: Label::None,
    fields: &[
        field("max_parallel", "MaxParallel", Kind::Int).default("0").refused(WHOLE),
        field("on_failure", "OnFailure", Kind::Text).refused(WHOLE),
    ],
};

static REGION: Block = Block {
    name: "region",
    label: Label::Into("Name"),
    fields: &[
        field("", "Name", Kind::Text).refused(WHOLE),
        field("count", "Count", Kind::Int).refused(WHOLE),
        field("datacenters", "Datacenters", Kind::TextList).refused(WHOLE),
        field("node_pool", "NodePool", Kind::Text).refused(WHOLE),
        field("meta", "Meta", Kind::TextMap).refused(WHOLE),
    ],
};

static PERIODIC: Block = Block {
    name: "periodic",
    label: Label::None,
    fields: &[
        field("cron", "Spec", Kind::Text).refused(WHOLE),
        field("crons", "Specs", Kind::TextList).refused(WHOLE),
        field("", "SpecType", Kind::Text).fillers(&["\"cron\""]).refused(WHOLE),
        field("enabled", "Enabled", Kind::Bool).default("true").fillers(&["true"]).refused(WHOLE),
        field("prohibit_overlap", "ProhibitOverlap", Kind::Bool).default("false").refused(WHOLE),
        field("time_zone", "TimeZone", Kind::Text).default("UTC").fillers(&["\"UTC\""]).refused(WHOLE),
    ],
};

static PARAMETERIZED: Block = Block {
    name: "parameterized",
    label: Label::None,
    fields: &[
        field("payload", "Payload", Kind::Text).default("optional").refused(WHOLE),
        field("meta_required", "MetaRequired", Kind::TextList).refused(WHOLE),
        field("meta_optional", "MetaOptional", Kind::TextList).refused(WHOLE),
    ],
};

static UI: Block = Block {
    name: "ui",
    label: Label::None,
    fields: &[
        field("description", "Description", Kind::Text).carried(WHOLE),
        field("link", "Links", Kind::Many(&LINK)).carried(WHOLE),
    ],
};

static LINK: Block = Block {
    name: "link",
    label: Label::None,
    fields: &[
        field("label", "Label", Kind::Text).carried(WHOLE),
        field("url", "URL", Kind::Text).carried(WHOLE),
    ],
};
