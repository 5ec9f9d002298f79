use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::lab::{Lab, web};
use crate::{ApiConfig, Exposed, Limits};

async fn serving(lab: &Lab, limits: Limits) -> (SocketAddr, JoinHandle<Result<(), Exposed>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = ApiConfig::new(address.to_string());
    config.limits = limits;
    let served = crate::serve(listener, lab.process.clone(), config, None, lab.shutdown.clone());
    (address, encamp_runtime::task::spawn("api", served))
}

/// Sends bytes and reads until the server closes.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // The server may close with unread bytes of ours on the way: what it said before that counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) fn client() -> reqwest::Client {
    // Each test may be the first; the provider is one a process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn a_client_registers_and_reads_over_a_socket() {
    let lab = Lab::new().await;
    let (address, _) = serving(&lab, Limits::default()).await;
    let body = serde_json::json!({ "Job": web("web") }).to_string();
    // As curl -d sends it.
    let sent = client()
        .post(format!("http://{address}/v1/jobs"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body);
    let answer = sent.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let read = client().get(format!("http://localhost:{}/v1/job/web", address.port())).send().await.unwrap();
    assert!(read.headers().contains_key("x-nomad-index"));
    assert!(read.text().await.unwrap().contains("\"ID\":\"web\""));
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() {
    let lab = Lab::new().await;
    let time = Duration::from_millis(200);
    let (address, _) = serving(&lab, Limits { head_time: time, body_time: time, ..Limits::default() }).await;
    assert_eq!(raw(address, b"GET /v1/jobs HTTP/1.1\r\nHos").await, "");
    let late = raw(address, b"PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{").await;
    assert!(late.starts_with("HTTP/1.1 408 ") && late.contains("connection: close"), "{late}");
}

#[tokio::test]
async fn garbage_and_excess_are_refused() {
    let lab = Lab::new().await;
    let (address, _) = serving(&lab, Limits { head_time: Duration::from_secs(1), ..Limits::default() }).await;
    let garbage = raw(address, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    let huge =
        raw(address, b"PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n{}").await;
    assert!(huge.starts_with("HTTP/1.1 413 ") && huge.contains("connection: close"), "{huge}");
    let mut chunked =
        b"PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..20 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b'x'; 0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let huge = raw(address, &chunked).await;
    assert!(huge.is_empty() || huge.starts_with("HTTP/1.1 413 "), "{huge}");
    let mut head = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
    head.extend_from_slice(&[b'x'; 100_000]);
    head.extend_from_slice(b"\r\n\r\n");
    let long = raw(address, &head).await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 431 "), "{long}");
    let rebound =
        raw(address, b"GET /v1/jobs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert!(rebound.starts_with("HTTP/1.1 403 "), "{rebound}");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let lab = Lab::new().await;
    let (address, _) = serving(&lab, Limits { connections: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    first.write_all(request).await.unwrap();
    let mut answer = [0; 1024];
    let read = first.read(&mut answer).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(request).await.unwrap();
    // The first is served again and again, and the second not once.
    for _ in 0..50 {
        first.write_all(request).await.unwrap();
        first.read_exact(&mut answer[..read]).await.unwrap();
    }
    let early = second.try_read(&mut [0; 16]).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "served beyond the bound");
    drop(first);
    let served = tokio::time::timeout(Duration::from_secs(10), second.read_exact(&mut answer[..read])).await;
    served.expect("a place was free").unwrap();
}

#[tokio::test]
async fn shutdown_lets_requests_under_way_end_and_then_returns() {
    let lab = Lab::new().await;
    super::logs::placed(&lab, "127.0.0.1:1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let agent = super::logs::FakeAgent::with(&[(0, "hello\n")]);
    let config = ApiConfig::new(address.to_string());
    let served = crate::serve(listener, lab.process.clone(), config, Some(agent), lab.shutdown.clone());
    let server = encamp_runtime::task::spawn("api", served);
    let alloc = encamp_model::AllocId::from_bits(super::logs::ALLOC);
    let logs = format!("/v1/client/fs/logs/{alloc}?task=server&type=stdout&plain=true&follow=true");
    let mut following = client().get(format!("http://{address}{logs}")).send().await.unwrap();
    assert_eq!(following.chunk().await.unwrap().as_deref(), Some(&b"hello\n"[..]));
    let idle = TcpStream::connect(address).await.unwrap();
    lab.shutdown.cancel();
    let end = following.chunk().await;
    assert!(end.is_err(), "the task goes on, so that its output is broken off and has no end: {end:?}");
    let ended = tokio::time::timeout(Duration::from_secs(4), server).await;
    ended.expect("drained in time").unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn an_exposed_listener_is_not_served() {
    let lab = Lab::new().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let config = ApiConfig::new("10.0.0.1:4646");
    let refused = crate::serve(listener, lab.process.clone(), config, None, lab.shutdown.clone()).await;
    assert_eq!(refused.unwrap_err().missing, "TLS and a token");
}

/// TLS for 127.0.0.1 with a certificate of its own: for a server, and for those who trust it.
fn tls() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain = vec![made.cert.der().clone()];
    let server = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[tokio::test]
async fn tls_is_spoken_with_clients_and_between_processes() {
    let (server, trusting) = tls();
    let lab = Lab::new().await;
    let agents = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let apis = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (agent_address, address) = (agents.local_addr().unwrap(), apis.local_addr().unwrap());
    let mut config = ApiConfig::new(address.to_string());
    (config.tls, config.peers_tls) = (Some(server), Some(trusting.clone()));
    config.token = crate::Token::new("sesame");
    super::logs::placed(&lab, &agent_address.to_string()).await;
    let agent = super::logs::FakeAgent::with(&[(0, "hello\n")]);
    *agent.ended.lock().unwrap() = true;
    let agent_config = ApiConfig { advertise: agent_address.to_string(), ..config.clone() };
    let serving = crate::serve_agent(agents, agent_config, agent, lab.shutdown.clone());
    encamp_runtime::task::spawn("agent", serving);
    let serving = crate::serve(apis, lab.process.clone(), config, None, lab.shutdown.clone());
    encamp_runtime::task::spawn("api", serving);

    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured((*trusting).clone());
    let alloc = encamp_model::AllocId::from_bits(super::logs::ALLOC);
    let url = format!("https://{address}/v1/client/fs/logs/{alloc}?task=server&type=stdout&plain=true");
    let asked = client.build().unwrap().get(url).bearer_auth("sesame").send().await.unwrap();
    assert_eq!((asked.status().as_u16(), asked.text().await.unwrap()), (200, "hello\n".to_owned()));
    let plain = raw(address, b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
}

#[tokio::test]
async fn a_process_that_waits_says_so_and_leaves_its_listener_to_what_comes_then() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ApiConfig::new(address.to_string());
    let asks = async {
        let kept = client();
        for path in ["/v1/jobs", "/healthz"] {
            let answer = kept.get(format!("http://{address}{path}")).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 503, "{path}");
            assert!(answer.headers().contains_key("retry-after"), "{path}");
            assert!(answer.text().await.unwrap().contains("waits for etcd"), "{path}");
        }
        kept
    };
    let kept = crate::serve_while(&listener, config.clone(), asks).await.unwrap();
    let lab = Lab::new().await;
    let served = crate::serve(listener, lab.process.clone(), config, None, lab.shutdown.clone());
    encamp_runtime::task::spawn("api", served);
    let answer = kept.get(format!("http://{address}/v1/jobs")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "the same client, whose first connection has ended");

    let open = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let config = ApiConfig::new("10.0.0.1:4646".to_owned());
    assert!(crate::serve_while(&open, config, async {}).await.is_err(), "open to everybody");
}
