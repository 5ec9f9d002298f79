//! What /proc and the interfaces say, read from texts.

use std::{net::IpAddr, path::Path};

use crate::fingerprint::{
    Cpu,
    machine::{parse_memory, parse_os_release, volume_of},
    network::{Interfaces, choose, default_route},
};

#[test]
fn processors_are_counted_and_their_speed_comes_from_the_best_source() {
    let text =
        "processor\t: 0\nmodel name\t: Fast 9\ncpu MHz\t\t: 2596.6\n\nprocessor\t: 1\ncpu MHz\t\t: 800.0\n";
    for (text, khz, total, want) in [
        (text, None, None, (2, 2597, 5194, "Fast 9")),
        (text, Some(3_000_000), None, (2, 3000, 6000, "Fast 9")),
        (text, Some(-1), Some(1234), (2, 2597, 1234, "Fast 9")),
        ("", None, None, (1, 1000, 1000, "")),
    ] {
        let cpu = Cpu::parse(text, khz, total);
        assert_eq!((cpu.cores, cpu.mhz, cpu.total_mhz, &*cpu.model), want);
    }
}

#[test]
fn memory_system_and_volume_are_read() {
    assert_eq!(parse_memory("MemTotal:       24000 kB\nMemFree: 1 kB\n"), 24_000 * 1024);
    assert_eq!(parse_memory(""), 0);
    let release = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nVERSION=\"12 (x)\"\nID=debian\n";
    assert_eq!(parse_os_release(release), ("debian".to_owned(), "12".to_owned()));
    let mounts = "/dev/vda / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/vdb /var/lib ext4 rw 0 0\n";
    assert_eq!(volume_of(mounts, Path::new("/var/lib/encamp")), "/dev/vdb");
    assert_eq!(volume_of(mounts, Path::new("/var/library")), "/dev/vda");
}

#[test]
fn the_network_is_the_one_asked_for_else_the_default_routes_else_loopback() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let all = Interfaces::from([
        ("lo".to_owned(), vec![(ip("127.0.0.1"), 8), (ip("::1"), 128)]),
        ("eth0".to_owned(), vec![(ip("fe80::1"), 64), (ip("2001:db8::1"), 64), (ip("10.0.0.7"), 24)]),
        ("v6".to_owned(), vec![(ip("fe80::2"), 64), (ip("2001:db8::2"), 64)]),
        ("bare".to_owned(), vec![(ip("fe80::3"), 64)]),
    ]);
    for (route, wanted, advertise, device, cidr) in [
        (Some("eth0"), None, None, "eth0", "10.0.0.7/24"),
        (Some("eth0"), Some("v6"), None, "v6", "2001:db8::2/64"),
        (Some("eth0"), None, Some("192.0.2.1"), "eth0", "192.0.2.1/32"),
        (None, None, None, "lo", "127.0.0.1/8"),
        (Some("bare"), None, None, "lo", "127.0.0.1/8"),
    ] {
        let network = choose(&all, route, wanted, advertise).expect("a network");
        assert_eq!((&*network.device, &*network.cidr), (device, cidr));
    }
    let error = choose(&all, None, Some("eth9"), None).expect_err("not there");
    assert_eq!(error, "interface eth9 is not there or has no address; there are: bare, eth0, lo, v6");
    assert!(choose(&all, None, None, Some("nonsense")).is_err());
    assert_eq!(choose(&Interfaces::new(), None, None, None).expect("loopback").ip, "127.0.0.1");
    let routes = "Iface\tDestination\tGateway\neth1\t0000000A\t0\neth0\t00000000\t0102\n";
    assert_eq!((default_route(routes), default_route("Iface\n")), (Some("eth0"), None));
}
