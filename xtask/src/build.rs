//! `build-container`: hands over to the `neurocontainers` binary, compiled optimised.

use std::{os::unix::process::CommandExt as _, path::PathBuf};

use clap::Args;
use nd_terminal::{Failure, FailureKind, env};
use xshell::cmd;

use crate::{
    machine::{Machine, run_tool},
    setup::{self, Purpose},
};

/// Arguments of `build-container`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Recipe: a folder of `recipes/`, a path, NAME/VERSION or the full name of an image
    name: String,
    /// Install nothing; name the package for each missing part
    #[arg(long)]
    no_install: bool,
    /// Run the container's tests again even when nothing changed
    #[arg(long)]
    retest: bool,
    /// Any argument of `neurocontainers build`, such as `--variant`, `--option K=V`, `--recipes DIR`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

impl BuildArgs {
    /// Whether nothing may be installed, wherever the flag stands among arguments that are passed on.
    fn no_install(&self) -> bool {
        self.no_install || self.rest.iter().any(|word| word == NO_INSTALL)
    }

    /// Whether an architecture is named that is not this machine's.
    fn is_foreign(&self) -> bool {
        let after = |word: &str| word.strip_prefix("--architecture").map(str::to_owned);
        let mut words = self.rest.iter().skip_while(|word| after(word).is_none());
        let value = words
            .next()
            .and_then(|word| match after(word)?.strip_prefix('=') {
                Some(value) => Some(value.to_owned()),
                None => words.next().cloned(),
            });
        let own = match std::env::consts::ARCH {
            "x86_64" => ["x86_64", "amd64"],
            _ => ["aarch64", "arm64"],
        };
        value.is_some_and(|value| !own.contains(&value.to_lowercase().as_str()))
    }

    /// Whether the recipe can only be a folder of this repository, so that a wrong name can be told
    /// before minutes of compiling.
    fn is_plain(&self) -> bool {
        let elsewhere = |word: &String| word.starts_with("--recipes");
        !self.name.contains(['/', '_', '.']) && !self.rest.iter().any(elsewhere)
    }
}

/// Ours alone: `neurocontainers` installs nothing.
const NO_INSTALL: &str = "--no-install";

/// The command `build-container`.
pub(crate) fn run(machine: &Machine, args: &BuildArgs) -> Result<(), Failure> {
    if args.is_plain() && !machine.root.join("recipes").join(&args.name).is_dir() {
        return Err(Failure::new(
            FailureKind::Failed,
            format!("there is no recipe `{}`", args.name),
        )
        .hint(format!("recipes: {}", recipes(machine)?.join(", "))));
    }
    let purpose = if args.is_foreign() {
        Purpose::BuildForeign
    } else {
        Purpose::Build
    };
    setup::ensure(machine, purpose, args.no_install())?;
    let binary = compile(machine)?;
    let mut words = vec!["build".to_owned(), args.name.clone()];
    if args.retest {
        words.push("--retest".to_owned());
    }
    words.extend(machine.output.to_args());
    // `--` was once needed before arguments that are passed on.
    let own = |word: &&String| *word != NO_INSTALL && *word != "--";
    words.extend(args.rest.iter().filter(own).cloned());
    let peers = machine.peers()?;
    let command = cmd!(machine.shell, "{binary} {words...}").env(env::ND_PEERS, peers);
    // Its streams, signals and exit code become ours.
    let error = std::process::Command::from(command).exec();
    Err(Failure::new(FailureKind::Tool, error))
}

/// The `neurocontainers` binary, compiled optimised when it is not already.
pub(crate) fn compile(machine: &Machine) -> Result<PathBuf, Failure> {
    let shell = &machine.shell;
    run_tool(cmd!(
        shell,
        "cargo build --quiet --release --package neurocontainers --bin neurocontainers"
    ))?;
    Ok(machine.target().join("release/neurocontainers"))
}

/// The names of the recipes, sorted.
pub(crate) fn recipes(machine: &Machine) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(machine.root.join("recipes"))? {
        let entry = entry?;
        if entry.path().join("build.yaml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
