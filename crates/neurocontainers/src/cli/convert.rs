//! `convert`.

use std::{fmt::Write as _, path::Path};

use clap::Args;
use indexmap::IndexMap;
use nd_builder::{ImageState, import_base};
use nd_names::{Architecture, ImageName};
use nd_report::{Event, Reporter as _, StepId, StepOutcome};
use nd_rootfs::TreeDigests;
use nd_store::Store;
use nd_terminal::{Failure, FailureKind, human_bytes};
use serde_json::json;

use super::{args::CompressionArg, session::Session};
use crate::{
    base::{self, Base, BaseKind, FromRegistry},
    output::{
        Delivered, Delivery, ImageDescription, ImagePlace, SifInputs, deliver, deliver_together,
        file_digest, in_oci_types, tree_facts, write_sif,
    },
    pipeline::Workshop,
};

/// Name of images whose file is not called as a container is; part of the SIF's id alone.
const NAMELESS: &str = "image_0_20000101";

/// Arguments of `convert`.
#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// An image: `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`, `sif:FILE`, `dir:DIR`,
    /// `registry:REF`, or the path of any but the last. Several images, each for another
    /// architecture, become one in a layout or a registry
    #[arg(required = true)]
    sources: Vec<String>,
    /// Where it goes, in the same words; a path is that of a SIF. An image of that kind is replaced
    destination: String,
    /// Architecture of the image, where there is a choice
    #[arg(long, value_name = "ARCH")]
    architecture: Option<Architecture>,
    /// Compression of the SIF's file system
    #[arg(long, value_name = "NAME", default_value = "zstd")]
    compression: CompressionArg,
}

/// The command `convert`: writes an image in another form, by its layers, without an unpacked copy.
pub(super) fn run(session: &Session, args: &ConvertArgs) -> Result<(), Failure> {
    let sources = args.sources.iter();
    let sources = sources.map(|text| place(text, |path| ImagePlace::Oci(path.into())));
    let sources: Vec<ImagePlace> = sources.collect::<Result<_, _>>()?;
    let destination = place(&args.destination, |path| ImagePlace::Sif(path.into()))?;
    let destination = session.absolute(&destination);
    let store = session.store()?;
    let workshop = session.workshop(&store)?;
    let [source] = &sources[..] else {
        return together(session, &workshop, &sources, &destination, args);
    };
    let (base, name) = open(&workshop, source, args.architecture)?;
    if let ImagePlace::Sif(path) = &destination {
        return sif(session, args, &store, &base, (path, &name));
    }
    let image = in_oci_types(&store, base.image.clone())?;
    // A SIF that becomes an image of a registry stays beside it.
    let own = source.path().map(|path| session.environment.absolute(path));
    let own = own.filter(|_| base.origin.how == BaseKind::Sif);
    let sif = match &own {
        Some(path) => Some((path.as_path(), file_digest(path)?.0)),
        None => None,
    };
    let delivery = Delivery {
        blobs: &store,
        image: &image,
        name: &format!("{}:latest", tagged(&name)),
        sif,
    };
    let delivered = deliver(&workshop, &destination, &delivery)?;
    let layers = import_base(&store, &store, &image)?.layers;
    let facts = tree_facts(&store, &layers)?;
    let digests = facts.digests();
    let digests = digests.ok_or_else(|| Failure::new(FailureKind::Internal, "no tree digest"))?;
    say(session, &destination.to_string(), &delivered, &digests)
}

/// Writes several images as one for several architectures.
fn together(
    session: &Session,
    workshop: &Workshop<'_>,
    sources: &[ImagePlace],
    destination: &ImagePlace,
    args: &ConvertArgs,
) -> Result<(), Failure> {
    let mut images = Vec::new();
    for source in sources {
        let (base, _) = open(workshop, source, args.architecture)?;
        images.push(in_oci_types(workshop.store, base.image)?);
    }
    let digest = deliver_together(workshop, destination, &images)?;
    if session.json() {
        return session.printer.json(&json!({
            "place": destination.to_string(),
            "digest": digest.oci(),
            "images": images.iter().map(|image| image.digest.oci()).collect::<Vec<_>>(),
        }));
    }
    let mut text = format!("{destination}\n{}\n", digest.oci());
    for image in &images {
        let (digest, architecture) = (image.digest.oci(), image.config.architecture());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {digest}  {architecture}");
    }
    session.printer.data(&text)
}

/// The place that words name; what has no kind is a path, for `plain` to say of what.
fn place(text: &str, plain: fn(&str) -> ImagePlace) -> Result<ImagePlace, Failure> {
    match text.parse::<ImagePlace>() {
        Ok(place) => Ok(place),
        Err(_) if !text.contains(':') => Ok(plain(text)),
        Err(error) => Err(Failure::new(FailureKind::Usage, error)),
    }
}

/// The image in the store, and what it is called.
fn open(
    workshop: &Workshop<'_>,
    source: &ImagePlace,
    architecture: Option<Architecture>,
) -> Result<(Base, String), Failure> {
    if let ImagePlace::Registry(reference) = source {
        let machine = Architecture::of_this_program().unwrap_or(Architecture::X86_64);
        let architecture = architecture.unwrap_or(machine);
        let registry = FromRegistry {
            workshop,
            reference,
            architecture,
            refresh: true,
            pinned: None,
        };
        let name = reference.rsplit('/').next().unwrap_or(reference);
        let name = name.split(['@', ':']).next().unwrap_or(name);
        return Ok((registry.any(workshop.offline)?, name.to_owned()));
    }
    let path = source.path().cloned().unwrap_or_default();
    let path = workshop.environment.absolute(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let base = base::import(&path, &name, architecture, workshop.store)?;
    Ok((base, name.into_owned()))
}

/// Writes the SIF.
fn sif(
    session: &Session,
    args: &ConvertArgs,
    store: &Store,
    base: &Base,
    (destination, name): (&Path, &str),
) -> Result<(), Failure> {
    let layers = import_base(store, store, &base.image)?.layers;
    let facts = tree_facts(store, &layers)?;
    let digests = facts.digests();
    let digests = digests.ok_or_else(|| Failure::new(FailureKind::Internal, "no tree digest"))?;
    let config = serde_json::to_value(&base.image.config)?;
    let architecture = config["architecture"].as_str().unwrap_or_default();
    let architecture = architecture
        .parse()
        .map_err(|error| Failure::new(FailureKind::Failed, error))?;
    let created = config["created"].as_str().unwrap_or_default();
    let image = ImageDescription {
        name: called(destination)?,
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
        compression: args.compression.packed(),
    };
    let (id, started) = (StepId(0), std::time::Instant::now());
    session.reporter.event(Event::Started {
        id,
        title: "write the SIF",
        bytes: Some(facts.bytes),
    });
    let written = write_sif(
        destination,
        store,
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
    let delivered = Delivered {
        bytes: written.bytes,
        digest: written.digest,
    };
    say(
        session,
        &destination.display().to_string(),
        &delivered,
        &digests,
    )
}

fn say(
    session: &Session,
    place: &str,
    delivered: &Delivered,
    digests: &TreeDigests,
) -> Result<(), Failure> {
    if session.json() {
        return session.printer.json(&json!({
            "path": place,
            "bytes": delivered.bytes,
            "digest": delivered.digest.oci(),
            "tree": digests.tree.to_string(),
            "tree_full": digests.full.to_string(),
        }));
    }
    session.printer.data(&format!(
        "{place} ({})\n{}\n{}\n",
        human_bytes(delivered.bytes),
        delivered.digest.oci(),
        digests.tree
    ))
}

/// A name as registries and Docker allow it.
fn tagged(name: &str) -> String {
    let stem = Path::new(name).file_stem().unwrap_or_default();
    let lower = stem.to_string_lossy().to_ascii_lowercase();
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let plain: String = lower.chars().map(word).collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        "image".to_owned()
    } else {
        parts.join("-")
    }
}

/// What a file is called, if it is called as a container is.
fn called(path: &Path) -> Result<ImageName, Failure> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match stem.parse() {
        Ok(name) => Ok(name),
        Err(_) => Ok(NAMELESS.parse()?),
    }
}
