//! From what was asked for to one container, ready to be staged.

use std::path::{Path, PathBuf};

use nd_names::{Architecture, ImageName};
use nd_report::{Diagnostic, Sink};
use neurocontainers_recipe::lock::{LockFile, LockedContainer};
use neurocontainers_recipe::{
    Compat, Compiled, LoadOptions, Request, Sources, compile, load_with_sources,
};
use neurodocker::{ApptainerOptions, render_apptainer};

use super::{Desk, PipelineError};
use crate::downloads::WithRemote;
use crate::lock::{self, LockProblem};
use crate::recipes::{
    DiskFiles, Places, RecipeFolder, RecipeState, checkout_templates, recipe_state, without_history,
};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Name, name and version, or path of a recipe.
    pub recipe: String,
    /// Architecture; the machine's when absent.
    pub architecture: Option<Architecture>,
    /// Variant; empty for the default container.
    pub variant: String,
    /// Whether architectures that the recipe does not list pass.
    pub ignore_architectures: bool,
    /// Options by key.
    pub options: Vec<(String, String)>,
    /// Folders of local contexts by key.
    pub locals: Vec<(String, PathBuf)>,
    /// Whether everything has to be as it was locked.
    pub locked: bool,
    /// Where the date of the build comes from.
    pub dating: Dating,
    /// How upstream's accidents are treated.
    pub compat: Compat,
}

/// Where the date of a build comes from, after `BUILDDATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dating {
    /// The newest commit that touches the recipe, else today.
    #[default]
    History,
    /// Today: for texts that do not name the date, since asking for commits takes longer than all else.
    Today,
}

/// A container, ready to be staged.
#[derive(Debug)]
pub struct Prepared {
    /// The recipe's folder.
    pub folder: RecipeFolder,
    /// The container.
    pub compiled: Compiled,
    /// Its full name.
    pub name: ImageName,
    /// Date and commit.
    pub state: RecipeState,
    /// Text of the Dockerfile.
    pub dockerfile: String,
    /// Text of the Apptainer definition.
    pub definition: String,
    /// What is odd about the recipe.
    pub warnings: Vec<Diagnostic>,
    /// Texts that warnings point into.
    pub sources: Sources,
    /// Folders of local contexts by key, absolute.
    pub locals: Vec<(String, PathBuf)>,
    /// What everything has to be, if that is wished.
    pub lock: Option<LockedContainer>,
}

impl Prepared {
    /// The build folder, below the folder of outputs.
    pub fn build_folder(&self, places: &Places) -> PathBuf {
        places
            .output
            .join("build")
            .join(&self.compiled.identity.name)
    }

    /// The epoch of the image: the start of its date in UTC, seconds since 1970.
    pub fn epoch(&self) -> i64 {
        let date = self.name.date.as_str();
        let text = format!("{}-{}-{}T00:00:00Z", &date[..4], &date[4..6], &date[6..]);
        text.parse()
            .map_or(0, |stamp: jiff::Timestamp| stamp.as_second())
    }

    /// The suite of tests beside the recipe, if there is one.
    pub fn suite_path(&self) -> Option<PathBuf> {
        Some(self.folder.path.join("fulltest.yaml")).filter(|path| path.is_file())
    }
}

/// Reads, checks and compiles the recipe, and renders it.
pub fn prepare(desk: &Desk<'_>, places: &Places, wish: &Wish) -> Result<Prepared, PipelineError> {
    let folder = places.recipe(&wish.recipe, desk.environment)?;
    let files = DiskFiles::open(&folder.path, &[&places.root, &places.root.join("macros")])
        .map_err(PipelineError::io(&folder.path))?;
    let file = if wish.locked {
        lock::read(&folder)?.unwrap_or_default()
    } else {
        LockFile::default()
    };
    let files = WithRemote {
        files,
        remote: desk.remote,
        expected: lock::promised(&file),
    };
    let mut sink = Sink::new();
    let folder_name = folder.path.file_name().and_then(|name| name.to_str());
    let options = LoadOptions {
        folder_name: folder_name.filter(|_| wish.compat == Compat::Improved),
        compat: wish.compat,
        ..LoadOptions::default()
    };
    let recipe = match load_with_sources(&files, &folder.shown, &options, &mut sink) {
        Ok(recipe) => recipe,
        Err(sources) => return Err(PipelineError::recipe(sink, sources, &folder)),
    };
    let host = Architecture::of_this_program().unwrap_or(Architecture::X86_64);
    let locals: Vec<(String, PathBuf)> = wish
        .locals
        .iter()
        .map(|(key, path)| (key.clone(), desk.environment.absolute(path)))
        .collect();
    let request = Request {
        architecture: wish.architecture,
        variant: wish.variant.clone(),
        ignore_architectures: wish.ignore_architectures,
        options: wish.options.clone(),
        local_contexts: locals.iter().map(|(key, _)| key.clone()).collect(),
        templates: checkout_templates(&places.root, wish.compat),
        ..Request::new(host)
    };
    let Some(compiled) = compile(&recipe, &request, &files, &mut sink) else {
        let sources = recipe.sources().clone();
        return Err(PipelineError::recipe(sink, sources, &folder));
    };
    if let Some(wanted) = &folder.version
        && *wanted != compiled.identity.version
    {
        return Err(PipelineError::Version {
            recipe: folder.shown.clone(),
            wanted: wanted.clone(),
            found: compiled.identity.version.clone(),
        });
    }
    let lock = file.container(&compiled.identity.name).cloned();
    if wish.locked && lock.is_none() {
        return Err(LockProblem::Missing {
            path: lock::shown(&folder),
            container: compiled.identity.name,
        }
        .into());
    }
    let macros = places.root.join("macros");
    let includes: Vec<&Path> = if macros.is_dir() {
        vec![&macros]
    } else {
        Vec::new()
    };
    let state = match wish.dating {
        Dating::Today => without_history(desk.environment, desk.clock)?,
        Dating::History => recipe_state(
            &folder.path,
            &includes,
            desk.environment,
            &**desk.programs,
            desk.clock,
        )?,
    };
    let name = ImageName {
        app: compiled.identity.name.parse()?,
        version: compiled.identity.version.parse()?,
        date: state.date.clone(),
    };
    let dockerfile = compiled.dockerfile(wish.compat)?;
    let definition = render_apptainer(&compiled.definition, &ApptainerOptions::default())?;
    Ok(Prepared {
        folder,
        compiled,
        name,
        state,
        dockerfile,
        definition,
        warnings: sink.into_diagnostics(),
        sources: recipe.sources().clone(),
        locals,
        lock,
    })
}
