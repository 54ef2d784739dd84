//! The archive of `dist` in the hands of an ordinary user, who has nothing else of ours.

use std::{
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use nd_terminal::{Failure, FailureKind, OrFail as _};
use serde_json::Value;
use xshell::cmd;

use crate::{
    install::{self, Profile},
    machine::{Machine, find_program},
    totals::Totals,
};

/// What is built: small, and made from the distribution's archive.
const RECIPE: &str = "dcm2niix";
/// A user without a home, a password and a range of ids.
const NOBODY: u32 = 65_534;

/// Makes the archive, unpacks it in an empty folder and builds a container with it there; one count.
pub(crate) fn run(machine: &Machine) -> Totals {
    let found = proof(machine);
    match &found {
        Ok(()) => machine
            .printer
            .note("the archive of `dist` builds a container"),
        Err(failure) => machine.printer.error_line(&failure.render()),
    }
    Totals::one(found.is_ok())
}

fn proof(machine: &Machine) -> Result<(), Failure> {
    let shell = &machine.shell;
    let archive = install::archive(machine, &machine.root.join("target/dist"), Profile::Release)?;
    let folder = shell.create_temp_dir().or_fail(FailureKind::Failed)?;
    let folder = folder.path();
    fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    let (recipe, home) = (folder.join("recipes").join(RECIPE), folder.join("home"));
    for made in [&recipe, &home, &folder.join("releases")] {
        fs_err::create_dir_all(made)?;
    }
    for entry in fs_err::read_dir(machine.root.join("recipes").join(RECIPE))? {
        let entry = entry?;
        fs_err::copy(entry.path(), recipe.join(entry.file_name()))?;
    }
    fs_err::copy(&archive, folder.join("programs.tar.gz"))?;
    let other = machine.is_root() && find_program("setpriv").is_some();
    if other {
        chown(folder, Some(NOBODY), Some(NOBODY))?;
        for made in [&home, &folder.join("releases")] {
            chown(made, Some(NOBODY), Some(NOBODY))?;
        }
    }
    let run = |script: &str| ordinary(machine, folder, other, script);
    run("tar -xzf programs.tar.gz --strip-components 1 --one-top-level=unpacked")?;
    run("cd unpacked && sha256sum --quiet --check SHA256SUMS")?;
    run("for program in unpacked/bin/*; do $program --help > /dev/null || exit 1; done")?;
    let said = run(&format!(
        "unpacked/bin/neurocontainers build {RECIPE} --json"
    ))?;
    let summary: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .or_fail(FailureKind::Failed)?;
    let tests = summary["tests"].as_array().map_or(&[][..], Vec::as_slice);
    if tests.is_empty() || tests.iter().any(|suite| suite["failed"] != 0) {
        let text = format!("the tests of `{RECIPE}` do not pass: {tests:?}");
        return Err(Failure::new(FailureKind::Failed, text));
    }
    Ok(())
}

/// What a script prints that an ordinary user runs in `folder`, with nothing of our environment.
fn ordinary(
    machine: &Machine,
    folder: &Path,
    other: bool,
    script: &str,
) -> Result<String, Failure> {
    let shell = &machine.shell;
    let _here = shell.push_dir(folder);
    let id = NOBODY.to_string();
    let to_become: &[&str] = if other {
        &["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]
    } else {
        &[]
    };
    let home = folder.join("home").display().to_string();
    let variables = [
        format!("HOME={home}"),
        format!("TMPDIR={home}"),
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    ];
    cmd!(shell, "env -i {variables...} {to_become...} sh -c {script}")
        .quiet()
        .read()
        .or_fail(FailureKind::Failed)
}
