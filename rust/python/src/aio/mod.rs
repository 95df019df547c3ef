//! Calls that complete a callback instead of blocking: what `aistore.aio` stands on.
//!
//! Requests run on the shared runtime. Results cross into Python on one thread per process, so that the
//! threads that drive sockets never wait for the interpreter lock.

mod calls;
mod streams;

use std::future::Future;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use aistore_client::ClientError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

pub(crate) use self::calls::AioClient;
pub(crate) use self::streams::{AioBatch, AioListing, AioStream};
use crate::crossing::raise;
use crate::runtime::{ForkBound, generation, runtime};

/// Hands one result over, with the interpreter lock held.
type Delivery = Box<dyn FnOnce(Python<'_>) + Send>;

// Locked for moments only and with the interpreter lock held, so never while another thread forks.
static DELIVERIES: Mutex<Option<(usize, Sender<Delivery>)>> = Mutex::new(None);

/// This process's way into Python; at most one delivery per call under way is waiting in it.
fn deliveries() -> PyResult<Sender<Delivery>> {
    let mut slot = DELIVERIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made, sender)) = slot.as_ref()
        && *made == generation()
    {
        return Ok(sender.clone());
    }
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("aistore-aio".to_owned())
        .spawn(move || deliver_all(&receiver))
        .map_err(|e| PyRuntimeError::new_err(format!("cannot start a thread: {e}")))?;
    // What was inherited over a fork is forgotten, not dropped.
    std::mem::forget(slot.replace((generation(), sender.clone())));
    Ok(sender)
}

fn deliver_all(receiver: &Receiver<Delivery>) {
    while let Ok(first) = receiver.recv() {
        let attached = Python::try_attach(|py| {
            first(py);
            while let Ok(next) = receiver.try_recv() {
                next(py);
            }
        });
        if attached.is_none() {
            return;
        }
    }
}

/// A call under way.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct AioTask {
    abort: ForkBound<AbortHandle>,
}

#[pymethods]
impl AioTask {
    /// Drops the call where it stands; its callback is not called unless it is on its way already.
    fn cancel(&self) {
        if let Ok(abort) = self.abort.shared("call") {
            abort.abort();
        }
    }
}

/// Starts a call; `callback(result, error)` is called once, on a thread of its own.
fn start<T: Send + 'static>(
    callback: Py<PyAny>,
    call: impl Future<Output = Result<T, ClientError>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<AioTask> {
    let sender = deliveries()?;
    let task = runtime()?.spawn(async move {
        let outcome = call.await;
        let delivery: Delivery = Box::new(move |py| {
            let value = outcome.map_err(|e| raise(py, &e)).and_then(|value| convert(py, value));
            let arguments = match value {
                Ok(value) => (Some(value), None),
                Err(error) => (None, Some(error.into_value(py))),
            };
            // Fails when the event loop is closed: then nobody waits for the result.
            let _ = callback.call1(py, arguments);
        });
        // Fails when the interpreter is ending.
        let _ = sender.send(delivery);
    });
    Ok(AioTask { abort: ForkBound::new(task.abort_handle()) })
}
