//! Which address tasks are told.

use std::{collections::BTreeMap, fs, net::IpAddr};

use encamp_model::records::NodeNetwork;
use nix::ifaddrs::getifaddrs;

use crate::{Config, Error};

/// Addresses (with prefix lengths) by interface.
pub(crate) type Interfaces = BTreeMap<String, Vec<(IpAddr, u8)>>;

/// Assumed where the link does not tell its speed.
const MBITS: i64 = 1000;

/// The interface that the owner named, else the one of the default route, else loopback; and its first address,
/// IPv4 before IPv6. `advertise` replaces the address.
pub(crate) fn choose(
    interfaces: &Interfaces,
    default_route: Option<&str>,
    wanted: Option<&str>,
    advertise: Option<&str>,
) -> Result<NodeNetwork, String> {
    let usable = |name: &str| {
        let addresses = interfaces.get(name)?;
        let global =
            addresses.iter().filter(|(ip, _)| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()));
        let (ip, prefix) = global.min_by_key(|(ip, _)| ip.is_ipv6())?;
        Some((name.to_owned(), *ip, *prefix))
    };
    let (device, ip, prefix) = match wanted {
        Some(name) => usable(name).ok_or_else(|| {
            let known: Vec<&str> = interfaces.keys().map(String::as_str).collect();
            format!("interface {name} is not there or has no address; there are: {}", known.join(", "))
        })?,
        None => default_route
            .and_then(usable)
            .or_else(|| usable("lo"))
            .unwrap_or_else(|| ("lo".to_owned(), IpAddr::from([127, 0, 0, 1]), 8)),
    };
    let (ip, prefix) = match advertise {
        Some(text) => {
            let ip: IpAddr =
                text.parse().map_err(|_| format!("\"{text}\" is not an IP address to advertise"))?;
            (ip, if ip.is_ipv6() { 128 } else { 32 })
        }
        None => (ip, prefix),
    };
    Ok(NodeNetwork { device, ip: ip.to_string(), cidr: format!("{ip}/{prefix}"), mbits: MBITS })
}

pub(super) fn fingerprint(config: &Config) -> Result<NodeNetwork, Error> {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let mut network = choose(
        &interfaces()?,
        default_route(&routes),
        config.network_interface.as_deref(),
        config.advertise.as_deref(),
    )
    .map_err(|reason| Error::Fingerprint { what: "network", reason })?;
    let speed = fs::read_to_string(format!("/sys/class/net/{}/speed", network.device));
    // -1: the link does not know.
    if let Some(mbits) = speed.ok().and_then(|s| s.trim().parse::<i64>().ok()).filter(|s| *s > 0) {
        network.mbits = mbits;
    }
    Ok(network)
}

fn interfaces() -> Result<Interfaces, Error> {
    let all = getifaddrs().map_err(|e| Error::Fingerprint { what: "getifaddrs", reason: e.to_string() })?;
    let mut found = Interfaces::new();
    for entry in all {
        let address = entry.address.and_then(|a| {
            let v4 = a.as_sockaddr_in().map(|s| IpAddr::V4(s.ip()));
            v4.or_else(|| a.as_sockaddr_in6().map(|s| IpAddr::V6(s.ip())))
        });
        let mask = entry.netmask.and_then(|m| {
            let v4 = m.as_sockaddr_in().map(|s| u32::from(s.ip()).count_ones());
            v4.or_else(|| m.as_sockaddr_in6().map(|s| u128::from(s.ip()).count_ones()))
        });
        if let Some(ip) = address {
            let prefix = mask.and_then(|bits| u8::try_from(bits).ok()).unwrap_or(32);
            found.entry(entry.interface_name).or_default().push((ip, prefix));
        }
    }
    Ok(found)
}

/// The interface of the default route, from the text of `/proc/net/route`.
pub(crate) fn default_route(routes: &str) -> Option<&str> {
    routes.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (device, destination) = (words.next()?, words.next()?);
        (destination == "00000000").then_some(device)
    })
}
