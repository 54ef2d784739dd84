//! One recipe.

use std::{collections::BTreeMap, path::Path};

use nd_records::ReleaseRecord;
use nd_report::{Diagnostic, FileId, Severity, Sink};
use neurocontainers_recipe::{
    Compat, Compiled, FILE_LIMIT, Folder, LoadOptions, Profile, ReadError, Recipe, RecipeFiles,
    Request, codes, compile,
    fulltest::{check_contract, parse_suite},
    load_for_check,
};

use crate::recipes::{DiskFiles, RecipeFolder, checkout_templates};

use super::{CheckOptions, FILES_OF_A_RECIPE, Outcome, files::Overlaid};

/// Name of a test suite.
const SUITE: &str = "fulltest.yaml";

/// Texts of an editor, by path in the recipe's folder; they count in place of what is on disk.
pub type Buffers = BTreeMap<String, String>;

/// Checks the recipe in `folder`. Numbers of files begin with `first_file`.
pub fn check_folder(
    folder: &RecipeFolder,
    root: &Path,
    buffers: &Buffers,
    options: &CheckOptions,
    first_file: u32,
) -> Outcome {
    let mut outcome = Outcome {
        recipes: 1,
        ..Outcome::default()
    };
    let mut sink = Sink::new();
    match DiskFiles::open(&folder.path, &[root, &root.join("macros")]) {
        Ok(disk) => {
            let files = Overlaid { disk, buffers };
            let place = (folder, root);
            check(&files, place, options, first_file, &mut outcome, &mut sink);
        }
        Err(error) => sink.push(Diagnostic::new(
            codes::UNREADABLE,
            Severity::Error,
            format!("cannot read the folder `{}`: {error}", folder.shown),
        )),
    }
    outcome.diagnostics = in_order(sink.into_diagnostics());
    outcome
}

fn check(
    files: &dyn RecipeFiles,
    (folder, root): (&RecipeFolder, &Path),
    options: &CheckOptions,
    first_file: u32,
    outcome: &mut Outcome,
    sink: &mut Sink,
) {
    let improved = options.compat == Compat::Improved;
    let load_options = LoadOptions {
        compat: options.compat,
        profile: Profile::Strict,
        folder_name: folder.path.file_name().and_then(|name| name.to_str()),
        rules: improved,
        first_file,
    };
    let loaded = load_for_check(files, &folder.shown, &load_options, sink);
    let sources = match &loaded {
        Ok(recipe) => recipe.sources(),
        Err(sources) => sources,
    };
    for source in sources {
        let own = source.name.strip_prefix(&folder.shown);
        if let Some(name) = own.and_then(|name| name.strip_prefix('/')) {
            outcome.paths.insert(source.file, folder.path.join(name));
        }
        outcome
            .sources
            .insert(source.file, &source.name, &source.text);
    }
    if let Ok(recipe) = &loaded {
        compile_all(recipe, files, root, options, sink);
    }
    let recipe = loaded.ok();
    suite(files, folder, &load_options, recipe.as_ref(), outcome, sink);
}

/// Reads the test suite beside the recipe, and holds it against the recipe if there is one.
fn suite(
    files: &dyn RecipeFiles,
    folder: &RecipeFolder,
    options: &LoadOptions<'_>,
    recipe: Option<&Recipe>,
    outcome: &mut Outcome,
    sink: &mut Sink,
) {
    let shown = format!("{}/{SUITE}", folder.shown);
    let bytes = match files.read(Folder::Recipe, SUITE, FILE_LIMIT) {
        Ok(bytes) => bytes,
        Err(ReadError::Absent) => return,
        Err(problem) => {
            let message = format!("cannot read `{shown}`: {problem}");
            sink.push(Diagnostic::new(codes::UNREADABLE, Severity::Error, message));
            return;
        }
    };
    let file = FileId(options.first_file + FILES_OF_A_RECIPE - 1);
    outcome.paths.insert(file, folder.path.join(SUITE));
    let Ok(text) = std::str::from_utf8(&bytes) else {
        let message = format!("`{shown}` is not valid UTF-8");
        sink.push(Diagnostic::new(codes::UNREADABLE, Severity::Error, message));
        return;
    };
    outcome.sources.insert(file, &shown, text);
    let suite = parse_suite(text, file, options, sink);
    if let (Some(suite), Some(recipe)) = (suite, recipe.and_then(Recipe::raw)) {
        let (name, version) = (&recipe.name.value, &recipe.version.value);
        check_contract(&suite, name, version, options.compat, sink);
    }
}

/// Compiles every concrete container.
fn compile_all(
    recipe: &Recipe,
    files: &dyn RecipeFiles,
    root: &Path,
    options: &CheckOptions,
    sink: &mut Sink,
) {
    let templates = checkout_templates(root, options.compat);
    for concrete in recipe.variants(sink).unwrap_or_default() {
        let mut request = Request::new(options.host);
        request.architecture = Some(concrete.architecture);
        request.variant = concrete.recipe_variant;
        request.templates.clone_from(&templates);
        let compiled = compile(recipe, &request, files, sink);
        if let Some(compiled) = compiled.filter(|_| options.compat == Compat::Improved) {
            release(&compiled, recipe, files, sink);
        }
    }
}

/// Holds a container against what was published of it, where it was.
fn release(compiled: &Compiled, recipe: &Recipe, files: &dyn RecipeFiles, sink: &mut Sink) {
    let path = compiled.identity.release_path();
    let text = match files.read(Folder::Include, &path, FILE_LIMIT) {
        Ok(text) => text,
        Err(ReadError::Absent) => return,
        Err(problem) => {
            let message = format!("cannot read `{path}`: {problem}");
            sink.push(Diagnostic::new(codes::UNREADABLE, Severity::Error, message));
            return;
        }
    };
    let (place, record) = match serde_json::from_slice::<ReleaseRecord>(&text) {
        Ok(record) => (recipe.raw().map(|raw| raw.version.span), record),
        Err(problem) => {
            let message = format!("`{path}` is no release record: {problem}");
            let found = Diagnostic::new(codes::RELEASE_RECORD, Severity::Warning, message);
            sink.push(found.hint("release records are made by a release, not by hand"));
            return;
        }
    };
    let date = record.apps.values().next().map(|app| app.version.parse());
    let Some(Ok(date)) = date else {
        return;
    };
    let now = compiled.release(&date);
    let names = |record: &ReleaseRecord| record.apps.keys().cloned().collect::<Vec<_>>();
    let shown =
        |record: &ReleaseRecord| (record.show_in_menu.clone(), record.show_in_applist.clone());
    let differs = [
        ("categories", record.categories != now.categories),
        ("desktop entries", names(&record) != names(&now)),
        ("visibility", shown(&record) != shown(&now)),
    ];
    for (what, _) in differs.iter().filter(|(_, differs)| *differs) {
        let message = format!("`{path}` has other {what} than the recipe");
        let found = Diagnostic::new(codes::RELEASE_RECORD, Severity::Note, message);
        sink.push(
            place
                .into_iter()
                .fold(found, |found, span| found.at(span, "")),
        );
    }
}

/// Diagnostics by place, what several containers have in common once.
fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_key(|found| {
        let place = found.labels.first().map(|label| label.span);
        (place, found.code)
    });
    let mut kept: Vec<Diagnostic> = Vec::new();
    for found in found {
        let place = found.labels.first().map(|label| label.span);
        let again = kept
            .iter()
            .rev()
            .take_while(|known| known.labels.first().map(|label| label.span) == place)
            .any(|known| *known == found);
        if !again {
            kept.push(found);
        }
    }
    kept
}
