//! How a layer blob is compressed, and reading it on a thread of its own.

use std::{
    io::{self, Read, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use oci_spec::image::MediaType;

use crate::{
    digest::Hashing,
    gzip::{GzipReader, GzipWriter},
};

/// How the bytes of a layer are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip, several members allowed.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// By media type, of OCI or of Docker.
    pub fn of_media_type(media_type: &MediaType) -> Option<Self> {
        match media_type.as_ref() {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Some(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The OCI media type of a layer compressed this way.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::ImageLayer,
            Self::Gzip => MediaType::ImageLayerGzip,
            Self::Zstd => MediaType::ImageLayerZstd,
        }
    }

    /// Unpacks `input` while it is read. The caller limits what is read: nothing here does.
    pub fn decoder<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(GzipReader::new(input)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(input)?;
                // 128 MiB windows, what the zstd tool itself reads without being asked.
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
        })
    }
}

/// A compressing writer that can be finished.
pub(crate) enum Encoder<'a, W: Write> {
    Plain(W),
    Gzip(GzipWriter<W>),
    Zstd(zstd::stream::write::Encoder<'a, W>),
}

/// Number of zstd workers. Fixed, so that equal input gives equal bytes on any machine.
const ZSTD_WORKERS: u32 = 2;

impl<W: Write> Encoder<'_, W> {
    pub(crate) fn new(compression: Compression, out: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(out),
            Compression::Gzip => Self::Gzip(GzipWriter::new(out)?),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, 3)?;
                encoder.multithread(ZSTD_WORKERS)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(buf),
            Self::Gzip(out) => out.write(buf),
            Self::Zstd(out) => out.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
            Self::Zstd(out) => out.flush(),
        }
    }
}

const CHUNK: usize = 256 * 1024;

/// Digest of bytes and their number.
pub(crate) type Passed = (nd_names::Sha256, u64);

/// Which digests are taken on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digests {
    /// Of the blob and of the tar in it: what `work` leaves is unpacked, too.
    Both,
    /// Of the blob: what `work` leaves is read.
    Blob,
    /// None: reading stops as soon as `work` does.
    Skip,
}

/// The digests that were taken, each of all bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) blob: Option<Passed>,
    pub(crate) tar: Option<Passed>,
}

/// Unpacks `input` on a second thread while `work` reads the result, and takes digests there.
pub(crate) fn unpack_beside<T>(
    input: impl Read + Send,
    compression: Compression,
    digests: Digests,
    work: impl FnOnce(&mut dyn Read) -> T,
) -> (T, io::Result<Taken>) {
    let (sender, receiver) = sync_channel(8);
    std::thread::scope(|scope| {
        let unpacker = scope.spawn(move || unpack(input, compression, digests, &sender));
        let mut chunks = Chunks {
            receiver,
            chunk: Vec::new(),
            at: 0,
        };
        let result = work(&mut chunks);
        if digests == Digests::Both {
            // An error reaches the caller through the thread's own result.
            let _ = io::copy(&mut chunks, &mut io::sink());
        }
        drop(chunks);
        let digests = unpacker
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the unpacking thread panicked")));
        (result, digests)
    })
}

fn unpack(
    input: impl Read,
    compression: Compression,
    digests: Digests,
    sender: &SyncSender<io::Result<Vec<u8>>>,
) -> io::Result<Taken> {
    let result = match digests {
        Digests::Skip => {
            let decoder = compression.decoder(input)?;
            send_all(decoder, sender).map(|()| Taken::default())
        }
        Digests::Blob => {
            let mut blob = Hashing::new(input);
            let decoder = compression.decoder(&mut blob)?;
            let sent = send_all(decoder, sender);
            sent.and_then(|()| {
                Ok(Taken {
                    blob: Some(whole(blob)?),
                    tar: None,
                })
            })
        }
        Digests::Both => {
            let mut blob = Hashing::new(input);
            let decoder = compression.decoder(&mut blob)?;
            let mut plain = Hashing::new(decoder);
            let sent = send_all(&mut plain, sender);
            let (_, digest, bytes) = plain.finish();
            sent.and_then(|()| {
                Ok(Taken {
                    blob: Some(whole(blob)?),
                    tar: Some((digest, bytes)),
                })
            })
        }
    };
    if let Err(error) = &result {
        let _ = sender.send(Err(io::Error::new(error.kind(), error.to_string())));
    }
    result
}

/// Bytes after the last frame, and those that nobody unpacked, belong to the blob, too.
fn whole(mut blob: Hashing<impl Read>) -> io::Result<Passed> {
    io::copy(&mut blob, &mut io::sink())?;
    let (_, digest, bytes) = blob.finish();
    Ok((digest, bytes))
}

fn send_all(mut plain: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        plain.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() || sender.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}

struct Chunks {
    receiver: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.receiver.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk?, 0),
                Err(_) => return Ok(0),
            }
        }
        let n = buf.len().min(self.chunk.len() - self.at);
        buf[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
