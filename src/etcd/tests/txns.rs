use bytes::Bytes;

use super::{at, bytes, put, show};
use crate::{Compare, Condition, Config, Core, Error, Op, OpAnswer, Range, Test, Txn};

type Field = fn(i64) -> Condition;

fn holds(core: &mut Core, key: &str, test: Test, condition: Condition) -> bool {
    core.txn(&Txn::new().when(Compare::new(bytes(key), test, condition))).unwrap().succeeded
}

#[test]
fn every_field_compares_with_every_relation() {
    let mut core = Core::default();
    let lease = core.grant(7, 10, std::time::Duration::ZERO).unwrap().id;
    put(&mut core, "a", "1");
    core.put(&bytes("a"), &bytes("m"), lease).unwrap(); // create 2, mod 3, version 2
    let cases: [(Field, i64); 4] =
        [(Condition::Version, 2), (Condition::Create, 2), (Condition::Mod, 3), (Condition::Lease, 7)];
    for (field, stored) in cases {
        assert!(holds(&mut core, "a", Test::Equal, field(stored)));
        assert!(!holds(&mut core, "a", Test::Equal, field(stored + 1)));
        assert!(holds(&mut core, "a", Test::NotEqual, field(stored + 1)));
        assert!(holds(&mut core, "a", Test::Less, field(stored + 1)));
        assert!(!holds(&mut core, "a", Test::Less, field(stored)));
        assert!(holds(&mut core, "a", Test::Greater, field(stored - 1)));
        assert!(holds(&mut core, "absent", Test::Equal, field(0)));
    }
    assert!(holds(&mut core, "a", Test::Equal, Condition::Value(bytes("m"))));
    assert!(holds(&mut core, "a", Test::Less, Condition::Value(bytes("n"))));
    assert!(holds(&mut core, "a", Test::Greater, Condition::Value(bytes("l"))));
}

#[test]
fn no_comparison_of_an_absent_value_holds() {
    let mut core = Core::default();
    for test in [Test::Equal, Test::NotEqual, Test::Less, Test::Greater] {
        assert!(!holds(&mut core, "absent", test, Condition::Value(Bytes::new())));
    }
}

#[test]
fn all_writes_of_a_txn_share_one_revision_and_reads_see_the_writes_before_them() {
    let mut core = Core::default();
    put(&mut core, "old", "1");
    let txn = Txn::new()
        .then(Op::get("a"))
        .then(Op::put("a", "1"))
        .then(Op::get("a"))
        .then(Op::delete("old"))
        .then(Op::get_range(Range::all()));
    let answer = core.txn(&txn).unwrap();
    assert_eq!((answer.succeeded, answer.revision), (true, 3));
    let texts: Vec<String> = answer.answers.iter().map(text).collect();
    assert_eq!(texts, ["[]", "put", "[a=1]", "deleted 1", "[a=1]"]);
    assert_eq!(core.get(b"a").unwrap().mod_revision, 3);
}

fn text(answer: &OpAnswer) -> String {
    match answer {
        OpAnswer::Put => "put".into(),
        OpAnswer::Delete { deleted } => format!("deleted {deleted}"),
        OpAnswer::Get { kvs } => format!("[{}]", show(kvs)),
    }
}

#[test]
fn a_failed_compare_takes_the_other_branch() {
    let mut core = Core::default();
    put(&mut core, "a", "1");
    let txn = Txn::new().when(Compare::absent("a")).then(Op::put("a", "2")).or_else(Op::get("a"));
    let answer = core.txn(&txn).unwrap();
    assert!(!answer.succeeded);
    assert_eq!((answer.revision, text(&answer.answers[0]).as_str()), (2, "[a=1]"));
}

#[test]
fn reading_and_deleting_nothing_makes_no_revision() {
    let mut core = Core::default();
    let txn = Txn::new().then(Op::get("a")).then(Op::delete("a"));
    assert_eq!(core.txn(&txn).unwrap().revision, 1);
}

#[test]
fn a_key_is_put_once_in_a_branch_and_not_deleted_beside() {
    let mut core = Core::default();
    let twice = Txn::new().then(Op::put("a", "1")).then(Op::put("a", "2"));
    assert_eq!(core.txn(&twice), Err(Error::DuplicateKey));
    let deleted_too = Txn::new().then(Op::delete_range(Range::prefix("a"))).then(Op::put("ab", "1"));
    assert_eq!(core.txn(&deleted_too), Err(Error::DuplicateKey));
    let branch_not_taken = Txn::new().or_else(Op::put("a", "1")).or_else(Op::put("a", "2"));
    assert_eq!(core.txn(&branch_not_taken), Err(Error::DuplicateKey));
    let one_each = Txn::new().then(Op::put("a", "1")).or_else(Op::put("a", "2"));
    assert!(core.txn(&one_each).is_ok());
    let overlapping = Txn::new().then(Op::delete("a")).then(Op::delete_range(Range::prefix("a")));
    assert_eq!(core.txn(&overlapping).unwrap().answers[1], OpAnswer::Delete { deleted: 0 });
}

#[test]
fn limits_hold_for_each_of_compares_success_and_failure() {
    let fill = |count: usize, add: fn(Txn, String) -> Txn| {
        (0..count).fold(Txn::new(), |txn, index| add(txn, format!("k{index}")))
    };
    let kinds: [fn(Txn, String) -> Txn; 3] = [
        |txn, key| txn.when(Compare::absent(key)),
        |txn, key| txn.then(Op::put(key, "")),
        |txn, key| txn.or_else(Op::put(key, "")),
    ];
    for add in kinds {
        assert!(Core::default().txn(&fill(128, add)).is_ok());
        let refused = Core::default().txn(&fill(129, add));
        assert_eq!(refused, Err(Error::TooManyOps { count: 129, limit: 128 }));
    }
}

#[test]
fn requests_over_the_limit_change_nothing() {
    let mut core = Core::new(Config { request_bytes_max: 100, ..Config::default() });
    let big = Bytes::from(vec![0; 101]);
    assert!(matches!(core.put(&bytes("a"), &big, 0), Err(Error::TooLarge { .. })));
    assert!(matches!(core.txn(&Txn::new().then(Op::put("a", big))), Err(Error::TooLarge { .. })));
    assert_eq!(core.put(&Bytes::new(), &bytes("v"), 0), Err(Error::EmptyKey));
    assert_eq!(core.txn(&Txn::new().when(Compare::exists(""))), Err(Error::EmptyKey));
    assert_eq!(core.txn(&Txn::new().then(Op::put("", "v"))), Err(Error::EmptyKey));
    assert_eq!(core.revision(), 1);
}

#[test]
fn out_of_space_refuses_puts_and_grants_but_not_deletes() {
    let mut core = Core::default();
    put(&mut core, "a", "1");
    core.set_no_space(true);
    assert_eq!(core.put(&bytes("b"), &bytes("1"), 0), Err(Error::NoSpace));
    assert_eq!(core.grant(0, 5, std::time::Duration::ZERO), Err(Error::NoSpace));
    let put_if_absent = Txn::new().when(Compare::absent("a")).then(Op::put("a", "2"));
    assert_eq!(core.txn(&put_if_absent), Err(Error::NoSpace), "whichever branch would be taken");
    let delete = Txn::new().when(Compare::exists("a")).then(Op::delete("a"));
    assert!(core.txn(&delete).unwrap().succeeded);
    assert_eq!(at(&core, Range::all(), 0), Ok(String::new()));
    core.set_no_space(false);
    put(&mut core, "b", "1");
}

#[test]
fn an_unknown_lease_fails_the_whole_txn() {
    let mut core = Core::default();
    let txn = Txn::new().then(Op::put("a", "1")).then(Op::put_on_lease("b", "1", 99));
    assert_eq!(core.txn(&txn), Err(Error::LeaseNotFound { lease: 99 }));
    assert_eq!(core.revision(), 1);
    let not_taken = Txn::new().or_else(Op::put_on_lease("b", "1", 99));
    assert!(core.txn(&not_taken).is_ok(), "only the branch taken is looked at");
}
