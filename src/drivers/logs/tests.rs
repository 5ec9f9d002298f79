use super::*;
use std::{fs, os::unix::fs::symlink};

struct Logs {
    folder: tempfile::TempDir,
}

impl Logs {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("logs")).expect("a folder");
        Logs { folder }
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("logs").join(name), text).expect("a file");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join("logs").join(name)).expect("a file");
    }

    fn reader(&self) -> LogReader {
        let root = self.folder.path().to_owned();
        let log_dir = root.join("logs");
        let dirs = TaskDirs { state_dir: root.join("state"), task_dir: root.join("task"), log_dir, root };
        LogReader::open(&dirs, "web", Stream::Stdout).expect("is there")
    }
}

#[test]
fn files_count_as_one_text_in_the_order_of_their_numbers() {
    let logs = Logs::new();
    logs.file("web.stdout.9", "abc");
    logs.file("web.stdout.10", "");
    logs.file("web.stdout.11", "defg");
    for other in
        ["web.stderr.9", "web.stdout.x", "web.stdout.012", "web.stdout.", "we.stdout.1", "web.stdout.-1"]
    {
        logs.file(other, "no");
    }
    let reader = logs.reader();
    let indexes: Vec<u64> = reader.files().expect("lists").iter().map(|f| f.index).collect();
    assert_eq!(indexes, [9, 10, 11]);
    assert_eq!(reader.total().expect("lists"), 7);
    let at = |offset, len| String::from_utf8(reader.read_at(offset, len).expect("reads")).expect("text");
    assert_eq!([at(0, 100), at(2, 2), at(3, 1), at(7, 5), at(99, 5)], ["abcdefg", "cd", "d", "", ""]);
    let end = reader.seek_end(5).expect("lists");
    assert_eq!(end, Position { index: 9, offset: 2 });
}

#[test]
fn a_follower_moves_over_the_end_of_a_file_and_over_files_rotated_away() {
    let logs = Logs::new();
    logs.file("web.stdout.0", "one");
    let reader = logs.reader();
    let first = reader.read(Position::default(), 100).expect("reads");
    assert_eq!(first.bytes, b"one");
    assert!(reader.read(first.next, 100).expect("reads").bytes.is_empty());
    logs.file("web.stdout.0", "one+");
    logs.file("web.stdout.1", "two");
    let rest = reader.read(first.next, 100).expect("reads");
    assert_eq!(rest.bytes, b"+", "the end of the old file comes before the new one");
    logs.remove("web.stdout.0");
    logs.remove("web.stdout.1");
    logs.file("web.stdout.5", "six");
    let after = reader.read(rest.next, 100).expect("reads");
    assert_eq!((after.bytes.as_slice(), after.from), (b"six".as_slice(), Position { index: 5, offset: 0 }));
}

#[test]
fn nothing_is_read_through_a_link() {
    let logs = Logs::new();
    logs.file("secret", "secret");
    let dir = logs.folder.path().join("logs");
    symlink(dir.join("secret"), dir.join("web.stdout.0")).expect("links");
    let reader = logs.reader();
    assert_eq!(reader.files().expect("lists"), []);
    assert!(reader.read_at(0, 10).expect("reads").is_empty());
    fs::hard_link(dir.join("secret"), dir.join("web.stdout.1")).expect("links");
    assert!(reader.read_at(0, 10).is_err(), "a second name of some file is not a log");
    symlink(&dir, logs.folder.path().join("other")).expect("links");
    let root = logs.folder.path().to_owned();
    let dirs =
        TaskDirs { state_dir: root.clone(), task_dir: root.clone(), log_dir: root.join("other"), root };
    assert!(LogReader::open(&dirs, "web", Stream::Stdout).is_err(), "nor is the folder");
}
