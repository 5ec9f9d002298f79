//! The controllers' leader is killed while it places 2,000, some committed and some not.

use std::{sync::Arc, time::Duration};

use encamp_model::{Keyspace, NodeId};
use encamp_store::{
    Range, Store,
    etcd::{EtcdStore, Options},
};
use encamp_testkit::{Step, TxnProxy, wait_for};
use encamp_world::{RawEvent, World};

use crate::{
    agent::{FakeAgent, info},
    host::{Host, PATIENCE, mark, sleeper},
};

fn store(url: &str) -> EtcdStore {
    EtcdStore::new(Options::new([url])).expect("the url is right")
}

/// Everything under the prefix as it is now.
pub(crate) async fn world(url: &str) -> World {
    let keys = Arc::new(Keyspace::new("/encamp/"));
    let (start, end) = keys.world_range();
    let listing = store(url).list(&Range::span(start, end)).await.unwrap();
    let raw: Vec<RawEvent<'_>> = listing
        .kvs
        .iter()
        .map(|kv| RawEvent {
            key: &kv.key,
            value: Some(&kv.value),
            created: kv.create_revision,
            modified: kv.mod_revision,
        })
        .collect();
    let mut world = World::new(keys);
    world.replace(listing.revision, &raw);
    world
}

async fn killed_after(passed: u64, then: Step) {
    let host = Host::new().await;
    let proxy = TxnProxy::spawn(&host.etcd.address()).await;
    // Twenty nodes that answer, without twenty machines.
    let agents: Vec<FakeAgent> = (1..=20)
        .map(|n| {
            FakeAgent::start(
                Arc::new(store(&host.etcd.url())),
                Keyspace::new("/encamp/"),
                info(NodeId::from_bits(n), 100_000),
            )
        })
        .collect();
    let api = host.start("api", &["api", "--http-port", &host.port.to_string()]);
    let mut leader = host.start_at("leader", &proxy.url(), &["controllers"]);
    host.node_ready(&api, 20).await;
    proxy.pass_then(proxy.seen() + passed, then);
    let job = host.file("many.hcl", &sleeper("many", 2_000, &mark(), ""));
    host.ctl(&["run", "--detach", &job]).ok();
    proxy.wait_held(1, PATIENCE).await;
    leader.kill9();
    proxy.cut();
    let placed = world(&host.etcd.url()).await.allocs().count();
    assert!(placed < 2_000, "the leader died in the middle: {placed} placed");
    let _next = host.start("next", &["controllers"]);
    wait_for("2,000 run", Duration::from_secs(180), async || {
        let world = world(&host.etcd.url()).await;
        let runs =
            world.allocs().filter(|a| a.said() == encamp_model::records::ClientStatus::Running).count();
        if runs == 2_000 { Ok(()) } else { Err(format!("{runs} run of {}", world.allocs().count())) }
    })
    .await;
    assert_eq!(world(&host.etcd.url()).await.allocs().count(), 2_000, "none was placed twice");
    host.audit().await;
    agents.iter().for_each(FakeAgent::die);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_while_it_places_2000_with_requests_on_their_way() {
    killed_after(6, Step::HoldRequest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_while_it_places_2000_with_answers_on_their_way() {
    killed_after(4, Step::HoldAnswer).await;
}
