//! GET and HEAD of objects whose reader is open and whose bytes are in memory, answered without hyper.
//!
//! See [`quick`](crate::quick) for who asks. Whatever is not plain to see here, an error above all, is left to the
//! handlers of [`get`](super::get) and [`head`](super::head): both ways write the same answer with the same functions.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use aistore_cluster::ClusterState;
use aistore_core::bucket::{Bucket, Namespace, Provider, validate_object_name};
use aistore_core::headers::PRESENT;
use aistore_core::placement::owner;
use aistore_core::props::BucketProps;
use aistore_store::{ObjectMeta, ObjectReader};

use super::Target;
use super::head::{Presence, parse_presence, parse_props};
use super::headers::{HeaderSink as _, add, add_head_v1, add_length, add_object};
use super::place::redirected_ago;
use super::read::Extent;
use crate::http::Query;
use crate::memory::{Permit, Purpose};
use crate::sendfile;

/// Queries that say which bucket is meant and how the client came here. With any other the handlers decide.
const QUERIES: [&str; 5] = ["provider", "namespace", "pid", "utm", "sv"];
/// Of HEAD in addition.
const HEAD_QUERIES: [&str; 2] = ["props", "presence"];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// HEAD, not GET.
    pub(crate) head: bool,
    pub(crate) bucket: &'a str,
    pub(crate) object: &'a str,
    /// Text after `?`, undecoded.
    pub(crate) query: &'a str,
    /// Version of the cluster map that the client chose this node with.
    pub(crate) map_version: Option<u64>,
}

/// An answer being written: lines of its head, without status, date and the empty line; and its body.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) head: &'a mut Vec<u8>,
    pub(crate) body: &'a mut [u8],
}

/// The body of an answer whose head was written.
pub(crate) enum Payload {
    /// So many bytes were copied; with the memory for what of them does not leave at once.
    Copied(usize, Permit),
    /// To be sent from the file: where in it, and how many bytes, which are in memory.
    File(Arc<File>, u64, u64),
}

impl Payload {
    fn length(&self) -> u64 {
        match self {
            Self::Copied(length, _) => *length as u64,
            Self::File(_, _, length) => *length,
        }
    }
}

/// A bucket as it is known here, and which object of it is meant.
struct Meant {
    state: Arc<ClusterState>,
    bucket: Bucket,
    uname: String,
}

impl Meant {
    fn props(&self) -> Option<&BucketProps> {
        self.state.bmd.get(&self.bucket)
    }
}

impl Target {
    /// Answers if nothing and nobody has to be waited for, and nothing is wrong. `None`: nothing happened.
    pub(crate) fn hot(&self, asked: &Asked<'_>, answer: &mut Answer<'_>) -> Option<Payload> {
        let started = Instant::now();
        let query = Query::parse(asked.query).ok()?;
        let plain = |key: &str| QUERIES.contains(&key) || asked.head && HEAD_QUERIES.contains(&key);
        if !query.pairs().iter().all(|(key, _)| plain(key)) {
            return None;
        }
        let meant = self.meant(asked, &query)?;
        let props = meant.props()?;
        if asked.head {
            let reader = self.objects.readers.get(props.bid, &meant.uname)?;
            self.hot_head(asked, &query, &meant, &reader, answer.head)?;
            self.ctx.metrics.quick.inc();
            self.ctx.metrics.head.done(0, started.elapsed());
            return Some(Payload::Copied(0, Permit::default()));
        }
        if props.checksum.validate_warm_get {
            return None;
        }
        let (bid, uname) = (props.bid, &meant.uname);
        let reader = self.objects.readers.get_with_lines(bid, uname, answer.head, add_get)?;
        let payload = self.hot_get(&reader, answer)?;
        self.ctx.metrics.quick.inc();
        self.ctx.metrics.get.done(payload.length(), started.elapsed());
        if let Some(ago) = redirected_ago(&query) {
            self.ctx.metrics.get_redirect.add(ago);
        }
        Some(payload)
    }

    /// What is meant, if this node is the one to ask and need not catch up with anybody.
    fn meant(&self, asked: &Asked<'_>, query: &Query) -> Option<Meant> {
        validate_object_name(asked.object).ok()?;
        let bucket = Bucket {
            name: asked.bucket.to_owned(),
            provider: Provider::parse(query.text("provider")).ok()?,
            namespace: Namespace::parse(query.text("namespace")).ok()?,
        };
        let state = self.ctx.state();
        if let Some(version) = query.get("sv")
            && version.parse::<u64>().ok()? > state.version
        {
            return None;
        }
        let uname = bucket.object_uname(asked.object);
        if let Some(version) = asked.map_version {
            let newer = version > state.smap.version;
            if newer || owner(&state.smap, &uname)?.daemon_id != self.ctx.snode.daemon_id {
                return None;
            }
        }
        Some(Meant { state, bucket, uname })
    }

    fn hot_get(&self, reader: &Arc<ObjectReader>, answer: &mut Answer<'_>) -> Option<Payload> {
        let meta = reader.meta();
        if meta.size < MAX_BODY as u64 {
            self.copied(reader, answer.body)
        } else {
            self.in_file(reader)
        }
    }

    fn copied(&self, reader: &ObjectReader, body: &mut [u8]) -> Option<Payload> {
        let size = reader.meta().size;
        let length = usize::try_from(size).ok().filter(|length| *length > 0)?;
        let body = body.get_mut(..length)?;
        let permit = self.ctx.memory.try_take(Purpose::Replies, size)?;
        let read = reader.read_at_nowait(body, 0).ok()?;
        (read == Some(length)).then_some(Payload::Copied(length, permit))
    }

    /// Of one window at most: whoever sends more has to look again on the way.
    fn in_file(&self, reader: &Arc<ObjectReader>) -> Option<Payload> {
        let size = reader.meta().size;
        if size > sendfile::WINDOW_BYTES as u64 {
            return None;
        }
        let mut extent = Extent::whole(Arc::clone(reader));
        let (file, offset, length) = extent.in_file()?;
        let whole = length == size && self.objects.sends_now(&mut extent);
        whole.then_some(Payload::File(file, offset, length))
    }

    fn hot_head(
        &self,
        asked: &Asked<'_>,
        query: &Query,
        meant: &Meant,
        reader: &ObjectReader,
        head: &mut Vec<u8>,
    ) -> Option<()> {
        if parse_presence(query.text("presence")).ok()? != Presence::Described {
            return None;
        }
        let props = parse_props(query.text("props")).ok()?;
        let meta = reader.meta();
        // Nothing stored: what hyper says of an empty body differs with the rest of the head.
        if meta.size == 0 {
            return None;
        }
        let location = self.known_location(reader.mountpath())?;
        let mountpaths = self.mountpaths_text(reader);
        let place = (&*location, &*mountpaths);
        match props {
            Some(props) => {
                add_length(head, meta.size);
                head.add(PRESENT, b"true");
                for prop in props {
                    prop.add(head, meta, place);
                }
            }
            None => add_head_v1(head, meta, &meant.bucket, asked.object, place),
        }
        Some(())
    }
}

/// What the head of a GET's answer says of the object.
fn add_get(head: &mut Vec<u8>, meta: &ObjectMeta) {
    add_object(head, meta);
    add(head, "accept-ranges", "bytes");
    add_length(head, meta.size);
    add(head, "content-type", "application/octet-stream");
}

/// Space for a body; what does not fit leaves better from the file.
pub(crate) const MAX_BODY: usize = sendfile::MIN_BYTES;
