use std::sync::Arc;
use std::time::Duration;

use encamp_store::{Compare, Condition, Error, Op, OpAnswer, Range, Store, Test, Txn};

use crate::support::{apply, put, show};

type Field = fn(i64) -> Condition;

async fn holds(store: &dyn Store, key: &str, test: Test, condition: Condition) -> bool {
    let compare = Compare::new(key.to_owned(), test, condition);
    store.txn(Txn::new().when(compare)).await.expect("a compare is answered").succeeded
}

pub(crate) async fn every_field_compares_with_every_relation(store: Arc<dyn Store>) {
    let store = &*store;
    let lease = store.lease_grant(Duration::from_secs(60)).await.unwrap();
    let create = put(store, "a", "1").await;
    let modified = apply(store, Txn::new().then(Op::put_on_lease("a", "m", lease))).await;
    let cases: [(Field, i64); 4] = [
        (Condition::Version, 2),
        (Condition::Create, create),
        (Condition::Mod, modified),
        (Condition::Lease, lease),
    ];
    for (field, stored) in cases {
        assert!(holds(store, "a", Test::Equal, field(stored)).await);
        assert!(!holds(store, "a", Test::Equal, field(stored + 1)).await);
        assert!(holds(store, "a", Test::NotEqual, field(stored + 1)).await);
        assert!(holds(store, "a", Test::Less, field(stored + 1)).await);
        assert!(!holds(store, "a", Test::Less, field(stored)).await);
        assert!(holds(store, "a", Test::Greater, field(stored - 1)).await);
        assert!(holds(store, "absent", Test::Equal, field(0)).await);
    }
    assert!(holds(store, "a", Test::Equal, Condition::Value("m".into())).await);
    assert!(holds(store, "a", Test::Less, Condition::Value("n".into())).await);
    assert!(holds(store, "a", Test::Greater, Condition::Value("l".into())).await);
}

pub(crate) async fn no_comparison_of_an_absent_value_holds(store: Arc<dyn Store>) {
    for test in [Test::Equal, Test::NotEqual, Test::Less, Test::Greater] {
        assert!(!holds(&*store, "absent", test, Condition::Value("".into())).await, "{test:?}");
    }
}

fn text(answer: &OpAnswer) -> String {
    match answer {
        OpAnswer::Put => "put".into(),
        OpAnswer::Delete { deleted } => format!("deleted {deleted}"),
        OpAnswer::Get { kvs } => kvs.iter().map(show).collect::<Vec<_>>().join(" "),
    }
}

pub(crate) async fn all_writes_share_one_revision_and_reads_see_the_writes_before_them(
    store: Arc<dyn Store>,
) {
    let before = put(&*store, "old", "1").await;
    let txn = Txn::new()
        .then(Op::get("a"))
        .then(Op::put("a", "1"))
        .then(Op::get("a"))
        .then(Op::delete("old"))
        .then(Op::put("b", "1"))
        .then(Op::get_range(Range::all()));
    let answer = store.txn(txn).await.unwrap();
    assert_eq!((answer.succeeded, answer.revision), (true, before + 1));
    let texts: Vec<String> = answer.answers.iter().map(text).collect();
    assert_eq!(texts, ["", "put", "a=1", "deleted 1", "put", "a=1 b=1"]);
    let listing = store.list(&Range::all()).await.unwrap();
    assert!(listing.kvs.iter().all(|kv| kv.mod_revision == before + 1));
}

pub(crate) async fn a_failed_compare_takes_the_other_branch_in_whole(store: Arc<dyn Store>) {
    let before = put(&*store, "a", "1").await;
    let txn = Txn::new()
        .when(Compare::exists("a"))
        .when(Compare::absent("a"))
        .then(Op::put("a", "2"))
        .or_else(Op::get("a"))
        .or_else(Op::put("b", "1"));
    let answer = store.txn(txn).await.unwrap();
    assert_eq!((answer.succeeded, answer.revision), (false, before + 1));
    assert_eq!(answer.answers.iter().map(text).collect::<Vec<_>>(), ["a=1", "put"]);
}

pub(crate) async fn what_changes_nothing_makes_no_revision(store: Arc<dyn Store>) {
    let before = put(&*store, "a", "1").await;
    let txn = Txn::new().when(Compare::unchanged("a", before)).then(Op::get("a")).then(Op::delete("none"));
    assert_eq!(apply(&*store, txn).await, before);
    assert_eq!(put(&*store, "a", "1").await, before + 1, "the same value again is a change");
}

pub(crate) async fn a_branch_holds_128_operations_and_not_129(store: Arc<dyn Store>) {
    let kinds: [fn(Txn, String) -> Txn; 3] = [
        |txn, key| txn.when(Compare::absent(key)),
        |txn, key| txn.then(Op::put(key, "")),
        |txn, key| txn.or_else(Op::put(key, "")),
    ];
    for (kind, add) in kinds.into_iter().enumerate() {
        let fill =
            |count: usize| (0..count).fold(Txn::new(), |txn, index| add(txn, format!("{kind}/{index}")));
        assert!(store.txn(fill(128)).await.unwrap().succeeded);
        let error = store.txn(fill(129)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }) && !error.ambiguous(), "{error:?}");
    }
}

pub(crate) async fn a_request_holds_a_mebibyte_and_not_two(store: Arc<dyn Store>) {
    let value = |mebibytes: usize| vec![b'x'; mebibytes * 1024 * 1024];
    apply(&*store, Txn::new().then(Op::put("a", value(1)))).await;
    let error = store.txn(Txn::new().then(Op::put("b", value(2)))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }) && !error.ambiguous(), "{error:?}");
    assert_eq!(store.get(b"b").await.unwrap().0, None);
}

pub(crate) async fn a_key_is_put_once_in_a_branch_and_not_deleted_beside(store: Arc<dyn Store>) {
    let refused = [
        Txn::new().then(Op::put("a", "1")).then(Op::put("a", "2")),
        Txn::new().then(Op::delete_range(Range::prefix("a"))).then(Op::put("ab", "1")),
        Txn::new().then(Op::put("ab", "1")).then(Op::delete("ab")),
        Txn::new().or_else(Op::put("a", "1")).or_else(Op::put("a", "2")),
        Txn::new().then(Op::put("", "1")),
        Txn::new().when(Compare::exists("")),
    ];
    for txn in refused {
        let error = store.txn(txn.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }) && !error.ambiguous(), "{txn:?}: {error:?}");
    }
    apply(&*store, Txn::new().then(Op::put("a", "1")).or_else(Op::put("a", "2"))).await;
    let overlapping = Txn::new().then(Op::delete("a")).then(Op::delete_range(Range::prefix("a")));
    let answer = store.txn(overlapping).await.unwrap();
    assert_eq!(answer.answers.iter().map(text).collect::<Vec<_>>(), ["deleted 1", "deleted 0"]);
}

pub(crate) async fn an_unknown_lease_fails_the_branch_that_uses_it(store: Arc<dyn Store>) {
    let txn = Txn::new().then(Op::put("a", "1")).then(Op::put_on_lease("b", "1", 99));
    let error = store.txn(txn).await.unwrap_err();
    assert!(matches!(error, Error::LeaseGone { lease: 99 }) && !error.ambiguous(), "{error:?}");
    assert_eq!(store.get(b"a").await.unwrap().0, None, "nothing of it was done");
    apply(&*store, Txn::new().or_else(Op::put_on_lease("b", "1", 99))).await;
}
