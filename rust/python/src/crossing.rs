//! The way into Rust and back: waits without the interpreter lock, answers Ctrl-C, maps errors.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use aistore_client::ClientError;
use aistore_client::quick::TICK;
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;

use crate::runtime::runtime;

/// Waits for a future with the interpreter lock released.
pub(crate) fn wait<F, T>(py: Python<'_>, future: F) -> PyResult<T>
where
    F: Future<Output = Result<T, ClientError>> + Send,
    T: Send,
{
    wait_reporting(py, future, |_| Ok(()))
}

/// Like [`wait`]; calls `report` on this thread every [`TICK`].
pub(crate) fn wait_reporting<F, T>(
    py: Python<'_>,
    future: F,
    mut report: impl FnMut(Python<'_>) -> PyResult<()>,
) -> PyResult<T>
where
    F: Future<Output = Result<T, ClientError>> + Send,
    T: Send,
{
    let runtime = runtime()?;
    let mut future = pin!(future);
    loop {
        let turn =
            py.detach(|| runtime.block_on(async { tokio::time::timeout(TICK, &mut future).await }));
        if let Ok(outcome) = turn {
            return outcome.map_err(|error| raise(py, &error));
        }
        py.check_signals()?;
        report(py)?;
    }
}

/// Checks for signals during waits on blocking sockets, and keeps what a handler raised.
#[derive(Default)]
pub(crate) struct Signals {
    raised: Mutex<Option<PyErr>>,
}

impl Signals {
    /// False once a handler has raised, and when the interpreter is going away.
    fn check(&self) -> bool {
        Python::try_attach(|py| match py.check_signals() {
            Ok(()) => true,
            Err(raised) => {
                *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
                false
            }
        })
        .unwrap_or(false)
    }

    fn into_raised(self) -> Option<PyErr> {
        self.raised.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs blocking work with the interpreter lock released; `work` passes its argument on as the tick.
pub(crate) fn blocking<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<T, ClientError> + Send,
) -> PyResult<Result<T, ClientError>> {
    let signals = Signals::default();
    match py.detach(|| work(&|| signals.check())) {
        Err(ClientError::Interrupted { .. }) => {
            Err(signals.into_raised().unwrap_or_else(|| PyKeyboardInterrupt::new_err(())))
        }
        outcome => Ok(outcome),
    }
}

/// Turns an error into the exception that Python code expects.
pub(crate) fn raise(py: Python<'_>, error: &ClientError) -> PyErr {
    let kind = match error {
        ClientError::File { path, source } => {
            let path = path.display().to_string();
            // With a number Python picks the subclass, such as FileNotFoundError.
            return match source.raw_os_error() {
                Some(number) => PyOSError::new_err((number, source.to_string(), path)),
                None => PyOSError::new_err(format!("{path}: {source}")),
            };
        }
        ClientError::Interrupted { .. } => return PyKeyboardInterrupt::new_err(()),
        ClientError::Api { .. } => "api",
        ClientError::Connect { .. } | ClientError::Tls { .. } => "connect",
        ClientError::Timeout { .. } => "timeout",
        ClientError::Truncated { .. } | ClientError::Protocol { .. } => "truncated",
        _ => "invalid",
    };
    let (message, body) = match error {
        ClientError::Api { error, body, .. } => (error.message.clone(), body.as_str()),
        other => (other.to_string(), ""),
    };
    let arguments = (kind, error.status().unwrap_or(0), message, error.url(), error.method(), body);
    let built = py
        .import("aistore.sdk.errors")
        .and_then(|module| module.call_method1("from_native", arguments));
    match built {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    }
}
