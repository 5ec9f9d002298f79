//! This test binary in other roles: an agent that can be killed, and a process of its own in which descriptors and
//! children can be counted.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    process::{Child, Command, Output, Stdio},
};

use encamp_drivers::{Driver, Signal};
use serde_json::json;
use std::time::Duration;

use crate::bench::{Bench, driver, spec, until};

const ROLE: &str = "ENCAMP_TEST_ROLE";

/// Another process that starts `script` in the bench's folders and then waits, in a process group of its own.
pub(crate) fn agent(bench: &Bench, script: &str) -> Child {
    let mut command = myself("agent");
    command.env("ROOT", bench.folder.path()).env("ALLOC", bench.alloc.to_string()).env("SCRIPT", script);
    command.process_group(0).stdout(Stdio::null()).spawn().expect("starts")
}

/// Another process that starts and stops so many tasks and then looks whether anything is left of them.
pub(crate) fn churn(count: u32) -> Output {
    myself("churn").env("COUNT", count.to_string()).output().expect("runs")
}

fn myself(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a path"));
    command.args(["--exact", "roles::another_role", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

/// Does nothing unless started by one of the above.
#[tokio::test]
async fn another_role() {
    match env::var(ROLE).as_deref() {
        Ok("agent") => play_agent().await,
        Ok("churn") => play_churn().await,
        _ => {}
    }
}

fn var(name: &str) -> String {
    env::var(name).expect("is set by whoever starts this role")
}

async fn play_agent() {
    let alloc = var("ALLOC").parse().expect("an id");
    let config = json!({"command": "/bin/sh", "args": ["-c", var("SCRIPT")]});
    let handle = driver(true).start(spec(var("ROOT").as_ref(), alloc, config)).await.expect("starts");
    handle.wait().await.expect("ends");
    std::future::pending::<()>().await;
}

async fn play_churn() {
    let count: u32 = var("COUNT").parse().expect("a number");
    let bench = Bench::new();
    // The first brings up what tokio keeps.
    bench.run("exit 0").await.wait().await.expect("ends");
    let before = descriptors();
    for run in 0..count {
        let mut spec = bench.script(if run % 2 == 0 { "exit 0" } else { "exec sleep 1000" });
        spec.run = u64::from(run);
        let handle = bench.driver.start(spec).await.expect("starts");
        if run % 2 == 0 {
            handle.wait().await.expect("ends");
        } else {
            handle.stop(Signal::SIGTERM, Duration::from_secs(20)).await.expect("stops");
        }
    }
    until("no children", || match children().as_str() {
        "" => Ok(()),
        some => Err(some.to_owned()),
    })
    .await;
    let after = descriptors();
    assert!(after.len() <= before.len(), "before {before:?}\nafter {after:?}");
}

fn descriptors() -> Vec<String> {
    let open = fs::read_dir("/proc/self/fd").expect("proc").filter_map(Result::ok);
    open.filter_map(|fd| fs::read_link(fd.path()).ok()).map(|to| to.display().to_string()).collect()
}

/// Of all our threads: a child belongs to the thread that started it.
fn children() -> String {
    let threads = fs::read_dir("/proc/self/task").expect("proc").filter_map(Result::ok);
    threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect()
}
