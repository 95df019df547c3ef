//! A snapshot made by the target that owns its name: the listing of the whole bucket goes past a selection into an
//! object, page by page, so that neither the client nor this node holds it.

mod fill;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aistore_core::error::ApiError;
use aistore_core::list::{FLAG_ARCH_DIR, ListMsg, ListPage};
use aistore_core::props::{ACCESS_LIST_OBJECTS, ACCESS_PUT};
use aistore_core::text::encode_query;
use aistore_core::wire::ActionMsg;
use aistore_snapshot::{ACTION, Outcome, Report, Selection};
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use self::fill::{Page, fill};
use super::Target;
use super::buffers::Pieces;
use super::objects::ObjectRef;
use super::place::Found;
use super::put::{Given, put_options};
use super::upload::memory_for;
use crate::http::{Reply, reply};
use crate::intra::json_headers;
use crate::tasks::lost_task;

/// Snapshots that are made at once: each holds a thread of the blocking pool.
pub(super) const MAX_AT_ONCE: usize = 4;
/// Pages that wait to be written, and lines that wait to be sent.
const AHEAD: usize = 2;
/// A page is asked for again, of any gateway, for this long.
const RETRY_LIMIT: Duration = Duration::from_secs(30);
/// A line is sent at least as often.
const STILL_THERE: Duration = Duration::from_secs(5);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(300);
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// One snapshot to be.
struct Making {
    object: ObjectRef,
    selection: Selection,
    /// Whether there is an object of that name already, so that only the identity is wanted.
    present: bool,
    /// Entries listed so far.
    seen: AtomicU64,
}

/// What whoever writes holds until he has ended.
struct Held {
    _turn: OwnedSemaphorePermit,
    _memory: Pieces,
}

impl Target {
    /// Answers at once, with lines that say how far it is and how it ended. A client that goes away ends it.
    pub(super) async fn make_snapshot(
        self: &Arc<Self>,
        found: &Found,
        object: ObjectRef,
        value: Value,
    ) -> Result<Reply, ApiError> {
        let props = found.props();
        for (access, what) in [(ACCESS_PUT, "PUT"), (ACCESS_LIST_OBJECTS, "LIST")] {
            if !props.allows(access) {
                return Err(ApiError::access_denied(&object.bucket, what));
            }
        }
        let cname = object.cname();
        let selection: Selection = serde_path_to_error::deserialize(value).map_err(|err| {
            ApiError::bad_request(format!("{cname}: malformed value of \"{ACTION}\": {err}"))
        })?;
        selection.check().map_err(|err| ApiError::bad_request(format!("{cname}: {err}")))?;
        let turn = Arc::clone(&self.snapshots).try_acquire_owned().map_err(|_| {
            let text = format!(
                "{cname}: this target makes {MAX_AT_ONCE} snapshots at the moment: try again later"
            );
            ApiError::new(429, "ErrTooManyRequests", text)
        })?;
        let present = self.current(&object).await?.is_some();
        let given = Given { if_absent: true, ..Given::default() };
        let options = put_options(props, given);
        let memory = memory_for(&self.objects, &cname, None, options.copies as u64).await?;
        let held = Held { _turn: turn, _memory: memory };
        let making = Making { object, selection, present, seen: AtomicU64::new(0) };
        let (lines, sent) = mpsc::channel(AHEAD);
        let target = Arc::clone(self);
        self.ctx.tasks.spawn_until_stop(async move {
            let done = tokio::select! {
                done = target.make(&making, options, held, &lines) => done,
                // The client is gone, and what was written goes too.
                () = lines.closed() => return,
                () = still_there(&making, &lines) => return,
            };
            let last = done.map_or_else(
                |err| Report::Error { status: err.status, tcode: err.tcode, message: err.message },
                Report::Done,
            );
            // Nobody may be there to hear it.
            let _ = lines.send(last).await;
        });
        let lines = stream::unfold(sent, |mut sent| async move {
            let report = sent.recv().await?;
            let mut line = serde_json::to_vec(&report).unwrap_or_default();
            line.push(b'\n');
            Some((Ok(Frame::data(Bytes::from(line))), sent))
        });
        let mut answer = Response::new(StreamBody::new(lines).boxed_unsync());
        answer.headers_mut().insert(CONTENT_TYPE, NDJSON);
        Ok(answer)
    }

    async fn make(
        self: &Arc<Self>,
        making: &Making,
        options: aistore_store::PutOptions,
        held: Held,
        lines: &mpsc::Sender<Report>,
    ) -> Result<Outcome, ApiError> {
        let object = &making.object;
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let _writing = self.objects.writing.begin(&object.uname);
        let (pages, given) = mpsc::channel(AHEAD);
        let (objects, named) = (Arc::clone(&self.objects), object.clone());
        let (selection, options) = (making.selection.clone(), (!making.present).then_some(options));
        let filling = tokio::task::spawn_blocking(move || {
            let done = fill(&objects, &named, selection, options, given, stop);
            drop(held);
            done
        });
        let listed = self.list_into(making, &pages, lines).await;
        // Without the last page nothing is stored.
        if listed.is_ok() {
            let _ = pages.send(Page::Last).await;
        }
        drop(pages);
        let filled = filling.await.map_err(|err| lost_task(&err))?;
        // A listing ends early when whoever takes its pages failed.
        let outcome = match listed {
            Err(err) if filled.is_ok() || err.status != GONE.0 => return Err(err),
            _ => filled?,
        };
        if outcome.present.is_none() && outcome.missing_count == 0 {
            self.confirm(object).await?;
        }
        Ok(outcome)
    }

    /// Sends the pages of the listing on, and says how far it is.
    async fn list_into(
        &self,
        making: &Making,
        pages: &mpsc::Sender<Page>,
        lines: &mpsc::Sender<Report>,
    ) -> Result<(), ApiError> {
        let selection = &making.selection;
        let mut message = ListMsg {
            prefix: selection.prefix.clone(),
            props: "name,size".to_owned(),
            flags: if selection.shards { FLAG_ARCH_DIR } else { 0 },
            ..ListMsg::default()
        };
        let mut gateway = String::new();
        loop {
            let page = self.list_page(making, &message, &mut gateway).await?;
            let listed = page.entries.len() as u64;
            let seen = making.seen.fetch_add(listed, Ordering::Relaxed) + listed;
            message.uuid = page.uuid;
            message.continuation_token = page.continuation_token;
            if pages.send(Page::Entries(page.entries)).await.is_err() {
                return Err(ApiError::new(GONE.0, "", GONE.1));
            }
            if lines.send(Report::Rows(seen)).await.is_err() {
                return Err(ApiError::internal("the client went away"));
            }
            if message.continuation_token.is_empty() {
                return Ok(());
            }
        }
    }

    /// One page of the whole bucket, from any gateway; first from the one that answered last.
    async fn list_page(
        &self,
        making: &Making,
        message: &ListMsg,
        last: &mut String,
    ) -> Result<ListPage, ApiError> {
        let bucket = &making.object.bucket;
        let value = serde_json::to_value(message)
            .and_then(|value| serde_json::to_vec(&ActionMsg::new("list", value)))
            .map_err(|err| ApiError::internal(format!("list request: {err}")))?;
        let (body, mut headers) = (Bytes::from(value), json_headers());
        headers.insert(ACCEPT, HeaderValue::from_static(reply::MSGPACK));
        let began = Instant::now();
        loop {
            let state = self.ctx.state();
            if state.bmd.get(bucket).map(|props| props.bid) != Some(making.object.bid) {
                return Err(ApiError::bucket_not_found(bucket));
            }
            let mut failure = ApiError::unavailable("no gateway is in the cluster map");
            let mut gateways: Vec<_> = state.smap.pmap.values().collect();
            gateways.sort_by_key(|gateway| gateway.daemon_id != *last);
            for gateway in gateways {
                let url = format!(
                    "{}/v1/buckets/{}?provider={}&namespace={}",
                    gateway.url(),
                    encode_query(&bucket.name),
                    bucket.provider,
                    encode_query(&bucket.namespace.to_string()),
                );
                let limit = self.ctx.times().listing();
                let (headers, body) = (headers.clone(), body.clone());
                let asked = self.ctx.intra.bytes(Method::GET, &url, headers, body, limit).await;
                match asked {
                    Ok((_, page)) => {
                        last.clone_from(&gateway.daemon_id);
                        return ListPage::from_msgpack(&page).map_err(|err| {
                            ApiError::internal(format!("listing of \"{bucket}\": {err}"))
                        });
                    }
                    // 404: one that has not heard of the bucket yet, which this node knows.
                    Err(err) if matches!(err.status, 404 | 429 | 500..) => failure = err,
                    Err(err) => return Err(err),
                }
            }
            if began.elapsed() > RETRY_LIMIT {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
            self.ctx.catch_up(None).await;
        }
    }
}

/// Says from time to time that the work goes on; a client that hears nothing gives up.
async fn still_there(making: &Making, lines: &mpsc::Sender<Report>) {
    loop {
        tokio::time::sleep(STILL_THERE).await;
        if lines.send(Report::Rows(making.seen.load(Ordering::Relaxed))).await.is_err() {
            return;
        }
    }
}

/// Stands for the error of whoever writes.
const GONE: (u16, &str) = (599, "the writer has ended");
