//! The talk's questions to its audience, answered on screen.

use crate::host::{Host, mark, sleeper, until_marked};
use encamp_testkit::wait_for;

#[tokio::test]
async fn an_unmet_constraint_names_node_check_seen_and_wanted() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    let constraint = "constraint {\n    attribute = \"${attr.kernel.name}\"\n    value     = \"plan9\"\n  }";
    let file = host.file("c.hcl", &sleeper("picky", 1, &mark(), constraint));
    let out = host.ctl(&["run", &file]);
    assert_eq!(out.code, 2, "{out:?}");
    assert!(out.stdout.contains("waiting for additional capacity"), "{out:?}");
    let name = host.get("/v1/nodes").await.unwrap()[0]["Name"].as_str().unwrap().to_owned();
    let status = host.ctl(&["status", "picky"]).ok();
    for wanted in [name.as_str(), "kernel.name", "linux", "plan9"] {
        assert!(status.stdout.contains(wanted), "{wanted:?} is missing in\n{}", status.stdout);
    }
}

#[tokio::test]
async fn too_large_a_count_names_the_shortfall_and_a_node_that_joins_is_used_at_once() {
    let host = Host::new().await;
    let agent = |name: &str| {
        let args = ["agent", "--http-port", "0", "--enable-driver", "raw_exec", "--name", name];
        host.start(name, &args)
    };
    let server = host.start("server", &["server", "--http-port", &host.port.to_string()]);
    let _first = agent("first");
    host.node_ready(&server, 1).await;
    let total = host.get("/v1/nodes?resources=true").await.unwrap()[0]["NodeResources"]["Memory"]["MemoryMB"]
        .as_i64()
        .unwrap();
    let mark = mark();
    let two_thirds =
        sleeper("large", 2, &mark, "").replace("memory = 16", &format!("memory = {}", total * 2 / 3));
    let out = host.ctl(&["run", &host.file("l.hcl", &two_thirds)]);
    assert_eq!(out.code, 2, "{out:?}");
    until_marked(&mark, 1).await;
    let status = host.ctl(&["status", "large"]).ok();
    assert!(status.stdout.contains("memory"), "{}", status.stdout);
    assert!(status.stdout.contains("first"), "{}", status.stdout);
    let _second = agent("second");
    until_marked(&mark, 2).await;
    host.running("large", 2).await;
    host.audit().await;
}

#[tokio::test]
async fn a_job_whose_driver_no_node_has_waits_and_says_so() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    let file = host.file("d.hcl", &sleeper("dock", 1, &mark(), "").replace("raw_exec", "docker"));
    let out = host.ctl(&["run", &file]);
    assert_eq!(out.code, 2, "{out:?}");
    let text = format!("{}{}", out.stdout, host.ctl(&["status", "dock"]).ok().stdout);
    assert!(text.contains("driver docker missing on 1 nodes"), "{text}");
}

#[tokio::test]
async fn a_failing_task_is_restarted_and_then_given_up_with_its_reasons() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    let job = r#"job "fails" {
  datacenters = ["dc1"]
  group "g" {
    restart {
      attempts = 1
      interval = "10m"
      delay    = "100ms"
      mode     = "fail"
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "exit 3"]
      }
    }
  }
}
"#;
    host.ctl(&["apply", "-f", &host.file("f.hcl", job)]).ok();
    let alloc = wait_for("the allocation fails", crate::host::PATIENCE, async || {
        let allocs = host.get("/v1/job/fails/allocations").await?;
        if allocs[0]["ClientStatus"] == "failed" { Ok(allocs[0].clone()) } else { Err(format!("{allocs:#}")) }
    })
    .await;
    assert_eq!(alloc["TaskStates"]["t"]["Restarts"], 1, "{alloc:#}");
    let events = alloc["TaskStates"]["t"]["Events"].as_array().unwrap();
    let codes: Vec<_> =
        events.iter().filter(|e| e["Type"] == "Terminated").map(|e| e["ExitCode"].clone()).collect();
    assert_eq!(codes, [3, 3], "{events:#?}");
    assert!(events.iter().any(|e| e["Type"] == "Not Restarting"), "{events:#?}");
    let allocs = host.get("/v1/job/fails/allocations").await.unwrap();
    assert_eq!(allocs.as_array().unwrap().len(), 1, "it keeps its name and is not replaced");
    host.audit().await;
}
