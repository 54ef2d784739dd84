//! gzip on several cores: members of a fixed length, compressed beside each other.
//!
//! A gzip file may consist of several members, and every reader of layers takes them one after the
//! other. The length of members is fixed, so that equal input gives equal bytes on any machine.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

/// Bytes of a member before compression.
const MEMBER: usize = 1 << 20;
/// Members that may be under way at once.
const UNDER_WAY: usize = 8;
const LEVEL: u32 = 6;

type Reply = io::Result<Vec<u8>>;
type Job = (Vec<u8>, SyncSender<Reply>);

/// A compressing writer.
pub(crate) struct GzipMembers<W> {
    out: W,
    member: Vec<u8>,
    written: bool,
    jobs: SyncSender<Job>,
    replies: VecDeque<Receiver<Reply>>,
}

impl<W: Write> GzipMembers<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(UNDER_WAY);
        let queue = Arc::new(Mutex::new(queue));
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
        for _ in 0..workers {
            let queue = queue.clone();
            // They end when the sender goes.
            std::thread::Builder::new()
                .name("gzip".into())
                .spawn(move || work(&queue))?;
        }
        Ok(Self {
            out,
            member: Vec::with_capacity(MEMBER),
            written: false,
            jobs,
            replies: VecDeque::new(),
        })
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.member.is_empty() || !self.written {
            self.submit()?;
        }
        while let Some(reply) = self.replies.pop_front() {
            self.take(&reply)?;
        }
        Ok(self.out)
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.replies.len() >= UNDER_WAY
            && let Some(reply) = self.replies.pop_front()
        {
            self.take(&reply)?;
        }
        let member = std::mem::replace(&mut self.member, Vec::with_capacity(MEMBER));
        let (sender, receiver) = sync_channel(1);
        self.jobs.send((member, sender)).map_err(|_| gone())?;
        self.replies.push_back(receiver);
        self.written = true;
        Ok(())
    }

    fn take(&mut self, reply: &Receiver<Reply>) -> io::Result<()> {
        let packed = reply.recv().map_err(|_| gone())??;
        self.out.write_all(&packed)
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((member, reply)) = job else {
            return;
        };
        let out = Vec::with_capacity(member.len() / 2);
        let mut encoder = flate2::GzBuilder::new().write(out, flate2::Compression::new(LEVEL));
        let packed = encoder.write_all(&member).and_then(|()| encoder.finish());
        // Without anybody who waits, the work was for nothing.
        let _ = reply.send(packed);
    }
}

impl<W: Write> Write for GzipMembers<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(MEMBER - self.member.len());
        self.member.extend_from_slice(&bytes[..n]);
        if self.member.len() == MEMBER {
            self.submit()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn any_length_comes_back_and_the_parts_written_do_not_matter() {
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 12 * MEMBER + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| (n * n / 7) as u8).collect();
            let pack = |part: usize| {
                let mut out = GzipMembers::new(Vec::new()).unwrap();
                for part in bytes.chunks(part) {
                    out.write_all(part).unwrap();
                }
                out.finish().unwrap()
            };
            let packed = pack(1000);
            assert_eq!(packed, pack(3 * MEMBER + 1), "{length}");
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&packed[..])
                .read_to_end(&mut back)
                .unwrap();
            assert!(back == bytes, "{length}");
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = GzipMembers::new(Full).unwrap();
        let error = out
            .write_all(&vec![1; 40 * MEMBER])
            .and_then(|()| out.finish().map(|_| ()))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
