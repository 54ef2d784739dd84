//! `fuzz`: feeds the readers of hostile input with what libFuzzer thinks of.
//!
//! The targets are a workspace of their own (`fuzz/`), since they are compiled with coverage
//! counters. The flags are those of a stable compiler, so that no other toolchain is needed.

use std::path::{Path, PathBuf};

use clap::Args;
use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::{
    machine::Machine,
    setup::{self, Purpose},
    totals::Totals,
};

/// Arguments of `fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Names of targets; all of them when none is given
    targets: Vec<String>,
    /// Seconds for each target, after its seeds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Folder of recordings whose files are seeds; default as for `corpus`
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Install nothing
    #[arg(long)]
    no_install: bool,
}

/// Counts what is reached and compared, in the form that libFuzzer reads.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// The command `fuzz`.
pub(crate) fn run(machine: &Machine, args: &FuzzArgs) -> Result<(), Failure> {
    setup::ensure(machine, Purpose::Test, args.no_install)?;
    let recordings = args.corpus.clone();
    let totals = fuzz(machine, &args.targets, args.seconds, recordings.as_deref())?;
    machine.printer.data(&totals.to_string())?;
    if totals.failed == 0 {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}

/// Runs `chosen` targets (all when empty) for `seconds` each; one count for each target.
pub(crate) fn fuzz(
    machine: &Machine,
    chosen: &[String],
    seconds: u32,
    recordings: Option<&Path>,
) -> Result<Totals, Failure> {
    let home = machine.root.join("fuzz");
    let manifest = home.join("Cargo.toml");
    let all = targets(&fs_err::read_to_string(&manifest)?);
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        return Err(Failure::new(
            FailureKind::Usage,
            format!("there is no fuzz target `{unknown}`"),
        )
        .hint(format!("targets: {}", all.join(", "))));
    }
    let binaries = build(machine, &manifest)?;
    let mut totals = Totals::default();
    for name in all
        .iter()
        .filter(|name| chosen.is_empty() || chosen.contains(name))
    {
        let passed = one(machine, &home, &binaries, name, seconds, recordings)?;
        let word = if passed { "ok" } else { "failed" };
        machine
            .printer
            .note(&format!("fuzz {name}, {seconds} s: {word}"));
        totals += Totals::one(passed);
    }
    Ok(totals)
}

/// The names of the binaries in a manifest.
fn targets(manifest: &str) -> Vec<String> {
    manifest
        .split("[[bin]]")
        .skip(1)
        .filter_map(|part| part.lines().find_map(|line| line.strip_prefix("name = ")))
        .map(|name| name.trim_matches('"').to_owned())
        .collect()
}

/// Compiles all targets and returns the folder they are in.
fn build(machine: &Machine, manifest: &Path) -> Result<PathBuf, Failure> {
    let shell = &machine.shell;
    let version = cmd!(shell, "rustc -vV")
        .quiet()
        .read()
        .or_fail(FailureKind::Tool)?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap_or("x86_64-unknown-linux-gnu");
    let target = machine.target().join("fuzz");
    machine.printer.note("compiling the fuzz targets");
    // With `--target`, the flags reach neither build scripts nor procedural macros.
    cmd!(
        shell,
        "cargo build --quiet --release --manifest-path {manifest} --target {host}"
    )
    .env("RUSTFLAGS", COVERAGE)
    .env("CARGO_TARGET_DIR", &target)
    .quiet()
    .run()
    .or_fail(FailureKind::Tool)?;
    Ok(target.join(host).join("release"))
}

/// Runs one target; inputs that break it are kept in `fuzz/artifacts`.
fn one(
    machine: &Machine,
    home: &Path,
    binaries: &Path,
    name: &str,
    seconds: u32,
    recordings: Option<&Path>,
) -> Result<bool, Failure> {
    let shell = &machine.shell;
    let binary = binaries.join(name);
    let grown = machine.target().join("fuzz/inputs").join(name);
    let artifacts = home.join("artifacts").join(name);
    for folder in [&grown, &artifacts] {
        fs_err::create_dir_all(folder)?;
    }
    let mut inputs = vec![grown];
    inputs.extend(Some(home.join("seeds").join(name)).filter(|folder| folder.is_dir()));
    if let Some(recordings) = recordings {
        inputs.extend(seeds(recordings, name));
    }
    let limits = [
        format!("-max_total_time={}", seconds.max(1)),
        format!("-artifact_prefix={}/", artifacts.display()),
        "-timeout=10".to_owned(),
        "-rss_limit_mb=2048".to_owned(),
        "-max_len=65536".to_owned(),
        "-verbosity=0".to_owned(),
    ];
    let output = cmd!(shell, "{binary} {limits...} {inputs...}")
        .quiet()
        .ignore_status()
        .output()
        .or_fail(FailureKind::Tool)?;
    let ended_well = output.status.success();
    if !ended_well {
        // Only then is what libFuzzer says of interest.
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(60)..] {
            machine.printer.error_line(line);
        }
        machine.printer.error_line(&format!(
            "fuzz {name}: the input that broke it is in {}; repeat with {} FILE",
            artifacts.display(),
            binary.display()
        ));
    }
    Ok(ended_well)
}

/// Folders of recordings that hold inputs of a target.
fn seeds(recordings: &Path, name: &str) -> Vec<PathBuf> {
    let folders: &[&str] = match name {
        "yaml" | "recipe" => &["neurocontainers/recipes", "neurocontainers/templates"],
        "catalogue" => &["neurocommand"],
        _ => &[],
    };
    folders
        .iter()
        .map(|folder| recordings.join(folder))
        .filter(|folder| folder.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    //! The list of targets is read, not kept twice.

    #[test]
    fn names_of_binaries_are_found() {
        let manifest = "[package]\nname = \"x\"\n[[bin]]\nname = \"a-b\"\npath = \"p\"\n\n[[bin]]\nname = \"c\"\n";
        assert_eq!(super::targets(manifest), ["a-b", "c"]);
    }
}
