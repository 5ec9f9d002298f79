//! The scripts that real users have, run as they are against a real socket.

use std::path::PathBuf;

use encamp_model::{AllocId, EvalId};
use serde_json::json;
use tokio::{net::TcpListener, process::Command};

use super::{
    lab::{Lab, node},
    logs::ALLOC,
};
use crate::ApiConfig;

fn script(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/deck").join(name);
    let tools = ["curl", "jq", "bash"].iter().all(|tool| {
        std::process::Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success())
    });
    if !path.is_file() || !tools {
        eprintln!("skipped: {} needs itself, bash, curl and jq", path.display());
        return None;
    }
    Some(path)
}

#[tokio::test]
async fn get_job_address_prints_the_address_of_a_port_of_2016() {
    let Some(script) = script("get_job_address.sh") else { return };
    let lab = Lab::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ApiConfig::new(address.to_string());
    let serving = crate::serve(listener, lab.process.clone(), config, None, lab.shutdown.clone());
    encamp_runtime::task::spawn("api", serving);
    lab.join(node(), "127.0.0.1:1").await;
    let resources = json!({ "CPU": 20, "MemoryMB": 10, "IOPS": 0, "DiskMB": 100,
        "Networks": [{ "MBits": 1, "DynamicPorts": [{ "Label": "http" }] }] });
    let job = json!({ "ID": "helloworld-v1", "Type": "service", "TaskGroups": [{ "Name": "hello-group",
        "Tasks": [{ "Name": "hello-task", "Driver": "docker", "Config": { "image": "x" }, "Resources": resources }] }] });
    let eval: EvalId = lab.register(&job).await["EvalID"].as_str().unwrap().parse().unwrap();
    lab.place(node(), AllocId::from_bits(ALLOC), &lab.declared("helloworld-v1"), eval).await;
    let run = Command::new("bash")
        .arg(&script)
        .args(["helloworld-v1", "hello-task"])
        .env("NOMAD_ADDR", format!("http://{address}"))
        .output();
    let out = run.await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "10.0.0.5:20000\n",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[tokio::test(start_paused = true)]
async fn the_job_that_was_posted_with_curl_is_taken() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/deck/jobs/helloworld-v1.json");
    let Ok(job) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is absent", path.display());
        return;
    };
    let lab = Lab::new().await;
    let answer = lab.send("POST", "/v1/jobs", job).await.ok();
    assert_eq!(lab.keys("evals").await, [answer["EvalID"].as_str().unwrap()]);
    assert_eq!(lab.keys("jobs").await, ["default/helloworld-v1"]);
}
