//! Arguments that every binary takes.

use std::io::{IsTerminal as _, stderr};

use clap::{Args, ValueEnum};

use crate::{Printer, Verbosity, env};

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorArg {
    /// When the stream is a terminal; `NO_COLOR` and `CLICOLOR_FORCE` are honoured.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorArg {
    /// Sets the choice for every stream of this process.
    pub fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// What standard output carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// Text for people.
    #[default]
    Human,
    /// One JSON object on the last line.
    Json,
    /// Diagnostics as a SARIF log, for services that scan code.
    Sarif,
    /// Diagnostics as workflow commands of GitHub.
    Github,
}

impl OutputFormat {
    /// Whether standard output carries a document, so that text for people has to go elsewhere.
    pub fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Sarif)
    }

    /// Whether only commands that give diagnostics have this format.
    pub fn is_of_diagnostics(self) -> bool {
        matches!(self, Self::Sarif | Self::Github)
    }
}

/// Arguments about output, for `#[command(flatten)]`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorArg,
    /// Write results in this format
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub output_format: OutputFormat,
    /// Short for `--output-format json`
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what failed
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; may be repeated
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Draw no progress bars
    #[arg(long, global = true)]
    pub no_progress: bool,
}

impl OutputArgs {
    /// The format asked for.
    pub fn format(&self) -> OutputFormat {
        if self.json {
            OutputFormat::Json
        } else {
            self.output_format
        }
    }

    /// A printer as these arguments, the environment and the streams ask for.
    pub fn printer(&self) -> Printer {
        self.color.apply();
        let verbosity = if self.quiet {
            Verbosity::Quiet
        } else if self.verbose > 0 {
            Verbosity::Verbose(self.verbose)
        } else {
            Verbosity::Normal
        };
        let in_ci = std::env::var_os(env::CI).is_some_and(|value| !value.is_empty());
        let bars = stderr().is_terminal() && !in_ci && !self.no_progress && !self.quiet;
        Printer::new(self.format(), verbosity, bars)
    }

    /// The same arguments as words, to pass them on to another binary of ours.
    pub fn to_args(&self) -> Vec<String> {
        let mut words = Vec::new();
        match self.color {
            ColorArg::Auto => {}
            ColorArg::Always => words.push("--color=always".to_owned()),
            ColorArg::Never => words.push("--color=never".to_owned()),
        }
        if self.format() == OutputFormat::Json {
            words.push("--json".to_owned());
        }
        if self.quiet {
            words.push("--quiet".to_owned());
        }
        words.extend((0..self.verbose).map(|_| "--verbose".to_owned()));
        if self.no_progress {
            words.push("--no-progress".to_owned());
        }
        words
    }
}
