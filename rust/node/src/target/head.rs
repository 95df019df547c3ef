//! HEAD of an object: metadata without payload.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use aistore_core::conditional::Verdict;
use aistore_core::error::ApiError;
use aistore_core::headers::PRESENT;
use aistore_store::ObjectReader;
use http::StatusCode;

use super::headers::{Prop, add, add_head_v1, add_length, add_validators};
use super::objects::ObjectRef;
use super::{Target, conditions};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

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
        let (reader, location) = self.describe(&object).await?;
        let meta = reader.meta();
        if presence == Presence::Outside {
            return Err(ApiError::bad_request(format!(
                "{} is present (vs requested 'flt-outside'(5))",
                object.cname()
            )));
        }
        let status = match conditions::for_read(&conditions, meta) {
            Verdict::Proceed => StatusCode::OK,
            Verdict::NotModified => StatusCode::NOT_MODIFIED,
            Verdict::Failed => return Err(ApiError::precondition_failed(&object.cname())),
        };
        let mut reply = reply::empty(status);
        if presence == Presence::Bare {
            return Ok(reply);
        }
        if status == StatusCode::NOT_MODIFIED {
            add_validators(reply.headers_mut(), meta);
            return Ok(reply);
        }
        let mountpaths = self.mountpaths_text(&reader);
        let (map, place) = (reply.headers_mut(), (&*location, &*mountpaths));
        if let Some(props) = props {
            add_length(map, meta.size);
            add(map, PRESENT, "true");
            for prop in props {
                prop.add(map, meta, place);
            }
        } else {
            add_head_v1(map, meta, found.bucket(), name, place);
        }
        Ok(reply)
    }

    /// Where an object and its copies lie, as the protocol writes it.
    pub(super) fn mountpaths_text<'r>(&self, reader: &'r ObjectReader) -> Cow<'r, str> {
        if reader.meta().copies.is_empty() {
            return reader.mountpath().to_string_lossy();
        }
        let all = self.objects.store.mountpaths_of(reader.meta(), reader.mountpath());
        let all: Vec<_> = all.iter().map(|path| path.to_string_lossy()).collect();
        Cow::Owned(all.join(","))
    }

    /// The object and its location. Opens it rather than asking the index alone: whoever asks for the
    /// metadata is about to read, and then finds it open.
    async fn describe(
        self: &Arc<Self>,
        object: &ObjectRef,
    ) -> Result<(Arc<ObjectReader>, Arc<str>), ApiError> {
        if let Some(reader) = self.objects.readers.get(object.bid, &object.uname)
            && let Some(location) = self.known_location(reader.mountpath())
        {
            return Ok((reader, location));
        }
        let (target, object) = (Arc::clone(self), object.clone());
        let described = tokio::task::spawn_blocking(move || {
            let reader = target.objects.open(&object)?;
            let reader = reader.ok_or_else(|| target.object_not_found(&object))?;
            let location = target.location(reader.mountpath());
            Ok((reader, location))
        });
        described.await.map_err(|err| lost_task(&err))?
    }
}

/// What the `presence` query asks about. Native buckets have nothing outside the cluster, so several
/// of the protocol's codes mean the same here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Codes 0, 2 and 4: metadata.
    Described,
    /// Codes 1 and 3: whether it is there.
    Bare,
    /// Code 5: only what is not in the cluster.
    Outside,
}

pub(super) fn parse_presence(text: &str) -> Result<Presence, ApiError> {
    match text {
        "" | "0" | "2" | "4" => Ok(Presence::Described),
        "1" | "3" => Ok(Presence::Bare),
        "5" => Ok(Presence::Outside),
        _ => Err(ApiError::bad_request(format!("invalid presence \"{text}\": expected 0 to 5"))),
    }
}

/// The wanted properties; `None` for a request of the older form without `props`.
pub(super) fn parse_props(text: &str) -> Result<Option<Vec<Prop>>, ApiError> {
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
