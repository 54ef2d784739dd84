//! What every binary shares: streams, colour, progress, exit codes, rendering of diagnostics.
//!
//! A binary's `main` is one call of [`run`]: it parses the arguments (usage errors get our exit
//! code), hands a [`Printer`] on, and turns a [`Failure`] into text and an exit code. Standard
//! output carries data only; everything for people goes to standard error.
//!
//! ```no_run
//! use clap::Parser;
//! use nd_terminal::{Failure, OutputArgs};
//!
//! /// Greet somebody
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     output: OutputArgs,
//!     name: String,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     nd_terminal::run(|cli: Cli| -> Result<(), Failure> {
//!         let printer = cli.output.printer();
//!         printer.data(&format!("hello {}", cli.name))
//!     })
//! }
//! ```

mod about;
mod args;
mod diagnostics;
mod diff;
mod documents;
pub mod env;
mod failure;
mod generate;
mod human;
mod interrupt;
mod printer;
mod pty;
mod report;
mod reporter;
mod run;
mod table;

pub use about::AboutCommand;
pub use args::{ColorArg, OutputArgs, OutputFormat};
pub use diagnostics::{DiagnosticStyle, Sources, render_diagnostic, render_diagnostics};
pub use diff::unified_diff;
pub use documents::Documents;
pub use failure::{Failure, FailureKind, OrFail};
pub use generate::{completions, give_man_pages, man_pages, reference};
pub use human::{human_bytes, human_duration};
pub use interrupt::cancel_when_interrupted;
pub use printer::{Printer, Verbosity};
pub use pty::{Pty, has_terminal};
pub use report::{Counts, ToolInfo, github_commands, json_report, sarif_report, short_lines};
pub use reporter::TerminalReporter;
pub use run::{finish, run};
pub use table::{Align, Table};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
