//! What every client verb is given: whom to ask, where to print, and what time it is.

use clap::Args;

use crate::{
    client::{Client, Target},
    screen::Screen,
};

/// Where to ask, when nothing says otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "http://127.0.0.1:4646";

/// Flags of every verb that asks a server.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Address of the API [env: CTL_ADDR, NOMAD_ADDR; default: http://127.0.0.1:4646]
    #[arg(long, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// Secret to send [env: CTL_TOKEN, NOMAD_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Namespace of jobs [env: CTL_NAMESPACE, NOMAD_NAMESPACE; default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Certificate of the authority that signed the server's [env: CTL_CACERT, NOMAD_CACERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<String>,
    /// Region to ask for [env: CTL_REGION, NOMAD_REGION]
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
}

impl ServerArgs {
    /// The target: flags first, then `CTL_*`, then `NOMAD_*`. `var` reads the environment; empty counts as unset.
    pub(crate) fn target(&self, var: impl Fn(&str) -> Option<String>) -> Target {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let either = |flag: &Option<String>, name: &str| {
            flag.clone().or_else(|| var(&format!("CTL_{name}"))).or_else(|| var(&format!("NOMAD_{name}")))
        };
        let (address, origin) = match (&self.address, var("CTL_ADDR"), var("NOMAD_ADDR")) {
            (Some(flag), ..) => (flag.clone(), "--address"),
            (None, Some(ours), _) => (ours, "CTL_ADDR"),
            (None, None, Some(nomads)) => (nomads, "NOMAD_ADDR"),
            (None, None, None) => (DEFAULT_ADDRESS.to_owned(), "the default"),
        };
        Target {
            address,
            origin,
            token: either(&self.token, "TOKEN"),
            namespace: either(&self.namespace, "NAMESPACE").unwrap_or_else(|| "default".into()),
            ca_cert: either(&self.ca_cert, "CACERT"),
            region: either(&self.region, "REGION"),
        }
    }
}

/// What a client verb runs with.
pub(crate) struct Cx<'a> {
    /// Whom to ask.
    pub(crate) client: Client,
    /// Where to print.
    pub(crate) screen: &'a mut Screen,
    /// When the verb began, in nanoseconds since 1970; ages count from it.
    pub(crate) now: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(args: &ServerArgs, vars: &[(&str, &str)]) -> Target {
        args.target(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn a_flag_wins_over_ctl_over_nomad_over_the_default() {
        let vars = [("CTL_ADDR", "http://c:1"), ("NOMAD_ADDR", "http://n:1"), ("NOMAD_TOKEN", "t")];
        let flag = ServerArgs { address: Some("http://f:1".into()), ..ServerArgs::default() };
        assert_eq!(target(&flag, &vars).address, "http://f:1");
        let none = ServerArgs::default();
        assert_eq!(target(&none, &vars).address, "http://c:1");
        assert_eq!(target(&none, &vars).token.as_deref(), Some("t"));
        assert_eq!(target(&none, &[("CTL_ADDR", ""), vars[1]]).origin, "NOMAD_ADDR");
        assert_eq!(target(&none, &[]).address, DEFAULT_ADDRESS);
        assert_eq!(target(&none, &[]).namespace, "default");
    }
}
