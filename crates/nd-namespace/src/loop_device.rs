//! A part of a file as a block device.
#![expect(unsafe_code, reason = "loop devices are made by ioctls")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::fs::{Mode, OFlags, open};

const GET_FREE: libc::c_ulong = 0x4c82;
const CONFIGURE: libc::c_ulong = 0x4c0a;
const READ_ONLY: u32 = 1;
/// It goes away when nobody has it open or mounted.
const AUTOCLEAR: u32 = 4;
/// Others may take the device that was free a moment ago.
const TRIES: usize = 4096;

/// `struct loop_info64` of the kernel.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of the kernel.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// Makes `size` bytes of `file` from `offset` a read-only block device, which is at the path. It is gone with the
/// descriptor, and with what is mounted of it. Needs CAP_SYS_ADMIN, and Linux 5.8.
pub fn loop_device(file: BorrowedFd<'_>, offset: u64, size: u64) -> io::Result<(PathBuf, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control = open("/dev/loop-control", flags, Mode::empty())?;
    // SAFETY: plain data, all zeroes but for what is set below.
    let mut config: Config = unsafe { std::mem::zeroed() };
    config.fd = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    config.info.offset = offset;
    config.info.size_limit = size;
    config.info.flags = READ_ONLY | AUTOCLEAR;
    for _ in 0..TRIES {
        // SAFETY: takes no argument and returns a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE as _) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let path = format!("/dev/loop{number}");
        let device = match open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(device) => device,
            // Another one has just gone.
            Err(rustix::io::Errno::NXIO) => continue,
            Err(error) => return Err(error.into()),
        };
        // SAFETY: the structure is the one that the call reads, and lives as long.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE as _, &raw const config) };
        if done == 0 {
            return Ok((path.into(), device));
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EBUSY) {
            return Err(error);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}
