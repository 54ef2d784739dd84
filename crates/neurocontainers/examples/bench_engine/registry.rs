//! The base of a recipe from a registry of this machine and into one, beside `skopeo`.
//!
//! Both sides start with nothing: a pull goes into a new OCI layout (ours through a new store), a push
//! into a registry without a single blob. What was read or written before lies in the page cache for
//! both. Pairs run alternately.

use std::{path::Path, process::Command, sync::Arc};

use nd_fetch::{
    FetchOptions, Fetcher,
    registry::{Reference, Registries, RegistryOptions, parse_reference},
};
use nd_names::Architecture;
use nd_oci::{Layout, oci_spec::image::Descriptor};
use nd_report::{Cancel, Silent};
use nd_store::Store;
use nd_terminal::human_bytes;
use nd_testkit::{Registry, peer};

use crate::{
    Args,
    engine::Place,
    measure::{Taken, median, run},
    report::Report,
};

/// Transfers take fractions of a second: this many for each round of the slow pairs.
const EACH: usize = 7;

pub(crate) fn bench(args: &Args, folder: &Path, report: &mut Report) {
    let what = "base image from and to a registry";
    let (Some(skopeo), Some(registry)) = (peer("skopeo"), Registry::start()) else {
        report.skip(what, "skopeo or docker-registry is not installed");
        return;
    };
    let place = Place::prepare(args, folder);
    let layout = place.base_layout();
    let image = layout.image(Some("base")).unwrap();
    let bytes: u64 = image.manifest.layers().iter().map(Descriptor::size).sum();
    eprintln!("{} of layers", human_bytes(bytes));
    let copy = || {
        let mut command = Command::new(&skopeo);
        command.args(["--insecure-policy", "copy", "--quiet"]);
        command
    };
    let own = |verb: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(verb);
        command
    };
    let from = format!("oci:{}:base", layout.path().display());
    let name = named(&registry);
    push(layout.path(), &name);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds.max(1) * EACH {
        let to = place.fresh("pulled-by-us");
        ours.push(run(own("pull").arg(&name).arg(&to)));
        let to = place.fresh("pulled-by-skopeo");
        let to = format!("oci:{}:base", to.display());
        let source = format!("docker://{name}");
        theirs.push(run(copy().args(["--src-tls-verify=false", &source, &to])));
    }
    compare(report, "pull of the base image", ours, theirs, 0.8);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds.max(1) * EACH {
        let registry = Registry::start().unwrap();
        ours.push(run(own("push").arg(layout.path()).arg(named(&registry))));
        let registry = Registry::start().unwrap();
        let to = format!("docker://{}", named(&registry));
        theirs.push(run(copy().args(["--dest-tls-verify=false", &from, &to])));
    }
    compare(report, "push of the base image", ours, theirs, 1.0);
}

fn named(registry: &Registry) -> String {
    format!("{}/group/base:1", registry.address())
}

fn compare(report: &mut Report, what: &str, ours: Vec<Taken>, theirs: Vec<Taken>, limit: f64) {
    report.compare(what, median(ours), "skopeo copy", median(theirs), limit);
}

/// Pulls `name` into a new store below `folder`, and from there into a layout.
pub(crate) fn pull(name: &str, folder: &Path) {
    let store = Store::open(folder.join("store")).unwrap();
    let (registries, reference) = registries(&store, name);
    let architecture = Architecture::of_this_program().unwrap();
    let pulled = registries
        .pull_blocking(&reference, architecture, &Cancel::default())
        .unwrap();
    let layout = Layout::create(folder.join("layout")).unwrap();
    let digest = pulled.image.digest;
    layout.put_image(&store, &digest, Some("base")).unwrap();
}

/// Pushes the image `base` of a layout.
pub(crate) fn push(layout: &Path, name: &str) {
    let temporary = tempfile::tempdir().unwrap();
    let store = Store::open(temporary.path()).unwrap();
    let (registries, reference) = registries(&store, name);
    let layout = Layout::open(layout).unwrap();
    let image = layout.image(Some("base")).unwrap();
    registries
        .push_blocking(&layout, &image, &reference, None, &Cancel::default())
        .unwrap();
}

fn registries(store: &Store, name: &str) -> (Registries, Reference) {
    let reference = parse_reference(name).unwrap();
    let fetcher = Fetcher::new(FetchOptions::default(), store.clone(), Arc::new(Silent));
    let options = RegistryOptions {
        plain_http: vec![reference.registry().to_owned()],
        ..RegistryOptions::default()
    };
    (Registries::new(fetcher, options), reference)
}
