//! The table is whole and consistent.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::{Block, Class, Field, JOB, Kind, Label};

/// Every block that can be reached from a job.
fn blocks() -> Vec<&'static Block> {
    let mut seen: Vec<&'static Block> = Vec::new();
    let mut queue = vec![&JOB];
    while let Some(block) = queue.pop() {
        if seen.iter().any(|b| std::ptr::eq(*b, block)) {
            continue;
        }
        seen.push(block);
        queue.extend(block.fields.iter().filter_map(|f| f.kind.block()));
    }
    seen
}

fn fields() -> impl Iterator<Item = (&'static Block, &'static Field)> {
    blocks().into_iter().flat_map(|block| block.fields.iter().map(move |field| (block, field)))
}

#[test]
fn names_are_unique_within_a_block() {
    for block in blocks() {
        let (mut hcl, mut api) = (BTreeSet::new(), BTreeSet::new());
        for field in block.fields {
            assert!(!(field.hcl.is_empty() && field.api.is_empty()), "a field of {} has no name", block.name);
            assert!(field.hcl.is_empty() || hcl.insert(field.hcl), "{}.{}", block.name, field.hcl);
            let lower = field.api.to_ascii_lowercase();
            assert!(lower.is_empty() || api.insert(lower), "{}.{}", block.name, field.api);
        }
    }
}

#[test]
fn labels_name_fields() {
    for block in blocks() {
        if let Label::Into(key) | Label::Optional(key) = block.label {
            assert!(block.by_api(key).is_some(), "{} keeps its label in {key}", block.name);
        }
    }
}

#[test]
fn fillers_are_json_and_reasons_are_given() {
    for (block, field) in fields() {
        for filler in field.fillers {
            let value: Result<Value, _> = serde_json::from_str(filler);
            assert!(value.is_ok(), "{}.{}: {filler}", block.name, field.api);
        }
        if let Class::Carried(why) | Class::Refused(why) = field.class {
            assert!(!why.is_empty(), "{}.{}", block.name, field.api);
        }
        if let Kind::ByLabel(inner) = field.kind {
            assert_eq!(inner.label, Label::Key, "{}.{}", block.name, field.api);
        }
    }
}

#[test]
fn every_block_of_the_language_is_there() {
    let found: BTreeSet<&str> = fields().map(|(_, f)| f.hcl).collect();
    for name in [
        "action",
        "affinity",
        "artifact",
        "change_script",
        "check",
        "check_restart",
        "cni",
        "connect",
        "constraint",
        "consul",
        "csi_plugin",
        "device",
        "disconnect",
        "dispatch_payload",
        "dns",
        "env",
        "ephemeral_disk",
        "expose",
        "gateway",
        "group",
        "identity",
        "ingress",
        "lifecycle",
        "link",
        "listener",
        "logs",
        "mesh",
        "mesh_gateway",
        "meta",
        "migrate",
        "mount_options",
        "multiregion",
        "network",
        "numa",
        "parameterized",
        "path",
        "periodic",
        "port",
        "proxy",
        "reschedule",
        "resources",
        "restart",
        "scaling",
        "schedule",
        "secret",
        "service",
        "sidecar_service",
        "sidecar_task",
        "spread",
        "strategy",
        "target",
        "task",
        "template",
        "terminating",
        "tls",
        "transparent_proxy",
        "ui",
        "update",
        "upstreams",
        "vault",
        "volume",
        "volume_mount",
        "wait",
        "weights",
    ] {
        assert!(found.contains(name), "{name} is missing");
    }
}
