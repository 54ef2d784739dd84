//! `check`.

use std::path::PathBuf;

use clap::Args;
use nd_host::{Environment, write_atomic};
use nd_names::Architecture;
use nd_report::{Diagnostic, Severity};
use nd_terminal::{
    Counts, DiagnosticStyle, Failure, FailureKind, OutputFormat, Printer, github_commands,
    json_report, render_diagnostic, sarif_report, short_lines, unified_diff,
};
use neurocontainers_recipe::Compat;

use crate::{
    diagnose::{CheckOptions, Outcome, TOOL, check_recipes, explanations},
    recipes::{Places, RecipeFolder},
};

/// Threads that a check uses; more gain nothing, reading 250 recipes takes that little.
const THREADS: usize = 2;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Names of recipes, or paths of their folders; without any, the recipe where you stand
    pub(super) recipes_to_check: Vec<String>,
    /// Check every recipe
    #[arg(long, conflicts_with = "recipes_to_check")]
    all: bool,
    /// Folder of recipes; else `recipes` here or above
    #[arg(long, value_name = "DIR")]
    recipes: Option<PathBuf>,
    /// Make the repairs that are certain, and check again
    #[arg(long)]
    fix: bool,
    /// Show what `--fix` would change; write nothing
    #[arg(long, requires = "fix")]
    dry_run: bool,
    /// Fail on warnings, too
    #[arg(long)]
    strict: bool,
    /// Accept and refuse exactly what upstream does
    #[arg(long)]
    compat: bool,
}

/// The command `check`.
pub(super) fn run(args: &CheckArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let (folders, root) = find(args, &environment)?;
    let options = CheckOptions {
        compat: if args.compat {
            Compat::Upstream
        } else {
            Compat::Improved
        },
        host: Architecture::of_this_program().unwrap_or(Architecture::X86_64),
        threads: THREADS,
    };
    let mut outcome = check_recipes(&folders, &root, &options);
    if args.fix {
        let fixed = fix(&outcome, args.dry_run, printer)?;
        if fixed > 0 && !args.dry_run {
            outcome = check_recipes(&folders, &root, &options);
        }
    }
    report(&outcome, printer)?;
    let counts = Counts::of(&outcome.diagnostics);
    let failed = counts.errors > 0 || (args.strict && counts.warnings > 0);
    if failed {
        return Err(Failure::told(FailureKind::Failed));
    }
    Ok(())
}

/// The recipes that were asked for, and the repository they are in.
fn find(
    args: &CheckArgs,
    environment: &Environment,
) -> Result<(Vec<RecipeFolder>, PathBuf), Failure> {
    let places = Places::find(environment, args.recipes.as_deref(), None);
    let asked = &args.recipes_to_check;
    let here = environment.working_directory();
    let places = match places {
        Ok(places) => places,
        // A recipe that is no part of a repository, given by its path.
        Err(_) if !args.all => Places {
            root: here.to_path_buf(),
            recipes: here.to_path_buf(),
            output: here.to_path_buf(),
        },
        Err(error) => {
            let hint = error.hint();
            let failure = Failure::new(FailureKind::Failed, error);
            return Err(hint.into_iter().fold(failure, Failure::hint));
        }
    };
    let names = match (args.all, asked.is_empty()) {
        (true, _) => places.names()?,
        (false, true) => vec![".".to_owned()],
        (false, false) => asked.clone(),
    };
    if names.is_empty() {
        let message = format!("there is no recipe in `{}`", places.recipes.display());
        return Err(Failure::new(FailureKind::Failed, message));
    }
    let mut folders = Vec::new();
    for name in &names {
        let mut folder = if args.all {
            // Names from the folder itself need no search.
            let path = places.recipes.join(name);
            let shown = path
                .strip_prefix(&places.root)
                .unwrap_or(&path)
                .display()
                .to_string();
            RecipeFolder {
                path,
                shown,
                version: None,
            }
        } else {
            places.recipe(name, environment).map_err(|error| {
                let hint = error.hint();
                let failure = Failure::new(FailureKind::Failed, error);
                hint.into_iter().fold(failure, Failure::hint)
            })?
        };
        if folder.shown.is_empty() {
            // The folder where you stand, which no repository gives a name.
            let name = folder.path.file_name().unwrap_or_default();
            folder.shown = name.to_string_lossy().into_owned();
        }
        if !folders
            .iter()
            .any(|known: &RecipeFolder| known.path == folder.path)
        {
            folders.push(folder);
        }
    }
    Ok((folders, places.root))
}

/// Makes the safe edits or shows them, and says how many there are.
fn fix(outcome: &Outcome, dry_run: bool, printer: &Printer) -> Result<usize, Failure> {
    let mut edits = 0;
    for (file, fixed) in outcome.fix() {
        let name = outcome.sources.name(file).unwrap_or_default();
        let old = outcome.sources.text(file).unwrap_or_default();
        if dry_run {
            printer.data(&unified_diff(name, old, &fixed.text))?;
        } else if let Some(path) = outcome.paths.get(&file) {
            // What somebody changed in the meantime is not ours to overwrite.
            if fs_err::read(path)? != old.as_bytes() {
                printer.warn(&format!(
                    "`{name}` changed while it was checked, left as it is"
                ));
                continue;
            }
            write_atomic(path, fixed.text.as_bytes())?;
            printer.note(&format!("{name}: {} repaired", fixed.applied));
        }
        edits += fixed.applied;
    }
    Ok(edits)
}

fn report(outcome: &Outcome, printer: &Printer) -> Result<(), Failure> {
    let Outcome {
        diagnostics,
        sources,
        ..
    } = outcome;
    match printer.format() {
        OutputFormat::Json => printer.json(&json_report(diagnostics, sources, &TOOL)),
        OutputFormat::Sarif => {
            printer.json(&sarif_report(diagnostics, sources, &TOOL, &explanations()))
        }
        OutputFormat::Github => {
            let text = github_commands(diagnostics, sources);
            if !text.is_empty() {
                printer.data(&text)?;
            }
            Ok(())
        }
        OutputFormat::Human => people(outcome, printer),
    }?;
    let plural = if outcome.recipes == 1 { "" } else { "s" };
    printer.note(&format!(
        "checked {} recipe{plural}: {}",
        outcome.recipes,
        Counts::of(diagnostics)
    ));
    Ok(())
}

/// Errors and warnings with the lines they speak of, notes with one line each.
fn people(outcome: &Outcome, printer: &Printer) -> Result<(), Failure> {
    let style = DiagnosticStyle::of_stdout();
    let is_note = |found: &&Diagnostic| found.severity == Severity::Note;
    let (notes, rest): (Vec<_>, Vec<_>) = outcome.diagnostics.iter().partition(is_note);
    let mut text = String::new();
    for found in rest {
        text.push_str(&render_diagnostic(found, &outcome.sources, style));
        text.push('\n');
    }
    text.push_str(&short_lines(notes, &outcome.sources));
    if text.is_empty() {
        Ok(())
    } else {
        printer.data(text.trim_end())
    }
}
