//! Programs that tests put somewhere and start at once.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Puts a program with this text, or these bytes, at `path`, ready to be started.
///
/// Linux starts no file that somebody has open for writing, and a child that another test starts at that
/// moment holds every open file of this process until it becomes its program ("text file busy"). So
/// another process writes: this one never has the file open.
///
/// # Panics
///
/// When it cannot be written.
pub fn program(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    install("/dev/stdin".as_ref(), path.as_ref(), content.as_ref());
}

/// Copies a program to `to`, ready to be started, as [`program`] does.
///
/// # Panics
///
/// When it cannot be read or written.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    install(from.as_ref(), to.as_ref(), &[]);
}

#[expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is called by tests, whose language that is"
)]
fn install(from: &Path, to: &Path, input: &[u8]) {
    let mut child = Command::new("install")
        .args(["-D", "-m", "755", "--"])
        .args([from, to])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "install {}: {status}", to.display());
}
