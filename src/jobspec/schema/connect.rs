//! `connect`: the service mesh. A native service is kept; sidecars and gateways would be extra processes.

use super::{
    Block, Kind, Label, WHOLE, field,
    task::{LOGS, RESOURCES, VOLUME_MOUNT},
};

const NO_SIDECARS: &str = "there is no service mesh: the service would run without its proxy";

pub(super) static CONNECT: Block = Block {
    name: "connect",
    label: Label::None,
    fields: &[
        field("native", "Native", Kind::Bool).default("false").carried(WHOLE),
        field("sidecar_service", "SidecarService", Kind::One(&SIDECAR_SERVICE)).bare().refused(NO_SIDECARS),
        field("sidecar_task", "SidecarTask", Kind::One(&SIDECAR_TASK)).bare().refused(NO_SIDECARS),
        field("gateway", "Gateway", Kind::One(&GATEWAY)).bare().refused(NO_SIDECARS),
    ],
};

static SIDECAR_SERVICE: Block = Block {
    name: "sidecar_service",
    label: Label::None,
    fields: &[
        field("tags", "Tags", Kind::TextList).refused(WHOLE),
        field("port", "Port", Kind::Text).refused(WHOLE),
        field("proxy", "Proxy", Kind::One(&PROXY)).refused(WHOLE),
        field("disable_default_tcp_check", "DisableDefaultTCPCheck", Kind::Bool).refused(WHOLE),
        field("meta", "Meta", Kind::TextMap).refused(WHOLE),
    ],
};

static SIDECAR_TASK: Block = Block {
    name: "sidecar_task",
    label: Label::None,
    fields: &[
        field("name", "Name", Kind::Text).refused(WHOLE),
        field("driver", "Driver", Kind::Text).refused(WHOLE),
        field("user", "User", Kind::Text).refused(WHOLE),
        field("config", "Config", Kind::Config).refused(WHOLE),
        field("env", "Env", Kind::TextMap).refused(WHOLE),
        field("resources", "Resources", Kind::One(&RESOURCES)).refused(WHOLE),
        field("meta", "Meta", Kind::TextMap).refused(WHOLE),
        field("kill_timeout", "KillTimeout", Kind::Duration).refused(WHOLE),
        field("kill_signal", "KillSignal", Kind::Text).refused(WHOLE),
        field("logs", "LogConfig", Kind::One(&LOGS)).refused(WHOLE),
        field("shutdown_delay", "ShutdownDelay", Kind::Duration).refused(WHOLE),
        field("volume_mount", "VolumeMounts", Kind::Many(&VOLUME_MOUNT)).refused(WHOLE),
    ],
};

static PROXY: Block = Block {
    name: "proxy",
    label: Label::None,
    fields: &[
        field("local_service_address", "LocalServiceAddress", Kind::Text).refused(WHOLE),
        field("local_service_port", "LocalServicePort", Kind::Int).refused(WHOLE),
        field("upstreams", "Upstreams", Kind::Many(&UPSTREAMS)).refused(WHOLE),
        field("expose", "Expose", Kind::One(&EXPOSE)).refused(WHOLE),
        // What the API calls the same block in its newer form.
        field("", "ExposeConfig", Kind::One(&EXPOSE)).refused(WHOLE),
        field("transparent_proxy", "TransparentProxy", Kind::One(&TRANSPARENT_PROXY)).refused(WHOLE),
        field("config", "Config", Kind::Config).refused(WHOLE),
    ],
};

static UPSTREAMS: Block = Block {
    name: "upstreams",
    label: Label::None,
    fields: &[
        field("destination_name", "DestinationName", Kind::Text).refused(WHOLE),
        field("destination_namespace", "DestinationNamespace", Kind::Text).refused(WHOLE),
        field("destination_peer", "DestinationPeer", Kind::Text).refused(WHOLE),
        field("destination_partition", "DestinationPartition", Kind::Text).refused(WHOLE),
        field("destination_type", "DestinationType", Kind::Text).refused(WHOLE),
        field("local_bind_port", "LocalBindPort", Kind::Int).refused(WHOLE),
        field("local_bind_address", "LocalBindAddress", Kind::Text).refused(WHOLE),
        field("local_bind_socket_path", "LocalBindSocketPath", Kind::Text).refused(WHOLE),
        field("local_bind_socket_mode", "LocalBindSocketMode", Kind::Text).refused(WHOLE),
        field("datacenter", "Datacenter", Kind::Text).refused(WHOLE),
        field("mesh_gateway", "MeshGateway", Kind::One(&MESH_GATEWAY)).refused(WHOLE),
        field("config", "Config", Kind::Config).refused(WHOLE),
    ],
};

static MESH_GATEWAY: Block = Block {
    name: "mesh_gateway",
    label: Label::None,
    fields: &[field("mode", "Mode", Kind::Text).refused(WHOLE)],
};

static EXPOSE: Block = Block {
    name: "expose",
    label: Label::None,
    fields: &[field("path", "Paths", Kind::Many(&EXPOSE_PATH)).refused(WHOLE)],
};

static EXPOSE_PATH: Block = Block {
    name: "path",
    label: Label::None,
    fields: &[
        field("path", "Path", Kind::Text).refused(WHOLE),
        field("protocol", "Protocol", Kind::Text).refused(WHOLE),
        field("local_path_port", "LocalPathPort", Kind::Int).refused(WHOLE),
        field("listener_port", "ListenerPort", Kind::Text).refused(WHOLE),
    ],
};

static TRANSPARENT_PROXY: Block = Block {
    name: "transparent_proxy",
    label: Label::None,
    fields: &[
        field("uid", "UID", Kind::Text).refused(WHOLE),
        field("outbound_port", "OutboundPort", Kind::Int).refused(WHOLE),
        field("exclude_inbound_ports", "ExcludeInboundPorts", Kind::TextList).refused(WHOLE),
        field("exclude_outbound_ports", "ExcludeOutboundPorts", Kind::IntList).refused(WHOLE),
        field("exclude_outbound_cidrs", "ExcludeOutboundCIDRs", Kind::TextList).refused(WHOLE),
        field("exclude_uids", "ExcludeUIDs", Kind::TextList).refused(WHOLE),
        field("no_dns", "NoDNS", Kind::Bool).refused(WHOLE),
    ],
};

static GATEWAY: Block = Block {
    name: "gateway",
    label: Label::None,
    fields: &[
        field("proxy", "Proxy", Kind::One(&GATEWAY_PROXY)).refused(WHOLE),
        field("ingress", "Ingress", Kind::One(&INGRESS)).refused(WHOLE),
        field("terminating", "Terminating", Kind::One(&TERMINATING)).refused(WHOLE),
        field("mesh", "Mesh", Kind::One(&MESH)).bare().refused(WHOLE),
    ],
};

static GATEWAY_PROXY: Block = Block {
    name: "proxy",
    label: Label::None,
    fields: &[
        field("connect_timeout", "ConnectTimeout", Kind::Duration).default("5s").refused(WHOLE),
        field("envoy_gateway_bind_tagged_addresses", "EnvoyGatewayBindTaggedAddresses", Kind::Bool)
            .refused(WHOLE),
        field("envoy_gateway_bind_addresses", "EnvoyGatewayBindAddresses", Kind::ByLabel(&BIND_ADDRESS))
            .refused(WHOLE),
        field("envoy_gateway_no_default_bind", "EnvoyGatewayNoDefaultBind", Kind::Bool).refused(WHOLE),
        field("envoy_dns_discovery_type", "EnvoyDNSDiscoveryType", Kind::Text).refused(WHOLE),
        field("config", "Config", Kind::Config).refused(WHOLE),
    ],
};

static BIND_ADDRESS: Block = Block {
    name: "envoy_gateway_bind_addresses",
    label: Label::Key,
    fields: &[
        field("", "Name", Kind::Text).refused(WHOLE),
        field("address", "Address", Kind::Text).refused(WHOLE),
        field("port", "Port", Kind::Int).refused(WHOLE),
    ],
};

static INGRESS: Block = Block {
    name: "ingress",
    label: Label::None,
    fields: &[
        field("tls", "TLS", Kind::One(&GATEWAY_TLS)).refused(WHOLE),
        field("listener", "Listeners", Kind::Many(&LISTENER)).refused(WHOLE),
    ],
};

static GATEWAY_TLS: Block = Block {
    name: "tls",
    label: Label::None,
    fields: &[
        field("enabled", "Enabled", Kind::Bool).refused(WHOLE),
        field("tls_min_version", "TLSMinVersion", Kind::Text).refused(WHOLE),
        field("tls_max_version", "TLSMaxVersion", Kind::Text).refused(WHOLE),
        field("cipher_suites", "CipherSuites", Kind::TextList).refused(WHOLE),
        field("sds", "SDS", Kind::Any).refused(WHOLE),
    ],
};

static LISTENER: Block = Block {
    name: "listener",
    label: Label::None,
    fields: &[
        field("port", "Port", Kind::Int).refused(WHOLE),
        field("protocol", "Protocol", Kind::Text).refused(WHOLE),
        field("service", "Services", Kind::Many(&LISTENER_SERVICE)).refused(WHOLE),
    ],
};

static LISTENER_SERVICE: Block = Block {
    name: "service",
    label: Label::None,
    fields: &[
        field("name", "Name", Kind::Text).refused(WHOLE),
        field("hosts", "Hosts", Kind::TextList).refused(WHOLE),
        field("tls", "TLS", Kind::One(&GATEWAY_TLS)).refused(WHOLE),
        field("request_headers", "RequestHeaders", Kind::Any).refused(WHOLE),
        field("response_headers", "ResponseHeaders", Kind::Any).refused(WHOLE),
        field("max_connections", "MaxConnections", Kind::Int).refused(WHOLE),
        field("max_pending_requests", "MaxPendingRequests", Kind::Int).refused(WHOLE),
        field("max_concurrent_requests", "MaxConcurrentRequests", Kind::Int).refused(WHOLE),
    ],
};

static TERMINATING: Block = Block {
    name: "terminating",
    label: Label::None,
    fields: &[field("service", "Services", Kind::Many(&LINKED_SERVICE)).refused(WHOLE)],
};

static LINKED_SERVICE: Block = Block {
    name: "service",
    label: Label::None,
    fields: &[
        field("name", "Name", Kind::Text).refused(WHOLE),
        field("ca_file", "CAFile", Kind::Text).refused(WHOLE),
        field("cert_file", "CertFile", Kind::Text).refused(WHOLE),
        field("key_file", "KeyFile", Kind::Text).refused(WHOLE),
        field("sni", "SNI", Kind::Text).refused(WHOLE),
    ],
};

static MESH: Block = Block { name: "mesh", label: Label::None, fields: &[] };
