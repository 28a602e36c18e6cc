//! The command `weir`, for tests that run it as a process.

fn main() -> std::process::ExitCode {
    cli::main()
}
