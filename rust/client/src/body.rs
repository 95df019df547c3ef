//! Bodies of requests: bytes in memory, or a file read by a thread of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::error::ClientError;
use crate::request::ProgressFn;

/// Piece of a body that is sent at once, in bytes: large enough that hand-over costs nothing, small
/// enough that progress and deadlines are noticed.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces of a file read ahead of the socket.
const PIECES_AHEAD: usize = 4;

/// What a request carries; can be opened again for a retry or a redirect.
pub(crate) enum Source {
    Bytes(Bytes),
    File { path: PathBuf, start: u64, length: u64, progress: Option<Arc<ProgressFn>> },
}

impl Source {
    /// Measures a file; its content is read when the body is opened.
    pub(crate) fn file(path: &Path, progress: Option<ProgressFn>) -> Result<Self, ClientError> {
        let failed = |source| ClientError::File { path: path.to_owned(), source };
        let meta = std::fs::metadata(path).map_err(failed)?;
        if !meta.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let (path, progress) = (path.to_owned(), progress.map(Arc::new));
        Ok(Self::File { path, start: 0, length: meta.len(), progress })
    }

    /// Bytes of the whole.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// A part of it, with a progress report of its own; at most up to the end.
    pub(crate) fn part(&self, from: u64, at_most: u64, report: Option<ProgressFn>) -> Self {
        let length = self.length().saturating_sub(from).min(at_most);
        match self {
            Self::Bytes(bytes) => {
                let end = usize::try_from(from + length).unwrap_or(usize::MAX).min(bytes.len());
                let start = usize::try_from(from).unwrap_or(usize::MAX).min(end);
                Self::Bytes(bytes.slice(start..end))
            }
            Self::File { path, start, .. } => Self::File {
                path: path.clone(),
                start: start + from,
                length,
                progress: report.map(Arc::new),
            },
        }
    }

    pub(crate) fn open(&self) -> OutBody {
        let sent = Arc::new(AtomicU64::new(0));
        match self {
            Self::Bytes(bytes) => OutBody {
                left: bytes.len() as u64,
                feed: Feed::Bytes(bytes.clone()),
                monitor: Monitor { sent, fault: Arc::default() },
                progress: None,
            },
            Self::File { path, start, length, progress } => {
                let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
                let (path, start, length) = (path.clone(), *start, *length);
                // Ends when the file does, or with the first piece nobody takes.
                tokio::task::spawn_blocking(move || read_pieces(&path, start, length, &sender));
                OutBody {
                    left: length,
                    feed: Feed::File(receiver),
                    monitor: Monitor { sent, fault: Arc::default() },
                    progress: progress.clone(),
                }
            }
        }
    }

    /// The error of a file that could not be read, if that is why a request failed.
    pub(crate) fn fault(&self, monitor: &Monitor) -> Option<ClientError> {
        let Self::File { path, .. } = self else { return None };
        let source = monitor.fault.lock().ok()?.take()?;
        Some(ClientError::File { path: path.clone(), source })
    }
}

fn read_pieces(path: &Path, start: u64, length: u64, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let outcome = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        let mut left = length;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let mut piece = BytesMut::zeroed(want);
            file.read_exact(&mut piece).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(e.kind(), "file became shorter while it was sent")
                }
                _ => e,
            })?;
            left -= want as u64;
            if sender.blocking_send(Ok(piece.freeze())).is_err() {
                break;
            }
        }
        Ok(())
    });
    if let Err(e) = outcome {
        // A closed channel means that the request is over already.
        let _ = sender.blocking_send(Err(e));
    }
}

/// Watches a body from outside while the transport sends it.
#[derive(Clone)]
pub(crate) struct Monitor {
    sent: Arc<AtomicU64>,
    fault: Arc<Mutex<Option<io::Error>>>,
}

impl Monitor {
    /// Bytes handed to the transport so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

enum Feed {
    Bytes(Bytes),
    File(mpsc::Receiver<io::Result<Bytes>>),
}

/// A body on its way out.
pub(crate) struct OutBody {
    feed: Feed,
    left: u64,
    monitor: Monitor,
    progress: Option<Arc<ProgressFn>>,
}

impl OutBody {
    pub(crate) fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut self.feed {
            Feed::Bytes(bytes) => bytes.split_to(bytes.len().min(PIECE_BYTES)),
            Feed::File(receiver) => match std::task::ready!(receiver.poll_recv(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(e)) => {
                    let copy = io::Error::new(e.kind(), e.to_string());
                    if let Ok(mut fault) = self.monitor.fault.lock() {
                        *fault = Some(e);
                    }
                    return Poll::Ready(Some(Err(copy)));
                }
                None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            },
        };
        let length = piece.len() as u64;
        self.left = self.left.saturating_sub(length);
        let sent = self.monitor.sent.fetch_add(length, Ordering::Relaxed) + length;
        if let Some(progress) = &self.progress {
            progress(sent);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
