//! Supervisors that are killed, agents that are killed, records that lie.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

use encamp_drivers::{Driver, Exit, Recovered, Signal};
use serde_json::{Value, json};

use crate::{
    bench::{Bench, alive, exited, kill, until, until_gone, within},
    roles,
};

const ESCAPEE: &str = "setsid sh -c 'echo $$ >> pids; exec sleep 1000' & echo $$ >> pids; exec sleep 1000";

#[tokio::test]
async fn the_death_of_the_supervisor_takes_the_task_and_its_escapees_along() {
    for cgroups in [true, false] {
        let bench = Bench::with(cgroups);
        let handle = bench.run(ESCAPEE).await;
        let pids = bench.pids("pids", 2).await;
        kill(bench.supervisor_pid(), Signal::SIGKILL);
        let ended = within(handle.wait()).await.expect("ends");
        assert_eq!((ended.exit, ended.run), (Exit::SupervisorLost, 1), "cgroups {cgroups}");
        until_gone(&pids).await;
        bench.run_to_end("true").await;
    }
}

#[tokio::test]
async fn a_supervisor_that_died_while_nobody_looked_is_cleaned_up_after() {
    for cgroups in [true, false] {
        let bench = Bench::with(cgroups);
        drop(bench.run(ESCAPEE).await);
        let pids = bench.pids("pids", 2).await;
        kill(bench.supervisor_pid(), Signal::SIGKILL);
        let Recovered::Ended(ended) = bench.recover().await else { panic!("its supervisor is dead") };
        assert_eq!(ended.exit, Exit::SupervisorLost);
        until_gone(&pids).await;
        let Recovered::Ended(again) = bench.recover().await else { panic!("it stays dead") };
        assert_eq!(ended, again);
    }
}

#[tokio::test]
async fn the_main_process_dies_with_its_supervisor_before_anyone_looks() {
    let bench = Bench::new();
    let handle = bench.run("exec sleep 1000").await;
    kill(bench.supervisor_pid(), Signal::SIGKILL);
    until_gone(&[handle.pid().expect("a process")]).await;
    assert_eq!(within(handle.wait()).await.expect("ends").exit, Exit::SupervisorLost);
}

/// The supervisor is found by its arguments and killed at whatever it is at: no task may run without a trace.
#[tokio::test]
async fn a_supervisor_killed_while_it_starts_leaves_a_trace_or_nothing() {
    for patience_us in (0..40).map(|n| n * 100) {
        let bench = Bench::new();
        let state_dir = bench.path("state").display().to_string();
        let killer = tokio::task::spawn_blocking(move || {
            let pid = std::iter::repeat_with(|| supervisor_of(&state_dir)).take(100_000).flatten().next();
            // Not waiting for anything: it chooses the instant.
            std::thread::sleep(Duration::from_micros(patience_us));
            kill(pid.expect("a supervisor was started"), Signal::SIGKILL);
        });
        let started = bench.driver.start(bench.script("echo $$ >> pids; exec sleep 1000")).await;
        killer.await.expect("it was killed");
        match bench.recover().await {
            Recovered::Never => {
                assert!(started.is_err(), "{patience_us} µs");
                assert!(!bench.path("task/pids").exists(), "{patience_us} µs: it ran without a trace");
            }
            Recovered::Ended(ended) => assert_eq!(ended.exit, Exit::SupervisorLost, "{patience_us} µs"),
            Recovered::Running(_) => panic!("{patience_us} µs: its supervisor is dead"),
        }
        let pids = fs::read_to_string(bench.path("task/pids")).unwrap_or_default();
        let pids: Vec<u32> = pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        until_gone(&pids).await;
        bench.run_to_end("true").await;
    }
}

fn supervisor_of(state_dir: &str) -> Option<i32> {
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        line.split('\0').any(|arg| arg == state_dir).then_some(pid)
    })
}

#[tokio::test]
async fn a_reused_pid_is_neither_adopted_nor_killed() {
    let bench = Bench::new();
    bench.run_to_end("true").await;
    let path = bench.path("state/start.json");
    let mut start: Value = serde_json::from_slice(&fs::read(&path).expect("a record")).expect("is JSON");
    let mut stranger = later_stranger(start["id"]["start"].as_u64().expect("ticks")).await;
    // As if our task and its supervisor had died and their numbers had been given to someone else.
    start["id"]["pid"] = json!(stranger.id());
    start["supervisor"]["pid"] = json!(stranger.id());
    fs::write(&path, start.to_string()).expect("is forged");
    let Recovered::Ended(ended) = bench.recover().await else { panic!("nothing of ours lives") };
    assert_eq!(ended.exit, Exit::SupervisorLost);
    assert!(alive(stranger.id()), "the stranger is left alone");
    stranger.kill().expect("is ours");
    stranger.wait().expect("is ours");
}

/// A process that started at another tick (10 ms) than `than`: no number comes round again within one.
async fn later_stranger(than: u64) -> Child {
    until("a later tick", || {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("starts");
        if ticks(&child) > than {
            return Ok(child);
        }
        child.kill().expect("is ours");
        child.wait().expect("is ours");
        Err("the same".into())
    })
    .await
}

fn ticks(process: &Child) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("lives");
    stat.rsplit(')')
        .next()
        .and_then(|fields| fields.split(' ').nth(20)?.parse().ok())
        .expect("the 22nd field")
}

#[tokio::test]
async fn records_of_another_boot_are_an_end_and_signal_nobody() {
    let bench = Bench::new();
    bench.run_to_end("true").await;
    let mut stranger = Command::new("sleep").arg("1000").spawn().expect("starts");
    let path = bench.path("state/start.json");
    let mut start: Value = serde_json::from_slice(&fs::read(&path).expect("a record")).expect("is JSON");
    let stat = fs::read_to_string(format!("/proc/{}/stat", stranger.id())).expect("lives");
    let ticks: u64 =
        stat.rsplit(')').next().expect("fields").split(' ').nth(20).expect("22nd").parse().expect("ticks");
    start["id"] = json!({"boot": "another boot", "pid": stranger.id(), "start": ticks});
    fs::write(&path, start.to_string()).expect("is forged");
    let Recovered::Ended(ended) = bench.recover().await else { panic!("nothing of ours lives") };
    assert_eq!(ended.exit, Exit::SupervisorLost);
    assert!(alive(stranger.id()), "the stranger is left alone");
    stranger.kill().expect("is ours");
    stranger.wait().expect("is ours");
}

#[tokio::test]
async fn a_damaged_record_is_an_error_and_not_an_absence() {
    let bench = Bench::new();
    bench.run_to_end("true").await;
    fs::write(bench.path("state/start.json"), "{").expect("is damaged");
    let result = bench.driver.recover(&bench.dirs()).await;
    assert!(matches!(result, Err(encamp_drivers::Error::Damaged { .. })), "{result:?}");
}

#[tokio::test]
async fn the_death_of_the_agent_is_no_event_for_its_tasks() {
    let bench = Bench::new();
    let script = "echo before; read x < ../go; echo after; exit 7";
    nix::unistd::mkfifo(&bench.path("go"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let mut agent = roles::agent(&bench, script);
    bench.until_written("before").await;
    let Recovered::Running(seen) = bench.recover().await else { panic!("it runs") };
    // As a terminal does it: the whole group, and hard.
    kill(-i32::try_from(agent.id()).expect("a pid"), Signal::SIGINT);
    kill(-i32::try_from(agent.id()).expect("a pid"), Signal::SIGKILL);
    agent.wait().expect("is ours");
    let Recovered::Running(adopted) = bench.recover().await else { panic!("it runs on") };
    assert_eq!(adopted.pid(), seen.pid());
    drop((adopted, seen));
    tokio::fs::write(bench.path("go"), "x\n").await.expect("is let go");
    // Nobody listens while it ends.
    until("its end on disk", || {
        if bench.path("state/exit.json").exists() { Ok(()) } else { Err("no exit.json".into()) }
    })
    .await;
    let Recovered::Ended(ended) = bench.recover().await else { panic!("it ended") };
    assert_eq!(ended.exit, exited(7));
    assert_eq!(bench.stdout(), "before\nafter\n");
}

#[tokio::test]
async fn a_frozen_agent_holds_nobody_up() {
    let bench = Bench::new();
    let lines = 20_000;
    let mut agent = roles::agent(&bench, &format!("seq {lines}; exit 7"));
    let frozen = i32::try_from(agent.id()).expect("a pid");
    kill(frozen, Signal::SIGSTOP);
    let ended = async {
        loop {
            match bench.recover().await {
                Recovered::Ended(ended) => return ended,
                Recovered::Running(handle) => return handle.wait().await.expect("ends"),
                // The agent was frozen before it had asked for anything.
                Recovered::Never => {
                    kill(frozen, Signal::SIGCONT);
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    assert_eq!(within(ended).await.exit, exited(7));
    assert_eq!(bench.stdout().lines().count(), lines);
    agent.kill().expect("is ours");
    agent.wait().expect("is ours");
}

#[tokio::test]
async fn two_hundred_starts_leak_nothing() {
    let out = within(tokio::task::spawn_blocking(|| roles::churn(200))).await.expect("runs");
    assert!(
        out.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}
