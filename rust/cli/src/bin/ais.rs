//! The `ais` program, for development; the wheel installs the same entry point.

fn main() {
    std::process::exit(aistore_cli::main(std::env::args().collect()));
}
