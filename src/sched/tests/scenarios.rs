//! Golden scripts: each file is a test. With `UPDATE_SCENARIOS=1` they are written anew, to be reviewed as a diff.

use std::path::PathBuf;

use crate::harness::script;

fn check(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/scenarios/{name}.txt"));
    let golden = std::fs::read_to_string(&path).expect("the scenario's file");
    let played = script::run(&golden);
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        std::fs::write(&path, &played).expect("the scenario's file can be written");
        return;
    }
    assert!(played == golden, "{}: not what happened:\n{played}", path.display());
}

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })+

        #[test]
        fn every_script_is_a_test() {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
            let files = std::fs::read_dir(folder).expect("the folder of scenarios");
            let names = files.map(|f| f.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned());
            let mut names: Vec<String> = names.collect();
            names.sort();
            let mut tests = vec![$(stringify!($name).to_owned()),+];
            tests.sort();
            assert_eq!(names, tests);
        }
    };
}

scenarios! {
    basic,
    constraint_unmet,
    count_too_large,
    update_staggered,
    update_stalls_on_a_broken_version,
    in_place,
    node_lost,
    node_returns,
    scale,
    purge_and_register_again,
    tight_update_in_place_of_the_old,
    three_generations,
    full_node_replaces_all_it_runs,
    dynamic_ports_run_out,
    priority_and_shapes,
    static_port_conflict,
    distinct_hosts,
    opaque_allocation,
    unreadable_status,
    refused,
    batch_done,
    failed_is_kept,
    force_reschedule,
    blocked_by_shape,
    driver_missing,
    ineligible,
    two_groups,
    stop_job,
    constraint_moves_running_work,
}
