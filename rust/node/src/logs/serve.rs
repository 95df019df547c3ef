//! `what=log`: the current file from an offset, or all of them in one archive.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::PathBuf;

use aistore_core::error::ApiError;
use aistore_core::tar::{encode_header, padding};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use super::{LogFile, Severity};
use crate::http::{Body, Query, Reply, reply};
use crate::tasks::lost_task;

/// Bytes read from a file at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for the client.
const CHUNKS_AHEAD: usize = 4;
/// Two empty blocks end an archive.
const TAR_END: [u8; 1024] = [0; 1024];

type Chunk = io::Result<Bytes>;

/// Answers a log query of the node called `node`.
///
/// # Errors
///
/// 400 for a bad severity or an offset beyond the end, 404 when there is no log.
pub(crate) async fn answer(node: &str, query: &Query) -> Result<Reply, ApiError> {
    let severity = severity(query.text("severity"))?;
    let offset = match query.text("offset") {
        "" => 0,
        text => text.parse::<u64>().map_err(|_| {
            ApiError::bad_request(format!("invalid offset \"{text}\": expected a number of bytes"))
        })?,
    };
    let absent = || ApiError::not_found(format!("{node} has no log file"));
    let log = severity.file().ok_or_else(absent)?;
    if query.flag("all") {
        return Ok(archive(log));
    }
    let path = log.path();
    let opened = tokio::task::spawn_blocking(move || open_at(path, offset));
    let (file, left) = opened.await.map_err(|err| lost_task(&err))?.map_err(|err| match err {
        Opening::Beyond(size) => ApiError::bad_request(format!(
            "offset {offset} is beyond the end of the log of {node}, which has {size} bytes"
        )),
        Opening::Failed(err) if err.kind() == io::ErrorKind::NotFound => absent(),
        Opening::Failed(err) => ApiError::internal(format!("cannot read the log of {node}: {err}")),
    })?;
    let mut answer = reply::text("");
    *answer.body_mut() = file_body(file, left);
    answer.headers_mut().insert(CONTENT_LENGTH, left.into());
    Ok(answer)
}

/// By the first letter, as clients abbreviate.
fn severity(text: &str) -> Result<Severity, ApiError> {
    match text.bytes().next() {
        None | Some(b'i' | b'I') => Ok(Severity::All),
        Some(b'w' | b'W' | b'e' | b'E') => Ok(Severity::Errors),
        Some(_) => Err(ApiError::bad_request(format!(
            "invalid severity \"{text}\": expected info, warning or error"
        ))),
    }
}

enum Opening {
    Beyond(u64),
    Failed(io::Error),
}

fn open_at(path: PathBuf, offset: u64) -> Result<(File, u64), Opening> {
    let mut file = File::open(path).map_err(Opening::Failed)?;
    let size = file.metadata().map_err(Opening::Failed)?.len();
    let left = size.checked_sub(offset).ok_or(Opening::Beyond(size))?;
    file.seek(SeekFrom::Start(offset)).map_err(Opening::Failed)?;
    Ok((file, left))
}

/// The next `left` bytes of a file, read as the client takes them.
fn file_body(file: File, left: u64) -> Body {
    let chunks = stream::unfold(Some((file, left)), |rest| async move {
        let (file, left) = rest.filter(|(_, left)| *left > 0)?;
        let read = tokio::task::spawn_blocking(move || read_chunk(file, left)).await;
        Some(match read {
            Ok(Ok((bytes, file))) => {
                let left = left.saturating_sub(bytes.len() as u64);
                (Ok(Frame::data(bytes)), Some((file, left)))
            }
            Ok(Err(err)) => (Err(err), None),
            Err(err) => (Err(io::Error::other(err)), None),
        })
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn read_chunk(mut file: File, left: u64) -> io::Result<(Bytes, File)> {
    let want = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let mut chunk = vec![0; want];
    file.read_exact(&mut chunk)?;
    Ok((Bytes::from(chunk), file))
}

/// All parts of a log as a compressed archive, made while it is sent.
fn archive(log: &'static LogFile) -> Reply {
    let (sender, receiver) = mpsc::channel::<Chunk>(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let out = BufWriter::with_capacity(CHUNK_BYTES, Pipe(sender.clone()));
        if let Err(err) = write_archive(log.parts(), out) {
            // A client that went away needs no answer.
            let _ = sender.blocking_send(Err(err));
        }
    });
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk.map(Frame::data), receiver))
    });
    let mut answer = reply::with_type("application/gzip", Bytes::new());
    *answer.body_mut() = StreamBody::new(chunks).boxed_unsync();
    answer
}

fn write_archive(parts: Vec<PathBuf>, out: impl Write) -> io::Result<()> {
    let mut archive = GzEncoder::new(out, Compression::fast());
    for path in parts {
        // A part may have been dropped meanwhile.
        let Ok(file) = File::open(&path) else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let size = file.metadata()?.len();
        archive.write_all(&encode_header(&name, size, 0))?;
        let mut limited = file.take(size);
        if io::copy(&mut limited, &mut archive)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        archive.write_all(TAR_END.get(..padding(size)).unwrap_or_default())?;
    }
    archive.write_all(&TAR_END)?;
    archive.finish()?.flush()
}

/// Sends what is written; waits while the client is slow.
struct Pipe(mpsc::Sender<Chunk>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_letter_decides() {
        assert!(matches!(severity(""), Ok(Severity::All)));
        assert!(matches!(severity("Info"), Ok(Severity::All)));
        assert!(matches!(severity("w"), Ok(Severity::Errors)));
        assert!(matches!(severity("error"), Ok(Severity::Errors)));
        assert_eq!(severity("debug").unwrap_err().status, 400);
    }
}
