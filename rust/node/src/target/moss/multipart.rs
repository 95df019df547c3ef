//! Framing of a buffered answer: a description, then the archive.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_core::moss::MossResp;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame;

use crate::target::buffers::{Pieces, Space};
use crate::tasks::lost_task;

/// Archive bytes kept in memory before they go to a temporary file.
const MEMORY_BYTES: usize = 1 << 20;
/// Hexadecimal digits of a boundary: as many as the protocol's other servers use, and far too many for
/// one to occur in the data by chance.
const BOUNDARY_DIGITS: usize = 60;

/// A fresh random boundary.
pub(crate) fn boundary() -> String {
    (0..BOUNDARY_DIGITS).map(|_| fastrand::digit(16)).collect()
}

/// Everything before the archive.
pub(crate) fn head(boundary: &str, described: &MossResp) -> Result<Bytes, ApiError> {
    let json =
        serde_json::to_string(described).map_err(|err| ApiError::internal(err.to_string()))?;
    let text = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{json}\n\r\n--{boundary}\r\n\
         Content-Disposition: form-data; name=\"archive\"; filename=\"get-batch[{}]\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        described.uuid
    );
    Ok(text.into())
}

/// Everything after the archive.
pub(crate) fn tail(boundary: &str) -> Bytes {
    format!("\r\n--{boundary}--\r\n").into()
}

/// An archive being collected: in memory while it is small, else in a file without a name, which the
/// system removes whatever becomes of this process.
pub(crate) struct Spool {
    directory: PathBuf,
    memory: Vec<u8>,
    file: Option<Arc<File>>,
    in_file: u64,
}

impl Spool {
    /// Large archives go to a file in `directory`.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, memory: Vec::new(), file: None, in_file: 0 }
    }

    /// Bytes collected.
    pub(crate) fn length(&self) -> u64 {
        self.in_file + self.memory.len() as u64
    }

    /// Appends a piece. 507 when the disk is full.
    pub(crate) async fn push(&mut self, piece: &[u8]) -> Result<(), ApiError> {
        if self.memory.len() + piece.len() > MEMORY_BYTES {
            self.spill().await?;
        }
        self.memory.extend_from_slice(piece);
        Ok(())
    }

    async fn spill(&mut self) -> Result<(), ApiError> {
        let memory = std::mem::take(&mut self.memory);
        let (file, directory) = (self.file.clone(), self.directory.clone());
        let spilled = tokio::task::spawn_blocking(move || {
            let file = file.map_or_else(|| tempfile::tempfile_in(&directory).map(Arc::new), Ok)?;
            (&*file).write_all(&memory)?;
            io::Result::Ok((file, memory))
        });
        let (file, mut memory) = spilled.await.map_err(|err| lost_task(&err))?.map_err(|err| {
            let text = format!(
                "cannot keep the batch in {} until it is complete: {err}; ask for a streaming answer",
                self.directory.display()
            );
            if err.kind() == io::ErrorKind::StorageFull {
                ApiError::out_of_space(text)
            } else {
                ApiError::internal(text)
            }
        })?;
        self.in_file += memory.len() as u64;
        memory.clear();
        (self.file, self.memory) = (Some(file), memory);
        Ok(())
    }

    /// The collected bytes between `head` and `tail`, as body frames.
    pub(crate) fn into_frames(
        self,
        (head, tail): (Bytes, Bytes),
        pieces: Pieces,
    ) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
        let Self { memory, file, in_file, .. } = self;
        let stored = stream::try_unfold(0, move |at: u64| {
            let (file, pieces) = (file.clone(), pieces.clone());
            async move {
                let Some(file) = file.filter(|_| at < in_file) else { return Ok(None) };
                pieces.room(1).await;
                let space = pieces.any_space(in_file - at);
                let read = tokio::task::spawn_blocking(move || read_back(&file, at, space));
                let piece = read.await.map_err(io::Error::other)??;
                let next = at + piece.len() as u64;
                Ok(Some((piece, next)))
            }
        });
        let ends = |bytes: Bytes| stream::iter([Ok(bytes)]);
        ends(head)
            .chain(stored)
            .chain(ends(memory.into()))
            .chain(ends(tail))
            .map(|bytes| bytes.map(Frame::data))
    }
}

fn read_back(file: &File, at: u64, mut space: Space) -> io::Result<Bytes> {
    let piece = space.bytes();
    file.read_exact_at(piece, at)?;
    let length = piece.len();
    Ok(space.freeze(length))
}

#[cfg(test)]
mod tests {
    use aistore_core::moss::MossOut;

    use super::*;

    #[test]
    fn parts_are_laid_out_byte_for_byte() {
        let out = vec![MossOut {
            object: "o".into(),
            bucket: "b".into(),
            provider: "ais".into(),
            size: 3,
            ..MossOut::default()
        }];
        let described = MossResp { out, uuid: "gbt-1".into() };
        let head = head("BB", &described).unwrap();
        let expected = "--BB\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n\
            {\"out\":[{\"objname\":\"o\",\"bucket\":\"b\",\"provider\":\"ais\",\"size\":3}],\"uuid\":\"gbt-1\"}\n\
            \r\n--BB\r\nContent-Disposition: form-data; name=\"archive\"; filename=\"get-batch[gbt-1]\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n";
        assert_eq!(std::str::from_utf8(&head).unwrap(), expected);
        assert_eq!(&tail("BB")[..], b"\r\n--BB--\r\n");
    }

    #[test]
    fn boundaries_are_fresh_and_hexadecimal() {
        let (a, b) = (boundary(), boundary());
        assert_ne!(a, b);
        assert!(a.len() == 60 && a.bytes().all(|c| c.is_ascii_hexdigit()), "{a}");
    }

    #[tokio::test]
    async fn large_archives_go_through_a_file_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(directory.path().to_owned());
        let mut expected = b"head".to_vec();
        for round in 0..40_u8 {
            let piece = vec![round; 300_000];
            spool.push(&piece).await.unwrap();
            expected.extend_from_slice(&piece);
        }
        expected.extend_from_slice(b"tail");
        assert_eq!(spool.length(), 12_000_000);
        assert!(spool.file.is_some() && spool.memory.len() <= MEMORY_BYTES);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no visible file");
        let frames: Vec<_> =
            spool.into_frames(("head".into(), "tail".into()), Pieces::unlimited()).collect().await;
        let got: Vec<u8> =
            frames.into_iter().flat_map(|frame| frame.unwrap().into_data().unwrap()).collect();
        assert!(got == expected);
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_named() {
        let mut spool = Spool::new("/nonexistent/spool".into());
        spool.push(&vec![0; MEMORY_BYTES]).await.unwrap();
        let err = spool.push(b"x").await.unwrap_err();
        assert!(err.message.contains("/nonexistent/spool"), "{err}");
    }
}
