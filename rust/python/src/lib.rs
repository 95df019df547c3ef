//! PyO3 module `aistore._native`: client, node and CLI entry points.
//!
//! Invariant: every call that waits or copies much does so with the interpreter lock released.

#![expect(
    clippy::result_large_err,
    reason = "the client's errors, turned into exceptions one call later"
)]

mod aio;
mod archive;
mod arguments;
mod arrow;
mod batch;
mod certificate;
mod client;
mod crossing;
mod cuts;
mod download;
mod entries;
mod entry_points;
mod memory;
mod quick;
mod response;
mod runtime;
mod snapshot;
mod stream;
mod upload;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Called in a forked child: forgets the parent's runtime and pools without touching their threads.
#[pyfunction]
fn after_fork() {
    runtime::after_fork();
}

/// Native half of the package; private.
#[pymodule(name = "_native")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<client::Client>()?;
    module.add_class::<response::Response>()?;
    module.add_class::<stream::ObjectStream>()?;
    module.add_class::<batch::BatchStream>()?;
    module.add_class::<aio::AioBatch>()?;
    module.add_class::<aio::AioClient>()?;
    module.add_class::<aio::AioListing>()?;
    module.add_class::<aio::AioStream>()?;
    module.add_class::<aio::AioTask>()?;
    module.add_class::<archive::ArchiveWriter>()?;
    module.add_class::<arrow::ArrowListing>()?;
    module.add_class::<cuts::CutBatch>()?;
    module.add_class::<cuts::CutLines>()?;
    module.add_class::<snapshot::Order>()?;
    module.add_class::<snapshot::SnapshotTable>()?;
    module.add_class::<snapshot::SnapshotWriter>()?;
    module.add_class::<entries::Entries>()?;
    module.add_class::<entries::BucketEntry>()?;
    let after_fork = wrap_pyfunction!(after_fork, module)?;
    // Registered here as well, so that no use of the module can miss it; twice does no harm.
    let hook = PyDict::new(module.py());
    hook.set_item("after_in_child", &after_fork)?;
    module.py().import("os")?.call_method("register_at_fork", (), Some(&hook))?;
    module.add_function(after_fork)?;
    module.add_function(wrap_pyfunction!(certificate::make_certificate, module)?)?;
    module.add_function(wrap_pyfunction!(memory::checksum, module)?)?;
    module.add_function(wrap_pyfunction!(entry_points::ais_main, module)?)?;
    module.add_function(wrap_pyfunction!(entry_points::node_main, module)?)
}
