//! The small pure parts: policy, interpolation, environment, fingerprint, reports.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use encamp_model::{
    InstanceId, Keyspace,
    job::{JobType, RestartPolicy},
    records::{AllocStatus, AssignedPort, ClientStatus, LeaseRecord},
};
use encamp_store::{Kv, Op, OpAnswer, TxnAnswer};
use serde_json::json;

use super::kit::{alloc_id, job, node, record, uid};
use crate::{
    env,
    interpolate::Scope,
    report::{Identity, Reporter, STATUSES_MAX, Verdict},
    restart::{Mode, Policy, human},
};

#[test]
fn the_tasks_policy_wins_over_the_groups_field_by_field() {
    let usual = Policy::of(JobType::Service, None, None);
    assert_eq!((usual.attempts, usual.interval.as_secs(), usual.delay.as_secs()), (2, 1800, 15));
    assert!(usual.on_success && usual.mode == Mode::Fail);
    let usual = Policy::of(JobType::Batch, None, None);
    assert_eq!((usual.attempts, usual.interval.as_secs(), usual.delay.as_secs()), (3, 86400, 15));
    assert!(!usual.on_success && usual.mode == Mode::Fail);
    let group =
        RestartPolicy { attempts: Some(9), mode: Some("delay".to_owned()), ..RestartPolicy::default() };
    let task = RestartPolicy { attempts: Some(1), on_success: Some(false), ..RestartPolicy::default() };
    let both = Policy::of(JobType::Service, Some(&group), Some(&task));
    assert_eq!((both.attempts, both.mode, both.on_success), (1, Mode::Delay, false));
}

#[test]
fn durations_read_as_people_write_them() {
    for (ms, text) in
        [(16_200, "16.2s"), (15_000, "15s"), (1_800_000, "30m"), (86_400_000, "24h"), (90_000, "1m30s")]
    {
        assert_eq!(human(Duration::from_millis(ms)), text);
    }
}

#[test]
fn known_names_are_replaced_and_unknown_ones_stay() {
    let node = node();
    let env = BTreeMap::from([
        ("NOMAD_PORT_http".to_owned(), "8080".to_owned()),
        ("X".to_owned(), "${attr.kernel.name}".to_owned()),
    ]);
    let scope = Scope { node: &node, env: &env, group: "g", task: "t", job: "web" };
    for (text, want) in [
        ("${attr.kernel.name}", "linux"),
        ("$attr.kernel.name", "linux"),
        ("zone:$attr.platform.zone.", "zone:eu-1."),
        ("dc:$node.datacenter,x", "dc:dc1,x"),
        ("${node.class}/${node.unique.name}/${node.region}", "big/n1/global"),
        ("${meta.rack} $meta.rack", "r9 r9"),
        ("${network.ip-address}:${NOMAD_PORT_http}", "10.0.0.7:8080"),
        ("${TASKGROUP}-redis", "g-redis"),
        ("${env[\"X\"]}", "${attr.kernel.name}"),
        ("${attr.nope} $attr.nope ${HOME} $HOME $", "${attr.nope} $attr.nope ${HOME} $HOME $"),
        ("${unclosed ${node.class}", "${unclosed big"),
        ("$${node.class}", "$big"),
    ] {
        assert_eq!(scope.text(text), want, "{text}");
    }
    let value = scope.value(&json!({ "args": ["${node.class}", 3], "m": { "k": "$meta.rack" } }));
    assert_eq!(value, json!({ "args": ["big", 3], "m": { "k": "r9" } }));
}

#[test]
fn a_task_sees_its_names_ports_and_meta_and_none_of_the_agents_secrets() {
    let group = json!({ "Meta": { "owner-team": "g", "tier": "group" } });
    let task = json!({ "Meta": { "tier": "${node.class}" }, "Env": { "ADDR": "${NOMAD_ADDR_http}", "PATH": "/bin" },
        "Resources": { "CPU": 500, "MemoryMB": 256 } });
    let job = job(JobType::Service, &group, &[("t", task), ("other", json!({}))]);
    let mut record = record();
    let port = |label: &str, value, task: Option<&str>| AssignedPort {
        label: label.into(),
        value,
        to: 0,
        task: task.map(Into::into),
    };
    record.ports =
        vec![port("http", 8080, None), port("db", 3306, Some("other")), port("ad-min", 9000, Some("t"))];
    let host = [
        ("PATH", "/usr/bin"),
        ("HOME", "/root"),
        ("ETCD_PASSWORD", "x"),
        ("CTL_TOKEN", "x"),
        ("MY_API_KEY", "x"),
    ];
    let host = host.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let group = &job.task_groups[0];
    let node = node();
    let env = env::build(&env::Inputs {
        alloc: alloc_id(1),
        record: &record,
        job: &job,
        group,
        task: &group.tasks[0],
        node: &node,
        alloc_dir: Path::new("/a/alloc"),
        task_dir: Path::new("/a/t"),
        secrets_dir: Path::new("/a/t/secrets"),
        host: &host,
    });
    for (name, want) in [
        ("NOMAD_ALLOC_DIR", "/a/alloc"),
        ("NOMAD_TASK_DIR", "/a/t/local"),
        ("NOMAD_SECRETS_DIR", "/a/t/secrets"),
        ("NOMAD_ALLOC_NAME", "web.g[0]"),
        ("NOMAD_ALLOC_INDEX", "0"),
        ("NOMAD_JOB_NAME", "web"),
        ("NOMAD_NAMESPACE", "default"),
        ("NOMAD_CPU_LIMIT", "500"),
        ("NOMAD_MEMORY_LIMIT", "256"),
        ("NOMAD_ADDR_http", "10.0.0.7:8080"),
        ("NOMAD_PORT_ad_min", "9000"),
        ("NOMAD_HOST_PORT_other_db", "3306"),
        ("NOMAD_META_OWNER_TEAM", "g"),
        ("NOMAD_META_owner_team", "g"),
        ("NOMAD_META_TIER", "big"),
        ("ADDR", "10.0.0.7:8080"),
        ("PATH", "/bin"),
        ("HOME", "/root"),
    ] {
        assert_eq!(env.get(name).map(String::as_str), Some(want), "{name}");
    }
    for hidden in ["ETCD_PASSWORD", "CTL_TOKEN", "MY_API_KEY", "NOMAD_PORT_db"] {
        assert!(!env.contains_key(hidden), "{hidden}");
    }
}

fn status(version: u64) -> Arc<AllocStatus> {
    Arc::new(AllocStatus {
        uid: uid(),
        job: encamp_model::JobId::new("default", "web"),
        name: "web.g[0]".to_owned(),
        version,
        status: ClientStatus::Running,
        description: String::new(),
        tasks: BTreeMap::new(),
        modified: encamp_model::Timestamp(i64::try_from(version).expect("small")),
    })
}

fn reporter() -> (Reporter, Arc<encamp_model::records::NodeInfo>) {
    let record = LeaseRecord {
        instance: InstanceId::from_bits(3),
        http_addr: "a:1".to_owned(),
        boot_id: "b".to_owned(),
        lock: "1:2".to_owned(),
    };
    let info = Arc::new(node());
    let mut reporter = Reporter::new(Identity { node: info.id, keys: Keyspace::new("/encamp/"), record });
    reporter.registered(10, 5, Arc::clone(&info), BTreeMap::new());
    (reporter, info)
}

fn applied(revision: i64) -> TxnAnswer {
    TxnAnswer { succeeded: true, revision, answers: Vec::new() }
}

#[test]
fn at_most_one_report_is_in_flight_and_the_rest_goes_with_the_next_in_bounded_pieces() {
    let (mut reporter, info) = reporter();
    let all: BTreeMap<_, _> = (0..200u128).map(|n| (alloc_id(n), status(1))).collect();
    reporter.news(all.keys().copied());
    let say = |reporter: &mut Reporter| reporter.next(|id| all.get(&id), &info);
    let first = say(&mut reporter).expect("news");
    assert_eq!((first.success.len(), first.compares.len()), (STATUSES_MAX, STATUSES_MAX + 1));
    assert!(first.compares.len() <= 128 && first.failure.len() <= 128);
    assert!(say(&mut reporter).is_none(), "one at a time");
    assert_eq!(reporter.answered(&applied(11)), Verdict::Fine);
    assert_eq!(say(&mut reporter).expect("the rest").success.len(), 200 - STATUSES_MAX);
    reporter.answered(&applied(12));
    assert!(say(&mut reporter).is_none(), "nothing new");
}

#[test]
fn after_an_ambiguous_answer_a_fence_goes_first() {
    let (mut reporter, info) = reporter();
    let id = alloc_id(1);
    let one = status(1);
    reporter.news([id]);
    reporter.next(|_| Some(&one), &info).expect("news");
    reporter.failed(true);
    let fence = reporter.next(|_| Some(&one), &info).expect("a fence");
    assert!(matches!(&fence.success[..], [Op::Put { lease: 5, .. }]), "{fence:?}");
    reporter.answered(&applied(20));
    let again = reporter.next(|_| Some(&one), &info).expect("said again");
    assert_eq!(again.compares[0], encamp_store::Compare::unchanged(again.compares[0].key.clone(), 20));
}

#[test]
fn a_failed_compare_tells_apart_a_gone_record_a_gone_lease_and_a_twin() {
    let gone = |kvs: Vec<Vec<Kv>>| TxnAnswer {
        succeeded: false,
        revision: 30,
        answers: kvs.into_iter().map(|kvs| OpAnswer::Get { kvs }).collect(),
    };
    let lease = |instance: u128| {
        let record = LeaseRecord {
            instance: InstanceId::from_bits(instance),
            http_addr: "b:2".to_owned(),
            boot_id: String::new(),
            lock: String::new(),
        };
        Kv { value: serde_json::to_vec(&record).expect("json").into(), mod_revision: 15, ..Kv::default() }
    };
    let (mut reporter, info) = reporter();
    let (id, one) = (alloc_id(1), status(1));
    let say = |reporter: &mut Reporter| {
        reporter.news([id]);
        reporter.next(|_| Some(&one), &info)
    };
    say(&mut reporter).expect("news");
    assert_eq!(reporter.answered(&gone(vec![vec![lease(3)], vec![]])), Verdict::Fine);
    assert!(say(&mut reporter).is_none(), "its record is gone: nothing is said of it");
    let (mut twin, _) = self::reporter();
    say(&mut twin).expect("news");
    assert_eq!(
        twin.answered(&gone(vec![vec![lease(4)], vec![]])),
        Verdict::Replaced { address: "b:2".to_owned() }
    );
    let (mut lost, _) = self::reporter();
    say(&mut lost).expect("news");
    assert_eq!(lost.answered(&gone(vec![vec![], vec![]])), Verdict::Unregistered);
    assert!(say(&mut lost).is_none(), "nothing without a lease");
}

#[test]
fn what_contradicts_the_last_word_is_not_said() {
    let (mut reporter, info) = reporter();
    let with = |status: ClientStatus| {
        let mut said = self::status(1);
        Arc::make_mut(&mut said).status = status;
        said
    };
    let told = BTreeMap::from([(alloc_id(1), with(ClientStatus::Failed))]);
    reporter.registered(10, 5, Arc::clone(&info), told);
    for status in [ClientStatus::Pending, ClientStatus::Running, ClientStatus::Complete] {
        let new = with(status);
        reporter.news([alloc_id(1)]);
        assert!(reporter.next(|_| Some(&new), &info).is_none(), "{status:?}");
    }
    let mut other = with(ClientStatus::Running);
    Arc::make_mut(&mut other).uid = encamp_model::JobUid::from_bits(78);
    reporter.news([alloc_id(1)]);
    assert!(reporter.next(|_| Some(&other), &info).is_some(), "another registration's");
}

#[test]
fn what_is_too_large_is_said_in_smaller_pieces_and_at_last_without_events() {
    let (mut reporter, info) = reporter();
    let long = |n: u128| {
        let mut said = status(1);
        let mut task = encamp_model::records::TaskState::default();
        task.events
            .push(encamp_model::records::TaskEvent { message: "x".repeat(300_000), ..Default::default() });
        Arc::make_mut(&mut said).tasks.insert("t".into(), task);
        (alloc_id(n), said)
    };
    let all: BTreeMap<_, _> = (0..8u128).map(long).collect();
    reporter.news(all.keys().copied());
    let say = |reporter: &mut Reporter| reporter.next(|id| all.get(&id), &info).expect("news");
    let put = |txn: &encamp_store::Txn| {
        let size = |op: &Op| if let Op::Put { value, .. } = op { value.len() } else { 0 };
        (txn.success.len(), txn.success.iter().map(size).sum::<usize>())
    };
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(put(&say(&mut reporter)));
        reporter.too_large();
        reporter.failed(false);
    }
    assert_eq!(sizes.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [3, 1, 1], "{sizes:?}");
    assert!(sizes[2].1 < 1000, "{sizes:?}");
}

#[test]
fn names_that_speak_of_a_secret_are_not_passed_on() {
    for name in ["MYSQL_PWD", "sentry_dsn", "DATABASE_URL", "GH_PAT", "REGISTRY_AUTH", "SIGNING_KEY"] {
        assert!(!env::is_passed_on(name), "{name}");
    }
    for name in ["PATH", "HOME", "LANG", "KEYBOARD", "PWD", "AUTHOR", "PATTERN"] {
        assert!(env::is_passed_on(name), "{name}");
    }
}
