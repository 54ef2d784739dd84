//! Accounts that the machine's tables do not have, as of a directory service.

use std::{ffi::CString, os::fd::AsFd as _};

use nd_namespace::{Namespaces, SingleThreaded, close_on_exec_from, spawn};
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, SeekFrom, memfd_create, open, seek},
    io::{Errno, FdFlags, fcntl_setfd},
    process::{WaitOptions, waitpid},
};

/// The program that knows all of the C library's sources of names, which a static program cannot ask.
const PROGRAM: &str = "/usr/bin/getent";
/// Bytes of an answer that are read at most.
const LIMIT: usize = 1 << 20;

/// Lines of `table` for numbers, as far as there are some; `None` when nobody can be asked.
pub(crate) fn ask_names(table: &str, numbers: &[u32]) -> Option<Vec<u8>> {
    let single = SingleThreaded::claim().ok()?;
    let answer = memfd_create("names", MemfdFlags::CLOEXEC).ok()?;
    let words = [PROGRAM.to_owned(), table.to_owned()];
    let argv = words
        .into_iter()
        .chain(numbers.iter().map(u32::to_string))
        .map(CString::new)
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    let run = || -> std::io::Result<()> {
        let program = open(PROGRAM, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        single.unshare(Namespaces::FILES)?;
        close_on_exec_from(3)?;
        // Where it is a script, its interpreter opens it by this descriptor.
        fcntl_setfd(&program, FdFlags::empty())?;
        rustix::stdio::dup2_stdout(&answer)?;
        rustix::stdio::dup2_stderr(&null)?;
        let child = spawn(
            program.as_fd(),
            &argv,
            &[],
            null.as_fd(),
            Namespaces::empty(),
        )?;
        // A number without a name is no error: the others are printed.
        while let Err(Errno::INTR) = waitpid(Some(child.pid), WaitOptions::empty()) {}
        Ok(())
    };
    single.beside(Namespaces::empty(), run).ok()?.ok()?;
    seek(&answer, SeekFrom::Start(0)).ok()?;
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while bytes.len() < LIMIT {
        match rustix::io::read(&answer, &mut part) {
            Ok(0) => return Some(bytes),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    None
}
