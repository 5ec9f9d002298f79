//! Which names a request may call us by, and which pages may send it: a web page that the operator happens to look
//! at must not reach an API that listens on his loopback.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};

use crate::{config::ApiConfig, error::Error};

/// Lets a request in whose Host is ours and whose Origin, if it names one, is the page that we served.
pub(crate) fn admit(
    config: &ApiConfig,
    local: Option<SocketAddr>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Error> {
    let in_header = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    // A request line with a whole URL outranks the header.
    let Some(authority) = uri.authority().map(|a| a.as_str()).or(in_header) else {
        return Err(Error::Malformed("the request has no Host".to_owned()));
    };
    let Some(host) = host_of(authority) else {
        return Err(Error::Malformed("the request's Host cannot be read".to_owned()));
    };
    if !is_ours(config, local, &host) {
        let host: String = host.chars().take(64).collect();
        return Err(Error::Foreign(format!(
            "the Host {host:?} is not this server's: use its address, a loopback name, or what --advertise says"
        )));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let from = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, rest)| rest);
        if from.is_none_or(|from| !from.eq_ignore_ascii_case(authority)) {
            return Err(Error::Foreign("a page of another origin may not use this API".to_owned()));
        }
    }
    Ok(())
}

fn is_ours(config: &ApiConfig, local: Option<SocketAddr>, host: &str) -> bool {
    if let Ok(ip) = host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        if ip.is_loopback() || local.is_some_and(|local| local.ip().to_canonical() == ip) {
            return true;
        }
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    let ours = config.hosts.iter().chain([&config.advertise]);
    ours.filter_map(|name| host_of(name)).any(|name| name == host)
}

/// The host of `host:port`, in lower case and without brackets.
pub(crate) fn host_of(authority: &str) -> Option<String> {
    if authority.contains(['@', '/', ' ']) {
        return None;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // A bare IPv6 address holds more than one colon.
        None if authority.matches(':').count() > 1 => authority,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    (!host.is_empty()).then(|| host.trim_end_matches('.').to_ascii_lowercase())
}
