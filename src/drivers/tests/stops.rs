//! Stopping leaves nothing, whatever a task did to get away.

use std::time::Duration;

use encamp_drivers::{Driver, Recovered, Signal};
use tokio::time::Instant;

use crate::bench::{Bench, exited, kill, signaled, until_gone, within};

/// Starts a child in a session of its own, a double-forked orphan and one deaf to SIGTERM; their pids go to `pids`.
const ESCAPEES: &str = "
    setsid sh -c 'trap \"\" TERM HUP; echo $$ >> pids; exec sleep 1000' &
    ( ( sh -c 'trap \"\" TERM; echo $$ >> pids; exec sleep 1000' & ) & )
    setsid sh -c '( sh -c \"echo \\$\\$ >> pids; exec sleep 1000\" & ); exit 0'
";

#[tokio::test]
async fn a_task_deaf_to_its_signal_is_killed_after_its_timeout() {
    let bench = Bench::new();
    let handle = bench.run("trap '' TERM; echo up; while :; do sleep 0.01; done").await;
    bench.until_written("up").await;
    let began = Instant::now();
    let ended = handle.stop(Signal::SIGTERM, Duration::from_millis(300)).await.expect("stops");
    assert_eq!(ended.exit, signaled(Signal::SIGKILL));
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    until_gone(&[handle.pid().expect("a process")]).await;
}

#[tokio::test]
async fn stop_leaves_no_descendant() {
    for cgroups in [true, false] {
        let bench = Bench::with(cgroups);
        let handle = bench.run(&format!("{ESCAPEES} exec sleep 1000")).await;
        let pids = bench.pids("pids", 3).await;
        let ended = handle.stop(Signal::SIGTERM, Duration::from_secs(1)).await.expect("stops");
        assert_eq!(ended.exit, signaled(Signal::SIGTERM), "cgroups {cgroups}");
        // At once, not after a while: who was told of the end may rely on it.
        let left: Vec<_> = pids.iter().filter(|pid| crate::bench::state(**pid).is_some()).collect();
        assert!(left.is_empty(), "cgroups {cgroups}: {left:?} live");
    }
}

#[tokio::test]
async fn the_end_of_the_main_process_leaves_no_descendant() {
    for cgroups in [true, false] {
        let bench = Bench::with(cgroups);
        let handle = bench
            .run(&format!("{ESCAPEES} until [ $(wc -l < pids) = 3 ]; do sleep 0.01; done; exit 4"))
            .await;
        let ended = within(handle.wait()).await.expect("ends");
        assert_eq!(ended.exit, exited(4), "cgroups {cgroups}");
        let pids = bench.pids("pids", 3).await;
        let left: Vec<_> = pids.iter().filter(|pid| crate::bench::state(**pid).is_some()).collect();
        assert!(left.is_empty(), "cgroups {cgroups}: {left:?} live");
    }
}

#[tokio::test]
async fn a_shell_and_its_child_are_both_asked_and_given_their_time() {
    let bench = Bench::new();
    let child = "trap \"sleep 0.1; echo child done; exit 0\" TERM; echo up; while :; do sleep 0.01; done";
    let handle = bench.run(&format!("sh -c '{child}'; true")).await;
    bench.until_written("up").await;
    within(handle.stop(Signal::SIGTERM, Duration::from_secs(20))).await.expect("stops");
    assert!(bench.stdout().contains("child done"), "{}", bench.stdout());
}

#[tokio::test]
async fn stops_do_not_add_up() {
    let bench = Bench::new();
    let handle = bench.run("trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done").await;
    bench.until_written("up").await;
    let patient = handle.stop(Signal::SIGTERM, Duration::from_secs(1000));
    let impatient = async {
        bench.until_written("asked").await;
        handle.stop(Signal::SIGTERM, Duration::from_millis(100)).await
    };
    let (one, two) = within(async { tokio::join!(patient, impatient) }).await;
    let one = one.expect("stops");
    assert_eq!((one.clone(), one.exit), (two.expect("stops"), signaled(Signal::SIGKILL)));
    assert_eq!(bench.stdout(), "up\nasked\n", "asked once");
    let again = handle.stop(Signal::SIGTERM, Duration::from_secs(1)).await.expect("an ended task is stopped");
    assert_eq!(again.exit, signaled(Signal::SIGKILL));
    handle.signal(Signal::SIGHUP).await.expect("no error once it ended");
}

#[tokio::test]
async fn a_signal_reaches_the_main_process() {
    let bench = Bench::new();
    let handle = bench.run("trap 'echo hup' HUP; echo up; while :; do sleep 0.01; done").await;
    bench.until_written("up").await;
    handle.signal(Signal::SIGHUP).await.expect("is sent");
    bench.until_written("hup").await;
    handle.kill().await.expect("is killed");
}

#[tokio::test]
async fn a_task_that_is_stopped_by_job_control_can_still_be_asked() {
    let bench = Bench::new();
    let handle = bench.run("trap 'exit 6' TERM; echo up; while :; do sleep 0.01; done").await;
    bench.until_written("up").await;
    handle.signal(Signal::SIGSTOP).await.expect("is sent");
    let ended = within(handle.stop(Signal::SIGTERM, Duration::from_secs(20))).await.expect("stops");
    assert_eq!(ended.exit, exited(6));
}

#[tokio::test]
async fn a_frozen_supervisor_cannot_keep_a_task_alive() {
    let bench = Bench::new();
    let handle = bench.run(&format!("{ESCAPEES} exec sleep 1000")).await;
    let mut pids = bench.pids("pids", 3).await;
    pids.push(handle.pid().expect("a process"));
    kill(bench.supervisor_pid(), Signal::SIGSTOP);
    drop(handle);
    let Recovered::Running(handle) = within(bench.recover()).await else { panic!("it runs") };
    let ended = within(handle.stop(Signal::SIGTERM, Duration::from_secs(1))).await.expect("stops");
    assert_eq!(ended.exit, encamp_drivers::Exit::SupervisorLost);
    until_gone(&pids).await;
}

#[tokio::test]
async fn a_supervisor_that_is_slow_to_answer_does_not_cost_its_task_the_time_to_stop() {
    let bench = Bench::new();
    let handle = bench.run("trap 'exit 6' TERM; echo up; while :; do sleep 0.01; done").await;
    bench.until_written("up").await;
    let supervisor = bench.supervisor_pid();
    kill(supervisor, Signal::SIGSTOP);
    let stop = handle.stop(Signal::SIGTERM, Duration::from_secs(20));
    // Longer than a request is waited for.
    let wakes = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        kill(supervisor, Signal::SIGCONT);
    };
    let (ended, ()) = within(async { tokio::join!(stop, wakes) }).await;
    assert_eq!(ended.expect("stops").exit, exited(6));
}

#[tokio::test]
async fn a_task_that_forks_without_end_is_stopped() {
    for cgroups in [true, false] {
        let bench = Bench::with(cgroups);
        // A chain: each starts the next and ends.
        let handle = bench.run("echo 'echo x; sleep 0.001; sh f &' > f; sh f; exec sleep 1000").await;
        bench.until_written("x\nx\nx\n").await;
        within(handle.stop(Signal::SIGTERM, Duration::ZERO)).await.expect("stops");
        let size = bench.stdout().len();
        within(bench.driver.start(bench.script("true")).await.expect("starts").wait()).await.expect("ends");
        assert_eq!(bench.stdout().len(), size, "cgroups {cgroups}: it is gone for good");
    }
}
