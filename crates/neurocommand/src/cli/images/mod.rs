//! `images`: what is published, where it is and where it is not.

mod check;
mod stale;
mod upload;

use std::path::Path;

use clap::{Args, Subcommand};
use nd_fetch::{
    FetchOptions,
    s3::{Bucket, S3Credentials},
};
use nd_host::Environment;
use nd_names::ImageName;
use nd_terminal::{Failure, FailureKind, OrFail as _, Printer};

use super::{
    finding::{fits, nothing},
    session::AppsArgs,
};
use crate::{catalogue::Catalogue, images::images};

/// Commands about images in stores and registries.
#[derive(Debug, Subcommand)]
pub(super) enum ImagesCommand {
    /// Compare the catalogue with stores and registries
    Check(check::CheckArgs),
    /// Upload what stores lack, converting what only registries have
    Upload(upload::UploadArgs),
    /// Find images that nobody publishes any more, and remove them
    Stale(stale::StaleArgs),
}

/// Which images are meant.
#[derive(Debug, Args)]
struct ChoiceArgs {
    /// Names of containers, with `*` for any letters, or full names of images; all without
    names: Vec<String>,
    #[command(flatten)]
    apps: AppsArgs,
}

pub(super) fn run(command: &ImagesCommand, printer: &Printer) -> Result<(), Failure> {
    match command {
        ImagesCommand::Check(args) => check::run(args, printer),
        ImagesCommand::Upload(args) => upload::run(args, printer),
        ImagesCommand::Stale(args) => stale::run(args, printer),
    }
}

impl ChoiceArgs {
    fn images(
        &self,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<Vec<ImageName>, Failure> {
        let (catalogue, _) = self.apps.load(environment, printer)?;
        let all = images(&catalogue)?;
        if self.names.is_empty() {
            return Ok(all);
        }
        let is_wanted = |image: &ImageName, name: &str| {
            let app = image.app.as_str();
            image.stem() == name || app == name || name.contains('*') && fits(app, name)
        };
        if let Some(name) = self.unknown(&all, is_wanted) {
            return Err(nothing(&catalogue, name));
        }
        let wanted = |image: &ImageName| self.names.iter().any(|name| is_wanted(image, name));
        Ok(all.into_iter().filter(wanted).collect())
    }

    fn unknown(
        &self,
        all: &[ImageName],
        is_wanted: impl Fn(&ImageName, &str) -> bool,
    ) -> Option<&str> {
        let names = self.names.iter().map(String::as_str);
        names
            .into_iter()
            .find(|name| !all.iter().any(|image| is_wanted(image, name)))
    }
}

/// A store by its address, with the credentials of the environment.
fn bucket(environment: &Environment, url: &str) -> Result<Bucket, Failure> {
    let options = FetchOptions::from_environment(environment)?;
    let credentials = S3Credentials::from_environment(environment);
    let url = url.parse().or_fail(FailureKind::Usage)?;
    Ok(Bucket::new(options, url, credentials)?)
}

/// Addresses that the arguments name, else those of the deployment; at least one.
fn stores(given: &[String], deployed: Vec<String>) -> Result<Vec<String>, Failure> {
    let stores = if given.is_empty() {
        deployed
    } else {
        given.to_vec()
    };
    if stores.is_empty() {
        let message = "the deployment names no store";
        return Err(Failure::new(FailureKind::Usage, message).hint("name one with `--store URL`"));
    }
    Ok(stores)
}

/// Every image of the catalogue at `path`; a catalogue with errors does not say what is published.
fn published(path: &Path, printer: &Printer) -> Result<Catalogue, Failure> {
    let mut files = super::files::Files::default();
    let document = files.required(path, printer)?;
    let catalogue = crate::catalogue::decode(&document, &mut files.sink);
    files.end(printer)?;
    Ok(catalogue)
}
