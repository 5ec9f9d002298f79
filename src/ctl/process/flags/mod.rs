//! Flags of the processes, by what they are about. Each has a `CTL_*` variable; each is checked once, at the start,
//! with an error that names the flag.

mod listen;
mod node;
mod store;
mod tls;

use clap::Args;

pub(super) use self::{listen::ListenArgs, node::NodeArgs, store::StoreArgs};

/// Flags of every process.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Process")]
pub(crate) struct CommonArgs {
    /// error, warn, info, debug, trace, or a filter such as info,encamp_runtime=debug
    #[arg(long, env = "CTL_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,
    /// Name of the region that this installation is
    #[arg(long, env = "CTL_REGION", value_name = "NAME", default_value = "global")]
    pub(crate) region: String,
}
