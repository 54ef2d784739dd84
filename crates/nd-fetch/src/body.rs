//! Bodies of requests: bytes and files that are read as they are sent, and watched while they are.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use nd_report::{Event, Reporter, StepId};
use reqwest::{RequestBuilder, Response};
use tokio::time::Instant;

use crate::{Cause, error::TransportError};

/// Bytes read from a file at a time.
const PIECE: u64 = 256 << 10;
/// Progress is told at most this often.
const PROGRESS: Duration = Duration::from_millis(100);

/// What is sent.
#[derive(Clone)]
pub(crate) enum Source {
    Memory(Bytes),
    File(Arc<File>, u64),
}

impl Source {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    fn piece(&self, at: u64) -> io::Result<Bytes> {
        let end = self.size().min(at + PIECE);
        match self {
            Self::Memory(bytes) => Ok(bytes.slice(at as usize..end as usize)),
            Self::File(file, _) => {
                let mut piece = vec![0; (end - at) as usize];
                file.read_exact_at(&mut piece, at)?;
                Ok(piece.into())
            }
        }
    }
}

/// A body that is read as it is sent, and that tells how far it is.
struct SourceBody {
    source: Source,
    at: u64,
    sent: Arc<AtomicU64>,
    told: Option<(Arc<dyn Reporter>, StepId)>,
    last: Instant,
}

impl Body for SourceBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let piece = match self.source.piece(self.at) {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.at += piece.len() as u64;
        self.sent.store(self.at, Ordering::Relaxed);
        if self.last.elapsed() >= PROGRESS || self.is_end_stream() {
            self.last = Instant::now();
            if let Some((reporter, id)) = &self.told {
                let (id, bytes) = (*id, self.at);
                reporter.event(Event::Advanced { id, bytes });
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.source.size()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.source.size() - self.at)
    }
}

/// Sends `source` as the body of `request`. Fails when nothing of it is taken, or no answer comes after
/// its end, for as long as `idle`.
pub(crate) async fn send(
    request: RequestBuilder,
    source: &Source,
    idle: Duration,
    told: Option<(Arc<dyn Reporter>, StepId)>,
) -> Result<Response, Cause> {
    let sent = Arc::new(AtomicU64::new(0));
    let body = SourceBody {
        source: source.clone(),
        at: 0,
        sent: sent.clone(),
        told,
        last: Instant::now(),
    };
    let request = request.body(reqwest::Body::wrap(body));
    let mut answer = std::pin::pin!(request.send());
    let mut seen = 0;
    loop {
        match tokio::time::timeout(idle, &mut answer).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => {
                let source = TransportError::new(error);
                return Err(Cause::Transport { source, at: None });
            }
            Err(_) => {
                let now = sent.load(Ordering::Relaxed);
                if now == seen {
                    let (what, limit) = ("nothing was taken", idle);
                    return Err(Cause::Timeout { what, limit });
                }
                seen = now;
            }
        }
    }
}
