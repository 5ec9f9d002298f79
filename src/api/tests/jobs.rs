use encamp_model::{
    EvalId, Job, Key,
    records::{Eval, EvalStatus, Trigger},
};
use serde_json::{Value, json};

use super::lab::{Lab, node, uid, web};

fn eval(lab: &Lab, answer: &Value) -> Eval {
    let id: EvalId = answer["EvalID"].as_str().unwrap().parse().unwrap();
    lab.process.world().eval(id).unwrap().value.clone()
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_one_unit_of_declaration_version_source_and_evaluation() {
    let lab = Lab::new().await;
    let body = json!({ "Job": web("web"), "Submission": { "Format": "hcl2", "Source": "job \"web\" {}" } });
    let reply = lab.put("/v1/jobs", &body).await;
    let answer = reply.ok();
    let uid = uid(&lab, "web");
    assert_eq!(lab.keys("jobs").await, ["default/web"]);
    assert_eq!(lab.keys("job-versions").await, [format!("{uid}/0")]);
    assert_eq!(lab.keys("job-sources").await, [format!("{uid}/0")]);
    assert_eq!(lab.keys("evals").await, [answer["EvalID"].as_str().unwrap()]);
    let world = lab.process.world();
    for key in [
        Key::Job(encamp_model::JobId::new("default", "web")),
        Key::JobVersion(uid, 0),
        Key::JobSource(uid, 0),
    ] {
        assert_eq!(world.mod_revision(&key), answer["JobModifyIndex"].as_i64().unwrap(), "{key:?}");
    }
    assert_eq!(answer["Index"], answer["EvalCreateIndex"]);
    assert_eq!(reply.index(), answer["Index"].as_i64().unwrap());
    let eval = eval(&lab, &answer);
    assert_eq!((eval.trigger, eval.status, eval.uid), (Trigger::JobRegister, EvalStatus::Pending, uid));
    assert_eq!(lab.declared("web").version, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_spec_writes_an_evaluation_and_nothing_else() {
    let lab = Lab::new().await;
    let first = lab.register(&web("web")).await;
    let before = lab.stored().await;
    // Another case, other spellings of the same, and what clients fill in.
    let again = json!({ "job": { "id": "web", "type": "service", "stop": false, "taskGroups": [{ "name": "web", "count": 1,
        "tasks": [{ "name": "server", "driver": "docker", "config": { "image": "web:1" } }] }] } });
    let second = lab.send("POST", "/v1/jobs", again.to_string()).await.ok();
    let mut after = lab.stored().await;
    let key = format!("/encamp/evals/{}", second["EvalID"].as_str().unwrap());
    assert!(after.remove(&key).is_some());
    assert_eq!(before, after);
    assert_eq!(second["JobModifyIndex"], first["JobModifyIndex"]);
    assert_ne!(second["EvalID"], first["EvalID"]);
}

/// A job with most of what has a default or is carried.
fn rich() -> Value {
    json!({ "ID": "web", "Update": { "MaxParallel": 1 }, "TaskGroups": [
        { "Name": "front", "Count": 2, "Networks": [{ "DynamicPorts": [{ "Label": "http" }], "ReservedPorts": [{ "Label": "dns", "Value": 53 }] }],
          "Services": [{ "Name": "web", "PortLabel": "http", "Checks": [{ "Type": "tcp", "Interval": 1_000_000_000, "Timeout": 1_000_000_000 }] }],
          "Constraints": [{ "LTarget": "${attr.kernel.name}", "RTarget": "linux" }],
          "Tasks": [{ "Name": "a", "Driver": "docker", "Config": { "image": "a" }, "Resources": { "CPU": 50 } },
                    { "Name": "b", "Driver": "docker", "Config": { "image": "b" }, "LogConfig": { "MaxFiles": 2 } }] },
        { "Name": "back", "RestartPolicy": { "Attempts": 7 }, "Tasks": [{ "Name": "c", "Driver": "docker", "Config": { "image": "c" } }] } ] })
}

#[tokio::test(start_paused = true)]
async fn what_was_shown_and_is_sent_back_is_no_change() {
    let lab = Lab::new().await;
    for job in [web("web"), rich()] {
        lab.register(&job).await;
        let (declared, shown) = (lab.declared("web"), lab.get("/v1/job/web").await.ok());
        lab.register(&shown).await;
        assert_eq!(lab.declared("web"), declared);
    }
}

#[tokio::test(start_paused = true)]
async fn of_what_was_shown_edited_and_sent_back_only_the_edit_is_a_change() {
    let lab = Lab::new().await;
    lab.register(&rich()).await;
    let (before, mut shown) = (lab.declared("web"), lab.get("/v1/job/web").await.ok());
    shown["TaskGroups"][1]["Count"] = json!(3);
    shown["TaskGroups"][0]["Tasks"].as_array_mut().unwrap().swap_remove(0);
    shown["TaskGroups"][0]["RestartPolicy"]["Delay"] = json!(1_000_000_000);
    lab.register(&shown).await;
    let after = lab.declared("web");
    assert_eq!((after.version, after.task_groups[1].count), (1, Some(3)));
    let mut expected = before.clone();
    expected.task_groups[0].tasks.remove(0);
    assert_eq!(after.task_groups[0].tasks, expected.task_groups[0].tasks);
    assert_eq!(after.task_groups[1].tasks, expected.task_groups[1].tasks);
    let restart = serde_json::to_value(&after.task_groups[0].restart_policy).unwrap();
    assert_eq!(restart, json!({ "Delay": 1_000_000_000 }));
    assert_eq!((&after.update, &after.task_groups[0].update), (&before.update, &None));
}

#[tokio::test(start_paused = true)]
async fn versions_count_with_the_spec_and_stop_is_part_of_it() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    let first = uid(&lab, "web");
    let mut job = web("web");
    job["TaskGroups"][0]["Count"] = json!(3);
    lab.register(&job).await;
    assert_eq!(lab.declared("web").version, 1);
    let stopped = lab.send("DELETE", "/v1/job/web", "").await.ok();
    assert_eq!(eval(&lab, &stopped).trigger, Trigger::JobDeregister);
    assert_eq!(stopped["JobModifyIndex"], stopped["EvalCreateIndex"]);
    assert!(lab.declared("web").stop);
    assert_eq!(lab.declared("web").version, 2);
    // Stopping twice changes nothing.
    let again = lab.send("DELETE", "/v1/job/web", "").await.ok();
    assert_eq!(lab.declared("web").version, 2);
    assert_eq!(again["JobModifyIndex"], stopped["JobModifyIndex"]);
    lab.register(&job).await;
    let started: Job = lab.declared("web");
    assert_eq!((started.version, started.stop, started.uid), (3, false, Some(first)));
    let versions = lab.get("/v1/job/web/versions").await.ok();
    let counts: Vec<_> =
        versions["Versions"].as_array().unwrap().iter().map(|v| v["Version"].as_u64()).collect();
    assert_eq!(counts, [Some(3), Some(2), Some(1), Some(0)]);
    assert_eq!(versions["Versions"][3]["TaskGroups"][0]["Count"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_purged_name_registered_again_is_another_registration() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    let first = uid(&lab, "web");
    let purged = lab.send("DELETE", "/v1/job/web?purge=true", "").await.ok();
    assert_eq!(eval(&lab, &purged).uid, first, "the evaluation says whose allocations to stop");
    assert_eq!(lab.keys("jobs").await, [""; 0]);
    assert_eq!(lab.keys("job-versions").await.len(), 1, "history is gc's to delete");
    lab.get("/v1/job/web").await.fails(404, "job not found");
    lab.register(&web("web")).await;
    assert_ne!(uid(&lab, "web"), first);
    assert_eq!(lab.declared("web").version, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_job_is_deregistered_without_a_write() {
    let lab = Lab::new().await;
    let before = lab.stored().await;
    let answer = lab.send("DELETE", "/v1/job/nope?purge=true", "").await.ok();
    assert_eq!(answer["EvalID"], "");
    assert_eq!(lab.stored().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_check_index_that_does_not_match_writes_nothing() {
    let lab = Lab::new().await;
    let with = |index: i64| json!({ "Job": web("web"), "EnforceIndex": true, "JobModifyIndex": index });
    lab.put("/v1/jobs", &with(7)).await.fails(500, "Enforcing job modify index 7: the job does not exist");
    let index = lab.put("/v1/jobs", &with(0)).await.ok()["JobModifyIndex"].as_i64().unwrap();
    let before = lab.stored().await;
    lab.put("/v1/jobs", &with(0)).await.fails(500, "Enforcing job modify index 0: the job exists");
    lab.put("/v1/jobs", &with(index + 1)).await.fails(500, "Enforcing job modify index");
    assert_eq!(lab.stored().await, before);
    lab.put("/v1/jobs", &with(index)).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_job_cannot_change_its_type() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    let mut batch = web("web");
    batch["Type"] = json!("batch");
    let before = lab.stored().await;
    lab.put("/v1/jobs", &json!({ "Job": batch })).await.fails(500, "cannot be changed from service to batch");
    assert_eq!(lab.stored().await, before);
}

#[tokio::test(start_paused = true)]
async fn raw_exec_is_refused_where_nodes_are_known_and_none_enables_it() {
    let lab = Lab::new().await;
    let mut job = web("web");
    job["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("raw_exec");
    job["TaskGroups"][0]["Tasks"][0]["Config"] = json!({ "command": "/bin/true" });
    let warned = lab.register(&job).await;
    assert!(warned["Warnings"].as_str().unwrap().contains("no node is known yet"), "{warned}");
    let info = encamp_world::testing::objects::node_info(encamp_model::NodeId::from_bits(9));
    lab.store_value(Key::NodeInfo(info.id), &info).await;
    let before = lab.stored().await;
    lab.put("/v1/jobs", &json!({ "Job": job })).await.fails(500, "raw_exec is enabled on no node");
    assert_eq!(lab.stored().await, before);
    lab.join(node(), "127.0.0.1:1").await;
    let taken = lab.register(&job).await;
    assert_eq!(taken["Warnings"], "");
}

#[tokio::test(start_paused = true)]
async fn evaluate_writes_an_evaluation_that_says_whether_to_force() {
    let lab = Lab::new().await;
    lab.put("/v1/job/web/evaluate", &json!({})).await.fails(404, "job not found");
    let registered = lab.register(&web("web")).await;
    let plain = lab.send("POST", "/v1/job/web/evaluate", "").await.ok();
    let forced = json!({ "JobID": "web", "EvalOptions": { "forcereschedule": true } });
    let forced = lab.put("/v1/job/web/evaluate", &forced).await.ok();
    assert_eq!(plain["JobModifyIndex"], registered["JobModifyIndex"]);
    let (plain, forced) = (eval(&lab, &plain), eval(&lab, &forced));
    assert_eq!((plain.trigger, plain.force_reschedule), (Trigger::JobEval, false));
    assert!(forced.force_reschedule);
    assert_eq!(lab.declared("web").version, 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_id_with_slashes_is_reached_encoded_and_bare() {
    let lab = Lab::new().await;
    let reply = lab.put("/v1/job/team%2Fweb", &json!({ "Job": web("team/web") })).await;
    reply.ok();
    assert_eq!(lab.keys("jobs").await, ["default/team%2Fweb"]);
    for path in ["/v1/job/team%2Fweb", "/v1/job/team/web", "/v1/job/team/web?stale"] {
        assert_eq!(lab.get(path).await.ok()["ID"], "team/web", "{path}");
    }
    for part in ["allocations", "evaluations", "summary", "versions"] {
        lab.get(&format!("/v1/job/team/web/{part}")).await.ok();
        lab.get(&format!("/v1/job/team%2Fweb/{part}")).await.ok();
    }
    lab.put("/v1/job/other", &json!({ "Job": web("web") })).await.fails(400, "does not match");
}

#[tokio::test(start_paused = true)]
async fn namespaces_keep_equal_names_apart() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    lab.put("/v1/jobs?namespace=team", &json!({ "Job": web("web") })).await.ok();
    assert_eq!(lab.keys("jobs").await, ["default/web", "team/web"]);
    let ids = |value: Value| -> Vec<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|j| format!("{}/{}", j["Namespace"].as_str().unwrap(), j["ID"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(ids(lab.get("/v1/jobs").await.ok()), ["default/web"]);
    assert_eq!(ids(lab.get("/v1/jobs?namespace=team").await.ok()), ["team/web"]);
    assert_eq!(ids(lab.get("/v1/jobs?namespace=*").await.ok()), ["default/web", "team/web"]);
    assert_eq!(lab.get("/v1/job/web?namespace=team").await.ok()["Namespace"], "team");
    lab.send("DELETE", "/v1/job/web?namespace=team&purge=true", "").await.ok();
    assert_eq!(lab.keys("jobs").await, ["default/web"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_carried_comes_back_unchanged() {
    let lab = Lab::new().await;
    let mut job = web("web");
    job["TaskGroups"][0]["Services"] =
        json!([{ "Name": "web", "PortLabel": "http", "Tags": ["a"], "Meta": { "KeyCase": "x" } }]);
    job["TaskGroups"][0]["Tasks"][0]["Env"] = json!({ "lower": "1", "UPPER": "2" });
    let answer = lab.register(&job).await;
    assert!(answer["Warnings"].as_str().unwrap().contains("service"), "{answer}");
    let shown = lab.get("/v1/job/web").await.ok();
    let service = &shown["TaskGroups"][0]["Services"][0];
    assert_eq!(
        (&service["Name"], &service["Tags"], &service["Meta"]),
        (&json!("web"), &json!(["a"]), &json!({ "KeyCase": "x" }))
    );
    assert_eq!(shown["TaskGroups"][0]["Tasks"][0]["Env"], json!({ "lower": "1", "UPPER": "2" }));
    assert_eq!(lab.declared("web").uid.map(|u| u.to_string()).as_deref(), shown["UID"].as_str());
}
