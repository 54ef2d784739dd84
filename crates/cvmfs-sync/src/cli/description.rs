//! The description of servers that a verb is about.

use std::path::PathBuf;

use clap::Args;
use nd_report::{FileId, Sink};
use nd_terminal::{DiagnosticStyle, Failure, FailureKind, Sources, render_diagnostics};

use super::args::Context;
use crate::server::{Description, NEURODESK};

/// Which description.
#[derive(Debug, Args)]
pub(super) struct DescriptionArgs {
    /// TOML file that describes the servers [default: those of the Neurodesk project]
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,
}

impl DescriptionArgs {
    /// Its name and its text.
    pub(super) fn read(&self, context: &Context) -> Result<(String, String), Failure> {
        let Some(path) = &self.description else {
            return Ok(("neurodesk.toml".to_owned(), NEURODESK.to_owned()));
        };
        let path = context.environment.absolute(path);
        let text = fs_err::read_to_string(&path)?;
        Ok((path.display().to_string(), text))
    }

    pub(super) fn load(&self, context: &Context) -> Result<Description, Failure> {
        let (name, text) = self.read(context)?;
        let mut found = Sink::new();
        if let Some(description) = Description::parse(&text, FileId(0), &mut found) {
            return Ok(description);
        }
        let sources = Sources::new().with(FileId(0), name, text);
        let text = render_diagnostics(found.diagnostics(), &sources, DiagnosticStyle::PLAIN);
        context.printer.error_line(text.trim_end());
        Err(Failure::told(FailureKind::Failed))
    }
}
