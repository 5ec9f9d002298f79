use std::time::Duration;

use super::{at, bytes, put, trace};
use crate::{Core, Error, Range};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_lease_is_at_least_the_minimum_and_numbered_when_it_names_no_number() {
    let mut core = Core::default();
    let first = core.grant(0, 1, s(0)).unwrap();
    let second = core.grant(0, 10, s(0)).unwrap();
    assert_eq!((first.ttl_s, second.ttl_s), (2, 10));
    assert_ne!(first.id, second.id);
    assert_eq!(core.grant(first.id, 5, s(0)), Err(Error::LeaseExists { lease: first.id }));
    assert_eq!(core.grant(0, i64::MAX, s(0)), Err(Error::TtlTooLarge { ttl_s: i64::MAX }));
}

#[test]
fn expiry_deletes_the_keys_of_a_lease_in_one_revision() {
    let mut core = Core::default();
    core.grant(1, 5, s(0)).unwrap();
    core.grant(2, 3, s(0)).unwrap();
    for (key, lease) in [("b", 1), ("a", 1), ("c", 2), ("d", 0)] {
        core.put(&bytes(key), &bytes("v"), lease).unwrap();
    }
    let mut watcher = core.watch(Range::all(), 0, false);
    assert_eq!(core.next_expiry(), Some(s(3)));
    assert_eq!(core.tick(s(2)), []);
    assert_eq!(core.tick(s(9)), [2, 1], "the earlier one first");
    assert_eq!(trace(&core.poll(&mut watcher, usize::MAX).unwrap()), "6-c 7-a 7-b");
    assert_eq!(core.next_expiry(), None);
    assert_eq!(at(&core, Range::all(), 0), Ok("d=v".into()));
}

#[test]
fn renewing_moves_the_end_and_a_dead_lease_cannot_be_renewed() {
    let mut core = Core::default();
    core.grant(1, 5, s(0)).unwrap();
    assert_eq!(core.keep_alive(1, s(4)), Ok(5));
    assert_eq!(core.tick(s(8)), []);
    assert_eq!(core.time_to_live(1, s(8)).unwrap().remaining, s(1));
    assert_eq!(core.tick(s(9)), [1]);
    assert_eq!(core.keep_alive(1, s(9)), Err(Error::LeaseNotFound { lease: 1 }));
    assert_eq!(core.time_to_live(1, s(9)), None);
}

#[test]
fn a_put_moves_a_key_between_leases_or_off_them() {
    let mut core = Core::default();
    core.grant(1, 5, s(0)).unwrap();
    core.grant(2, 9, s(0)).unwrap();
    core.put(&bytes("moved"), &bytes("v"), 1).unwrap();
    core.put(&bytes("freed"), &bytes("v"), 1).unwrap();
    core.put(&bytes("moved"), &bytes("v"), 2).unwrap();
    put(&mut core, "freed", "v");
    assert!(core.time_to_live(1, s(0)).unwrap().keys.is_empty());
    assert_eq!(core.time_to_live(2, s(0)).unwrap().keys, [bytes("moved")]);
    let before = core.revision();
    assert_eq!(core.revoke(1), Ok(before), "no keys, no revision");
    assert_eq!(core.revoke(2), Ok(before + 1));
    assert_eq!(at(&core, Range::all(), 0), Ok("freed=v".into()));
    assert_eq!(core.revoke(2), Err(Error::LeaseNotFound { lease: 2 }));
}

#[test]
fn a_deleted_key_leaves_its_lease() {
    let mut core = Core::default();
    core.grant(1, 5, s(0)).unwrap();
    core.put(&bytes("a"), &bytes("v"), 1).unwrap();
    core.delete(&Range::key("a")).unwrap();
    put(&mut core, "a", "again");
    core.tick(s(5));
    assert_eq!(at(&core, Range::all(), 0), Ok("a=again".into()));
}

#[test]
fn a_change_of_leader_gives_every_lease_its_full_time() {
    let mut core = Core::default();
    core.grant(1, 5, s(0)).unwrap();
    core.renew_all_leases(s(4));
    assert_eq!(core.tick(s(8)), []);
    assert_eq!(core.tick(s(9)), [1]);
    assert!(core.leases().is_empty());
}
