//! Objects: properties, reading, writing, deletion.

use std::path::Path;

use aistore_core::bucket::{Bucket, validate_object_name};
use bytes::Bytes;
use http::header::RANGE;
use http::{HeaderMap, Method};

use crate::body::Source;
use crate::client::{Client, no_body, reply};
use crate::error::ClientError;
use crate::request::{GetOptions, ProgressFn, Reply};
use crate::retry::Repeat;
use crate::routing::ObjectRequest;
use crate::transport::{BodyReader, Opened};

/// One object's bytes as they arrive. Dropping it early closes the connection.
#[derive(Debug)]
pub struct ObjectStream {
    status: u16,
    headers: HeaderMap,
    reader: BodyReader,
}

impl ObjectStream {
    pub(crate) fn new(opened: Opened) -> Self {
        let (head, reader) = opened.into_reader();
        Self { status: head.status.as_u16(), headers: head.headers, reader }
    }

    /// 200, or 206 for a range.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// URL that answered.
    pub fn url(&self) -> &str {
        self.reader.url()
    }

    /// Announced length in bytes; `None` when the server does not know it.
    pub fn content_length(&self) -> Option<u64> {
        self.reader.expected()
    }

    /// The next bytes, `None` at the end; an end before the announced length is an error. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.reader.next().await
    }
}

/// Checks names before anything is sent.
pub(crate) fn check_names(method: &Method, bucket: &Bucket, name: &str) -> Result<(), ClientError> {
    bucket.validate().map_err(|e| ClientError::Invalid(e.to_string()))?;
    // HEAD may probe virtual directories, whose names end in '/'.
    if *method == Method::HEAD {
        return Ok(());
    }
    validate_object_name(name).map_err(|e| ClientError::Invalid(e.to_string()))
}

/// Value of a `range` header for `length` bytes from `start` on.
pub(crate) fn range_header(start: u64, length: u64) -> String {
    format!("bytes={start}-{}", start.saturating_add(length).saturating_sub(1))
}

impl Client {
    /// Properties of an object as headers; `props` is a comma-separated list, such as `size,checksum`.
    pub async fn head(
        &self,
        bucket: &Bucket,
        name: &str,
        props: &str,
    ) -> Result<HeaderMap, ClientError> {
        let query = if props.is_empty() { vec![] } else { vec![pair("props", props)] };
        let reply = self.object_reply(Method::HEAD, bucket, name, &query, &[], &no_body()).await?;
        Ok(reply.headers)
    }

    /// Deletes an object.
    pub async fn delete(&self, bucket: &Bucket, name: &str) -> Result<Reply, ClientError> {
        self.object_reply(Method::DELETE, bucket, name, &[], &[], &no_body()).await
    }

    /// Opens an object for reading.
    pub async fn get(
        &self,
        bucket: &Bucket,
        name: &str,
        options: GetOptions,
    ) -> Result<ObjectStream, ClientError> {
        let GetOptions { range, query, mut headers, via_gateway } = options;
        headers.extend(range.map(|range| pair(RANGE.as_str(), &range)));
        // A transformation is found by the gateway, not by the object's owner.
        let via_gateway = via_gateway || query.iter().any(|(key, _)| key == "etl_name");
        let opened = self
            .send_object(Method::GET, bucket, name, &query, &headers, &no_body(), via_gateway)
            .await?;
        Ok(ObjectStream::new(opened))
    }

    /// Stores an object.
    pub async fn put(
        &self,
        bucket: &Bucket,
        name: &str,
        body: Bytes,
    ) -> Result<Reply, ClientError> {
        self.put_with(bucket, name, body, &[], &[]).await
    }

    /// Stores an object, with further query parameters and headers.
    pub async fn put_with(
        &self,
        bucket: &Bucket,
        name: &str,
        body: Bytes,
        query: &[(String, String)],
        headers: &[(String, String)],
    ) -> Result<Reply, ClientError> {
        self.object_reply(Method::PUT, bucket, name, query, headers, &Source::Bytes(body)).await
    }

    /// Stores a file's content as an object; the file is read while it is sent, a megabyte ahead.
    ///
    /// `progress` gets the bytes sent so far, from 0 again when the upload is repeated. A file that
    /// grows meanwhile is stored up to the length it had; one that shrinks is an error.
    pub async fn put_file(
        &self,
        bucket: &Bucket,
        name: &str,
        path: &Path,
        progress: Option<ProgressFn>,
    ) -> Result<Reply, ClientError> {
        self.put_file_with(bucket, name, path, progress, &[]).await
    }

    /// Like [`Client::put_file`], with further query parameters.
    pub async fn put_file_with(
        &self,
        bucket: &Bucket,
        name: &str,
        path: &Path,
        progress: Option<ProgressFn>,
        query: &[(String, String)],
    ) -> Result<Reply, ClientError> {
        let source = Source::file(path, progress)?;
        self.object_reply(Method::PUT, bucket, name, query, &[], &source).await
    }

    /// Any request about one object whose answer is short.
    pub async fn object_call(
        &self,
        method: Method,
        bucket: &Bucket,
        name: &str,
        query: &[(String, String)],
        headers: &[(String, String)],
    ) -> Result<Reply, ClientError> {
        self.object_reply(method, bucket, name, query, headers, &no_body()).await
    }

    pub(crate) async fn object_reply(
        &self,
        method: Method,
        bucket: &Bucket,
        name: &str,
        query: &[(String, String)],
        headers: &[(String, String)],
        body: &Source,
    ) -> Result<Reply, ClientError> {
        reply(self.send_object(method, bucket, name, query, headers, body, false).await?).await
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, passed on as they are"
    )]
    async fn send_object(
        &self,
        method: Method,
        bucket: &Bucket,
        name: &str,
        query: &[(String, String)],
        headers: &[(String, String)],
        body: &Source,
        via_gateway: bool,
    ) -> Result<Opened, ClientError> {
        check_names(&method, bucket, name)?;
        let repeat = Repeat::of(&method);
        let request =
            ObjectRequest { method, bucket, name, query, headers, body, via_gateway, repeat };
        self.object(&request).await
    }
}

pub(crate) fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}
