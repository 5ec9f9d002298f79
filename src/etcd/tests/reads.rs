use super::{at, bytes, put, show};
use crate::{Core, Error, Range, RangeRequest};

#[test]
fn a_fresh_store_is_at_revision_1_and_empty() {
    let core = Core::default();
    assert_eq!((core.revision(), core.compacted()), (1, 0));
    assert_eq!(at(&core, Range::all(), 0), Ok(String::new()));
}

#[test]
fn ranges_are_half_open_and_prefixes_end_where_they_should() {
    let mut core = Core::default();
    for key in ["a", "a/1", "a/2", "a0", "b"] {
        put(&mut core, key, "v");
    }
    assert_eq!(at(&core, Range::key("a"), 0), Ok("a=v".into()));
    assert_eq!(at(&core, Range::prefix("a/"), 0), Ok("a/1=v a/2=v".into()));
    assert_eq!(at(&core, Range::span("a/2", "b"), 0), Ok("a/2=v a0=v".into()));
    assert_eq!(at(&core, Range::prefix(""), 0), Ok("a=v a/1=v a/2=v a0=v b=v".into()));
    assert_eq!(at(&core, Range::span("b", "a"), 0), Err(Error::EmptyRange));
}

#[test]
fn a_prefix_of_0xff_has_no_end() {
    assert_eq!(Range::prefix(vec![0xff, 0xff]).end, None);
    assert_eq!(Range::prefix(vec![b'a', 0xff]).end, Some(bytes("b")));
    assert!(Range::key("k").is_single() && !Range::prefix("k").is_single());
    assert!(Range::key("k").contains(b"k") && !Range::key("k").contains(b"k\0"));
}

#[test]
fn older_revisions_read_as_they_were() {
    let mut core = Core::default();
    put(&mut core, "a", "1"); // 2
    put(&mut core, "b", "1"); // 3
    core.delete(&Range::key("a")).unwrap(); // 4
    put(&mut core, "a", "2"); // 5
    let seen: Vec<String> = (1..=5).map(|revision| at(&core, Range::all(), revision).unwrap()).collect();
    assert_eq!(seen, ["", "a=1", "a=1 b=1", "b=1", "a=2 b=1"]);
    assert_eq!(at(&core, Range::all(), 6), Err(Error::FutureRevision { revision: 5 }));
}

#[test]
fn a_put_counts_versions_and_a_delete_begins_anew() {
    let mut core = Core::default();
    put(&mut core, "a", "1");
    put(&mut core, "a", "2");
    let kv = core.get(b"a").unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
    core.delete(&Range::key("a")).unwrap();
    put(&mut core, "a", "3");
    let kv = core.get(b"a").unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
}

#[test]
fn limit_and_count_say_what_is_left_out() {
    let mut core = Core::default();
    for key in ["a", "b", "c"] {
        put(&mut core, key, "v");
    }
    let limited = core.range(&RangeRequest { limit: 2, ..RangeRequest::now(Range::all()) }).unwrap();
    assert_eq!((show(&limited.kvs).as_str(), limited.count, limited.more), ("a=v b=v", 3, true));
    let counted = core.range(&RangeRequest { count_only: true, ..RangeRequest::now(Range::all()) }).unwrap();
    assert_eq!((counted.kvs.len(), counted.count, counted.more), (0, 3, false));
}

#[test]
fn deleting_nothing_is_no_change() {
    let mut core = Core::default();
    let answer = core.delete(&Range::all()).unwrap();
    assert_eq!((answer.prev.len(), answer.revision, core.revision()), (0, 1, 1));
}

#[test]
fn compaction_keeps_its_revision_readable_and_nothing_older() {
    let mut core = Core::default();
    put(&mut core, "a", "1"); // 2
    put(&mut core, "a", "2"); // 3
    core.delete(&Range::key("a")).unwrap(); // 4
    put(&mut core, "b", "1"); // 5
    core.compact(3).unwrap();
    assert_eq!(at(&core, Range::all(), 2), Err(Error::Compacted { revision: 3 }));
    assert_eq!(at(&core, Range::all(), 3), Ok("a=2".into()));
    assert_eq!(at(&core, Range::all(), 4), Ok(String::new()));
    assert_eq!(core.compact(3), Err(Error::Compacted { revision: 3 }));
    assert_eq!(core.compact(9), Err(Error::FutureRevision { revision: 5 }));
    core.compact(5).unwrap();
    assert_eq!(at(&core, Range::all(), 5), Ok("b=1".into()));
}
