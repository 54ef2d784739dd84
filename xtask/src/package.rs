//! Every crate as a package that a registry would take: whole, and with versions of what it uses.

use std::{fmt::Write as _, path::Path};

use clap::Args;
use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::{machine::Machine, totals::Totals};

/// Arguments of `package`.
#[derive(Debug, Args)]
pub(crate) struct PackageArgs {
    /// Also compile each package, alone, from what is in it
    #[arg(long)]
    compile: bool,
}

/// The command `package`.
pub(crate) fn command(machine: &Machine, args: &PackageArgs) -> Result<(), Failure> {
    if run(machine, args.compile)?.failed == 0 {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}

/// Packages all crates at once: those that they use of ours are taken from the packages, since no
/// registry has them, and everything else from what was downloaded to compile it. Changes that are not
/// committed are packaged, too. Without `compile`, that no source takes files from outside of its
/// package is a rule of `tidy` alone.
pub(crate) fn run(machine: &Machine, compile: bool) -> Result<Totals, Failure> {
    let shell = &machine.shell;
    let made = machine.target().join("package");
    shell.remove_path(&made).or_fail(FailureKind::Failed)?;
    let packaged = cmd!(
        shell,
        "cargo package --quiet --workspace --exclude xtask --allow-dirty --offline --no-verify"
    )
    .quiet()
    .run();
    if let Err(error) = &packaged {
        machine.printer.error_line(&format!("packages: {error}"));
        return Ok(Totals::one(false));
    }
    let mut totals = Totals::one(true);
    if compile {
        totals += alone(machine, &made)?;
    }
    Ok(totals)
}

/// Compiles every package of `made` from what is in it. They find each other, and nothing else of this
/// repository; each is asked for by itself, so that none lives on features that another one switches on.
fn alone(machine: &Machine, made: &Path) -> Result<Totals, Failure> {
    let shell = &machine.shell;
    let work = machine.target().join("packages");
    let sources = work.join("sources");
    shell.remove_path(&sources).or_fail(FailureKind::Failed)?;
    fs_err::create_dir_all(&sources)?;
    let mut packages = Vec::new();
    for entry in fs_err::read_dir(made)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let named = stem.rsplit_once('-').map(|(name, _)| name.to_owned());
        if let (Some(name), Some("crate")) = (named, path.extension().and_then(|end| end.to_str()))
        {
            cmd!(shell, "tar -x -f {path} -C {sources}")
                .quiet()
                .run()
                .or_fail(FailureKind::Tool)?;
            packages.push((name, stem.into_owned()));
        }
    }
    packages.sort();
    let mut text =
        String::from("[workspace]\nresolver = \"3\"\nmembers = [\"*-*\"]\n\n[patch.crates-io]\n");
    for (name, folder) in &packages {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {{ path = \"{folder}\" }}");
    }
    fs_err::write(sources.join("Cargo.toml"), text)?;
    // The versions that everything else is compiled with.
    fs_err::copy(machine.root.join("Cargo.lock"), sources.join("Cargo.lock"))?;
    let (manifest, target) = (sources.join("Cargo.toml"), work.join("target"));
    let mut totals = Totals::default();
    for (name, _) in &packages {
        let compiled = cmd!(
            shell,
            "cargo check --quiet --offline --manifest-path {manifest} --target-dir {target} --package {name}"
        )
        .quiet()
        .run();
        if let Err(error) = &compiled {
            machine
                .printer
                .error_line(&format!("package {name}: {error}"));
        }
        totals += Totals::one(compiled.is_ok());
    }
    Ok(totals)
}
