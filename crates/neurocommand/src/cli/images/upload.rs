//! `images upload`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use nd_fetch::s3::{Bucket, Upload};
use nd_host::Environment;
use nd_names::{ImageName, Sha256};
use nd_report::{Reporter, StepId};
use nd_terminal::{Failure, FailureKind, OrFail as _, OutputFormat, Printer, human_bytes};
use serde_json::json;
use transparent_singularity::{
    Content, OpenImage, WrapperStyle,
    cli::{Getter, InstallerOptions, each},
};

use super::{ChoiceArgs, bucket, stores};
use crate::{
    cli::{installing::JobsArgs, session::sources},
    deployment::Deployment,
    images::key_of,
};

/// Steps of uploads count from here, above those of downloads.
const FIRST_STEP: u32 = 1 << 31;

#[derive(Debug, Args)]
pub(in crate::cli) struct UploadArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Address of a store, below which images are; else those of the deployment
    #[arg(long = "store", value_name = "URL")]
    stores: Vec<String>,
    /// Folder of images, `NAME_VERSION_DATE.simg`, that is looked into before any source
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Settings of `transparent-singularity`, in place of those of the user and of the machine
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Say what would be uploaded
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    jobs: JobsArgs,
}

/// What came of one image.
enum Done {
    /// All stores have it.
    There,
    /// These stores lack it.
    Wanted(Vec<String>),
    /// It was sent: to which stores, and how many bytes of it.
    Sent(Vec<(String, u64)>),
}

/// What uploads work with.
struct Work<'a> {
    args: &'a UploadArgs,
    environment: &'a Environment,
    getter: Getter,
    stores: Vec<String>,
}

pub(super) fn run(args: &UploadArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let images = args.choice.images(&environment, printer)?;
    let resolved = args.choice.apps.deployment.resolve(&environment, printer)?;
    let set_up = InstallerOptions {
        settings: args.settings.clone(),
        sources: sources(&resolved),
        style: WrapperStyle::Script,
        ..InstallerOptions::default()
    };
    let downloads = environment.cache_dir()?.join("images");
    let work = Work {
        args,
        environment: &environment,
        getter: Getter::new(&set_up, &downloads, printer.clone())?,
        stores: stores(&args.stores, Deployment::of(&resolved).stores)?,
    };
    let done = each(&images, args.jobs.jobs, |number, image| {
        work.one(number, image)
    });
    summary(&images, done, printer)
}

impl Work<'_> {
    fn one(&self, number: usize, image: &ImageName) -> Result<Done, Failure> {
        let cancel = &self.getter.fetch().cancel;
        cancel.check().or_fail(FailureKind::Interrupted)?;
        let key = key_of(image);
        let mut wanting: Vec<(&String, Bucket)> = Vec::new();
        for store in &self.stores {
            let bucket = bucket(self.environment, store)?;
            // What cannot be asked is no reason to send gigabytes.
            if bucket.head(&key)?.is_none() {
                wanting.push((store, bucket));
            }
        }
        if wanting.is_empty() {
            return Ok(Done::There);
        }
        if self.args.dry_run {
            return Ok(Done::Wanted(
                wanting
                    .into_iter()
                    .map(|(store, _)| store.clone())
                    .collect(),
            ));
        }
        let (path, sha256, is_ours) = self.get(number, image)?;
        let mut sent = Vec::new();
        let result = wanting.iter().try_for_each(|(store, bucket)| {
            let step = FIRST_STEP.saturating_add(u32::try_from(number).unwrap_or(0));
            let reporter: Arc<dyn Reporter> = self.getter.fetch().reporter.clone();
            let uploaded = bucket.upload(&Upload {
                key: &key,
                file: &path,
                sha256,
                told: (reporter, StepId(step)),
                cancel,
            })?;
            // For those who download it by hand, and for settings with a `checksum`.
            let line = format!("{sha256}  {key}\n");
            bucket.put(&format!("{key}.sha256"), line.as_bytes())?;
            sent.push(((*store).clone(), uploaded.sent));
            Ok::<(), Failure>(())
        });
        if is_ours && result.is_ok() {
            fs_err::remove_file(&path)?;
        }
        result.map(|()| Done::Sent(sent))
    }

    /// The image as a file with its digest, and whether it is ours to remove.
    fn get(&self, number: usize, image: &ImageName) -> Result<(PathBuf, Sha256, bool), Failure> {
        let key = key_of(image);
        let given = self.args.from.as_ref();
        let given = given.map(|folder| self.environment.absolute(folder).join(&key));
        if let Some(path) = given.filter(|path| path.is_file()) {
            OpenImage::open(&path)?;
            let sha256 = Sha256::of_rest(fs_err::File::open(&path)?)?;
            return Ok((path, sha256, false));
        }
        match self.getter.obtain(number, image)?.content {
            Content::File { path, sha256, .. } => Ok((path, sha256, true)),
            Content::Link(path) | Content::Folder(path) => {
                let message = format!("`{}` is no image file", path.display());
                Err(Failure::new(FailureKind::Failed, message))
            }
        }
    }
}

/// Says what was uploaded and what failed, and fails when anything did.
fn summary(
    images: &[ImageName],
    done: Vec<Result<Done, Failure>>,
    printer: &Printer,
) -> Result<(), Failure> {
    let is_json = printer.format() == OutputFormat::Json;
    let (mut there, mut wanted, mut sent, mut failed) = (0, Vec::new(), Vec::new(), Vec::new());
    for (image, result) in images.iter().zip(done) {
        match result {
            Ok(Done::There) => there += 1,
            Ok(Done::Wanted(stores)) => {
                if !is_json {
                    printer.data(&format!("{image} to {}", stores.join(", ")))?;
                }
                wanted.push(json!({ "image": image.stem(), "stores": stores }));
            }
            Ok(Done::Sent(stores)) => {
                for (store, bytes) in stores {
                    let size = human_bytes(bytes);
                    printer.note(&format!("uploaded {image} to {store}: sent {size}"));
                    sent.push(json!({ "image": image.stem(), "store": store, "sent": bytes }));
                }
            }
            Err(failure) => {
                printer.error_line(&format!("{image}: {}", failure.render().trim_end()));
                failed.push(image.stem());
            }
        }
    }
    if is_json {
        printer.json(&json!({
            "schema_version": 1, "there": there, "wanted": wanted, "uploaded": sent, "failed": failed,
        }))?;
    } else {
        let (new, bad) = (sent.len(), failed.len());
        printer.note(&format!("{there} were there, {new} uploads, {bad} failed"));
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("failed to upload {}", failed.join(", "));
    Err(Failure::new(FailureKind::Failed, message).hint("the same command goes on where it was"))
}
