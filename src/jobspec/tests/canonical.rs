//! Nothing is invented, and admitting what was admitted changes nothing.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{api_job, hcl_json, job_with, json as parse};
use crate::{
    admit, same_spec,
    schema::{Block, Class, JOB, Kind},
    to_api_json,
};

#[test]
fn a_bare_job_stays_bare() {
    let expected = json!({
        "ID": "j", "Name": "j", "Namespace": "default", "Type": "service", "Version": 0,
        "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}],
    });
    assert_eq!(hcl_json(&job_with("", "", "")), expected);
    assert_eq!(to_api_json(&parse(&api_job("", "", "")).expect("a bare job").job), expected);
}

#[test]
fn empty_and_null_are_absent() {
    let job = r#""Name": "", "Region": null, "Constraints": [], "Meta": {}, "Spreads": null, "Update": {}"#;
    let task = r#""Env": null, "Services": [], "Resources": {"CPU": 0, "MemoryMB": 0, "Networks": null}, "User": """#;
    let full = parse(&api_job(job, r#""Networks": []"#, task)).expect("empty values");
    let bare = parse(&api_job("", "", "")).expect("a bare job");
    assert_eq!(full, bare);
}

#[test]
fn zero_of_a_served_number_is_kept() {
    let job = hcl_json(&job_with("update { \n max_parallel = 0 \n }", "count = 0", ""));
    assert_eq!(job["TaskGroups"][0]["Count"], 0);
    assert_eq!(job["Update"], json!({"MaxParallel": 0}));
}

#[test]
fn the_servers_fields_and_tokens_are_dropped() {
    let job = r#""Status": "running", "Version": 7, "SubmitTime": 5, "JobModifyIndex": 9, "CreateIndex": 1, "Stable": true,
        "ConsulToken": "s3cret", "VaultToken": "s3cret", "UID": "3d823c52-929a-fa8b-c50d-1ac4d00cf6b7",
        "Payload": "eA==", "Dispatched": false, "ParentID": "", "VersionTag": {"Name": "x"}"#;
    let parsed = parse(&api_job(job, "", "")).expect("server fields");
    assert_eq!(parsed, parse(&api_job("", "", "")).expect("a bare job"));
}

#[test]
fn what_is_carried_survives() {
    let services = json!([{"Name": "web", "PortLabel": "http", "Tags": ["a"], "Checks": [
        {"Type": "http", "Path": "/", "Interval": 10_000_000_000_i64, "Timeout": 2_000_000_000, "Header": {"X": ["1"]}}
    ], "Provider": "consul", "Meta": null}]);
    let made_up = json!({"Anything": [1, {"deep": null}], "x": "$attr.kernel.name"});
    let group = format!(r#""Services": {services}, "NotYetInvented": {made_up}"#);
    let parsed = parse(&api_job("", &group, "")).expect("carried blocks");
    let out = to_api_json(&parsed.job);
    assert_eq!(out["TaskGroups"][0]["Services"], services);
    assert_eq!(out["TaskGroups"][0]["NotYetInvented"], made_up);
    assert_eq!(parsed.warnings.len(), 2, "{:?}", parsed.warnings);
}

#[test]
fn same_spec_looks_past_what_the_server_gives() {
    let a = parse(&api_job("", "", "")).expect("a job").job;
    let mut b = a.clone();
    b.version = 3;
    b.submit_time = Some(1);
    assert!(same_spec(&a, &b));
    b.stop = true;
    assert!(!same_spec(&a, &b));
}

/// Values for a field that this version takes, so that whole jobs can be made from the table.
fn value_of(kind: Kind, depth: u32) -> BoxedStrategy<Value> {
    let text = "[a-z]{0,8}|\\$attr\\.[a-z]{1,3}|\\$\\{node\\.x\\}";
    match kind {
        Kind::Text | Kind::RuntimeText => text.prop_map(Value::String).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Int => {
            prop_oneof![(0..50i64).prop_map(Value::from), (0..50i64).prop_map(|n| n.to_string().into())]
                .boxed()
        }
        Kind::Duration => prop_oneof![
            (0..10_000_000_000i64).prop_map(Value::from),
            Just(json!("30s")),
            Just(json!("1h30m")),
            Just(json!("1.5ms"))
        ]
        .boxed(),
        Kind::TextList => {
            prop::collection::vec(text.prop_map(Value::String), 0..3).prop_map(Value::Array).boxed()
        }
        Kind::IntList => Just(json!([1, "2"])).boxed(),
        Kind::TextMap | Kind::RuntimeMap => {
            Just(json!({"k": "$node.class", "n": 1, "b": true, "z": null})).boxed()
        }
        Kind::ListMap => Just(json!({"k": ["v"]})).boxed(),
        Kind::Config | Kind::Any => {
            Just(json!({"a": [1, {"b": "$meta.c"}], "n": null, "f": 1.5, "e": []})).boxed()
        }
        Kind::One(block) => object_of(block, depth),
        Kind::Many(block) => {
            prop::collection::vec(object_of(block, depth), 0..3).prop_map(Value::Array).boxed()
        }
        Kind::ByLabel(block) => object_of(block, depth).prop_map(|v| json!({"label": v})).boxed(),
    }
}

fn object_of(block: &'static Block, depth: u32) -> BoxedStrategy<Value> {
    if depth == 0 {
        return Just(json!({})).boxed();
    }
    let members: Vec<_> = block
        .fields
        .iter()
        .filter(|f| !f.api.is_empty() && !matches!(f.class, Class::Refused(_)))
        .map(|f| {
            let upper = f.api.to_uppercase();
            let value = value_of(f.kind, depth - 1);
            (Just(f.api.to_owned()), Just(upper), any::<bool>(), prop::option::weighted(0.3, value))
        })
        .collect();
    members
        .prop_map(|members| {
            let given = members.into_iter().filter_map(|(api, upper, shout, value)| {
                value.map(|value| (if shout { upper } else { api }, value))
            });
            Value::Object(given.collect::<Map<_, _>>())
        })
        .boxed()
}

/// Makes a job of the table one that passes the rules across fields, where the table can't know them.
fn made_valid(mut job: Value) -> Value {
    let object = job.as_object_mut().expect("an object");
    object.retain(|key, _| {
        !["id", "name", "namespace", "type", "priority", "taskgroups", "constraints", "datacenters"]
            .contains(&key.to_lowercase().as_str())
    });
    object.insert("Id".to_owned(), json!("some/job"));
    object.insert(
        "TASKGROUPS".to_owned(),
        json!([{"name": "g", "tasks": [{"name": "t", "driver": "docker"}]}]),
    );
    job
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn admitting_twice_changes_nothing(job in object_of(&JOB, 4)) {
        // Most random jobs break some rule: those must not panic. The rest must be stable.
        for job in [job.clone(), made_valid(job)] {
            let Ok(first) = admit(json!({"Job": job})) else { continue };
            let again = admit(to_api_json(&first.job)).expect("what was admitted is admitted again");
            prop_assert_eq!(&again.job, &first.job);
            prop_assert_eq!(to_api_json(&again.job), to_api_json(&first.job));
        }
    }

    #[test]
    fn a_valid_frame_with_any_carried_parts_is_admitted(job in object_of(&JOB, 3)) {
        let job = made_valid(job);
        let admitted = admit(job.clone());
        prop_assert!(admitted.is_ok(), "{}\n{}", admitted.expect_err("an error"), job);
    }

    #[test]
    fn text_of_any_kind_never_panics(text in ".{0,200}") {
        let vars = Default::default();
        let _ = crate::parse_hcl(&text, "x", &vars);
        let _ = crate::parse_json(&text, "x");
    }

    #[test]
    fn text_like_a_job_never_panics(parts in prop::collection::vec(
        prop::sample::select(vec![
            "job", "group", "task", "\"x\"", "{", "}", "=", "\n", "[", "]", ",", "1", "-", "/", "0", "%", "\"${", "}\"",
            "\"", "${", "<<EOF\n", "EOF\n", "for", "in", ":", "if", "?", "(", ")", "...", ".", "*", "attr.x", "#", "/*",
            "*/", "dynamic", "content", "for_each", "port", "network", "config", "null", "true", "é", "\\", "\r\n", "$",
        ]), 0..60)) {
        let text: String = parts.join(" ");
        let vars = Default::default();
        let _ = crate::parse_hcl(&text, "x", &vars);
        let _ = crate::parse_hcl(&parts.concat(), "x", &vars);
        let _ = crate::parse_json(&text, "x");
    }
}
