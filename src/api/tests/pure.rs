use axum::http::Uri;

use crate::{gate::host_of, query, query::Query, routes::canonical};

#[test]
fn a_job_id_ends_where_a_known_part_begins() {
    for (path, wanted) in [
        ("/v1/job/a", None),
        ("/v1/job/a/allocations", None),
        ("/v1/job/a%2Fb/allocations", None),
        ("/v1/job/a/b", Some("/v1/job/a%2Fb")),
        ("/v1/job/a/b/allocations", Some("/v1/job/a%2Fb/allocations")),
        ("/v1/job/a/b/periodic/force?x=1", Some("/v1/job/a%2Fb/periodic/force?x=1")),
        ("/v1/job/a/b/c?purge=true", Some("/v1/job/a%2Fb%2Fc?purge=true")),
        ("/v1/job/a/b/versions/good/tag", Some("/v1/job/a%2Fb/versions/good/tag")),
        ("/v1/job/versions/x/tag", Some("/v1/job/versions%2Fx%2Ftag")),
        ("/v1/job/allocations", None),
        ("/v1/job/allocations/allocations", None),
        ("/v1/jobs", None),
    ] {
        let uri: Uri = path.parse().unwrap();
        assert_eq!(canonical(&uri).map(|u| u.to_string()).as_deref(), wanted, "{path}");
    }
}

#[test]
fn hosts_are_taken_apart() {
    for (authority, host) in [
        ("localhost", Some("localhost")),
        ("LocalHost.:80", Some("localhost")),
        ("[::1]:80", Some("::1")),
        ("::1", Some("::1")),
        ("10.0.0.1:4646", Some("10.0.0.1")),
        ("", None),
        (":80", None),
        ("a@b", None),
        ("[::1", None),
    ] {
        assert_eq!(host_of(authority).as_deref(), host, "{authority}");
    }
}

#[test]
fn a_page_goes_on_where_a_vanished_item_was() {
    let page = |text: &str| {
        let query = Query::parse(&text.parse().unwrap()).unwrap();
        query::page(&query, vec!["a", "b", "d", "e"], |item| (*item).to_owned())
    };
    assert_eq!(page("/?per_page=2"), (vec!["a", "b"], Some("d".to_owned())));
    assert_eq!(page("/?per_page=2&next_token=c"), (vec!["d", "e"], None));
    assert_eq!(page("/?per_page=2&next_token=c&reverse"), (vec!["b", "a"], None));
    assert_eq!(page("/?next_token=z"), (vec![], None));
    assert_eq!(page("/"), (vec!["a", "b", "d", "e"], None));
}

#[test]
fn an_end_is_told_once() {
    use encamp_model::{Timestamp, records::TaskEvent};
    let told = |message: &str, exit_code, signal| {
        let event = TaskEvent {
            kind: "Terminated".into(),
            time: Timestamp(1),
            message: message.into(),
            exit_code,
            signal,
        };
        crate::wire::task::display(&event)
    };
    assert_eq!(told("Exit Code: 3", Some(3), None), "Exit Code: 3");
    assert_eq!(told("Exit Code: 143, Signal: 15", Some(143), Some(15)), "Exit Code: 143, Signal: 15");
    assert_eq!(told("Exit Code: unknown, it is gone", None, None), "Exit Code: unknown, it is gone");
    assert_eq!(told("out of memory", Some(137), None), "Exit Code: 137, Exit Message: \"out of memory\"");
}

#[test]
fn an_instant_in_a_sentence_is_the_second_in_which_it_has_come() {
    let at = |nanoseconds| crate::wire::second(encamp_model::Timestamp(nanoseconds));
    assert_eq!(at(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z");
    assert_eq!(at(1_700_000_000_000_000_001), "2023-11-14T22:13:21Z");
}
