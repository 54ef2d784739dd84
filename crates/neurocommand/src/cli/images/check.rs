//! `images check`.

use std::sync::Arc;

use clap::Args;
use nd_fetch::{
    FetchOptions, Fetcher,
    registry::{Registries, RegistryOptions, parse_reference},
    s3::Bucket,
};
use nd_host::Environment;
use nd_names::ImageName;
use nd_report::{Cancel, Silent, with_causes};
use nd_store::Store;
use nd_terminal::{
    Align, Failure, FailureKind, OutputFormat, Printer, Table, cancel_when_interrupted,
};
use serde_json::json;
use transparent_singularity::cli::each;

use super::{ChoiceArgs, bucket};
use crate::{
    cli::installing::JobsArgs,
    deployment::{Deployment, registry},
    images::{ImageReport, Presence, key_of},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Address of a store, below which images are; else those of the deployment
    #[arg(long = "store", value_name = "URL")]
    stores: Vec<String>,
    /// Registry and namespace, `HOST/NAMESPACE`; else those of the deployment
    #[arg(long = "registry", value_name = "NAME")]
    registries: Vec<String>,
    /// Say also what is in order
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    jobs: JobsArgs,
}

/// A place that is asked.
enum Place {
    Store(Box<Bucket>),
    Registry {
        registries: Registries,
        namespace: String,
    },
}

impl Place {
    fn ask(&self, image: &ImageName, cancel: &Cancel) -> Presence {
        let found = match self {
            Self::Store(bucket) => {
                let head = bucket.head(&key_of(image));
                head.map(|found| found.map(|stored| Some(stored.bytes)))
                    .map_err(|error| with_causes(&error))
            }
            Self::Registry {
                registries,
                namespace,
            } => {
                let name = format!("{namespace}/{}:{}_{}", image.app, image.version, image.date);
                parse_reference(&name)
                    .and_then(|name| registries.has_blocking(&name, cancel))
                    .map(|has| has.then_some(None))
                    .map_err(|error| with_causes(&error))
            }
        };
        match found {
            Ok(Some(bytes)) => Presence::There { bytes },
            Ok(None) => Presence::Missing,
            Err(reason) => Presence::Unknown { reason },
        }
    }
}

pub(super) fn run(args: &CheckArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let images = args.choice.images(&environment, printer)?;
    let places = args.places(&environment, printer)?;
    let cancel = Cancel::default();
    cancel_when_interrupted(&cancel, printer)?;
    let reports = each(&images, args.jobs.jobs, |_, image| {
        let ask = |(name, place): &(String, Place)| (name.clone(), place.ask(image, &cancel));
        cancel.check().map(|()| ImageReport {
            image: image.clone(),
            places: places.iter().map(ask).collect(),
        })
    });
    let reports = reports.into_iter().collect::<Result<Vec<_>, _>>();
    let reports = reports.map_err(|stop| Failure::new(FailureKind::Interrupted, stop))?;
    let wrong = reports
        .iter()
        .filter(|one| !one.problems().is_empty())
        .count();
    show(args, &reports, printer)?;
    if wrong == 0 {
        printer.note(&format!(
            "{} images are in all of {} places",
            images.len(),
            places.len()
        ));
        return Ok(());
    }
    let message = format!(
        "{wrong} of {} images are not everywhere as they should be",
        images.len()
    );
    Err(Failure::new(FailureKind::Failed, message)
        .hint("`neurocommand images upload` brings what stores lack"))
}

impl CheckArgs {
    fn places(
        &self,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<Vec<(String, Place)>, Failure> {
        let deployment =
            Deployment::of(&self.choice.apps.deployment.resolve(environment, printer)?);
        let is_given = !(self.stores.is_empty() && self.registries.is_empty());
        // Who names places means these and no others.
        let (stores, names) = if is_given {
            (&self.stores, &self.registries)
        } else {
            (&deployment.stores, &deployment.registries)
        };
        let mut places = Vec::new();
        for url in stores {
            places.push((
                url.clone(),
                Place::Store(Box::new(bucket(environment, url)?)),
            ));
        }
        let fetcher = || -> Result<Fetcher, Failure> {
            let store = Store::open(environment.cache_dir()?.join("store"))?;
            let options = FetchOptions::from_environment(environment)?;
            Ok(Fetcher::new(options, store, Arc::new(Silent)))
        };
        for name in names {
            let (namespace, plain) = registry(name);
            let mut options = RegistryOptions::from_environment(environment)?;
            let host = namespace.split('/').next().unwrap_or_default();
            options.plain_http.extend(plain.then(|| host.to_owned()));
            let registries = Registries::new(fetcher()?, options);
            let place = Place::Registry {
                registries,
                namespace,
            };
            places.push((name.clone(), place));
        }
        if places.is_empty() {
            let message = "the deployment names no store and no registry";
            return Err(Failure::new(FailureKind::Usage, message)
                .hint("name one with `--store URL` or `--registry NAME`"));
        }
        Ok(places)
    }
}

fn show(args: &CheckArgs, reports: &[ImageReport], printer: &Printer) -> Result<(), Failure> {
    if printer.format() == OutputFormat::Json {
        let images = reports.iter().map(|report| {
            let places = report
                .places
                .iter()
                .map(|(place, presence)| json!({"place": place, "presence": presence}));
            json!({
                "image": report.image.stem(),
                "problems": report.problems(),
                "places": places.collect::<Vec<_>>(),
            })
        });
        let images: Vec<_> = images.collect();
        return printer.json(&json!({ "schema_version": 1, "images": images }));
    }
    let columns = [
        ("image", Align::Left),
        ("place", Align::Left),
        ("state", Align::Left),
    ];
    let mut table = Table::new(columns);
    let mut rows = 0;
    for report in reports {
        if report.problems().is_empty() && !args.all {
            continue;
        }
        for (place, presence) in &report.places {
            let state = match presence {
                Presence::There { bytes: Some(bytes) } => format!("{bytes} bytes"),
                Presence::There { bytes: None } => "there".to_owned(),
                Presence::Missing => "missing".to_owned(),
                Presence::Unknown { .. } => "unknown".to_owned(),
            };
            table.row([report.image.stem(), place.clone(), state]);
            rows += 1;
        }
    }
    // One reason tells what is wrong with a place; hundreds would hide it.
    let mut told: Vec<&str> = Vec::new();
    for (place, presence) in reports.iter().flat_map(|report| &report.places) {
        if let Presence::Unknown { reason } = presence
            && !told.contains(&place.as_str())
        {
            printer.warn(&format!("`{place}` does not say what it has: {reason}"));
            told.push(place);
        }
    }
    if rows > 0 {
        printer.data(table.render_for_terminal().trim_end())?;
    }
    Ok(())
}
