//! Large objects by several ranged requests at once, straight into the caller's memory.

use aistore_core::bucket::Bucket;
use aistore_core::headers::{CHECKSUM_TYPE, CHECKSUM_VALUE, VERSION};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::HeaderMap;
use http::header::{CONTENT_RANGE, ETAG};

use crate::client::Client;
use crate::error::ClientError;
use crate::objects::{ObjectStream, range_header};
use crate::request::GetOptions;

/// Bytes of one ranged request; objects up to this size are read by one request.
pub const PART_BYTES: u64 = 16 << 20;
/// Ranged requests at once.
pub const PARALLEL_PARTS: usize = 4;
/// Times that a read starts again because the object was overwritten meanwhile.
pub(crate) const OVERWRITE_RETRIES: u32 = 3;

/// What tells one version of an object from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    size: u64,
    marks: [Option<String>; 4],
}

impl Identity {
    /// Reads the identity off an answer; `None` when it has no mark that changes with the content.
    pub(crate) fn of(headers: &HeaderMap, size: u64) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let marks = [CHECKSUM_TYPE, CHECKSUM_VALUE, VERSION, ETAG.as_str()].map(text);
        let [_, checksum, version, etag] = &marks;
        let telling = checksum.is_some() || version.is_some() || etag.is_some();
        telling.then_some(Self { size, marks })
    }
}

/// Start and whole size in `content-range: bytes a-b/size`.
pub(crate) fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let value = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, size.trim().parse().ok()?))
}

/// Why a part cannot be used.
enum PartError {
    /// Another version of the object answered.
    Overwritten,
    Failed(ClientError),
}

impl From<ClientError> for PartError {
    fn from(error: ClientError) -> Self {
        Self::Failed(error)
    }
}

impl Client {
    /// Reads bytes from `offset` on into `dst`; returns how many there were.
    ///
    /// Fewer than asked for means that the object ends there. More than [`PART_BYTES`] are read by up to
    /// [`PARALLEL_PARTS`] requests at once; all bytes are of one version of the object, also when it is
    /// overwritten meanwhile. What `dst` holds after an error is undefined.
    pub async fn get_into(
        &self,
        bucket: &Bucket,
        name: &str,
        offset: u64,
        dst: &mut [u8],
    ) -> Result<usize, ClientError> {
        if dst.is_empty() {
            return Ok(0);
        }
        for _ in 0..OVERWRITE_RETRIES {
            match self.try_get_into(bucket, name, offset, dst).await {
                Ok(read) => return Ok(read),
                Err(PartError::Failed(error)) => return Err(error),
                Err(PartError::Overwritten) => {}
            }
        }
        // It changes faster than parts can be read: one answer is always of one version.
        let mut stream = self.open_range(bucket, name, offset, dst.len() as u64).await?;
        fill(&mut stream, dst).await
    }

    async fn try_get_into(
        &self,
        bucket: &Bucket,
        name: &str,
        offset: u64,
        dst: &mut [u8],
    ) -> Result<usize, PartError> {
        let wanted = dst.len() as u64;
        let first = wanted.min(PART_BYTES);
        let mut stream = match self.open_range(bucket, name, offset, first).await {
            // Nothing from there on, also in an empty object.
            Err(ClientError::Api { error, .. }) if error.status == 416 => return Ok(0),
            other => other?,
        };
        let size = content_range(stream.headers()).map(|(_, size)| size);
        let identity = size.and_then(|size| Identity::of(stream.headers(), size));
        let available = size.map_or(wanted, |size| size.saturating_sub(offset).min(wanted));
        let Some(identity) = identity.filter(|_| available > first) else {
            if available > first {
                // Without marks parts cannot be told to be of one version.
                stream = self.open_range(bucket, name, offset, wanted).await?;
            }
            return Ok(fill(&mut stream, dst).await?);
        };
        let end = usize::try_from(available).unwrap_or(dst.len()).min(dst.len());
        let part = usize::try_from(PART_BYTES).unwrap_or(usize::MAX);
        let mut parts = dst.get_mut(..end).unwrap_or_default().chunks_mut(part);
        let head = parts.next().unwrap_or_default();
        let mut rest = parts.enumerate().map(|(i, dst)| {
            self.read_part(bucket, name, offset + (i as u64 + 1) * PART_BYTES, dst, &identity)
        });
        let mut running: FuturesUnordered<_> = rest.by_ref().take(PARALLEL_PARTS - 1).collect();
        let first_part = async { fill(&mut stream, head).await };
        let mut first_part = std::pin::pin!(first_part);
        let mut first_done = false;
        let mut total = 0;
        loop {
            tokio::select! {
                done = &mut first_part, if !first_done => {
                    first_done = true;
                    total += done?;
                }
                Some(done) = running.next() => total += done?,
                else => break,
            }
            running.extend(rest.next());
        }
        if total == end { Ok(total) } else { Err(PartError::Overwritten) }
    }

    async fn read_part(
        &self,
        bucket: &Bucket,
        name: &str,
        offset: u64,
        dst: &mut [u8],
        identity: &Identity,
    ) -> Result<usize, PartError> {
        let mut stream = match self.open_range(bucket, name, offset, dst.len() as u64).await {
            Err(ClientError::Api { error, .. }) if error.status == 416 => {
                return Err(PartError::Overwritten);
            }
            other => other?,
        };
        let now = content_range(stream.headers())
            .and_then(|(_, size)| Identity::of(stream.headers(), size));
        if now.as_ref() != Some(identity) {
            return Err(PartError::Overwritten);
        }
        Ok(fill(&mut stream, dst).await?)
    }

    async fn open_range(
        &self,
        bucket: &Bucket,
        name: &str,
        offset: u64,
        length: u64,
    ) -> Result<ObjectStream, ClientError> {
        let range = Some(range_header(offset, length));
        let stream = self.get(bucket, name, GetOptions { range, ..GetOptions::default() }).await?;
        let start = content_range(stream.headers()).map_or(0, |(start, _)| start);
        if start != offset {
            let message = format!("asked for bytes from {offset} on, got them from {start} on");
            return Err(ClientError::Protocol { url: stream.url().to_owned(), message });
        }
        Ok(stream)
    }
}

/// Reads until `dst` is full or the answer ends.
async fn fill(stream: &mut ObjectStream, dst: &mut [u8]) -> Result<usize, ClientError> {
    let mut done = 0;
    while done < dst.len() {
        let Some(piece) = stream.next().await? else { break };
        let room = dst.get_mut(done..).unwrap_or_default();
        let n = room.len().min(piece.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), piece.get(..n)) {
            to.copy_from_slice(from);
        }
        done += n;
    }
    // The end mark still has to be read for the connection to be usable again.
    if stream.content_length() == Some(done as u64) {
        let _ = stream.next().await?;
    }
    Ok(done)
}
