//! Whole objects, or parts of them, into the caller's memory; large ones by several threads at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use aistore_core::bucket::Bucket;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method};

use super::{Answer, Ask, Byte, TICK, Tick};
use crate::client::Client;
use crate::error::ClientError;
use crate::objects::range_header;
use crate::parallel::{Identity, OVERWRITE_RETRIES, PARALLEL_PARTS, PART_BYTES, content_range};

/// Which bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Number of bytes, fewer if the object ends before; `None` = to the end.
    pub length: Option<u64>,
}

impl Span {
    /// The whole object.
    pub const ALL: Self = Self { offset: 0, length: None };

    fn range(self, at_most: u64) -> (String, String) {
        let range = match self.length.unwrap_or(u64::MAX).min(at_most) {
            u64::MAX => format!("bytes={}-", self.offset),
            length => range_header(self.offset, length),
        };
        (RANGE.as_str().to_owned(), range)
    }
}

/// Bytes of an object that are about to be received.
#[derive(Debug)]
pub struct Download<'c> {
    first: Answer<'c>,
    offset: u64,
    size: u64,
    identity: Option<Identity>,
    headers: HeaderMap,
    parallel: usize,
}

/// Most ranged requests at once for one object.
pub const MAX_PARALLEL_RANGES: usize = 64;

/// What became of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// All bytes are there, of one version of the object.
    All,
    /// The object was overwritten meanwhile, or a node did not answer: start again.
    Again,
}

impl Download<'_> {
    /// Bytes to be received: the wanted length, or less where the object ends before.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All of them, if they are here already.
    pub fn ready(&self) -> Option<&[u8]> {
        let ready = self.first.ready();
        (ready.len() as u64 == self.size).then_some(ready)
    }

    /// Takes what [`Download::ready`] showed.
    pub fn finish_ready(&mut self) {
        self.first.finish_ready();
    }

    /// Sets how many ranges are read at once, instead of [`PARALLEL_PARTS`]; at most [`MAX_PARALLEL_RANGES`].
    pub fn set_parallel(&mut self, ranges: usize) {
        self.parallel = ranges.clamp(1, MAX_PARALLEL_RANGES);
    }

    /// Headers, as of one answer with all the bytes; they can be taken once.
    pub fn take_headers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.headers)
    }
}

impl Client {
    /// Opens an object, or part of it, for [`Client::quick_receive`]; `None` as for [`Client::quick`].
    ///
    /// `times` counts earlier tries that ended in [`Received::Again`]; after a few of them the object is
    /// read by one request instead of parts. A span that starts behind the object's end is the server's
    /// error 416, but all of an empty object is no bytes.
    pub fn quick_download(
        &self,
        bucket: &Bucket,
        name: &str,
        span: Span,
        times: u32,
        tick: Tick<'_>,
    ) -> Result<Option<Download<'_>>, ClientError> {
        let at_most = if times < OVERWRITE_RETRIES { PART_BYTES } else { u64::MAX };
        let mut answer = match self.open_span(bucket, name, span, at_most, tick) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(None),
            // An empty object has no first byte.
            Err(ClientError::Api { error, .. }) if error.status == 416 && span == Span::ALL => {
                match self.open_span(bucket, name, span, u64::MAX, tick)? {
                    Some(answer) => answer,
                    None => return Ok(None),
                }
            }
            Err(error) => return Err(error),
        };
        let mut identity = None;
        let mut size = answer.remaining();
        match (answer.status(), content_range(answer.headers())) {
            (206, Some((start, whole))) if start == span.offset => {
                let wanted = span.length.unwrap_or(u64::MAX).min(whole.saturating_sub(start));
                identity = Identity::of(answer.headers(), whole);
                if identity.is_some() {
                    size = wanted;
                } else if wanted > size {
                    // Parts could not be told to be of one version.
                    let Some(all) = self.open_span(bucket, name, span, u64::MAX, tick)? else {
                        return Ok(None);
                    };
                    size = all.remaining();
                    answer = all;
                }
            }
            (200, None) if span == Span::ALL => {}
            _ => return Ok(None),
        }
        let mut headers = answer.take_headers();
        headers.remove(CONTENT_RANGE);
        headers.remove(ACCEPT_RANGES);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        let (offset, parallel) = (span.offset, PARALLEL_PARTS);
        Ok(Some(Download { first: answer, offset, size, identity, headers, parallel }))
    }

    fn open_span(
        &self,
        bucket: &Bucket,
        name: &str,
        span: Span,
        at_most: u64,
        tick: Tick<'_>,
    ) -> Result<Option<Answer<'_>>, ClientError> {
        let range = [span.range(at_most)];
        // Without the header there is one answer with all of it, also of an empty object.
        let headers: &[_] = if span == Span::ALL && at_most == u64::MAX { &[] } else { &range };
        self.quick(&Ask { method: Method::GET, bucket, name, query: &[], headers, body: &[] }, tick)
    }

    /// Receives the bytes into `dst`, which is [`Download::size`] long; all of it is written when this
    /// returns [`Received::All`].
    pub fn quick_receive<B: Byte>(
        &self,
        mut download: Download<'_>,
        bucket: &Bucket,
        name: &str,
        dst: &mut [B],
        tick: Tick<'_>,
    ) -> Result<Received, ClientError> {
        let first = usize::try_from(download.first.remaining()).unwrap_or(usize::MAX);
        let Some((head, rest)) = dst.split_at_mut_checked(first) else {
            return Ok(Received::Again);
        };
        let Some(identity) = download.identity.filter(|_| !rest.is_empty()) else {
            download.first.read(head, tick)?;
            return Ok(if rest.is_empty() { Received::All } else { Received::Again });
        };
        let part = usize::try_from(PART_BYTES).unwrap_or(usize::MAX);
        let offset = download.offset + first as u64;
        let parts = Parts::new(self, bucket, name, offset, identity, rest.chunks_mut(part));
        let helpers = download.parallel.saturating_sub(1).min(parts.total);
        let url = download.first.url().to_owned();
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                // A thread that cannot be had leaves its work to the others.
                let helper = parts.helpers.enter();
                let _ = std::thread::Builder::new().name("aistore-part".to_owned()).spawn_scoped(
                    scope,
                    || {
                        parts.work(tick);
                        drop(helper);
                    },
                );
            }
            let first_tick = || !parts.stop.load(Ordering::Relaxed) && tick();
            if let Err(error) = download.first.read(head, &first_tick) {
                parts.fail(Some(error));
            }
            parts.work(tick);
            // Only this thread sees signals; the helpers end within a tick once it says so.
            if !parts.helpers.wait(tick) {
                parts.fail(Some(ClientError::Interrupted { url: url.clone() }));
            }
        });
        parts.outcome()
    }
}

/// Threads that are still reading.
#[derive(Default)]
struct Helpers {
    running: Mutex<usize>,
    ended: Condvar,
}

/// One of them; counts until it is dropped.
struct Helper<'a>(&'a Helpers);

impl Helpers {
    fn enter(&self) -> Helper<'_> {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Helper(self)
    }

    /// Waits until all have ended; false when `tick` says so before.
    fn wait(&self, tick: Tick<'_>) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running > 0 {
            let (guard, waited) =
                self.ended.wait_timeout(running, TICK).unwrap_or_else(PoisonError::into_inner);
            running = guard;
            if waited.timed_out() {
                drop(running);
                if !tick() {
                    return false;
                }
                running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
        true
    }
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}

/// Ranges still to be read, and what went wrong.
struct Parts<'a, B> {
    client: &'a Client,
    bucket: &'a Bucket,
    name: &'a str,
    identity: Identity,
    queue: Mutex<Vec<(u64, &'a mut [B])>>,
    total: usize,
    done: AtomicUsize,
    stop: AtomicBool,
    helpers: Helpers,
    error: Mutex<Option<ClientError>>,
}

impl<'a, B: Byte> Parts<'a, B> {
    fn new(
        client: &'a Client,
        bucket: &'a Bucket,
        name: &'a str,
        offset: u64,
        identity: Identity,
        chunks: impl Iterator<Item = &'a mut [B]>,
    ) -> Self {
        let mut at = offset;
        let mut queue: Vec<_> = chunks
            .map(|chunk| {
                let start = at;
                at += chunk.len() as u64;
                (start, chunk)
            })
            .collect();
        queue.reverse();
        Self {
            client,
            bucket,
            name,
            identity,
            total: queue.len(),
            queue: Mutex::new(queue),
            done: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            helpers: Helpers::default(),
            error: Mutex::new(None),
        }
    }

    /// Reads parts until none is left or one has failed.
    fn work(&self, tick: Tick<'_>) {
        let tick = || !self.stop.load(Ordering::Relaxed) && tick();
        while !self.stop.load(Ordering::Relaxed) {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((offset, dst)) = next else { return };
            match self.read(offset, dst, &tick) {
                Ok(true) => {
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => self.fail(None),
                Err(error) => self.fail(Some(error)),
            }
        }
    }

    /// False when the part is of another version, or its node cannot be asked this way.
    fn read(&self, offset: u64, dst: &mut [B], tick: Tick<'_>) -> Result<bool, ClientError> {
        let headers = [(RANGE.as_str().to_owned(), range_header(offset, dst.len() as u64))];
        let ask = Ask {
            method: Method::GET,
            bucket: self.bucket,
            name: self.name,
            query: &[],
            headers: &headers,
            body: &[],
        };
        let mut answer = match self.client.quick(&ask, tick) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(false),
            Err(ClientError::Api { error, .. }) if error.status == 416 => return Ok(false),
            Err(error) => return Err(error),
        };
        let same = content_range(answer.headers()).is_some_and(|(start, size)| {
            start == offset && Identity::of(answer.headers(), size).as_ref() == Some(&self.identity)
        });
        if !same || answer.remaining() != dst.len() as u64 {
            return Ok(false);
        }
        answer.read(dst, tick)?;
        Ok(true)
    }

    fn fail(&self, error: Option<ClientError>) {
        let stopped = self.stop.swap(true, Ordering::Relaxed);
        // What follows the first failure is the other threads being stopped.
        if !stopped {
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        }
    }

    fn outcome(self) -> Result<Received, ClientError> {
        let error = self.error.into_inner().unwrap_or_else(PoisonError::into_inner);
        let all = self.done.load(Ordering::Relaxed) == self.total;
        match error {
            Some(error) => Err(error),
            None if all && !self.stop.load(Ordering::Relaxed) => Ok(Received::All),
            None => Ok(Received::Again),
        }
    }
}
