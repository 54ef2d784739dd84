//! Where a command comes from, from what the image itself says and what was recorded.

use std::fmt::Write as _;

use clap::Args;
use nd_names::Sha256;
use nd_terminal::{Failure, FailureKind};
use serde_json::{Value, json};

use super::{super::Context, having};
use crate::{InstallRecord, OpenImage, Placement, Site};

/// Arguments of `prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Which command
    #[arg(value_name = "CMD")]
    pub command: String,
    /// The image, when several have the command
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// Read every byte of the image and compare its tree with the digest it names
    #[arg(long)]
    pub check: bool,
}

/// Labels that say where an image comes from, and how each is shown.
const LABELS: [(&str, &str); 8] = [
    ("org.neurodesk.recipe-path", "recipe"),
    ("org.neurodesk.recipe-commit", "recipe commit"),
    ("org.neurodesk.build-date", "build date"),
    ("org.neurodesk.lock", "lock"),
    ("org.neurodesk.licence", "licence"),
    ("org.opencontainers.image.licenses", "licences"),
    ("org.neurodesk.citation", "citation"),
    ("org.opencontainers.image.source", "source"),
];

/// `prove CMD`: no connection is opened and nothing is run.
pub(in crate::cli) fn prove(context: &Context, args: &ProveArgs) -> Result<(), Failure> {
    let (site, record) = if let Some(name) = &args.image {
        context.find(name)?
    } else {
        let found = having(context, &args.command)?;
        let first = found.into_iter().next();
        first.ok_or_else(|| Failure::new(FailureKind::Failed, "nothing is installed"))?
    };
    if !record.commands.contains(&args.command) {
        return Err(Failure::new(
            FailureKind::Failed,
            format!("{} has no command `{}`", record.image, args.command),
        ));
    }
    let image = OpenImage::open(&site.image(&record))?;
    let labels = image.metadata.labels.clone();
    let tree = image
        .metadata
        .tree
        .clone()
        .or_else(|| labels.get("org.neurodesk.tree").cloned());
    let signed = image.metadata.signed;
    drop(image);
    let checked = if args.check {
        Some(check(context, &site, &record, tree.as_deref())?)
    } else {
        None
    };
    let tests = tests(&site, &record);
    let facts: Vec<(&str, &String)> = LABELS
        .iter()
        .filter_map(|(label, title)| {
            Some((
                *title,
                labels.get(*label).filter(|value| !value.is_empty())?,
            ))
        })
        .collect();
    if context.is_json() {
        context.printer.json(&json!({
            "schema_version": 1,
            "command": args.command,
            "image": record.image,
            "file": site.image(&record),
            "tree": tree,
            "checked": checked.as_ref().map(|(good, found)| json!({"equal": good, "found": found})),
            "labels": labels,
            "signed": signed,
            "source": record.source,
            "tests": tests,
        }))?;
    } else {
        let mut out = format!("command: {}\nimage: {}\n", args.command, record.image);
        let _ = writeln!(out, "installed from: {}", record.source.from);
        if let Some(tree) = &tree {
            let _ = writeln!(out, "tree: {tree}");
        } else {
            out += "tree: the image names none\n";
        }
        for (title, value) in facts {
            let value: Vec<&str> = value.lines().collect();
            let _ = writeln!(out, "{title}: {}", value.join("\n  "));
        }
        if signed {
            out += "signature: there is one, not checked\n";
        }
        if let Some(tests) = &tests {
            let _ = writeln!(out, "tests: {tests}");
        } else {
            out += "tests: no record beside the image\n";
        }
        match &checked {
            Some((true, found)) => {
                let _ = writeln!(out, "checked: the bytes are this tree ({found})");
            }
            Some((false, found)) => {
                let _ = writeln!(out, "checked: the bytes are another tree, {found}");
            }
            None => {}
        }
        context.printer.data(&out)?;
    }
    match checked {
        Some((false, _)) => Err(Failure::new(
            FailureKind::Failed,
            format!("image {} does not hold what it says", record.image),
        )),
        _ => Ok(()),
    }
}

/// Whether the bytes are those of the digest that the image names, and the digest of the bytes. An
/// image that names none is compared with the digest recorded of its file, or of what was unpacked.
fn check(
    context: &Context,
    site: &Site,
    record: &InstallRecord,
    tree: Option<&str>,
) -> Result<(bool, String), Failure> {
    let path = site.image(record);
    let index = if record.placement == Placement::File {
        OpenImage::open(&path)?.files.index(&context.cancel)?
    } else {
        let target = fs_err::canonicalize(&path)?;
        nd_oci::read_directory(&target)?.0
    };
    let found = nd_rootfs::digests(&index).tree.to_string();
    let unpacked = record.unpacked.as_ref();
    if let Some(tree) = tree.or(unpacked.map(|unpacked| unpacked.tree.as_str())) {
        return Ok((found == tree, found));
    }
    let Some(known) = record.sha256() else {
        return Err(Failure::new(
            FailureKind::Failed,
            "the image names no digest, and none was recorded",
        ));
    };
    let file = Sha256::of_rest(fs_err::File::open(&path)?)?;
    Ok((file == known, file.to_string()))
}

/// What the test reports beside the image say.
fn tests(site: &Site, record: &InstallRecord) -> Option<String> {
    let bytes = fs_err::read(site.folder(record).join(crate::TESTS)).ok()?;
    let reports: Value = serde_json::from_slice(&bytes).ok()?;
    let mut cases = reports
        .as_array()?
        .iter()
        .filter_map(|report| report["cases"].as_array())
        .flatten();
    let (mut passed, mut all) = (0, 0);
    let mut failed = Vec::new();
    for case in &mut cases {
        all += 1;
        match case["status"].as_str() {
            Some("passed") => passed += 1,
            Some("failed") => failed.extend(case["name"].as_str().map(str::to_owned)),
            _ => {}
        }
    }
    let mut text = format!("{passed} of {all} passed");
    if !failed.is_empty() {
        let _ = write!(text, ", failed: {}", failed.join(", "));
    }
    Some(text)
}
