//! Messages with descriptors between caller, engine and init, over a stream socket.
//!
//! A frame is a header of twelve bytes (length of the payload, number of descriptors, kind; little
//! endian), then one byte for each batch of descriptors, then the payload.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
};

/// Descriptors in one batch; the kernel takes 253.
const BATCH: usize = 250;
/// The largest payload; a plan of many steps is far smaller.
const MAX_PAYLOAD: u32 = 256 << 20;
/// The most descriptors of one frame.
const MAX_DESCRIPTORS: u32 = 16_384;

/// A message.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u32,
    pub(crate) payload: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Two ends of a connection, both close-on-exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends a message; several threads may not send at once.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    kind: u32,
    payload: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut header = [0; 12];
    let len = u32::try_from(payload.len()).map_err(invalid)?;
    header[..4].copy_from_slice(&len.to_le_bytes());
    let count = u32::try_from(fds.len()).map_err(invalid)?;
    header[4..8].copy_from_slice(&count.to_le_bytes());
    header[8..].copy_from_slice(&kind.to_le_bytes());
    if fds.is_empty() {
        // The usual message, in one call.
        let mut both = header.to_vec();
        both.extend_from_slice(payload);
        return send_all(socket, &both);
    }
    send_all(socket, &header)?;
    for batch in fds.chunks(BATCH) {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(batch)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        retry(|| {
            rustix::net::sendmsg(
                socket,
                &[IoSlice::new(&[0])],
                &mut control,
                SendFlags::NOSIGNAL,
            )
        })?;
    }
    send_all(socket, payload)
}

/// Receives a message; `None` when the other end is gone.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Frame>> {
    let mut header = [0; 12];
    if !receive_all(socket, &mut header)? {
        return Ok(None);
    }
    let word = |at: usize| {
        header[at..at + 4]
            .iter()
            .rev()
            .fold(0_u32, |word, &byte| word << 8 | u32::from(byte))
    };
    let (len, count, kind) = (word(0), word(4), word(8));
    if len > MAX_PAYLOAD || count > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut fds = Vec::new();
    while fds.len() < count as usize {
        let before = fds.len();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = retry(|| {
            rustix::net::recvmsg(
                socket,
                &mut [IoSliceMut::new(&mut byte)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        if received.bytes == 0 {
            return Ok(None);
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(batch) = message {
                fds.extend(batch);
            }
        }
        if fds.len() == before {
            // Our own limit on open files cut them off.
            return Err(Errno::MFILE.into());
        }
    }
    let mut payload = vec![0; len as usize];
    if !receive_all(socket, &mut payload)? {
        return Ok(None);
    }
    Ok(Some(Frame { kind, payload, fds }))
}

fn send_all(socket: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = retry(|| rustix::net::send(&socket, bytes, SendFlags::NOSIGNAL))?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Whether everything came before the end.
fn receive_all(socket: impl AsFd, mut bytes: &mut [u8]) -> io::Result<bool> {
    while !bytes.is_empty() {
        let count = match retry(|| rustix::io::read(&socket, &mut *bytes)) {
            Ok(count) => count,
            // The other end was killed with something of ours unread.
            Err(Errno::CONNRESET) => 0,
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            return Ok(false);
        }
        bytes = &mut bytes[count..];
    }
    Ok(true)
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Frames over a real socket.

    use std::os::fd::AsFd as _;

    use super::{pair, receive, send};

    #[test]
    fn frames_arrive_with_their_descriptors_until_the_end() {
        let (one, two) = pair().unwrap();
        let pipes: Vec<_> = (0..300).map(|_| rustix::pipe::pipe().unwrap().0).collect();
        let fds: Vec<_> = pipes.iter().map(|fd| fd.as_fd()).collect();
        send(one.as_fd(), 7, b"hello", &fds).unwrap();
        send(one.as_fd(), 8, b"", &[]).unwrap();
        drop(one);
        let frame = receive(two.as_fd()).unwrap().unwrap();
        assert_eq!((frame.kind, frame.payload.as_slice()), (7, &b"hello"[..]));
        assert_eq!(frame.fds.len(), 300);
        let inode = |fd| rustix::fs::fstat(fd).unwrap().st_ino;
        assert_eq!(inode(&frame.fds[299]), inode(&pipes[299]));
        let frame = receive(two.as_fd()).unwrap().unwrap();
        assert_eq!((frame.kind, frame.payload.len()), (8, 0));
        assert!(receive(two.as_fd()).unwrap().is_none());
    }
}
