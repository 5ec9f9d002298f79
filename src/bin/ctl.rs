//! The `ctl` binary: all of it is in [`encamp_ctl`].

fn main() -> std::process::ExitCode {
    encamp_ctl::main()
}
