use std::net::SocketAddr;

use super::lab::Lab;
use crate::{ApiConfig, Token};

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/jobs"),
    ("PUT", "/v1/jobs"),
    ("POST", "/v1/job/x"),
    ("GET", "/v1/job/x"),
    ("DELETE", "/v1/job/x"),
    ("PUT", "/v1/job/x/evaluate"),
    ("GET", "/v1/job/x/allocations"),
    ("GET", "/v1/evaluations"),
    ("GET", "/v1/allocations"),
    ("GET", "/v1/nodes"),
    ("GET", "/v1/agent/self"),
    ("GET", "/v1/status/leader"),
    ("GET", "/v1/regions"),
    ("PUT", "/v1/validate/job"),
    ("GET", "/v1/client/fs/logs/x"),
    ("PUT", "/v1/node/x/drain"),
    ("GET", "/v1/nope"),
    ("PATCH", "/v1/jobs"),
    ("GET", "/"),
];

#[tokio::test(start_paused = true)]
async fn every_route_asks_for_the_token() {
    let mut config = ApiConfig::new("127.0.0.1:4646");
    config.token = Token::new("sesame\n");
    let lab = Lab::with(config, None).await;
    let host = ("host", "localhost");
    for (method, path) in ROUTES {
        for wrong in
            [("x-nomad-token", "sesam"), ("x-nomad-token", ""), ("authorization", "Basic sesame"), host]
        {
            lab.request(method, path, &[host, wrong], "").await.fails(403, "Permission denied");
        }
        for right in [
            ("x-nomad-token", "sesame"),
            ("authorization", "Bearer sesame"),
            ("authorization", "bearer sesame"),
        ] {
            let reply = lab.request(method, path, &[host, right], "").await;
            assert_ne!(reply.status, 403, "{method} {path}");
        }
    }
    for open in ["/healthz", "/v1/agent/health"] {
        assert_eq!(lab.get(open).await.status, 200, "{open}");
    }
    let shown = lab.request("GET", "/v1/agent/self", &[host, ("x-nomad-token", "sesame")], "").await;
    assert!(!shown.text.contains("sesame"));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_host_or_origin_is_refused() {
    let mut config = ApiConfig::new("10.1.2.3:4646");
    config.hosts = vec!["encamp.example".into()];
    let lab = Lab::with(config, None).await;
    let own = [
        "localhost",
        "localhost:4646",
        "127.0.0.1:99",
        "[::1]:4646",
        "10.1.2.3",
        "ENCAMP.example:80",
        "x.localhost",
    ];
    for host in own {
        let reply = lab.request("GET", "/v1/jobs", &[("host", host)], "").await;
        assert_eq!(reply.status, 200, "{host}: {}", reply.text);
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "10.1.2.4:4646", "localhost.evil", "a@localhost"] {
        let reply = lab.request("GET", "/v1/jobs", &[("host", host)], "").await;
        assert!(reply.status == 403 || reply.status == 400, "{host}: {}", reply.text);
        assert_eq!(lab.request("GET", "/healthz", &[("host", host)], "").await.status, reply.status);
    }
    lab.request("GET", "/v1/jobs", &[], "").await.fails(400, "no Host");
    lab.request("GET", "http://evil.example/v1/jobs", &[("host", "localhost")], "").await.fails(403, "Host");
    let host = ("host", "localhost:4646");
    for origin in ["http://evil.example", "null", "http://localhost:8080", "", "localhost:4646"] {
        let before = lab.stored().await;
        lab.request("POST", "/v1/jobs", &[host, ("origin", origin)], "{}").await.fails(403, "another origin");
        assert_eq!(lab.stored().await, before);
    }
    let same = lab.request("GET", "/v1/jobs", &[host, ("origin", "http://localhost:4646")], "").await;
    assert_eq!(same.status, 200);
}

#[test]
fn only_loopback_is_served_without_tls_and_token() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let mut config = ApiConfig::new("x");
    for (address, fine) in [
        ("127.0.0.1:1", true),
        ("[::1]:1", true),
        ("0.0.0.0:1", false),
        ("10.0.0.1:1", false),
        ("[::]:1", false),
    ] {
        assert_eq!(config.check(at(address)).is_ok(), fine, "{address}");
    }
    let exposed = config.check(at("0.0.0.0:4646")).unwrap_err().to_string();
    assert!(exposed.contains("TLS and a token") && exposed.contains("--insecure"), "{exposed}");
    config.token = Token::new("t");
    assert!(config.check(at("0.0.0.0:1")).unwrap_err().to_string().contains("without TLS:"));
    config.insecure = true;
    assert!(config.check(at("0.0.0.0:1")).is_ok());
}

#[test]
fn a_token_is_compared_whole_and_never_printed() {
    let token = Token::new("  s3cret\n").unwrap();
    assert!(token.matches("s3cret"));
    for wrong in ["", "s3cre", "s3crett", "S3cret", "s3cret "] {
        assert!(!token.matches(wrong), "{wrong:?}");
    }
    assert!(!format!("{token:?}").contains("s3cret"));
    assert!(Token::new(" \n").is_none());
}
