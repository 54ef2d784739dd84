//! `init`.

use std::path::PathBuf;

use clap::Args;
use nd_host::Environment;
use nd_terminal::{Failure, FailureKind, Printer};
use neurocontainers_recipe::CATEGORIES;

use crate::{
    init::{NewRecipe, write},
    recipes::Places,
};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Name of the new recipe: lower-case letters, digits, `.` and `-`
    name: String,
    /// Version of the tool
    #[arg(long = "tool-version", value_name = "VERSION", default_value = "1.0.0")]
    version: String,
    /// Topic that menus list the container under
    #[arg(long, value_name = "TOPIC", default_value = "programming", value_parser = category)]
    category: String,
    /// Folder of recipes; else `recipes` here or above
    #[arg(long, value_name = "DIR")]
    recipes: Option<PathBuf>,
}

fn category(text: &str) -> Result<String, String> {
    if CATEGORIES.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("topics are: {}", CATEGORIES.join(", ")))
    }
}

/// The command `init`.
pub(super) fn run(args: &InitArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let places = Places::find(&environment, args.recipes.as_deref(), None).map_err(|error| {
        let hint = error.hint();
        let failure = Failure::new(FailureKind::Failed, error);
        hint.into_iter().fold(failure, Failure::hint)
    })?;
    let new = NewRecipe {
        name: &args.name,
        version: &args.version,
        category: &args.category,
    };
    for path in write(&places.recipes, &new)? {
        printer.data(&path.display().to_string())?;
    }
    printer.note(&format!(
        "check it with `neurocontainers check {}`",
        args.name
    ));
    Ok(())
}
