//! `test` and `ci`.

use clap::Args;
use nd_terminal::{Failure, FailureKind, OrFail as _, env};
use xshell::cmd;

use crate::{
    build, codegen, corpus, downstream, fuzz,
    machine::{Machine, find_program, run_tool},
    package, pipeline, reproduce,
    setup::{self, Purpose},
    tidy,
    totals::Totals,
    unpacked,
};

/// What recipes are compiled for besides the machine: an editor in a web page reads and checks them.
const WEB: &str = "wasm32-unknown-unknown";

/// Arguments of `test` and `ci`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Also run what takes minutes
    #[arg(long)]
    slow: bool,
    /// Install nothing; tests whose peers are missing are skipped
    #[arg(long)]
    no_install: bool,
    /// Leave the recipes alone
    #[arg(long)]
    no_recipes: bool,
}

/// The command `test`: the recipes, whose images further tests take, the workspace's tests, the rules
/// of the house.
pub(crate) fn test(machine: &Machine, args: &TestArgs) -> Result<(), Failure> {
    let totals = everything(machine, args)?;
    finish(machine, totals)
}

fn everything(machine: &Machine, args: &TestArgs) -> Result<Totals, Failure> {
    setup::ensure(machine, Purpose::Test, args.no_install)?;
    let mut totals = Totals::default();
    if !args.no_recipes {
        totals += recipes(machine)?;
    }
    totals += workspace(machine, args.slow)?;
    totals += Totals::one(tidy::run(machine)? == 0);
    totals += documents(machine);
    totals += derived(machine);
    totals += recorded(machine);
    totals += downstream::run(machine)?;
    totals += package::run(machine, args.slow)?;
    totals += fuzz(machine, args.slow)?;
    if args.slow && !args.no_recipes {
        totals += reproduce::all(machine)?;
        totals += unpacked::run(machine);
    }
    Ok(totals)
}

/// Whether the catalogue is what the release records give; skipped where no commit holds them.
fn derived(machine: &Machine) -> Totals {
    let shell = &machine.shell;
    let committed = cmd!(shell, "git rev-parse --verify --quiet HEAD:releases")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run();
    if committed.is_err() {
        machine
            .printer
            .note("skipped: no commit with release records at hand");
        return Totals {
            skipped: 1,
            ..Totals::default()
        };
    }
    let args = pipeline::CatalogueArgs {
        check: true,
        ..pipeline::CatalogueArgs::default()
    };
    match pipeline::catalogue(machine, &args) {
        Ok(()) => Totals::one(true),
        Err(failure) => {
            machine.printer.error_line(&failure.render());
            Totals::one(false)
        }
    }
}

/// The comparison with recorded recipes; skipped, and said to be, where there are none.
fn recorded(machine: &Machine) -> Totals {
    if corpus::folder(machine).is_none() {
        machine
            .printer
            .note("skipped: no recorded recipes at hand, nothing to compare with");
        return Totals {
            skipped: 1,
            ..Totals::default()
        };
    }
    match corpus::run(machine, &corpus::CorpusArgs::default()) {
        Ok(()) => Totals::one(true),
        Err(failure) => {
            machine.printer.error_line(&failure.render());
            Totals::one(false)
        }
    }
}

/// Whether the documents that are made from code are as the code makes them.
fn documents(machine: &Machine) -> Totals {
    match codegen::run(machine, &codegen::CodegenArgs { check: true }) {
        Ok(()) => Totals::one(true),
        Err(failure) => {
            machine.printer.error_line(&failure.render());
            Totals::one(false)
        }
    }
}

/// Each fuzz target, for a moment or for a minute.
fn fuzz(machine: &Machine, slow: bool) -> Result<Totals, Failure> {
    let seconds = if slow { 60 } else { 2 };
    let recordings = corpus::folder(machine);
    fuzz::fuzz(machine, &[], seconds, recordings.as_deref())
}

/// The command `ci`: formatting and lints first because they are quick, then everything.
pub(crate) fn ci(machine: &Machine, args: &TestArgs) -> Result<(), Failure> {
    let shell = &machine.shell;
    let mut totals = Totals::default();
    let mut check = |name: &str, command: xshell::Cmd<'_>| {
        let passed = command.quiet().run().is_ok();
        machine
            .printer
            .note(&format!("{name}: {}", if passed { "ok" } else { "failed" }));
        totals += Totals::one(passed);
    };
    check("formatting", cmd!(shell, "cargo fmt --all --check"));
    check(
        "lints",
        cmd!(
            shell,
            "cargo clippy --quiet --workspace --all-targets -- -D warnings"
        ),
    );
    if has_target(machine, WEB) {
        check(
            "recipes in WebAssembly",
            cmd!(
                shell,
                "cargo check --quiet --target {WEB} --package neurocontainers-recipe"
            ),
        );
    } else {
        machine
            .printer
            .note(&format!("recipes in WebAssembly: no target {WEB}, not run"));
    }
    for (tool, words) in [
        ("cargo-deny", vec!["cargo", "deny", "check"]),
        ("typos", vec!["typos"]),
        ("cargo-shear", vec!["cargo", "shear"]),
    ] {
        if find_program(tool).is_some() {
            let (program, rest) = (words[0], &words[1..]);
            check(tool, cmd!(shell, "{program} {rest...}"));
        } else {
            machine
                .printer
                .note(&format!("{tool}: not installed, not run"));
        }
    }
    totals += everything(machine, args)?;
    finish(machine, totals)
}

/// Whether the toolchain has the standard library of `target`.
fn has_target(machine: &Machine, target: &str) -> bool {
    let shell = &machine.shell;
    let folder = cmd!(shell, "rustc --print target-libdir --target {target}");
    let folder = folder.quiet().ignore_stderr().read();
    folder.is_ok_and(|folder| shell.path_exists(folder))
}

fn finish(machine: &Machine, totals: Totals) -> Result<(), Failure> {
    machine.printer.data(&totals.to_string())?;
    if totals.failed == 0 {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}

/// Unit, integration and documentation tests of every crate.
fn workspace(machine: &Machine, slow: bool) -> Result<Totals, Failure> {
    let shell = &machine.shell;
    let log = shell.create_temp_dir().or_fail(FailureKind::Failed)?;
    let file = log.path().join("output");
    // bash keeps the status of the tests while the output is both shown and counted.
    let script = format!(
        "set -o pipefail; cargo test --quiet --workspace --no-fail-fast -- --show-output 2>&1 | tee '{}' 1>&2",
        file.display()
    );
    let mut command = cmd!(shell, "bash -c {script}")
        .quiet()
        .env(env::ND_PEERS, machine.peers()?);
    if slow {
        command = command.env("ND_SLOW_TESTS", "1");
    }
    let ended_well = command.run().is_ok();
    let output = String::from_utf8_lossy(&fs_err::read(&file)?).into_owned();
    let mut totals = Totals::from_cargo_test(&output);
    if !ended_well && totals.failed == 0 {
        // Something did not compile, or a test binary died.
        totals.failed = 1;
    }
    if totals.passed == 0 && totals.failed == 0 {
        totals.failed = 1;
    }
    Ok(totals)
}

/// Builds each recipe and runs its tests, as a user would.
fn recipes(machine: &Machine) -> Result<Totals, Failure> {
    let binary = match build::compile(machine) {
        Ok(binary) => binary,
        Err(failure) => {
            machine.printer.error_line(&failure.render());
            return Ok(Totals::one(false));
        }
    };
    let mut totals = Totals::default();
    for name in build::recipes(machine)? {
        machine.printer.note(&format!("recipe {name}"));
        let shell = &machine.shell;
        let output = cmd!(shell, "{binary} build {name} --json")
            .env(env::ND_PEERS, machine.peers()?)
            .quiet()
            .ignore_status()
            .read()
            .or_fail(FailureKind::Tool)?;
        let summary = output
            .lines()
            .last()
            .and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let found = summary
            .as_ref()
            .and_then(|summary| summary.get("tests"))
            .map_or(Totals::default(), Totals::from_summary);
        machine.printer.note(&format!("recipe {name}: {found}"));
        // A container without a test that passed has not been tested.
        totals += if found.passed + found.failed == 0 {
            Totals::one(false)
        } else {
            found
        };
    }
    Ok(totals)
}

/// Runs `cargo` quietly with `words`; what it runs finds the peers that the set-up installed.
pub(crate) fn cargo(machine: &Machine, words: &[&str]) -> Result<(), Failure> {
    let peers = machine.peers()?;
    run_tool(cmd!(machine.shell, "cargo {words...}").env(env::ND_PEERS, peers))
}
