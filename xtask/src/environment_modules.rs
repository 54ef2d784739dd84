//! Environment Modules in a folder of its own: Debian lets nobody install it beside Lmod, and module
//! files are tested with both.

use std::path::Path;

use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::{Shell, cmd};

use crate::machine::{Machine, find_program};

const NAME: &str = "environment-modules";

/// Makes sure that `PEERS/environment-modules/usr/bin/environment-modules` is there. Without Debian's tools it
/// stays missing, since only tests need it.
pub(crate) fn ensure(machine: &Machine, no_install: bool) -> Result<(), Failure> {
    let prefix = machine.peers()?.join(NAME);
    if prefix.join("usr/bin").join(NAME).is_file() {
        return Ok(());
    }
    let tools = find_program("apt-get").is_some() && find_program("dpkg-deb").is_some();
    if no_install || !tools {
        machine.printer.note(&format!(
            "missing: `{NAME}`, the package of that name unpacked in {}",
            prefix.display()
        ));
        return Ok(());
    }
    machine.printer.note(&format!(
        "unpacking the package {NAME} into {}",
        prefix.display()
    ));
    let work = machine
        .shell
        .create_temp_dir()
        .or_fail(FailureKind::Failed)?;
    // On the file system of the prefix, so that the rename is atomic.
    let unpacked = prefix.with_file_name(format!(".{NAME}.{}", std::process::id()));
    let result = install(&machine.shell, work.path(), &unpacked, &prefix);
    if result.is_err() && unpacked.exists() {
        let _ = fs_err::remove_dir_all(&unpacked);
    }
    result
}

fn install(shell: &Shell, work: &Path, unpacked: &Path, prefix: &Path) -> Result<(), Failure> {
    fs_err::create_dir_all(unpacked)?;
    {
        let _there = shell.push_dir(work);
        // As root, so that the download may lie in a folder that only we can enter.
        cmd!(
            shell,
            "apt-get -qq -o APT::Sandbox::User=root download {NAME}"
        )
        .quiet()
        .run()
        .or_fail(FailureKind::Tool)?;
    }
    for entry in fs_err::read_dir(work)? {
        let deb = entry?.path();
        cmd!(shell, "dpkg-deb -x {deb} {unpacked}")
            .quiet()
            .run()
            .or_fail(FailureKind::Tool)?;
    }
    let libraries = unpacked.join("usr/lib");
    let found = fs_err::read_dir(&libraries)?
        .filter_map(|entry| Some(entry.ok()?.path().join("modulecmd.tcl")))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            Failure::new(
                FailureKind::Tool,
                format!("the package `{NAME}` holds no `modulecmd.tcl`"),
            )
        })?;
    let below = found.strip_prefix(unpacked).unwrap_or(&found);
    let program = unpacked.join("usr/bin").join(NAME);
    let quoted = prefix
        .join(below)
        .display()
        .to_string()
        .replace('\'', "'\\''");
    fs_err::write(
        &program,
        format!("#!/bin/sh\nexec tclsh '{quoted}' \"$@\"\n"),
    )?;
    fs_err::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    match fs_err::rename(unpacked, prefix) {
        // Another run was faster; its prefix is as good.
        Err(_) if prefix.join("usr/bin").join(NAME).is_file() => {
            fs_err::remove_dir_all(unpacked)?;
            Ok(())
        }
        other => Ok(other?),
    }
}
