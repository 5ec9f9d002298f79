//! kill -9 and SIGSTOP of each part: nothing is lost, nothing runs twice.

use encamp_testkit::wait_for;
use nix::sys::signal::Signal;

use crate::host::{Host, PATIENCE, mark, marked, sleeper, until_marked};

/// api and controllers in one process, the agent in another.
async fn server_and_agent(host: &Host) -> (crate::host::Proc, crate::host::Proc) {
    let server = host.start("server", &["server", "--http-port", &host.port.to_string()]);
    let agent = start_agent(host);
    host.node_ready(&server, 1).await;
    (server, agent)
}

fn start_agent(host: &Host) -> crate::host::Proc {
    host.start("agent", &["agent", "--http-port", "0", "--enable-driver", "raw_exec"])
}

#[tokio::test]
async fn an_agent_killed_and_restarted_adopts_its_tasks() {
    let host = Host::new().await;
    let (_server, mut agent) = server_and_agent(&host).await;
    let mark = mark();
    host.ctl(&["apply", "-f", &host.file("a.hcl", &sleeper("adopt", 3, &mark, ""))]).ok();
    let before = until_marked(&mark, 3).await;
    host.running("adopt", 3).await;
    agent.kill9();
    assert_eq!(marked(&mark), before, "tasks outlive the agent");
    let agent = start_agent(&host);
    host.node_ready(&agent, 1).await;
    // A change that only the agent which adopted them can carry out.
    host.ctl(&["apply", "-f", &host.file("a.hcl", &sleeper("adopt", 2, &mark, ""))]).ok();
    let after = until_marked(&mark, 2).await;
    assert!(after.iter().all(|pid| before.contains(pid)), "the same processes: {before:?}, {after:?}");
    host.running("adopt", 2).await;
    host.audit().await;
}

#[tokio::test]
async fn a_task_that_ends_while_the_agent_is_dead_is_reported_once_as_it_ended() {
    let host = Host::new().await;
    let (_server, mut agent) = server_and_agent(&host).await;
    let flag = host.path().join("end-now");
    let job = format!(
        r#"job "seven" {{
  datacenters = ["dc1"]
  type = "batch"
  group "g" {{
    restart {{
      attempts = 0
      mode = "fail"
    }}
    task "t" {{
      driver = "raw_exec"
      config {{
        command = "/bin/sh"
        args = ["-c", "echo begun; while [ ! -e {flag} ]; do sleep 0.1; done; echo last words; exit 7"]
      }}
    }}
  }}
}}
"#,
        flag = flag.display()
    );
    host.ctl(&["apply", "-f", &host.file("seven.hcl", &job)]).ok();
    let alloc = host.running("seven", 1).await[0]["ID"].as_str().unwrap().to_owned();
    agent.kill9();
    std::fs::write(&flag, "").unwrap();
    let agent = start_agent(&host);
    let ended = wait_for("the allocation is reported as failed", PATIENCE, async || {
        let alloc = host.get(&format!("/v1/allocation/{alloc}")).await?;
        if alloc["ClientStatus"] == "failed" { Ok(alloc) } else { Err(format!("{alloc:#}\n{}", agent.log())) }
    })
    .await;
    let events = ended["TaskStates"]["t"]["Events"].as_array().unwrap();
    let terminated: Vec<_> = events.iter().filter(|e| e["Type"] == "Terminated").collect();
    assert_eq!(terminated.len(), 1, "{events:#?}");
    assert_eq!(terminated[0]["ExitCode"], 7);
    let logs = host.ctl(&["logs", &alloc]).ok();
    assert!(logs.stdout.contains("begun") && logs.stdout.contains("last words"), "{logs:?}");
}

#[tokio::test]
async fn etcd_killed_and_restarted_loses_nothing() {
    let mut host = Host::new().await;
    let (_server, _agent) = server_and_agent(&host).await;
    let (first, second) = (mark(), mark());
    host.ctl(&["apply", "-f", &host.file("a.hcl", &sleeper("before", 2, &first, ""))]).ok();
    let before = until_marked(&first, 2).await;
    host.running("before", 2).await;
    host.etcd.kill9();
    let refused = host.ctl(&["apply", "-f", &host.file("b.hcl", &sleeper("meanwhile", 1, &second, ""))]);
    assert_ne!(refused.code, 0, "without etcd nothing is accepted: {refused:?}");
    assert!(refused.stderr.to_lowercase().contains("etcd"), "{refused:?}");
    assert_eq!(marked(&first), before, "tasks run on");
    host.etcd.restart().await;
    wait_for("a job is accepted again", PATIENCE, async || {
        let out = host.ctl(&["apply", "-f", &host.file("b.hcl", &sleeper("after", 1, &second, ""))]);
        if out.code == 0 { Ok(()) } else { Err(format!("{out:?}")) }
    })
    .await;
    until_marked(&second, 1).await;
    host.running("after", 1).await;
    assert_eq!(marked(&first), before, "and none was restarted");
    host.audit().await;
}

#[tokio::test]
async fn a_whole_host_killed_at_once_comes_back_as_it_was() {
    let host = Host::new().await;
    let (mut server, mut agent) = server_and_agent(&host).await;
    let mark = mark();
    host.ctl(&["apply", "-f", &host.file("a.hcl", &sleeper("host", 3, &mark, ""))]).ok();
    let before = until_marked(&mark, 3).await;
    host.running("host", 3).await;
    server.kill9();
    agent.kill9();
    let (_server, _agent) = server_and_agent(&host).await;
    host.running("host", 3).await;
    host.ctl(&["apply", "-f", &host.file("a.hcl", &sleeper("host", 4, &mark, ""))]).ok();
    let after = until_marked(&mark, 4).await;
    assert!(before.iter().all(|pid| after.contains(pid)), "{before:?}, {after:?}");
    host.audit().await;
}

#[tokio::test]
async fn an_agent_stopped_past_its_lease_and_continued_leaves_exactly_count() {
    let host = Host::new().await;
    let server = host.start("server", &["server", "--http-port", &host.port.to_string()]);
    let agent = |name: &str| {
        let args =
            ["agent", "--http-port", "0", "--enable-driver", "raw_exec", "--lease-ttl", "3s", "--name", name];
        host.start(name, &args)
    };
    let first = agent("first");
    host.node_ready(&server, 1).await;
    let mark = mark();
    host.ctl(&["apply", "-f", &host.file("a.hcl", &sleeper("frozen", 3, &mark, ""))]).ok();
    let old = until_marked(&mark, 3).await;
    host.running("frozen", 3).await;
    let _second = agent("second");
    host.node_ready(&server, 2).await;
    first.signal(Signal::SIGSTOP);
    // The frozen agent's tasks run on beside their replacements: nobody can stop them.
    let both = until_marked(&mark, 6).await;
    first.signal(Signal::SIGCONT);
    let left = until_marked(&mark, 3).await;
    assert!(
        left.iter().all(|pid| both.contains(pid) && !old.contains(pid)),
        "the replaced ones went: {left:?}"
    );
    host.running("frozen", 3).await;
    host.node_ready(&server, 2).await;
    assert_eq!(marked(&mark), left);
    host.audit().await;
}

#[tokio::test]
async fn a_supervisor_killed_takes_its_task_along_and_counts_as_a_failed_run() {
    let host = Host::new().await;
    let (_server, _agent) = server_and_agent(&host).await;
    let mark = mark();
    let job = sleeper("orphan", 1, &mark, "").replace("count = 1", "count = 1\n    restart {\n      attempts = 3\n      delay = \"1s\"\n      interval = \"10m\"\n      mode = \"fail\"\n    }");
    host.ctl(&["apply", "-f", &host.file("a.hcl", &job)]).ok();
    let before = until_marked(&mark, 1).await;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", before[0])).unwrap();
    let parent: i32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(parent), Signal::SIGKILL).unwrap();
    let after = wait_for("another run of the task", PATIENCE, async || {
        let now = marked(&mark);
        if now.len() == 1 && now != before { Ok(now) } else { Err(format!("{now:?}, before {before:?}")) }
    })
    .await;
    assert_ne!(after, before);
    wait_for("the restart is counted", PATIENCE, async || {
        let allocs = host.get("/v1/job/orphan/allocations").await?;
        if allocs[0]["TaskStates"]["t"]["Restarts"] == 1 { Ok(()) } else { Err(format!("{allocs:#}")) }
    })
    .await;
}
