//! Jobs as the API's clients send them.

use serde_json::{Value, json};

use super::{api_job, hcl_json, job_with, json as parse, plain};
use crate::{admit, to_api_json};

/// A job as a client of today sends it: every default filled in.
fn filled_in() -> Value {
    serde_json::from_str(include_str!("corpus/filled.json")).expect("JSON")
}

#[test]
fn a_job_with_every_default_filled_in_is_taken_without_a_word() {
    let parsed = admit(filled_in()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.warnings, Vec::<String>::new());
    let again = admit(to_api_json(&parsed.job)).expect("what was admitted");
    assert_eq!(again.job, parsed.job);
}

#[test]
fn keys_are_taken_in_any_case_but_not_the_users_own() {
    let job = r#"{"job": {"id": "j", "TYPE": "batch", "taskgroups": [{"name": "g", "tasks": [{"name": "t",
        "DRIVER": "docker", "config": {"Image": "x", "image": "y"}, "env": {"Path": "1", "PATH": "2"},
        "resources": {"cpu": "500", "memorymb": 64}}]}], "meta": {"Key": "1", "key": "2"}}}"#;
    let out = to_api_json(&parse(job).unwrap_or_else(|e| panic!("{e}")).job);
    let task = &out["TaskGroups"][0]["Tasks"][0];
    assert_eq!(out["Type"], "batch");
    assert_eq!(out["Meta"], json!({"Key": "1", "key": "2"}));
    assert_eq!(task["Config"], json!({"Image": "x", "image": "y"}));
    assert_eq!(task["Env"], json!({"Path": "1", "PATH": "2"}));
    assert_eq!(task["Resources"], json!({"CPU": 500, "MemoryMB": 64}));
}

#[test]
fn durations_come_as_text_or_numbers_and_leave_as_nanoseconds() {
    let texts = r#""KillTimeout": "1m30s""#;
    let numbers = r#""KillTimeout": 90000000000"#;
    for task in [texts, numbers] {
        let parsed = parse(&api_job("", "", task)).expect("a duration");
        assert_eq!(parsed.job.task_groups[0].tasks[0].kill_timeout, Some(90_000_000_000));
    }
}

#[test]
fn hcl_and_json_agree() {
    let hcl = job_with(
        "datacenters = [\"dc1\"]\nconstraint {\nattribute = \"$attr.arch\"\nregexp = \"^a\"\n}\nmeta {\nowner = \"me\"\n}",
        "count = 3\nnetwork {\nport \"a\" {\nstatic = \"80\"\n}\nport \"b\" {}\n}\nrestart {\nattempts = 1\ninterval = \"1h\"\n}",
        "config {\ncommand = \"x\"\n}\nenv {\nN = 1\n}\nlogs {\nmax_files = 3\n}\nleader = true",
    );
    let json = api_job(
        r#""Datacenters": ["dc1"], "Meta": {"owner": "me"},
           "Constraints": [{"LTarget": "${attr.arch}", "Operand": "regexp", "RTarget": "^a"}]"#,
        r#""Count": 3, "RestartPolicy": {"Attempts": 1, "Interval": 3600000000000},
           "Networks": [{"ReservedPorts": [{"Label": "a", "Value": 80}], "DynamicPorts": [{"Label": "b"}]}]"#,
        r#""Config": {"command": "x"}, "Env": {"N": "1"}, "LogConfig": {"MaxFiles": 3}, "Leader": true"#,
    );
    assert_eq!(hcl_json(&hcl), to_api_json(&parse(&json).unwrap_or_else(|e| panic!("{e}")).job));
}

#[test]
fn refused_blocks_are_named_with_their_reason() {
    let cases = [
        ("", "", r#""Templates": [{"DestPath": "x"}]"#, "template"),
        ("", "", r#""Artifacts": [{"GetterSource": "x"}]"#, "artifact"),
        ("", "", r#""Vault": {}"#, "vault"),
        ("", "", r#""Lifecycle": {"Hook": "prestart"}"#, "lifecycle"),
        ("", "", r#""Resources": {"Cores": 2}"#, "cores"),
        ("", "", r#""Resources": {"Devices": [{"Name": "gpu"}]}"#, "device"),
        ("", "", r#""VolumeMounts": [{"Volume": "v"}]"#, "volume_mount"),
        ("", "", r#""DispatchPayload": {"File": "x"}"#, "dispatch_payload"),
        ("", "", r#""Schedule": {"Cron": {"Start": "0 * * * *"}}"#, "schedule"),
        ("", "", r#""Secrets": [{"Name": "x"}]"#, "secret"),
        ("", r#""Volumes": {"v": {"Type": "host", "Source": "x"}}"#, "", "volume"),
        ("", r#""Services": [{"Name": "s", "Connect": {"SidecarService": {}}}]"#, "", "sidecar_service"),
        ("", r#""Networks": [{"Mode": "bridge"}]"#, "", "network mode \"bridge\""),
        ("", r#""Networks": [{"DNS": {"Servers": ["1.1.1.1"]}}]"#, "", "dns"),
        ("", r#""StopAfterClientDisconnect": 1000000000"#, "", "stop_after_client_disconnect"),
        ("", r#""PreventRescheduleOnLost": true"#, "", "prevent_reschedule_on_lost"),
        (r#""Periodic": {"Spec": "* * * * *", "Enabled": true}"#, "", "", "periodic"),
        (r#""ParameterizedJob": {}"#, "", "", "parameterized"),
        (r#""Multiregion": {"Regions": [{"Name": "a"}]}"#, "", "", "multiregion"),
        (r#""Update": {"Canary": 1}"#, "", "", "canary"),
        (r#""Update": {"AutoRevert": true}"#, "", "", "auto_revert"),
        (r#""Update": {"AutoPromote": true}"#, "", "", "auto_promote"),
        (r#""NodePool": "gpu""#, "", "", "node_pool"),
        (
            r#""Constraints": [{"Operand": "distinct_property", "LTarget": "${meta.rack}"}]"#,
            "",
            "",
            "\"distinct_property\"",
        ),
        (
            r#""Constraints": [{"Operand": "set_contains", "LTarget": "${meta.x}", "RTarget": "a"}]"#,
            "",
            "",
            "\"set_contains\"",
        ),
        (r#""Type": "sysbatch""#, "", "", "\"sysbatch\""),
    ];
    for (job, group, task, name) in cases {
        let text = plain(parse(&api_job(job, group, task)));
        assert_eq!(text.lines().count(), 1, "{name}: {text}");
        assert!(text.contains(name) && text.contains("not served yet"), "{name}: {text}");
    }
}

#[test]
fn carried_blocks_are_named_in_warnings() {
    let cases = [
        (r#""Update": {"HealthCheck": "task_states"}"#, "", "", "health_check"),
        (r#""Update": {"MinHealthyTime": "1s"}"#, "", "", "min_healthy_time"),
        (r#""Spreads": [{"Attribute": "${node.datacenter}"}]"#, "", "", "spread"),
        (r#""Affinities": [{"LTarget": "a", "RTarget": "b"}]"#, "", "", "affinity"),
        ("", r#""ReschedulePolicy": {"Attempts": 3}"#, "", "reschedule"),
        ("", r#""Migrate": {"MaxParallel": 3}"#, "", "migrate"),
        ("", r#""EphemeralDisk": {"Sticky": true}"#, "", "sticky"),
        ("", r#""Services": [{"Name": "s"}]"#, "", "service"),
        ("", "", r#""Services": [{"Name": "s"}]"#, "service"),
        ("", "", r#""Resources": {"IOPS": 10}"#, "iops"),
        ("", "", r#""Resources": {"Networks": [{"MBits": 10}]}"#, "mbits"),
        ("", "", r#""ShutdownDelay": 1000000000"#, "shutdown_delay"),
    ];
    for (job, group, task, name) in cases {
        let parsed = parse(&api_job(job, group, task)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(parsed.warnings.len(), 1, "{name}: {:?}", parsed.warnings);
        assert!(parsed.warnings[0].contains(&format!(": {name} is kept")), "{name}: {:?}", parsed.warnings);
    }
}

#[test]
fn errors_of_the_api_name_the_path() {
    let job: Value =
        serde_json::from_str(&api_job("", r#""Count": "many""#, r#""KillSignal": "SIGNIT""#)).expect("JSON");
    let text = plain(admit(job));
    let expected = "\
Job.TaskGroups[0].Count: job \"j\" > group \"g\": count has to be a whole number, not \"many\"
Job.TaskGroups[0].Tasks[0].KillSignal: job \"j\" > group \"g\" > task \"t\": there is no signal \"SIGNIT\" (did you mean \"SIGINT\"?)";
    assert_eq!(text, expected);
}

#[test]
fn what_is_no_job_is_an_error() {
    for (text, expected) in [
        ("", "job.json: invalid JSON: the text ends where a value was expected"),
        ("[]", "a job is an object, not a list"),
        ("{}", "a job needs a name"),
        ("{\"Job\": null}", "a job is an object, not null"),
        ("{\"Job\": {\"ID\": \"x\"}}", "a job needs at least one group"),
        ("{\"a\": 1, \"a\": 2}", "the key \"a\" is given twice"),
        ("{\"ID\": \"a\", \"id\": \"b\"}", "\"id\" is given twice, in different case"),
        ("{\"ID\": \"a\",}", "a key in double quotes was expected here"),
        ("{\"ID\": 01}", "not a number that JSON knows"),
        ("{} x", "there is more after the end"),
    ] {
        let found = plain(parse(text));
        assert!(found.contains(expected.trim_start_matches("job.json: ")), "{text}: {found}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(plain(parse(&deep)).contains("nested deeper than 64 levels"));
}
