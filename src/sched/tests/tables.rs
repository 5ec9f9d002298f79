//! Tables: versions, constraints, datacenters, demands, ports, ranks.

use encamp_model::{
    job::{Constraint, Resources},
    records::NodeInfo,
};

use crate::{
    Checks, Demand, Requirement, Version,
    checks::Distinct,
    harness::{job, node},
    ports::PortPlan,
    score::fit,
};

#[test]
fn versions_hold_as_documented() {
    let table = [
        ("1.2.3", ">= 1.2, < 2.0", true),
        ("2.0", ">= 1.2, < 2.0", false),
        ("v1.2", "= 1.2.0", true),
        ("1.2", "1.2.0", true),
        ("1.2.1", "!= 1.2", true),
        ("1.10", "> 1.9", true),
        ("1.2.9", "~> 1.2.3", true),
        ("1.3.0", "~> 1.2.3", false),
        ("1.9", "~> 1.2", true),
        ("2.0", "~> 1.2", false),
        ("1.6.0-beta", ">= 1.0", false),
        ("1.6.0-beta", "> 1.6.0-alpha", true),
        ("1.6.0-beta.2", "> 1.6.0-beta.10", false),
        ("1.6.0", ">= 1.6.0-beta", true),
        ("1.7.0-beta", ">= 1.6.0-beta", false),
        ("1.6.0", "~> 1.6.0-beta", false),
        ("1.6.0+build7", "= 1.6.0", true),
        ("4.19.0-24-amd64", ">= 4.0", false),
        ("6.1.0.1", "> 6.1", true),
        ("1.2beta", "< 1.2", false),
        ("1.2beta", "= 1.2-beta", true),
    ];
    for (seen, wanted, holds) in table {
        let requirement = Requirement::parse(wanted).unwrap_or_else(|| panic!("{wanted} is a requirement"));
        let version = Version::parse(seen).unwrap_or_else(|| panic!("{seen} is a version"));
        assert_eq!(requirement.holds(&version), holds, "{seen} {wanted}");
    }
    for no in ["", "x", "1.x", "1..2", "-1", "1.2-", "1.2 3", ">"] {
        assert_eq!(Version::parse(no), None, "{no} is no version");
    }
    for no in ["", ">= ", ">= 1,", "about 1"] {
        assert_eq!(Requirement::parse(no), None, "{no} is no requirement");
    }
}

fn holds(left: &str, operand: &str, right: &str, info: &NodeInfo) -> bool {
    let mut job = job("web", &[]);
    let (l_target, operand, r_target) = (left.to_owned(), operand.to_owned(), right.to_owned());
    job.constraints.push(Constraint { l_target, operand, r_target, ..Constraint::default() });
    Checks::of(&job, &job.task_groups[0]).hold_on(info)
}

#[test]
fn constraints_hold_as_documented() {
    let words =
        ["attr.cpu.numcores=16", "attr.os.version=10.2", "meta.rack=r1", "class=big", "attr.driver.x=1"];
    let mut info = node(7, &words);
    info.attributes.insert("empty".into(), String::new());
    let id = info.id.to_string();
    let table = [
        ("${attr.kernel.name}", "=", "linux", true),
        ("$attr.kernel.name", "", "linux", true),
        ("${attr.kernel.name}", "is", "windows", false),
        ("${attr.kernel.name}", "==", "linux", true),
        ("${attr.nothing}", "=", "linux", false),
        ("${attr.nothing}", "!=", "linux", true),
        ("${attr.nothing}", "not", "linux", true),
        ("${attr.kernel.name}", "!=", "linux", false),
        ("${attr.cpu.numcores}", ">", "9", true),
        ("${attr.cpu.numcores}", ">", "9.5", true),
        ("${attr.cpu.numcores}", "<=", "16", true),
        ("${attr.kernel.name}", "<", "windows", true),
        ("${attr.nothing}", "<", "windows", false),
        ("${meta.rack}", "regexp", "^r[0-9]$", true),
        ("${meta.rack}", "regexp", "^x", false),
        ("${meta.rack}", "regexp", "(", false),
        ("${attr.os.version}", "version", ">= 10, < 11", true),
        ("${attr.os.version}", "version", "nonsense", false),
        ("${attr.empty}", "is_set", "", true),
        ("${attr.nothing}", "is_set", "", false),
        ("${attr.nothing}", "is_not_set", "", true),
        ("${node.datacenter}", "=", "dc1", true),
        ("$node.datacenter", "=", "dc1", true),
        ("${node.class}", "=", "big", true),
        ("${node.region}", "=", "global", true),
        ("${node.unique.id}", "=", &id, true),
        ("${node.unique.name}", "=", "n7", true),
        ("linux", "=", "${attr.kernel.name}", true),
        ("${meta.rack}", "=", "$meta.rack", true),
        ("${what.ever}", "=", "${what.ever}", false),
        ("$HOME", "=", "$HOME", true),
        ("${attr.kernel.name}", "set_contains", "linux", false),
    ];
    for (left, operand, right, expected) in table {
        assert_eq!(holds(left, operand, right, &info), expected, "{left} {operand} {right}");
    }
}

#[test]
fn datacenters_are_patterns_and_none_means_all() {
    let table: [(&[&str], &str, bool); 8] = [
        (&[], "anything", true),
        (&["dc1"], "dc1", true),
        (&["dc1"], "dc2", false),
        (&["dc2", "dc*"], "dc1", true),
        (&["*"], "eu", true),
        (&["eu-*-1"], "eu-west-1", true),
        (&["eu-*-1"], "eu-1", false),
        (&["*a*b*"], "xaxbx", true),
    ];
    for (wanted, datacenter, expected) in table {
        let mut job = job("web", &[]);
        job.datacenters = wanted.iter().map(|d| (*d).to_owned()).collect();
        let checks = Checks::of(&job, &job.task_groups[0]);
        assert_eq!(
            checks.hold_on(&node(1, &[&format!("dc={datacenter}")])),
            expected,
            "{wanted:?} {datacenter}"
        );
    }
}

#[test]
fn distinct_hosts_is_of_the_group_or_of_the_job_and_can_be_turned_off() {
    let of = |words: &[&str]| {
        let job = job("web", words);
        Checks::of(&job, &job.task_groups[0]).distinct
    };
    assert_eq!(of(&[]), Distinct::No);
    assert_eq!(of(&["distinct_hosts"]), Distinct::Group);
    assert_eq!(of(&["job_constraint=|distinct_hosts|"]), Distinct::Job);
    assert_eq!(of(&["constraint=|distinct_hosts|false"]), Distinct::No);
}

#[test]
fn absent_resources_mean_the_documented_defaults() {
    let ask = |edit: &dyn Fn(&mut encamp_model::job::TaskGroup)| {
        let mut group = job("web", &[]).task_groups.remove(0);
        edit(&mut group);
        let ask = Demand::of(&group).ask;
        (ask.cpu, ask.memory_mb, ask.disk_mb)
    };
    assert_eq!(ask(&|g| g.tasks[0].resources = None), (100, 300, 300));
    assert_eq!(ask(&|_| {}), (100, 100, 300));
    let legacy = Resources { disk_mb: Some(70), ..Resources::default() };
    assert_eq!(ask(&|g| g.tasks[0].resources = Some(legacy.clone())), (100, 300, 70));
    let both = |g: &mut encamp_model::job::TaskGroup| {
        g.tasks[0].resources = Some(legacy.clone());
        g.ephemeral_disk = Some(encamp_model::job::EphemeralDisk::default());
    };
    assert_eq!(ask(&both), (100, 300, 300), "an ephemeral_disk without size has the default");
    let two = |g: &mut encamp_model::job::TaskGroup| {
        let again = g.tasks[0].clone();
        g.tasks.push(again);
    };
    assert_eq!(ask(&two), (200, 200, 300));
}

#[test]
fn ports_are_free_in_range_and_each_their_own() {
    let group = job("web", &["dyn=a", "dyn=b", "static=c:80"]).task_groups.remove(0);
    let demand = Demand::of(&group);
    let plan = PortPlan::of(&demand.ports);
    let info = node(1, &["ports=20000-20002", "reserved=20001"]);
    let mut room = encamp_world::Room { ports: vec![20_001].into(), ..Default::default() };
    for seed in 0..7 {
        let ports = plan.assign(&room, &info, seed).expect("two are left");
        let mut values: Vec<u16> = ports.iter().map(|p| p.value).collect();
        values.sort_unstable();
        assert_eq!(values, [80, 20_000, 20_002]);
    }
    room.ports = vec![20_000, 20_001].into();
    assert_eq!(plan.assign(&room, &info, 1).expect_err("one is left").label, "b");
    room.ports = vec![80].into();
    assert_eq!(plan.assign(&room, &info, 1).expect_err("it is in use").label, "c");
}

#[test]
fn the_fuller_node_fits_better() {
    let room = |used| encamp_world::Room {
        capacity: encamp_model::records::Ask { cpu: 1000, memory_mb: 1000, disk_mb: 1 },
        used: encamp_model::records::Ask { cpu: used, memory_mb: used, disk_mb: 0 },
        ..Default::default()
    };
    let ask = encamp_model::records::Ask { cpu: 100, memory_mb: 100, disk_mb: 0 };
    let scores: Vec<i64> = [0, 300, 600, 900].iter().map(|used| fit(&room(*used), ask)).collect();
    assert!(scores.is_sorted() && scores[0] > 0, "{scores:?}");
    assert_eq!(scores[3], 18_000_000, "a full node has 18 points");
}

#[test]
fn unique_attributes_do_not_make_a_class() {
    let class = |words: &[&str], n| crate::fleet::class(&node(n, words));
    assert_eq!(class(&["attr.unique.hostname=a"], 1), class(&["attr.unique.hostname=b"], 2));
    assert_ne!(class(&["attr.cpu.arch=a"], 1), class(&["attr.cpu.arch=b"], 1));
    assert_ne!(class(&["driver=docker"], 1), class(&["sick=docker"], 1));
}
