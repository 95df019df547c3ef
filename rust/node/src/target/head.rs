//! HEAD of an object: metadata without payload.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use aistore_core::conditional::Verdict;
use aistore_core::error::ApiError;
use aistore_core::headers::PRESENT;
use aistore_store::ObjectMeta;
use http::StatusCode;

use super::headers::{Prop, add, add_head_v1, add_length, add_validators};
use super::objects::ObjectRef;
use super::{Target, conditions};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

/// Metadata of an object and where it lies.
struct Described {
    meta: ObjectMeta,
    mountpath: PathBuf,
    location: String,
}

impl Target {
    pub(super) async fn head(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let done = self.head_object(req, bucket, name).await;
        match &done {
            Ok(_) => self.ctx.metrics.head.done(0, started.elapsed()),
            Err(_) => self.ctx.metrics.head.failed(),
        }
        done
    }

    async fn head_object(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let presence = parse_presence(req.query.text("presence"))?;
        let props = parse_props(req.query.text("props"))?;
        let conditions = conditions::of(&req.headers)?;
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        self.check_place(req, &found.state, &object, false)?;
        let cname = object.cname();
        let Described { meta, mountpath, location } = self.describe(object).await?;
        if presence == Presence::Outside {
            return Err(ApiError::bad_request(format!(
                "{cname} is present (vs requested 'flt-outside'(5))"
            )));
        }
        let status = match conditions::for_read(&conditions, &meta) {
            Verdict::Proceed => StatusCode::OK,
            Verdict::NotModified => StatusCode::NOT_MODIFIED,
            Verdict::Failed => return Err(ApiError::precondition_failed(&cname)),
        };
        let mut reply = reply::empty(status);
        if presence == Presence::Bare {
            return Ok(reply);
        }
        if status == StatusCode::NOT_MODIFIED {
            add_validators(reply.headers_mut(), &meta);
            return Ok(reply);
        }
        let mountpaths = self.objects.store.mountpaths_of(&meta, &mountpath);
        let mountpaths: Vec<String> =
            mountpaths.iter().map(|path| path.display().to_string()).collect();
        let mountpath = mountpaths.join(",");
        let (map, place) = (reply.headers_mut(), (location.as_str(), mountpath.as_str()));
        if let Some(props) = props {
            add_length(map, meta.size);
            add(map, PRESENT, "true");
            for prop in props {
                prop.add(map, &meta, place);
            }
        } else {
            add_head_v1(map, &meta, found.bucket(), name, place);
        }
        Ok(reply)
    }

    /// Opens the object rather than asking the index alone: whoever asks for the metadata is about to
    /// read, and then finds it open.
    async fn describe(self: &Arc<Self>, object: ObjectRef) -> Result<Described, ApiError> {
        let describe = |target: &Self, reader: &aistore_store::ObjectReader| Described {
            meta: reader.meta().clone(),
            mountpath: reader.mountpath().to_owned(),
            location: target.location(reader.mountpath()),
        };
        if let Some(reader) = self.objects.readers.get(object.bid, &object.uname)
            && self.disks.get().is_some()
        {
            return Ok(describe(self, &reader));
        }
        let target = Arc::clone(self);
        let described = tokio::task::spawn_blocking(move || {
            let reader = target.objects.open(&object)?;
            let reader = reader.ok_or_else(|| target.object_not_found(&object))?;
            Ok(describe(&target, &reader))
        });
        described.await.map_err(|err| lost_task(&err))?
    }
}

/// What the `presence` query asks about. Native buckets have nothing outside the cluster, so several
/// of the protocol's codes mean the same here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Codes 0, 2 and 4: metadata.
    Described,
    /// Codes 1 and 3: whether it is there.
    Bare,
    /// Code 5: only what is not in the cluster.
    Outside,
}

fn parse_presence(text: &str) -> Result<Presence, ApiError> {
    match text {
        "" | "0" | "2" | "4" => Ok(Presence::Described),
        "1" | "3" => Ok(Presence::Bare),
        "5" => Ok(Presence::Outside),
        _ => Err(ApiError::bad_request(format!("invalid presence \"{text}\": expected 0 to 5"))),
    }
}

/// The wanted properties; `None` for a request of the older form without `props`.
fn parse_props(text: &str) -> Result<Option<Vec<Prop>>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let props = names.map(|name| {
        Prop::parse(name).ok_or_else(|| {
            ApiError::bad_request(format!("invalid property \"{name}\" in props list"))
        })
    });
    props.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn props_tolerate_spaces_and_name_the_unknown_one() {
        let props = parse_props("name, size ,checksum").unwrap().unwrap();
        assert_eq!(props, [Prop::Implied, Prop::Implied, Prop::Checksum]);
        assert_eq!(parse_props("").unwrap(), None);
        let err = parse_props("name,cached").unwrap_err();
        assert_eq!(
            (err.status, err.message.as_str()),
            (400, "invalid property \"cached\" in props list")
        );
    }

    #[test]
    fn presence_codes() {
        assert_eq!(parse_presence("").unwrap(), Presence::Described);
        assert_eq!(parse_presence("3").unwrap(), Presence::Bare);
        assert!(parse_presence("6").is_err());
    }
}
