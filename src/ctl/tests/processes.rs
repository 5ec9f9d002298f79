//! Processes that cannot start: they end at once, and say why.

use super::server::ctl;

#[test]
fn an_agent_whose_interface_is_not_there_ends_without_waiting_for_its_registration() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let agent = ["agent", "--etcd", "http://127.0.0.1:1", "--http-port", "0", "--data-dir", data];
    let ran = ctl(&[&agent[..], &["--network-interface", "nope0"]].concat());
    ran.fails(&["interface nope0 is not there"]);
    assert!(!ran.err.contains("==>"), "it was never ready: {}", ran.err);
}
