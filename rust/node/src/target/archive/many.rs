//! GET of many files of a shard, as a TAR.

use std::io::{self, Read};
use std::sync::Arc;

use aistore_core::archive::{Entry, Matcher, Walk};
use aistore_core::error::ApiError;
use aistore_core::tar;

use super::super::Target;
use super::super::members::archive_failure;
use super::super::objects::ObjectRef;
use super::super::select::GetFailure;
use super::body::{self, Begun, Source};
use super::find::{Watch, Watched, shard_format};
use crate::http::Reply;
use crate::tasks::lost_task;

/// A TAR of the files of a shard that match, made while it is read.
struct Matching {
    walk: Walk,
    matcher: Matcher,
    /// Headers, padding and the end: what is to be given out before more data.
    ready: Vec<u8>,
    given: usize,
    /// Data of the current file still to come, and what pads it.
    left: u64,
    padding: usize,
    ended: bool,
}

impl Matching {
    fn new(walk: Walk, matcher: Matcher) -> Self {
        let ready = Vec::new();
        Self { walk, matcher, ready, given: 0, left: 0, padding: 0, ended: false }
    }

    /// Goes to the next file that matches.
    fn advance(&mut self) -> Result<bool, aistore_core::archive::ArchiveError> {
        self.ready.clear();
        self.given = 0;
        self.ready.resize(std::mem::take(&mut self.padding), 0);
        while let Some(Entry { name, size, mtime_s }) = self.walk.next_entry()? {
            if self.matcher.matches(&name) {
                self.ready.extend_from_slice(&tar::encode_header(&name, size, mtime_s));
                (self.left, self.padding) = (size, tar::padding(size));
                return Ok(true);
            }
        }
        self.ready.extend_from_slice(&tar::END);
        self.ended = true;
        Ok(false)
    }
}

impl Read for Matching {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = self.ready.get(self.given..).unwrap_or_default();
            if !ready.is_empty() {
                let count = ready.len().min(buf.len());
                buf.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
                self.given += count;
                return Ok(count);
            }
            if self.left > 0 {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
                let read = self.walk.read(buf.get_mut(..most).unwrap_or_default())?;
                if read == 0 && most > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.left -= read as u64;
                return Ok(read);
            }
            if self.ended {
                return Ok(0);
            }
            self.advance().map_err(io::Error::other)?;
        }
    }
}

impl Target {
    pub(super) async fn get_members(
        self: &Arc<Self>,
        object: ObjectRef,
        matcher: Matcher,
        mime: String,
    ) -> Result<(Reply, u64), GetFailure> {
        let memory = self.memory_for_reply(&object).await?;
        let (watch, gone) = Watch::new();
        let searching = self.objects.searching().await;
        let (target, cname) = (Arc::clone(self), object.cname());
        let begun = tokio::task::spawn_blocking(move || {
            let _searching = searching;
            let reader = target.objects.open(&object)?;
            let reader = reader.ok_or_else(|| target.object_not_found(&object))?;
            let format = shard_format(&reader, &object, &mime)?;
            let cname = object.cname();
            let failure = |err| archive_failure(&err, format, &cname);
            let shard = Watched::shared(&reader, &gone);
            let walk = Walk::open(shard, reader.meta().size, format).map_err(failure)?;
            let text = matcher.text().to_owned();
            let mut matching = Matching::new(walk, matcher);
            if !matching.advance().map_err(failure)? {
                return Err(ApiError::not_found(format!(
                    "{}: files that match \"{text}\" in {cname} do not exist: \"{text}\" does not exist",
                    target.ctx.display()
                )));
            }
            let source = Source { size: None, data: Box::new(matching) };
            let begun = body::begin(source, &target.objects.pool, memory);
            begun.map_err(|err| body::failure(&err, &cname))
        });
        let begun: Begun = begun.await.map_err(|err| lost_task(&err))??;
        Ok(self.unpacked_reply(begun, watch, "application/x-tar", &cname).await?)
    }
}
