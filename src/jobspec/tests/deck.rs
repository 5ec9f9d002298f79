//! The job files of a public talk of 2016, which have to work unchanged. They lie outside of the project.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{EXAMPLE, parse, read, same_spec, to_api_json};

/// The deck's job files, or nothing where the deck is not there.
fn deck() -> Option<Vec<(PathBuf, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/deck/jobs");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: there is no deck at {}", folder.display());
        return None;
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .map(|path| (path.clone(), fs::read_to_string(&path).expect("a readable job file")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the deck at {} is empty", folder.display());
    Some(files)
}

fn file(name: &str) -> Option<String> {
    deck()?.into_iter().find(|(path, _)| path.ends_with(name)).map(|(_, text)| text)
}

#[test]
fn every_file_of_the_deck_parses() {
    for (path, text) in deck().unwrap_or_default() {
        let name = path.display().to_string();
        let draft = read(&text, &name, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(draft.api_json().contains_key("TaskGroups"), "{name}");
    }
}

#[test]
fn system_jobs_of_the_deck_are_refused_by_type_alone_and_the_others_admitted() {
    for (path, text) in deck().unwrap_or_default() {
        let is_system = text.contains("\"system\"");
        match parse(&text, "x", &BTreeMap::new()) {
            Ok(_) => assert!(!is_system, "{} was admitted", path.display()),
            Err(errors) => {
                assert!(is_system, "{}: {errors}", path.display());
                assert_eq!(errors.items().len(), 1, "{}: {errors}", path.display());
                assert!(errors.items()[0].message.starts_with("jobs of type \"system\" are not served yet"));
                assert_eq!(errors.items()[0].line_text.trim(), "type = \"system\"");
            }
        }
    }
}

#[test]
fn hcl_and_json_of_hello_world_say_the_same() {
    let (Some(hcl), Some(json)) = (file("helloworld-v1.nomad"), file("helloworld-v1.json")) else { return };
    let hcl = parse(&hcl, "v1.nomad", &BTreeMap::new()).expect("the HCL form").job;
    let mut json = parse(&json, "v1.json", &BTreeMap::new()).expect("the JSON form").job;
    assert_eq!(hcl.task_groups[0].tasks[0].config, json.task_groups[0].tasks[0].config);

    // What only the JSON states, each a value of its own: nothing was invented for the HCL.
    assert_eq!(json.region.take().as_deref(), Some("global"));
    assert_eq!(json.priority.take(), Some(50));
    let group = &mut json.task_groups[0];
    let restart = group.restart_policy.take().expect("its restart policy");
    assert_eq!((restart.attempts, restart.mode.as_deref()), (Some(2), Some("delay")));
    let task = &mut group.tasks[0];
    assert_eq!(task.kill_timeout.take(), Some(5_000_000_000));
    let resources = task.resources.as_mut().expect("its resources");
    assert_eq!(resources.disk_mb.take(), Some(300));
    assert_eq!(resources.extra.remove("IOPS"), Some(json!(0)));
    assert!(same_spec(&hcl, &json), "{}\n{}", to_api_json(&hcl), to_api_json(&json));
}

#[test]
fn one_line_blocks_are_read_with_a_note() {
    let Some(text) = file("helloworld-v2.nomad") else { return };
    let parsed = parse(&text, "v2.nomad", &BTreeMap::new()).expect("the file of the talk");
    assert_eq!(parsed.notes.len(), 1, "{:?}", parsed.notes);
    let task = &to_api_json(&parsed.job)["TaskGroups"][0]["Tasks"][0];
    assert_eq!(task["Config"]["port_map"], json!([{"http": 8080}]));
    assert_eq!(task["Resources"]["Networks"], json!([{"DynamicPorts": [{"Label": "http"}]}]));
}

#[test]
fn bare_attributes_and_ports_in_quotes_are_understood() {
    let Some(text) = file("sysdig.nomad") else { return };
    let draft = read(&text, "sysdig.nomad", &BTreeMap::new()).expect("the file of the talk");
    let job = Value::Object(draft.api_json().clone());
    let task = &job["TaskGroups"][0]["Tasks"][0];
    assert_eq!(
        task["Env"]["TAGS"],
        "stack:bbakker,nomad.dc:${node.datacenter},zone:${attr.platform.gce.zone}"
    );
    let ports = &task["Resources"]["Networks"][0]["ReservedPorts"];
    assert_eq!(*ports, json!([{"Label": "sysdig_statsite", "Value": 8125}]));
    assert_eq!(task["Config"]["args"][6], "-e");
}

#[test]
fn the_example_is_valid_as_it_is() {
    let parsed = parse(EXAMPLE, "example.hcl", &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((parsed.warnings, parsed.notes), (Vec::new(), Vec::new()));
    assert_eq!(parsed.job.id, *"example");
    assert_eq!(parsed.job.task_groups[0].tasks[0].driver, "raw_exec");
}
