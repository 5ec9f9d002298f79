//! Every answer served against the paths and types that Nomad's clients expect (`../shared/http/shapes.tsv`).

use std::{collections::BTreeMap, path::PathBuf};

use encamp_model::{
    AllocId, EvalId, Key, Name, Timestamp,
    records::{EvalOutcome, EvalStatus, JobState, NodeReason, PlacementFailure, Want},
};
use serde_json::{Value, json};

use super::{
    lab::{Lab, NOW, node, web},
    logs::{ALLOC, FakeAgent},
};
use crate::ApiConfig;

const BLOCKED: u128 = 0xb10c;

/// Paths that hold something this version has no word for: null, and why.
const ABSENT: &[(&str, &str)] = &[
    ("DeploymentStatus", "deployments come with their loop"),
    ("LastDrain", "drains come with their loop"),
    ("ClassEligibility.", "keys of the sample's own data"),
    ("QueuedAllocations.", "keys of the sample's own data"),
    ("ResourcesExhausted", "exhausted dimensions are told by DimensionExhausted and Shortfall"),
    ("TaskGroups[].*[].Weights", "nothing but null in the sample"),
    (".Options.", "keys of the sample's own data"),
];

/// Folder of the facts, if this tree has it beside it.
fn facts() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/http");
    let there = folder.join("shapes.tsv").is_file();
    if !there {
        eprintln!("skipped: {} is absent", folder.display());
    }
    there.then_some(folder)
}

/// By answer: path → types.
fn expected(folder: &std::path::Path) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let text = std::fs::read_to_string(folder.join("shapes.tsv")).unwrap();
    let mut all: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let [name, path, types] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let types = types.split('|').map(str::to_owned).collect();
        all.entry(name.to_owned()).or_default().insert(path.to_owned(), types);
    }
    all
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "num",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

/// The values at a path, or `None` if nothing is there to have one (an empty list or map, a null).
fn at<'a>(root: &'a Value, path: &str) -> Option<Vec<&'a Value>> {
    let mut here = vec![root];
    let mut rest = path.strip_prefix('$').unwrap();
    while !rest.is_empty() {
        let next: Vec<&Value>;
        let any_parent;
        if let Some(tail) = rest.strip_prefix("[]") {
            next = here.iter().filter_map(|v| v.as_array()).flatten().collect();
            any_parent = false;
            rest = tail;
        } else {
            let tail = &rest[1..];
            let maps: Vec<_> = here.iter().filter_map(|v| v.as_object()).collect();
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (key, tail) =
                if tail.starts_with("kernel.name") { ("kernel.name", "") } else { tail.split_at(end) };
            any_parent = key != "*" && maps.iter().any(|map| !map.is_empty());
            next = match key {
                "*" => maps.iter().flat_map(|map| map.values()).collect(),
                key => maps.iter().filter_map(|map| map.get(key)).collect(),
            };
            rest = tail;
        }
        if next.is_empty() {
            return any_parent.then(Vec::new);
        }
        here = next;
    }
    Some(here)
}

/// What of an answer does not fit.
fn misfits(answer: &Value, shape: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut out = Vec::new();
    for (path, types) in shape {
        if ABSENT.iter().any(|(absent, _)| path.contains(absent)) {
            continue;
        }
        let Some(values) = at(answer, path) else { continue };
        if values.is_empty() {
            out.push(format!("{path} is missing"));
        }
        let any = types.iter().any(|t| t == "null");
        let wrong = values.iter().find(|v| !any && !types.iter().any(|t| t == type_of(v)));
        out.extend(wrong.map(|v| format!("{path} is {v:.60}, not {}", types.join(" or "))));
    }
    out
}

/// A job with something of everything that is carried or served.
fn example() -> Value {
    json!({
        "ID": "example", "Name": "example", "Type": "service", "Datacenters": ["*"], "Meta": { "owner": "me" },
        "TaskGroups": [{
            "Name": "cache", "Count": 1,
            "Constraints": [{ "LTarget": "${attr.kernel.name}", "RTarget": "linux", "Operand": "=" }],
            "Networks": [{ "DynamicPorts": [{ "Label": "db" }] }],
            "Services": [{ "Name": "redis-cache", "Tags": ["global"], "PortLabel": "db", "Provider": "nomad",
                "Checks": [{ "Name": "alive", "Type": "tcp", "Interval": 10_000_000_000_i64, "Timeout": 2_000_000_000_i64 }] }],
            "Scaling": { "Enabled": true, "Min": 1, "Max": 3, "Policy": {} },
            "Tasks": [{
                "Name": "redis", "Driver": "docker", "Config": { "image": "redis:7", "ports": ["db"] },
                "Env": { "A": "b" }, "Resources": { "CPU": 200, "MemoryMB": 128 },
                "Actions": [{ "Name": "ping", "Command": "/bin/ping", "Args": ["localhost"] }],
            }],
        }],
    })
}

fn why() -> PlacementFailure {
    PlacementFailure {
        nodes_evaluated: 1,
        nodes_exhausted: 1,
        nodes_available: BTreeMap::from([("dc1".into(), 1)]),
        exhausted: BTreeMap::from([("memory".into(), 1)]),
        shortfall: BTreeMap::from([("memory".into(), 1808)]),
        nodes: vec![NodeReason {
            node: "n1".into(),
            check: "memory".into(),
            seen: "8192".into(),
            wanted: "10000".into(),
        }],
        ..PlacementFailure::default()
    }
}

/// A placed job, one that waits for room, a node, and what is known of all of them.
async fn full_lab() -> (Lab, EvalId) {
    let agent = FakeAgent::with(&[(0, "hello\n")]);
    *agent.ended.lock().unwrap() = true;
    let lab = Lab::with(ApiConfig::new("127.0.0.1:4646"), Some(agent)).await;
    lab.join(node(), "127.0.0.1:4646").await;
    let eval: EvalId = lab.register(&example()).await["EvalID"].as_str().unwrap().parse().unwrap();
    lab.place(node(), AllocId::from_bits(ALLOC), &lab.declared("example"), eval).await;
    complete(&lab, eval, None).await;
    let blocked: EvalId = lab.register(&web("nofit")).await["EvalID"].as_str().unwrap().parse().unwrap();
    complete(&lab, blocked, Some(EvalId::from_bits(BLOCKED))).await;
    let want = Want::Room { count: 2, version: 0, shape: 1, revision: 3, why: why() };
    let state = JobState {
        uid: lab.declared("nofit").uid.unwrap(),
        wants: BTreeMap::from([(Name::from("web"), vec![want])]),
        next: EvalId::from_bits(BLOCKED),
        batches: BTreeMap::new(),
    };
    lab.store_value(Key::JobState(encamp_model::JobId::new("default", "nofit")), &state).await;
    (lab, eval)
}

/// What the planner writes.
async fn complete(lab: &Lab, id: EvalId, next: Option<EvalId>) {
    let mut eval = lab.process.world().eval(id).unwrap().value.clone();
    eval.status = EvalStatus::Complete;
    let mut outcome = EvalOutcome {
        next,
        snapshot_revision: 5,
        finished: Timestamp::from_secs(NOW),
        ..EvalOutcome::default()
    };
    if next.is_some() {
        outcome.failed_groups.insert("web".into(), why());
        outcome.queued.insert("web".into(), 2);
    }
    eval.outcome = Some(outcome);
    lab.store_value(Key::Eval(id), &eval).await;
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_shape_that_clients_expect() {
    let Some(folder) = facts() else { return };
    let shapes = expected(&folder);
    let (lab, eval) = full_lab().await;
    let (alloc, blocked, node) = (AllocId::from_bits(ALLOC), EvalId::from_bits(BLOCKED), node());
    let invalid = json!({ "Job": { "ID": "x", "TaskGroups": [] } }).to_string();
    let job = json!({ "Job": example() }).to_string();
    let requests = [
        ("agent-health", "GET", "/v1/agent/health".to_owned(), ""),
        ("agent-self", "GET", "/v1/agent/self".to_owned(), ""),
        ("allocation", "GET", format!("/v1/allocation/{alloc}"), ""),
        ("allocations", "GET", "/v1/allocations".to_owned(), ""),
        ("allocations-resources", "GET", "/v1/allocations?resources=true&task_states=false".to_owned(), ""),
        (
            "client-fs-logs-frames",
            "GET",
            format!("/v1/client/fs/logs/{alloc}?task=server&type=stdout&follow=false"),
            "",
        ),
        ("evaluation", "GET", format!("/v1/evaluation/{eval}?related=true"), ""),
        ("evaluation-allocations", "GET", format!("/v1/evaluation/{eval}/allocations"), ""),
        ("evaluation-blocked", "GET", format!("/v1/evaluation/{blocked}"), ""),
        ("evaluations", "GET", "/v1/evaluations".to_owned(), ""),
        ("job", "GET", "/v1/job/example".to_owned(), ""),
        ("job-allocations", "GET", "/v1/job/example/allocations".to_owned(), ""),
        ("job-evaluations", "GET", "/v1/job/nofit/evaluations".to_owned(), ""),
        ("job-summary", "GET", "/v1/job/example/summary".to_owned(), ""),
        ("job-versions", "GET", "/v1/job/example/versions?diffs=true".to_owned(), ""),
        ("jobs-list", "GET", "/v1/jobs".to_owned(), ""),
        ("jobs-list-meta", "GET", "/v1/jobs?meta=true&prefix=exa".to_owned(), ""),
        ("jobs-list-page", "GET", "/v1/jobs?per_page=1".to_owned(), ""),
        ("node", "GET", format!("/v1/node/{node}"), ""),
        ("node-allocations", "GET", format!("/v1/node/{node}/allocations"), ""),
        ("nodes", "GET", "/v1/nodes?resources=true&os=true".to_owned(), ""),
        ("regions", "GET", "/v1/regions".to_owned(), ""),
        ("status-leader", "GET", "/v1/status/leader".to_owned(), ""),
        ("status-peers", "GET", "/v1/status/peers".to_owned(), ""),
        ("validate-job", "PUT", "/v1/validate/job".to_owned(), &*job),
        ("validate-job-bad", "PUT", "/v1/validate/job".to_owned(), &invalid),
        ("jobs-register", "PUT", "/v1/jobs".to_owned(), &job),
        ("job-evaluate", "PUT", "/v1/job/example/evaluate".to_owned(), "{}"),
        ("job-deregister", "DELETE", "/v1/job/nofit".to_owned(), ""),
        ("job-deregister-purge", "DELETE", "/v1/job/nofit?purge=true".to_owned(), ""),
        ("job-deregister-unknown", "DELETE", "/v1/job/nope".to_owned(), ""),
    ];
    let mut wrong = Vec::new();
    for (name, method, path, body) in requests {
        let answer = lab.send(method, &path, body.to_owned()).await.ok();
        let shape = shapes.get(name).unwrap_or_else(|| panic!("no shape {name}"));
        wrong.extend(misfits(&answer, shape).into_iter().map(|text| format!("{name}: {text}")));
    }
    assert!(wrong.is_empty(), "{} misfits:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_status_content_type_and_headers_that_clients_expect() {
    let Some(folder) = facts() else { return };
    let text = std::fs::read_to_string(folder.join("requests.tsv")).unwrap();
    let served = [
        "agent-health",
        "agent-self",
        "allocation-badid",
        "allocations",
        "evaluations",
        "job-404",
        "jobs-list",
        "jobs-list-meta",
        "jobs-list-page",
        "jobs-register-badjson",
        "jobs-register-nojob",
        "job",
        "job-allocations",
        "job-evaluations",
        "job-summary",
        "job-versions",
        "method-not-allowed",
        "nodes",
        "path-unknown",
        "regions",
        "status-leader",
        "status-peers",
        "job-deregister-unknown",
        "job-evaluate",
    ];
    let (lab, _) = full_lab().await;
    let mut seen = 0;
    for line in text.lines().skip(1) {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap_or_default();
        let (name, request, status, content, headers, said) =
            (column(), column(), column(), column(), column(), column());
        if !served.contains(&name) {
            continue;
        }
        seen += 1;
        let (method, path) = request.split_once(' ').unwrap();
        let body = if name == "jobs-register-badjson" { "{" } else { "" };
        let reply = lab.send(method, path, body).await;
        assert_eq!(reply.status.to_string(), status, "{name}: {}", reply.text);
        if reply.status != 200 && !said.is_empty() {
            assert_eq!(reply.text, said, "{name}");
        }
        if content != "-" {
            assert!(reply.headers["content-type"].to_str().unwrap().starts_with(content), "{name}");
        }
        for header in headers.split(',').filter(|h| *h != "-") {
            assert!(reply.headers.contains_key(header), "{name}: no {header}");
        }
    }
    assert_eq!(seen, served.len());
}

#[tokio::test(start_paused = true)]
async fn the_blocked_evaluation_says_what_is_missing() {
    let (lab, _) = full_lab().await;
    let blocked = lab.get(&format!("/v1/evaluation/{}", EvalId::from_bits(BLOCKED))).await.ok();
    assert_eq!(blocked["Status"], "blocked");
    assert_eq!(blocked["TriggeredBy"], "queued-allocs");
    assert_eq!(blocked["QueuedAllocations"], json!({ "web": 2 }));
    let failed = &blocked["FailedTGAllocs"]["web"];
    assert_eq!(failed["DimensionExhausted"], json!({ "memory": 1 }));
    assert_eq!(failed["Shortfall"], json!({ "memory": 1808 }));
    assert_eq!(
        failed["Nodes"],
        json!([{ "Node": "n1", "Check": "memory", "Seen": "8192", "Wanted": "10000" }])
    );
    let list = lab.get("/v1/job/nofit/evaluations").await.ok();
    let done = list.as_array().unwrap().iter().find(|e| e["Status"] == "complete").unwrap();
    assert_eq!((&done["BlockedEval"], &blocked["PreviousEval"]), (&blocked["ID"], &done["ID"]));
    assert_eq!(lab.get("/v1/evaluations?status=blocked").await.ok().as_array().unwrap().len(), 1);
    assert_eq!(lab.get("/v1/jobs").await.ok()[1]["JobSummary"]["Summary"]["web"]["Queued"], 2);
}

#[tokio::test(start_paused = true)]
async fn an_allocation_has_ports_and_resources_of_both_eras() {
    let (lab, eval) = full_lab().await;
    let alloc = lab.get(&format!("/v1/allocation/{}", AllocId::from_bits(ALLOC))).await.ok();
    let old = &alloc["TaskResources"]["redis"]["Networks"][0];
    assert_eq!((&old["IP"], &old["DynamicPorts"][0]["Value"]), (&json!("10.0.0.5"), &json!(20_000)));
    assert_eq!(alloc["AllocatedResources"]["Shared"]["Ports"][0]["Value"], 20_000);
    assert_eq!(alloc["AllocatedResources"]["Tasks"]["redis"]["Cpu"]["CpuShares"], 200);
    assert_eq!(alloc["Job"]["TaskGroups"][0]["Tasks"][0]["Name"], "redis");
    assert_eq!(alloc["TaskStates"]["redis"]["Events"][1]["Type"], "Started");
    assert_eq!((&alloc["EvalID"], &alloc["Name"]), (&json!(eval), &json!("example.cache[0]")));
    // The version that it names stays readable after the job has moved on.
    let mut job = example();
    job["Meta"] = json!({ "owner": "you" });
    job["TaskGroups"][0]["Tasks"][0]["Resources"]["CPU"] = json!(999);
    lab.register(&job).await;
    let alloc = lab.get(&format!("/v1/allocation/{}", AllocId::from_bits(ALLOC))).await.ok();
    assert_eq!((&alloc["Job"]["Version"], &alloc["TaskResources"]["redis"]["CPU"]), (&json!(0), &json!(200)));
}

#[tokio::test(start_paused = true)]
async fn every_call_that_clients_make_is_served_or_said_not_to_be() {
    let Some(folder) = facts() else { return };
    let endpoints = std::fs::read_to_string(folder.join("endpoints.tsv")).unwrap();
    let requests = std::fs::read_to_string(folder.join("requests.tsv")).unwrap();
    let calls = endpoints.lines().skip(1).map(|line| line.split('\t').next().unwrap());
    let calls = calls.chain(requests.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap()));
    let lab = Lab::new().await;
    let mut unknown = Vec::new();
    for call in calls.filter(|call| !call.ends_with("/v1/nope") && *call != "POST /v1/status/leader") {
        let (method, path) = call.split_once(' ').unwrap();
        let id = "f67a4b07-72a4-5a13-8a0b-bc3cd1b4ed7c";
        let path =
            path.replace(":id", id).replace("<id>", id).replace(":job", "x").replace([':', '<', '>'], "");
        let reply = lab.send(method, &path, "").await;
        if reply.status == 405 || reply.text == "404 page not found" {
            unknown.push(format!("{method} {path}: {}", reply.text));
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}
