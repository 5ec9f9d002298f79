use std::time::Duration;

use encamp_model::{AllocId, EvalId, Key, records::Gate};
use encamp_world::testing::objects;
use serde_json::json;
use tokio::time::Instant;

use super::lab::{Lab, node, web};

#[tokio::test(start_paused = true)]
async fn an_empty_table_that_never_changed_has_index_0_and_only_without_an_index() {
    let lab = Lab::new().await;
    for path in ["/v1/jobs", "/v1/nodes", "/v1/allocations", "/v1/evaluations"] {
        let reply = lab.get(path).await;
        assert_eq!((reply.ok(), reply.index()), (json!([]), 0), "{path}");
    }
    let reply = lab.get("/v1/jobs?index=500&wait=10ms").await;
    assert_eq!(reply.index(), 500, "never below the index that was asked for");
    lab.register(&web("web")).await;
    lab.send("DELETE", "/v1/job/web?purge=true", "").await.ok();
    assert!(lab.get("/v1/jobs").await.index() > 0, "it changed");
    lab.get("/v1/job/web").await.fails(404, "job not found");
    assert!(lab.get("/v1/job/web").await.index() > 0);
}

#[tokio::test(start_paused = true)]
async fn every_read_carries_its_headers() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    for path in
        ["/v1/jobs", "/v1/job/web", "/v1/nodes", "/v1/job/nope", "/v1/evaluations", "/v1/job/web/allocations"]
    {
        let reply = lab.get(path).await;
        reply.index();
        assert_eq!(reply.headers["x-nomad-knownleader"], "true", "{path}");
        assert_eq!(reply.headers["x-nomad-lastcontact"], "0", "{path}");
    }
    assert!(lab.get("/v1/job/web?pretty").await.text.contains("\n  \"ID\": \"web\""));
    assert!(!lab.get("/v1/job/web").await.text.contains('\n'));
}

#[tokio::test(start_paused = true)]
async fn a_blocking_query_wakes_when_the_table_changes() {
    let lab = Lab::new().await;
    lab.register(&web("a")).await;
    let index = lab.get("/v1/jobs").await.index();
    let start = Instant::now();
    let path = format!("/v1/jobs?index={index}&wait=5m");
    let waits = async {
        let reply = lab.get(&path).await;
        (reply.index(), reply.ok(), start.elapsed())
    };
    let writes = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        lab.register(&web("b")).await["JobModifyIndex"].as_i64().unwrap()
    };
    let ((woken, list, after), written) = tokio::join!(waits, writes);
    assert_eq!(woken, written);
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert!((60..62).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_blocking_query_ends_with_its_time_and_a_sixteenth() {
    let lab = Lab::new().await;
    lab.register(&web("a")).await;
    let index = lab.get("/v1/jobs").await.index();
    for (wait, least, most) in [("32s", 32, 34), ("99h", 600, 638), ("", 300, 319)] {
        let start = Instant::now();
        let reply = lab.get(&format!("/v1/jobs?index={index}&wait={wait}")).await;
        assert_eq!(reply.index(), index);
        let took = start.elapsed().as_secs();
        assert!((least..=most).contains(&took), "{wait}: {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_waited_for_and_others_do_not_wake_it() {
    let lab = Lab::new().await;
    lab.register(&web("a")).await;
    let index = lab.get("/v1/job/a").await.index();
    let start = Instant::now();
    let path = format!("/v1/job/a?index={index}&wait=10m");
    let waits = async {
        let reply = lab.get(&path).await;
        (reply.status, reply.index(), start.elapsed().as_secs())
    };
    let writes = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        lab.register(&web("b")).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        lab.send("DELETE", "/v1/job/a?purge=true", "").await.ok()["Index"].as_i64().unwrap()
    };
    let ((status, woken, after), written) = tokio::join!(waits, writes);
    assert_eq!((status, woken, after), (404, written, 20));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_blocking_queries() {
    let lab = Lab::new().await;
    lab.register(&web("a")).await;
    let index = lab.get("/v1/jobs").await.index();
    let path = format!("/v1/jobs?index={index}&stale");
    let start = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        lab.shutdown.cancel();
    };
    let (reply, ()) = tokio::join!(lab.get(&path), stop);
    assert_eq!((reply.status, start.elapsed().as_secs()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_read_sees_what_was_written_before_it_even_if_the_watch_lags() {
    let lab = Lab::new().await;
    let other = Lab::on(lab.store.client("two"), (*lab.config).clone(), None).await;
    lab.store.hold_watches();
    other.register(&web("web")).await;
    assert_eq!(lab.get("/v1/jobs?stale").await.ok(), json!([]), "stale asks nobody");
    let release = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        lab.store.release_watches();
    };
    let (fresh, ()) = tokio::join!(lab.get("/v1/jobs"), release);
    assert_eq!(fresh.ok().as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lists_are_paged_filtered_and_reversed() {
    let lab = Lab::new().await;
    for name in ["api", "web-1", "web-2", "web-3"] {
        lab.register(&web(name)).await;
    }
    let ids = |reply: &super::lab::Reply| -> Vec<String> {
        reply.ok().as_array().unwrap().iter().map(|j| j["ID"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&lab.get("/v1/jobs?prefix=web").await), ["web-1", "web-2", "web-3"]);
    let first = lab.get("/v1/jobs?per_page=2&prefix=web").await;
    assert_eq!(ids(&first), ["web-1", "web-2"]);
    let token = first.headers["x-nomad-nexttoken"].to_str().unwrap();
    assert_eq!(token, "default.web-3");
    let second = lab.get(&format!("/v1/jobs?per_page=2&prefix=web&next_token={token}")).await;
    assert_eq!(ids(&second), ["web-3"]);
    assert!(second.headers.get("x-nomad-nexttoken").is_none());
    assert_eq!(ids(&lab.get("/v1/jobs?reverse=true&per_page=1").await), ["web-3"]);
    assert_eq!(lab.get("/v1/evaluations?job=api").await.ok().as_array().unwrap().len(), 1);
    assert_eq!(lab.get("/v1/evaluations?status=complete").await.ok(), json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_job_is_pending_running_and_dead_as_its_allocations_are() {
    let lab = Lab::new().await;
    let status = async |lab: &Lab| lab.get("/v1/job/web").await.ok()["Status"].as_str().unwrap().to_owned();
    let eval = lab.register(&web("web")).await["EvalID"].as_str().unwrap().parse::<EvalId>().unwrap();
    assert_eq!(status(&lab).await, "pending");
    lab.join(node(), "127.0.0.1:1").await;
    let id = AllocId::from_bits(1);
    let record = lab.place(node(), id, &lab.declared("web"), eval).await;
    assert_eq!(status(&lab).await, "running");
    let summary = lab.get("/v1/job/web/summary").await.ok();
    assert_eq!(summary["Summary"]["web"]["Running"], 1);
    lab.send("DELETE", "/v1/job/web", "").await.ok();
    assert_eq!(status(&lab).await, "running", "until it has stopped");
    let ended = encamp_model::records::ClientStatus::Complete;
    let said = objects::status("web", &record, ended, encamp_model::Timestamp::default());
    let index = lab.store_value(Key::AllocStatus(node(), id), &said).await;
    assert_eq!(status(&lab).await, "dead");
    assert_eq!(lab.get("/v1/job/web").await.index(), index);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_asks_for_nothing_is_dead_once_that_was_looked_at() {
    let lab = Lab::new().await;
    let mut none = web("none");
    none["TaskGroups"][0]["Count"] = json!(0);
    let id = lab.register(&none).await["EvalID"].as_str().unwrap().parse::<EvalId>().unwrap();
    let status = async |lab: &Lab| lab.get("/v1/job/none").await.ok()["Status"].clone();
    assert_eq!(status(&lab).await, "pending");
    let mut eval = lab.process.world().eval(id).unwrap().value.clone();
    eval.status = encamp_model::records::EvalStatus::Complete;
    lab.store_value(Key::Eval(id), &eval).await;
    assert_eq!(status(&lab).await, "dead");
}

#[tokio::test(start_paused = true)]
async fn an_allocation_on_a_node_that_went_down_is_lost_and_its_index_says_when() {
    let lab = Lab::new().await;
    let eval = lab.register(&web("web")).await["EvalID"].as_str().unwrap().parse::<EvalId>().unwrap();
    lab.join(node(), "127.0.0.1:1").await;
    let id = AllocId::from_bits(1);
    lab.place(node(), id, &lab.declared("web"), eval).await;
    let path = format!("/v1/allocation/{id}");
    assert_eq!(lab.get(&path).await.ok()["ClientStatus"], "running");
    let index = lab.store_value(Key::NodeState(node()), &objects::gate(Gate::Down)).await;
    let reply = lab.get(&path).await;
    assert_eq!((reply.ok()["ClientStatus"].as_str(), reply.index()), (Some("lost"), index));
    assert_eq!(lab.get(&format!("/v1/node/{}", node())).await.ok()["Status"], "down");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_what_gate_and_intent_say() {
    let lab = Lab::new().await;
    let path = format!("/v1/node/{}", node());
    let info = objects::node_info(node());
    lab.store_value(Key::NodeInfo(node()), &info).await;
    let shown = async |lab: &Lab| {
        let node = lab.get(&path).await.ok();
        (
            node["Status"].as_str().unwrap().to_owned(),
            node["SchedulingEligibility"].as_str().unwrap().to_owned(),
        )
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(shown(&lab).await, pair("initializing", "eligible"));
    for (gate, text) in [(Gate::Ready, "ready"), (Gate::Disconnected, "disconnected"), (Gate::Down, "down")] {
        lab.store_value(Key::NodeState(node()), &objects::gate(gate)).await;
        assert_eq!(shown(&lab).await, pair(text, "eligible"));
    }
    let index = lab.get(&path).await.index();
    let intents = encamp_model::records::NodeIntents { generation: 1, eligible: false };
    let written = lab.store_value(Key::NodeIntents(node()), &intents).await;
    assert_eq!(shown(&lab).await.1, "ineligible", "before the gate has followed");
    assert!(written > index && lab.get(&path).await.index() == written);
    // A heartbeat changes nothing that is shown.
    lab.store_value(Key::NodeLease(node()), &objects::lease()).await;
    assert_eq!(lab.get(&path).await.index(), written);
}
