//! Puts objects into a shard. The shard's owner does it, from wherever the objects lie.

use std::sync::Arc;
use std::time::Duration;

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::job::{ArchiveMsg, Names};
use aistore_core::list::{FLAG_NAME_ONLY, FLAG_NO_RECURSION, ListMsg, ListPage};
use aistore_core::template::Template;
use aistore_core::text::encode_query;
use aistore_core::wire::ActionMsg;
use http::Method;

use crate::jobs::Job;
use crate::target::Target;
use crate::target::archive::Added;
use crate::target::objects::ObjectRef;

/// Objects that are read at a time: what the job knows of names at any moment.
const WINDOW: usize = 512;
/// Longest wait for a page of names.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let msg = ArchiveMsg::parse(job.args().clone())?;
    let from = job.bucket()?.clone();
    let to = msg.to.clone().unwrap_or_else(|| from.clone());
    let bids = &job.record.bids;
    let (Some(from_bid), Some(to_bid)) = (bids.first().copied(), bids.last().copied()) else {
        return Err(ApiError::internal(format!("{} has no bucket", job.record.display())));
    };
    let of = |bucket: &Bucket, bid, name: String| {
        let uname = bucket.object_uname(&name);
        ObjectRef { bucket: bucket.clone(), name, bid, uname }
    };
    let shard = of(&to, to_bid, msg.name.clone());
    job.set_parallel(0, 1);
    let mut turn = None;
    if msg.append {
        target.check_unchanged(&shard, job.record.started_ns).await?;
        turn = target.jobs.archiving.lock(&shard.uname).await;
    }
    let mut making = target.begin_shard(shard.clone(), msg.format()?, msg.append).await?;
    let mut source = Source::new(&target, &from, &msg)?;
    let is_list = source.is_list();
    let (mut files, mut bytes) = (0, 0);
    while let Some(mut names) = source.window().await? {
        job.check()?;
        // A shard is no file of itself.
        names.retain(|name| is_list || from != to || *name != msg.name);
        if names.is_empty() {
            continue;
        }
        let members = names.iter().map(|name| msg.member_name(&from, name)).collect();
        let objects = names.into_iter().map(|name| of(&from, from_bid, name)).collect();
        let Added { local, from_peers, failures } = making.add(objects, members).await?;
        job.add_in(from_peers.0, from_peers.1);
        (files, bytes) = (files + local.0, bytes + local.1);
        for (_, error) in failures {
            if error.status == 404 && !is_list {
                continue;
            }
            if !msg.continue_on_error {
                return Err(error);
            }
            job.soft_error(&error);
        }
        job.set_progress(&format!("{files} objects, {bytes} bytes"));
    }
    if files == 0 {
        return Err(ApiError::not_found(format!(
            "{}: none of the objects that are asked for is there, no shard was made",
            shard.cname()
        )));
    }
    let meta = making.finish().await?;
    drop(turn);
    job.add_local(1, meta.size);
    Ok(())
}

/// Names of objects, a window at a time.
struct Source<'a> {
    target: &'a Arc<Target>,
    bucket: &'a Bucket,
    rest: Rest,
}

enum Rest {
    List(std::vec::IntoIter<String>),
    Range(Template, u64),
    /// `None` after the last page.
    Prefix(Option<Box<ListMsg>>),
}

impl<'a> Source<'a> {
    fn new(
        target: &'a Arc<Target>,
        bucket: &'a Bucket,
        msg: &ArchiveMsg,
    ) -> Result<Self, ApiError> {
        let rest = match msg.names()? {
            Names::List(names) => Rest::List(names.into_iter()),
            Names::Range(template) => Rest::Range(template, 0),
            Names::Prefix(prefix) => {
                let recursion = if msg.non_recursive { FLAG_NO_RECURSION } else { 0 };
                Rest::Prefix(Some(Box::new(ListMsg {
                    prefix,
                    props: "name".to_owned(),
                    flags: FLAG_NAME_ONLY | recursion,
                    page_size: WINDOW as u64,
                    ..ListMsg::default()
                })))
            }
        };
        Ok(Self { target, bucket, rest })
    }

    fn is_list(&self) -> bool {
        matches!(self.rest, Rest::List(_))
    }

    async fn window(&mut self) -> Result<Option<Vec<String>>, ApiError> {
        match &mut self.rest {
            Rest::List(names) => {
                let window: Vec<String> = names.take(WINDOW).collect();
                Ok(Some(window).filter(|window| !window.is_empty()))
            }
            Rest::Range(template, next) => {
                let window: Vec<String> = template.names_from(*next).take(WINDOW).collect();
                *next += window.len() as u64;
                Ok(Some(window).filter(|window| !window.is_empty()))
            }
            Rest::Prefix(next) => {
                let Some(mut msg) = next.take() else { return Ok(None) };
                let page = page(self.target, self.bucket, &msg).await?;
                if !page.continuation_token.is_empty() {
                    msg.continuation_token = page.continuation_token;
                    msg.uuid = page.uuid;
                    *next = Some(msg);
                }
                let names = page.entries.into_iter().map(|entry| entry.name);
                Ok(Some(names.filter(|name| !name.ends_with('/')).collect()))
            }
        }
    }
}

/// One page of a bucket's names, which gateways put together.
async fn page(target: &Arc<Target>, bucket: &Bucket, msg: &ListMsg) -> Result<ListPage, ApiError> {
    let value = serde_json::to_value(msg).map_err(|err| ApiError::internal(err.to_string()))?;
    let (action, state) = (ActionMsg::new("list", value), target.ctx.state());
    let mut failure = ApiError::unavailable(format!("no gateway lists \"{bucket}\""));
    let primary = std::iter::once(&state.smap.proxy_si);
    for gateway in primary.chain(state.smap.pmap.values()) {
        let url = format!(
            "{}/v1/buckets/{}?provider={}&namespace={}",
            gateway.url(),
            encode_query(&bucket.name),
            bucket.provider,
            encode_query(&bucket.namespace.to_string())
        );
        match target.ctx.intra.json(Method::GET, &url, &action, LIST_TIMEOUT).await {
            Ok(page) => return Ok(page),
            Err(err) if err.status >= 500 => failure = err,
            Err(err) => return Err(err),
        }
    }
    Err(failure)
}
