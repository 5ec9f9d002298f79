//! What a task finds when it starts, and what becomes of one that cannot.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use encamp_drivers::{Driver, Error, Exit, Recovered, logs::Stream};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use serde_json::json;

use crate::bench::{Bench, exited, within};

#[tokio::test]
async fn a_task_has_its_own_environment_folder_and_nothing_else_of_ours() {
    let bench = Bench::new();
    let mut spec = bench.script("env | sort; pwd; umask; ls /proc/self/fd | tr '\\n' ' '; cat 0<&0 | wc -c");
    spec.env.insert("B".into(), "2 3\n4".into());
    let ended = within(bench.driver.start(spec).await.expect("starts").wait()).await.expect("ends");
    assert_eq!(ended.exit, exited(0));
    let task = bench.path("task");
    let expect = format!(
        "4\nB=2 3\nNOMAD_ALLOC_DIR={root}/alloc\nNOMAD_ALLOC_ID={}\nNOMAD_TASK_NAME=web\nPATH=/usr/bin:/bin\nPWD={task}\n{task}\n0022\n0 1 2 3 0\n",
        bench.alloc,
        task = task.display(),
        root = bench.folder.path().display()
    );
    assert_eq!(bench.stdout(), expect);
}

#[tokio::test]
async fn a_task_starts_with_default_signals_in_a_session_of_its_own() {
    let bench = Bench::new();
    let handle = bench.run("grep -E '^Sig(Blk|Ign)' /proc/self/status; exec cat /proc/self/stat").await;
    let pid = handle.pid().expect("a process");
    within(handle.wait()).await.expect("ends");
    let out = bench.stdout();
    let zero = "0000000000000000";
    assert!(out.starts_with(&format!("SigBlk:\t{zero}\nSigIgn:\t{zero}\n")), "{out}");
    let stat: Vec<&str> = out.lines().last().expect("stat").split(' ').collect();
    assert_eq!([stat[0], stat[4], stat[5]], [&pid.to_string(); 3], "pid, process group, session");
}

#[tokio::test]
async fn a_task_is_born_in_the_cgroup_that_its_record_names() {
    let bench = Bench::new();
    bench.run_to_end("sort /proc/self/cgroup").await;
    let start = fs::read(bench.path("state/start.json")).expect("a record");
    let start: serde_json::Value = serde_json::from_slice(&start).expect("is JSON");
    // None where none can be made.
    if let Some(cgroup) = start["cgroup"].as_str() {
        let at = cgroup.find("/encamp/").expect("is in our folder");
        let name = &cgroup[at..];
        assert!(name.starts_with(&format!("/encamp/{}-web-", bench.alloc)), "{cgroup}");
        assert!(bench.stdout().lines().any(|line| line.ends_with(name)), "{}", bench.stdout());
        assert!(!fs::exists(cgroup).expect("can be looked at"), "it is removed at the end");
    }
}

#[tokio::test]
async fn a_command_is_found_in_the_task_folder_and_in_path() {
    let bench = Bench::new();
    let script = bench.path("task/local/hello");
    fs::write(&script, "#!/bin/sh\necho \"hello $1 from $0\"\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("may be executed");
    for (run, config) in [
        json!({"command": "local/hello", "args": [1]}),
        json!({"command": "hello", "args": ["2"]}),
        json!({"command": "echo", "args": ["hello 3"]}),
        json!({"command": "../local/hello", "args": ["4"], "work_dir": "local"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut spec = bench.command(config);
        spec.run = run as u64;
        let handle = bench.driver.start(spec).await;
        if run == 3 {
            assert!(
                matches!(handle, Err(Error::NotStarted { .. })),
                "a path is relative to the task's folder"
            );
            continue;
        }
        let ended = within(handle.expect("starts").wait()).await.expect("ends");
        assert_eq!((ended.exit, ended.run), (exited(0), run as u64));
    }
    let task = bench.path("task").display().to_string();
    let expect = format!("hello 1 from {task}/local/hello\nhello 2 from {task}/local/hello\nhello 3\n");
    assert_eq!(bench.stdout(), expect);
}

#[tokio::test]
async fn what_cannot_be_executed_says_why_and_leaves_that_as_its_end() {
    let bench = Bench::new();
    fs::write(bench.path("task/local/plain"), "no program").expect("a file");
    let cases = [
        ("/nowhere/x", "execute /nowhere/x: No such file or directory (ENOENT)"),
        ("local/plain", "local/plain: Permission denied (EACCES)"),
        ("no-such-command", "execute no-such-command (looked for "),
        ("/bin/sh/x", "execute /bin/sh/x: "),
    ];
    for (command, expect) in cases {
        let error =
            bench.driver.start(bench.command(json!({ "command": command }))).await.expect_err(command);
        assert!(matches!(error, Error::NotStarted { .. }), "{error:?}");
        assert!(error.to_string().contains(expect), "{error}");
        let Recovered::Ended(ended) = bench.recover().await else { panic!("{command}: an end was recorded") };
        let Exit::NotStarted { reason, late: false } = ended.exit else { panic!("{command}: {ended:?}") };
        assert_eq!(reason, error.to_string());
    }
}

#[tokio::test]
async fn nothing_starts_after_its_deadline() {
    let bench = Bench::new();
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock")).as_nanos() as u64;
    let mut late = bench.script("touch ran");
    late.start_deadline_ns = Some(now - 1_000_000);
    let error = bench.driver.start(late).await.expect_err("is too late");
    assert!(matches!(error, Error::TooLate { late_ms: 1.. }), "{error:?}");
    let Recovered::Ended(ended) = bench.recover().await else { panic!("an end was recorded") };
    assert!(matches!(ended.exit, Exit::NotStarted { late: true, .. }), "{ended:?}");
    assert!(!bench.path("task/ran").exists());

    let mut timely = bench.script("touch ran");
    timely.start_deadline_ns = Some(now + 60_000_000_000);
    timely.run = 2;
    let ended = within(bench.driver.start(timely).await.expect("starts").wait()).await.expect("ends");
    assert_eq!((ended.exit, ended.run), (exited(0), 2));
    assert!(bench.path("task/ran").exists());
}

#[tokio::test]
async fn a_task_runs_as_the_user_it_names() {
    let bench = Bench::new();
    let mut spec = bench.script("id -u; id -G; grep CapEff /proc/self/status");
    spec.user = Some("nobody".into());
    for folder in ["", "task"] {
        fs::set_permissions(bench.path(folder), fs::Permissions::from_mode(0o755)).expect("may be entered");
    }
    let ended = within(bench.driver.start(spec).await.expect("starts").wait()).await.expect("ends");
    assert_eq!(ended.exit, exited(0), "{}", bench.output(Stream::Stderr));
    assert_eq!(bench.stdout(), "65534\n65534\nCapEff:\t0000000000000000\n");

    let mut unknown = bench.script("true");
    unknown.user = Some("no-such-user".into());
    let error = bench.driver.start(unknown).await.expect_err("is refused");
    assert_eq!(error.to_string(), "there is no user no-such-user");
}

#[tokio::test]
async fn a_user_who_may_not_enter_the_folder_does_not_run_elsewhere() {
    let bench = Bench::new();
    fs::set_permissions(bench.path("task"), fs::Permissions::from_mode(0o700)).expect("ours alone");
    let mut spec = bench.script("pwd");
    spec.user = Some("nobody".into());
    let error = bench.driver.start(spec).await.expect_err("is refused");
    assert_eq!(error.to_string(), "enter its working folder: Permission denied (EACCES)");
}

#[tokio::test]
async fn the_folders_of_a_running_task_are_busy() {
    let bench = Bench::new();
    let handle = bench.run("exec sleep 1000").await;
    let error = bench.driver.start(bench.script("true")).await.expect_err("is refused");
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    handle.kill().await.expect("is killed");
    bench.run_to_end("true").await;
}

#[tokio::test]
async fn names_and_folders_that_lead_elsewhere_are_refused() {
    let bench = Bench::new();
    for name in ["", ".", "..", "a/b", "a\nb", &"x".repeat(129)] {
        let mut spec = bench.script("true");
        spec.task = name.into();
        let error = bench.driver.start(spec).await.expect_err(name);
        assert!(matches!(error, Error::Spec { .. }), "{error:?}");
    }
    let mut spec = bench.script("true");
    spec.dirs.log_dir = "/var/log".into();
    assert!(matches!(bench.driver.start(spec).await, Err(Error::Spec { .. })));
    std::os::unix::fs::symlink("/var", bench.path("link")).expect("links");
    let mut spec = bench.script("true");
    spec.dirs.log_dir = bench.path("link/log");
    let error = bench.driver.start(spec).await.expect_err("is refused");
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(matches!(bench.recover().await, Recovered::Never), "nothing was tried");
}

#[tokio::test]
async fn a_start_that_is_given_up_is_found_again_or_never_was() {
    for patience_us in [0, 500, 1000, 2000, 4000, 8000, 16_000] {
        let bench = Bench::new();
        let start = bench.driver.start(bench.script("echo ran; exec sleep 1000"));
        let given_up = tokio::time::timeout(Duration::from_micros(patience_us), start).await.is_err();
        match bench.recover().await {
            Recovered::Never => {
                assert!(given_up);
                bench.run("exec sleep 1000").await.kill().await.expect("is killed");
            }
            Recovered::Running(handle) => {
                handle.kill().await.expect("is killed");
            }
            Recovered::Ended(ended) => panic!("after {patience_us} µs: {ended:?}"),
        }
    }
}

/// Not a benchmark: far above what it takes (the printed numbers are for `--nocapture`), so that only a regression in
/// kind fails.
#[tokio::test]
async fn a_start_takes_milliseconds_and_a_supervisor_little_memory() {
    let bench = Bench::new();
    let mut took = Vec::new();
    for run in 0..50 {
        let mut spec = bench.command(json!({"command": "/bin/true"}));
        spec.run = run;
        let began = tokio::time::Instant::now();
        let handle = bench.driver.start(spec).await.expect("starts");
        let started = began.elapsed();
        within(handle.wait()).await.expect("ends");
        took.push((began.elapsed(), started));
    }
    took.sort();
    let handle = bench.run("exec sleep 1000").await;
    let status = fs::read_to_string(format!("/proc/{}/status", bench.supervisor_pid())).expect("lives");
    let memory = |field: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(field)).expect("is there");
        line.split_ascii_whitespace().nth(1).expect("a number").parse().expect("a number")
    };
    let (resident_kb, private_kb) = (memory("VmRSS:"), memory("RssAnon:"));
    handle.kill().await.expect("is killed");
    println!(
        "start to end {:?}, start {:?} (median); RSS {resident_kb} kB, private {private_kb} kB",
        took[25].0, took[25].1
    );
    assert!(took[25].0 < Duration::from_millis(500), "{took:?}");
    assert!(private_kb < 2048, "{status}");
}

#[tokio::test]
async fn a_task_gets_the_limit_of_open_files_that_the_agent_was_started_with() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("is told");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1000), hard).expect("is lowered");
    encamp_drivers::raise_open_files().expect("is raised");
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("is told"), (hard, hard));
    let bench = Bench::new();
    bench.run_to_end("ulimit -Sn; ulimit -Hn").await;
    assert_eq!(bench.stdout(), format!("{}\n{hard}\n", hard.min(1000)));
}
