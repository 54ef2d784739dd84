//! Where a program becomes one of our own processes.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{Engine, engine, init};

/// What argv[0] of our own processes is.
pub(crate) const ENGINE: &str = "nd-sandbox/engine";
pub(crate) const INIT: &str = "nd-sandbox/init";

static CALLED: AtomicBool = AtomicBool::new(false);

/// Code that runs inside an engine.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// What [`EngineProcess::start`](crate::EngineProcess::start) calls it.
    pub name: &'static str,
    /// Runs as uid 0 of the user namespace, in a mount namespace of its own, with one more thread
    /// that listens to the caller; its result is the engine's exit code.
    pub main: fn(Engine) -> u8,
}

/// Must be called first in `main` of each program that runs anything in a sandbox: the engine is this
/// same program, executed again. A no-op unless this process is one of ours; then it never returns.
///
/// Nothing may have started a thread before.
#[expect(
    clippy::exit,
    reason = "this process is not the program it was compiled as, and must not become it"
)]
pub fn hook(roles: &[Role]) {
    CALLED.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if name == OsStr::from_bytes(ENGINE.as_bytes()) {
        let role = arguments.next().unwrap_or_default();
        std::process::exit(i32::from(engine::main(roles, &role.to_string_lossy())));
    }
    if name == OsStr::from_bytes(INIT.as_bytes()) {
        std::process::exit(i32::from(init::main()));
    }
}

/// Whether this process called the hook, so that executing it again does what it should.
pub(crate) fn called() -> bool {
    CALLED.load(Ordering::Relaxed)
}
