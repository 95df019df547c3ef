//! Complete answers.

use aistore_client::Reply;
use http::HeaderMap;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::memory;

/// Headers in the form that Python code gets: repeated ones several times.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(&str, String)> {
    let text = |value: &http::HeaderValue| match value.to_str() {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

/// A complete HTTP answer with status below 400.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct Response {
    status: u16,
    headers: HeaderMap,
    body: Py<PyBytes>,
    url: String,
}

impl Response {
    pub(crate) fn new(py: Python<'_>, reply: Reply) -> PyResult<Self> {
        let Reply { status, headers, body, url } = reply;
        Ok(Self { status, headers, body: memory::copy(py, &body)?.unbind(), url })
    }
}

#[pymethods]
impl Response {
    #[getter]
    fn status(&self) -> u16 {
        self.status
    }

    #[getter]
    fn headers(&self) -> Vec<(&str, String)> {
        pairs(&self.headers)
    }

    #[getter]
    fn body(&self, py: Python<'_>) -> Py<PyBytes> {
        self.body.clone_ref(py)
    }

    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    fn __repr__(&self) -> String {
        format!("<Response [{}]>", self.status)
    }
}
