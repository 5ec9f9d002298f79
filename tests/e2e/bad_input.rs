//! What is wrong is refused with its place and reason, and nothing is written.

use crate::host::{Host, client};

/// What a job file prints, and what must be in it.
const FILES: [(&str, &str, &[&str]); 7] = [
    ("unclosed.hcl", "job \"x\" {\n  group \"g\" {\n", &["unclosed.hcl:"]),
    (
        "unknown.hcl",
        "job \"x\" {\n  datacentres = [\"dc1\"]\n  group \"g\" {\n    task \"t\" {\n      driver = \"raw_exec\"\n      config {\n        command = \"/bin/true\"\n      }\n    }\n  }\n}\n",
        &["unknown.hcl:2:3", "datacentres", "datacenters"],
    ),
    (
        "zero.hcl",
        "job \"x\" {\n  priority = 1/0\n  group \"g\" {\n    task \"t\" {\n      driver = \"raw_exec\"\n    }\n  }\n}\n",
        &["zero.hcl:2"],
    ),
    (
        "system.hcl",
        "job \"x\" {\n  type = \"system\"\n  group \"g\" {\n    task \"t\" {\n      driver = \"raw_exec\"\n      config {\n        command = \"/bin/true\"\n      }\n    }\n  }\n}\n",
        &["system"],
    ),
    ("empty.hcl", "", &["empty.hcl"]),
    ("garbage.hcl", "\u{0}\u{1}\u{2}{{{{", &["garbage.hcl"]),
    ("broken.json", "{\"Job\": {\"ID\": ", &["broken.json:1"]),
];

#[tokio::test]
async fn bad_files_are_refused_by_place_and_nothing_is_written() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    for (name, text, wanted) in FILES {
        let file = host.file(name, text);
        for verb in [["validate", &file].as_slice(), &["run", &file], &["apply", "-f", &file]] {
            let out = host.ctl(verb);
            assert_eq!(out.code, 1, "{verb:?}: {out:?}");
            let printed = format!("{}{}", out.stdout, out.stderr);
            assert!(!printed.contains("panicked"), "{printed}");
            for part in wanted {
                assert!(printed.contains(part), "{part:?} is missing in what {verb:?} prints:\n{printed}");
            }
        }
    }
    assert_eq!(host.etcdctl(&["get", "/encamp/jobs/", "--prefix", "--keys-only"]).trim(), "");
}

#[tokio::test]
async fn bad_requests_get_the_documented_answers_and_nothing_is_written() {
    let host = Host::new().await;
    let _dev = host.dev().await;
    let client = client();
    let post = async |path: &str, body: String| {
        let answer = client.post(format!("{}{path}", host.url())).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let deep = format!("{{\"Job\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&str, String, u16, &str); 7] = [
        ("/v1/jobs", "{".into(), 400, ""),
        ("/v1/jobs", "{}".into(), 400, "Job must be specified"),
        ("/v1/jobs", "[]".into(), 400, ""),
        ("/v1/jobs", "{\"Job\": 7}".into(), 400, "Job must be an object"),
        ("/v1/jobs", deep, 400, ""),
        ("/v1/jobs", format!("{{\"Job\":{{\"ID\":\"{}\"}}}}", "x".repeat(2 << 20)), 413, ""),
        ("/v1/status/leader", String::new(), 405, "Invalid method"),
    ];
    for (path, body, status, text) in cases {
        let shown: String = body.chars().take(40).collect();
        let (got, answer) = post(path, body).await;
        assert_eq!(got, status, "{path} {shown}: {answer}");
        assert!(answer.contains(text), "{path} {shown}: {answer}");
    }
    for (path, status, text) in [
        ("/v1/job/nope", 404, "job not found"),
        ("/v1/allocation/00000000-0000-4000-8000-000000000000", 404, "alloc not found"),
        ("/v1/nope", 404, ""),
    ] {
        let answer = client.get(format!("{}{path}", host.url())).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let answer = answer.text().await.unwrap();
        assert!(answer.contains(text), "{path}: {answer}");
    }
    for (header, value) in [("Host", "evil.example"), ("Origin", "http://evil.example")] {
        let answer =
            client.get(format!("{}/v1/jobs", host.url())).header(header, value).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 403, "{header}: {value}");
    }
    assert_eq!(host.etcdctl(&["get", "/encamp/jobs/", "--prefix", "--keys-only"]).trim(), "");
}
