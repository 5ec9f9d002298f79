//! etcd out of space: what runs runs on, what cannot be written says so, and all resumes by itself.

use encamp_testkit::{Etcd, EtcdOptions, wait_for};

use crate::host::{Host, PATIENCE, client, mark, marked, sleeper, until_marked};

#[tokio::test]
async fn out_of_space_is_told_and_everything_resumes_once_it_is_disarmed() {
    let options =
        EtcdOptions { args: vec!["--quota-backend-bytes=4194304".into()], ..EtcdOptions::default() };
    let host = Host::on(Etcd::spawn_with(options).await);
    let dev = host.dev().await;
    let (first, second) = (mark(), mark());
    host.ctl(&["apply", "-f", &host.file("a.hcl", &sleeper("before", 2, &first, ""))]).ok();
    let before = until_marked(&first, 2).await;
    host.running("before", 2).await;

    fill(&host);
    let job = r#"{"Job":{"ID":"x","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"/bin/true"}}]}]}}"#;
    let answer = client().post(format!("{}/v1/jobs", host.url())).body(job).send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert_eq!(status, 507, "{text}");
    assert!(text.contains("alarm disarm"), "the remedy is named: {text}");
    host.running("before", 2).await;
    assert_eq!(marked(&first), before, "tasks run on");

    host.etcdctl(&["del", "/filler/", "--prefix"]);
    let revision: serde_json::Value =
        serde_json::from_str(&host.etcdctl(&["get", "/none", "-w", "json"])).unwrap();
    host.etcdctl(&["compact", &revision["header"]["revision"].to_string()]);
    host.etcdctl(&["defrag"]);
    host.etcdctl(&["alarm", "disarm"]);
    let file = host.file("b.hcl", &sleeper("after", 1, &second, ""));
    wait_for("a job is accepted again", PATIENCE, async || {
        let out = host.ctl(&["apply", "-f", &file]);
        if out.code == 0 { Ok(()) } else { Err(format!("{out:?}\n{}", dev.log())) }
    })
    .await;
    until_marked(&second, 1).await;
    assert_eq!(marked(&first), before);
    host.audit().await;
}

/// Writes beside the prefix until etcd raises the alarm.
fn fill(host: &Host) {
    let block = "x".repeat(100_000);
    for n in 0..200 {
        if host.etcd.try_ctl(&["put", &format!("/filler/{n}"), &block]).is_err() {
            return;
        }
    }
    panic!("etcd took 20 MB with a quota of 4 MB");
}
