//! The batch as one TAR stream, for servers without the frame protocol.

use std::collections::VecDeque;
use std::sync::Arc;

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::moss::{MISSING_PREFIX, MossReq, Wanted};
use aistore_core::tar::{Event, StreamDecoder};
use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{BatchStream, Lane, Message, Run};
use crate::client::Client;
use crate::error::ClientError;
use crate::request::Call;
use crate::retry::{Budget, Repeat};
use crate::transport::Opened;

/// Entries on their way to the consumer, in messages of one entry each.
const ENTRIES_AHEAD: usize = 16;
/// Memory set aside for an entry before its bytes have come, at most.
const RESERVE_BYTES: u64 = 8 << 20;

impl Client {
    pub(super) async fn moss(
        &self,
        mut request: MossReq,
        wanted: &[Wanted],
        default_bucket: Option<Bucket>,
    ) -> Result<BatchStream, ClientError> {
        // Servers that do not know cuts would send whole recordings.
        if let Some(entry) = wanted.iter().find(|entry| entry.cut.is_some()) {
            return Err(ClientError::Invalid(format!(
                "{}: this server cannot cut recordings: read the object, and cut it yourself",
                describe(entry)
            )));
        }
        request.streaming = true;
        request.mime = Some(".tar".to_owned());
        let continue_on_error = request.continue_on_error.unwrap_or(false);
        let mut path = "/v1/ml/moss".to_owned();
        let mut query = Vec::new();
        if let Some(bucket) = &default_bucket {
            path = format!("{path}/{}", bucket.name);
            query.push(("provider".to_owned(), bucket.provider.to_string()));
            if !bucket.namespace.is_global() {
                query.push(("namespace".to_owned(), bucket.namespace.to_string()));
            }
        }
        let mut call = Call::new(Method::GET, path).header("te", "trailers").json(&request)?;
        call.query = query;
        let mut budget = Budget::new(self.config());
        let opened = loop {
            match self.open_call(&call).await {
                Ok(opened) => break opened,
                Err(failure) if budget.applies(Repeat::Busy, &failure) => {
                    budget.spend(failure).await?;
                }
                Err(failure) => return Err(failure.error),
            }
        };
        let (sender, receiver) = mpsc::channel(ENTRIES_AHEAD);
        let lanes = vec![Lane::new(&opened.url, receiver)];
        let mut tasks = JoinSet::new();
        let names = wanted.iter().map(describe).collect();
        tasks.spawn(async move {
            if let Err(error) = read(opened, names, &sender).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        Ok(BatchStream {
            lanes,
            order: vec![0; wanted.len()].into_iter(),
            position: 0,
            continue_on_error,
            soft_errors: 0,
            limit: Arc::default(),
            is_patient: false,
            failed: false,
            _tasks: tasks,
        })
    }
}

/// What a message says about an entry that is missing.
fn describe(wanted: &Wanted) -> String {
    let object = wanted.bucket.object_cname(&wanted.object);
    if wanted.archpath.is_empty() { object } else { format!("{object}/{}", wanted.archpath) }
}

async fn read(
    opened: Opened,
    names: Vec<String>,
    sender: &mpsc::Sender<Message>,
) -> Result<(), ClientError> {
    let (_, mut reader) = opened.into_reader();
    let mut decoder = StreamDecoder::new();
    let expected = Some(names.len() as u64);
    let mut names = names.into_iter();
    let mut got = 0;
    let mut current: Option<(String, u64, BytesMut)> = None;
    let protocol =
        |url: &str, text: String| ClientError::Protocol { url: url.to_owned(), message: text };
    while let Some(mut piece) = reader.next().await? {
        loop {
            let event =
                decoder.push(&mut piece).map_err(|e| protocol(reader.url(), e.to_string()))?;
            match event {
                None => break,
                Some(Event::Entry { name, size, .. }) => {
                    let reserve = usize::try_from(size.min(RESERVE_BYTES)).unwrap_or_default();
                    current = Some((name, size, BytesMut::with_capacity(reserve)));
                }
                Some(Event::Data(data)) => {
                    if let Some((_, _, whole)) = &mut current {
                        whole.extend_from_slice(&data);
                    }
                }
                Some(Event::EntryEnd) => {
                    let (Some((name, size, data)), Some(wanted)) = (current.take(), names.next())
                    else {
                        return Err(protocol(reader.url(), "more entries than asked for".into()));
                    };
                    got += 1;
                    if !send(sender, item(&name, size, data.freeze(), &wanted)).await {
                        return Ok(());
                    }
                }
                Some(Event::End) => {}
            }
        }
    }
    // A server that fails after its answer has begun can only stop early.
    if names.len() > 0 {
        return Err(ClientError::Truncated { url: reader.url().to_owned(), expected, got });
    }
    Ok(())
}

fn item(name: &str, size: u64, data: Bytes, wanted: &str) -> Result<Bytes, ApiError> {
    if size == 0 && name.starts_with(MISSING_PREFIX) {
        return Err(ApiError::not_found(format!("{wanted} does not exist")));
    }
    Ok(data)
}

async fn send(sender: &mpsc::Sender<Message>, item: Result<Bytes, ApiError>) -> bool {
    sender.send(Ok(Run { items: VecDeque::from([item]), _permit: None })).await.is_ok()
}
