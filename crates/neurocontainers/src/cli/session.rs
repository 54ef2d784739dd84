//! What every command opens first.

use std::{path::Path, sync::Arc};

use nd_host::{Environment, Programs, SystemClock, SystemPrograms};
use nd_report::{Cancel, Diagnostic};
use nd_store::Store;
use nd_terminal::{
    DiagnosticStyle, Failure, FailureKind, OutputFormat, Printer, Sources, TerminalReporter,
    render_diagnostics,
};

use super::args::PlaceArgs;
use crate::{
    machine::Machine,
    pipeline::{PipelineError, Workshop},
    recipes::Places,
};

/// Terminal, machine and environment of one run.
pub(super) struct Session {
    pub(super) printer: Printer,
    pub(super) environment: Environment,
    programs: Arc<dyn Programs>,
    pub(super) reporter: TerminalReporter,
    pub(super) cancel: Cancel,
    machine: Machine,
}

impl Session {
    pub(super) fn open(printer: Printer) -> Result<Self, Failure> {
        let environment = Environment::of_process()?;
        let programs = Arc::new(SystemPrograms::new(&environment));
        let machine = Machine::read(&machine_root(&environment), &environment)?;
        Ok(Self {
            reporter: printer.reporter(),
            printer,
            programs,
            machine,
            environment,
            cancel: Cancel::default(),
        })
    }

    /// The store below the cache folder.
    pub(super) fn store(&self) -> Result<Store, Failure> {
        let folder = self.environment.cache_dir()?.join("store");
        Ok(Store::open(folder)?)
    }

    pub(super) fn workshop<'a>(&'a self, store: &'a Store) -> Workshop<'a> {
        Workshop {
            environment: &self.environment,
            programs: &self.programs,
            clock: &SystemClock,
            machine: &self.machine,
            store,
            reporter: &self.reporter,
            cancel: &self.cancel,
            offline: false,
        }
    }

    pub(super) fn places(&self, args: &PlaceArgs) -> Result<Places, Failure> {
        let places = Places::find(
            &self.environment,
            args.recipes.as_deref(),
            args.output_root.as_deref(),
        );
        places.map_err(|error| self.failure(error.into()))
    }

    /// Whether the last line of standard output is one JSON object.
    pub(super) fn json(&self) -> bool {
        self.printer.format() == OutputFormat::Json
    }

    /// Shows problems of a recipe, with the lines they speak of.
    pub(super) fn show(&self, diagnostics: &[Diagnostic], sources: &Sources) {
        if !diagnostics.is_empty() {
            let text = render_diagnostics(diagnostics, sources, DiagnosticStyle::PLAIN);
            self.printer.error_line(&text);
        }
    }

    /// An error as a failure; what is wrong with a recipe is shown first.
    pub(super) fn failure(&self, error: PipelineError) -> Failure {
        let hint = error.hint();
        if let PipelineError::Recipe {
            diagnostics,
            sources: texts,
            ..
        } = &error
        {
            self.show(diagnostics, &sources(texts));
        }
        let kind = kind(&error);
        let mut failure = match kind {
            Some(kind) => Failure::new(kind, error),
            None => Failure::from(error),
        };
        if let Some(hint) = hint {
            failure = failure.hint(hint);
        }
        failure
    }
}

fn kind(error: &PipelineError) -> Option<FailureKind> {
    use crate::base::BaseError;
    match error {
        PipelineError::Base(
            BaseError::Tool { .. }
            | BaseError::Program(_)
            | BaseError::Failed(_)
            | BaseError::Unreachable { .. },
        ) => Some(FailureKind::Tool),
        PipelineError::Store(nd_store::StoreError::Busy(_)) => Some(FailureKind::Busy),
        _ => None,
    }
}

/// The files of a recipe that were read.
pub(super) fn sources(loaded: &neurocontainers_recipe::Sources) -> Sources {
    let mut out = Sources::new();
    for source in loaded {
        out.insert(source.file, &source.name, source.text.clone());
    }
    out
}

/// Where the machine's settings are read from: a test names another root.
fn machine_root(environment: &Environment) -> std::path::PathBuf {
    environment
        .get("ND_MACHINE_ROOT")
        .map_or_else(|| Path::new("/").to_path_buf(), std::path::PathBuf::from)
}
