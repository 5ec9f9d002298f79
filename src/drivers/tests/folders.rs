//! State folders that are removed, copied, put back; and agents of one machine that know the same ids.

use std::{fs, path::Path};

use encamp_drivers::{Driver, Error, Exit, Recovered, Signal};

use crate::bench::{Bench, alive, kill, spec, until, until_gone, within};

const ESCAPEE: &str = "setsid sh -c 'echo $$ >> pids; exec sleep 1000' & echo $$ >> pids; exec sleep 1000";

/// What `cp -a` does to a state folder, its socket left out.
fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(to).expect("a folder");
    for name in ["start.json", "exit.json", "lock"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).expect("is copied");
        }
    }
}

/// Cgroups of this bench's task that are still there, in any hierarchy.
fn cgroups(bench: &Bench) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc is mounted");
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|l| l.split(' ').nth(4));
    let folders = points.filter_map(|point| fs::read_dir(Path::new(point).join("encamp")).ok());
    let names = folders.flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&bench.alloc.to_string())).collect()
}

#[tokio::test]
async fn a_supervisor_whose_folder_is_removed_ends_with_its_task() {
    let bench = Bench::new();
    let handle = bench.run("exec sleep 1000").await;
    let supervisor = bench.supervisor_pid();
    fs::remove_dir_all(bench.path("state")).expect("is removed");
    assert!(alive(supervisor.unsigned_abs()), "a task outlives its folder");
    let pid = handle.pid().expect("a process");
    kill(i32::try_from(pid).expect("a pid"), Signal::SIGKILL);
    until_gone(&[supervisor.unsigned_abs(), pid]).await;
    let ended = within(handle.wait()).await.expect("its end is known, if not how");
    assert_eq!(ended.exit, Exit::SupervisorLost);
    assert_eq!(cgroups(&bench), Vec::<String>::new());
    bench.run_to_end("true").await;
}

#[tokio::test]
async fn a_task_whose_folder_is_removed_can_be_stopped_by_signal_and_by_handle() {
    for by_signal in [true, false] {
        let bench = Bench::new();
        let handle = bench.run(ESCAPEE).await;
        let pids = bench.pids("pids", 2).await;
        let supervisor = bench.supervisor_pid();
        fs::remove_dir_all(bench.path("state")).expect("is removed");
        if by_signal {
            kill(supervisor, Signal::SIGTERM);
        } else {
            within(handle.kill()).await.expect("is stopped");
        }
        until_gone(&pids).await;
        until_gone(&[supervisor.unsigned_abs()]).await;
    }
}

#[tokio::test]
async fn a_copied_folder_leaves_the_originals_task_alone() {
    let bench = Bench::new();
    let handle = bench.run("exec sleep 1000").await;
    let elsewhere = Bench::new();
    copy(&bench.path("state"), &elsewhere.path("state"));
    let error = bench.driver.recover(&elsewhere.dirs()).await.expect_err("it is a copy");
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(&bench.path("state").display().to_string()), "names it: {error}");
    let start = bench.driver.start(spec(
        elsewhere.folder.path(),
        bench.alloc,
        serde_json::json!({"command": "true"}),
    ));
    assert!(start.await.is_err(), "nothing is started twice");
    assert!(alive(handle.pid().expect("a process")));
    let Recovered::Running(_) = bench.recover().await else { panic!("it runs") };
    // Of another run of the original's, the copy does not even know.
    within(handle.kill()).await.expect("is stopped");
    let again = bench.run("exec sleep 1000").await;
    let Recovered::Ended(ended) = bench.driver.recover(&elsewhere.dirs()).await.expect("recovers") else {
        panic!("the run that the copy knows is over")
    };
    assert_eq!(ended.exit, Exit::SupervisorLost);
    assert!(alive(again.pid().expect("a process")));
    within(again.kill()).await.expect("is stopped");
    fs::remove_dir_all(elsewhere.path("state")).expect("is removed");
}

#[tokio::test]
async fn a_folder_put_back_from_a_copy_ends_what_nobody_can_reach_any_more() {
    for older in [false, true] {
        let bench = Bench::new();
        let saved = tempfile::tempdir().expect("a folder");
        let before = saved.path().join("state");
        if older {
            bench.run_to_end("true").await;
            copy(&bench.path("state"), &before);
        }
        drop(bench.run(ESCAPEE).await);
        let mut pids = bench.pids("pids", 2).await;
        pids.push(bench.supervisor_pid().unsigned_abs());
        if !older {
            copy(&bench.path("state"), &before);
        }
        fs::remove_dir_all(bench.path("state")).expect("is removed");
        copy(&before, &bench.path("state"));
        let Recovered::Ended(_) = bench.recover().await else { panic!("nobody holds the lock") };
        // The copy may know nothing of the last run; the next start meets it.
        let next = bench.run("exec sleep 1000").await;
        until_gone(&pids).await;
        let running = next.pid().expect("a process");
        assert!(alive(running), "older {older}: the new run is not taken for what is left of the old");
        until("its cgroup alone", || {
            let left = cgroups(&bench);
            if left.len() <= 1 { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
        within(next.kill()).await.expect("is stopped");
    }
}

#[tokio::test]
async fn agents_of_one_machine_with_equal_ids_do_not_meet() {
    for with_cgroups in [true, false] {
        let one = Bench::with(with_cgroups);
        let two = Bench::with(with_cgroups);
        let config = serde_json::json!({"command": "sleep", "args": ["1000"]});
        let twin =
            two.driver.start(spec(two.folder.path(), one.alloc, config.clone())).await.expect("starts");
        let lost = one.driver.start(spec(one.folder.path(), one.alloc, config)).await.expect("starts");
        kill(one.supervisor_pid(), Signal::SIGKILL);
        assert_eq!(within(lost.wait()).await.expect("ends").exit, Exit::SupervisorLost);
        one.run_to_end("true").await;
        assert!(alive(twin.pid().expect("a process")), "cgroups {with_cgroups}");
        within(twin.kill()).await.expect("is stopped");
        assert_eq!(cgroups(&one), Vec::<String>::new());
    }
}

#[tokio::test]
async fn orphans_are_ended_and_nobody_else() {
    let (orphan, moved, fine) = (Bench::new(), Bench::new(), Bench::new());
    let mut pids = Vec::new();
    for bench in [&orphan, &moved, &fine] {
        drop(bench.run("trap 'echo asked; exit' TERM; echo ready; sleep 1000 & wait").await);
        bench.until_written("ready").await;
        pids.push(bench.supervisor_pid().unsigned_abs());
    }
    fs::remove_dir_all(orphan.path("state")).expect("is removed");
    fs::rename(moved.path("state"), moved.path("state (deleted)")).expect("is moved");
    for bench in [&orphan, &moved, &fine] {
        let ended = bench.driver.end_orphans(bench.folder.path()).await;
        assert_eq!(ended.len(), usize::from(std::ptr::eq(bench, &orphan)), "{ended:?}");
    }
    until_gone(&pids[..1]).await;
    assert_eq!(orphan.stdout(), "ready\nasked\n", "it was asked");
    assert!(pids[1..].iter().all(|pid| alive(*pid)));
    fs::rename(moved.path("state (deleted)"), moved.path("state")).expect("is moved back");
    for bench in [&moved, &fine] {
        let Recovered::Running(handle) = bench.recover().await else { panic!("it runs") };
        within(handle.kill()).await.expect("is stopped");
    }
}
