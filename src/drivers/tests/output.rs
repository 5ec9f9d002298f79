//! What a task writes is kept: all of it within the limits, and none of it elsewhere.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use encamp_drivers::{
    Driver, LogLimits,
    logs::{LogReader, Stream},
};

use crate::bench::{Bench, TASK, exited, until, within};

fn sizes(bench: &Bench, stream: Stream) -> Vec<(u64, u64)> {
    let reader = LogReader::open(&bench.dirs(), TASK, stream).expect("a log folder");
    reader.files().expect("lists").iter().map(|file| (file.index, file.size)).collect()
}

#[tokio::test]
async fn streams_are_kept_apart() {
    let bench = Bench::new();
    bench.run_to_end("echo out; echo err >&2; printf 'no newline'").await;
    assert_eq!(bench.stdout(), "out\nno newline");
    assert_eq!(bench.output(Stream::Stderr), "err\n");
}

#[tokio::test]
async fn output_is_rotated_by_size_and_count_and_numbered_on_over_runs() {
    let bench = Bench::new();
    let limits = LogLimits { max_files: 3, max_file_bytes: 1000 };
    let mut whole = String::new();
    for run in 1..=3_u64 {
        let mut spec = bench.script(&format!("seq {run}000 {run}499"));
        spec.logs = limits;
        spec.run = run;
        let ended = within(bench.driver.start(spec).await.expect("starts").wait()).await.expect("ends");
        assert_eq!((ended.exit, ended.log_bytes_dropped), (exited(0), 0));
        whole.extend((0..500).map(|n| format!("{}\n", run * 1000 + n)));
    }
    // 7,500 bytes: files 0 to 7, of which the last three are kept.
    assert_eq!(sizes(&bench, Stream::Stdout), [(5, 1000), (6, 1000), (7, 500)]);
    assert_eq!(bench.stdout(), whole[5000..]);
}

#[tokio::test]
async fn a_burst_at_the_very_end_is_not_lost() {
    let bench = Bench::new();
    let ended = bench
        .run_to_end("head -c 3000000 /dev/zero | tr '\\0' x; head -c 60000 /dev/zero | tr '\\0' y")
        .await;
    assert_eq!(ended.exit, exited(0));
    let out = bench.stdout();
    assert_eq!((out.len(), &out[2_999_999..3_000_001]), (3_060_000, "xy"));
}

#[tokio::test]
async fn an_end_is_told_even_if_someone_else_holds_the_pipe() {
    let bench = Bench::new();
    let handle = bench.run("echo up; exec sleep 1000").await;
    bench.until_written("up").await;
    let pid = handle.pid().expect("a process");
    let mut held =
        fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/fd/1")).expect("opens its stdout");
    handle.kill().await.expect("is killed");
    assert_eq!(bench.stdout(), "up\n");
    until("the supervisor to let go of the pipe", || match held.write(b"x") {
        Ok(_) => Err("it still reads".into()),
        Err(_) => Ok(()),
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_drops_output_and_nothing_else() {
    let bench = Bench::new();
    let logs = bench.path("logs");
    let _full = Mounted::tmpfs(&logs, 256 << 10);
    let ended = bench.run_to_end("head -c 2000000 /dev/zero | tr '\\0' x; echo done > done; exit 2").await;
    assert_eq!(ended.exit, exited(2));
    assert!(bench.path("task/done").exists(), "it was not held up");
    let kept = bench.stdout().len() as u64;
    assert_eq!(kept + ended.log_bytes_dropped, 2_000_000);
    assert!((100_000..300_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_full_disk_under_the_state_folder_does_not_lose_the_end() {
    let bench = Bench::new();
    fs::create_dir(bench.path("state")).expect("a folder");
    let _full = Mounted::tmpfs(&bench.path("state"), 64 << 10);
    nix::unistd::mkfifo(&bench.path("go"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let handle = bench.run("read x < ../go; exit 7").await;
    let mut filler = fs::File::create(bench.path("state/filler")).expect("a file");
    while filler.write_all(&[0; 512]).is_ok() {}
    tokio::fs::write(bench.path("go"), "x\n").await.expect("is let go");
    assert_eq!(within(handle.wait()).await.expect("ends").exit, exited(7));
}

#[tokio::test]
async fn nothing_is_written_outside_the_log_folder() {
    let bench = Bench::new();
    let victim = bench.path("victim");
    fs::write(&victim, "precious\n").expect("a file");
    // What a task that may write to its log folder could prepare for the next file, and for the next start.
    symlink(&victim, bench.path("logs/web.stdout.0")).expect("links");
    symlink(&victim, bench.path("logs/web.stdout.1")).expect("links");
    fs::hard_link(&victim, bench.path("logs/web.stdout.2")).expect("links");
    nix::unistd::mkfifo(&bench.path("logs/web.stderr.0"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let mut spec = bench.script("echo out; echo err >&2");
    spec.logs = LogLimits { max_files: 10, max_file_bytes: 100 };
    let ended = within(bench.driver.start(spec).await.expect("starts").wait()).await.expect("ends");
    assert_eq!((ended.exit, ended.log_bytes_dropped), (exited(0), 0));
    assert_eq!(fs::read_to_string(&victim).expect("is there"), "precious\n");
    assert_eq!(fs::read_to_string(bench.path("logs/web.stdout.3")).expect("the first free number"), "out\n");
    assert_eq!(fs::read_to_string(bench.path("logs/web.stderr.1")).expect("the first free number"), "err\n");
}

/// A small file system for one test.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(path: &Path, bytes: u32) -> Self {
        use nix::mount::{MsFlags, mount};
        let options = format!("size={bytes},mode=0700");
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("runs as root");
        Mounted(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}
