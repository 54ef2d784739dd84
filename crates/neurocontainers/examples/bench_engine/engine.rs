//! Building and packing a recipe, beside `buildah`, `apptainer build` and `mksquashfs`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use nd_host::{Environment, SystemClock, SystemPrograms};
use nd_names::Architecture;
use nd_oci::Layout;
use nd_report::{Cancel, Silent};
use nd_sandbox::IdMode;
use nd_store::Store;
use nd_terminal::human_bytes;
use nd_testkit::peer;
use neurocontainers::{
    base::{Base, Bootstrapper},
    machine::{Machine, Mirrors},
};

use crate::{
    Args,
    measure::{Taken, median, run},
    report::Report,
};

/// What packing may take at most, in bytes.
const MEMORY: u64 = 200_000_000;
const ZSTD: &str = "-comp zstd -Xcompression-level 3";

pub(crate) fn bench(args: &Args, folder: &Path, report: &mut Report) {
    let place = Place::prepare(args, folder);
    place.unpack_base();
    let built = rounds(args.rounds, |round| place.build(round));
    let layout = place
        .folder
        .join("out-0/build")
        .join(&args.recipe)
        .join("out/oci");
    let buildah = peer("buildah");
    let apptainer = peer("apptainer");
    let what = "base image to SIF, nothing cached";
    match (&buildah, &apptainer) {
        (Some(buildah), Some(apptainer)) => {
            let theirs = Buildah::prepare(&place, buildah, apptainer);
            let theirs = rounds(args.rounds, |round| theirs.build(round));
            report.compare(what, built, "buildah, apptainer", theirs, 0.7);
        }
        _ => report.skip(what, "buildah or apptainer is not installed"),
    }
    let own = std::env::current_exe().unwrap();
    let ours = rounds(args.rounds, |round| {
        let store = place.fresh(&format!("convert-{round}"));
        let sif = store.with_extension("sif");
        run(Command::new(&own)
            .arg("convert")
            .args([&layout, &sif, &store]))
    });
    // As in a build, and in every conversion after the first: the store has the layers' indexes.
    let known = place.folder.join("cache-0/store");
    let again = rounds(args.rounds, |round| {
        let sif = place.fresh(&format!("again-{round}.sif"));
        run(Command::new(&own)
            .arg("convert")
            .args([&layout, &sif, &known]))
    });
    let (cold, warm) = (
        "OCI layout to SIF, unknown layers",
        "OCI layout to SIF, known layers",
    );
    match &apptainer {
        Some(apptainer) => {
            let theirs = rounds(args.rounds, |_| apptainer_build(&place, apptainer, &layout));
            report.compare(cold, ours, "apptainer build zstd-3", theirs, 0.25);
            report.compare(warm, again, "apptainer build zstd-3", theirs, 0.25);
        }
        None => report.skip(warm, "apptainer is not installed"),
    }
    match (peer("umoci"), peer("mksquashfs")) {
        (Some(umoci), Some(mksquashfs)) => {
            let tree = place.fresh("bundle");
            let image = format!("{}:{}", layout.display(), reference(&layout));
            run(Command::new(umoci)
                .args(["unpack", "--image", &image])
                .arg(&tree));
            let theirs = rounds(args.rounds, |_| {
                let out = place.fresh("tree.squashfs");
                let mut command = Command::new(&mksquashfs);
                command
                    .arg(tree.join("rootfs"))
                    .arg(out)
                    .args(ZSTD.split(' '))
                    .arg("-no-progress");
                run(&mut command)
            });
            report.compare(cold, ours, "mksquashfs zstd-3", theirs, 1.2);
            report.compare(warm, again, "mksquashfs zstd-3", theirs, 1.2);
        }
        _ => report.skip(warm, "umoci or mksquashfs is not installed"),
    }
    report.limit(
        "OCI layout to SIF: memory",
        human_bytes(ours.memory),
        &format!("at most {}", human_bytes(MEMORY)),
        ours.memory <= MEMORY,
    );
}

pub(crate) fn rounds(count: usize, mut round: impl FnMut(usize) -> Taken) -> Taken {
    median((0..count.max(1)).map(&mut round).collect())
}

/// The name of the only image of a layout.
fn reference(layout: &Path) -> String {
    let images = Layout::open(layout).unwrap().images().unwrap();
    images[0].0.clone().unwrap()
}

/// A folder with the base image of a recipe, as our store has it.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    recipe: &'a str,
}

impl<'a> Place<'a> {
    /// Prepares the base image, and nothing else.
    pub(crate) fn prepare(args: &'a Args, folder: &'a Path) -> Self {
        let recipe = &args.recipe;
        let place = Self { folder, recipe };
        run(place.cli("base-cache", "prepared").args(["--dry-run"]));
        place
    }

    /// The base image alone, as a layout where it is called `base`.
    pub(crate) fn base_layout(&self) -> Layout {
        let environment = Environment::of_process().unwrap();
        let machine = Machine::read(Path::new("/"), &environment).unwrap();
        let store = Store::open(self.folder.join("base-cache/store")).unwrap();
        let base = base(self, &machine, &store, &environment);
        let layout = Layout::create(self.fresh("base-oci")).unwrap();
        let digest = base.image.digest;
        layout.put_image(&store, &digest, Some("base")).unwrap();
        layout
    }

    /// A name below the folder with nothing there.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        let _ = fs_err::remove_dir_all(&path);
        let _ = fs_err::remove_file(&path);
        path
    }

    /// Our command, as this program again.
    fn cli(&self, cache: &str, output: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["cli", "build", self.recipe, "--quiet", "--no-test"])
            .arg("--output-root")
            .arg(self.folder.join(output))
            .env("ND_CACHE_DIR", self.folder.join(cache));
        command
    }

    /// Unpacks the layers of the prepared base, as buildah's storage has them.
    fn unpack_base(&self) {
        let environment = Environment::of_process().unwrap();
        let machine = Machine::read(Path::new("/"), &environment).unwrap();
        let store = Store::open(self.folder.join("base-cache/store")).unwrap();
        let base = base(self, &machine, &store, &environment);
        let info = nd_builder::import_base(&store, &store, &base.image).unwrap();
        let ids = IdMode::choose(&environment, &SystemPrograms::new(&environment));
        nd_builder::layer_trees(&store, &info.layers, ids, &Cancel::default(), &mut |_| ())
            .unwrap();
    }

    /// A build with nothing but the base in the store.
    fn build(&self, round: usize) -> Taken {
        let (cache, out) = (format!("cache-{round}"), format!("out-{round}"));
        let copy = self.fresh(&cache);
        run(Command::new("cp")
            .arg("-a")
            .arg(self.folder.join("base-cache"))
            .arg(copy));
        self.fresh(&out);
        run(&mut self.cli(&cache, &out))
    }
}

struct Buildah<'a> {
    place: &'a Place<'a>,
    program: &'a Path,
    apptainer: &'a Path,
    mounts: Vec<(PathBuf, String)>,
    env: Vec<(String, String)>,
}

impl<'a> Buildah<'a> {
    /// Puts our base image into buildah's storage, and the machine's settings where it finds them.
    fn prepare(place: &'a Place<'a>, buildah: &'a Path, apptainer: &'a Path) -> Self {
        let environment = Environment::of_process().unwrap();
        let machine = Machine::read(Path::new("/"), &environment).unwrap();
        let store = Store::open(place.folder.join("base-cache/store")).unwrap();
        let base = base(place, &machine, &store, &environment);
        let layout = place.base_layout();
        let mut own = Self {
            place,
            program: buildah,
            apptainer,
            mounts: Vec::new(),
            env: Vec::new(),
        };
        let source = format!("oci:{}:base", layout.path().display());
        let pulled = own.command(&["pull", "--quiet", &source]).output().unwrap();
        let id = String::from_utf8_lossy(&pulled.stdout).trim().to_owned();
        assert!(
            pulled.status.success(),
            "{}",
            String::from_utf8_lossy(&pulled.stderr)
        );
        run(&mut own.command(&["tag", &id, &base.origin.name]));
        let archives = base
            .archives(&store, &SystemPrograms::new(&environment))
            .unwrap();
        let mirrors = Mirrors::find(&archives.public, machine.sources());
        let build_only = machine.build_only(&mirrors, &archives.lists);
        let folder = place.fresh("mounts");
        fs_err::create_dir_all(&folder).unwrap();
        let mounts = build_only
            .files
            .into_iter()
            .enumerate()
            .map(|(number, (target, bytes))| {
                let source = folder.join(number.to_string());
                fs_err::write(&source, bytes).unwrap();
                (source, target)
            });
        let mounts = mounts.collect();
        own.mounts = mounts;
        own.env = build_only.env;
        own
    }

    fn command(&self, words: &[&str]) -> Command {
        let storage = self.place.folder.join("containers");
        let config = self.place.folder.join("storage.conf");
        let text = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/root\"\nrunroot = \"{0}/run\"\n",
            storage.display()
        );
        fs_err::write(&config, text).unwrap();
        let mut command = Command::new(self.program);
        command.args(words).env("CONTAINERS_STORAGE_CONF", config);
        command
    }

    /// The rendered Dockerfile to an image without any cached layer, that to a SIF.
    fn build(&self, round: usize) -> Taken {
        let context = self
            .place
            .folder
            .join("out-0/build")
            .join(self.place.recipe);
        let dockerfile = fs_err::read_dir(&context)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|ext| ext == "Dockerfile"))
            .unwrap();
        let mut bud = self.command(&["bud", "--isolation", "chroot", "--layers", "--no-cache"]);
        bud.args(["--pull-never", "--quiet", "--tag", "bench"]);
        for (source, target) in &self.mounts {
            bud.arg("--volume")
                .arg(format!("{}:{target}:ro", source.display()));
        }
        for (name, value) in &self.env {
            bud.arg("--env").arg(format!("{name}={value}"));
        }
        bud.arg("--file").arg(dockerfile).arg(context);
        let built = run(&mut bud);
        let archive = self.place.fresh(&format!("buildah-{round}"));
        let target = format!("oci:{}", archive.display());
        let pushed = run(&mut self.command(&["push", "--quiet", "bench", &target]));
        let packed = apptainer_build(self.place, self.apptainer, &archive);
        let parts = [built, pushed, packed];
        Taken {
            time: parts.iter().map(|part| part.time).sum(),
            processor: parts.iter().map(|part| part.processor).sum(),
            memory: parts.iter().map(|part| part.memory).max().unwrap_or(0),
        }
    }
}

impl Drop for Buildah<'_> {
    /// What is mounted could not be removed.
    fn drop(&mut self) {
        let _ = self.command(&["rm", "--all"]).output();
        let mount = self.place.folder.join("containers/root/overlay");
        let _ = Command::new("umount").arg(mount).output();
    }
}

fn apptainer_build(place: &Place<'_>, apptainer: &Path, layout: &Path) -> Taken {
    let sif = place.fresh("apptainer.sif");
    let cache = place.fresh("apptainer-cache");
    let mut command = Command::new(apptainer);
    command
        .args(["build", "--mksquashfs-args", ZSTD])
        .arg(sif)
        .arg(format!("oci:{}", layout.display()))
        .env("APPTAINER_CACHEDIR", cache);
    run(&mut command)
}

/// The base that the recipe's build has just prepared.
fn base(place: &Place<'_>, machine: &Machine, store: &Store, environment: &Environment) -> Base {
    let recipe = environment
        .working_directory()
        .join("recipes")
        .join(place.recipe);
    let text = fs_err::read_to_string(recipe.join("build.yaml")).unwrap();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap().trim().to_owned()
    };
    let bootstrapper = Bootstrapper {
        programs: &SystemPrograms::new(environment),
        store,
        clock: &SystemClock,
        machine,
        reporter: &Silent,
        cancel: &Cancel::default(),
        ids: IdMode::choose(environment, &SystemPrograms::new(environment)),
        emulator: None,
        refresh: false,
        offline: false,
        locked: None,
        compression: nd_oci::Compression::Gzip,
    };
    let architecture = Architecture::of_this_program().unwrap();
    let what = value("bootstrap:").parse().unwrap();
    bootstrapper
        .prepare(&what, &value("base-image:"), architecture)
        .unwrap()
}
