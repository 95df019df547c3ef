//! `ais` and `aisnode` as functions of the module.

use pyo3::prelude::*;

/// Runs a command line of `ais`; returns its exit status.
#[pyfunction]
pub(crate) fn ais_main(py: Python<'_>, argv: Vec<String>) -> i32 {
    default_interrupt(py);
    py.detach(|| aistore_cli::main(argv))
}

/// Runs a node until it is told to stop; returns its exit status.
#[pyfunction]
pub(crate) fn node_main(py: Python<'_>, argv: Vec<String>) -> i32 {
    default_interrupt(py);
    py.detach(|| aistore_node::main(argv))
}

/// Puts the default action for SIGINT back. Python's handler would only set a flag that nobody reads
/// while Rust runs, and the programs install handlers of their own.
fn default_interrupt(py: Python<'_>) {
    // The built-in module: `signal` itself costs milliseconds of imports. Fails outside the main thread,
    // where signals do not arrive anyway.
    let _ = py.import("_signal").and_then(|signal| {
        signal.call_method1("signal", (signal.getattr("SIGINT")?, signal.getattr("SIG_DFL")?))
    });
}
