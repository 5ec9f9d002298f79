//! From `ctl apply` to a running task, an update, and a stop, seen with `etcdctl`.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use encamp_testkit::wait_for;
use serde_json::Value;

use crate::host::{Host, PATIENCE, mark, sleeper, until_marked};

#[tokio::test]
async fn apply_runs_a_task_and_its_output_is_there() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    let mark = mark();
    let file = host.file("web.hcl", &sleeper("web", 2, &mark, ""));
    let out = host.ctl(&["apply", "-f", &file]).ok();
    assert!(out.stdout.contains("job/web created"), "{out:?}");
    host.running("web", 2).await;
    until_marked(&mark, 2).await;
    let logs = host.ctl(&["logs", "job/web"]).ok();
    assert!(logs.stdout.contains("hello from web.g["), "{logs:?}");
    let again = host.ctl(&["apply", "-f", &file]).ok();
    assert!(again.stdout.contains("job/web unchanged"), "{again:?}");

    let before = host.etcdctl(&["get", "/encamp/jobs/", "--prefix", "-w", "json"]);
    host.ctl(&["apply", "-f", &file]).ok();
    let after = host.etcdctl(&["get", "/encamp/jobs/", "--prefix", "-w", "json"]);
    let revision =
        |text: &str| serde_json::from_str::<Value>(text).unwrap()["kvs"][0]["mod_revision"].clone();
    assert_eq!(revision(&before), revision(&after), "an unchanged apply writes nothing");

    host.ctl(&["stop", "web"]).ok();
    until_marked(&mark, 0).await;
    host.audit().await;
}

#[tokio::test]
async fn run_prints_the_five_lines_of_the_talk() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    let file = host.file("hello.nomad", &sleeper("hello", 1, &mark(), ""));
    let out = host.ctl(&["run", &file]).ok();
    let lines: Vec<&str> = out.stdout.lines().filter(|line| !line.is_empty()).collect();
    let begins = [
        "==> Monitoring evaluation \"",
        "    Evaluation triggered by job \"hello\"",
        "    Allocation \"",
        "    Evaluation status changed: \"pending\" -> \"complete\"",
        "==> Evaluation \"",
    ];
    assert_eq!(lines.len(), begins.len(), "{out:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line:?} does not begin with {begin:?}");
    }
    assert!(lines[2].contains("created: node \"") && lines[2].ends_with("group \"g\""), "{}", lines[2]);
    assert!(lines[4].ends_with("finished with status \"complete\""), "{}", lines[4]);
}

/// One change that `etcdctl watch` printed: the key, and the value unless it was deleted.
type Told = (String, Option<Value>);

/// Watches what a node is told, as a platform engineer would.
fn watch(host: &Host, node: &str) -> (Child, Arc<Mutex<Vec<Told>>>) {
    let mut child = Command::new("etcdctl")
        .args([
            "--endpoints",
            &host.etcd.url(),
            "watch",
            "--rev=1",
            "--prefix",
            &format!("/encamp/allocs/{node}/"),
        ])
        .env("ETCDCTL_API", "3")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let into = seen.clone();
    // An event is three lines: PUT or DELETE, the key, the value.
    std::thread::spawn(move || {
        while let (Some(kind), Some(key), Some(value)) = (lines.next(), lines.next(), lines.next()) {
            let value =
                (kind == "PUT").then(|| serde_json::from_str(&value).expect("a record is readable JSON"));
            into.lock().unwrap().push((key, value));
        }
    });
    (child, seen)
}

#[tokio::test]
async fn a_watch_of_the_nodes_keys_tells_what_the_agent_did() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    let node = host.get("/v1/nodes").await.unwrap()[0]["ID"].as_str().unwrap().to_owned();
    let (mut watcher, told) = watch(&host, &node);
    let (first, second) = (mark(), mark());
    host.ctl(&["apply", "-f", &host.file("w.hcl", &sleeper("watched", 2, &first, ""))]).ok();
    until_marked(&first, 2).await;
    host.ctl(&["apply", "-f", &host.file("w.hcl", &sleeper("watched", 2, &second, ""))]).ok();
    until_marked(&second, 2).await;
    until_marked(&first, 0).await;
    host.ctl(&["stop", "watched"]).ok();
    until_marked(&second, 0).await;

    // What was told, by allocation: run, then stop; two of each version.
    let story = wait_for("the watch has told the whole story", PATIENCE, async || {
        let mut story: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for (key, value) in told.lock().unwrap().iter() {
            let Some(value) = value else { continue };
            let desired = value["desired"].as_str().unwrap().to_owned();
            story.entry(key.clone()).or_default().push((value["version"].as_u64().unwrap(), desired));
        }
        let stopped =
            story.values().filter(|told| told.last().is_some_and(|(_, desired)| desired == "stop")).count();
        if stopped == 4 { Ok(story) } else { Err(format!("{story:#?}")) }
    })
    .await;
    let versions: Vec<u64> = story.values().map(|told| told[0].0).collect();
    assert_eq!(versions.iter().filter(|v| **v == 0).count(), 2, "{story:#?}");
    assert_eq!(versions.iter().filter(|v| **v == 1).count(), 2, "{story:#?}");
    assert!(story.values().all(|told| told[0].1 == "run"), "{story:#?}");
    // And the agent did just that: each of them ended as it was told to.
    let allocs = wait_for("the agent has said that all ended well", PATIENCE, async || {
        let allocs = host.get("/v1/job/watched/allocations").await?;
        let ended = allocs.as_array().is_some_and(|all| all.iter().all(|a| a["ClientStatus"] == "complete"));
        if ended { Ok(allocs) } else { Err(format!("{allocs:#}")) }
    })
    .await;
    assert_eq!(allocs.as_array().map_or(0, Vec::len), 4);
    for alloc in allocs.as_array().unwrap() {
        let key = format!("/encamp/allocs/{node}/{}", alloc["ID"].as_str().unwrap());
        assert!(story.contains_key(&key), "{key} was never told");
    }
    watcher.kill().unwrap();
    watcher.wait().unwrap();
    let keys = host.etcdctl(&["get", "", "--from-key", "--keys-only"]);
    let outside: Vec<&str> = keys.lines().filter(|k| !k.is_empty() && !k.starts_with("/encamp/")).collect();
    assert!(outside.is_empty(), "keys outside the prefix: {outside:?}");
    host.audit().await;
}
