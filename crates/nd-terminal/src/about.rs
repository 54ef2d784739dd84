//! Commands about a program itself, which every program of several commands has.

use std::path::PathBuf;

use clap::{Command, Subcommand};
use clap_complete::Shell;

use crate::{Documents, Failure, Printer, completions, give_man_pages};

/// Commands that give what is made from the command line's definition.
#[derive(Debug, Subcommand)]
pub enum AboutCommand {
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the documents that are made from code
    #[command(hide = true)]
    Docs {
        /// Folder that gets them
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print the manual pages, or write them to a folder
    #[command(hide = true)]
    Man {
        /// Where to write them
        folder: Option<PathBuf>,
    },
}

impl AboutCommand {
    /// Gives what is asked for of the command line `command`, whose documents `documents` makes.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, or nobody reads the output.
    pub fn run(
        &self,
        command: Command,
        documents: impl FnOnce(Command) -> Documents,
        printer: &Printer,
    ) -> Result<(), Failure> {
        match self {
            Self::Completions { shell } => printer.data(&completions(command, *shell)),
            Self::Docs { out } => documents(command).write(out, printer),
            Self::Man { folder } => give_man_pages(&command, folder.as_deref(), printer),
        }
    }
}
