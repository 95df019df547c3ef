//! The node as a program of its own, for work on the server without the wheel.

fn main() {
    std::process::exit(aistore_node::main(std::env::args().collect()));
}
