//! Old versions and their sources.

use encamp_model::{Key, Unit};
use encamp_world::testing::{TestWorld, objects};

use super::{alloc_id, check, cluster, judge, loses_against, node, stays, uid, web};
use crate::{Config, Garbage, Gc};

fn key() -> Garbage {
    Garbage::Registration(uid(1))
}

/// Versions 0 to `newest`, each with its source.
fn with(newest: u64) -> TestWorld {
    let mut store = cluster();
    for version in 0..=newest {
        store.register(&objects::job("web", uid(1), version));
        store.put_raw(Key::JobSource(uid(1), version), b"text".as_slice());
    }
    store
}

fn versions(units: &[Unit]) -> Vec<u64> {
    let each = units.iter().flat_map(|u| &u.writes).filter_map(|w| match w.key() {
        Key::JobVersion(_, version) => Some(*version),
        _ => None,
    });
    let mut versions: Vec<u64> = each.collect();
    versions.sort_unstable();
    versions
}

#[test]
fn the_newest_six_are_kept() {
    stays(&with(5), &key());
    let store = with(6);
    let outcome = judge(&store, &key(), 0);
    let [unit] = &outcome.units[..] else { panic!("{outcome:?}") };
    check(&store, unit, &[Key::JobVersion(uid(1), 0), Key::JobSource(uid(1), 0)], &[Key::Job(web())]);
    assert_eq!(versions(&judge(&with(9), &key(), 0).units), [0, 1, 2, 3]);
}

#[test]
fn one_that_an_allocation_names_stays() {
    let mut store = with(9);
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 2, 0));
    assert_eq!(versions(&judge(&store, &key(), 0).units), [0, 1, 3]);
}

#[test]
fn the_current_one_stays_even_if_newer_ones_are_stored() {
    let mut store = with(9);
    store.put(Key::Job(web()), &objects::job("web", uid(1), 1));
    assert_eq!(versions(&judge(&store, &key(), 0).units), [0, 2, 3]);
}

#[test]
fn a_placement_on_its_way_compares_the_declaration_and_so_does_the_unit() {
    let store = with(6);
    let unit = judge(&store, &key(), 0).units.remove(0);
    // Version 0 can become placeable only by a new declaration.
    loses_against(
        &store,
        &unit,
        &[&|s| drop(s.put(Key::Job(web()), &objects::job("web", uid(1), 0))), &|s| {
            drop(s.delete(Key::Job(web())));
        }],
    );
}

#[test]
fn an_allocation_that_cannot_be_read_keeps_what_it_may_name() {
    let mut store = with(9);
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), b"garbage".as_slice());
    stays(&store, &key());
    let of_another = format!("{{\"uid\":\"{}\",\"group\":\"web\",\"index\":0,\"desired\":0}}", uid(2));
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), of_another);
    assert_eq!(versions(&judge(&store, &key(), 0).units).len(), 4);
    let of_this = format!("{{\"uid\":\"{}\",\"group\":\"web\",\"index\":0,\"desired\":0}}", uid(1));
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), of_this);
    stays(&store, &key());
}

#[test]
fn a_purged_registration_keeps_its_versions_until_its_last_allocation_is_gone() {
    let mut store = with(2);
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 2, 0));
    store.delete(Key::Job(web()));
    stays(&store, &key());
    store.delete(Key::Alloc(node(1), alloc_id(1)));
    let outcome = judge(&store, &key(), 0);
    assert_eq!(versions(&outcome.units), [0, 1, 2]);
    store.register(&objects::job("web", uid(2), 0));
    assert_eq!(store.apply_all(&outcome.units).len(), 3, "decided before the name was registered anew");
    let outcome = judge(&store, &key(), 0);
    assert!(store.apply_all(&outcome.units).is_empty());
    assert!(store.world().registration(uid(1)).is_none());
    assert!(store.world().registration(uid(2)).is_some());
}

#[test]
fn versions_of_a_job_that_cannot_be_read_stay_and_so_do_unreadable_versions() {
    let mut store = with(9);
    store.put_raw(Key::Job(web()), b"garbage".as_slice());
    stays(&store, &key());
    let mut store = with(9);
    store.put_raw(Key::JobVersion(uid(1), 0), b"garbage".as_slice());
    assert_eq!(versions(&judge(&store, &key(), 0).units), [1, 2, 3]);
}

#[test]
fn a_source_without_its_version_goes() {
    let mut store = cluster();
    store.put_raw(Key::JobSource(uid(1), 7), b"text".as_slice());
    let outcome = judge(&store, &key(), 0);
    let [unit] = &outcome.units[..] else { panic!("{outcome:?}") };
    check(&store, unit, &[Key::JobSource(uid(1), 7)], &[Key::JobVersion(uid(1), 7)]);
}

#[test]
fn a_run_is_bounded_and_says_that_it_was_cut() {
    let gc = Gc::new(Config { units_max: 3, ..super::config() });
    let mut store = with(19);
    let mut runs = 0;
    loop {
        let outcome = gc.judge(&key(), store.world(), super::at(0));
        assert!(outcome.units.len() <= 3);
        assert!(store.apply_all(&outcome.units).is_empty());
        runs += 1;
        if !outcome.cut {
            break;
        }
    }
    assert_eq!(runs, 5, "14 versions in threes");
    assert_eq!(store.world().registration(uid(1)).map(|r| r.versions.len()), Some(6));
}
