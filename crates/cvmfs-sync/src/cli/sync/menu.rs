//! The menu that a run publishes.

use std::path::{Path, PathBuf};

use clap::Args;
use nd_report::{FileId, Sink};
use nd_terminal::{DiagnosticStyle, Failure, FailureKind, Sources, render_diagnostics};
use neurocommand::{
    deployment::{Deployment, Layer, SHIPPED, resolve},
    menu::IconFolder,
};

use super::catalogue::text;
use crate::{cli::args::Context, sync::Menu};

/// Catalogues that say what menus need, as a checkout calls them.
const IN_CHECKOUT: [&str; 2] = ["apps.json", "neurodesk/apps.json"];

/// Which menu is published.
#[derive(Debug, Args)]
pub(super) struct MenuArgs {
    /// Folder of the repository that holds the menu of the catalogue, such as `menu`; without, there is
    /// none
    #[arg(long, value_name = "PATH", help_heading = "Menu")]
    menu: Option<String>,
    /// The `apps.json` of the menu [default: `--catalogue`, when that is one]
    #[arg(
        long,
        value_name = "FILE|URL",
        requires = "menu",
        help_heading = "Menu"
    )]
    apps: Option<String>,
    /// Deployment file, which names the project, the desktop and the icons [default: that of Neurodesk]
    #[arg(long, value_name = "FILE", requires = "menu", help_heading = "Menu")]
    deployment: Option<PathBuf>,
}

impl MenuArgs {
    /// The menu, if one is wanted. `catalogue` is what the containers are read from.
    pub(super) fn menu(
        &self,
        context: &Context,
        catalogue: &str,
        mount: &str,
    ) -> Result<Option<Menu>, Failure> {
        let Some(at) = &self.menu else {
            return Ok(None);
        };
        let word = match &self.apps {
            Some(word) => word.clone(),
            None => apps_of(context, catalogue)?,
        };
        let deployment = self.deployment(context)?;
        let icons = deployment.icons.as_ref().map(|folder| folder.as_std_path());
        let icons = IconFolder::open(icons)?;
        let apps = text(context, &word)?;
        let mut sink = Sink::new();
        let menu = Menu::new(&apps, &deployment, (mount, at), &icons, &mut sink);
        tell(context, &sink, &[(&word, &apps)]);
        Ok(Some(menu?))
    }

    /// What the file says, over what is shipped: what the user of this machine prefers is not what
    /// everybody is given.
    fn deployment(&self, context: &Context) -> Result<Deployment, Failure> {
        let path = self.deployment.as_deref();
        let text = path.map(|path| fs_err::read_to_string(context.environment.absolute(path)));
        let text = text.transpose()?.unwrap_or_default();
        let name = path.unwrap_or(Path::new("")).display().to_string();
        let layers = [("shipped", SHIPPED), (name.as_str(), text.as_str())];
        let mut sink = Sink::new();
        let numbered = layers.iter().zip(0..);
        let numbered: Vec<Layer<'_>> = numbered
            .map(|(&(name, text), number)| {
                let file = FileId(number);
                Layer { name, file, text }
            })
            .collect();
        let resolved = resolve(&numbered, &mut sink);
        tell(context, &sink, &layers);
        if sink.has_errors() {
            let message = format!("`{name}` is no deployment file");
            return Err(Failure::new(FailureKind::Failed, message));
        }
        Ok(Deployment::of(&resolved))
    }
}

/// The catalogue with what menus need beside, or as, the one of the containers.
fn apps_of(context: &Context, catalogue: &str) -> Result<String, Failure> {
    let path = context.environment.absolute(catalogue);
    let in_checkout = IN_CHECKOUT.iter().map(|name| path.join(name));
    if let Some(found) = in_checkout.into_iter().find(|path| path.is_file()) {
        return Ok(found.display().to_string());
    }
    // An address has a last part as a path has.
    let name = catalogue.rsplit('/').next().unwrap_or(catalogue);
    if name != "applist.json" && Path::new(name).extension().is_some_and(|end| end == "json") {
        return Ok(catalogue.to_owned());
    }
    let message = format!("`{catalogue}` does not say what menus need");
    Err(Failure::new(FailureKind::Usage, message).hint("name the `apps.json` with `--apps`"))
}

/// Says what is wrong with files.
fn tell(context: &Context, sink: &Sink, files: &[(&str, &str)]) {
    let sources = files.iter().zip(0..);
    let sources = sources.fold(Sources::new(), |sources, (&(name, text), number)| {
        sources.with(FileId(number), name, text)
    });
    let told = render_diagnostics(sink.diagnostics(), &sources, DiagnosticStyle::of_stdout());
    if !told.is_empty() {
        context.printer.error_line(&told);
    }
}
