//! Golden screens, one test each.

use serde_json::{Value, json};

use super::server::{Mock, NOW, Server, ago, ctl};
use crate::Exit;

const EVAL: &str = "3d823c52-929a-4a8b-850d-1ac4d00cf6b7";
const NEXT: &str = "99999999-929a-4a8b-850d-1ac4d00cf6b7";
const ALLOC: &str = "f67a72a4-5a13-4000-8000-000000000001";
const NODE: &str = "5b7ca959-dfd9-4000-8000-000000000002";

/// The example job in a file of its own.
fn job_file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.nomad");
    std::fs::write(&path, encamp_jobspec::EXAMPLE).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn eval(status: &str) -> Value {
    json!({
        "ID": EVAL, "JobID": "example", "Type": "service", "Priority": 50, "TriggeredBy": "job-register",
        "Status": status, "CreateIndex": 10, "ModifyIndex": if status == "pending" { 10 } else { 12 },
        "NextEval": "", "BlockedEval": "", "FailedTGAllocs": null, "CreateTime": ago(4),
    })
}

fn alloc() -> Value {
    json!({
        "ID": ALLOC, "Name": "example.web[0]", "EvalID": EVAL, "NodeID": NODE, "NodeName": "n1",
        "JobID": "example", "JobVersion": 0, "TaskGroup": "web", "DesiredStatus": "run",
        "ClientStatus": "running", "CreateIndex": 12, "ModifyIndex": 14, "CreateTime": ago(90),
        "ModifyTime": ago(30), "TaskStates": {"greeter": {"State": "running", "Events": []}},
        "AllocatedResources": {"Tasks": {"greeter": {"Cpu": {"CpuShares": 50}, "Memory": {"MemoryMB": 32}}},
            "Shared": {"DiskMB": 300, "Ports": [{"Label": "http", "Value": 20123, "HostIP": "10.0.0.5"}]}},
    })
}

fn with(mut value: Value, fields: Value) -> Value {
    for (name, field) in fields.as_object().unwrap() {
        value[name] = field.clone();
    }
    value
}

fn unplaced() -> Value {
    json!({
        "BlockedEval": NEXT,
        "FailedTGAllocs": {"web": {
            "NodesEvaluated": 3, "NodesFiltered": 1, "NodesExhausted": 2, "CoalescedFailures": 4,
            "NodesAvailable": {"dc1": 3, "dc2": 0},
            "ConstraintFiltered": {"${attr.kernel.name} = windows": 1},
            "DimensionExhausted": {"memory": 2}, "Shortfall": {"memory": 512},
            "Nodes": [
                {"Node": "n1", "Check": "${attr.kernel.name} = windows", "Seen": "linux", "Wanted": "windows"},
                {"Node": "n2", "Check": "memory", "Seen": "1536 MB", "Wanted": "2048 MB"},
            ],
        }},
    })
}

fn registering() -> Mock {
    Mock::new()
        .on("PUT /v1/jobs", json!({"EvalID": EVAL, "Warnings": ""}))
        .on(&format!("GET /v1/evaluation/{EVAL}/allocations"), json!([alloc()]))
}

#[test]
fn run_prints_the_five_lines_when_all_is_over_before_the_first_look() {
    let (_folder, file) = job_file();
    let server = registering().on(&format!("GET /v1/evaluation/{EVAL}"), eval("complete")).start();
    let ran = server.ctl(&["run", &file]);
    ran.shows(
        Exit::Ok,
        &[
            "==> Monitoring evaluation \"3d823c52-929a-4a8b-850d-1ac4d00cf6b7\"",
            "    Evaluation triggered by job \"example\"",
            "    Allocation \"f67a72a4\" created: node \"5b7ca959\", group \"web\"",
            "    Evaluation status changed: \"pending\" -> \"complete\"",
            "==> Evaluation \"3d823c52-929a-4a8b-850d-1ac4d00cf6b7\" finished with status \"complete\"",
        ],
    );
    assert_eq!(ran.err, "");
    let sent = &server.asked()[0];
    assert!(sent.starts_with("PUT /v1/jobs?namespace=default {\"Job\":{"), "{sent}");
    let body: Value = serde_json::from_str(&sent[sent.find('{').unwrap()..]).unwrap();
    assert_eq!(body["Submission"], json!({"Source": encamp_jobspec::EXAMPLE, "Format": "hcl"}));
}

#[test]
fn run_says_each_thing_once_however_often_it_looks() {
    let (_folder, file) = job_file();
    let path = format!("GET /v1/evaluation/{EVAL}");
    let server =
        registering().on(&path, eval("pending")).on(&path, eval("pending")).on(&path, eval("complete"));
    let server = server.start();
    let ran = server.ctl(&["run", &file]);
    assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Ok, 5), "{}", ran.out);
    let waited = server.asked().iter().any(|asked| asked.contains("index=10&wait=2000ms"));
    assert!(waited, "a blocking query after the first look: {:?}", server.asked());
}

#[test]
fn run_names_nodes_checks_and_shortfall_when_there_is_no_room_and_ends_with_two() {
    let (_folder, file) = job_file();
    let server =
        registering().on(&format!("GET /v1/evaluation/{EVAL}"), with(eval("complete"), unplaced())).start();
    let ran = server.ctl(&["run", &file]);
    assert_eq!(ran.exit, Exit::NotPlaced);
    let lines: Vec<&str> = ran.out.lines().skip(4).collect();
    assert_eq!(
        lines,
        [
            "==> Evaluation \"3d823c52-929a-4a8b-850d-1ac4d00cf6b7\" finished with status \"complete\" but failed to place all allocations:",
            "    Task Group \"web\" (failed to place 5 allocations):",
            "      * No nodes are available in datacenter \"dc2\"",
            "      * Constraint \"${attr.kernel.name} = windows\": 1 nodes excluded by filter",
            "      * Resources exhausted on 2 nodes",
            "      * Dimension \"memory\" exhausted on 2 nodes, at least 512 MB short",
            "        n1: ${attr.kernel.name} = windows: has linux, wants windows",
            "        n2: memory: has 1536 MB, wants 2048 MB",
            "        and 1 more",
            "    Evaluation \"99999999\" waiting for additional capacity to place remainder",
        ]
    );
}

#[test]
fn run_follows_the_batches_of_an_update() {
    let (_folder, file) = job_file();
    let first = with(eval("complete"), json!({"BlockedEval": NEXT}));
    let waits = "group \"web\": 1 wait until 2026-11-22T12:00:20Z to be replaced";
    let waiting = with(eval("blocked"), json!({"ID": NEXT, "StatusDescription": waits}));
    let second =
        with(eval("complete"), json!({"ID": NEXT, "TriggeredBy": "rolling-update", "PreviousEval": EVAL}));
    let server = registering()
        .on(&format!("GET /v1/evaluation/{EVAL}"), first)
        .on(&format!("GET /v1/evaluation/{NEXT}"), waiting)
        .on(&format!("GET /v1/evaluation/{NEXT}"), second)
        .on(&format!("GET /v1/evaluation/{NEXT}/allocations"), json!([]))
        .on(
            &format!("GET /v1/evaluation/{NEXT}/allocations"),
            json!([with(alloc(), json!({"CreateIndex": 9}))]),
        )
        .start();
    let ran = server.ctl(&["run", &file]);
    let lines: Vec<&str> = ran.out.lines().skip(4).collect();
    assert_eq!((ran.exit, ran.err), (Exit::Ok, format!("Waiting: {waits}\n")));
    assert_eq!(
        lines,
        [
            "==> Evaluation \"3d823c52-929a-4a8b-850d-1ac4d00cf6b7\" finished with status \"complete\"",
            "==> Monitoring next evaluation \"99999999-929a-4a8b-850d-1ac4d00cf6b7\"",
            "==> Monitoring evaluation \"99999999-929a-4a8b-850d-1ac4d00cf6b7\"",
            "    Evaluation triggered by job \"example\"",
            "    Allocation \"f67a72a4\" modified: node \"5b7ca959\", group \"web\"",
            "    Evaluation status changed: \"pending\" -> \"complete\"",
            "==> Evaluation \"99999999-929a-4a8b-850d-1ac4d00cf6b7\" finished with status \"complete\"",
        ]
    );
}

#[test]
fn run_ends_with_three_when_the_evaluation_failed() {
    let (_folder, file) = job_file();
    let failed = with(eval("failed"), json!({"StatusDescription": "the job cannot be read"}));
    let server = registering().on(&format!("GET /v1/evaluation/{EVAL}"), failed).start();
    let ran = server.ctl(&["run", &file]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.out.ends_with("finished with status \"failed\": the job cannot be read\n"), "{}", ran.out);
}

#[test]
fn run_detached_returns_the_evaluation_and_shows_warnings_beside_the_data() {
    let (_folder, file) = job_file();
    let server =
        Mock::new().on("PUT /v1/jobs", json!({"EvalID": EVAL, "Warnings": "1 warning:\n\n* carried"}));
    let ran = server.start().ctl(&["run", "-detach", &file]);
    ran.shows(Exit::Ok, &["Job registration successful", &format!("Evaluation ID: {EVAL}")]);
    assert_eq!(ran.err, "Job Warnings:\n1 warning:\n\n* carried\n\n");
}

#[test]
fn run_output_prints_what_would_be_sent_and_sends_nothing() {
    let (_folder, file) = job_file();
    let server = Mock::new().start();
    let ran = server.ctl(&["run", "-output", &file]);
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["Job"]["ID"], "example");
    assert!(server.asked().is_empty());
}

#[test]
fn apply_creates_configures_and_leaves_an_equal_job_alone() {
    let (_folder, file) = job_file();
    let apply = |stored: Option<Value>| -> (Server, String) {
        let mut server = registering();
        if let Some(stored) = stored {
            server = server.on("GET /v1/job/example", stored);
        }
        let server = server.start();
        let ran = server.ctl(&["apply", "-f", &file]);
        assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
        let out = ran.out.clone();
        (server, out)
    };
    let wrote = |server: &Server| server.asked().iter().any(|asked| asked.starts_with("PUT"));
    let parsed = encamp_jobspec::parse(encamp_jobspec::EXAMPLE, "x", &Default::default()).unwrap();
    // As the server answers: with what it derives beside what was declared.
    let stored = with(
        encamp_jobspec::to_api_json(&parsed.job),
        json!({"Version": 3, "Status": "running", "CreateIndex": 7, "ModifyIndex": 9, "JobModifyIndex": 8,
            "SubmitTime": 5, "StatusDescription": "", "Stable": false}),
    );
    let (server, out) = apply(None);
    assert_eq!((out.as_str(), wrote(&server)), ("job/example created\n", true));
    let (server, out) = apply(Some(stored.clone()));
    assert_eq!((out.as_str(), wrote(&server)), ("job/example unchanged\n", false));
    assert_eq!(server.asked(), ["GET /v1/job/example?namespace=default&canonical=true"]);
    let (server, out) = apply(Some(with(stored.clone(), json!({"Priority": 70}))));
    assert_eq!((out.as_str(), wrote(&server)), ("job/example configured\n", true));
    let (server, out) = apply(Some(with(stored, json!({"Stop": true}))));
    assert_eq!((out.as_str(), wrote(&server)), ("job/example configured\n", true));
}

#[test]
fn a_mistake_in_a_file_is_shown_with_its_place_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.nomad");
    std::fs::write(&path, "job \"web\" {\n  prioritty = 50\n}\n").unwrap();
    let server = registering().start();
    for words in [["run"].as_slice(), &["validate"], &["apply", "-f"]] {
        let mut words = words.to_vec();
        words.push(path.to_str().unwrap());
        let ran = if words[0] == "validate" { ctl(&words) } else { server.ctl(&words) };
        ran.fails(&["bad.nomad:2:", "prioritty", "priority"]);
    }
    assert!(server.asked().is_empty());
    ctl(&["validate", "/nonexistent/x.nomad"]).fails(&["ctl: /nonexistent/x.nomad: No such file"]);
}

#[test]
fn validate_says_so() {
    let (_folder, file) = job_file();
    ctl(&["validate", &file]).shows(Exit::Ok, &["Job validation successful"]);
}

#[test]
fn init_writes_an_example_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example.nomad");
    let path = path.to_str().unwrap();
    let ran = ctl(&["init", path]);
    assert_eq!((ran.exit, ran.out), (Exit::Ok, format!("Example job file written to {path}\n")));
    assert_eq!(std::fs::read_to_string(path).unwrap(), encamp_jobspec::EXAMPLE);
    std::fs::write(path, "mine").unwrap();
    ctl(&["init", path]).fails(&["exists already", "ctl init FILE"]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
}

fn stub(id: &str) -> Value {
    json!({
        "ID": id, "Name": id, "Namespace": "default", "Type": "service", "Priority": 50, "Status": "running",
        "SubmitTime": ago(3600), "JobSummary": {"Summary": {"web": {"Running": 1, "Queued": 5, "Failed": 2}}},
    })
}

fn job() -> Value {
    json!({
        "ID": "example", "Name": "example", "Namespace": "default", "Type": "service", "Priority": 50,
        "Datacenters": ["dc1"], "Status": "running", "Version": 2, "SubmitTime": ago(3600), "Periodic": null,
        "TaskGroups": [{"Name": "web", "Count": 6, "Tasks": [{"Name": "greeter"}]}],
    })
}

#[test]
fn status_lists_jobs() {
    let server = Mock::new().on("GET /v1/jobs", json!([stub("web"), stub("api/worker")])).start();
    server.ctl(&["status"]).shows(
        Exit::Ok,
        &[
            "ID          Type     Priority  Status   Submit Date",
            "api/worker  service  50        running  2026-11-22T11:00:00Z",
            "web         service  50        running  2026-11-22T11:00:00Z",
        ],
    );
    server.ctl(&["status", "-namespace", "*"]).shows(
        Exit::Ok,
        &[
            "ID          Namespace  Type     Priority  Status   Submit Date",
            "api/worker  default    service  50        running  2026-11-22T11:00:00Z",
            "web         default    service  50        running  2026-11-22T11:00:00Z",
        ],
    );
    Mock::new().on("GET /v1/jobs", json!([])).start().ctl(&["status"]).shows(Exit::Ok, &["No running jobs"]);
}

#[test]
fn status_of_a_job_says_what_stands_what_waits_and_why() {
    let blocked = with(
        eval("blocked"),
        json!({"ID": NEXT, "CreateIndex": 13, "StatusDescription":
            "group \"web\": 5 wait for room; group \"web\": 2 wait to be replaced until more than 3 run"}),
    );
    let server = Mock::new()
        .on("GET /v1/jobs", json!([stub("example"), stub("example2")]))
        .on("GET /v1/job/example", job())
        .on("GET /v1/job/example/evaluations", json!([with(eval("complete"), unplaced()), blocked]))
        .on("GET /v1/job/example/allocations", json!([alloc()]))
        .on("GET /v1/nodes", json!([]))
        .on("GET /v1/allocations", json!([]))
        .on("GET /v1/evaluations", json!([]))
        .start();
    server.ctl(&["status", "example"]).shows(
        Exit::Ok,
        &[
            "ID            = example",
            "Name          = example",
            "Submit Date   = 2026-11-22T11:00:00Z",
            "Type          = service",
            "Priority      = 50",
            "Datacenters   = dc1",
            "Namespace     = default",
            "Status        = running",
            "Version       = 2",
            "Periodic      = false",
            "Parameterized = false",
            "",
            "Summary",
            "Task Group  Queued  Starting  Running  Failed  Complete  Lost",
            "web         5       0         1        2       0         0",
            "",
            "Placement Failure",
            "Task Group \"web\" (failed to place 5 allocations):",
            "  * No nodes are available in datacenter \"dc2\"",
            "  * Constraint \"${attr.kernel.name} = windows\": 1 nodes excluded by filter",
            "  * Resources exhausted on 2 nodes",
            "  * Dimension \"memory\" exhausted on 2 nodes, at least 512 MB short",
            "    n1: ${attr.kernel.name} = windows: has linux, wants windows",
            "    n2: memory: has 1536 MB, wants 2048 MB",
            "    and 1 more",
            "",
            "Waiting",
            "group \"web\": 5 wait for room",
            "group \"web\": 2 wait to be replaced until more than 3 run",
            "",
            "Allocations",
            "ID        Node ID   Task Group  Version  Desired  Status   Created    Modified",
            "f67a72a4  5b7ca959  web         0        run      running  1m30s ago  30s ago",
        ],
    );
}

#[test]
fn status_searches_every_kind_and_lists_what_is_ambiguous() {
    let server = || {
        Mock::new()
            .on("GET /v1/jobs", json!([stub("f6-worker")]))
            .on("GET /v1/nodes", json!([node("f6000000", "n1", "ready")]))
            .on("GET /v1/allocations", json!([alloc()]))
            .on("GET /v1/evaluations", json!([]))
            .on(&format!("GET /v1/allocation/{ALLOC}"), alloc())
            .start()
    };
    server().ctl(&["status", "f6"]).fails(&[
        "\"f6\" fits more than one",
        "job f6-worker (running)",
        "node f6000000 n1 (ready)",
        "alloc f67a72a4 example.web[0] (running)",
        "Type more of it.",
    ]);
    server().ctl(&["status", "f"]).fails(&["no job, node, allocation or evaluation", "\"f\""]);
    server().ctl(&["status", "nothing"]).fails(&["no job, node, allocation or evaluation", "\"nothing\""]);
    server().ctl(&["status", "alloc/f6"]).shows(Exit::Ok, &alloc_screen());
    server().ctl(&["alloc-status", "f67a"]).shows(Exit::Ok, &alloc_screen());
    server().ctl(&["alloc", "status", "f67a"]).shows(Exit::Ok, &alloc_screen());
}

fn alloc_screen() -> Vec<&'static str> {
    vec![
        "ID             = f67a72a4-5a13-4000-8000-000000000001",
        "Eval ID        = 3d823c52",
        "Name           = example.web[0]",
        "Node ID        = 5b7ca959",
        "Node Name      = n1",
        "Job ID         = example",
        "Job Version    = 0",
        "Client Status  = running",
        "Desired Status = run",
        "Created        = 1m30s ago",
        "Modified       = 30s ago",
        "",
        "Resources",
        "CPU 50 MHz, memory 32 MB, disk 300 MB",
        "",
        "Port  Address",
        "http  10.0.0.5:20123",
        "",
        "Task \"greeter\" is \"running\"",
        "No events yet",
    ]
}

#[test]
fn a_job_of_one_name_in_two_namespaces_is_ambiguous_and_one_is_asked_for_in_its_own() {
    let team = with(stub("web"), json!({"Namespace": "team"}));
    let both = Mock::new().on("GET /v1/jobs", json!([stub("web"), team.clone()])).start();
    both.ctl(&["stop", "-namespace=*", "web"]).fails(&[
        "fits more than one job",
        "job web (running)",
        "job web in namespace team (running)",
    ]);
    let one = Mock::new()
        .on("GET /v1/jobs", json!([team]))
        .on("DELETE /v1/job/web", json!({"EvalID": EVAL}))
        .start();
    one.ctl(&["stop", "-detach", "-namespace=*", "web"]).shows(Exit::Ok, &[EVAL]);
    assert_eq!(one.asked().pop().unwrap(), "DELETE /v1/job/web?namespace=team");
}

#[test]
fn eval_status_shows_reasons_and_successors() {
    let server = Mock::new()
        .on("GET /v1/evaluations", json!([eval("complete")]))
        .on(&format!("GET /v1/evaluation/{EVAL}"), with(eval("complete"), unplaced()))
        .on(&format!("GET /v1/evaluation/{EVAL}/allocations"), json!([]))
        .start();
    let ran = server.ctl(&["eval-status", "3d82"]);
    let lines: Vec<&str> = ran.out.lines().take(11).collect();
    assert_eq!(
        lines,
        [
            "ID                 = 3d823c52-929a-4a8b-850d-1ac4d00cf6b7",
            "Create Time        = 4s ago",
            "Status             = complete",
            "Type               = service",
            "TriggeredBy        = job-register",
            "Job ID             = example",
            "Priority           = 50",
            "Placement Failures = true",
            "Blocked Eval       = 99999999-929a-4a8b-850d-1ac4d00cf6b7",
            "",
            "Failed Placements",
        ]
    );
}

fn node(id: &str, name: &str, status: &str) -> Value {
    json!({
        "ID": id, "Name": name, "Datacenter": "dc1", "NodeClass": "docker", "Drain": false, "Status": status,
        "SchedulingEligibility": "eligible", "Address": "10.0.0.5", "HTTPAddr": "10.0.0.5:4646", "Version": "0.1.0",
        "Drivers": {"raw_exec": {"Detected": true, "Healthy": true}, "docker": {"Detected": false}},
        "Resources": {"CPU": 2500, "MemoryMB": 1704, "DiskMB": 7493},
        "Reserved": {"CPU": 100, "MemoryMB": 64, "DiskMB": 0},
    })
}

#[test]
fn node_status_keeps_the_old_layout() {
    let nodes = json!([
        node("e1191817-0000-4000-8000-000000000000", "bbakker-farm-02-1q3f", "ready"),
        node("0b46eda1-0000-4000-8000-000000000000", "bbakker-farm-01-jmja", "down"),
    ]);
    let server = Mock::new().on("GET /v1/nodes", nodes).start();
    server.ctl(&["node-status"]).shows(
        Exit::Ok,
        &[
            "ID        Datacenter  Name                  Class   Drain  Status",
            "0b46eda1  dc1         bbakker-farm-01-jmja  docker  false  down",
            "e1191817  dc1         bbakker-farm-02-1q3f  docker  false  ready",
        ],
    );
}

#[test]
fn node_status_of_one_says_what_is_unallocated() {
    let done =
        with(alloc(), json!({"ID": "a0000000-5a13-4000-8000-000000000001", "ClientStatus": "complete"}));
    let server = Mock::new()
        .on("GET /v1/nodes", json!([node(NODE, "n1", "ready")]))
        .on("GET /v1/agent/self", json!({"stats": {"client": {"node_id": NODE}}}))
        .on(&format!("GET /v1/node/{NODE}"), node(NODE, "n1", "ready"))
        .on(&format!("GET /v1/node/{NODE}/allocations"), json!([alloc(), done]))
        .start();
    let screen = [
        "ID          = 5b7ca959-dfd9-4000-8000-000000000002",
        "Name        = n1",
        "Class       = docker",
        "DC          = dc1",
        "Drain       = false",
        "Eligibility = eligible",
        "Status      = ready",
        "Address     = 10.0.0.5:4646",
        "Drivers     = raw_exec",
        "",
        "Resources",
        "             CPU MHz  Memory MB  Disk MB",
        "Total        2500     1704       7493",
        "Reserved     100      64         0",
        "Allocated    50       32         300",
        "Unallocated  2350     1608       7193",
        "",
        "Allocations",
        "ID        Eval ID   Job ID   Task Group  Desired  Status    Created",
        "f67a72a4  3d823c52  example  web         run      running   1m30s ago",
        "a0000000  3d823c52  example  web         run      complete  1m30s ago",
    ];
    for words in [["node-status", "5b7c"], ["node-status", "n1"], ["node-status", "-self"]] {
        server.ctl(&words).shows(Exit::Ok, &screen);
    }
    let other = Mock::new().on("GET /v1/agent/self", json!({"stats": {}})).start();
    other.ctl(&["node-status", "-self"]).fails(&["no agent runs", "ctl node-status"]);
}

#[test]
fn get_prints_columns_names_and_data() {
    let server = Mock::new()
        .on("GET /v1/jobs", json!([stub("web")]))
        .on("GET /v1/job/web", with(job(), json!({"ID": "web"})))
        .on("GET /v1/allocations", json!([alloc()]))
        .on("GET /v1/evaluations", json!([eval("complete")]))
        .on("GET /v1/nodes", json!([node(NODE, "n1", "ready")]))
        .start();
    let shows = |words: &[&str], lines: &[&str]| server.ctl(words).shows(Exit::Ok, lines);
    shows(
        &["get", "jobs"],
        &["NAME  TYPE     PRIORITY  STATUS   READY  AGE", "web   service  50        running  1/6    1h"],
    );
    shows(
        &["get", "alloc/f67a"],
        &[
            "ID        NAME            NODE  DESIRED  STATUS   AGE",
            "f67a72a4  example.web[0]  n1    run      running  1m30s",
        ],
    );
    shows(
        &["get", "ev"],
        &[
            "ID        JOB      TRIGGERED BY  STATUS    FAILURES  AGE",
            "3d823c52  example  job-register  complete  false     4s",
        ],
    );
    shows(
        &["get", "jobs", "-namespace", "*"],
        &[
            "NAMESPACE  NAME  TYPE     PRIORITY  STATUS   READY  AGE",
            "default    web   service  50        running  1/6    1h",
        ],
    );
    shows(&["get", "node", "n1", "-o", "name"], &[&format!("node/{NODE}")]);
    let wide = server.ctl(&["get", "nodes", "-o", "wide"]);
    assert!(wide.out.contains(NODE) && wide.out.contains("10.0.0.5"), "{}", wide.out);
    let json: Value = serde_json::from_str(&server.ctl(&["get", "job", "web", "-o", "json"]).out).unwrap();
    assert_eq!(json["TaskGroups"][0]["Count"], 6);
    let yaml = server.ctl(&["get", "job/web", "-o=yaml"]).out;
    assert!(yaml.contains("ID: web\n") && yaml.contains("- Count: 6\n"), "{yaml}");
    server.ctl(&["get", "pods"]).fails(&["no kind \"pods\"", "jobs, nodes, allocs, evals"]);
}

#[test]
fn logs_follow_the_newest_running_allocation_of_a_job() {
    let newer = "aaaaaaaa-5a13-4000-8000-000000000001";
    let server = Mock::new()
        .on("GET /v1/jobs", json!([stub("example")]))
        .on(
            "GET /v1/job/example/allocations",
            json!([
                alloc(),
                with(alloc(), json!({"ID": newer, "CreateIndex": 20, "ClientStatus": "failed"}))
            ]),
        )
        .on(&format!("GET /v1/allocation/{ALLOC}"), alloc())
        .text(&format!("GET /v1/client/fs/logs/{ALLOC}"), 200, "Hello\nworld")
        .start();
    let ran = server.ctl(&["logs", "-f", "job/example"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "Hello\nworld"), "{}", ran.err);
    let last = server.asked().pop().unwrap();
    assert!(last.contains("task=greeter&type=stdout&follow=true&plain=true"), "{last}");
    server.ctl(&["logs", "-stderr", "-job", "example"]);
    assert!(server.asked().pop().unwrap().contains("type=stderr&follow=false"));
}

#[test]
fn logs_of_an_allocation_with_several_tasks_ask_for_one() {
    let two = with(alloc(), json!({"TaskStates": {"app": {}, "sidecar": {}}}));
    let server = Mock::new()
        .on("GET /v1/allocations", json!([two.clone()]))
        .on(&format!("GET /v1/allocation/{ALLOC}"), two)
        .text(&format!("GET /v1/client/fs/logs/{ALLOC}"), 200, "x\n")
        .on("GET /v1/job/example", job())
        .start();
    server.ctl(&["logs", "example"]).fails(&["\"example\" is a job", "ctl logs job/example"]);
    server.ctl(&["logs", "f67a"]).fails(&["has several tasks", "-t TASK: app, sidecar"]);
    server.ctl(&["logs", "f67a", "-t", "ap"]).fails(&["has no task \"ap\"", "app, sidecar"]);
    server.ctl(&["logs", "f67a", "-t", "app"]).shows(Exit::Ok, &["x"]);
    server.ctl(&["alloc", "logs", "f67a", "sidecar"]).shows(Exit::Ok, &["x"]);
}

#[test]
fn stop_follows_its_evaluation_and_never_guesses() {
    let server = registering()
        .on("GET /v1/jobs", json!([stub("example")]))
        .on("DELETE /v1/job/example", json!({"EvalID": EVAL}))
        .on(
            &format!("GET /v1/evaluation/{EVAL}"),
            with(eval("complete"), json!({"TriggeredBy": "job-deregister"})),
        )
        .start();
    server.ctl(&["stop", "exam"]).fails(&["only the beginning of job \"example\"", "ctl stop example"]);
    assert!(server.asked().iter().all(|asked| !asked.starts_with("DELETE")));
    assert_eq!(server.ctl(&["stop", "-purge", "example"]).out.lines().count(), 5);
    assert!(
        server
            .asked()
            .iter()
            .any(|asked| asked.starts_with("DELETE /v1/job/example") && asked.contains("purge=true"))
    );
    server.ctl(&["stop", "-detach", "-yes", "exam"]).shows(Exit::Ok, &[EVAL]);
    server.ctl(&["stop", "nothing"]).fails(&["no job", "\"nothing\"", "ctl status"]);
}

#[test]
fn an_address_where_nobody_listens_is_named_with_the_ways_out() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    ctl(&["status", "--address", &address]).fails(&[
        &format!("ctl: cannot reach {address}: connection refused"),
        "comes from --address",
        "ctl dev",
        "NOMAD_ADDR",
        "CTL_ADDR",
    ]);
    ctl(&["status", "--address", "localhost:4646"]).fails(&["is no address", "http://127.0.0.1:4646"]);
}

#[test]
fn a_servers_refusal_is_shown_in_its_own_words() {
    let refusing = |status, text| Mock::new().text("GET /v1/jobs", status, text).start();
    refusing(403, "Permission denied").ctl(&["status"]).fails(&[
        "ctl: GET /v1/jobs: 403: Permission denied",
        "--token",
        "NOMAD_TOKEN",
    ]);
    refusing(500, "").ctl(&["status"]).fails(&["500: Internal Server Error"]);
    refusing(200, "<html>").ctl(&["status"]).fails(&["cannot read the answer", "ctl version"]);
}

#[test]
fn the_token_and_the_namespace_go_with_every_request() {
    let server = Mock::new().on("GET /v1/jobs", json!([])).start();
    server.ctl(&["status", "-token", "s3cret", "-namespace=team", "-region", "eu"]);
    assert_eq!(server.asked(), ["GET /v1/jobs?namespace=team&prefix=&region=eu token=s3cret"]);
    assert_eq!(NOW, ago(0));
}

#[test]
fn a_log_that_breaks_off_is_no_end_of_its_task() {
    let server = Mock::new()
        .on("GET /v1/allocations", json!([alloc()]))
        .on(&format!("GET /v1/allocation/{ALLOC}"), alloc())
        .cut(&format!("GET /v1/client/fs/logs/{ALLOC}"), "half")
        .start();
    let ran = server.ctl(&["logs", "-f", "f67a"]);
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.contains("broke off") && ran.err.contains("ctl alloc-status f67a"), "{}", ran.err);
}
