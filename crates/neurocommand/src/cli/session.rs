//! What several commands need: the environment, the deployment, the catalogue.

use std::path::{Path, PathBuf};

use camino::Utf8PathBuf;
use clap::Args;
use nd_host::Environment;
use nd_report::{FileId, Sink};
use nd_terminal::{Failure, FailureKind, Printer};
use transparent_singularity::SourceSetting;

use super::{files::Files, refresh};
use crate::{
    catalogue::Catalogue,
    deployment::{Deployment, Layer, Resolved, SHIPPED, resolve},
    find::Index,
};

/// Which deployment is meant.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct DeploymentArgs {
    /// Deployment file, laid over all others
    #[arg(long, value_name = "FILE", env = nd_terminal::env::ND_DEPLOYMENT)]
    pub(super) deployment: Option<PathBuf>,
}

/// Which catalogue is meant.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AppsArgs {
    /// The catalogue; else `apps.json` here, else that of the deployment
    #[arg(long, value_name = "FILE")]
    pub(super) apps: Option<PathBuf>,
    /// Descriptions and commands; else `index.json` beside the catalogue
    #[arg(long, value_name = "FILE")]
    pub(super) index: Option<PathBuf>,
    #[command(flatten)]
    pub(super) deployment: DeploymentArgs,
}

impl DeploymentArgs {
    /// The settings, with where each comes from.
    pub(super) fn resolve(
        &self,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<Resolved, Failure> {
        let mut files = Files::default();
        let mut paths = vec![environment.system_config_dir().join("deployment.toml")];
        paths.extend(
            environment
                .config_dir()
                .ok()
                .map(|folder| folder.join("deployment.toml")),
        );
        paths.push(environment.absolute("neurodesk.toml"));
        paths.retain(|path| path.is_file());
        paths.extend(
            self.deployment
                .as_ref()
                .map(|path| environment.absolute(path)),
        );
        for path in &paths {
            files.text(path)?;
        }
        let mut sink = Sink::new();
        let shipped = Layer {
            name: "shipped",
            file: FileId(u32::MAX),
            text: SHIPPED,
        };
        let layers: Vec<Layer<'_>> = std::iter::once(shipped)
            .chain(files.texts.iter().map(|text| Layer {
                name: &text.name,
                file: text.file,
                text: &text.text,
            }))
            .collect();
        let resolved = resolve(&layers, &mut sink);
        files.sink = sink;
        files.end(printer)?;
        Ok(resolved)
    }
}

/// The sources of images that a deployment names; `None` when it is the shipped one, whose sources
/// the settings of `transparent-singularity` know in more detail.
pub(super) fn sources(resolved: &Resolved) -> Option<Vec<SourceSetting>> {
    let keys = ["registries", "stores", "repository"];
    resolved
        .is_set(&keys)
        .then(|| Deployment::of(resolved).sources())
}

impl AppsArgs {
    /// Where the catalogue is.
    pub(super) fn path(
        &self,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.apps {
            return Ok(environment.absolute(path));
        }
        let here = environment.absolute("apps.json");
        if here.is_file() {
            return Ok(here);
        }
        let deployment = Deployment::of(&self.deployment.resolve(environment, printer)?);
        let copy = refresh::copy(environment, &deployment);
        let places = [
            deployment.catalogue.map(Utf8PathBuf::into_std_path_buf),
            copy,
        ];
        let places: Vec<PathBuf> = places.into_iter().flatten().collect();
        if let Some(path) = places.iter().find(|path| path.is_file()) {
            return Ok(path.clone());
        }
        let names: Vec<String> = places
            .iter()
            .map(|path| format!("nor `{}`", path.display()))
            .collect();
        let message = format!(
            "there is no catalogue: neither `apps.json` here {}",
            names.join(" ")
        );
        let failure =
            Failure::new(FailureKind::Failed, message).hint("name one with `--apps FILE`");
        Err(if deployment.catalogue_url.is_some() {
            failure.hint("`neurocommand catalogue refresh` gets the published one")
        } else {
            failure
        })
    }

    /// The catalogue and what is known about its containers.
    pub(super) fn load(
        &self,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<(Catalogue, Index), Failure> {
        let path = self.path(environment, printer)?;
        let catalogue = Files::default().catalogue(&path, printer)?;
        let index = if let Some(path) = &self.index {
            Some(read_index(&environment.absolute(path))?)
        } else {
            let beside = path.with_file_name("index.json");
            beside.is_file().then(|| read_index(&beside)).transpose()?
        };
        Ok((catalogue, index.unwrap_or_default()))
    }
}

fn read_index(path: &Path) -> Result<Index, Failure> {
    let text = fs_err::read_to_string(path)?;
    Index::parse(&text).map_err(|error| {
        Failure::new(
            FailureKind::Failed,
            format!("`{}` is no index: {error}", path.display()),
        )
        .hint("`neurocommand catalogue index --recipes DIR` makes one")
    })
}
