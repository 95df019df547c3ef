//! Writing a snapshot from pages of a listing. Blocks on the disk.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_core::list::ListEntry;
use aistore_snapshot::{Filler, Made, Outcome, Selection, SnapshotWriter, TAIL_BYTES, Tail};
use aistore_store::{ObjectReader, ObjectWriter, PutOptions, StoreError};
use arrow_schema::ArrowError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::failure::store_failure;
use super::super::objects::{ObjectRef, Objects};

/// Names of a template that were not found and are shown.
const MISSING_SHOWN: usize = 5;

/// What comes from the listing.
pub(super) enum Page {
    Entries(Vec<ListEntry>),
    /// All was listed; a channel that closes without it means that it was not.
    Last,
}

/// Where the bytes go; nowhere, if only the identity is wanted.
struct Out {
    writer: Option<ObjectWriter>,
    stop: CancellationToken,
}

impl Write for Out {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("nobody waits for the snapshot any more"));
        }
        if let Some(writer) = &mut self.writer {
            writer.write(buf).map_err(io::Error::other)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes pages until the last, or `stop`, and stores the snapshot, if there is none of that name yet (`options` given).
pub(super) fn fill(
    objects: &Arc<Objects>,
    object: &ObjectRef,
    selection: Selection,
    options: Option<PutOptions>,
    mut pages: mpsc::Receiver<Page>,
    stop: CancellationToken,
) -> Result<Outcome, ApiError> {
    let cname = object.cname();
    let failed = |err: ArrowError| write_failure(err, &cname);
    let begin = |options| objects.store.begin_put(object.bid, &object.uname, &object.name, options);
    let writer = options.map(begin).transpose().map_err(|err| store_failure(&err, &cname))?;
    let out = Out { writer, stop };
    let mut writer =
        SnapshotWriter::new(BufWriter::new(out), &object.bucket.uname()).map_err(failed)?;
    let mut filler = Filler::new(selection);
    loop {
        match pages.blocking_recv() {
            Some(Page::Entries(entries)) => {
                let all = |_: &ListEntry| Ok::<_, ArrowError>(true);
                filler.take(&mut writer, &entries, all).map_err(failed)?;
            }
            Some(Page::Last) => break,
            None => return Err(ApiError::internal(format!("{cname}: the listing broke off"))),
        }
    }
    let missing = filler.finish(&mut writer).map_err(failed)?;
    let (Made { rows, id }, out) = writer.finish().map_err(failed)?;
    let mut outcome = Outcome { rows, id, ..Outcome::default() };
    if !missing.is_empty() {
        outcome.missing_count = missing.len() as u64;
        outcome.missing = missing.into_iter().take(MISSING_SHOWN).collect();
        return Ok(outcome);
    }
    let out = out.into_inner().map_err(|err| failed(err.into_error().into()))?;
    if let Some(writer) = out.writer {
        let done = writer.finish();
        objects.readers.invalidate(&object.uname);
        match done {
            Ok(_) => return Ok(outcome),
            // Somebody else was quicker.
            Err(StoreError::Precondition { .. }) => {}
            Err(err) => return Err(store_failure(&err, &cname)),
        }
    }
    outcome.present = Some(present_id(objects, object)?);
    Ok(outcome)
}

/// Identity of the snapshot that is there; empty for something else.
fn present_id(objects: &Objects, object: &ObjectRef) -> Result<String, ApiError> {
    let Some(reader) = objects.open(object)? else {
        let text = format!("{}: it was deleted meanwhile: try again", object.cname());
        return Err(ApiError::new(409, "ErrBusy", text));
    };
    let size = reader.meta().size;
    let Some(at) = size.checked_sub(TAIL_BYTES) else { return Ok(String::new()) };
    let tail = read(&reader, at, TAIL_BYTES, object)?;
    let Ok(tail) = Tail::parse(&tail, size) else { return Ok(String::new()) };
    let footer = read(&reader, tail.start, tail.length, object)?;
    Ok(Tail::id(&footer).unwrap_or_default())
}

fn read(
    reader: &ObjectReader,
    mut at: u64,
    length: u64,
    object: &ObjectRef,
) -> Result<Vec<u8>, ApiError> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let read = reader.read_at(rest, at).map_err(|err| {
            ApiError::internal(format!("{}: cannot be read: {err}", object.cname()))
        })?;
        if read == 0 {
            return Err(ApiError::internal(format!("{}: ends too early", object.cname())));
        }
        rest = rest.get_mut(read..).unwrap_or_default();
        at += read as u64;
    }
    Ok(bytes)
}

/// What the store said, out of an error that went through the writer of Arrow files.
fn write_failure(err: ArrowError, cname: &str) -> ApiError {
    match err {
        ArrowError::IoError(text, err) => match err.downcast::<StoreError>() {
            Ok(err) => store_failure(&err, cname),
            Err(_) => ApiError::internal(format!("{cname}: {text}")),
        },
        // Of what was selected.
        ArrowError::InvalidArgumentError(text) => ApiError::bad_request(format!("{cname}: {text}")),
        err => ApiError::internal(format!("{cname}: {err}")),
    }
}
