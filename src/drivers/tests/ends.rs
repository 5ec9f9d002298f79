//! How ends are told: to those who wait, and to those who come later.

use std::time::Duration;

use encamp_drivers::{Driver, Exit, Recovered, Signal};

use crate::bench::{Bench, exited, kill, signaled, until_gone, within};

#[tokio::test]
async fn the_end_is_the_main_processs_own() {
    for (script, exit) in [
        ("true", exited(0)),
        ("exit 7", exited(7)),
        ("kill -KILL $$", signaled(Signal::SIGKILL)),
        ("kill -SEGV $$", signaled(Signal::SIGSEGV)),
        // A real-time signal has no name, but kills all the same.
        ("kill -40 $$", Exit::Signaled { signal: 40 }),
    ] {
        let ended = Bench::new().run_to_end(script).await;
        assert_eq!(ended.exit, exit, "{script}");
        assert!(ended.when >= ended.started && ended.started.0 > 0, "{ended:?}");
    }
}

#[tokio::test]
async fn any_number_may_wait_and_give_up_waiting() {
    let bench = Bench::new();
    nix::unistd::mkfifo(&bench.path("go"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let handle = bench.run("read x < ../go; exit 3").await;
    for _ in 0..5 {
        let waited = tokio::time::timeout(Duration::from_millis(2), handle.wait()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    let clone = handle.clone();
    let all = async { tokio::join!(handle.wait(), clone.wait(), handle.wait()) };
    let go = tokio::fs::write(bench.path("go"), "x\n");
    let ((a, b, c), went) = within(async { tokio::join!(all, go) }).await;
    went.expect("is let go");
    let ended = a.expect("ends");
    assert_eq!(ended.exit, exited(3));
    assert_eq!((b.expect("ends"), c.expect("ends")), (ended.clone(), ended.clone()));
    assert_eq!(handle.wait().await.expect("ended"), ended, "and again later");
}

#[tokio::test]
async fn an_end_that_nobody_heard_is_told_later_and_stays_the_same() {
    let bench = Bench::new();
    assert!(matches!(bench.recover().await, Recovered::Never));
    let handle = bench.run("exit 7").await;
    let pid = handle.pid().expect("a process");
    drop(handle);
    until_gone(&[pid]).await;
    let mut ends = Vec::new();
    for _ in 0..2 {
        let ended = match bench.recover().await {
            Recovered::Ended(ended) => ended,
            // It is gone, but its supervisor has not written that down yet.
            Recovered::Running(handle) => within(handle.wait()).await.expect("ends"),
            Recovered::Never => panic!("there is a trace"),
        };
        ends.push(ended);
    }
    assert_eq!(ends[0].exit, exited(7));
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test]
async fn a_recovered_handle_is_as_good_as_the_first() {
    let bench = Bench::new();
    let mut spec = bench.script("trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done");
    spec.run = 41;
    let first = bench.driver.start(spec).await.expect("starts");
    bench.until_written("up").await;
    let Recovered::Running(second) = bench.recover().await else { panic!("it runs") };
    assert_eq!((second.pid(), second.run(), second.started()), (first.pid(), 41, first.started()));
    let (one, two) =
        within(async { tokio::join!(first.wait(), second.stop(Signal::SIGTERM, Duration::from_secs(20))) })
            .await;
    assert_eq!(two.expect("stops").exit, exited(9));
    assert_eq!(one.expect("ends").run, 41);
}

#[tokio::test]
async fn a_run_that_has_just_been_recorded_is_not_taken_for_the_next() {
    let bench = Bench::new();
    for run in 1..=20 {
        let mut spec = bench.script("exit $RUN");
        spec.env.insert("RUN".into(), run.to_string());
        spec.run = run;
        let ended = within(bench.driver.start(spec).await.expect("starts").wait()).await.expect("ends");
        assert_eq!((ended.run, ended.exit), (run, exited(run as i32)));
    }
}

#[tokio::test]
async fn sigterm_to_the_supervisor_is_a_stop() {
    let bench = Bench::new();
    let mut spec = bench.script("trap 'exit 5' INT; echo up; while :; do sleep 0.01; done");
    spec.kill_signal = Signal::SIGINT;
    spec.kill_timeout = Duration::from_secs(20);
    let handle = bench.driver.start(spec).await.expect("starts");
    bench.until_written("up").await;
    kill(bench.supervisor_pid(), Signal::SIGTERM);
    assert_eq!(within(handle.wait()).await.expect("ends").exit, exited(5));
}
