//! What every command opens first.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use nd_host::{Environment, Programs, SystemClock, SystemPrograms};
use nd_names::Sha256;
use nd_report::{Cancel, Diagnostic};
use nd_sandbox::Limits;
use nd_store::Store;
use nd_terminal::{
    DiagnosticStyle, Failure, FailureKind, OutputFormat, Printer, Sources, TerminalReporter,
    render_diagnostics,
};
use neurocontainers_recipe::ReadError;

use super::args::PlaceArgs;
use crate::{
    downloads::Remote,
    machine::Machine,
    output::ImagePlace,
    pipeline::{self, BuildWish, Desk, PipelineError, Planned, Prepared, Wish, Workshop},
    recipes::Places,
};

/// Terminal, machine and environment of one run.
pub(super) struct Session {
    pub(super) printer: Printer,
    pub(super) environment: Environment,
    programs: Arc<dyn Programs>,
    pub(super) reporter: TerminalReporter,
    pub(super) cancel: Cancel,
    machine: OnceLock<Machine>,
}

impl Session {
    pub(super) fn open(printer: Printer) -> Result<Self, Failure> {
        let environment = Environment::of_process()?;
        let programs = Arc::new(SystemPrograms::new(&environment));
        Ok(Self {
            reporter: printer.reporter(),
            printer,
            programs,
            machine: OnceLock::new(),
            environment,
            cancel: Cancel::default(),
        })
    }

    /// The store below the cache folder. From here on there is something to clean up, so that a wish
    /// to stop is heard instead of ending the process.
    pub(super) fn store(&self) -> Result<Store, Failure> {
        nd_terminal::cancel_when_interrupted(&self.cancel, &self.printer)?;
        let folder = self.environment.cache_dir()?.join("store");
        Ok(Store::open(folder)?)
    }

    /// What reads a recipe.
    pub(super) fn desk(&self) -> Desk<'_> {
        Desk {
            environment: &self.environment,
            programs: &self.programs,
            clock: &SystemClock,
            remote: self,
        }
    }

    pub(super) fn workshop<'a>(&'a self, store: &'a Store) -> Result<Workshop<'a>, Failure> {
        let machine = if let Some(machine) = self.machine.get() {
            machine
        } else {
            let root = machine_root(&self.environment);
            let read = Machine::read(&root, &self.environment)?;
            self.machine.get_or_init(|| read)
        };
        Ok(Workshop {
            environment: &self.environment,
            programs: &self.programs,
            clock: &SystemClock,
            machine,
            store,
            reporter: &self.reporter,
            cancel: &self.cancel,
            offline: false,
            limits: Limits::default(),
            budget: nd_builder::LayerBudget::default(),
            secrets: &[],
            look_in: None,
        })
    }

    pub(super) fn places(&self, args: &PlaceArgs) -> Result<Places, Failure> {
        let places = Places::find(
            &self.environment,
            args.recipes.as_deref(),
            args.output_root.as_deref(),
        );
        places.map_err(|error| self.failure(error.into()))
    }

    /// The places for one recipe.
    pub(super) fn places_of(&self, recipe: &str, args: &PlaceArgs) -> Result<Places, Failure> {
        let places = Places::find_for(
            recipe,
            &self.environment,
            args.recipes.as_deref(),
            args.output_root.as_deref(),
        );
        places.map_err(|error| self.failure(error.into()))
    }

    /// A container and its plan; what is odd about the recipe is shown.
    pub(super) fn plan(
        &self,
        workshop: &Workshop<'_>,
        places: &Places,
        asked: &Wish,
        wish: &BuildWish,
    ) -> Result<(Prepared, Planned), Failure> {
        let fail = |error| self.failure(error);
        let prepared = pipeline::prepare(&workshop.desk(), places, asked).map_err(fail)?;
        self.show(&prepared.warnings, &sources(&prepared.sources));
        let planned = pipeline::plan(workshop, places, &prepared, wish).map_err(fail)?;
        Ok((prepared, planned))
    }

    /// A place of an image as seen from the working directory.
    pub(super) fn absolute(&self, place: &ImagePlace) -> ImagePlace {
        let at = |path: &std::path::PathBuf| self.environment.absolute(path);
        match place {
            ImagePlace::Oci(path) => ImagePlace::Oci(at(path)),
            ImagePlace::OciArchive(path) => ImagePlace::OciArchive(at(path)),
            ImagePlace::DockerArchive(path) => ImagePlace::DockerArchive(at(path)),
            ImagePlace::Folder(path) => ImagePlace::Folder(at(path)),
            ImagePlace::Sif(path) => ImagePlace::Sif(at(path)),
            ImagePlace::Registry(name) => ImagePlace::Registry(name.clone()),
        }
    }

    /// Programs of others.
    pub(super) fn programs(&self) -> &Arc<dyn Programs> {
        &self.programs
    }

    /// What the terminal is, for programs that run on it.
    pub(super) fn terminal_kind(&self) -> String {
        let term = self.environment.get("TERM");
        term.map_or_else(
            || "dumb".to_owned(),
            |term| term.to_string_lossy().into_owned(),
        )
    }

    /// Does a command's work. What went wrong after somebody asked to stop went wrong because of that.
    pub(super) fn run(
        printer: Printer,
        work: impl FnOnce(&Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let session = Self::open(printer)?;
        let result = work(&session);
        match result {
            Err(failure)
                if session.cancel.is_cancelled() && failure.kind != FailureKind::Interrupted =>
            {
                let failure = Failure::new(FailureKind::Interrupted, "stopped");
                Err(failure.hint("finished steps are kept: the same command goes on after them"))
            }
            result => result,
        }
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

impl Remote for Session {
    /// Only now a store is needed, which most recipes do without.
    fn get(&self, url: &str, sha256: Option<Sha256>, limit: usize) -> Result<Vec<u8>, ReadError> {
        let failed = |failure: Failure| io::Error::other(failure.render().trim().to_owned());
        let store = self.store().map_err(failed)?;
        let workshop = self.workshop(&store).map_err(failed)?;
        workshop.get(url, sha256, limit)
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
        )
        | PipelineError::Emulator(_)
        | PipelineError::Engine(
            crate::engines::EngineError::Missing { .. } | crate::engines::EngineError::Failed(_),
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
