//! Work on pieces of bytes, on all cores, given back in order.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

/// Pieces that may be under way at once.
const UNDER_WAY: usize = 8;

type Reply = io::Result<Vec<u8>>;
type Job = (Vec<u8>, SyncSender<Reply>);

/// Threads, and the pieces that they have.
pub(super) struct Ahead {
    jobs: SyncSender<Job>,
    replies: VecDeque<Receiver<Reply>>,
}

impl Ahead {
    /// `worker` makes what a thread does to each piece.
    pub(super) fn start<W>(worker: impl Fn() -> W) -> io::Result<Self>
    where
        W: FnMut(Vec<u8>) -> Reply + Send + 'static,
    {
        let (jobs, queue) = sync_channel::<Job>(UNDER_WAY);
        let queue = Arc::new(Mutex::new(queue));
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
        for _ in 0..threads {
            let (queue, mut work) = (queue.clone(), worker());
            // They end when the sender goes.
            std::thread::Builder::new()
                .name("gzip".into())
                .spawn(move || {
                    while let Some((piece, reply)) = next(&queue) {
                        // Without anybody who waits, the work was for nothing.
                        let _ = reply.send(work(piece));
                    }
                })?;
        }
        Ok(Self {
            jobs,
            replies: VecDeque::new(),
        })
    }

    /// Whether as many pieces are under way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.replies.len() >= UNDER_WAY
    }

    pub(super) fn submit(&mut self, piece: Vec<u8>) -> io::Result<()> {
        let (sender, receiver) = sync_channel(1);
        self.jobs.send((piece, sender)).map_err(|_| gone())?;
        self.replies.push_back(receiver);
        Ok(())
    }

    /// Waits for the oldest piece; `None` when none is under way.
    pub(super) fn take(&mut self) -> Option<Reply> {
        let reply = self.replies.pop_front()?;
        Some(reply.recv().unwrap_or_else(|_| Err(gone())))
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.recv().ok()
}

fn gone() -> io::Error {
    io::Error::other("a gzip thread ended early")
}
