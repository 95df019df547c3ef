//! Several ranges in one answer: `multipart/byteranges` (RFC 9110, 14.6).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use aistore_core::range::ByteRange;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::buffers::BufferPool;
use super::read::{Extent, ExtentBody, Supply};

/// The ranges of one answer, between their separators.
pub(super) struct ByteRanges {
    boundary: String,
    pieces: VecDeque<Piece>,
}

enum Piece {
    Text(Bytes),
    Payload(Extent),
}

impl ByteRanges {
    /// `ranges` of `whole`, in the order given.
    pub(super) fn new(whole: &Extent, ranges: &[ByteRange]) -> Self {
        let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let size = whole.length();
        let mut pieces = VecDeque::with_capacity(ranges.len() * 2 + 1);
        let mut line_break = "";
        for (start, length) in ranges {
            let last = (start + length).saturating_sub(1);
            let head = format!(
                "{line_break}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{last}/{size}\r\n\r\n"
            );
            pieces.push_back(Piece::Text(head.into()));
            pieces.push_back(Piece::Payload(whole.part(*start, *length)));
            line_break = "\r\n";
        }
        pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
        Self { boundary, pieces }
    }

    /// Value of `Content-Type`.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Bytes of the whole body.
    pub(super) fn length(&self) -> u64 {
        self.pieces.iter().map(Piece::length).sum()
    }

    /// The body.
    pub(super) fn into_body(self, pool: BufferPool) -> ByteRangesBody {
        let supply = Some(Supply::new(pool, self.length(), None));
        ByteRangesBody { pieces: self.pieces, current: None, supply }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Payload(extent) => extent.length(),
        }
    }
}

/// Sends separators and ranges one after the other; an I/O error ends the stream with an error.
pub(super) struct ByteRangesBody {
    pieces: VecDeque<Piece>,
    current: Option<ExtentBody>,
    /// Here between two ranges.
    supply: Option<Supply>,
}

impl Body for ByteRangesBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        loop {
            if let Some(current) = &mut this.current {
                match Pin::new(current).poll_frame(cx) {
                    Poll::Ready(None) => {
                        this.supply = this.current.take().map(ExtentBody::into_supply);
                    }
                    other => return other,
                }
            }
            match this.pieces.pop_front() {
                None => return Poll::Ready(None),
                Some(Piece::Text(text)) => return Poll::Ready(Some(Ok(Frame::data(text)))),
                Some(Piece::Payload(extent)) => {
                    let supply = this.supply.take();
                    this.current =
                        supply.map(|supply| ExtentBody::new(Bytes::new(), extent, supply));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.current.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let current = self.current.as_ref().and_then(|body| body.size_hint().exact()).unwrap_or(0);
        SizeHint::with_exact(current + self.pieces.iter().map(Piece::length).sum::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aistore_store::{PutOptions, Store, StoreConfig};
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_body_has_every_range_and_its_announced_length() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(vec![directory.path().to_owned()])).unwrap();
        let mut writer = store.begin_put(1, "u", "o", PutOptions::default()).unwrap();
        writer.write(b"0123456789").unwrap();
        writer.finish().unwrap();
        let reader = store.open_object(1, "u", "o").unwrap().unwrap();
        let ranges = ByteRanges::new(&Extent::whole(Arc::new(reader)), &[(5, 2), (0, 3)]);
        let boundary = ranges.boundary.clone();
        assert_eq!(ranges.content_type(), format!("multipart/byteranges; boundary={boundary}"));
        let length = ranges.length();
        let body = ranges.into_body(BufferPool::default());
        assert_eq!(body.size_hint().exact(), Some(length));
        let sent = body.collect().await.unwrap().to_bytes();
        let part = |range: &str, bytes: &str| {
            format!(
                "--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {range}/10\r\n\r\n{bytes}\r\n"
            )
        };
        let expected = format!("{}{}--{boundary}--\r\n", part("5-6", "56"), part("0-2", "012"));
        assert_eq!(std::str::from_utf8(&sent).unwrap(), expected);
        assert_eq!(length, expected.len() as u64);
    }
}
