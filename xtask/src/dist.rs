//! `dist`: completions and man pages of this front door, and the static launcher.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use nd_terminal::Failure;

use crate::{Cli, launcher, machine::Machine};

/// Arguments of `dist`.
#[derive(Debug, Args)]
pub(crate) struct DistArgs {
    /// Folder to write to
    #[arg(long, default_value = "target/dist")]
    out: PathBuf,
}

/// The command `dist`.
pub(crate) fn run(machine: &Machine, args: &DistArgs) -> Result<(), Failure> {
    let out = machine.root.join(&args.out);
    fs_err::create_dir_all(&out)?;
    for (name, text) in nd_terminal::man_pages(&Cli::command())? {
        fs_err::write(out.join(name), text)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = nd_terminal::completions(Cli::command(), shell);
        fs_err::write(out.join(format!("xtask.{shell}")), script)?;
    }
    fs_err::copy(launcher::compile(machine)?, out.join("nd-launcher"))?;
    machine.printer.data(&out.display().to_string())
}
