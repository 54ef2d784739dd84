//! `convert`.

use std::path::{Path, PathBuf};

use clap::Args;
use indexmap::IndexMap;
use nd_builder::{ImageState, import_base};
use nd_names::{Architecture, ImageName};
use nd_report::{Event, Reporter as _, StepId, StepOutcome};
use nd_terminal::{Failure, FailureKind, human_bytes};
use serde_json::json;

use super::{args::CompressionArg, session::Session};
use crate::{
    base,
    output::{Compression, ImageDescription, SifInputs, tree_facts, write_sif},
};

/// Name of images whose file is not called as a container is; part of the SIF's id alone.
const NAMELESS: &str = "image_0_20000101";

/// Arguments of `convert`.
#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// An OCI layout (`oci:DIR`) or OCI archive (`oci-archive:FILE`)
    source: String,
    /// The SIF to write, in place of what is there
    destination: PathBuf,
    /// Architecture of the image
    #[arg(long, value_name = "ARCH")]
    architecture: Option<Architecture>,
    /// Compression of the SIF's file system
    #[arg(long, value_name = "NAME", default_value = "zstd")]
    compression: CompressionArg,
}

/// The command `convert`: writes an image on disk as a SIF, by its layers, without an unpacked copy.
pub(super) fn run(session: &Session, args: &ConvertArgs) -> Result<(), Failure> {
    let store = session.store()?;
    let workshop = session.workshop(&store);
    let plain = ["oci:", "oci-archive:"]
        .iter()
        .find_map(|word| args.source.strip_prefix(word))
        .unwrap_or(&args.source);
    if !args.source.starts_with("oci") && args.source.contains(':') {
        let text = format!("`{}` is no image on disk", args.source);
        return Err(
            Failure::new(FailureKind::Usage, text).hint("write `oci:DIR` or `oci-archive:FILE`")
        );
    }
    let source = session.environment.absolute(plain);
    let host = Architecture::of_this_program().unwrap_or(Architecture::X86_64);
    let architecture = args.architecture.unwrap_or(host);
    let name = Path::new(plain)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let base = base::import(&source, &name, architecture, &store, &**workshop.programs)?;
    let layers = import_base(&store, &store, &base.image)?.layers;
    let facts = tree_facts(&store, &layers)?;
    let digests = facts.digests();
    let digests = digests.ok_or_else(|| Failure::new(FailureKind::Internal, "no tree digest"))?;
    let destination = session.environment.absolute(&args.destination);
    let config = serde_json::to_value(&base.image.config)?;
    let created = config["created"].as_str().unwrap_or_default();
    let image = ImageDescription {
        name: called(&destination)?,
        architecture,
        epoch: created
            .parse()
            .map_or(0, |time: jiff::Timestamp| time.as_second()),
        state: ImageState::of(&base.image.config),
        layers,
        history: Vec::new(),
        labels: IndexMap::new(),
        base: base.origin.clone(),
        ids: "unknown",
    };
    let definition = format!("bootstrap: oci\nfrom: {name}@{}\n", base.image.digest.oci());
    let inputs = SifInputs {
        image: &image,
        facts: &facts,
        digests: &digests,
        definition: &definition,
        compression: match args.compression {
            CompressionArg::Zstd => Compression::Zstd,
            CompressionArg::Gzip => Compression::Gzip,
        },
    };
    let (id, started) = (StepId(0), std::time::Instant::now());
    session.reporter.event(Event::Started {
        id,
        title: "write the SIF",
        bytes: Some(facts.bytes),
    });
    let written = write_sif(
        &destination,
        &store,
        &inputs,
        &session.reporter,
        id,
        &session.cancel,
    );
    session.reporter.event(Event::Finished {
        id,
        outcome: match written {
            Ok(_) => StepOutcome::Done,
            Err(_) => StepOutcome::Failed,
        },
        took: started.elapsed(),
    });
    let written = written?;
    if session.json() {
        return session.printer.json(&json!({
            "path": destination.display().to_string(),
            "bytes": written.bytes,
            "digest": written.digest.oci(),
            "tree": digests.tree.to_string(),
            "tree_full": digests.full.to_string(),
        }));
    }
    session.printer.data(&format!(
        "{} ({})\n{}\n{}\n",
        destination.display(),
        human_bytes(written.bytes),
        written.digest.oci(),
        digests.tree
    ))
}

/// What a file is called, if it is called as a container is.
fn called(path: &Path) -> Result<ImageName, Failure> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match stem.parse() {
        Ok(name) => Ok(name),
        Err(_) => Ok(NAMELESS.parse()?),
    }
}
