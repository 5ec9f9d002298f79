use proptest::prelude::*;
use serde_json::{Value, json};

use super::lab::{Lab, web};

/// Whatever is wrong, there is the documented answer, and nothing is written.
#[tokio::test(start_paused = true)]
async fn bad_input_is_answered_and_writes_nothing() {
    let lab = Lab::new().await;
    let before = lab.stored().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_job = format!(r#"{{"Job":{{"ID":"x","Meta":{}1{}}}}}"#, r#"{"a":"#.repeat(100), "}".repeat(100));
    let long_id = json!({ "Job": web(&"x".repeat(5000)) }).to_string();
    let bodies: &[(&str, u16, &str)] = &[
        (&long_id, 500, ""),
        ("", 400, "Job must be specified"),
        ("{}", 400, "Job must be specified"),
        (r#"{"Job":null}"#, 400, "Job must be specified"),
        (r#"{"Job":{"#, 400, "unexpected EOF"),
        ("{", 400, "unexpected EOF"),
        ("[]", 400, "must be a JSON object"),
        ("nonsense", 400, "invalid JSON"),
        ("{\"Job\": \u{0}}", 400, "invalid JSON"),
        (&deep, 400, "recursion limit"),
        (&deep_job, 500, "deeper than 64"),
        (r#"{"Job":{}}"#, 500, ""),
        (r#"{"Job":[]}"#, 400, "Job must be an object"),
        (r#"{"Job":"web"}"#, 400, "Job must be an object"),
        (r#"{"Job":{"ID":"x"}}"#, 500, ""),
        (
            r#"{"Job":{"ID":"x","Type":"sysbatch","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"docker"}]}]}}"#,
            500,
            "sysbatch",
        ),
        (
            r#"{"Job":{"ID":"x","TaskGroups":[{"Name":"g","Count":-1,"Tasks":[{"Name":"t","Driver":"docker"}]}]}}"#,
            500,
            "ount",
        ),
        (r#"{"Job":{"ID":"x","TaskGroups":"none"}}"#, 500, ""),
        (
            r#"{"Job":{"ID":"x","Namespace":"*","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"docker"}]}]}}"#,
            500,
            "",
        ),
        (
            r#"{"Job":{"ID":"","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"docker"}]}]}}"#,
            500,
            "",
        ),
        (
            r#"{"Job":{"ID":"x","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":{"a":1}}]}]}}"#,
            500,
            "",
        ),
    ];
    for (body, status, text) in bodies {
        for path in ["/v1/jobs", "/v1/job/x"] {
            let reply = lab.send("POST", path, body.to_string()).await;
            assert!(
                reply.status == *status && reply.text.contains(text),
                "{path} {:.80}: {} {}",
                body,
                reply.status,
                reply.text
            );
        }
    }
    for path in ["/v1/job/x/evaluate", "/v1/validate/job"] {
        for body in ["{", "[]", "nonsense"] {
            assert_eq!(lab.send("PUT", path, body).await.status, 400, "{path} {body}");
        }
    }
    assert_eq!(lab.stored().await, before);
}

#[tokio::test(start_paused = true)]
async fn bad_parameters_are_named() {
    let lab = Lab::new().await;
    for (path, status, text) in [
        ("/v1/jobs?index=x", 400, "Invalid index"),
        ("/v1/jobs?index=-1", 400, "Invalid index"),
        ("/v1/jobs?index=1&wait=5", 400, "Invalid wait time"),
        ("/v1/jobs?per_page=many", 400, "Invalid per_page"),
        ("/v1/jobs?region=mars", 500, "No path to region"),
        ("/v1/jobs?filter=Name==%22x%22", 501, "filter"),
        ("/v1/allocation/nope", 500, "alloc lookup failed: index error: UUID must be 36 characters"),
        ("/v1/allocation/zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", 500, "alloc lookup failed"),
        ("/v1/evaluation/nope", 500, "eval lookup failed"),
        ("/v1/node/nope", 500, "node lookup failed"),
        ("/v1/job/nope", 404, "job not found"),
        ("/v1/job/nope/summary", 404, "job not found"),
        ("/v1/job/nope/versions", 404, "job versions not found"),
        ("/v1/allocation/f67a4b07-72a4-5a13-8a0b-bc3cd1b4ed7c", 404, "alloc not found"),
        ("/v1/evaluation/f67a4b07-72a4-5a13-8a0b-bc3cd1b4ed7c", 404, "eval not found"),
        ("/v1/node/f67a4b07-72a4-5a13-8a0b-bc3cd1b4ed7c", 404, "node not found"),
        ("/v1/nope", 404, "404"),
        ("/", 404, "404"),
        ("/v1/job/%FF%FE", 404, "job not found"),
        ("/v1/node/pools", 501, "GET /v1/node/pools is not served by this version of Encamp yet"),
        ("/v1/job/a/plan", 501, "GET /v1/job/:job/plan"),
    ] {
        let reply = lab.get(path).await;
        assert!(
            reply.status == status && reply.text.contains(text),
            "{path}: {} {}",
            reply.status,
            reply.text
        );
    }
    lab.send("POST", "/v1/status/leader", "").await.fails(405, "Invalid method");
    lab.send("PATCH", "/v1/jobs", "").await.fails(405, "Invalid method");
    lab.send("DELETE", "/v1/nodes", "").await.fails(405, "Invalid method");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_413_and_writes_nothing() {
    let lab = Lab::new().await;
    let before = lab.stored().await;
    let huge = "x".repeat((1 << 20) + 1);
    lab.send("PUT", "/v1/jobs", huge).await.fails(413, "larger than");
    let mut job = web("web");
    job["Meta"] = json!({ "text": "x".repeat(257 << 10) });
    lab.put("/v1/jobs", &json!({ "Job": job })).await.fails(413, "at most 262144");
    let source = json!({ "Format": "hcl2", "Source": "#".repeat(257 << 10) });
    lab.put("/v1/jobs", &json!({ "Job": web("web"), "Submission": source })).await.fails(413, "source");
    assert_eq!(lab.stored().await, before);
}

#[tokio::test(start_paused = true)]
async fn validate_tells_without_writing() {
    let lab = Lab::new().await;
    let before = lab.stored().await;
    let good = lab.put("/v1/validate/job", &json!({ "Job": web("web") })).await.ok();
    assert_eq!((&good["Error"], &good["ValidationErrors"]), (&json!(""), &json!(null)));
    let mut bad = web("web");
    bad["TaskGroups"][0]["Tasks"] = json!([]);
    let bad = lab.put("/v1/validate/job", &json!({ "Job": bad })).await.ok();
    assert_ne!(bad["Error"], "");
    assert!(!bad["ValidationErrors"].as_array().unwrap().is_empty());
    assert_eq!(lab.stored().await, before);
}

/// Any JSON, with keys that mean something more often than not.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        "(Job|ID|Name|Namespace|Type|TaskGroups|Tasks|Count|Networks|Resources|Update|Meta|Config|Submission|EvalOptions)",
        "\\PC{0,6}"
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Puts `value` at the `n`th place of a document.
fn graft(document: &mut Value, n: &mut usize, value: &Value) {
    if *n == 0 {
        *document = value.clone();
    }
    *n = n.wrapping_sub(1);
    match document {
        Value::Array(items) => items.iter_mut().for_each(|item| graft(item, n, value)),
        Value::Object(map) => map.values_mut().for_each(|item| graft(item, n, value)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// No body makes it panic, and whatever is refused leaves nothing behind.
    #[test]
    fn no_body_is_too_strange(place in 0..16usize, value in any_json(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new().await;
            let before = lab.stored().await;
            let mut document = json!({ "Job": web("x") });
            graft(&mut document, &mut place.clone(), &value);
            for body in [document.to_string().into_bytes(), value.to_string().into_bytes(), bytes] {
                for path in ["/v1/jobs", "/v1/job/x", "/v1/job/x/evaluate", "/v1/validate/job"] {
                    let reply = lab.send("PUT", path, body.clone()).await;
                    if reply.status != 200 && before.is_empty() && lab.keys("jobs").await.is_empty() {
                        assert_eq!(lab.stored().await, before, "{path} {}", reply.text);
                    }
                }
            }
        });
    }

    /// No path, query or header does either.
    #[test]
    fn no_path_is_too_strange(path in "/(v1/)?[a-z%/.{}*0-9]{0,24}", query in "[a-z_]{0,9}=[a-z0-9%&=*-]{0,16}", host in "[a-z:.@\\[\\]0-9]{0,16}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new().await;
            let uri = format!("{path}?{query}&wait=1s");
            if uri.parse::<axum::http::Uri>().is_ok() {
                for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"] {
                    let reply = lab.send(method, &uri, "").await;
                    assert!(reply.status >= 200 && reply.status < 600);
                }
                lab.request("GET", &uri, &[("host", &host), ("origin", &host)], "").await;
            }
        });
    }
}
