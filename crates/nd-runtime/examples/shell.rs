//! A shell in an unpacked root file system: `shell ROOT [PROGRAM [ARGUMENT…]]`. What is changed in it
//! is thrown away.

#![expect(clippy::print_stderr, reason = "a program that says what went wrong")]

use std::process::ExitCode;

use nd_host::{Environment, SystemPrograms};
use nd_runtime::{RunSpec, SandboxImage, SandboxRuntime};
use nd_sandbox::IdMode;

fn main() -> ExitCode {
    nd_sandbox::hook(&[nd_runtime::role()]);
    match shell() {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(255)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn shell() -> Result<i32, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().ok_or("usage: shell ROOT [PROGRAM …]")?;
    let mut argv: Vec<_> = arguments.collect();
    if argv.is_empty() {
        argv.push("sh".into());
    }
    let environment = Environment::of_process()?;
    let ids = IdMode::choose(&environment, &SystemPrograms::new(&environment));
    let image = SandboxImage {
        lowers: vec![root.into()],
        ..SandboxImage::default()
    };
    let mut spec = RunSpec::new(argv);
    if let Some(terminal) = environment.get("TERM") {
        spec.env.push(("TERM".into(), terminal.into()));
    }
    Ok(SandboxRuntime::new(image, ids).interactive(&spec)?.status)
}
