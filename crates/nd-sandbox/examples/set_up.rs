//! How long the sandbox takes around a program that does nothing: `set_up ROOT [COUNT]`.
//!
//! `ROOT` is a prepared root file system with a `true`. Prints medians in milliseconds as one JSON
//! object: `spawn` (start `true` on the host and wait), `sandbox` (the same in the sandbox, changes
//! kept in memory), `on_disk` (changes kept in a new directory of the temporary folder, which costs
//! what some `mkdir` there cost), `engine` (start an engine, once for many programs).

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that prints what it measured of another"
)]

use std::{
    os::fd::{AsFd as _, OwnedFd},
    process::{Command, ExitCode},
    sync::Arc,
    time::Instant,
};

use nd_host::{Environment, SystemPrograms};
use nd_sandbox::{Engine, EngineProcess, IdMode, ProcessSpec, Role, Root, run};
use rustix::fs::{Mode, OFlags};

fn main() -> ExitCode {
    nd_sandbox::hook(&[Role {
        name: "measure",
        main: measure,
    }]);
    match compare() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<String, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().ok_or("usage: set_up ROOT [COUNT]")?;
    let count: usize = arguments.next().map_or(Ok(100), |n| n.parse())?;
    let environment = Environment::of_process()?;
    let ids = IdMode::choose(&environment, &SystemPrograms::new(&environment));
    let folder = tempfile::tempdir()?;
    if let Some((uid, gid)) = ids.owner() {
        std::os::unix::fs::lchown(folder.path(), Some(uid), Some(gid))?;
    }
    let mut spawn = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        Command::new("true").status()?;
        spawn.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let begin = Instant::now();
    let fds = vec![open(root.as_ref())?, open(folder.path())?];
    let mut engine = EngineProcess::start("measure", ids, &count.to_le_bytes(), fds)?;
    engine.next_message()?;
    let started = begin.elapsed().as_secs_f64() * 1000.0;
    let text = engine.next_message()?.ok_or("the engine said nothing")?;
    let [mut sandbox, mut on_disk]: [Vec<f64>; 2] = serde_json::from_slice(&text)?;
    engine.wait()?;
    Ok(format!(
        "{{\"count\":{count},\"spawn\":{:.3},\"sandbox\":{:.3},\"on_disk\":{:.3},\"engine\":{started:.3}}}",
        median(&mut spawn),
        median(&mut sandbox),
        median(&mut on_disk),
    ))
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn open(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// In the engine: runs `true` again and again.
fn measure(mut engine: Engine) -> u8 {
    engine.send(b"started");
    let count = engine
        .request
        .first_chunk()
        .map_or(0, |n| usize::from_le_bytes(*n));
    let fds = std::mem::take(&mut engine.fds);
    let Ok([root, folder]) = <[OwnedFd; 2]>::try_from(fds) else {
        return 1;
    };
    let root = Arc::new(root);
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..count {
        let make = |what: &str| -> Result<Arc<OwnedFd>, rustix::io::Errno> {
            let name = format!("{what}{number}");
            rustix::fs::mkdirat(folder.as_fd(), &name, Mode::from_raw_mode(0o755))?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(folder.as_fd(), &name, flags, Mode::empty())?;
            Ok(Arc::new(fd))
        };
        let (Ok(upper), Ok(work)) = (make("upper"), make("work")) else {
            return 1;
        };
        let lowers = vec![Arc::clone(&root)];
        let in_memory = Root::Ephemeral {
            lowers: lowers.clone(),
            scratch: None,
        };
        let on_disk = Root::Overlay {
            lowers,
            upper,
            work,
        };
        for (root, times) in [in_memory, on_disk].into_iter().zip(&mut times) {
            let spec = ProcessSpec::new(root, ["true"]);
            let begin = Instant::now();
            match run(&spec, &mut |_, _| {}, engine.cancel()) {
                Ok(exit) if exit.success() => {}
                other => {
                    eprintln!("{other:?}");
                    return 1;
                }
            }
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
    }
    engine.send(&serde_json::to_vec(&times).unwrap_or_default());
    0
}
