//! The data folder and what tasks may put into theirs.

use std::{fs, os::unix::fs::symlink};

use encamp_model::Name;

use super::kit::alloc_id;
use crate::{AllocDirs, Error, Folder};

#[test]
fn a_node_keeps_its_id_and_only_one_agent_opens_a_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("deep/data");
    let folder = Folder::open(&root).expect("opens");
    let id = folder.node_id().expect("an id");
    assert!(matches!(Folder::open(&root), Err(Error::Locked { .. })));
    let identity = folder.identity();
    drop(folder);
    let folder = Folder::open(&root).expect("opens");
    assert_eq!((folder.node_id().expect("an id"), folder.identity()), (id, identity));
    fs::write(root.join("node-id"), "garbage").expect("written");
    let error = folder.node_id().expect_err("damaged");
    assert!(error.to_string().contains("\"garbage\""), "{error}");
}

#[test]
fn a_link_in_the_place_of_a_folder_leads_nobody_elsewhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(&dir.path().join("data")).expect("opens");
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    let task = Name::from("t");
    for linked in ["alloc", "alloc/tmp", "t", "t/secrets"] {
        let dirs = AllocDirs::new(folder.root(), alloc_id(1));
        dirs.make(&task, None).expect("makes");
        dirs.make(&task, None).expect("makes again");
        let path = dirs.path().join(linked);
        fs::remove_dir_all(&path).expect("removed");
        symlink(&elsewhere, &path).expect("linked");
        assert!(dirs.make(&task, None).is_err(), "{linked}");
        assert_eq!(fs::read_dir(&elsewhere).expect("lists").count(), 0, "{linked}");
        Folder::remove_alloc(folder.root(), alloc_id(1)).expect("removes");
        assert!(!dirs.path().exists() && elsewhere.exists(), "{linked}");
    }
}

#[test]
fn names_that_are_no_folder_of_their_own_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(dir.path()).expect("opens");
    let dirs = AllocDirs::new(folder.root(), alloc_id(1));
    for name in ["", ".", "..", "alloc", "a/b", "../x", "nul\0", &"x".repeat(129)] {
        assert!(dirs.make(&Name::from(name), None).is_err(), "{name:?}");
    }
    assert!(!dirs.path().exists());
    let error = dirs.make(&Name::from("t"), Some("no-such-user")).expect_err("no user");
    assert!(error.to_string().contains("no-such-user"));
}
