//! Running one command in a runtime, with the work folder shown inside.

use std::{path::Path, time::Duration};

use nd_report::Cancel;
use nd_runtime::{Access, Bind, RunOutput, RunSpec, Runtime, RuntimeError};

/// Where the work folder is inside containers.
pub(crate) const WORK: &str = "/fulltest";

/// Runs `argv` in the work folder.
pub(crate) fn exec(
    runtime: &dyn Runtime,
    argv: &[&str],
    work: &Path,
    limit: Duration,
    cancel: &Cancel,
) -> Result<RunOutput, RuntimeError> {
    let spec = RunSpec {
        cwd: Some(WORK.into()),
        binds: vec![Bind {
            host: work.into(),
            inside: WORK.into(),
            access: Access::ReadWrite,
        }],
        timeout: Some(limit),
        cancel: cancel.clone(),
        ..RunSpec::new(argv.iter().copied())
    };
    runtime.run(&spec, &mut |_, _| {})
}
