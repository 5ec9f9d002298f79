use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use encamp_model::{JobId, Key};
use encamp_store::{
    Op, Store as _, Txn,
    memory::{Fault, TxnCall},
};
use serde_json::json;

use super::lab::{Lab, web};

/// Is this the unit of a registration?
fn registers(txn: &Txn) -> bool {
    format!("{:?}", txn.success).contains("/evals/")
}

/// The first registration's transaction suffers this; the others pass.
fn first_suffers(lab: &Lab, fault: Fault) -> Arc<AtomicU32> {
    let seen = Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    lab.store.on_txn(move |call: &TxnCall<'_>| {
        if registers(call.txn) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            fault.clone()
        } else {
            Fault::Pass
        }
    });
    seen
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_write_lands_once() {
    for fault in
        [Fault::ApplyThenTimeout, Fault::UnavailableAfterApply, Fault::Unavailable, Fault::NoSpaceAfterApply]
    {
        let lab = Lab::new().await;
        first_suffers(&lab, fault.clone());
        let answer = lab.register(&web("web")).await;
        assert_eq!(lab.keys("evals").await, [answer["EvalID"].as_str().unwrap()], "{fault:?}");
        let job = lab.process.world().mod_revision(&Key::Job(JobId::new("default", "web")));
        assert_eq!(answer["JobModifyIndex"], job, "{fault:?}");
        assert_eq!(lab.declared("web").version, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn out_of_space_is_507_with_the_remedy() {
    let lab = Lab::new().await;
    let before = lab.stored().await;
    first_suffers(&lab, Fault::NoSpace);
    lab.put("/v1/jobs", &json!({ "Job": web("web") })).await.fails(507, "etcdctl alarm disarm");
    assert_eq!(lab.stored().await, before);
}

#[tokio::test(start_paused = true)]
async fn values_that_cannot_be_read_are_counted_and_stop_nothing() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    let key = lab.process.keyspace().encode(&Key::Job(JobId::new("default", "odd")));
    lab.store.txn(Txn::new().then(Op::put(key, "{garbage"))).await.unwrap();
    let jobs = lab.get("/v1/jobs").await;
    assert_eq!(jobs.ok().as_array().unwrap().len(), 1, "the readable one is still there");
    let own = lab.get("/v1/agent/self").await;
    assert_eq!(own.ok()["stats"]["encamp"]["opaque_entries"], "1");
}

#[tokio::test(start_paused = true)]
async fn without_etcd_reads_and_writes_are_503_and_stale_reads_go_on() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    lab.store.cut();
    lab.get("/v1/jobs").await.fails(503, "No cluster leader");
    lab.put("/v1/jobs", &json!({ "Job": web("b") })).await.fails(503, "No cluster leader");
    let stale = lab.get("/v1/jobs?stale").await;
    assert_eq!(stale.ok().as_array().unwrap().len(), 1);
    assert_eq!(lab.get("/v1/agent/self").await.status, 200);
    // The World's watch is gone, too; once the process knows, it says so.
    let mut last = String::new();
    for _ in 0..100 {
        let health = lab.get("/healthz").await;
        last = format!("{} {}", health.status, health.text);
        if health.status == 503 {
            tokio::time::advance(Duration::from_secs(7)).await;
            let stale = lab.get("/v1/jobs?stale").await;
            assert_eq!(stale.headers["x-nomad-knownleader"], "false");
            let contact: u64 = stale.headers["x-nomad-lastcontact"].to_str().unwrap().parse().unwrap();
            assert!(contact >= 7000, "{contact} ms");
            assert_eq!(lab.get("/v1/agent/health").await.status, 500);
            lab.store.heal();
            return;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    panic!("still healthy: {last}");
}

/// Somebody changes the job between our decision and our write, again and again.
fn contend(lab: &Lab, times: u32) {
    let others = lab.store.client("others");
    let (count, keys) = (AtomicU32::new(0), lab.process.keyspace().clone());
    let job = lab.declared("web");
    lab.store.on_txn(move |call: &TxnCall<'_>| {
        if call.client == "others" || !registers(call.txn) || count.fetch_add(1, Ordering::SeqCst) >= times {
            return Fault::Pass;
        }
        let mut unit = encamp_model::Unit::new();
        unit.put(Key::Job(job.job_id()), &job);
        let txn = encamp_runtime::unit_txn(&keys, unit);
        let gate = encamp_store::memory::Gate::new();
        let (others, open) = (others.clone(), gate.clone());
        encamp_runtime::task::spawn("a faster writer", async move {
            encamp_store::Store::txn(&others, txn).await.unwrap();
            open.open();
        });
        Fault::Hold(gate)
    });
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_decided_anew() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    contend(&lab, 3);
    let mut job = web("web");
    job["TaskGroups"][0]["Count"] = json!(5);
    lab.register(&job).await;
    assert_eq!(lab.declared("web").task_groups[0].count, Some(5));
    assert_eq!(lab.declared("web").version, 1);
}

#[tokio::test(start_paused = true)]
async fn a_race_lost_again_and_again_is_given_up() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    contend(&lab, u32::MAX);
    let mut job = web("web");
    job["TaskGroups"][0]["Count"] = json!(5);
    lab.put("/v1/jobs", &json!({ "Job": job })).await.fails(500, "being changed by others");
    assert_eq!(lab.declared("web").task_groups[0].count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_check_index_that_a_race_broke_is_not_tried_again() {
    let lab = Lab::new().await;
    let index = lab.register(&web("web")).await["JobModifyIndex"].clone();
    contend(&lab, 1);
    let mut job = web("web");
    job["TaskGroups"][0]["Count"] = json!(5);
    let body = json!({ "Job": job, "EnforceIndex": true, "JobModifyIndex": index });
    lab.put("/v1/jobs", &body).await.fails(500, "Enforcing job modify index");
    assert_eq!(lab.declared("web").task_groups[0].count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_declaration_that_cannot_be_read_is_not_written_over() {
    let lab = Lab::new().await;
    lab.register(&web("web")).await;
    lab.store_value(Key::Job(JobId::new("default", "web")), &json!("from the future")).await;
    let before = lab.stored().await;
    let text = "/encamp/jobs/default/web holds what this version cannot read";
    lab.put("/v1/jobs", &json!({ "Job": web("web") })).await.fails(500, text);
    lab.send("DELETE", "/v1/job/web?purge=true", "").await.fails(500, text);
    lab.put("/v1/job/web/evaluate", &json!({})).await.fails(500, text);
    lab.get("/v1/job/web").await.fails(500, text);
    assert_eq!(lab.stored().await, before);
}

#[tokio::test(start_paused = true)]
async fn without_its_cluster_a_process_writes_nothing() {
    let lab = Lab::new().await;
    let mut unit = encamp_model::Unit::new();
    unit.delete(Key::Cluster);
    lab.write(unit).await;
    let before = lab.stored().await;
    let reply = lab.put("/v1/jobs", &json!({ "Job": web("web") })).await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(lab.stored().await, before);
    assert_eq!(lab.get("/healthz").await.status, 503);
}
