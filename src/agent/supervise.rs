//! The supervisor alone. Tests run it where production re-executes `ctl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    encamp_drivers::supervisor_main().unwrap_or_else(|| {
        eprintln!("encamp-agent-supervise: started by an agent only");
        ExitCode::from(1)
    })
}
