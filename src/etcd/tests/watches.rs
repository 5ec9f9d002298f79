use super::{bytes, put, show, trace};
use crate::{Core, Error, Op, Range, Txn};

#[test]
fn a_watch_yields_history_then_news_each_once() {
    let mut core = Core::default();
    put(&mut core, "a/1", "1");
    put(&mut core, "b", "1");
    put(&mut core, "a/2", "1");
    let mut watcher = core.watch(Range::prefix("a/"), 2, false);
    assert_eq!(trace(&core.poll(&mut watcher, usize::MAX).unwrap()), "2+a/1 4+a/2");
    assert_eq!(trace(&core.poll(&mut watcher, usize::MAX).unwrap()), "");
    core.delete(&Range::prefix("a/")).unwrap();
    assert_eq!(trace(&core.poll(&mut watcher, usize::MAX).unwrap()), "5-a/1 5-a/2");
}

#[test]
fn zero_means_from_now_and_a_future_revision_waits() {
    let mut core = Core::default();
    put(&mut core, "a", "1");
    let mut now = core.watch(Range::all(), 0, false);
    let mut later = core.watch(Range::all(), 4, false);
    put(&mut core, "a", "2");
    put(&mut core, "a", "3");
    assert_eq!(trace(&core.poll(&mut now, usize::MAX).unwrap()), "3+a 4+a");
    assert_eq!(trace(&core.poll(&mut later, usize::MAX).unwrap()), "4+a");
}

#[test]
fn a_bounded_poll_never_splits_a_revision() {
    let mut core = Core::default();
    core.txn(&Txn::new().then(Op::put("c", "1")).then(Op::put("a", "1"))).unwrap();
    put(&mut core, "other", "1");
    core.txn(&Txn::new().then(Op::put("b", "1")).then(Op::delete("a"))).unwrap();
    let mut watcher = core.watch(Range::span("a", "d"), 1, false);
    assert_eq!(trace(&core.poll(&mut watcher, 1).unwrap()), "2+c 2+a", "in the order of the transaction");
    assert_eq!(trace(&core.poll(&mut watcher, 1).unwrap()), "4+b 4-a");
    assert_eq!(trace(&core.poll(&mut watcher, 1).unwrap()), "");
    assert_eq!(watcher.next_revision(), 5);
}

#[test]
fn the_record_before_a_change_comes_if_asked_for_and_not_compacted() {
    let mut core = Core::default();
    put(&mut core, "a", "1"); // 2
    put(&mut core, "a", "2"); // 3
    core.delete(&Range::key("a")).unwrap(); // 4
    let prevs = |core: &Core, with_prev| {
        let mut watcher = core.watch(Range::all(), core.compacted().max(1), with_prev);
        let events = core.poll(&mut watcher, usize::MAX).unwrap();
        events.into_iter().map(|event| event.prev.map(|kv| show(&[kv]))).collect::<Vec<_>>()
    };
    assert_eq!(prevs(&core, true), [None, Some("a=1".into()), Some("a=2".into())]);
    assert_eq!(prevs(&core, false), [None, None, None]);
    core.compact(3).unwrap();
    assert_eq!(prevs(&core, true), [None, Some("a=2".into())]);
}

#[test]
fn a_delete_event_holds_only_key_and_revision() {
    let mut core = Core::default();
    core.put(&bytes("a"), &bytes("1"), 0).unwrap();
    core.delete(&Range::key("a")).unwrap();
    let mut watcher = core.watch(Range::all(), 3, false);
    let events = core.poll(&mut watcher, usize::MAX).unwrap();
    let kv = &events[0].kv;
    assert_eq!((kv.mod_revision, kv.create_revision, kv.version, kv.value.len()), (3, 0, 0, 0));
}

#[test]
fn a_watcher_that_history_left_behind_is_told_where_it_begins() {
    let mut core = Core::default();
    for value in ["1", "2", "3"] {
        put(&mut core, "a", value);
    }
    let mut behind = core.watch(Range::all(), 2, false);
    let mut at_edge = core.watch(Range::all(), 3, false);
    core.compact(3).unwrap();
    assert_eq!(core.poll(&mut behind, usize::MAX), Err(Error::Compacted { revision: 3 }));
    assert_eq!(trace(&core.poll(&mut at_edge, usize::MAX).unwrap()), "3+a 4+a");
}
